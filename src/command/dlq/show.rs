//! `radstream dlq show`: one dead letter.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::{DlqError, Format, PATIENCE, partitions, write_json};
use crate::broker::Record;
use crate::broker::admin::Cluster;
use crate::broker::admin::record::AtOffset;
use crate::broker::span::Span;
use crate::command::assemble::{decode_options, extract_policy};
use crate::command::exit;
use crate::command::explain::{Explanation, NO_RECORD, outside, time, write_page};
use crate::config::Settings;
use crate::dead_letters::Place;
use crate::dead_letters::catalogue::Catalogue;
use crate::dead_letters::meaning::meaning;
use crate::publish::{DeadLetterRecord, LetterHead, hex, replayed_headers};

/// Arguments of `radstream dlq show`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  radstream dlq show --config radstream.toml 3:81724
  radstream dlq show --config radstream.toml 3:81724 --raw > message.hl7      # PHI

PARTITION:OFFSET is a place in the dead-letter topic, as `radstream dlq list --letters` shows it. The
record is read once more with this configuration, so that you see whether a replay would help.

Without --raw there is no report text, no key and no sender's header in the output. With --raw the
value is written to standard output as it came, byte for byte: it is a whole message about a patient.
Mind where it goes.

Exit codes:
  0 shown   64 usage   66 there is no letter, or not its value (--raw)   69 no broker answers
  77 not authorised   78 configuration, or no such topic")]
pub struct ShowArgs {
    /// Configuration file. Without it: defaults and the environment.
    #[arg(long, short, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The letter.
    #[arg(value_name = "PARTITION:OFFSET")]
    pub letter: Place,
    /// Write the value itself, byte for byte: patient data (PHI).
    #[arg(long)]
    pub raw: bool,
    /// How to write the answer.
    #[arg(long, value_enum, default_value_t = Format::Table, conflicts_with = "raw")]
    pub format: Format,
}

/// A letter without what tells of the patient.
#[derive(Serialize)]
struct Shown {
    letter: String,
    stage: String,
    class: String,
    location: String,
    meaning: &'static str,
    remedy: &'static str,
    failed_at: Option<String>,
    first_failed_at: Option<String>,
    attempt: u32,
    replays: u32,
    is_replayed: bool,
    version: String,
    came_from: Option<String>,
    part: u32,
    omitted: Option<String>,
    key_bytes: Option<usize>,
    sender_headers: usize,
    value_bytes: Option<usize>,
    value_sha256: Option<String>,
    /// As our detector sees it: `gzip, then hl7_v2`.
    format: Option<String>,
    /// How it is read with this configuration; `None` where it is not one that decode reads.
    now: Option<Explanation>,
    /// Why it was not read again.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_read: Option<String>,
}

pub(super) fn show(
    args: &ShowArgs,
    settings: &Settings,
    stdout: &mut dyn Write,
) -> Result<u8, DlqError> {
    let (record, head) = letter(settings, args.letter)?;
    let origin = head.origin.as_ref().map(ToString::to_string);
    if args.raw {
        if head.omitted.is_some() {
            let origin = origin.unwrap_or_else(|| "an unknown place".to_owned());
            return Err(DlqError::ValueOmitted { place: args.letter, origin });
        }
        stdout.write_all(record.payload.as_deref().unwrap_or_default())?;
        stdout.flush()?;
        return Ok(exit::OK);
    }
    let is_replayed = is_replayed(settings, args.letter)?;
    let (now, not_read) = read_again(settings, &record, &head);
    let meaning = meaning(&head.stage, &head.class);
    // What a replay gives back, but for the three that tell of failures.
    let sender_headers = replayed_headers(&record.headers)
        .iter()
        .filter(|(name, _)| !name.starts_with("radstream."))
        .count();
    let shown = Shown {
        letter: args.letter.to_string(),
        meaning: meaning.map_or("a class that this version does not know", |m| m.words),
        remedy: meaning.map_or("", |m| m.remedy),
        failed_at: head.failed_at_ms.and_then(time),
        first_failed_at: head.first_failed_at_ms.and_then(time),
        attempt: head.attempt,
        replays: head.replays,
        is_replayed,
        version: head.version,
        came_from: origin,
        part: head.part,
        omitted: head.omitted,
        key_bytes: record.key.as_ref().map(Vec::len),
        sender_headers,
        value_bytes: record.payload.as_ref().map(Vec::len),
        value_sha256: record.payload.as_ref().map(|value| hex(&Sha256::digest(value))),
        format: now.as_ref().map(Explanation::format),
        now,
        not_read,
        stage: head.stage,
        class: head.class,
        location: head.location,
    };
    match args.format {
        Format::Json => write_json(&shown, stdout)?,
        Format::Table => page(&shown, stdout)?,
    }
    Ok(exit::OK)
}

