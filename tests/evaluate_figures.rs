//! Every figure of the evaluation, worked out by hand on twelve reports.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

mod evaluate_support;

use evaluate_support::{PLAN, gold, gold_jsonl, named, system, system_a_csv, system_a_jsonl};
use radstream::evaluate::bootstrap::Interval;
use radstream::evaluate::convention::{Average, Binary};
use radstream::evaluate::figure::Figure;
use radstream::evaluate::judge::{System, judge};
use radstream::evaluate::pairing::{Gold, MatchBy};
use radstream::evaluate::read::{Aggregate, Reading, read};
use radstream::evaluate::verdict::{Plan, Verdict};
use radstream::evaluate::{Label, Task};
use radstream::report::{FindingStatus, Observation};

fn verdict(plan: Plan) -> Verdict {
    let gold = gold();
    let a = system(&gold, "a", &system_a_jsonl());
    judge(&gold, named("gold"), &[a], false, None, plan)
}

fn point() -> Verdict {
    verdict(Plan { resamples: 0, ..PLAN })
}

#[track_caller]
fn expect(verdict: &Verdict, figure: Figure, expected: f64) {
    let found = verdict.systems[0].figures.value(figure);
    let found = found.unwrap_or_else(|| panic!("{} is not defined", figure.name()));
    assert!((found - expected).abs() < 1e-12, "{}: {found} is not {expected}", figure.name());
}

#[track_caller]
fn expect_undefined(verdict: &Verdict, figure: Figure) {
    assert_eq!(verdict.systems[0].figures.value(figure), None, "{}", figure.name());
}

fn label(observation: Observation) -> Label {
    Label::Observed(observation)
}

#[test]
fn cardiomegaly_by_hand() {
    // Reference: neg r01 r09 r12, pos r02 r11, unc r03, blank 6. A: right but r03, said positive.
    let verdict = point();
    let cm = label(Observation::Cardiomegaly);
    expect(&verdict, Figure::LabelF1(cm, Task::Mention), 1.0);
    // Hits r02 r11, false alarm r03: 2*2 / (2*2 + 1).
    expect(&verdict, Figure::LabelF1(cm, Task::Positive), 4.0 / 5.0);
    expect(&verdict, Figure::LabelF1(cm, Task::Negation), 1.0);
    // One miss.
    expect(&verdict, Figure::LabelF1(cm, Task::Uncertainty), 0.0);
    expect(&verdict, Figure::LabelF1(cm, Task::Blank), 1.0);
    // (3 neg * 1 + 1 unc * 0 + 2 pos * 0.8) / 6.
    expect(&verdict, Figure::LabelWeighted(cm), 4.6 / 6.0);
    // Observed 11/12. Chance: blank 6*6, pos 2*3, neg 3*3, unc 1*0, of 144: 51.
    // (132 - 51) / (144 - 51).
    expect(&verdict, Figure::LabelKappa(cm), 81.0 / 93.0);
}

#[test]
fn a_three_way_conflict_is_positive_and_the_hedge_is_an_error() {
    // Reference: pos r04, unc r05, neg r06 r12, blank 8. A: r04 uncertain.
    let verdict = point();
    let pn = label(Observation::Pneumonia);
    expect(&verdict, Figure::LabelF1(pn, Task::Mention), 1.0);
    expect(&verdict, Figure::LabelF1(pn, Task::Positive), 0.0);
    // Hit r05, false alarm r04: 2 / 3.
    expect(&verdict, Figure::LabelF1(pn, Task::Uncertainty), 2.0 / 3.0);
    // (2 neg * 1 + 1 unc * 2/3 + 1 pos * 0) / 4.
    expect(&verdict, Figure::LabelWeighted(pn), 2.0 / 3.0);
    // Chance: 8*8 + 1*0 + 1*2 + 2*2 = 70. (132 - 70) / (144 - 70).
    expect(&verdict, Figure::LabelKappa(pn), 62.0 / 74.0);

    // With CheXpert's code as the policy the same reference hedges, and A is right.
    let reading = Reading { aggregate: Aggregate::ChexpertCode, id_column: None };
    let sheet = read(gold_jsonl().as_bytes(), &reading).unwrap();
    let gold = Gold::new(sheet, false).unwrap();
    let a = system(&gold, "a", &system_a_jsonl());
    let verdict = judge(&gold, named("gold"), &[a], false, None, Plan { resamples: 0, ..PLAN });
    expect(&verdict, Figure::LabelF1(pn, Task::Uncertainty), 1.0);
    expect_undefined(&verdict, Figure::LabelF1(pn, Task::Positive));
}

