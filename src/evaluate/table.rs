//! The verdict for people: tables as text.

use comfy_table::presets::UTF8_BORDERS_ONLY;
use comfy_table::{Cell, CellAlignment, ContentArrangement, Table};

use super::bootstrap::Interval;
use super::convention::{Average, Binary};
use super::figure::Figure;
use super::routing::BUDGETS;
use super::second_opinion::SecondOpinion;
use super::verdict::{Comparison, Estimate, Figures, Reference, SystemVerdict, Verdict};
use super::{Label, Task};

/// Which conventions are shown. The JSON holds all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Macro averages of the five tasks.
    pub averages: Vec<Average>,
    /// Binary conventions.
    pub binary: Vec<Binary>,
}

/// All tables of an evaluation.
pub fn render(verdict: &Verdict, shown: &Shown) -> String {
    let mut out = String::new();
    let plan = verdict.plan;
    let reference = &verdict.reference;
    line(&mut out, &format!("reference  {}: {}", reference.from.name, counted(reference)));
    if plan.resamples > 0 {
        line(
            &mut out,
            &format!(
                "intervals  95 %, bootstrap over reports, {} resamples, seed {}",
                plan.resamples, plan.seed
            ),
        );
    }
    if reference.no_finding_contradictions > 0 {
        let count = reference.no_finding_contradictions;
        line(&mut out, &format!("note       reports whose No Finding contradicts others: {count}"));
    }
    for system in &verdict.systems {
        out.push('\n');
        system_tables(&mut out, system, verdict, shown);
    }
    for comparison in &verdict.comparisons {
        out.push('\n');
        comparison_table(&mut out, comparison, verdict, shown);
    }
    out
}

fn counted(reference: &Reference) -> String {
    let observed = reference.support.iter().take(reference.support.len().saturating_sub(1));
    let (mut positive, mut negative, mut uncertain) = (0, 0, 0);
    for support in observed {
        positive += support.positive;
        negative += support.negative;
        uncertain += support.uncertain;
    }
    format!(
        "{} reports; cells: {positive} positive, {negative} negative, {uncertain} uncertain",
        reference.reports
    )
}

fn system_tables(out: &mut String, system: &SystemVerdict, verdict: &Verdict, shown: &Shown) {
    let name = &system.from.name;
    let title = format!("── {name} ");
    line(out, &format!("{title}{}", "─".repeat(98_usize.saturating_sub(title.chars().count()))));
    for note in notes(system) {
        line(out, &format!("note: {note}"));
    }
    push(out, &labels(&system.figures, &verdict.reference));
    push(out, &averages(&system.figures, verdict, shown));
    push(out, &others(&system.figures, shown));
    match &system.routing {
        Some(_) => {
            push(out, &routing(system));
            line(out, &calibration(&system.figures));
        }
        None => line(out, "no confidence in the predictions: no calibration, no routing"),
    }
    if let Some(second) = &system.second_opinion {
        line(
            out,
            &format!(
                "with {} behind it, asked about the most doubtful reports",
                second.teacher.name
            ),
        );
        push(out, &second_opinion(second));
    }
    if !system.slices.is_empty() {
        push(out, &slices(system));
    }
}

fn notes(system: &SystemVerdict) -> Vec<String> {
    let mut notes = Vec::new();
    let mut note = |count: usize, what: &str| {
        if count > 0 {
            notes.push(format!("{what}: {count}"));
        }
    };
    note(system.unanswered, "reports without labels, judged as all blank");
    note(system.extra, "answers to reports that the reference does not have, ignored");
    note(system.without_confidence, "answers without confidence, so none is used");
    note(system.no_finding_contradictions, "reports whose No Finding contradicts other labels");
    if system.matched_by == "order" {
        notes.push("rows were matched by their order".to_owned());
    }
    notes
}

fn labels(figures: &Figures, reference: &Reference) -> Table {
    let mut table = table(&[
        "label", "P", "N", "U", "mention", "positive", "negation", "uncert.", "blank", "weighted",
        "kappa",
    ]);
    for (label, support) in Label::ALL.into_iter().zip(&reference.support) {
        let mut row = vec![Cell::new(label.title())];
        row.extend([support.positive, support.negative, support.uncertain].map(right));
        row.extend(Task::ALL.map(|task| right(plain(figures.value(Figure::LabelF1(label, task))))));
        let mentioned = support.positive + support.negative + support.uncertain > 0;
        let weighted = figures.value(Figure::LabelWeighted(label)).filter(|_| mentioned);
        row.push(right(plain(weighted)));
        row.push(right(plain(figures.value(Figure::LabelKappa(label)))));
        table.add_row(row);
    }
    table
}

