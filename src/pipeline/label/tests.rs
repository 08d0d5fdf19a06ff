use super::super::drift::DriftMonitor;
use super::super::generation::ThreadEncoder;
use super::super::prepare::{Prepared, Preparer};
use super::super::shadow;
use super::*;
use crate::broker::{Record, Ticket, TopicPartition};
use crate::decode::DecodeOptions;
use crate::drift::Counts;
use crate::extract::ExtractPolicy;
use crate::publish::{
    Contract, Escalation, EscalationMarker, FindingsEvent, Mark, PublishSettings, Topic, decode,
};
use crate::report::{OBSERVATIONS, ReportText};
use crate::route::RoutePolicy;
use crate::student::rules::RuleLabeler;

/// The rules, counting how many reports they are given; `broken` times they fail first.
struct Counting {
    rules: RuleLabeler,
    reports: usize,
    broken: usize,
}

impl Counting {
    fn new(broken: usize) -> Self {
        Self { rules: RuleLabeler::new(), reports: 0, broken }
    }
}

impl Score for Counting {
    fn score(&mut self, batch: &[Task], bucket: usize) -> Result<Vec<Scored>, StudentError> {
        self.reports += batch.len();
        if self.broken > 0 {
            self.broken -= 1;
            panic!("broken");
        }
        self.rules.score(batch, bucket)
    }
}

fn labeling() -> Labeling {
    let publisher = Arc::new(Publisher::new(PublishSettings::default()));
    Labeling {
        letters: Letters { publisher: Arc::clone(&publisher), by_partition: true },
        publisher,
        decode: DecodeOptions::default(),
        rules: None,
        pace: Pace::new(0.0),
        shadow: None,
        totals: Arc::default(),
    }
}

fn generation(memory_bytes: usize) -> Arc<Generation> {
    Arc::new(Generation::of_rules("1", memory_bytes))
}

fn message(accession: &str, impression: &str) -> String {
    format!(
        "MSH|^~\\&|RIS|HOSP|||20260102030405||ORU^R01|1|P|2.5\rPID|1||1\r\
         OBR|1||{accession}^RIS|71046^XR CHEST^C4||||||||||||||||||20260102||RAD|F\r\
         OBX|1|TX|&IMP||{impression}||||||F\r"
    )
}

/// The tasks of messages that arrive as records 0, 1, ...
fn tasks(labeling: &Labeling, of: &Arc<Generation>, messages: &[String]) -> Vec<Task> {
    let mut preparer = Preparer {
        decode: DecodeOptions::default(),
        extract: ExtractPolicy::default(),
        publisher: Arc::clone(&labeling.publisher),
        letters: labeling.letters.clone(),
        encoder: ThreadEncoder::default(),
    };
    let mut tasks = Vec::new();
    for (offset, message) in (0..).zip(messages) {
        let partition = TopicPartition { topic: Arc::from("in"), partition: 0 };
        let ticket = Ticket { partition, offset, sequence: 0, epoch: 1 };
        let payload = Some(message.clone().into_bytes());
        let record = Record { ticket, timestamp_ms: Some(1), key: None, payload, headers: vec![] };
        match preparer.prepare(record, of) {
            Prepared::Tasks(made) => tasks.extend(made),
            Prepared::Finished(_) => panic!("{message} is to be labelled"),
        }
    }
    tasks
}

fn run_batch(labeling: &Labeling, session: &mut Counting, items: Vec<Task>) -> Vec<Finished> {
    let mut done = labeling.batch(session, Batch { bucket: 512, items }, &Stop::default());
    done.sort_by_key(|finished| finished.ticket.offset);
    done
}

fn events(done: &[Finished]) -> Vec<FindingsEvent<'static>> {
    done.iter()
        .map(|finished| {
            let payload = finished.outgoing[0].payload.as_deref().unwrap();
            decode(Contract::Findings, payload).unwrap()
        })
        .collect()
}

#[test]
fn what_was_given_away_while_it_waited_is_not_labelled_and_publishes_nothing() {
    let (labeling, of) = (labeling(), generation(0));
    let feed: Vec<_> = (0..4).map(|n| message(&format!("A{n}"), "No effusion.")).collect();
    let items = tasks(&labeling, &of, &feed);
    let ours = |ticket: &Ticket| ticket.offset >= 3;
    let (batch, forgone) = forgo(Batch { bucket: 512, items }, &ours);
    let left: Vec<_> = batch.items.iter().map(|task| task.flight.record.ticket.offset).collect();
    assert_eq!(left, [3]);
    assert_eq!(forgone.len(), 3, "each goes on, so that its place in the budget is given back");
    assert!(forgone.iter().all(|done| done.outgoing.is_empty() && done.cost > 0));
}

