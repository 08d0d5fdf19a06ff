use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use tempfile::TempDir;
use uuid::Uuid;

use super::*;
use crate::broker::{Ticket, TopicPartition};
use crate::dataset::pseudonym::Pseudonyms;
use crate::publish::{
    Contract, DistillationSample, Framing, LabelSource, ModelIdentity, Probabilities,
    PublishedReason, PublishedSection, SampleKind, SampleLabel, TeacherIdentity, VERSION_HEADER,
    encode,
};
use crate::report::Observation;

const TOPIC: &str = "distillation";
const DAY: i64 = 86_400_000;
const NOW: i64 = 20_000 * DAY + DAY / 2;

/// A sample to be: report `A{report}` says `text`.
#[derive(Clone, Copy)]
struct Made {
    report: u8,
    text: &'static str,
    /// Days before [`NOW`].
    age: i64,
    by: LabelSource,
    version: Option<i64>,
    kind: SampleKind,
}

fn made(report: u8, text: &'static str, age: i64) -> Made {
    let kind = SampleKind::Sample;
    Made { report, text, age, by: LabelSource::Teacher, version: Some(100 - age), kind }
}

fn event_of(report: u8) -> Uuid {
    Uuid::from_u128(u128::from(report))
}

fn hash_of(text: &str) -> String {
    use sha2::{Digest as _, Sha256};
    hex(&Sha256::digest(text))
}

impl Made {
    fn sample(&self) -> DistillationSample<'static> {
        let labels = Observation::ALL.map(|observation| SampleLabel {
            observation: Cow::Borrowed(observation.name()),
            status: Cow::Borrowed(match observation {
                Observation::PleuralEffusion => "positive",
                _ => "not_mentioned",
            }),
            label_source: self.by,
            student_status: Cow::Borrowed("not_mentioned"),
            student_probabilities: Probabilities {
                not_mentioned: 0.5,
                positive: 0.25,
                negative: 0.125,
                uncertain: 0.125,
            },
            teacher_status: Some(Cow::Borrowed("positive")),
            teacher_confidence: Some(0.75),
            teacher_agreement: None,
            quote: None,
        });
        let section = PublishedSection { kind: "impression".into(), text: self.text.into() };
        DistillationSample {
            sample_id: Uuid::from_u128(900 + u128::from(self.report)),
            kind: self.kind,
            event_id: event_of(self.report),
            text_hash: hash_of(self.text).into(),
            sections: vec![section],
            deidentification: None,
            labels: labels.to_vec(),
            selection_reasons: vec![PublishedReason {
                reason: "low_confidence".into(),
                observation: None,
                confidence: Some(0.5),
                threshold: None,
            }],
            inclusion_probability: Some(0.125),
            needs_review: false,
            student: Some(Cow::Owned(ModelIdentity {
                name: "student".into(),
                version: "1".into(),
                sha256: "00".into(),
            })),
            teacher: Some(TeacherIdentity {
                model: "big".into(),
                provider: "ward".into(),
                prompt_version: "p1".into(),
                votes: 1,
            }),
            label_set_version: "1".into(),
            procedure_codes: vec!["71046".into()],
            created_at: NOW - self.age * DAY,
            software_version: "0".into(),
            shadow: None,
        }
    }

    fn record(&self) -> Record {
        let payload =
            encode(Contract::Distillation, Framing::SingleObject, &self.sample()).unwrap();
        record(self.report, Some(payload), self.version)
    }
}

fn record(report: u8, payload: Option<Vec<u8>>, version: Option<i64>) -> Record {
    let partition = TopicPartition { topic: Arc::from(TOPIC), partition: 0 };
    let header = |at: i64| (VERSION_HEADER.to_owned(), format!("{at}/3/0").into_bytes());
    Record {
        ticket: Ticket { partition, offset: 0, sequence: 0, epoch: 0 },
        timestamp_ms: Some(NOW),
        key: Some(format!("RIS|A{report}").into_bytes()),
        payload,
        headers: version.map(header).into_iter().collect(),
    }
}

