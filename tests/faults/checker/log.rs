//! The brokers' own files, read with Kafka's own tool: what clients never see, control records and aborted
//! transactions.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{fmt, fs};

use serde_json::Value as Json;

use crate::support::server;

/// States of a transaction in `__transaction_state` (TransactionState.java).
const ONGOING: i64 = 1;
const COMPLETE_COMMIT: i64 = 4;
const COMPLETE_ABORT: i64 = 5;

/// What is in the log of one partition.
#[derive(Clone, Debug, Default)]
pub struct PartitionLog {
    /// Data records of committed transactions, and of none.
    pub committed: BTreeSet<i64>,
    /// Data records of aborted transactions.
    pub aborted: BTreeSet<i64>,
    /// Data records of transactions that nobody has decided.
    pub open: BTreeSet<i64>,
    /// Markers, one for each partition of a transaction.
    pub commits: u64,
    pub aborts: u64,
}

impl PartitionLog {
    /// Offsets of all data records.
    pub fn data(&self) -> BTreeSet<i64> {
        [&self.committed, &self.aborted, &self.open].into_iter().flatten().copied().collect()
    }
}

/// What the brokers went through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Transactions that were committed and aborted, by the coordinator's log.
    pub commits: u64,
    pub aborts: u64,
    /// Of the aborted ones, those that the coordinator aborted: a successor came, or the time was over.
    /// The producer that had begun it is fenced.
    pub fencings: u64,
    /// How often a producer's epoch rose: with each fencing, and with each start of a successor.
    pub epochs: u64,
    /// Data records of output topics.
    pub committed_records: u64,
    pub aborted_records: u64,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { commits, aborts, fencings, epochs, committed_records, aborted_records } = self;
        write!(
            f,
            "{commits} transactions committed, {aborts} aborted, {fencings} of them by fencing, {epochs} new \
             epochs; {committed_records} records committed, {aborted_records} aborted"
        )
    }
}

/// Reads the logs of a topic's partitions.
///
/// # Panics
/// When a partition has no log in any of the folders.
pub fn read_topic(
    folders: &[PathBuf],
    topic: &str,
    partitions: i32,
) -> BTreeMap<i32, PartitionLog> {
    let places: Vec<PathBuf> =
        (0..partitions).map(|p| partition_folder(folders, topic, p)).collect();
    let mut parsers: BTreeMap<i32, Parser> =
        (0..partitions).map(|p| (p, Parser::default())).collect();
    let mut current = None;
    dump(&places, &["--deep-iteration"], |line| {
        if let Some(file) = line.strip_prefix("Dumping ") {
            let folder = Path::new(file).parent();
            current = places.iter().position(|place| Some(place.as_path()) == folder);
            return;
        }
        let partition = current.and_then(|at| i32::try_from(at).ok());
        if let Some(parser) = partition.and_then(|partition| parsers.get_mut(&partition)) {
            parser.line(line);
        }
    });
    parsers.into_iter().map(|(partition, parser)| (partition, parser.end())).collect()
}

/// Reads the transaction coordinator's log: ends of transactions, and rises of epochs, of the producers
/// whose transactional id begins so.
pub fn read_coordinator(folders: &[PathBuf], id_prefix: &str) -> Summary {
    const TOPIC: &str = "__transaction_state";
    let partitions = (0..).take_while(|p| find_partition(folders, TOPIC, *p).is_some());
    let places: Vec<PathBuf> = partitions.map(|p| partition_folder(folders, TOPIC, p)).collect();
    let (mut summary, mut epochs) = (Summary::default(), BTreeMap::new());
    if places.is_empty() {
        // Nobody has used transactions yet.
        return summary;
    }
    let mut ended: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    dump(&places, &["--transaction-log-decoder"], |line| {
        let Some((key, payload)) = line
            .split_once(" key: ")
            .and_then(|(_, rest)| rest.split_once(" payload: "))
            .and_then(|(key, payload)| Some((json(key)?, json(payload)?)))
        else {
            return;
        };
        let id = key.pointer("/data/transactionalId").and_then(Json::as_str);
        let Some(id) = id.filter(|id| id.starts_with(id_prefix)) else { return };
        let number = |name: &str| payload.get("data")?.get(name)?.as_i64();
        let number = |name: &str| number(name).unwrap_or(-1);
        let status = number("transactionStatus");
        let now = (number("producerId"), number("producerEpoch"), status == ONGOING);
        let before = epochs.insert(id.to_owned(), now);
        if let Some((producer, epoch, ongoing)) = before
            && (producer, epoch) != (now.0, now.1)
        {
            summary.epochs += 1;
            summary.fencings += u64::from(ongoing);
        }
        // The same end may be written again when a request is repeated.
        let end = (status, number("transactionStartTimestampMs"));
        if matches!(status, COMPLETE_COMMIT | COMPLETE_ABORT)
            && ended.insert(id.to_owned(), end) != Some(end)
        {
            match status {
                COMPLETE_COMMIT => summary.commits += 1,
                _ => summary.aborts += 1,
            }
        }
    });
    summary
}

