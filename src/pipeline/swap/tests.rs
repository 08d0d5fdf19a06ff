use std::collections::VecDeque;
use std::fs;
use std::sync::Arc;

use super::*;
use crate::student::manifest::MANIFEST_FILE;

/// A store with one model folder, and a keeper whose loader gives what it is told, in turn.
struct Shop {
    store: tempfile::TempDir,
    keeper: Keeper,
    service: Service,
    totals: Totals,
    loads: Arc<parking_lot::Mutex<usize>>,
}

fn shop(results: Vec<Result<&'static str, StudentError>>) -> Shop {
    let store = tempfile::tempdir().unwrap();
    let folder = store.path().join("model");
    fs::create_dir(&folder).unwrap();
    let loads = Arc::new(parking_lot::Mutex::new(0));
    let counted = Arc::clone(&loads);
    let mut results = VecDeque::from(results);
    let load: Load = Box::new(move |_| {
        *counted.lock() += 1;
        let result = results.pop_front().expect("no load more than the test gives");
        result.map(|version| Generation::of_rules(version, 0))
    });
    let watch = Watch {
        interval: Duration::from_secs(3600),
        in_service: Version::look(&folder),
        folder,
        load,
    };
    let totals = Totals::default();
    Shop {
        keeper: Keeper { watch, refused: None, last: Weak::new() },
        service: Service::new(Generation::of_rules("0", 0), &totals),
        totals,
        loads,
        store,
    }
}

impl Shop {
    fn publish(&self, manifest: &str) {
        fs::write(self.store.path().join("model").join(MANIFEST_FILE), manifest).unwrap();
    }

    fn look(&mut self) -> String {
        self.keeper.look(&self.service, &self.totals);
        self.service.current().model.version.clone()
    }
}

fn bad() -> StudentError {
    StudentError::ModelMissing { path: "model".into() }
}

#[test]
fn a_good_one_is_put_into_service_once() {
    let mut shop = shop(vec![Ok("1"), Ok("2")]);
    assert_eq!(shop.look(), "0", "nothing has changed");
    shop.publish("a");
    assert_eq!((shop.look(), shop.look()), ("1".into(), "1".into()));
    shop.publish("b");
    assert_eq!(shop.look(), "2");
    assert_eq!(*shop.loads.lock(), 2);
}

#[test]
fn a_bad_one_is_refused_once_the_old_one_goes_on_and_a_mended_one_is_taken() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    metrics::with_local_recorder(&recorder, || {
        let mut shop = shop(vec![Err(bad()), Ok("1")]);
        shop.publish("bad");
        assert_eq!((shop.look(), shop.look()), ("0".into(), "0".into()));
        assert_eq!(*shop.loads.lock(), 1, "not tried again");
        let shown = recorder.handle().render();
        assert!(shown.contains("radstream_model_refused_total{reason=\"missing\"} 1"), "{shown}");
        assert!(shown.contains("radstream_model_refused 1"), "{shown}");
        assert!(shop.totals.snapshot().page("ready").contains("refused"));
        shop.publish("good");
        assert_eq!(shop.look(), "1");
        assert!(recorder.handle().render().contains("radstream_model_refused 0"));
        assert!(!shop.totals.snapshot().page("ready").contains("refused"));
    });
}

#[test]
fn going_back_to_what_is_in_service_ends_the_alarm_without_loading() {
    let mut shop = shop(vec![Err(bad())]);
    let before = shop.keeper.watch.in_service.clone();
    shop.publish("bad");
    shop.look();
    assert!(shop.keeper.refused.is_some());
    fs::remove_file(shop.store.path().join("model").join(MANIFEST_FILE)).unwrap();
    assert_eq!(shop.keeper.watch.in_service, before);
    assert_eq!(shop.look(), "0");
    assert!(shop.keeper.refused.is_none());
    assert_eq!(*shop.loads.lock(), 1);
}

#[test]
fn a_third_model_is_not_loaded_while_two_are_in_memory() {
    let mut shop = shop(vec![Ok("1"), Ok("2")]);
    let queued = shop.service.current();
    shop.publish("a");
    assert_eq!(shop.look(), "1");
    shop.publish("b");
    assert_eq!(shop.look(), "1", "a report still waits for model 0");
    assert_eq!(*shop.loads.lock(), 1);
    drop(queued);
    assert_eq!(shop.look(), "2");
}

