//! `radstream dlq replay`: the original records, once more, each exactly once.
//!
//! One transaction holds records on their way back and, for each, a marker behind its letter. Taking the
//! transactional id comes first: it aborts what a killed run left open. Then the dead-letter topic is
//! read up to its end; a letter with a marker is not replayed again. So whatever a run was killed at,
//! the next one goes on where it stopped.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;

use super::summary::Summary;
use super::{DlqError, Format, PATIENCE, SelectionArgs, partitions, progress, scan, write_json};
use crate::broker::Record;
use crate::broker::admin::Cluster;
use crate::broker::auth::Authenticator;
use crate::broker::delivery::OutputRecord;
use crate::broker::span::Span;
use crate::broker::writer::Writer;
use crate::command::exit;
use crate::config::{Settings, kafka};
use crate::dead_letters::Place;
use crate::dead_letters::catalogue::Catalogue;
use crate::dead_letters::decision::{ReplayPolicy, Target, decide};
use crate::pipeline::unix_ms;
use crate::publish::{ReplayMark, replayed_headers};

/// Arguments of `radstream dlq replay`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  radstream dlq replay --config radstream.toml --class unknown_format --dry-run
  radstream dlq replay --config radstream.toml --class unknown_format --limit 10
  radstream dlq replay --config radstream.toml --class unknown_format --rate 50
  radstream dlq replay --config radstream.toml --letter 3:81724 --letter 0:12
  radstream dlq replay --config radstream.toml --since 2026-10-30 --to radiology.reports.mended

Key, value, headers and timestamp are written as they came, to the topic and partition that each record
came from, without the headers of the failure; radstream.replay.count is one higher. A letter that was
replayed stays in the dead-letter topic, and a marker behind it says so: it is never replayed again.
Kill it whenever you like and run it again: nothing is lost or doubled.

Mend the cause first: what fails again comes back as another letter. A record with several reports is
replayed whole. Run stage label meanwhile: old records are the first that retention deletes.

Exit codes:
  0 done   64 usage   65 done, but some of the selected letters cannot be replayed   66 no topic --to
  69 no broker answers   70 another replay has taken over   75 interrupted, run it again
  77 not authorised   78 configuration, or no such topic")]
pub struct ReplayArgs {
    /// Configuration file. Without it: defaults and the environment.
    #[arg(long, short, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Which letters. Without any: all that were not replayed yet.
    #[command(flatten)]
    pub selection: SelectionArgs,
    /// Only this letter of the dead-letter topic; may be given several times.
    #[arg(long = "letter", value_name = "PARTITION:OFFSET")]
    pub letters: Vec<Place>,
    /// Write to this topic instead, where the key decides the partition.
    #[arg(long, value_name = "TOPIC")]
    pub to: Option<String>,
    /// Letters a second, at most.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub rate: Option<u32>,
    /// Letters of this run, at most.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: Option<u64>,
    /// Say what would be done, and do nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// A record that was replayed so often stays.
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub max_replays: u32,
    /// How to write the summary.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
}

/// Of each partition of the dead-letter topic: offset and target, in order.
type Plan = BTreeMap<i32, Vec<(i64, Target)>>;

pub(super) fn replay(
    args: &ReplayArgs,
    settings: &Settings,
    stdout: &mut dyn Write,
) -> Result<u8, DlqError> {
    let cluster = Cluster::connect(settings, PATIENCE)?;
    let partitions = partitions(&cluster, settings)?;
    let policy = policy(args, settings, &cluster)?;
    drop(cluster);
    // Before the scan: no earlier run can commit anything afterwards.
    let writer = if args.dry_run { None } else { Some(writer(settings)?) };
    let catalogue = scan(settings, partitions, Catalogue::new(false))?;
    let (plan, mut summary) = plan(args, &catalogue, &policy);
    drop(catalogue);
    summary.topic.clone_from(&settings.topics.dead_letters);
    match writer {
        Some(writer) => Copying::new(args, settings, &writer).copy(&plan, &mut summary)?,
        None => {
            for (_, target) in plan.values().flatten() {
                *summary.replayed.entry(target.topic.to_string()).or_default() += 1;
            }
        }
    }
    match args.format {
        Format::Json => write_json(&summary, stdout)?,
        Format::Table => summary.write(stdout)?,
    }
    Ok(if summary.is_partial() { exit::DATA } else { exit::OK })
}