#[test]
fn pleural_effusion_and_support_devices_by_hand() {
    let verdict = point();
    // Reference: neg r01 r11, pos r03 r07, unc r08, blank 7. A: r08 positive, r11 blank.
    let pe = label(Observation::PleuralEffusion);
    expect(&verdict, Figure::LabelF1(pe, Task::Mention), 8.0 / 9.0);
    expect(&verdict, Figure::LabelF1(pe, Task::Positive), 4.0 / 5.0);
    expect(&verdict, Figure::LabelF1(pe, Task::Negation), 2.0 / 3.0);
    expect(&verdict, Figure::LabelF1(pe, Task::Uncertainty), 0.0);
    expect(&verdict, Figure::LabelF1(pe, Task::Blank), 14.0 / 15.0);
    // (2 * 2/3 + 1 * 0 + 2 * 4/5) / 5.
    expect(&verdict, Figure::LabelWeighted(pe), 44.0 / 75.0);
    // Observed 10/12. Chance: 7*8 + 2*3 + 2*1 + 1*0 = 64. (120 - 64) / (144 - 64).
    expect(&verdict, Figure::LabelKappa(pe), 0.7);

    // Reference: pos r06 r07. A: r06.
    let sd = label(Observation::SupportDevices);
    expect(&verdict, Figure::LabelF1(sd, Task::Positive), 2.0 / 3.0);
    expect(&verdict, Figure::LabelF1(sd, Task::Blank), 20.0 / 21.0);
    expect_undefined(&verdict, Figure::LabelF1(sd, Task::Uncertainty));
    // Chance: 10*11 + 2*1 = 112. (132 - 112) / (144 - 112).
    expect(&verdict, Figure::LabelKappa(sd), 0.625);
}

#[test]
fn no_finding_is_derived_on_both_sides() {
    // Reference positive: r01 r06 r09 r10 r12. A says Fracture of r10: not there.
    let verdict = point();
    expect(&verdict, Figure::LabelF1(Label::NoFinding, Task::Positive), 8.0 / 9.0);
    expect(&verdict, Figure::LabelF1(Label::NoFinding, Task::Blank), 14.0 / 15.0);
    // Never negative or uncertain: weighted F1 is the positive F1.
    expect(&verdict, Figure::LabelWeighted(Label::NoFinding), 8.0 / 9.0);
    expect_undefined(&verdict, Figure::LabelF1(Label::NoFinding, Task::Negation));
    // Chance: 5*4 + 7*8 = 76. (132 - 76) / (144 - 76).
    expect(&verdict, Figure::LabelKappa(Label::NoFinding), 56.0 / 68.0);
}

#[test]
fn a_label_without_reference_cells_costs_the_chexbert_macro_and_no_other() {
    let verdict = point();
    let fracture = label(Observation::Fracture);
    // One false alarm, nothing to hit.
    expect(&verdict, Figure::LabelF1(fracture, Task::Positive), 0.0);
    expect(&verdict, Figure::LabelF1(fracture, Task::Blank), 22.0 / 23.0);
    expect(&verdict, Figure::LabelWeighted(fracture), 0.0);
    // Observed 11/12, chance 12*11/144 = 11/12.
    expect(&verdict, Figure::LabelKappa(fracture), 0.0);
    // Blank on both sides throughout: no F1 of mention, no kappa.
    let edema = label(Observation::Edema);
    expect_undefined(&verdict, Figure::LabelF1(edema, Task::Mention));
    expect_undefined(&verdict, Figure::LabelKappa(edema));
    expect(&verdict, Figure::LabelF1(edema, Task::Blank), 1.0);
}

