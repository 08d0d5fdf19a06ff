use super::*;
use crate::evaluate::Task;
use crate::evaluate::bootstrap::Difference;
use crate::promotion::evidence::{
    Contender, FLOOR_TASKS, GoldSet, Lost, MacroF1, ObservationF1, Paired, Speed, TASKS,
};
use crate::promotion::limits::{Margins, Require};
use crate::report::Observation;

fn limits() -> Limits {
    Limits {
        require: Require::Better,
        primary: vec!["positive", "uncertainty"],
        min_reports: 100,
        margins: Margins { positive: 0.03, uncertainty: 0.05, negation: 0.02, mention: 0.02 },
        floor_cells: 20,
        floor_fall: 0.1,
        max_ece: 0.03,
        ece_margin: 0.01,
        log_loss_margin: 0.02,
        doubted_rise: 0.05,
        min_doubted_ratio: 0.2,
        mistakes_rise: 0.03,
        min_speed_ratio: 0.8,
        max_bytes: 40 << 20,
        max_lost_sentences: 2,
    }
}

fn paired(champion: f64, difference: f64, low: f64, high: f64) -> Paired {
    // As of 1000 resamples, none of which contradicts the interval.
    let p = if low > 0.0 || high < 0.0 { 0.001 } else { 0.4 };
    with_p(champion, difference, low, high, p)
}

fn with_p(champion: f64, difference: f64, low: f64, high: f64, p: f64) -> Paired {
    let interval = Some(Interval { low, high });
    Paired {
        champion: Some(champion),
        challenger: Some(champion + difference),
        difference: Some(Difference { value: difference, interval, p: Some(p) }),
    }
}

fn contender(manifest: &str) -> Contender {
    Contender {
        name: "student".to_owned(),
        version: manifest.to_owned(),
        sha256: manifest.to_owned(),
        manifest_sha256: manifest.to_owned(),
        bytes: 13 << 20,
        max_tokens: 512,
    }
}

/// A challenger that is surely better in positives, and as good elsewhere.
fn better() -> Evidence {
    let set = GoldSet {
        name: "gold.jsonl".to_owned(),
        sha256: String::new(),
        reports: 250,
        macros: TASKS
            .into_iter()
            .map(|task| MacroF1 {
                task,
                observations: 13,
                paired: match task {
                    Task::Positive => paired(0.90, 0.03, 0.01, 0.05),
                    _ => paired(0.95, 0.0, -0.01, 0.01),
                },
            })
            .collect(),
        observations: FLOOR_TASKS
            .into_iter()
            .flat_map(|task| Observation::ALL.map(|observation| (task, observation)))
            .map(|(task, observation)| ObservationF1 {
                observation,
                task,
                cells: 30,
                paired: paired(0.9, 0.0, -0.05, 0.05),
            })
            .collect(),
        ece: paired(0.010, 0.001, -0.002, 0.004),
        exact_match: paired(0.8, 0.0, -0.02, 0.02),
        log_loss: paired(0.08, 0.001, -0.005, 0.007),
        doubted: paired(0.09, 0.01, -0.02, 0.04),
        passed_mistakes: paired(0.06, 0.005, -0.02, 0.03),
    };
    Evidence {
        champion: Some(contender("old")),
        challenger: contender("new"),
        load_problem: None,
        self_test_failures: Vec::new(),
        lost_sentences: Some(Lost { sentences: 1, of: 50, labels: vec!["a".to_owned()] }),
        gold: vec![set],
        speed: Speed::of(&[(1.0, 1.0)], 100, "processor time"),
    }
}

fn task(evidence: &mut Evidence, wanted: Task) -> &mut MacroF1 {
    evidence.gold[0].macros.iter_mut().find(|m| m.task == wanted).unwrap()
}

/// The ruling, and the figures that stand against it.
fn ruled(change: impl FnOnce(&mut Evidence)) -> (Ruling, Vec<String>) {
    let mut evidence = better();
    change(&mut evidence);
    let decision = decide(&evidence, &limits());
    let against = decision
        .guards
        .iter()
        .filter(|g| matches!(g.outcome, Outcome::Fails | Outcome::Unknown))
        .map(|g| g.figure.clone());
    (decision.ruling, against.collect())
}

