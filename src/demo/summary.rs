//! The table at the end of a demo. Pure: numbers in, text out.

use std::collections::BTreeMap;
use std::time::Duration;

use comfy_table::presets::UTF8_BORDERS_ONLY;
use comfy_table::{Attribute, Cell, CellAlignment, Color, ContentArrangement, Table};

use crate::report::{OBSERVATIONS, Observation, STATUSES};

/// Characters of the longest bar.
const BAR: u64 = 24;

/// End-to-end latency, milliseconds, from fetch to commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latency {
    /// Median.
    pub p50: u64,
    /// 90th percentile.
    pub p90: u64,
    /// 99th percentile.
    pub p99: u64,
    /// Slowest.
    pub max: u64,
}

/// What a demo did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DemoSummary {
    /// From the first message to the last commit.
    pub elapsed: Duration,
    /// Messages consumed.
    pub messages: u64,
    /// Reports labelled a second.
    pub reports_per_second: f64,
    /// Reports by outcome (`labelled`, `skipped_not_chest`, `dead_letter`, ...).
    pub outcomes: BTreeMap<String, u64>,
    /// Labelled cells: rows as [`Observation::ALL`], columns as
    /// [`FindingStatus::ALL`](crate::report::FindingStatus::ALL).
    pub cells: [[u64; STATUSES]; OBSERVATIONS],
    /// Reports with No Finding.
    pub no_finding: u64,
    /// Reports escalated to the teacher.
    pub escalated: u64,
    /// Why, by reason.
    pub escalation_reasons: BTreeMap<String, u64>,
    /// Dead letters by class.
    pub dead_letters: BTreeMap<String, u64>,
    /// How long a message took.
    pub latency: Latency,
    /// Who labelled, in one line.
    pub model: String,
    /// How the second opinions ended, in one line; empty without a teacher.
    pub teacher: String,
    /// Things to know, one line each.
    pub notes: Vec<String>,
}

impl DemoSummary {
    /// Renders for a terminal of `width` columns (at least 60), with ANSI colours if `colour`.
    pub fn render(&self, width: u16, colour: bool) -> String {
        let page = Page { width: width.max(60), colour };
        let mut out = String::new();
        out.push_str(&self.headline(page));
        out.push('\n');
        out.push_str(&self.findings(page));
        out.push_str("\n\n");
        out.push_str(&self.outcomes(page));
        out.push('\n');
        for note in &self.notes {
            out.push_str("\nnote: ");
            out.push_str(note);
        }
        if !self.notes.is_empty() {
            out.push('\n');
        }
        out
    }

    fn headline(&self, page: Page) -> String {
        let labelled = self.outcomes.get("labelled").copied().unwrap_or(0);
        let latency = self.latency;
        let mut out = page.strong(&format!(
            "{} messages in {}, {} reports labelled, {} reports/s",
            grouped(self.messages),
            seconds(self.elapsed),
            grouped(labelled),
            grouped(rounded(self.reports_per_second)),
        ));
        out.push_str(&format!(
            "\nlatency  p50 {}   p90 {}   p99 {}   max {}\n",
            millis(latency.p50),
            millis(latency.p90),
            millis(latency.p99),
            millis(latency.max)
        ));
        if !self.model.is_empty() {
            out.push_str(&format!("model    {}\n", self.model));
        }
        if !self.teacher.is_empty() {
            out.push_str(&format!("teacher  {}\n", self.teacher));
        }
        out
    }

    fn findings(&self, page: Page) -> String {
        let mut table =
            page.table(&["finding", "present", "uncertain", "absent", "█ present  ░ uncertain"]);
        let present = |row: &[u64; STATUSES]| {
            let [_, positive, _, uncertain] = row;
            positive + uncertain
        };
        let most = self.cells.iter().map(present).max().unwrap_or(0);
        for (observation, row) in Observation::ALL.iter().zip(&self.cells) {
            let [_, positive, negative, uncertain] = *row;
            table.add_row(vec![
                Cell::new(observation.title()),
                page.number(positive, Color::Red),
                page.number(uncertain, Color::Yellow),
                page.number(negative, Color::Green),
                Cell::new(bar(positive, uncertain, most)),
            ]);
        }
        table.add_row(vec![
            page.bold("No Finding"),
            page.number(self.no_finding, Color::Green),
            Cell::new(""),
            Cell::new(""),
            Cell::new("nothing present or uncertain"),
        ]);
        table.to_string()
    }