fn averages(figures: &Figures, verdict: &Verdict, shown: &Shown) -> Table {
    let mut table = table(&["F1", "mention", "positive", "negation", "uncertainty", "blank"]);
    for average in &shown.averages {
        let over = verdict.reference.labels_averaged.iter().find(|known| known.average == *average);
        let counts: Vec<String> =
            over.iter().flat_map(|over| over.labels).map(|count| count.to_string()).collect();
        let what = match average {
            Average::Chexbert => String::new(),
            _ => format!(", at least {} cells", verdict.plan.min_support),
        };
        let name = format!("{}{what}\nmacro of {}", average.name(), counts.join("/"));
        let mut row = vec![Cell::new(name)];
        row.extend(
            Task::ALL.map(|task| right(two_lines(figures.get(Figure::Macro(*average, task))))),
        );
        table.add_row(row);
    }
    let mut row = vec![Cell::new("micro\npooled, 13 observations")];
    row.extend(Task::ALL.map(|task| right(two_lines(figures.get(Figure::Micro(task))))));
    table.add_row(row);
    table
}

fn others(figures: &Figures, shown: &Shown) -> Table {
    let mut table = table(&["", "macro F1", "micro F1", "weighted F1", "kappa", "exact match"]);
    let cell = |figure| right(two_lines(figures.get(figure)));
    table.add_row(vec![
        Cell::new("four statuses\nweighted and kappa: 14 labels"),
        Cell::new(""),
        Cell::new(""),
        cell(Figure::WeightedF1),
        cell(Figure::Kappa),
        cell(Figure::ExactMatch),
    ]);
    for binary in &shown.binary {
        table.add_row(vec![
            Cell::new(binary.name()),
            cell(Figure::BinaryMacro(*binary)),
            cell(Figure::BinaryMicro(*binary)),
            cell(Figure::BinaryWeighted(*binary)),
            Cell::new(""),
            cell(Figure::BinaryExact(*binary)),
        ]);
    }
    table
}

fn routing(system: &SystemVerdict) -> Table {
    let figures = &system.figures;
    let mut table = table(&[
        "doubtful reports\ndeferred",
        "of wrong reports\ncaptured",
        "random",
        "oracle",
        "of wrong cells\ncaptured",
        "oracle",
        "wrong reports\nleft",
        "wrong cells\nleft",
    ]);
    let budgets = system.routing.iter().flat_map(|routing| &routing.budgets);
    for (place, deferral) in (0..BUDGETS.len()).zip(budgets) {
        table.add_row(vec![
            Cell::new(percent(Some(deferral.budget))),
            right(percent_two_lines(figures.get(Figure::Capture(place)))),
            right(percent(Some(deferral.random))),
            right(percent(deferral.oracle_reports)),
            right(percent_two_lines(figures.get(Figure::CaptureCells(place)))),
            right(percent(deferral.oracle_cells)),
            right(percent(figures.value(Figure::Residual(place)))),
            right(percent(figures.value(Figure::ResidualCells(place)))),
        ]);
    }
    table
}

fn second_opinion(second: &SecondOpinion) -> Table {
    let mut table =
        table(&["reports asked about", "mention", "positive", "negation", "uncertainty", "blank"]);
    for at in &second.rates {
        let name = format!("{} ({})\nas many by lot", percent(Some(at.rate)), at.calls);
        let mut row = vec![Cell::new(name)];
        let pairs = at.doubtful.iter().zip(&at.by_lot);
        row.extend(
            pairs.map(|(doubtful, lot)| right(format!("{}\n{}", plain(*doubtful), plain(*lot)))),
        );
        table.add_row(row);
    }
    table
}