fn refused_for(figure: &str, change: impl FnOnce(&mut Evidence)) {
    assert_eq!(ruled(change), (Ruling::Refused, vec![figure.to_owned()]));
}

fn undecided_for(figure: &str, change: impl FnOnce(&mut Evidence)) {
    assert_eq!(ruled(change), (Ruling::InsufficientEvidence, vec![figure.to_owned()]));
}

#[test]
fn a_better_challenger_is_promoted() {
    assert_eq!(ruled(|_| ()), (Ruling::Promoted, Vec::new()));
}

#[test]
fn each_guard_refuses_alone() {
    for (name, wanted) in [
        ("supported.uncertainty", Task::Uncertainty),
        ("supported.negation", Task::Negation),
        ("supported.mention", Task::Mention),
    ] {
        refused_for(name, |e| task(e, wanted).paired = paired(0.95, -0.08, -0.12, -0.04));
    }
    // Worse in positives, but better in the other primary figure.
    refused_for("supported.positive", |e| {
        task(e, Task::Positive).paired = paired(0.9, -0.08, -0.12, -0.04);
        task(e, Task::Uncertainty).paired = paired(0.8, 0.04, 0.01, 0.07);
    });
    refused_for("label.edema.uncertainty", |e| {
        let figures = &mut e.gold[0].observations;
        let figure = figures
            .iter_mut()
            .find(|f| f.observation == Observation::Edema && f.task == Task::Uncertainty);
        figure.unwrap().paired = paired(0.9, -0.3, -0.5, -0.1);
    });
    refused_for("calibration.ece", |e| e.gold[0].ece = paired(0.029, 0.003, 0.001, 0.005));
    refused_for("calibration.ece", |e| e.gold[0].ece = paired(0.005, 0.014, 0.011, 0.017));
    // Sure of everything: of few mistakes, the calibration error hardly takes notice.
    refused_for("calibration.nll_4", |e| e.gold[0].log_loss = paired(0.08, 0.09, 0.06, 0.12));
    // Thresholds that doubt nearly all, and such as doubt nothing.
    refused_for("doubted", |e| e.gold[0].doubted = paired(0.09, 0.8, 0.75, 0.85));
    refused_for("doubted", |e| e.gold[0].doubted = paired(0.09, -0.09, -0.13, -0.05));
    refused_for("doubted", |e| e.gold[0].doubted = paired(0.09, -0.075, -0.11, -0.04));
    // As many doubts, but of the wrong reports.
    refused_for("passed_mistakes", |e| e.gold[0].passed_mistakes = paired(0.06, 0.04, 0.01, 0.07));
    refused_for("speed", |e| e.speed = Speed::of(&[(1.0, 2.0)], 100, "processor time"));
    refused_for("size", |e| e.challenger.bytes = 41 << 20);
    refused_for("self_test", |e| e.self_test_failures = vec!["wrong".to_owned()]);
    refused_for("self_test.champion", |e| {
        e.lost_sentences = Some(Lost { sentences: 3, of: 50, labels: vec!["x".to_owned(); 4] });
    });
    refused_for("compatible", |e| e.challenger.max_tokens = 256);
    refused_for("new", |e| e.challenger.manifest_sha256 = "old".to_owned());
    refused_for("loads", |e| e.load_problem = Some("`model.onnx` is damaged".to_owned()));
}

#[test]
fn no_gain_is_refused_unless_as_good_is_enough() {
    let as_good = |e: &mut Evidence| {
        for wanted in [Task::Positive, Task::Uncertainty] {
            task(e, wanted).paired = paired(0.9, -0.005, -0.01, 0.0);
        }
    };
    refused_for("gain", as_good);
    let mut evidence = better();
    as_good(&mut evidence);
    let limits = Limits { require: Require::NotWorse, ..limits() };
    assert_eq!(decide(&evidence, &limits).ruling, Ruling::Promoted);
}

