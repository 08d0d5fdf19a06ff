//! The record of a decision: JSON for machines, Markdown for people. Pure.

use comfy_table::presets::UTF8_BORDERS_ONLY;
use comfy_table::{CellAlignment, ContentArrangement, Table};
use serde::Serialize;

use super::evidence::{Contender, Evidence, Lost, Speed};
use super::gate::{Decision, Guard, Outcome, Ruling};
use super::limits::Limits;

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Asked {
    /// A challenger against the model in service.
    Promote,
    /// A first model for an empty store, after its self-test alone.
    Initial,
}

/// A gold set that was used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GoldFile {
    /// File name.
    pub name: String,
    /// SHA-256 of the file.
    pub sha256: String,
    /// Reports.
    pub reports: usize,
}

/// The record of a decision about a model.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Record {
    /// Version of this JSON: 1.
    pub format_version: u32,
    /// Version of radstream that decided.
    pub radstream: &'static str,
    /// When, RFC 3339.
    pub time: String,
    /// What was asked for.
    pub asked: Asked,
    /// Decided without installing.
    pub dry_run: bool,
    /// The verdict.
    pub verdict: Ruling,
    /// Why it was not promoted; empty when it was.
    pub reasons: Vec<String>,
    /// Name of the challenger in the store, whether it got there or not.
    pub version: String,
    /// The model in service.
    pub champion: Option<Contender>,
    /// The candidate.
    pub challenger: Contender,
    /// Gold sets.
    pub gold: Vec<GoldFile>,
    /// Bootstrap resamples.
    pub resamples: usize,
    /// Seed of the bootstrap.
    pub seed: u64,
    /// Against the clock.
    pub speed: Option<Speed>,
    /// Sentences of the champion's self-test that it gets wrong.
    pub lost_sentences: Option<Lost>,
    /// Labels of its own self-test that it gets wrong.
    pub self_test_failures: Vec<String>,
    /// The limits.
    pub limits: Limits,
    /// Every guard.
    pub guards: Vec<Guard>,
}

/// What a record needs beyond evidence and decision.
#[derive(Clone, Debug)]
pub struct Occasion {
    /// When, RFC 3339.
    pub time: String,
    /// What was asked for.
    pub asked: Asked,
    /// Decided without installing.
    pub dry_run: bool,
    /// Name of the challenger in the store.
    pub version: String,
    /// Bootstrap resamples.
    pub resamples: usize,
    /// Seed of the bootstrap.
    pub seed: u64,
}

impl Record {
    /// Puts it together.
    pub fn new(occasion: Occasion, evidence: Evidence, decision: Decision, limits: Limits) -> Self {
        Self {
            format_version: 1,
            radstream: env!("CARGO_PKG_VERSION"),
            time: occasion.time,
            asked: occasion.asked,
            dry_run: occasion.dry_run,
            verdict: decision.ruling,
            reasons: decision.reasons(),
            version: occasion.version,
            champion: evidence.champion,
            challenger: evidence.challenger,
            gold: evidence
                .gold
                .into_iter()
                .map(|set| GoldFile { name: set.name, sha256: set.sha256, reports: set.reports })
                .collect(),
            resamples: occasion.resamples,
            seed: occasion.seed,
            speed: evidence.speed,
            lost_sentences: evidence.lost_sentences,
            self_test_failures: evidence.self_test_failures,
            limits,
            guards: decision.guards,
        }
    }

    /// The verdict in a line.
    pub fn headline(&self) -> String {
        let dry = if self.dry_run { " (dry run: nothing was installed)" } else { "" };
        let challenger = spoken(&self.challenger);
        match (&self.champion, self.asked) {
            (Some(champion), Asked::Promote) => {
                format!("{challenger} against {}: {}{dry}", spoken(champion), self.verdict.words())
            }
            _ => format!("{challenger} as a first model: {}{dry}", self.verdict.words()),
        }
    }