/// A store's folder that goes with the value.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn root(&self) -> PathBuf {
        self.0.path().join("data")
    }

    fn open(&self) -> Store {
        Store::open(&self.root(), TOPIC).unwrap()
    }

    /// Takes records in one run, the last of which has offset `next - 1`.
    fn run(&self, records: &[Record], next: i64) -> Manifest {
        let mut store = self.open();
        records.iter().for_each(|record| store.take(record, NOW));
        store.commit(&BTreeMap::from([(0, next)]), None, NOW).unwrap();
        store.manifest().unwrap().clone()
    }

    fn current(&self) -> PathBuf {
        self.root().join("current")
    }

    /// Rows of a shelf.
    fn rows(&self, shelf: Shelf) -> Vec<Row> {
        let manifest = Manifest::read(&self.root()).unwrap();
        let files = manifest.files.iter().filter(|file| is_on(file, shelf));
        files
            .flat_map(|file| rows_file::read(&self.current().join(&file.path)).unwrap())
            .flat_map(|rows| serde_arrow::from_record_batch::<Vec<Row>>(&rows.unwrap()).unwrap())
            .collect()
    }

    /// Text and how often it was seen, of what there is to train on.
    fn texts(&self) -> BTreeMap<String, i64> {
        let rows = self.rows(Shelf::Samples);
        rows.into_iter().map(|row| (row.impression.unwrap(), row.times_seen)).collect()
    }

    /// All that stands anywhere in the folder, Parquet unpacked as well as byte for byte.
    fn everything(&self) -> Vec<u8> {
        let (mut all, mut folders) = (Vec::new(), vec![self.root()]);
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() && !path.is_symlink() {
                    folders.push(path);
                } else if path.is_file() {
                    all.extend(fs::read(&path).unwrap());
                    if path.extension().is_some_and(|extension| extension == "parquet") {
                        for rows in rows_file::read(&path).unwrap() {
                            let rows: Vec<Row> =
                                serde_arrow::from_record_batch(&rows.unwrap()).unwrap();
                            all.extend(serde_json::to_vec(&rows).unwrap());
                        }
                    }
                }
            }
        }
        all
    }

    fn holds(&self, text: &str) -> bool {
        self.everything().windows(text.len()).any(|window| window == text.as_bytes())
    }
}

fn texts<const N: usize>(expected: [(&str, i64); N]) -> BTreeMap<String, i64> {
    expected.map(|(text, seen)| (text.to_owned(), seen)).into()
}

#[test]
fn a_sample_comes_back_from_its_file_as_it_was() {
    let place = Place::new();
    let sample = Made { by: LabelSource::Human, ..made(1, "Small effusion.", 0) };
    place.run(&[sample.record()], 1);
    let row = place.rows(Shelf::Samples).remove(0);
    let json = serde_json::to_value(&row).unwrap();
    assert_eq!(json["impression"], "Small effusion.");
    assert_eq!(json["pleural_effusion"], "positive");
    assert_eq!(json["edema"], "not_mentioned");
    assert_eq!(json["created_at"], NOW);
    assert_eq!(json["report_changed_at"], 100);
    assert_eq!(json["label_source"], "human");
    assert_eq!(json["human"], true);
    assert_eq!(json["teacher_prompt_version"], "p1");
    assert_eq!(json["procedure_codes"], serde_json::json!(["71046"]));
    assert_eq!(json["inclusion_probability"], 0.125);
    assert_eq!(json["selection_reasons"][0]["reason"], "low_confidence");
    let cell = &json["cells"][9];
    assert_eq!(cell["observation"], "pleural_effusion");
    assert_eq!(cell["student_probabilities"]["positive"], 0.25);
    assert_eq!(
        (&cell["teacher_confidence"], &cell["teacher_agreement"]),
        (&0.75.into(), &().into())
    );
    assert_eq!(json["cells"].as_array().unwrap().len(), 13);
    assert!(json["findings"].is_null() && json["body"].is_null());
    // Neither the accession number nor the key of the pseudonyms is in what is trained on.
    assert!(!place.holds("RIS|A1"));
    let key = fs::read(place.root().join("key")).unwrap();
    let manifest = fs::read_to_string(place.current().join(MANIFEST)).unwrap();
    assert!(!manifest.contains(&hex(&key)));
}

