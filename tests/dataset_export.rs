//! `radstream dataset` on real Kafka: what stages label and teach write becomes a dataset, and what is
//! retracted is in it no more.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop there")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use apache_avro::writer::datum::GenericDatumWriter;
use arrow_array::cast::AsArray as _;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use radstream::dataset::manifest::Manifest;
use radstream::demo::teacher::TeacherOptions;
use radstream::publish::{Contract, DistillationSample, SampleKind, VERSION_HEADER, decode};
use support::escalations::Case;
use support::processes::{Finished, RadstreamCommand};
use support::records::{NewRecord, await_decided};
use support::teach::{PATIENCE, Teach};
use tempfile::TempDir;

const PARTITIONS: i32 = 3;

/// Topics, a teacher, and a folder for the dataset.
struct Site {
    teach: Teach<'static>,
    folder: TempDir,
}

impl Site {
    fn create(name: &'static str) -> Self {
        let teach = Teach::create(name, PARTITIONS, TeacherOptions::default());
        Self { teach, folder: tempfile::tempdir().unwrap() }
    }

    fn topic(&self, kind: &str) -> String {
        self.teach.topic(kind)
    }

    fn config(&self) -> String {
        // Nothing listens: the stages need not.
        self.teach.config("only", "", "").replace("127.0.0.1:0", "")
    }

    fn run(&self, args: &[&str]) -> Finished {
        let ran = RadstreamCommand::new(args).config(&self.config()).run(PATIENCE);
        assert_eq!(ran.code, Some(0), "{args:?}: {}{}", ran.stdout, ran.stderr);
        for kind in ["escalations", "distillation"] {
            await_decided(&self.teach.broker.client(), &self.topic(kind));
        }
        ran
    }

    /// Both stages work off what is there.
    fn work_off(&self) {
        self.run(&["run", "--until-end"]);
        self.run(&["run", "--stage", "teach", "--until-end"]);
    }

    fn dataset(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn export(&self, more: &[&str]) -> Finished {
        let folder = self.dataset();
        let group = self.topic("dataset");
        let fixed = ["dataset", "export", "--group", &group, "--out", folder.to_str().unwrap()];
        self.run(&[&fixed, more].concat())
    }

    fn manifest(&self) -> Manifest {
        Manifest::read(&self.dataset()).unwrap()
    }

    /// Impressions of the rows to train on, and how often each was seen.
    fn texts(&self) -> BTreeMap<String, i64> {
        let manifest = self.manifest();
        let mut texts = BTreeMap::new();
        for file in manifest.samples() {
            let path = self.dataset().join("current").join(&file.path);
            let file = fs::File::open(path).unwrap();
            for rows in ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap() {
                let rows = rows.unwrap();
                let impressions = rows.column_by_name("impression").unwrap().as_string::<i32>();
                let seen = rows.column_by_name("times_seen").unwrap();
                let seen = seen.as_primitive::<arrow_array::types::Int64Type>();
                for (impression, seen) in impressions.iter().zip(seen.values()) {
                    let before = texts.insert(impression.unwrap().to_owned(), *seen);
                    assert_eq!(before, None, "each text stands once");
                }
            }
        }
        texts
    }

    fn holds(&self, text: &str) -> bool {
        everything(&self.dataset()).windows(text.len()).any(|window| window == text.as_bytes())
    }

    /// Samples on the topic.
    fn samples(&self) -> Vec<(NewRecord, DistillationSample<'static>)> {
        let messages = self.teach.broker.read_committed_all(&self.topic("distillation"));
        messages
            .into_iter()
            .filter(|message| message.value.is_some())
            .map(|message| {
                let sample = decode(Contract::Distillation, message.bytes()).unwrap();
                let headers = message.headers.iter();
                let headers = headers
                    .map(|(name, value)| (name.clone(), value.clone().unwrap_or_default()))
                    .collect();
                let record = NewRecord {
                    partition: Some(message.partition),
                    key: message.key,
                    value: message.value,
                    headers,
                };
                (record, sample)
            })
            .collect()
    }

    fn write(&self, records: impl IntoIterator<Item = NewRecord>) {
        self.teach.broker.produce(&self.topic("distillation"), records);
    }
}

/// Every byte of every file under a folder, and all values of Parquet files unpacked.
fn everything(folder: &Path) -> Vec<u8> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.is_symlink() {
            all.extend(everything(&path));
        } else if path.is_file() {
            all.extend(fs::read(&path).unwrap());
            if path.extension().is_some_and(|extension| extension == "parquet") {
                let file = fs::File::open(&path).unwrap();
                let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
                for rows in reader.build().unwrap() {
                    // `Debug` of an array cuts long ones.
                    let rows = rows.unwrap();
                    for row in 0..rows.num_rows() {
                        all.extend(format!("{:?}", rows.slice(row, 1)).into_bytes());
                    }
                }
            }
        }
    }
    all
}

