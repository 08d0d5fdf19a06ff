//! From reference and answers to the verdict.

use super::bootstrap::{Difference, Interval, Resamples};
use super::calibration::bins;
use super::convention::{Average, Scope};
use super::figure::{Counts, Figure};
use super::pairing::{Answers, Gold};
use super::prepare::Prepared;
use super::routing::{BUDGETS, Curve};
use super::second_opinion::second_opinion;
use super::slice::slices;
use super::tally::Tally;
use super::verdict::{
    Averaged, Comparison, Deferral, Differences, Estimate, Figures, Plan, Provenance, Reference,
    ReliabilityBin, Routing, SliceVerdict, Support, SystemVerdict, Verdict,
};
use super::{Label, Task};
use crate::report::FindingStatus;

/// A system to judge.
#[derive(Debug)]
pub struct System {
    /// Where its answers come from.
    pub from: Provenance,
    /// Its answers, in the reference's order.
    pub answers: Answers,
}

/// Judges systems against a reference; with `versus`, all but the last against the last; with a
/// `teacher`, each also with that behind it.
pub fn judge(
    gold: &Gold,
    from: Provenance,
    systems: &[System],
    versus: bool,
    teacher: Option<&System>,
    plan: Plan,
) -> Verdict {
    let everything = vec![1; gold.len()];
    let truth = Tally::count(&gold.rows, &gold.rows, &everything);
    let scope = Scope::new(&truth, plan.min_support);
    let figures = Figure::all();
    let prepared: Vec<Prepared<'_>> =
        systems.iter().map(|system| Prepared::new(&gold.rows, &system.answers)).collect();
    let counts: Vec<Counts> = prepared.iter().map(Counts::once).collect();
    let points: Vec<Vec<Option<f64>>> =
        counts.iter().map(|counts| values(&figures, counts, &scope)).collect();
    let resampled = resample(&prepared, &figures, &scope, gold.len(), plan);

    let systems: Vec<SystemVerdict> = systems
        .iter()
        .zip(&prepared)
        .zip(&counts)
        .zip(points.iter().zip(&resampled))
        .map(|(((system, prepared), counts), (points, resampled))| {
            let intervals = resampled.iter().map(|values| Interval::of(values));
            SystemVerdict {
                figures: named(&figures, points, intervals),
                slices: slices(&gold.shapes)
                    .into_iter()
                    .map(|slice| {
                        let counts = Counts::new(prepared, &slice.weights);
                        let points = values(&figures, &counts, &scope);
                        SliceVerdict {
                            name: slice.name,
                            reports: counts.reports,
                            figures: named(&figures, &points, std::iter::repeat(None)),
                        }
                    })
                    .collect(),
                second_opinion: teacher.and_then(|teacher| {
                    let teacher = (&teacher.from, &teacher.answers);
                    second_opinion(gold, &system.answers, teacher, &scope, plan.seed)
                }),
                ..described(system, prepared, counts)
            }
        })
        .collect();
    let mut comparisons = Vec::new();
    if versus
        && let (Some((second, firsts)), Some((b, a)), Some((b_resampled, a_resampled))) =
            (systems.split_last(), points.split_last(), resampled.split_last())
    {
        for ((first, a), a_resampled) in firsts.iter().zip(a).zip(a_resampled) {
            let pairs = a.iter().zip(b).zip(a_resampled.iter().zip(b_resampled));
            let differences = figures
                .iter()
                .zip(pairs)
                .filter_map(|(figure, ((a, b), (a_values, b_values)))| {
                    Some((*figure, Difference::of((*a, *b), (a_values, b_values))?))
                })
                .collect();
            comparisons.push(Comparison {
                first: first.from.name.clone(),
                second: second.from.name.clone(),
                differences: Differences(differences),
            });
        }
    }
    Verdict {
        format_version: 1,
        radstream: env!("CARGO_PKG_VERSION"),
        plan,
        reference: reference(gold, from, &truth, &scope),
        systems,
        comparisons,
    }
}

fn values(figures: &[Figure], counts: &Counts, scope: &Scope) -> Vec<Option<f64>> {
    figures.iter().map(|figure| figure.of(counts, scope)).collect()
}

/// Values of each figure of each system: `[system][figure][resample]`. All systems see the same
/// resamples.
fn resample(
    prepared: &[Prepared<'_>],
    figures: &[Figure],
    scope: &Scope,
    reports: usize,
    plan: Plan,
) -> Vec<Vec<Vec<Option<f64>>>> {
    let mut all = vec![vec![Vec::with_capacity(plan.resamples); figures.len()]; prepared.len()];
    for weights in Resamples::new(plan.seed, reports).take(plan.resamples) {
        for (prepared, figures_of_system) in prepared.iter().zip(&mut all) {
            let counts = Counts::new(prepared, &weights);
            for (figure, values) in figures.iter().zip(figures_of_system) {
                values.push(figure.of(&counts, scope));
            }
        }
    }
    all
}

fn named(
    figures: &[Figure],
    points: &[Option<f64>],
    intervals: impl Iterator<Item = Option<Interval>>,
) -> Figures {
    let pairs = figures.iter().zip(points).zip(intervals);
    Figures(
        pairs
            .filter_map(|((figure, value), interval)| {
                Some((*figure, Estimate { value: (*value)?, interval }))
            })
            .collect(),
    )
}

/// A system's verdict, still without figures and slices.
fn described(system: &System, prepared: &Prepared<'_>, counts: &Counts) -> SystemVerdict {
    let answers = &system.answers;
    let once = vec![1; prepared.reference.len()];
    SystemVerdict {
        from: system.from.clone(),
        matched_by: answers.matched_by,
        unanswered: answers.unanswered,
        extra: answers.extra,
        without_confidence: answers.without_confidence,
        no_finding_contradictions: answers.contradictions,
        figures: Figures::default(),
        reliability: prepared.doubt.as_ref().map_or_else(Vec::new, |doubt| {
            bins(&doubt.cells, &once)
                .into_iter()
                .map(|bin| ReliabilityBin {
                    cells: bin.cells as u64,
                    confidence: bin.confidence,
                    accuracy: bin.accuracy,
                })
                .collect()
        }),
        routing: counts.curve.as_ref().and_then(|curve| {
            let oracle = Curve::new(&prepared.oracle, &once);
            let wrong_reports = curve.error()?;
            Some(Routing {
                wrong_reports,
                budgets: BUDGETS
                    .into_iter()
                    .map(|budget| Deferral {
                        budget,
                        random: budget,
                        oracle_reports: oracle.captured_reports(budget),
                        oracle_cells: oracle.captured_cells(budget),
                    })
                    .collect(),
                augrc_random: wrong_reports / 2.0,
                augrc_oracle: oracle.augrc(),
                curve: curve.points(),
            })
        }),
        second_opinion: None,
        slices: Vec::new(),
    }
}

fn reference(gold: &Gold, from: Provenance, truth: &Tally, scope: &Scope) -> Reference {
    let support = Label::ALL.map(|label| {
        let count = |status| truth.of(label).at(status, status);
        Support {
            label: label.name(),
            positive: count(FindingStatus::Positive),
            negative: count(FindingStatus::Negative),
            uncertain: count(FindingStatus::Uncertain),
            not_mentioned: count(FindingStatus::NotMentioned),
        }
    });
    Reference {
        from,
        reports: gold.len(),
        no_finding_contradictions: gold.contradictions,
        support: support.to_vec(),
        labels_averaged: Average::ALL
            .into_iter()
            .map(|average| Averaged {
                average,
                labels: Task::ALL.map(|task| scope.labels(average, task).count()),
            })
            .collect(),
    }
}