#[test]
fn a_manifest_counts_what_there_is() {
    let place = Place::new();
    let human = Made { by: LabelSource::Human, ..made(3, "Other.", 2) };
    let mut nameless = made(4, "Nameless.", 0).record();
    nameless.key = None;
    let garbage = record(5, Some(vec![1, 2, 3]), None);
    let records = [
        made(1, "Same.", 1).record(),
        made(2, "Same.", 0).record(),
        human.record(),
        nameless,
        garbage,
    ];
    let manifest = place.run(&records, 5);
    let totals = &manifest.totals;
    assert_eq!((totals.rows, totals.seen, manifest.folded), (2, 3, 1));
    assert_eq!(totals.cells("pleural_effusion", "positive"), 2);
    assert_eq!(totals.labels["edema"]["not_mentioned"]["human"], 1);
    assert_eq!(totals.sources, BTreeMap::from([("human".into(), 1), ("teacher".into(), 1)]));
    assert_eq!(totals.teachers["ward"]["big"]["p1"], 2);
    assert_eq!(totals.reasons["low_confidence"], 2);
    assert_eq!((manifest.history.records, manifest.history.samples), (5, 3));
    let unusable = [("avro", 1), ("no_key", 1)].map(|(name, n)| (name.to_owned(), n));
    assert_eq!(manifest.history.unusable, unusable.into());
    assert_eq!(manifest.next_offsets, BTreeMap::from([(0, 5)]));
    assert_eq!(place.texts(), texts([("Same.", 2), ("Other.", 1)]));
    for file in &manifest.files {
        use sha2::{Digest as _, Sha256};
        let bytes = fs::read(place.current().join(&file.path)).unwrap();
        assert_eq!(hex(&Sha256::digest(&bytes)), file.sha256);
        assert_eq!(bytes.len() as u64, file.bytes);
    }
    // Read back whole, with the same counts and the same places.
    assert_eq!(place.run(&[], 5), manifest);
}

#[test]
fn what_is_retracted_is_in_no_file_and_untouched_days_are_the_same_files() {
    use std::os::unix::fs::MetadataExt as _;
    let place = Place::new();
    let records = [
        made(1, "Retracted text.", 1).record(),
        made(2, "Kept text.", 1).record(),
        made(3, "Withdrawn text.", 2).record(),
        made(4, "Of another day.", 3).record(),
    ];
    let first = place.run(&records, 4);
    assert!(place.holds("Retracted text.") && place.holds("Withdrawn text."));
    let path = |manifest: &Manifest, text: &str| {
        let day = if text == "other" { 19_997 } else { 19_999 };
        let day = crate::dataset::day_of(day * DAY).unwrap().to_string();
        let file = manifest.samples().find(|file| file.day == day).unwrap();
        place.current().join(&file.path).canonicalize().unwrap().metadata().unwrap().ino()
    };
    let (same, rewritten) = (path(&first, "other"), path(&first, "retracted"));
    let withdrawn = Made { kind: SampleKind::Withdrawn, ..made(3, "Withdrawn text.", 2) };
    let second = place.run(&[record(1, None, Some(99)), withdrawn.record()], 6);
    assert_eq!(place.texts(), texts([("Kept text.", 1), ("Of another day.", 1)]));
    assert!(!place.holds("Retracted text.") && !place.holds("Withdrawn text."));
    assert_eq!((second.history.retracted, second.history.withdrawn), (1, 1));
    assert_ne!(first.dataset_sha256, second.dataset_sha256);
    assert_eq!(path(&second, "other"), same, "linked");
    assert_ne!(path(&second, "retracted"), rewritten);

    // They come again, late: the retracted version does not get in, a newer one does.
    let newer = Made { version: Some(101), ..made(1, "Corrected text.", 0) };
    let late = [made(1, "Retracted text.", 1), made(3, "Withdrawn text.", 2), newer];
    let third = place.run(&late.map(|sample| sample.record()), 9);
    assert_eq!(third.history.late, 2);
    assert!(!place.holds("Retracted text.") && place.holds("Corrected text."));
}