fn letter(settings: &Settings, place: Place) -> Result<(Box<Record>, LetterHead), DlqError> {
    let topic = &settings.topics.dead_letters;
    let cluster = Cluster::connect(settings, PATIENCE)?;
    let partitions = partitions(&cluster, settings)?;
    let none = |there: String| DlqError::NoLetter { topic: topic.clone(), place, there };
    if usize::try_from(place.partition).is_ok_and(|number| number >= partitions) {
        let last = partitions.saturating_sub(1);
        return Err(none(format!("the topic has the partitions 0 to {last}")));
    }
    let record = match cluster.record(topic, place.partition, place.offset)? {
        AtOffset::Record(record) => record,
        AtOffset::NoRecord => return Err(none(NO_RECORD.to_owned())),
        AtOffset::Outside { first, end } => {
            return Err(none(format!("of the partition, {}", outside(first, end))));
        }
    };
    match DeadLetterRecord::read(&record.headers, record.payload.is_some()) {
        DeadLetterRecord::Letter(head) => Ok((record, *head)),
        DeadLetterRecord::Replayed(mark) => {
            let letter = Place { partition: mark.partition, offset: mark.offset };
            Err(none(format!("it is the marker that {letter} was replayed")))
        }
        DeadLetterRecord::Foreign => Err(none("the record is not radstream's".to_owned())),
    }
}

/// Its marker stands behind it, if there is one.
fn is_replayed(settings: &Settings, place: Place) -> Result<bool, DlqError> {
    let (group, topic) = (&settings.kafka.group, &settings.topics.dead_letters);
    let next = BTreeMap::from([(place.partition, place.offset)]);
    let mut span = Span::open_at(settings, group, topic, &next, PATIENCE)?;
    let mut catalogue = Catalogue::new(false);
    while let Some(record) = span.read()? {
        catalogue.take(&record);
    }
    Ok(catalogue.at(place).is_some_and(|letter| letter.is_replayed))
}

/// Reads the record as stage label would now; or says why not.
fn read_again(
    settings: &Settings,
    record: &Record,
    head: &LetterHead,
) -> (Option<Explanation>, Option<String>) {
    if head.omitted.is_some() {
        return (None, Some("the letter has not all of the record".to_owned()));
    }
    if head.stage == "teach" {
        return (None, Some("it is a record of stage teach".to_owned()));
    }
    let value = record.payload.as_deref().unwrap_or_default();
    let read = || -> Result<Explanation, String> {
        let (options, schemas) = decode_options(settings).map_err(|error| error.to_string())?;
        if let Some(schemas) = schemas {
            schemas.ask_once(value).map_err(|error| error.to_string())?;
        }
        let place = &record.ticket.partition;
        let name = format!("{}/{}/{}", place.topic, place.partition, record.ticket.offset);
        Ok(Explanation::of(&name, value, &options, &extract_policy(settings), false))
    };
    match read() {
        Ok(explanation) => (Some(explanation), None),
        Err(problem) => (None, Some(problem)),
    }
}

fn page(shown: &Shown, out: &mut dyn Write) -> Result<(), DlqError> {
    let mut line = |name: &str, text: &str| -> std::io::Result<()> {
        if text.is_empty() { Ok(()) } else { writeln!(out, "{name:<13} {text}") }
    };
    let or = |text: &Option<String>, other: &str| text.clone().unwrap_or_else(|| other.to_owned());
    let replayed = if shown.is_replayed { ", replayed" } else { "" };
    line("letter", &format!("{}{replayed}", shown.letter))?;
    line("refused by", &shown.stage)?;
    line("class", &format!("{}: {}", shown.class, shown.meaning))?;
    line("mended by", shown.remedy)?;
    line("place", &shown.location)?;
    line("came from", &or(&shown.came_from, "it does not say"))?;
    line("failed at", &or(&shown.failed_at, "it does not say"))?;
    if shown.first_failed_at != shown.failed_at {
        line("first at", &or(&shown.first_failed_at, ""))?;
    }
    line("attempt", &format!("{}, replayed {} times before", shown.attempt, shown.replays))?;
    line("radstream", &shown.version)?;
    let key = shown.key_bytes.map_or("none".to_owned(), |bytes| format!("{bytes} bytes"));
    line("key", &format!("{key}, not shown"))?;
    line("headers", &format!("{} of the sender, not shown", shown.sender_headers))?;
    match (&shown.omitted, shown.value_bytes, &shown.value_sha256) {
        (Some(omitted), ..) => {
            let origin = or(&shown.came_from, "an unknown place");
            line("value", &format!("left out with {omitted}: too large. The whole is {origin}"))?;
        }
        (None, Some(bytes), Some(sha256)) => {
            line("value", &format!("{bytes} bytes, not shown (--raw writes it)"))?;
            line("sha256", sha256)?;
        }
        _ => line("value", "none (a tombstone)")?,
    }
    line("format", &or(&shown.format, ""))?;
    if let Some(problem) = &shown.not_read {
        line("read again", &format!("no: {problem}"))?;
    }
    if let Some(now) = &shown.now {
        writeln!(out)?;
        writeln!(out, "Read again with this configuration:")?;
        write_page(now, out)?;
    }
    out.flush()?;
    Ok(())
}