#[test]
fn what_cannot_be_told_is_not_passed() {
    let wide = paired(0.9, -0.01, -0.06, 0.04);
    undecided_for("supported.negation", |e| task(e, Task::Negation).paired = wide);
    undecided_for("gain", |e| task(e, Task::Positive).paired = paired(0.9, 0.01, -0.01, 0.03));
    undecided_for("reports", |e| e.gold[0].reports = 99);
    undecided_for("speed", |e| e.speed = None);
    undecided_for("self_test.champion", |e| e.lost_sentences = None);
    undecided_for("calibration.nll_4", |e| e.gold[0].log_loss = Paired::default());
    undecided_for("calibration.ece", |e| e.gold[0].ece = paired(0.01, 0.005, -0.004, 0.012));
    undecided_for("doubted", |e| e.gold[0].doubted = Paired::default());
    undecided_for("doubted", |e| e.gold[0].doubted = paired(0.09, 0.06, -0.01, 0.13));
    undecided_for("doubted", |e| e.gold[0].doubted = paired(0.09, -0.08, -0.17, 0.01));
    undecided_for("passed_mistakes", |e| e.gold[0].passed_mistakes = Paired::default());
    undecided_for("passed_mistakes", |e| {
        e.gold[0].passed_mistakes = paired(0.06, 0.04, -0.01, 0.09);
    });
    undecided_for("label.fracture.positive", |e| {
        let figures = &mut e.gold[0].observations;
        let figure = figures
            .iter_mut()
            .find(|f| f.observation == Observation::Fracture && f.task == Task::Positive);
        figure.unwrap().paired = paired(0.9, -0.2, -0.5, 0.1);
    });
    // Without resamples there are no intervals, and nothing is shown.
    let (ruling, against) = ruled(|e| {
        for figure in &mut e.gold[0].macros {
            figure.paired.difference.as_mut().unwrap().interval = None;
        }
    });
    assert_eq!((ruling, against.len()), (Ruling::InsufficientEvidence, 5));
    // No gold set at all: nothing is known of any figure.
    let (ruling, against) = ruled(|e| e.gold.clear());
    assert_eq!((ruling, against.len()), (Ruling::InsufficientEvidence, 5));
}

#[test]
fn a_failure_outweighs_what_cannot_be_told_and_both_are_given_as_reasons() {
    let mut evidence = better();
    evidence.speed = None;
    evidence.challenger.bytes = 41 << 20;
    evidence.self_test_failures = vec!["a".to_owned(); 5];
    let decision = decide(&evidence, &limits());
    assert_eq!(decision.ruling, Ruling::Refused);
    let reasons = decision.reasons();
    assert_eq!(reasons.len(), 3, "{reasons:?}");
    assert!(
        reasons[0]
            .starts_with("self_test: 5 labels wrong in its own sentences: a; a; a; and 2 more")
    );
    assert_eq!(reasons[1], "size: the folder has 41.0 MiB");
    assert_eq!(reasons[2], "speed: it was not measured");
}

#[test]
fn a_task_that_one_gold_set_cannot_judge_is_judged_by_another() {
    let two = |evidence: &mut Evidence| {
        let mut site = evidence.gold[0].clone();
        site.name = "site.jsonl".to_owned();
        for figure in &mut site.macros {
            if figure.task == Task::Uncertainty {
                *figure = MacroF1 { observations: 0, paired: Paired::default(), ..*figure };
            }
        }
        evidence.gold.push(site);
    };
    assert_eq!(ruled(two).0, Ruling::Promoted);
    undecided_for("supported.uncertainty", |evidence| {
        two(evidence);
        evidence.gold.remove(0);
    });
}

#[test]
fn every_gold_set_is_guarded() {
    refused_for("supported.mention", |evidence| {
        let mut site = evidence.gold[0].clone();
        site.name = "site.jsonl".to_owned();
        let mention = site.macros.iter_mut().find(|m| m.task == Task::Mention).unwrap();
        mention.paired = paired(0.95, -0.3, -0.4, -0.2);
        evidence.gold.push(site);
    });
}

#[test]
fn an_observation_with_few_cells_has_no_floor() {
    let (ruling, _) = ruled(|e| {
        for figure in &mut e.gold[0].observations {
            figure.cells = 19;
            figure.paired = paired(0.9, -0.5, -0.8, -0.2);
        }
    });
    assert_eq!(ruling, Ruling::Promoted);
}

#[test]
fn a_champion_above_the_limit_of_calibration_may_be_replaced_by_one_less_so() {
    let (ruling, _) = ruled(|e| e.gold[0].ece = paired(0.06, -0.02, -0.03, -0.01));
    assert_eq!(ruling, Ruling::Promoted);
}