#[test]
fn a_sample_set_aside_takes_the_place_of_a_retracted_one() {
    let place = Place::new();
    let human = Made { by: LabelSource::Human, ..made(1, "Same.", 3) };
    place.run(&[human.record(), made(2, "Same.", 0).record(), made(3, "Same.", 1).record()], 3);
    assert_eq!(place.texts(), texts([("Same.", 3)]));
    assert!(place.rows(Shelf::Samples)[0].human);
    assert_eq!(place.rows(Shelf::Folded).len(), 2);
    place.run(&[record(1, None, None)], 4);
    assert_eq!(place.texts(), texts([("Same.", 2)]));
    let shown = &place.rows(Shelf::Samples)[0];
    assert_eq!((shown.human, shown.created_at), (false, NOW), "the newest answer");
    place.run(&[record(2, None, None), record(3, None, None)], 6);
    assert_eq!(place.texts(), texts([]));
    assert!(!place.holds("Same."));
}

#[test]
fn retention_drops_whole_days() {
    let place = Place::new();
    place.run(&[made(1, "Old.", 10).record(), made(2, "Young.", 9).record()], 2);
    let mut store = place.open();
    assert!(store.commit(&BTreeMap::from([(0, 2)]), Some(9), NOW).unwrap());
    let manifest = store.manifest().unwrap();
    assert_eq!(manifest.history.expired, 1);
    assert_eq!(manifest.retention.keep_days, Some(9));
    assert!(!place.holds("Old.") && place.holds("Young."));
    assert!(!store.commit(&BTreeMap::from([(0, 2)]), Some(9), NOW).unwrap(), "nothing changed");
}

#[test]
fn many_rows_are_copied_in_batches_and_none_is_lost() {
    let place = Place::new();
    let mut store = place.open();
    let reports = 0..(BATCH * 2 + 7);
    let mut all = BTreeSet::new();
    for number in reports.clone() {
        let mut sample = made(1, "", 0).sample();
        let text = format!("Text {number}.");
        sample.sections[0].text = text.clone().into();
        sample.text_hash = hash_of(&text).into();
        all.insert(text);
        let payload = encode(Contract::Distillation, Framing::SingleObject, &sample).unwrap();
        let mut record = record(1, Some(payload), None);
        record.key = Some(format!("RIS|{number}").into_bytes());
        store.take(&record, NOW);
    }
    store.commit(&BTreeMap::from([(0, 1)]), None, NOW).unwrap();
    drop(store);
    let mut gone = record(1, None, None);
    gone.key = Some(b"RIS|600".to_vec());
    let manifest = place.run(&[gone], 2);
    all.remove("Text 600.");
    assert_eq!(place.texts().into_keys().collect::<BTreeSet<_>>(), all);
    assert_eq!(manifest.totals.rows as usize, all.len());
}

/// Stops at the given step, as a kill would: nothing is done after it.
fn stop_at(step: usize) -> Steps {
    let mut left = step;
    Box::new(move |_| {
        left = left.checked_sub(1).ok_or_else(|| io::Error::other("killed"))?;
        Ok(())
    })
}