fn json(text: &str) -> Option<Json> {
    serde_json::from_str(text).ok()
}

/// Follows one partition's log, batch by batch.
#[derive(Default)]
struct Parser {
    log: PartitionLog,
    batch: Batch,
    /// Undecided records by producer id.
    open: BTreeMap<i64, Vec<i64>>,
}

#[derive(Clone, Copy, Default)]
struct Batch {
    producer: i64,
    transactional: bool,
    control: bool,
}

impl Parser {
    fn line(&mut self, line: &str) {
        if line.starts_with("baseOffset: ") {
            self.batch = Batch {
                producer: field(line, "producerId").and_then(|id| id.parse().ok()).expect("an id"),
                transactional: field(line, "isTransactional") == Some("true"),
                control: field(line, "isControl") == Some("true"),
            };
            return;
        }
        let Some(offset) = line.strip_prefix("| offset: ") else { return };
        let offset = offset.split(' ').next().and_then(|at| at.parse().ok()).expect("an offset");
        let Batch { producer, transactional, control } = self.batch;
        if !control {
            match transactional {
                true => self.open.entry(producer).or_default().push(offset),
                false => _ = self.log.committed.insert(offset),
            }
            return;
        }
        let decided = self.open.remove(&producer).unwrap_or_default();
        match field(line, "endTxnMarker") {
            Some("COMMIT") => {
                self.log.commits += 1;
                self.log.committed.extend(decided);
            }
            Some("ABORT") => {
                self.log.aborts += 1;
                self.log.aborted.extend(decided);
            }
            other => panic!("a control record of an unknown kind: {other:?}"),
        }
    }

    fn end(mut self) -> PartitionLog {
        self.log.open.extend(self.open.into_values().flatten());
        self.log
    }
}

/// The word after `name: `.
fn field<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let (_, after) = line.split_once(&format!(" {name}: "))?;
    after.split(' ').next()
}

/// The replica of a partition that has the most: a broker that was down may not have caught up.
fn find_partition(folders: &[PathBuf], topic: &str, partition: i32) -> Option<PathBuf> {
    let places = folders.iter().map(|folder| folder.join(format!("{topic}-{partition}")));
    let size = |place: &PathBuf| -> u64 {
        segments(place)
            .iter()
            .filter_map(|file| fs::metadata(file).ok())
            .map(|file| file.len())
            .sum()
    };
    places.filter(|place| place.is_dir()).max_by_key(size)
}

fn partition_folder(folders: &[PathBuf], topic: &str, partition: i32) -> PathBuf {
    find_partition(folders, topic, partition)
        .unwrap_or_else(|| panic!("{topic}-{partition} is in none of the data folders"))
}

/// Files of a log, oldest first: their names are their first offsets, in twenty digits.
fn segments(place: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(place).expect("the folder of a partition");
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|file| file.extension().is_some_and(|extension| extension == "log"))
        .collect();
    files.sort();
    files
}

/// Runs Kafka's tool over all segments of these partitions. It shows no keys and no values of records,
/// except with a decoder.
fn dump(places: &[PathBuf], flags: &[&str], mut each: impl FnMut(&str)) {
    let files: Vec<String> =
        places.iter().flat_map(|place| segments(place)).map(|f| f.display().to_string()).collect();
    let libs = server::dependency("RADSTREAM_KAFKA_LIBS", ".deps/kafka/libs", "Apache Kafka");
    let mut tool = Command::new("java")
        .args(server::small_jvm("400m"))
        .args(["-cp", &format!("{}/*", libs.display())])
        .arg("org.apache.kafka.tools.DumpLogSegments")
        .args(flags)
        .args(["--files", &files.join(",")])
        .stdout(Stdio::piped())
        // Its logging complains that it is not configured.
        .stderr(Stdio::null())
        .spawn()
        .expect("java starts");
    let output = tool.stdout.take().expect("a pipe");
    let mut dumped = 0;
    for line in BufReader::new(output).lines() {
        let line = line.expect("the tool writes text");
        dumped += usize::from(line.starts_with("Dumping "));
        each(&line);
    }
    assert!(tool.wait().expect("the tool ends").success(), "Kafka's tool cannot read the logs");
    assert_eq!(dumped, files.len(), "every file is dumped");
}
