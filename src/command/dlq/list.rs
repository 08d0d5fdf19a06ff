//! `radstream dlq list`: how many dead letters of what kind.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::{DlqError, Format, PATIENCE, SelectionArgs, partitions, scan, table, write_json};
use crate::broker::admin::Cluster;
use crate::command::exit;
use crate::command::explain::time;
use crate::config::Settings;
use crate::dead_letters::catalogue::{Catalogue, Letter};
use crate::dead_letters::meaning::meaning;
use crate::dead_letters::tally::{Count, Tally};

/// Arguments of `radstream dlq list`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  radstream dlq list --config radstream.toml
  radstream dlq list --config radstream.toml --class charset --since 2026-10-30
  radstream dlq list --config radstream.toml --letters
  radstream dlq list --config radstream.toml --format json | jq .by_class

It reads the dead-letter topic up to its end, joins no group and commits nothing. No report text, key
or sender's header is shown. Times are those of the failure.

Exit codes:
  0 listed   64 usage   69 no broker answers   77 not authorised   78 configuration, or no such topic")]
pub struct ListArgs {
    /// Configuration file. Without it: defaults and the environment.
    #[arg(long, short, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Which letters.
    #[command(flatten)]
    pub selection: SelectionArgs,
    /// List each letter, too.
    #[arg(long)]
    pub letters: bool,
    /// How to write the answer.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
}

#[derive(Serialize)]
struct Listing<'a> {
    topic: &'a str,
    #[serde(flatten)]
    tally: &'a Tally,
    /// Records of the topic that are not radstream's.
    foreign: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    letters: Option<Vec<Line<'a>>>,
}

/// One letter.
#[derive(Serialize)]
struct Line<'a> {
    letter: String,
    failed_at: Option<String>,
    class: &'a str,
    stage: &'a str,
    location: &'a str,
    came_from: Option<String>,
    bytes: u64,
    replays: u32,
    is_cut: bool,
    is_replayed: bool,
}

impl<'a> Line<'a> {
    fn of(letter: &'a Letter) -> Self {
        Self {
            letter: letter.place.to_string(),
            failed_at: letter.failed_at_ms.and_then(time),
            class: &letter.class,
            stage: &letter.stage,
            location: &letter.location,
            came_from: letter.origin().map(|origin| origin.to_string()),
            bytes: letter.bytes,
            replays: letter.replays,
            is_cut: letter.is_cut,
            is_replayed: letter.is_replayed,
        }
    }
}

pub(super) fn list(
    args: &ListArgs,
    settings: &Settings,
    stdout: &mut dyn Write,
) -> Result<u8, DlqError> {
    let cluster = Cluster::connect(settings, PATIENCE)?;
    let partitions = partitions(&cluster, settings)?;
    drop(cluster);
    let catalogue = scan(settings, partitions, Catalogue::new(args.letters))?;
    let selection = args.selection.selection(&[]);
    let selected = || catalogue.letters().filter(|letter| selection.takes(letter));
    let tally = Tally::of(selected());
    let topic = settings.topics.dead_letters.as_str();
    if args.format == Format::Json {
        let letters = args.letters.then(|| selected().map(Line::of).collect());
        let foreign = catalogue.foreign();
        write_json(&Listing { topic, tally: &tally, foreign, letters }, stdout)?;
        return Ok(exit::OK);
    }
    let Count { letters, replayed, .. } = tally.total;
    writeln!(stdout, "{topic}: {letters} dead letters, {replayed} of them replayed")?;
    if catalogue.foreign() > 0 {
        writeln!(stdout, "and {} records that are not radstream's", catalogue.foreign())?;
    }
    if letters > 0 {
        let words = |class: &str| {
            let letter = selected().find(|letter| &*letter.class == class);
            let meaning = letter.and_then(|letter| meaning(&letter.stage, class));
            meaning.map_or("", |meaning| meaning.words).to_owned()
        };
        counts("class", &tally.by_class, words, stdout)?;
        counts("stage", &tally.by_stage, |_| String::new(), stdout)?;
        counts("day (UTC)", &tally.by_day, |_| String::new(), stdout)?;
    }
    if args.letters && letters > 0 {
        let mut lines = table(&[
            "letter",
            "failed at",
            "stage",
            "class",
            "place",
            "came from",
            "bytes",
            "replays",
            "replayed",
        ]);
        for letter in selected().map(Line::of) {
            let bytes = if letter.is_cut { "cut".to_owned() } else { letter.bytes.to_string() };
            lines.add_row([
                letter.letter,
                letter.failed_at.unwrap_or_default(),
                letter.stage.to_owned(),
                letter.class.to_owned(),
                letter.location.to_owned(),
                letter.came_from.unwrap_or_default(),
                bytes,
                letter.replays.to_string(),
                if letter.is_replayed { "yes" } else { "" }.to_owned(),
            ]);
        }
        writeln!(stdout, "{lines}")?;
    }
    stdout.flush()?;
    Ok(exit::OK)
}

fn counts(
    of: &str,
    counts: &BTreeMap<String, Count>,
    words: impl Fn(&str) -> String,
    out: &mut dyn Write,
) -> Result<(), DlqError> {
    let mut lines = table(&[of, "letters", "replayed", "bytes", ""]);
    for (name, count) in counts {
        let Count { letters, replayed, bytes } = count;
        lines.add_row([
            name.clone(),
            letters.to_string(),
            replayed.to_string(),
            bytes.to_string(),
            words(name),
        ]);
    }
    writeln!(out, "{lines}")?;
    Ok(())
}