/// Two runs; `stop`: the second is killed before that step. True: it was not, there are fewer steps.
fn killed_at(stop: usize) -> bool {
    let place = Place::new();
    let first = [
        made(1, "Retracted text.", 1).record(),
        made(2, "Same.", 2).record(),
        made(3, "Untouched.", 3).record(),
    ];
    let before = place.run(&first, 3);
    let second = || [record(1, None, Some(99)), made(4, "Same.", 0).record()];
    let killed = Store::open_with(&place.root(), TOPIC, stop_at(stop)).and_then(|mut store| {
        second().iter().for_each(|record| store.take(record, NOW));
        store.commit(&BTreeMap::from([(0, 5)]), None, NOW)
    });
    // What is current is whole: the former snapshot, or the new one.
    let current = Manifest::read(&place.root()).unwrap();
    let old = current == before;
    assert_eq!(current.next_offsets, BTreeMap::from([(0, if old { 3 } else { 5 })]));
    let whole = if old {
        texts([("Retracted text.", 1), ("Same.", 1), ("Untouched.", 1)])
    } else {
        texts([("Same.", 2), ("Untouched.", 1)])
    };
    assert_eq!(place.texts(), whole, "killed before step {stop}");
    // The next run goes on from it and leaves no trace of the kill.
    let missing = if old { Vec::from(second()) } else { Vec::new() };
    let after = place.run(&missing, 5);
    assert_eq!(place.texts(), texts([("Same.", 2), ("Untouched.", 1)]));
    assert!(!place.holds("Retracted text."), "killed before step {stop}");
    assert_eq!((after.history.records, after.history.retracted), (5, 1));
    assert_eq!(fs::read_dir(place.root().join("snapshots")).unwrap().count(), 1);
    let names: BTreeSet<String> = fs::read_dir(place.root())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(names, ["current", "key", "lock", "snapshots"].map(str::to_owned).into());
    killed.is_ok()
}

#[test]
fn a_kill_before_any_step_leaves_a_whole_snapshot_and_the_next_run_goes_on() {
    let steps = (0..100).find(|stop| killed_at(*stop)).expect("an end");
    assert!(steps >= 10, "begin, files, rows, retractions, manifest, rename, link, switch, sweep");
}

#[test]
fn a_kill_in_the_very_first_run_is_no_harm() {
    for stop in 0..20 {
        let place = Place::new();
        let killed = Store::open_with(&place.root(), TOPIC, stop_at(stop)).and_then(|mut store| {
            store.take(&made(1, "Text.", 0).record(), NOW);
            store.commit(&BTreeMap::from([(0, 1)]), None, NOW)
        });
        let next = place.open().next_offsets();
        if next.is_empty() {
            place.run(&[made(1, "Text.", 0).record()], 1);
        }
        assert_eq!(place.texts(), texts([("Text.", 1)]));
        if killed.is_ok() {
            return;
        }
    }
    panic!("more steps than expected");
}

#[test]
fn one_process_at_a_time_and_no_folder_of_someone_else() {
    let place = Place::new();
    let held = place.open();
    let second = Store::open(&place.root(), TOPIC);
    assert!(matches!(second, Err(StoreError::Folder(FolderError::Locked(_)))));
    drop(held);
    place.run(&[made(1, "Text.", 0).record()], 1);
    let other = Store::open(&place.root(), "another");
    assert!(matches!(other, Err(StoreError::OtherTopic { .. })));

    let key = place.root().join("key");
    let bytes = fs::read(&key).unwrap();
    fs::write(&key, [7; 32]).unwrap();
    assert!(matches!(Store::open(&place.root(), TOPIC), Err(StoreError::OtherKey(_))));
    fs::remove_file(&key).unwrap();
    let missing = Store::open(&place.root(), TOPIC);
    assert!(matches!(missing, Err(StoreError::Folder(FolderError::KeyMissing(_)))));
    use std::os::unix::fs::PermissionsExt as _;
    fs::write(&key, bytes).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(place.open().next_offsets(), BTreeMap::from([(0, 1)]));

    let file = fs::canonicalize(place.current()).unwrap().join(MARKS);
    fs::write(&file, "nonsense\n").unwrap();
    assert!(matches!(Store::open(&place.root(), TOPIC), Err(StoreError::Damaged(_))));

    let place = Place::new();
    place.run(&[made(1, "Text.", 0).record()], 1);
    place.run(&[made(2, "Other.", 0).record()], 2);
    fs::remove_file(place.current()).unwrap();
    let lost = Store::open(&place.root(), TOPIC);
    assert!(matches!(lost, Err(StoreError::Folder(FolderError::LinkMissing(_)))));
    assert_eq!(fs::read_dir(place.root().join("snapshots")).unwrap().count(), 1, "not swept");

    let foreign = tempfile::tempdir().unwrap();
    fs::write(foreign.path().join("thesis.doc"), "precious").unwrap();
    let refused = Store::open(foreign.path(), TOPIC);
    assert!(matches!(refused, Err(StoreError::Folder(FolderError::Foreign { .. }))));
    assert_eq!(fs::read_dir(foreign.path()).unwrap().count(), 1, "nothing was written");
}