#[test]
fn m14_a_redelivery_has_the_same_event_id_and_costs_no_second_inference() {
    let (labeling, of) = (labeling(), generation(1 << 20));
    let mut session = Counting::new(0);
    let feed = [message("A1", "Small left pleural effusion."), message("A2", "No acute disease.")];
    let first = run_batch(&labeling, &mut session, tasks(&labeling, &of, &feed));
    assert_eq!(session.reports, 2);
    let again = run_batch(&labeling, &mut session, tasks(&labeling, &of, &feed));
    assert_eq!(session.reports, 2, "remembered");
    let (first, again) = (events(&first), events(&again));
    assert_eq!(again.len(), 2, "each delivery is published");
    for (first, again) in first.iter().zip(&again) {
        assert_eq!(first.event_id, again.event_id);
        assert!(first.findings == again.findings && first.no_finding == again.no_finding);
    }
    let corrected = [message("A1", "Large left pleural effusion.")];
    let corrected = events(&run_batch(&labeling, &mut session, tasks(&labeling, &of, &corrected)));
    assert_eq!(session.reports, 3, "another text is another inference");
    assert_ne!(corrected[0].event_id, first[0].event_id);
}

#[test]
fn m19_one_dictation_for_several_orders_is_run_once_and_published_for_each() {
    let (labeling, of) = (labeling(), generation(1 << 20));
    let mut session = Counting::new(0);
    let feed: Vec<String> =
        ["A1", "A2", "A3"].map(|accession| message(accession, "Right pneumothorax.")).into();
    let done = run_batch(&labeling, &mut session, tasks(&labeling, &of, &feed));
    assert_eq!(session.reports, 1);
    let keys: Vec<String> =
        events(&done).iter().map(|event| event.report_key.to_string()).collect();
    assert_eq!(keys, ["RIS|A1", "RIS|A2", "RIS|A3"]);
}

#[test]
fn without_a_memory_every_report_is_run() {
    let (labeling, of) = (labeling(), generation(0));
    let mut session = Counting::new(0);
    let feed: Vec<String> = ["A1", "A2"].map(|a| message(a, "Right pneumothorax.")).into();
    assert_eq!(run_batch(&labeling, &mut session, tasks(&labeling, &of, &feed)).len(), 2);
    assert_eq!(session.reports, 2);
}

#[test]
fn a_failure_is_not_remembered_and_its_copies_are_tried_themselves() {
    let (labeling, of) = (labeling(), generation(1 << 20));
    let mut session = Counting::new(1);
    let feed: Vec<String> = ["A1", "A2"].map(|a| message(a, "Right pneumothorax.")).into();
    let done = run_batch(&labeling, &mut session, tasks(&labeling, &of, &feed));
    let names: Vec<_> = done.iter().map(|finished| finished.outcomes[0].name).collect();
    assert_eq!(names, ["dead_letter", "labelled"]);
    assert_eq!(session.reports, 2);
}

#[test]
fn an_escalated_report_carries_whom_its_own_message_names() {
    let labeling = labeling();
    let mut of = Generation::of_rules("1", 0);
    of.policy = RoutePolicy { escalate: true, thresholds: [2.0; OBSERVATIONS], ..of.policy };
    let of = Arc::new(of);
    let named = |accession: &str, name: &str| {
        message(accession, "Right pneumothorax.").replace("PID|1||1", &format!("PID|1||1||{name}"))
    };
    // One record of two messages: what one of them says is nothing to the other.
    let record = [named("A1", "OKONKWO^MARIA"), named("A2", "OSEI^GRACE")].concat();
    let done = run_batch(&labeling, &mut Counting::new(0), tasks(&labeling, &of, &[record]));
    let patients: Vec<Vec<String>> = done[0]
        .outgoing
        .iter()
        .filter(|message| message.topic == Topic::Escalations)
        .map(|message| {
            let payload = message.payload.as_deref().unwrap();
            let escalation: Escalation<'static> = decode(Contract::Escalation, payload).unwrap();
            let names = escalation.identifiers.iter().filter(|one| one.kind == "patient_name");
            names.map(|one| one.value.to_string()).collect()
        })
        .collect();
    assert_eq!(patients, [["OKONKWO^MARIA"], ["OSEI^GRACE"]].map(Vec::from));
}