#[test]
fn reasons_name_figure_value_interval_and_limit() {
    let mut evidence = better();
    task(&mut evidence, Task::Negation).paired = paired(0.95, -0.08, -0.12, -0.04);
    let reasons = decide(&evidence, &limits()).reasons();
    let wanted = "supported.negation on gold.jsonl: 0.870 against 0.950, difference -0.080 \
                  [-0.120, -0.040]; limit: difference at least -0.020";
    assert_eq!(reasons, [wanted]);
}

#[test]
fn a_first_model_is_asked_for_what_can_be_asked() {
    let mut evidence = better();
    evidence.champion = None;
    evidence.gold.clear();
    evidence.speed = None;
    assert_eq!(decide_first(&evidence, &limits()).ruling, Ruling::Promoted);
    evidence.self_test_failures = vec!["wrong".to_owned()];
    assert_eq!(decide_first(&evidence, &limits()).ruling, Ruling::Refused);
}

#[test]
fn more_reports_without_a_wrong_cell_are_a_gain_where_that_counts() {
    let mut evidence = better();
    for set in &mut evidence.gold {
        for figure in &mut set.macros {
            figure.paired = paired(0.9, 0.001, -0.01, 0.01);
        }
        set.exact_match = paired(0.8, 0.03, 0.01, 0.05);
    }
    let ruling =
        |primary: Vec<&'static str>| decide(&evidence, &Limits { primary, ..limits() }).ruling;
    assert_eq!(ruling(vec!["positive"]), Ruling::InsufficientEvidence);
    assert_eq!(ruling(vec!["positive", "exact_match"]), Ruling::Promoted);
}

#[test]
fn a_model_that_doubts_a_little_more_or_less_is_let_through_and_so_is_the_first_that_doubts() {
    for doubted in [
        paired(0.09, 0.049, 0.01, 0.09),
        paired(0.09, -0.07, -0.1, -0.04),
        // The champion doubts nothing: nothing is no less than a fifth of that.
        paired(0.0, 0.0, 0.0, 0.0),
    ] {
        assert_eq!(ruled(|e| e.gold[0].doubted = doubted), (Ruling::Promoted, Vec::new()));
    }
    refused_for("doubted", |e| e.gold[0].doubted = paired(0.0, 0.09, 0.06, 0.12));
}

#[test]
fn the_more_figures_and_sets_are_looked_at_the_less_likely_by_chance_a_gain_must_be() {
    let likely = |p: f64| {
        let mut evidence = better();
        task(&mut evidence, Task::Positive).paired = with_p(0.90, 0.03, 0.002, 0.06, p);
        evidence
    };
    let ruling = |evidence: &Evidence, primary: &[&'static str]| {
        let limits = Limits { primary: primary.to_vec(), ..limits() };
        decide(evidence, &limits).ruling
    };
    // One figure on one set: its interval above 0 is enough.
    assert_eq!(ruling(&likely(0.04), &["positive"]), Ruling::Promoted);
    // Three: 0.05 / 3 is 0.0167.
    let three = ["positive", "uncertainty", "exact_match"];
    assert_eq!(ruling(&likely(0.04), &three), Ruling::InsufficientEvidence);
    assert_eq!(ruling(&likely(0.0166), &three), Ruling::Promoted);
    // The same three on another set, too: 0.0083.
    let mut two_sets = likely(0.0166);
    let mut site = two_sets.gold[0].clone();
    site.name = "site.jsonl".to_owned();
    site.macros[0].paired = paired(0.9, 0.0, -0.01, 0.01);
    two_sets.gold.push(site);
    assert_eq!(ruling(&two_sets, &three), Ruling::InsufficientEvidence);
    let reasons = decide(&two_sets, &Limits { primary: three.to_vec(), ..limits() }).reasons();
    assert!(
        reasons[0].contains("p 0.0166") && reasons[0].contains("p at most 0.0083"),
        "{reasons:?}"
    );
    // Far in the interval, but the wrong way: no gain, however unlikely.
    let mut worse = better();
    task(&mut worse, Task::Positive).paired = paired(0.90, -0.02, -0.025, -0.015);
    assert_ne!(ruling(&worse, &["positive"]), Ruling::Promoted);
}