#[test]
fn chexbert_macros_are_over_14_13_and_12_labels() {
    let verdict = point();
    let of = |task| Figure::Macro(Average::Chexbert, task);
    // CM 1, PN 1, PE 8/9, SD 2/3, FR 0, NF 8/9, eight undefined count 0.
    expect(&verdict, of(Task::Mention), (1.0 + 1.0 + 8.0 / 9.0 + 2.0 / 3.0 + 8.0 / 9.0) / 14.0);
    // CM 4/5, PN 0, PE 4/5, SD 2/3, FR 0, NF 8/9.
    expect(&verdict, of(Task::Positive), (0.8 + 0.8 + 2.0 / 3.0 + 8.0 / 9.0) / 14.0);
    // CM 1, PN 1, PE 2/3; without No Finding.
    expect(&verdict, of(Task::Negation), (1.0 + 1.0 + 2.0 / 3.0) / 13.0);
    // PN 2/3; without No Finding and Support Devices.
    expect(&verdict, of(Task::Uncertainty), (2.0 / 3.0) / 12.0);
    // Eight observations, CM and PN 1; PE and NF 14/15, SD 20/21, FR 22/23.
    let blank = 10.0 + 2.0 * 14.0 / 15.0 + 20.0 / 21.0 + 22.0 / 23.0;
    expect(&verdict, of(Task::Blank), blank / 14.0);
    // CM 4.6/6, PN 2/3, PE 44/75, SD 2/3, NF 8/9, nine are 0.
    let weighted = 4.6 / 6.0 + 2.0 / 3.0 + 44.0 / 75.0 + 2.0 / 3.0 + 8.0 / 9.0;
    expect(&verdict, Figure::WeightedF1, weighted / 14.0);
    // Over the six labels that have one.
    let kappa = 81.0 / 93.0 + 62.0 / 74.0 + 0.7 + 0.625 + 0.0 + 56.0 / 68.0;
    expect(&verdict, Figure::Kappa, kappa / 6.0);
}

#[test]
fn supported_macros_are_over_labels_with_enough_reference_cells() {
    let verdict = point();
    let of = |task| Figure::Macro(Average::Supported, task);
    // At least 2 cells. Mention: CM 6, PN 4, PE 5, SD 2.
    expect(&verdict, of(Task::Mention), (1.0 + 1.0 + 8.0 / 9.0 + 2.0 / 3.0) / 4.0);
    // Positive: CM 2, PE 2, SD 2; not PN with 1.
    expect(&verdict, of(Task::Positive), (0.8 + 0.8 + 2.0 / 3.0) / 3.0);
    // Negation: CM 3, PN 2, PE 2.
    expect(&verdict, of(Task::Negation), (1.0 + 1.0 + 2.0 / 3.0) / 3.0);
    // No observation is uncertain twice.
    expect_undefined(&verdict, of(Task::Uncertainty));
    // Blank: all thirteen.
    let blank = 10.0 + 14.0 / 15.0 + 20.0 / 21.0 + 22.0 / 23.0;
    expect(&verdict, of(Task::Blank), blank / 13.0);
    // With No Finding (5 cells) in positive.
    let with = Figure::Macro(Average::SupportedNf, Task::Positive);
    expect(&verdict, with, (0.8 + 0.8 + 2.0 / 3.0 + 8.0 / 9.0) / 4.0);

    let stricter = self::verdict(Plan { resamples: 0, min_support: 5, ..PLAN });
    // Mention: CM 6 and PE 5. Positive: No Finding alone.
    expect(&stricter, of(Task::Mention), (1.0 + 8.0 / 9.0) / 2.0);
    expect_undefined(&stricter, of(Task::Positive));
    expect(&stricter, with, 8.0 / 9.0);
}

