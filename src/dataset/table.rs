//! A manifest for people: tables as text.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use comfy_table::presets::UTF8_BORDERS_ONLY;
use comfy_table::{Cell, CellAlignment, ContentArrangement, Table};

use super::manifest::Manifest;
use super::tally::{Counts, Tally};
use crate::report::{FindingStatus, Observation};

/// Days that are shown one by one.
const DAYS: usize = 31;
/// Shown of a prompt's version.
const PROMPT: usize = 12;

/// All tables of a dataset.
pub fn render(manifest: &Manifest) -> String {
    let totals = &manifest.totals;
    let mut out = head(manifest);
    if totals.rows == 0 {
        return out;
    }
    push(&mut out, &labels(totals));
    push(&mut out, &counted("labels by", &totals.sources, totals.rows));
    push(&mut out, &teachers(totals));
    push(&mut out, &students(totals));
    push(&mut out, &counted("chosen because", &totals.reasons, totals.rows));
    push(&mut out, &days(manifest));
    out
}

fn head(manifest: &Manifest) -> String {
    let (totals, history) = (&manifest.totals, &manifest.history);
    let unusable: u64 = history.unusable.values().sum();
    let retention = match (&manifest.retention.keep_days, &manifest.retention.first_day) {
        (Some(days), Some(first)) => format!("{days} days, from {first} on"),
        _ => String::from("none, all days are kept"),
    };
    let mut out = String::new();
    let mut line = |name: &str, text: String| _ = writeln!(out, "{name:<10} {text}");
    line(
        "dataset",
        format!(
            "{}, snapshot {} of {}, from {}",
            manifest.dataset_id, manifest.snapshot, manifest.created_at, manifest.topic
        ),
    );
    line(
        "texts",
        format!(
            "{}, of {} samples ({} set aside as of the same text)",
            totals.rows, totals.seen, manifest.folded
        ),
    );
    line("reviews", format!("{} texts wait for a person", totals.needs_review));
    line("retention", retention);
    line(
        "read",
        format!(
            "{} records: {} samples, {} delete markers, {} withdrawals, {unusable} not usable; \
             {} offsets missed",
            history.records,
            history.samples,
            history.delete_markers,
            history.withdrawals,
            history.missed_offsets
        ),
    );
    line(
        "removed",
        format!(
            "{} samples retracted, {} withdrawn, {} came late, {} repeated, {} expired",
            history.retracted, history.withdrawn, history.late, history.repeated, history.expired
        ),
    );
    out
}

/// Observation by status; how many of the cells are people's.
fn labels(totals: &Tally) -> Table {
    let mut table = table(&[
        "observation",
        "positive",
        "uncertain",
        "negative",
        "not ment.",
        "positive %",
        "by people",
    ]);
    for observation in Observation::ALL {
        let cells = |status: FindingStatus| totals.cells(observation.name(), status.name());
        let statuses = totals.labels.get(observation.name());
        let people: u64 = statuses
            .iter()
            .flat_map(|statuses| statuses.values())
            .filter_map(|sources| sources.get("human"))
            .sum();
        let positive = cells(FindingStatus::Positive);
        let counts = [
            positive,
            cells(FindingStatus::Uncertain),
            cells(FindingStatus::Negative),
            cells(FindingStatus::NotMentioned),
        ];
        let all = counts.iter().sum();
        let mut row = vec![Cell::new(observation.title())];
        row.extend(counts.map(right));
        row.push(right(percent(positive, all)));
        row.push(right(people));
        table.add_row(row);
    }
    table
}

fn counted(title: &str, counts: &Counts, of: u64) -> Table {
    let mut table = table(&[title, "texts", "share"]);
    for (name, count) in counts {
        table.add_row([Cell::new(name), right(count), right(percent(*count, of))]);
    }
    table
}

fn teachers(totals: &Tally) -> Table {
    let mut table = table(&["teacher", "model", "prompt", "texts"]);
    for (provider, models) in &totals.teachers {
        for (model, prompts) in models {
            for (prompt, count) in prompts {
                let prompt: String = prompt.chars().take(PROMPT).collect();
                let names = [provider.as_str(), model.as_str(), prompt.as_str()];
                table.add_row(names.map(Cell::new).into_iter().chain([right(count)]));
            }
        }
    }
    table
}

fn students(totals: &Tally) -> Table {
    let mut table = table(&["student", "version", "texts"]);
    for (name, versions) in &totals.students {
        for (version, count) in versions {
            table.add_row([Cell::new(name), Cell::new(version), right(count)]);
        }
    }
    table
}

fn days(manifest: &Manifest) -> Table {
    let mut days: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for file in manifest.samples() {
        let day = days.entry(&file.day).or_default();
        day.0 += file.tally.rows;
        day.1 += file.tally.needs_review;
    }
    let mut table = table(&["day", "texts", "to review"]);
    let earlier = days.len().saturating_sub(DAYS);
    if earlier > 0 {
        let sum = |pick: fn(&(u64, u64)) -> u64| days.values().take(earlier).map(pick).sum::<u64>();
        let name = format!("{earlier} days before");
        table.add_row([Cell::new(name), right(sum(|day| day.0)), right(sum(|day| day.1))]);
    }
    for (day, (texts, reviews)) in days.into_iter().skip(earlier) {
        table.add_row([Cell::new(day), right(texts), right(reviews)]);
    }
    table
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(UTF8_BORDERS_ONLY).set_content_arrangement(ContentArrangement::Disabled);
    let cells = header.iter().enumerate().map(|(place, name)| {
        let cell = Cell::new(name);
        if place == 0 { cell } else { cell.set_alignment(CellAlignment::Right) }
    });
    table.set_header(cells);
    table
}

fn right(value: impl ToString) -> Cell {
    Cell::new(value).set_alignment(CellAlignment::Right)
}

#[expect(clippy::cast_precision_loss, reason = "counts of texts")]
fn percent(part: u64, of: u64) -> String {
    if of == 0 { String::new() } else { format!("{:.1} %", part as f64 / of as f64 * 100.0) }
}

fn push(out: &mut String, table: &Table) {
    if table.row_count() > 0 {
        out.push_str(&table.to_string());
        out.push('\n');
    }
}
