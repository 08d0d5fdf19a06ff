//! What holds for every reference and every system.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test ends at what it did not expect"
)]

mod evaluate_support;

use evaluate_support::{PLAN, named, sheet, system};
use proptest::collection::vec;
use proptest::prelude::*;
use radstream::evaluate::Task;
use radstream::evaluate::convention::Average;
use radstream::evaluate::figure::Figure;
use radstream::evaluate::judge::judge;
use radstream::evaluate::pairing::Gold;
use radstream::evaluate::verdict::{Plan, Verdict};
use radstream::report::{FindingStatus, OBSERVATIONS, Observation};

type Cell = (FindingStatus, u8);

fn status() -> impl Strategy<Value = FindingStatus> {
    prop_oneof![
        4 => Just(FindingStatus::NotMentioned),
        2 => Just(FindingStatus::Positive),
        2 => Just(FindingStatus::Negative),
        1 => Just(FindingStatus::Uncertain),
    ]
}

/// Reference statuses and answers with confidence in percent; few values, so that ties abound.
fn report() -> impl Strategy<Value = (Vec<FindingStatus>, Vec<Cell>)> {
    let answers = vec((status(), 30_u8..=100), OBSERVATIONS);
    (vec(status(), OBSERVATIONS), answers)
}

fn line(id: usize, cells: &[String]) -> String {
    let cells: Vec<String> = Observation::ALL
        .iter()
        .zip(cells)
        .map(|(observation, cell)| format!("\"{}\": {cell}", observation.name()))
        .collect();
    format!("{{\"id\": \"case-{id:03}\", \"labels\": {{{}}}}}\n", cells.join(", "))
}

fn reference_line(id: usize, statuses: &[FindingStatus]) -> String {
    let cells: Vec<String> = statuses.iter().map(|s| format!("\"{}\"", s.name())).collect();
    line(id, &cells)
}

fn answer_line(id: usize, cells: &[Cell]) -> String {
    let cells: Vec<String> = cells
        .iter()
        .map(|(status, percent)| {
            let confidence = f64::from(*percent) / 100.0;
            format!("{{\"status\": \"{}\", \"confidence\": {confidence}}}", status.name())
        })
        .collect();
    line(id, &cells)
}

fn judged(reference: &str, answers: &str, seed: u64) -> Verdict {
    let gold = Gold::new(sheet(reference), false).unwrap();
    let system = system(&gold, "system", answers);
    judge(&gold, named("gold"), &[system], false, None, Plan { seed, resamples: 20, ..PLAN })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn the_order_of_the_files_changes_nothing(
        reports in vec(report(), 2..30),
        seed: u64,
        turn in 0_usize..30,
    ) {
        let reference: Vec<String> =
            reports.iter().enumerate().map(|(id, (r, _))| reference_line(id, r)).collect();
        let answers: Vec<String> =
            reports.iter().enumerate().map(|(id, (_, a))| answer_line(id, a)).collect();
        let mut shuffled = reference.clone();
        shuffled.rotate_left(turn % reports.len());
        let mut turned = answers.clone();
        turned.reverse();
        prop_assert_eq!(
            judged(&reference.concat(), &answers.concat(), seed),
            judged(&shuffled.concat(), &turned.concat(), seed)
        );
    }

    #[test]
    fn renaming_the_reports_moves_no_figure(reports in vec(report(), 2..30)) {
        // New ids put the reports into another canonical order.
        let last = reports.len() - 1;
        let as_is = |id: usize| id;
        let reversed = |id: usize| last - id;
        let judge_named = |name: &dyn Fn(usize) -> usize| {
            let lines = || reports.iter().enumerate();
            let reference: String =
                lines().map(|(id, (r, _))| reference_line(name(id), r)).collect();
            let answers: String = lines().map(|(id, (_, a))| answer_line(name(id), a)).collect();
            judged(&reference, &answers, 1)
        };
        let (first, second) = (judge_named(&as_is), judge_named(&reversed));
        for figure in Figure::all() {
            let value = |verdict: &Verdict| verdict.systems[0].figures.value(figure);
            match (value(&first), value(&second)) {
                (Some(a), Some(b)) => prop_assert!((a - b).abs() < 1e-9, "{}", figure.name()),
                (a, b) => prop_assert_eq!(a, b),
            }
        }
    }

    #[test]
    fn perfect_answers_get_1_wherever_something_is_asked(reports in vec(report(), 2..30)) {
        let lines: String =
            reports.iter().enumerate().map(|(id, (r, _))| reference_line(id, r)).collect();
        let verdict = judged(&lines, &lines, 1);
        let figures = &verdict.systems[0].figures;
        prop_assert_eq!(figures.value(Figure::ExactMatch), Some(1.0));
        prop_assert_eq!(figures.value(Figure::CellAccuracy), Some(1.0));
        for average in [Average::Supported, Average::SupportedNf] {
            for task in Task::ALL {
                let value = figures.value(Figure::Macro(average, task));
                prop_assert!(value.is_none_or(|value| (value - 1.0).abs() < 1e-12));
            }
        }
        for figure in Figure::all() {
            if matches!(figure, Figure::LabelF1(..) | Figure::LabelKappa(_) | Figure::Micro(_)) {
                let value = figures.value(figure);
                prop_assert!(value.is_none_or(|v| (v - 1.0).abs() < 1e-12), "{}", figure.name());
            }
        }
    }

    #[test]
    fn every_figure_stays_in_its_range(reports in vec(report(), 2..20), seed: u64) {
        let reference: String =
            reports.iter().enumerate().map(|(id, (r, _))| reference_line(id, r)).collect();
        let answers: String =
            reports.iter().enumerate().map(|(id, (_, a))| answer_line(id, a)).collect();
        let verdict = judged(&reference, &answers, seed);
        let figures = &verdict.systems[0].figures;
        for figure in Figure::all() {
            let Some(value) = figures.value(figure) else { continue };
            let range = match figure {
                Figure::LogLoss | Figure::LogLoss4 => 0.0..=10.0,
                Figure::Kappa | Figure::LabelKappa(_) => -1.0..=1.0,
                _ => 0.0..=1.0,
            };
            prop_assert!(range.contains(&value), "{} is {value}", figure.name());
        }
        let [five, ten, twenty] =
            [0, 1, 2].map(|budget| figures.value(Figure::Capture(budget)).unwrap_or(0.0));
        prop_assert!(five <= ten + 1e-12 && ten <= twenty + 1e-12);
    }

    #[test]
    fn the_same_seed_gives_the_same_intervals(reports in vec(report(), 2..20), seed: u64) {
        let reference: String =
            reports.iter().enumerate().map(|(id, (r, _))| reference_line(id, r)).collect();
        let answers: String =
            reports.iter().enumerate().map(|(id, (_, a))| answer_line(id, a)).collect();
        prop_assert_eq!(
            judged(&reference, &answers, seed),
            judged(&reference, &answers, seed)
        );
    }
}