fn calibration(figures: &Figures) -> String {
    let mut out = String::new();
    let mut add = |name: &str, figure: Figure, digits: usize| {
        if let Some(estimate) = figures.get(figure) {
            let interval = estimate.interval.map_or_else(String::new, |Interval { low, high }| {
                format!(" ({low:.digits$} to {high:.digits$})")
            });
            let lead = if out.is_empty() { "" } else { "\n" };
            out.push_str(&format!("{lead}{name:<34}{:.digits$}{interval}", estimate.value));
        }
    };
    add("AUGRC", Figure::Augrc, 4);
    add("ECE, 15 bins of equal mass", Figure::Ece, 4);
    add("ECE, mean over statuses", Figure::ClasswiseEce, 4);
    add("Brier, answer", Figure::Brier, 4);
    add("Brier, four statuses", Figure::Brier4, 4);
    add("log loss, answer (nats)", Figure::LogLoss, 4);
    add("log loss, four statuses (nats)", Figure::LogLoss4, 4);
    add("cell accuracy", Figure::CellAccuracy, 4);
    out
}

fn slices(system: &SystemVerdict) -> Table {
    let mut table = table(&[
        "slice (micro F1)",
        "reports",
        "mention",
        "positive",
        "negation",
        "uncert.",
        "cells right",
        "exact match",
    ]);
    for slice in &system.slices {
        let figures = &slice.figures;
        let mut row = vec![Cell::new(&slice.name), right(slice.reports)];
        for task in [Task::Mention, Task::Positive, Task::Negation, Task::Uncertainty] {
            row.push(right(plain(figures.value(Figure::Micro(task)))));
        }
        row.push(right(plain(figures.value(Figure::CellAccuracy))));
        row.push(right(plain(figures.value(Figure::ExactMatch))));
        table.add_row(row);
    }
    table
}

fn comparison_table(out: &mut String, comparison: &Comparison, verdict: &Verdict, shown: &Shown) {
    line(out, &format!("{} minus {}, paired bootstrap", comparison.first, comparison.second));
    let named = |name: &str| verdict.systems.iter().find(|system| system.from.name == name);
    let (first, second) = (named(&comparison.first), named(&comparison.second));
    let mut table = table(&["figure", "first", "second", "difference", "95 % interval", "p"]);
    let mut wanted = Vec::new();
    for average in &shown.averages {
        wanted.extend(Task::ALL.map(|task| Figure::Macro(*average, task)));
    }
    wanted.extend(shown.binary.iter().map(|binary| Figure::BinaryMacro(*binary)));
    wanted.extend([Figure::WeightedF1, Figure::Kappa, Figure::ExactMatch, Figure::CellAccuracy]);
    wanted.extend([Figure::Ece, Figure::Augrc]);
    wanted.extend((0..BUDGETS.len()).map(Figure::Capture));
    for figure in wanted {
        let Some(difference) = comparison.differences.get(figure) else { continue };
        let value = |system: Option<&SystemVerdict>| {
            right(plain(system.and_then(|system| system.figures.value(figure))))
        };
        let interval = difference.interval.map_or_else(String::new, |interval| {
            format!("{:+.3} to {:+.3}", interval.low, interval.high)
        });
        table.add_row(vec![
            Cell::new(figure.name()),
            value(first),
            value(second),
            right(format!("{:+.3}", difference.value)),
            right(interval),
            right(difference.p.map_or_else(String::new, |p| format!("{p:.3}"))),
        ]);
    }
    push(out, &table);
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(UTF8_BORDERS_ONLY).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header.iter().enumerate().map(|(place, name)| {
        let alignment = if place == 0 { CellAlignment::Left } else { CellAlignment::Right };
        Cell::new(name).set_alignment(alignment)
    }));
    table
}

fn right(content: impl ToString) -> Cell {
    Cell::new(content).set_alignment(CellAlignment::Right)
}

fn plain(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.3}"))
}

fn percent(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{:.1} %", value * 100.0))
}

fn two_lines(estimate: Option<Estimate>) -> String {
    match estimate {
        None => "–".to_owned(),
        Some(Estimate { value, interval: None }) => format!("{value:.3}"),
        Some(Estimate { value, interval: Some(Interval { low, high }) }) => {
            format!("{value:.3}\n{low:.3}–{high:.3}")
        }
    }
}

fn percent_two_lines(estimate: Option<Estimate>) -> String {
    match estimate {
        Some(Estimate { value, interval: Some(Interval { low, high }) }) => {
            format!("{:.1} %\n{:.0}–{:.0} %", value * 100.0, low * 100.0, high * 100.0)
        }
        other => percent(other.map(|estimate| estimate.value)),
    }
}

fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}

fn push(out: &mut String, table: &Table) {
    line(out, &table.to_string());
}