#[test]
fn a_loader_that_panics_is_a_refusal() {
    let mut shop = shop(vec![]);
    shop.publish("a");
    assert_eq!(shop.look(), "0");
    assert!(shop.keeper.refused.is_some());
}

#[test]
fn while_the_next_model_loads_the_old_one_is_in_service() {
    let mut shop = shop(vec![]);
    let (ask, asked) = crossbeam_channel::bounded(0);
    let (answer, answered) = crossbeam_channel::bounded(0);
    shop.keeper.watch.load = Box::new(move |_| {
        ask.send(()).unwrap();
        answered.recv().unwrap();
        Ok(Generation::of_rules("1", 0))
    });
    shop.publish("a");
    let Shop { keeper, service, totals, .. } = &mut shop;
    std::thread::scope(|scope| {
        let service: &Service = service;
        let looking = scope.spawn(|| keeper.look(service, totals));
        asked.recv().unwrap();
        // In the middle of loading: neither taking it nor using it waits.
        let generation = service.current();
        assert_eq!(generation.model.version, "0");
        assert!(generation.session(0).is_some());
        drop(generation);
        answer.send(()).unwrap();
        looking.join().unwrap();
        assert_eq!(service.current().model.version, "1");
    });
}

#[test]
fn it_ends_with_the_stage() {
    let Shop { keeper, service, totals, .. } = shop(vec![]);
    let (open_in, open) = crossbeam_channel::bounded(0);
    drop(open_in);
    run(keeper.watch, &service, &totals, &open);
}

fn short_of_memory() -> StudentError {
    StudentError::Session { path: "model".into(), problem: "memory".to_owned() }
}

#[test]
fn what_may_pass_is_tried_again_after_one_two_and_four_looks_and_taken() {
    let results = [short_of_memory(), short_of_memory(), short_of_memory()].map(Err);
    let mut shop = shop(results.into_iter().chain([Ok("1")]).collect());
    shop.keeper.watch.interval = Duration::from_secs(10);
    shop.publish("a");
    let tried: Vec<usize> = (0..8)
        .map(|_| {
            shop.look();
            *shop.loads.lock()
        })
        .collect();
    assert_eq!(tried, [1, 2, 2, 3, 3, 3, 3, 4]);
    assert_eq!(shop.service.current().model.version, "1");
    assert!(shop.keeper.refused.is_none());
}

#[test]
fn a_reason_that_lies_in_the_files_ends_the_tries() {
    let mut shop = shop(vec![Err(short_of_memory()), Err(bad())]);
    shop.publish("a");
    (0..50).for_each(|_| drop(shop.look()));
    assert_eq!(*shop.loads.lock(), 2);
}

#[test]
fn another_model_begins_with_one_look_again() {
    let results = [short_of_memory(), short_of_memory(), short_of_memory(), short_of_memory()];
    let mut shop = shop(results.into_iter().map(Err).collect());
    shop.keeper.watch.interval = Duration::from_secs(10);
    shop.publish("a");
    (0..2).for_each(|_| drop(shop.look()));
    assert_eq!(shop.keeper.refused.as_ref().map(|refused| refused.looks), Some(Some(2)));
    shop.publish("b");
    shop.look();
    let refused = shop.keeper.refused.as_ref().map(|refused| (refused.tries, refused.looks));
    assert_eq!(refused, Some((1, Some(1))));
    shop.look();
    assert_eq!(*shop.loads.lock(), 4);
}

#[test]
fn tries_are_never_further_apart_than_ten_minutes_or_one_look() {
    let looks = |seconds| {
        [1, 2, 3, 6, 7, 8, 64, 65, u32::MAX].map(|n| looks_between(n, Duration::from_secs(seconds)))
    };
    assert_eq!(looks(10), [1, 2, 4, 32, 60, 60, 60, 60, 60]);
    assert_eq!(looks(1), [1, 2, 4, 32, 64, 128, 600, 600, 600]);
    assert_eq!(looks(3_600), [1; 9]);
    assert_eq!(looks(0), [1; 9], "never asked: 0 is not to look at all");
}