#[test]
fn pooled_figures_by_hand() {
    let verdict = point();
    // Mention: hits CM 6, PN 4, PE 4, SD 1; false alarm FR; misses PE, SD. 30 / (30 + 3).
    expect(&verdict, Figure::Micro(Task::Mention), 30.0 / 33.0);
    // Positive: hits CM 2, PE 2, SD 1; false alarms CM, PE, FR; misses PN, SD. 10 / (10 + 5).
    expect(&verdict, Figure::Micro(Task::Positive), 10.0 / 15.0);
    // Wrong: r03 r04 r07 r08 r10 r11, one cell each.
    expect(&verdict, Figure::ExactMatch, 6.0 / 12.0);
    expect(&verdict, Figure::CellAccuracy, 150.0 / 156.0);
}

#[test]
fn binary_conventions_by_hand() {
    let verdict = point();
    // Present (positive or uncertain): CM r02 r03 r11, PN r04 r05, PE r03 r07 r08: all found. SD
    // misses r07 (2/3), FR false alarm (0), NF misses r10 (8/9).
    expect(&verdict, Figure::BinaryMacro(Binary::Rrg14), (3.0 + 2.0 / 3.0 + 8.0 / 9.0) / 14.0);
    // Hits 3+2+3+1+4 = 13, false alarm 1, misses 2.
    expect(&verdict, Figure::BinaryMicro(Binary::Rrg14), 26.0 / 29.0);
    // Support 3, 2, 3, 2, 5.
    expect(
        &verdict,
        Figure::BinaryWeighted(Binary::Rrg14),
        (3.0 + 2.0 + 3.0 + 2.0 * 2.0 / 3.0 + 5.0 * 8.0 / 9.0) / 15.0,
    );
    // r07 and r10 disagree.
    expect(&verdict, Figure::BinaryExact(Binary::Rrg14), 10.0 / 12.0);
    // CM and PE are 1; Edema, Consolidation, Atelectasis have no cells: 0.
    expect(&verdict, Figure::BinaryMacro(Binary::Rrg5), 2.0 / 5.0);
    expect(&verdict, Figure::BinaryMicro(Binary::Rrg5), 1.0);
    expect(&verdict, Figure::BinaryExact(Binary::Rrg5), 1.0);
    // As rrg14 without No Finding.
    expect(&verdict, Figure::BinaryMacro(Binary::Binary13), (3.0 + 2.0 / 3.0) / 13.0);
    expect(&verdict, Figure::BinaryMicro(Binary::Binary13), 18.0 / 20.0);
    // Positive or negative reference cells only: CM 2 of 2, PE 2 of 2, SD 1 of 2, PN 0 of 1; the
    // false alarms r03 (CM), r08 (PE) and r10 (FR) are dropped with their cells.
    expect(&verdict, Figure::BinaryMacro(Binary::CertainOnly), (2.0 + 2.0 / 3.0) / 13.0);
    expect(&verdict, Figure::BinaryMicro(Binary::CertainOnly), 10.0 / 12.0);
    // r04 and r07 disagree in a certain cell.
    expect(&verdict, Figure::BinaryExact(Binary::CertainOnly), 10.0 / 12.0);
}

#[test]
fn routing_by_hand() {
    // By rising lowest confidence: r04w r08w r01 r03w r10w r05 r07w r02 r06 r11w r09 r12.
    let verdict = point();
    // Budgets of 0.6, 1.2 and 2.4 reports: 0.6, 1.2 and 2 wrong ones, of 6.
    expect(&verdict, Figure::Capture(0), 0.6 / 6.0);
    expect(&verdict, Figure::Capture(1), 1.2 / 6.0);
    expect(&verdict, Figure::Capture(2), 2.0 / 6.0);
    // One wrong cell in each wrong report: the same.
    expect(&verdict, Figure::CaptureCells(2), 2.0 / 6.0);
    expect(&verdict, Figure::Residual(1), 4.8 / 10.8);
    expect(&verdict, Figure::Residual(2), 4.0 / 9.6);
    expect(&verdict, Figure::ResidualCells(2), 4.0 / (9.6 * 13.0));
    // Accepted and wrong after 0..12 deferred: 6 5 4 4 3 2 2 1 1 1 0 0 0. Trapezoids sum to 26.
    expect(&verdict, Figure::Augrc, 26.0 / 144.0);
    let routing = verdict.systems[0].routing.as_ref().unwrap();
    assert_eq!(routing.wrong_reports, 0.5);
    assert_eq!(routing.augrc_random, 0.25);
    assert!((routing.augrc_oracle.unwrap() - 0.125).abs() < 1e-12);
    // Half are wrong: a perfect ranking finds 2.4 of 6 at 20 %.
    assert!((routing.budgets[2].oracle_reports.unwrap() - 0.4).abs() < 1e-12);
    assert_eq!(routing.budgets[2].random, 0.2);
}