    fn outcomes(&self, page: Page) -> String {
        let mut table = page.table(&["what became of it", "count", "why"]);
        let mut rows: Vec<(&String, &u64)> = self.outcomes.iter().collect();
        rows.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
        for (name, &count) in rows {
            let dead = name == "dead_letter";
            let why = if dead { listed(&self.dead_letters) } else { meaning(name).to_owned() };
            let colour = if dead { Color::Red } else { Color::Reset };
            table.add_row(vec![
                Cell::new(name.replace('_', " ")),
                page.number(count, colour),
                Cell::new(why),
            ]);
        }
        table.add_row(vec![
            Cell::new("escalated, of the labelled"),
            page.number(self.escalated, Color::Yellow),
            Cell::new(listed(&self.escalation_reasons)),
        ]);
        table.to_string()
    }
}

/// What an outcome means, for someone who sees it for the first time.
fn meaning(outcome: &str) -> &'static str {
    match outcome {
        "labelled" => "findings published",
        "skipped_not_chest" => "another exam than a chest radiograph",
        "skipped_no_text" => "no text, or only a placeholder",
        "skipped_non_report" => "laboratory, admission and other messages",
        "skipped_test" => "marked as test by its sender",
        "skipped_language" => "not English",
        "needs_fetch" => "only a reference to a report",
        "retracted" => "earlier findings withdrawn",
        "promoted" => "preliminary became final, text not sent again",
        _ => "",
    }
}

#[derive(Clone, Copy)]
struct Page {
    width: u16,
    colour: bool,
}