    /// For a terminal: a table of the guarded figures, and why not.
    pub fn table(&self) -> String {
        let mut table = Table::new();
        table.load_preset(UTF8_BORDERS_ONLY).set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(HEADER);
        for guard in self.guards.iter().filter(|guard| shown(guard)) {
            table.add_row(row(guard));
        }
        for column in 2..=4 {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        let mut out = format!("{table}\n");
        out += &self.floors_in_words();
        out += &self.reasons_in_words();
        out
    }

    /// For people, with the plots that lie beside it under `stem`.
    pub fn markdown(&self, plots: &[(String, String)]) -> String {
        let mut out = format!("# {}\n\n", self.headline());
        let model = |name: &str, c: &Contender| {
            format!(
                "| {name} | {} | {} | `{}` | `{}` |\n",
                cell(&c.name),
                cell(&c.version),
                short(&c.sha256),
                short(&c.manifest_sha256)
            )
        };
        out += &format!("{} by radstream {}.\n\n", self.time, self.radstream);
        out += "| | model | version | network | manifest |\n| --- | --- | --- | --- | --- |\n";
        out += &self.champion.as_ref().map_or_else(String::new, |c| model("champion", c));
        out += &model("challenger", &self.challenger);
        out.push('\n');
        if self.asked == Asked::Initial {
            out += "A first model: judged by loading, self-test and size alone, compared with none.\n\n";
        }
        out += &self.reasons_in_words();
        if !self.reasons.is_empty() {
            out.push('\n');
        }
        out += &format!("| {} |\n|{}\n", HEADER.join(" | "), " --- |".repeat(HEADER.len()));
        for guard in &self.guards {
            let cells: Vec<String> = row(guard).iter().map(|text| cell(text)).collect();
            out += &format!("| {} |\n", cells.join(" | "));
        }
        if !self.gold.is_empty() {
            out += "\n| gold set | reports | sha256 |\n| --- | --- | --- |\n";
            for gold in &self.gold {
                let name = cell(&gold.name);
                out += &format!("| {name} | {} | `{}` |\n", gold.reports, gold.sha256);
            }
            out += &format!(
                "\nDifferences are challenger minus champion, with 95 % intervals of a paired \
                 bootstrap ({} resamples, seed {}).\n",
                self.resamples, self.seed
            );
        }
        for (title, file) in plots {
            out += &format!("\n![{}]({file})\n", cell(title));
        }
        out
    }

    fn floors_in_words(&self) -> String {
        let floors = || self.guards.iter().filter(|guard| is_floor(guard));
        match floors().count() {
            0 => String::new(),
            all => {
                let held = floors().filter(|guard| guard.outcome == Outcome::Holds).count();
                format!("Floors of single observations: {held} of {all} hold.\n")
            }
        }
    }

    fn reasons_in_words(&self) -> String {
        if self.reasons.is_empty() {
            return String::new();
        }
        let lines: Vec<String> =
            self.reasons.iter().map(|reason| format!("- {reason}\n")).collect();
        format!("Why not:\n\n{}", lines.concat())
    }
}

const HEADER: [&str; 7] =
    ["figure", "gold set", "champion", "challenger", "difference [95 %]", "limit", "holds"];

fn is_floor(guard: &Guard) -> bool {
    guard.figure.starts_with("label.")
}

/// Of the floors, there are dozens: a terminal shows those that matter.
fn shown(guard: &Guard) -> bool {
    !is_floor(guard) || guard.outcome != Outcome::Holds
}

fn row(guard: &Guard) -> [String; 7] {
    let number = |value: Option<f64>| {
        value.map_or_else(String::new, |v| {
            if v.abs() >= 10.0 { format!("{v:.1}") } else { format!("{v:.4}") }
        })
    };
    let difference = match (guard.difference, guard.interval) {
        (Some(value), Some(i)) => format!("{value:+.3} [{:+.3}, {:+.3}]", i.low, i.high),
        (Some(value), None) => format!("{value:+.3}"),
        (None, _) => String::new(),
    };
    [
        guard.figure.clone(),
        guard.gold.clone().unwrap_or_default(),
        number(guard.champion),
        number(guard.challenger),
        difference,
        guard.limit.clone(),
        guard.outcome.words().to_owned(),
    ]
}

fn spoken(contender: &Contender) -> String {
    if contender.name.is_empty() {
        return "the candidate".to_owned();
    }
    format!("{} {}", contender.name, contender.version)
}

fn short(hash: &str) -> String {
    hash.chars().take(12).collect()
}

/// Text that cannot break out of a Markdown cell.
fn cell(text: &str) -> String {
    text.replace('\\', "\\\\").replace('|', "\\|").replace(['\n', '\r'], " ").replace('<', "&lt;")
}

/// The record of a rollback.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RollbackRecord {
    /// Version of this JSON: 1.
    pub format_version: u32,
    /// Version of radstream.
    pub radstream: &'static str,
    /// When, RFC 3339.
    pub time: String,
    /// Always `rollback`.
    pub asked: &'static str,
    /// The model that was in service; `None` when the link led astray.
    pub from: Option<String>,
    /// The model that is.
    pub to: String,
    /// Why, as the person who did it says.
    pub reason: String,
}