#[test]
fn calibration_by_hand() {
    let verdict = point();
    // 156 cells, 10.4 a bin. First bin: the eleven lowest (0.50 to 0.82, sum 7.62), 5 right. The
    // 144 at 0.95 stay together, with 0.84 before them: 145 cells, sum 137.64, all right.
    let bins = &verdict.systems[0].reliability;
    assert_eq!(bins.iter().map(|bin| bin.cells).collect::<Vec<_>>(), [11, 145]);
    expect(&verdict, Figure::Ece, ((7.62 - 5.0) + (145.0 - 137.64)) / 156.0);
    // Wrong: 0.5 0.55 0.65 0.7 0.74 0.8 squared. Right: 0.6 0.72 0.76 0.78 0.82 0.84 and 144
    // times 0.95, distance to 1 squared.
    let wrong = 0.25 + 0.3025 + 0.4225 + 0.49 + 0.5476 + 0.64;
    let right = 0.16 + 0.0784 + 0.0576 + 0.0484 + 0.0324 + 0.0256 + 144.0 * 0.0025;
    expect(&verdict, Figure::Brier, (wrong + right) / 156.0);
    let wrong: f64 = [0.5_f64, 0.45, 0.35, 0.3, 0.26, 0.2].iter().map(|p| -p.ln()).sum();
    let right: f64 = [0.6_f64, 0.72, 0.76, 0.78, 0.82, 0.84].iter().map(|p| -p.ln()).sum();
    expect(&verdict, Figure::LogLoss, (wrong + right - 144.0 * 0.95_f64.ln()) / 156.0);
    // Only confidences, no distributions.
    expect_undefined(&verdict, Figure::Brier4);
    expect_undefined(&verdict, Figure::ClasswiseEce);
}

#[test]
fn a_chexpert_csv_in_any_column_order_gives_the_same_labels() {
    let gold = gold();
    let jsonl = system(&gold, "a", &system_a_jsonl());
    let csv = system(&gold, "a", &system_a_csv());
    assert_eq!(jsonl.answers.rows, csv.answers.rows);
    assert_eq!(csv.answers.matched_by, "id");
    assert!(csv.answers.scores.is_none(), "a CSV has no confidence");
    let verdict = judge(&gold, named("gold"), &[csv], false, None, PLAN);
    expect_undefined(&verdict, Figure::Ece);
    assert_eq!(verdict.systems[0].routing, None);
}

#[test]
fn a_stated_no_finding_is_judged_as_it_stands() {
    let gold = gold();
    // The system says Fracture and No Finding of r10, and states an impossible 0 for r01.
    let mut csv = system_a_csv();
    csv = csv.replacen('\n', ",No Finding\n", 1);
    csv = csv
        .lines()
        .enumerate()
        .map(|(line, text)| match (line, text.split(',').next().unwrap()) {
            (0, _) => format!("{text}\n"),
            (_, "r06" | "r09" | "r10" | "r12") => format!("{text},1\n"),
            (_, "r01") => format!("{text},0\n"),
            _ => format!("{text},\n"),
        })
        .collect();
    let stated = system(&gold, "a", &csv);
    let at = Label::NoFinding.index();
    assert_eq!(stated.answers.rows[9][at], FindingStatus::Positive);
    assert_eq!(stated.answers.rows[0][at], FindingStatus::NotMentioned);
    assert_eq!(stated.answers.contradictions, 2);
    let derived = gold.pair(&evaluate_support::sheet(&csv), MatchBy::Auto, true).unwrap();
    assert_eq!(derived.rows[9][at], FindingStatus::NotMentioned);
    assert_eq!(derived.rows[0][at], FindingStatus::Positive);
}