#[test]
fn tables_and_plot_say_what_the_manifest_says() {
    let place = Place::new();
    let human = Made { by: LabelSource::Human, ..made(2, "Other.", 2) };
    let manifest = place.run(&[made(1, "Text.", 0).record(), human.record()], 2);
    let tables = crate::dataset::table::render(&manifest);
    let effusion = tables.lines().find(|line| line.contains("Pleural Effusion")).unwrap();
    let cells: Vec<&str> = effusion.split_whitespace().collect();
    assert!(cells.windows(6).any(|six| six == ["2", "0", "0", "0", "100.0", "%"]), "{effusion}");
    for part in ["ward", "low_confidence", "human", &manifest.dataset_id, "of 2 samples"] {
        assert!(tables.contains(part), "{part}\n{tables}");
    }
    let svg = crate::dataset::plot::svg(&manifest).unwrap();
    assert!(svg.starts_with("<svg") && svg.contains("Pleural Effusion"));
    // One bar over the whole width: it is positive in all texts, and the others in none.
    let colour = svg.matches("#D55E00").count();
    assert_eq!(colour, 13 + 1, "a bar each, and the legend");
}

/// A dataset that the tests of `distill/` read, as this build writes it.
fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("distill/tests/dataset")
}

#[test]
fn rows_of_an_earlier_build_get_empty_columns_for_what_it_did_not_know() {
    let sample = made(1, "Small effusion.", 0);
    let folder = TempDir::new().unwrap();
    let pseudonyms = Pseudonyms::create(&folder.path().join("key")).unwrap();
    let Change::Sample(_, row) = change::read(&sample.record(), &pseudonyms) else {
        panic!("a sample");
    };
    let rows = row::batch(&[&row]).unwrap();
    let known: Vec<usize> = (0..rows.schema().index_of("shadow_name").unwrap()).collect();
    let earlier = rows.project(&known).unwrap();
    let carried = rows_file::with_times_seen(&earlier, vec![3]).unwrap();
    assert_eq!(carried.schema(), row::schema());
    assert_eq!(carried.column_by_name("shadow_cells").unwrap().null_count(), 1);
    assert_eq!(carried.column_by_name("sample_id"), rows.column_by_name("sample_id"));
    // What every build knew must be there.
    assert!(rows_file::with_times_seen(&rows.project(&known[1..]).unwrap(), vec![3]).is_err());
}

#[test]
#[ignore = "writes distill/tests/dataset anew, after a change of the columns"]
fn write_the_dataset_that_python_reads() {
    let root = fixture();
    fs::remove_dir_all(&root).ok();
    let mut store = Store::open(&root, TOPIC).unwrap();
    let human = Made { by: LabelSource::Human, ..made(2, "No effusion.", 1) };
    let samples = [made(1, "Small effusion.", 0), made(3, "Small effusion.", 1), human];
    samples.iter().for_each(|sample| store.take(&sample.record(), NOW));
    store.commit(&BTreeMap::from([(0, 3)]), None, NOW).unwrap();
    drop(store);
    // Readers need neither.
    fs::remove_file(root.join("key")).unwrap();
    fs::remove_file(root.join("lock")).unwrap();
}

#[test]
fn the_dataset_that_python_reads_has_the_columns_of_this_build() {
    let manifest = Manifest::read(&fixture()).unwrap();
    assert!(manifest.totals.rows > 0);
    for file in &manifest.files {
        let path = fixture().join("current").join(&file.path);
        for rows in rows_file::read(&path).unwrap() {
            let columns = |schema: &arrow_schema::Schema| schema.fields().clone();
            assert_eq!(
                columns(rows.unwrap().schema_ref()),
                columns(&row::schema()),
                "write it anew"
            );
        }
    }
}