/// A final or retracted report.
fn message(number: &str, text: &str, status: &str, changed: &str) -> NewRecord {
    let message = format!(
        "MSH|^~\\&|RIS|GENHOSP|HUB|HIE|{changed}||ORU^R01|M{number}{status}|P|2.5.1\r\
         PID|1||4711^^^HOSP||OKONKWO^MARIA||19610203|F\r\
         OBR|1||{number}^RIS|71046^XR CHEST 2 VIEWS^C4||||||||||||||||||{changed}||RAD|{status}\r\
         OBX|1|TX|71046&IMP^XR CHEST^C4||{text}||||||{status}\r"
    );
    NewRecord::new(number, message)
}

fn encoded(sample: &DistillationSample<'_>) -> Vec<u8> {
    let mut payload = Contract::Distillation.single_object_header().to_vec();
    let writer = GenericDatumWriter::builder(Contract::Distillation.schema())
        .human_readable(true)
        .build()
        .unwrap();
    writer.write_ser(&mut payload, sample).unwrap();
    payload
}

const RETRACTED: &str = "Small left pleural effusion beside the quaggy marker.";
const KEPT: &str = "No pneumothorax beside the zebrine marker.";

#[test]
fn a_retraction_event_removes_the_sample_from_the_next_export() {
    let site = Site::create("ds-retract");
    site.teach.broker.produce(
        &site.topic("in"),
        [
            message("ACC1", RETRACTED, "F", "20260102030405"),
            message("ACC2", KEPT, "F", "20260102030405"),
        ],
    );
    site.work_off();
    let first = site.export(&[]);
    assert!(first.stdout.contains("2 texts of 2 samples"), "{}", first.stdout);
    assert_eq!(site.texts().len(), 2);
    assert!(site.holds(RETRACTED) && site.holds(KEPT));
    // Pseudonyms: neither names nor accession numbers.
    assert!(!site.holds("OKONKWO") && !site.holds("ACC1") && !site.holds("RIS|"));

    site.teach.broker.produce(&site.topic("in"), [message("ACC1", "", "X", "20260103000000")]);
    site.work_off();
    site.export(&[]);
    assert_eq!(site.texts(), BTreeMap::from([(KEPT.to_owned(), 1)]));
    assert!(!site.holds(RETRACTED) && site.holds(KEPT));
    let manifest = site.manifest();
    // Stage label's, and that of stage teach, which comes behind whatever it had published before.
    assert_eq!((manifest.history.delete_markers, manifest.history.retracted), (2, 1));
    assert_eq!(manifest.totals.teachers["stub"]["stub-teacher"].values().sum::<u64>(), 1);

    // An answer of the teacher that came too late: stage teach writes the sample after the null value.
    let late = site
        .samples()
        .into_iter()
        .find(|(record, _)| record.key.as_deref().is_some_and(|key| key.ends_with(b"ACC1")));
    let (late, _) = late.unwrap();
    assert!(late.headers.iter().any(|(name, _)| name == VERSION_HEADER), "stage teach says which");
    site.write([late]);
    site.export(&[]);
    assert!(!site.holds(RETRACTED));
    assert_eq!(site.manifest().history.late, 1);

    // The report comes again, corrected, with a newer version.
    let corrected = "Corrected: no effusion beside the marker.";
    site.teach
        .broker
        .produce(&site.topic("in"), [message("ACC1", corrected, "C", "20260104000000")]);
    site.work_off();
    site.export(&[]);
    assert_eq!(site.texts().len(), 2, "{:?}", site.texts());
    assert!(!site.holds(RETRACTED));
}