#[test]
fn intervals_hold_the_figure_and_a_system_equals_itself() {
    let gold = gold();
    let systems = [
        system(&gold, "a", &system_a_jsonl()),
        system(&gold, "gold", &gold_jsonl()),
        system(&gold, "again", &system_a_jsonl()),
    ];
    let verdict = judge(&gold, named("gold"), &systems, true, None, PLAN);
    let exact = verdict.systems[0].figures.get(Figure::ExactMatch).unwrap();
    let Interval { low, high } = exact.interval.unwrap();
    assert!(low < 0.5 && 0.5 < high && low >= 0.0 && high <= 1.0, "{low} to {high}");
    // a minus again.
    let same = verdict.comparisons[0].differences.get(Figure::ExactMatch).unwrap();
    assert_eq!((same.value, same.p), (0.0, Some(1.0)));
    // gold minus again: 1 - 0.5, and surely so.
    let better = verdict.comparisons[1].differences.get(Figure::ExactMatch).unwrap();
    assert!((better.value - 0.5).abs() < 1e-12);
    assert!(better.interval.unwrap().low > 0.0 && better.p.unwrap() < 0.05);
}

#[test]
fn a_teacher_behind_a_system_is_asked_about_the_most_doubtful_first() {
    // Two reports of twenty are wrong, and the system doubts just those.
    let line = |id: usize, status: &str, confidence: f64| {
        let cells = Observation::ALL.map(|observation| {
            let edema = observation == Observation::Edema;
            let (status, sure) = if edema { (status, confidence) } else { ("not_mentioned", 0.99) };
            format!(r#""{}":{{"status":"{status}","confidence":{sure}}}"#, observation.name())
        });
        format!(r#"{{"id":"{id:02}","labels":{{{}}}}}"#, cells.join(","))
    };
    let gold: Vec<String> = (0..20).map(|id| line(id, "positive", 1.0)).collect();
    let student: Vec<String> = (0..20)
        .map(|id| if id % 10 == 3 { line(id, "negative", 0.4) } else { line(id, "positive", 0.9) })
        .collect();
    let sheet = |lines: &[String]| read(lines.join("\n").as_bytes(), &Reading::default()).unwrap();
    let reference = Gold::new(sheet(&gold), false).unwrap();
    let system = |name: &str, lines: &[String]| {
        let answers = reference.pair(&sheet(lines), MatchBy::Auto, false).unwrap();
        System { from: named(name), answers }
    };
    let teacher = system("teacher", &gold);
    let systems = [system("student", &student)];
    let plan = Plan { resamples: 0, ..PLAN };
    let verdict = judge(&reference, named("gold"), &systems, false, Some(&teacher), plan);
    let second = verdict.systems[0].second_opinion.as_ref().unwrap();
    let positive: Vec<(usize, f64, f64)> = second
        .rates
        .iter()
        .map(|at| (at.calls, at.doubtful[1].unwrap(), at.by_lot[1].unwrap()))
        .collect();
    // 18 of 20 found: F1 36/38; with one mended 38/39; with both 1.
    let expected = [(0, 36.0 / 38.0), (1, 38.0 / 39.0), (2, 1.0), (4, 1.0), (20, 1.0)];
    for ((calls, doubtful, lot), (wanted, f1)) in positive.iter().zip(expected) {
        assert_eq!(*calls, wanted);
        assert!((doubtful - f1).abs() < 1e-12, "{doubtful} at {calls} calls");
        assert!(lot <= doubtful, "by lot {lot} is no better");
    }
    assert!(positive[2].2 < 1.0, "two of twenty drawn by lot seldom are the two");
}