impl Page {
    fn table(self, headings: &[&str]) -> Table {
        let mut table = Table::new();
        table.load_preset(UTF8_BORDERS_ONLY);
        table.set_content_arrangement(ContentArrangement::Dynamic);
        table.set_width(self.width);
        if self.colour {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        table.set_header(headings.iter().map(|heading| {
            let numbers = matches!(*heading, "present" | "uncertain" | "absent" | "count");
            let cell = self.bold(heading);
            if numbers { cell.set_alignment(CellAlignment::Right) } else { cell }
        }));
        table
    }

    fn bold(self, text: &str) -> Cell {
        let cell = Cell::new(text);
        if self.colour { cell.add_attribute(Attribute::Bold) } else { cell }
    }

    fn number(self, count: u64, colour: Color) -> Cell {
        let text = if count == 0 { "·".to_owned() } else { grouped(count) };
        let cell = Cell::new(text).set_alignment(CellAlignment::Right);
        if self.colour && count > 0 { cell.fg(colour) } else { cell }
    }

    fn strong(self, text: &str) -> String {
        if self.colour { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// Present as full marks, uncertain as light ones; as long as the share of the largest row.
fn bar(positive: u64, uncertain: u64, most: u64) -> String {
    let marks = |count: u64| {
        // At least one mark for something, none for nothing.
        let marks = (count * BAR + most / 2).checked_div(most).unwrap_or(0);
        usize::try_from(marks.max(u64::from(count > 0))).unwrap_or(0)
    };
    format!("{}{}", "█".repeat(marks(positive)), "░".repeat(marks(uncertain)))
}

/// `syntax 4, empty 1`, most first.
fn listed(counts: &BTreeMap<String, u64>) -> String {
    let mut pairs: Vec<(&String, &u64)> = counts.iter().collect();
    pairs.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
    let each = pairs
        .iter()
        .map(|(name, count)| format!("{} {}", name.replace('_', " "), grouped(**count)));
    each.collect::<Vec<_>>().join(", ")
}

/// `12,345`.
fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn millis(count: u64) -> String {
    if count < 10_000 {
        format!("{} ms", grouped(count))
    } else {
        format!("{:.1} s", Duration::from_millis(count).as_secs_f64())
    }
}

fn seconds(elapsed: Duration) -> String {
    format!("{:.1} s", elapsed.as_secs_f64())
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate for reading; casts saturate"
)]
fn rounded(rate: f64) -> u64 {
    rate.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> DemoSummary {
        let counts = |pairs: &[(&str, u64)]| {
            pairs.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
        };
        let mut cells = [[2000, 0, 0, 0]; OBSERVATIONS];
        cells[1] = [200, 400, 1200, 200];
        cells[9] = [1000, 12, 900, 88];
        cells[11] = [1995, 1, 4, 0];
        DemoSummary {
            elapsed: Duration::from_millis(4200),
            messages: 2400,
            reports_per_second: 476.4,
            outcomes: counts(&[
                ("labelled", 2000),
                ("skipped_not_chest", 150),
                ("retracted", 20),
                ("dead_letter", 36),
            ]),
            cells,
            no_finding: 612,
            escalated: 180,
            escalation_reasons: counts(&[("low_confidence", 170), ("audit", 10)]),
            dead_letters: counts(&[("syntax", 20), ("unknown_format", 10), ("empty", 6)]),
            latency: Latency { p50: 38, p90: 90, p99: 410, max: 12_345 },
            model: "radstream-small 0.1.0".to_owned(),
            teacher: String::new(),
            notes: vec!["at-least-once on an embedded broker".to_owned()],
        }
    }

    #[test]
    fn a_summary_is_a_table_that_reads_well() {
        insta::assert_snapshot!(example().render(92, false), @r"
        2,400 messages in 4.2 s, 2,000 reports labelled, 476 reports/s
        latency  p50 38 ms   p90 90 ms   p99 410 ms   max 12.3 s
        model    radstream-small 0.1.0

        ┌──────────────────────────────────────────────────────────────────────────────────────────┐
        │ finding                      present   uncertain   absent   █ present  ░ uncertain       │
        ╞══════════════════════════════════════════════════════════════════════════════════════════╡
        │ Enlarged Cardiomediastinum         ·           ·        ·                                │
        │ Cardiomegaly                     400         200    1,200   ████████████████░░░░░░░░     │
        │ Lung Opacity                       ·           ·        ·                                │
        │ Lung Lesion                        ·           ·        ·                                │
        │ Edema                              ·           ·        ·                                │
        │ Consolidation                      ·           ·        ·                                │
        │ Pneumonia                          ·           ·        ·                                │
        │ Atelectasis                        ·           ·        ·                                │
        │ Pneumothorax                       ·           ·        ·                                │
        │ Pleural Effusion                  12          88      900   █░░░░                        │
        │ Pleural Other                      ·           ·        ·                                │
        │ Fracture                           1           ·        4   █                            │
        │ Support Devices                    ·           ·        ·                                │
        │ No Finding                       612                        nothing present or uncertain │
        └──────────────────────────────────────────────────────────────────────────────────────────┘

        ┌────────────────────────────────────────────────────────────────────────────┐
        │ what became of it            count   why                                   │
        ╞════════════════════════════════════════════════════════════════════════════╡
        │ labelled                     2,000   findings published                    │
        │ skipped not chest              150   another exam than a chest radiograph  │
        │ dead letter                     36   syntax 20, unknown format 10, empty 6 │
        │ retracted                       20   earlier findings withdrawn            │
        │ escalated, of the labelled     180   low confidence 170, audit 10          │
        └────────────────────────────────────────────────────────────────────────────┘

        note: at-least-once on an embedded broker
        ");
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        for width in [60, 80, 120] {
            let shown = example().render(width, false);
            for line in shown.lines().filter(|line| line.starts_with(['│', '┌', '└', '╞']))
            {
                assert!(line.chars().count() <= usize::from(width), "{width}: {line}");
            }
        }
    }

    #[test]
    fn colour_is_only_there_when_asked_for() {
        assert!(!example().render(80, false).contains('\x1b'));
        assert!(example().render(80, true).contains("\x1b["));
    }

    #[test]
    fn nothing_at_all_still_renders() {
        assert!(DemoSummary::default().render(10, false).contains("0 messages"));
    }

    #[test]
    fn bars_are_never_longer_than_the_longest_and_never_hide_a_one() {
        assert_eq!(bar(0, 0, 0), "");
        assert_eq!(bar(1, 0, 10_000), "█");
        assert_eq!(bar(24, 0, 24).chars().count(), 24);
        assert_eq!(bar(12, 12, 24), "████████████░░░░░░░░░░░░");
    }

    #[test]
    fn thousands_are_grouped() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_234_567), "1,234,567");
    }
}