#[test]
fn a_correction_that_is_not_escalated_tells_stage_teach_that_older_versions_are_old() {
    let mut labeling = labeling();
    let settings = PublishSettings { mark_escalations: true, ..PublishSettings::default() };
    labeling.publisher = Arc::new(Publisher::new(settings));
    let corrected = message("A1", "Right pneumothorax.").replace("|RAD|F", "|RAD|C");
    assert_ne!(corrected, message("A1", "Right pneumothorax."));
    let marks = |feed: &str, threshold: f32| {
        let mut of = Generation::of_rules("1", 0);
        let thresholds = [threshold; OBSERVATIONS];
        of.policy = RoutePolicy { escalate: true, thresholds, ..of.policy };
        let tasks = tasks(&labeling, &Arc::new(of), &[feed.to_owned()]);
        let done = run_batch(&labeling, &mut Counting::new(0), tasks);
        let sent = done[0].outgoing.iter().filter(|sent| sent.topic == Topic::Escalations);
        sent.map(|sent| EscalationMarker::read(&sent.headers).map(|read| read.mark)).collect()
    };
    let first: Vec<Option<Mark>> = marks(&message("A1", "Right pneumothorax."), 0.0);
    assert_eq!(first, [], "a first version replaces nothing");
    assert_eq!(marks(&corrected, 0.0), [Some(Mark::Replaced)]);
    assert_eq!(marks(&corrected, 2.0), [None], "the escalation itself says so");
}

#[test]
fn a_report_is_labelled_named_and_remembered_by_the_generation_that_tokenised_it() {
    let labeling = labeling();
    let old = Arc::new(Generation::of_rules("1", 1 << 20));
    let new = Arc::new(Generation::of_rules("2", 1 << 20));
    let feed = [message("A1", "Small left pleural effusion.")];
    let mut session = Counting::new(0);
    let first = events(&run_batch(&labeling, &mut session, tasks(&labeling, &old, &feed)));
    let second = events(&run_batch(&labeling, &mut session, tasks(&labeling, &new, &feed)));
    assert_eq!(session.reports, 2, "what the old one said is not the new one's answer");
    let version = |events: &[FindingsEvent<'_>]| events[0].model.as_ref().unwrap().version.clone();
    let versions = [version(&first), version(&second)];
    assert_eq!(versions, ["1", "2"]);
    assert_ne!(first[0].event_id, second[0].event_id, "the id names the model");
    // Tasks that were queued before the switch are still the old one's, and free it when done.
    let queued = tasks(&labeling, &old, &feed);
    let left = Arc::downgrade(&old);
    drop(old);
    let batch = Batch { bucket: 512, items: queued };
    let late = events(&labeling.turn(1, batch, &Stop::default()));
    assert_eq!(version(&late), "1");
    assert!(left.upgrade().is_none());
}

#[test]
fn a_shadow_gets_what_was_labelled_and_drift_is_watched() {
    let (mut labeling, mut of) = (labeling(), Generation::of_rules("1", 0));
    let (tap, reports) = shadow::tap(1.0);
    labeling.shadow = Some(tap);
    let reference = Counts { reports: 200, ..Counts::default() };
    of.drift = Some(DriftMonitor::new(reference, 2));
    let of = Arc::new(of);
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    metrics::with_local_recorder(&recorder, || {
        let feed: Vec<String> = ["A1", "A2"].map(|a| message(a, "Right pneumothorax.")).into();
        run_batch(&labeling, &mut Counting::new(0), tasks(&labeling, &of, &feed));
        let shown = recorder.handle().render();
        assert!(shown.contains("radstream_drift_reports 2"), "{shown}");
        // The shadow says the same of both: it is the same labeller.
        labeling.shadow = None;
        let rules = RuleLabeler::new();
        let model = of.model.clone();
        let label = Box::new(move |text: &ReportText| Ok(rules.label(text)));
        let (_open, open) = crossbeam_channel::bounded(0);
        shadow::run(Box::new(move || Ok(shadow::ShadowModel { model, label })), &reports, &open);
        let shown = recorder.handle().render();
        let cell = "observation=\"pneumothorax\",status=\"positive\",shadow_status=\"positive\"} 2";
        assert!(shown.contains(cell), "{shown}");
    });
}