#[test]
fn an_export_goes_on_where_the_last_one_ended_whatever_came_meanwhile() {
    let site = Site::create("ds-resume");
    let escalate = |numbers: std::ops::Range<usize>| {
        let records = numbers.map(|number| Case::of_series(number).record());
        site.teach.broker.produce(&site.topic("escalations"), records);
        site.run(&["run", "--stage", "teach", "--until-end"]);
    };
    // Nothing yet: an empty dataset, not an error.
    let empty = site.export(&[]);
    assert!(empty.stdout.contains("0 texts of 0 samples"), "{}", empty.stdout);
    escalate(0..40);
    site.export(&[]);
    let first = site.manifest();
    assert_eq!((first.totals.rows, first.history.records), (40, 40));
    let again = site.export(&[]);
    assert!(again.stdout.contains("as it was"), "{}", again.stdout);
    assert_eq!(site.manifest(), first, "nothing new: nothing is written");

    escalate(40..60);
    let samples = site.samples();
    let of = |number: usize| {
        let key = format!("RIS|A{number}");
        samples.iter().find(|(r, _)| r.key.as_deref() == Some(key.as_bytes())).unwrap().clone()
    };
    // A null value, as a site's own tool writes it; a withdrawal of one text of one event.
    let ((struck, struck_sample), (consent, consent_sample)) = (of(3), of(4));
    let withdrawn = DistillationSample {
        kind: SampleKind::Withdrawn,
        sections: vec![],
        labels: vec![],
        deidentification: None,
        student: None,
        teacher: None,
        ..consent_sample.clone()
    };
    let (same_text, _) = of(7);
    let other = DistillationSample { event_id: struck_sample.event_id, ..of(7).1 };
    site.write([
        NewRecord { value: None, headers: vec![], ..struck },
        NewRecord { value: Some(encoded(&withdrawn)), ..consent },
        // The text of report 7 in another report.
        NewRecord { key: Some(b"RIS|B7".to_vec()), value: Some(encoded(&other)), ..same_text },
    ]);
    site.export(&["--chunk-mib", "1"]);
    let second = site.manifest();
    assert_eq!(second.history.records, 63, "each record was read once");
    assert_eq!((second.totals.rows, second.totals.seen, second.folded), (58, 59, 1));
    assert_eq!((second.history.retracted, second.history.withdrawn), (1, 1));
    for gone in [&struck_sample, &consent_sample] {
        assert!(!site.holds(&gone.sections[0].text), "its text");
    }
    assert!(!site.holds(&struck_sample.text_hash), "nor its hash");
    assert_eq!(site.texts()[&*of(7).1.sections[0].text], 2);
    // What the group has committed is what the manifest says.
    let committed =
        site.teach.broker.committed_offsets(&site.topic("dataset"), &site.topic("distillation"));
    let committed: BTreeMap<i32, i64> =
        committed.into_iter().map(|(partition, at)| (partition, at.unwrap())).collect();
    assert_eq!(committed, second.next_offsets);

    let stats = |more: &[&str]| {
        let folder = site.dataset();
        let args = [&["dataset", "stats", folder.to_str().unwrap()], more].concat();
        let ran = RadstreamCommand::new(&args).run(PATIENCE);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        ran.stdout
    };
    let plot = site.folder.path().join("plot.svg");
    let tables = stats(&["--plot", plot.to_str().unwrap()]);
    assert!(tables.contains("58, of 59 samples") && tables.contains("stub-teacher"), "{tables}");
    assert!(fs::read_to_string(plot).unwrap().contains("Pleural Effusion"));
    let json: serde_json::Value = serde_json::from_str(&stats(&["--json"])).unwrap();
    assert_eq!(json["totals"]["rows"], 58);
    assert_eq!(json["dataset_id"], second.dataset_id);
}

#[test]
fn what_is_wrong_is_told_with_its_exit_code() {
    let site = Site::create("ds-wrong");
    let folder = site.dataset();
    let out = folder.to_str().unwrap();
    let run = |config: &str, args: &[&str]| {
        let ran = RadstreamCommand::new(args).config(config).run(PATIENCE);
        (ran.code, ran.stderr)
    };
    let export = ["dataset", "export", "--out", out];
    let config = site.config();
    let missing = config.replace("ds-wrong.distillation", "ds-wrong.nowhere");
    let (code, told) = run(&missing, &export);
    assert_eq!(code, Some(78), "{told}");
    assert!(told.contains("topics create"), "{told}");
    let (code, told) = run(&config.replace("\"ds-wrong.distillation\"", "\"\""), &export);
    assert_eq!(code, Some(78), "{told}");

    site.export(&[]);
    site.write([NewRecord::new("RIS|A1", "not avro"), NewRecord::new("", "")]);
    let told = site.export(&[]).stderr;
    assert!(told.contains("1 records cannot be used: avro"), "{told}");
    assert!(told.contains("1 records cannot be used: no_key"), "{told}");

    // A topic of the same name that was made anew ends before what was read of the old one.
    let current = fs::canonicalize(folder.join("current")).unwrap().join("manifest.json");
    let mut manifest: serde_json::Value =
        serde_json::from_slice(&fs::read(&current).unwrap()).unwrap();
    manifest["next_offsets"]["0"] = 1_000_000.into();
    fs::write(&current, manifest.to_string()).unwrap();
    let (code, told) = run(&config, &export);
    assert_eq!(code, Some(65), "{told}");
    assert!(told.contains("truncated or made anew"), "{told}");

    let nowhere = site.folder.path().join("nowhere");
    let ran = RadstreamCommand::new(&["dataset", "stats", nowhere.to_str().unwrap()]).run(PATIENCE);
    assert_eq!(ran.code, Some(66), "{}", ran.stderr);
}