impl RollbackRecord {
    /// For people.
    pub fn markdown(&self) -> String {
        let from = self.from.as_deref().unwrap_or("(no model of the store)");
        let reason = if self.reason.is_empty() { "none given" } else { &self.reason };
        format!(
            "# Rolled back to {}\n\n{} by radstream {}.\n\nFrom: {}\n\nReason: {}\n",
            cell(&self.to),
            self.time,
            self.radstream,
            cell(from),
            cell(reason)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promotion::limits::{Margins, Require};

    fn record() -> Record {
        let guard = |figure: &str, outcome| Guard {
            figure: figure.to_owned(),
            gold: Some("a|b.jsonl".to_owned()),
            champion: Some(0.9),
            challenger: Some(0.8),
            difference: Some(-0.1),
            interval: None,
            limit: "difference at least -0.020".to_owned(),
            limit_difference: Some(-0.02),
            outcome,
            why: "0.800 against 0.900".to_owned(),
        };
        let decision = Decision {
            ruling: Ruling::Refused,
            guards: vec![
                guard("supported.positive", Outcome::Fails),
                guard("label.edema.positive", Outcome::Holds),
                guard("label.fracture.positive", Outcome::Fails),
            ],
        };
        let occasion = Occasion {
            time: "2026-01-01T00:00:00Z".to_owned(),
            asked: Asked::Promote,
            dry_run: true,
            version: "2-abc".to_owned(),
            resamples: 1000,
            seed: 1,
        };
        let contender = |version: &str| Contender {
            name: "student".to_owned(),
            version: version.to_owned(),
            ..Contender::default()
        };
        let evidence = Evidence {
            champion: Some(contender("1")),
            challenger: contender("2"),
            ..Evidence::default()
        };
        let limits = Limits {
            require: Require::Better,
            primary: vec!["positive"],
            min_reports: 1,
            margins: Margins { positive: 0.02, uncertainty: 0.0, negation: 0.0, mention: 0.0 },
            floor_cells: 1,
            floor_fall: 0.1,
            max_ece: 0.03,
            ece_margin: 0.01,
            log_loss_margin: 0.02,
            doubted_rise: 0.05,
            min_doubted_ratio: 0.2,
            mistakes_rise: 0.03,
            min_speed_ratio: 0.8,
            max_bytes: 1,
            max_lost_sentences: 0,
        };
        Record::new(occasion, evidence, decision, limits)
    }

    #[test]
    fn the_table_shows_what_matters_and_why() {
        let record = record();
        let shown = record.table();
        assert!(shown.contains("supported.positive") && shown.contains("label.fracture.positive"));
        assert!(!shown.contains("label.edema"), "{shown}");
        assert!(shown.contains("1 of 2 hold"), "{shown}");
        assert!(shown.contains("- supported.positive on a|b.jsonl: 0.800 against 0.900"));
        let headline = record.headline();
        assert_eq!(
            headline,
            "student 2 against student 1: refused (dry run: nothing was installed)"
        );
    }

    #[test]
    fn the_page_shows_everything_and_names_cannot_break_its_tables() {
        let page = record().markdown(&[("Differences".to_owned(), "x-differences.svg".to_owned())]);
        assert!(page.contains("label.edema.positive") && page.contains("![Differences](x-"));
        assert!(page.contains("a\\|b.jsonl"));
    }

    #[test]
    fn the_json_names_verdict_limits_and_guards() {
        let json = serde_json::to_value(record()).unwrap();
        assert_eq!(json["verdict"], "refused");
        assert_eq!(json["guards"][0]["limit_difference"], -0.02);
        assert_eq!(json["limits"]["margins"]["positive"], 0.02);
        assert_eq!(json["reasons"].as_array().unwrap().len(), 2);
    }
}