fn policy(
    args: &ReplayArgs,
    settings: &Settings,
    cluster: &Cluster,
) -> Result<ReplayPolicy, DlqError> {
    let topics = &settings.topics;
    if let Some(to) = &args.to {
        if *to == topics.dead_letters {
            return Err(DlqError::IntoItself(to.clone()));
        }
        cluster.topic(to)?.ok_or_else(|| DlqError::NoTarget(to.clone()))?;
    }
    let mut inputs = BTreeMap::new();
    // With --to nothing goes back, so no right to see the inputs is needed.
    let named = topics.reports.iter().chain([&topics.escalations, &topics.retries]);
    for name in named.filter(|name| args.to.is_none() && !name.is_empty()) {
        if let Some(state) = cluster.topic(name)? {
            inputs.insert(Arc::from(name.as_str()), state.partitions);
        }
    }
    Ok(ReplayPolicy {
        inputs,
        to: args.to.as_deref().map(Arc::from),
        max_replays: args.max_replays,
        max_bytes: settings.publish.max_message_bytes as u64,
    })
}

fn writer(settings: &Settings) -> Result<Writer, DlqError> {
    let config = kafka::producer_properties(settings, true).into_iter().collect();
    let id = format!("{}.dlq-replay", settings.kafka.group);
    let timeout = Duration::from_millis(settings.delivery.transaction_timeout_ms);
    Writer::start(config, &id, timeout, Authenticator::from_settings(settings))
        .map_err(|source| DlqError::Write { source, done: 0 })
}

/// Which letters are replayed to where, and what is to be said of the others.
fn plan(args: &ReplayArgs, catalogue: &Catalogue, policy: &ReplayPolicy) -> (Plan, Summary) {
    let mut summary = Summary { dry_run: args.dry_run, ..Summary::default() };
    let mut plan = Plan::new();
    let selection = args.selection.selection(&args.letters);
    let mut room = args.limit.unwrap_or(u64::MAX);
    for letter in catalogue.letters().filter(|letter| selection.takes(letter)) {
        summary.selected += 1;
        if letter.is_replayed {
            summary.replayed_before += 1;
            continue;
        }
        match decide(letter, policy) {
            Err(reason) => summary.refuse(letter, reason),
            Ok(_) if room == 0 => summary.left += 1,
            Ok(target) => {
                room -= 1;
                let Place { partition, offset } = letter.place;
                plan.entry(partition).or_default().push((offset, target));
            }
        }
    }
    let asked: BTreeSet<Place> = args.letters.iter().copied().collect();
    for place in asked.into_iter().filter(|place| catalogue.at(*place).is_none()) {
        summary.missing(place);
    }
    (plan, summary)
}

/// Letters on their way.
struct Copying<'a> {
    settings: &'a Settings,
    writer: &'a Writer,
    rate: Option<u32>,
    records: usize,
    bytes: usize,
    started: Instant,
    done: u64,
}

impl<'a> Copying<'a> {
    fn new(args: &ReplayArgs, settings: &'a Settings, writer: &'a Writer) -> Self {
        let delivery = &settings.delivery;
        Self {
            settings,
            writer,
            rate: args.rate,
            records: records_at_once(args.rate, delivery.commit_records),
            bytes: delivery.commit_bytes,
            started: Instant::now(),
            done: 0,
        }
    }

    /// Reads the planned letters once more and writes them, a transaction at a time.
    fn copy(&mut self, plan: &Plan, summary: &mut Summary) -> Result<(), DlqError> {
        let planned: usize = plan.values().map(Vec::len).sum();
        let mut left = planned;
        if left == 0 {
            return Ok(());
        }
        let next: BTreeMap<i32, i64> = plan
            .iter()
            .filter_map(|(partition, letters)| Some((*partition, letters.first()?.0)))
            .collect();
        let (group, topic) = (&self.settings.kafka.group, &self.settings.topics.dead_letters);
        let mut span = Span::open_at(self.settings, group, topic, &next, PATIENCE)?;
        let bar = progress("replaying", planned as u64);
        let (mut batch, mut waiting) = (Vec::new(), 0);
        while left > 0 {
            let Some(record) = span.read()? else { break };
            let Some(target) = target_of(plan, &record) else { continue };
            left -= 1;
            waiting += record.wire_bytes();
            batch.push((record, target));
            if batch.len() >= self.records || waiting >= self.bytes {
                self.write(&mut batch, summary)?;
                bar.set_position(self.done);
                waiting = 0;
            }
        }
        self.write(&mut batch, summary)?;
        bar.finish_and_clear();
        summary.gone = left as u64;
        Ok(())
    }

    /// One transaction: the records, and a marker of each.
    fn write(
        &mut self,
        batch: &mut Vec<(Record, &Target)>,
        summary: &mut Summary,
    ) -> Result<(), DlqError> {
        self.wait();
        let dead_letters = self.settings.topics.dead_letters.as_str();
        let now = unix_ms();
        let made: Vec<_> = batch
            .iter()
            .map(|(record, target)| {
                let partition = record.ticket.partition.partition;
                let mark = ReplayMark { partition, offset: record.ticket.offset };
                (replayed_headers(&record.headers), mark.record(&target.topic, now))
            })
            .collect();
        let mut outgoing = Vec::with_capacity(2 * batch.len());
        for ((record, target), (headers, mark)) in batch.iter().zip(&made) {
            outgoing.push(OutputRecord {
                topic: &target.topic,
                partition: target.partition,
                key: record.key.as_deref(),
                payload: record.payload.as_deref(),
                headers,
                timestamp_ms: record.timestamp_ms,
            });
            outgoing.push(OutputRecord {
                topic: dead_letters,
                partition: mark.partition,
                key: None,
                payload: None,
                headers: &mark.headers,
                timestamp_ms: None,
            });
        }
        if !outgoing.is_empty() {
            let done = self.done;
            self.writer.write(&outgoing).map_err(|source| DlqError::Write { source, done })?;
        }
        for (_, target) in batch.drain(..) {
            self.done += 1;
            *summary.replayed.entry(target.topic.to_string()).or_default() += 1;
        }
        Ok(())
    }

    /// Between transactions, so that none is held open.
    fn wait(&self) {
        let Some(rate) = self.rate else { return };
        let due = self.started + due_after(self.done, rate);
        loop {
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            std::thread::park_timeout(left);
        }
    }
}

fn target_of<'p>(plan: &'p Plan, record: &Record) -> Option<&'p Target> {
    let letters = plan.get(&record.ticket.partition.partition)?;
    let index = letters.binary_search_by_key(&record.ticket.offset, |(offset, _)| *offset).ok()?;
    letters.get(index).map(|(_, target)| target)
}

/// Letters in one transaction: with a rate those of half a second, so that it is even.
fn records_at_once(rate: Option<u32>, most: usize) -> usize {
    let even = rate.map_or(most, |rate| usize::try_from(rate.div_ceil(2)).unwrap_or(most));
    even.clamp(1, most.max(1))
}

/// When the next letter may go after `done` of them.
fn due_after(done: u64, rate: u32) -> Duration {
    Duration::from_millis(done.saturating_mul(1000) / u64::from(rate.max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_kept_by_small_transactions_and_waits_between_them() {
        assert_eq!(records_at_once(None, 500), 500);
        for (rate, records) in [(1, 1), (2, 1), (50, 25), (51, 26), (10_000, 500)] {
            assert_eq!(records_at_once(Some(rate), 500), records);
        }
        assert_eq!(due_after(0, 50), Duration::ZERO);
        assert_eq!(due_after(25, 50), Duration::from_millis(500));
        assert_eq!(due_after(3, 2), Duration::from_millis(1500));
    }
}
