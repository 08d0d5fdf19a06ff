use super::*;
use crate::report::{Intent, Phi, Procedure, ReportKey, ReportStatus, ReportVersion, STATUSES};

const CONFIDENT_UNCERTAIN: [f32; STATUSES] = [0.01, 0.02, 0.01, 0.96];

fn report(warnings: Vec<Warning>) -> Report {
    Report {
        key: ReportKey::new("RIS", "A1"),
        accession_number: Phi::from("A1"),
        intent: Intent::Label,
        status: ReportStatus::Final,
        version: ReportVersion::default(),
        procedure: Procedure::default(),
        blocks: Vec::new(),
        message_type: "ORU^R01".into(),
        sending_application: String::new(),
        sending_facility: String::new(),
        charset: "US-ASCII",
        profile: None,
        test_message: false,
        warnings,
    }
}

fn scored(row: [f32; STATUSES]) -> Scored {
    Scored { probabilities: [row; OBSERVATIONS], evidence: [None; OBSERVATIONS], truncated: false }
}

fn policy() -> RoutePolicy {
    RoutePolicy {
        escalate: true,
        thresholds: [0.8; OBSERVATIONS],
        audit_rate: 0.01,
        max_escalation_rate: 1.0,
        doubtful_share: 1.0,
        max_tokens_per_word: 0.0,
        max_rule_conflicts: None,
    }
}

/// One cell at 51 to 49, the others sure.
fn one_doubtful_cell() -> Scored {
    let mut scored = scored([0.97, 0.01, 0.01, 0.01]);
    scored.probabilities[8] = [0.0, 0.51, 0.49, 0.0];
    scored
}

fn tickets() -> impl Iterator<Item = f64> {
    (0..1000).map(|i| f64::from(i) / 1000.0)
}

#[test]
fn a_hedge_that_is_labelled_confidently_is_not_escalated() {
    let decision =
        decide(&scored(CONFIDENT_UNCERTAIN), &report(vec![]), &Hints::default(), &policy(), 0.5);
    assert_eq!(decision.labels, [FindingStatus::Uncertain; OBSERVATIONS]);
    assert_eq!(decision.reasons, vec![]);
    assert!(!decision.escalates() && !decision.doubtful() && !decision.withheld);
}

#[test]
fn a_narrow_choice_is_escalated_and_names_its_cell() {
    let decision =
        decide(&one_doubtful_cell(), &report(vec![]), &Hints::default(), &policy(), 0.999);
    assert_eq!(decision.labels[8], FindingStatus::Positive);
    assert_eq!(
        decision.reasons,
        vec![EscalationReason::LowConfidence {
            observation: Observation::Pneumothorax,
            confidence: 0.51,
            threshold: 0.8
        }]
    );
    assert!(decision.escalates() && decision.doubtful());
    assert_eq!(decision.no_finding, FindingStatus::NotMentioned);
}

#[test]
fn confidence_equal_to_the_threshold_is_enough() {
    let exact = scored([0.8, 0.1, 0.1, 0.0]);
    assert_eq!(decide(&exact, &report(vec![]), &Hints::default(), &policy(), 0.5).reasons, vec![]);
}

#[test]
fn a_lone_addendum_and_cut_text_concern_the_whole_report() {
    let mut cut = scored(CONFIDENT_UNCERTAIN);
    cut.truncated = true;
    let decision =
        decide(&cut, &report(vec![Warning::AddendumAlone]), &Hints::default(), &policy(), 0.5);
    assert_eq!(
        decision.reasons,
        vec![EscalationReason::Truncated, EscalationReason::AddendumAlone]
    );
    assert!(decision.reasons.iter().all(|reason| reason.observation().is_none()));
}

#[test]
fn audits_take_their_share_of_the_confident_and_are_no_doubt() {
    let audited = tickets()
        .map(|draw| {
            decide(
                &scored(CONFIDENT_UNCERTAIN),
                &report(vec![]),
                &Hints::default(),
                &policy(),
                draw,
            )
        })
        .filter(Decision::escalates)
        .inspect(|decision| assert!(!decision.doubtful()))
        .count();
    assert_eq!(audited, 10);
}

#[test]
fn with_escalation_off_doubt_is_noted_and_nothing_is_sent() {
    let off = RoutePolicy { escalate: false, audit_rate: 1.0, ..policy() };
    let doubtful = decide(&one_doubtful_cell(), &report(vec![]), &Hints::default(), &off, 0.0);
    assert!(doubtful.doubtful() && doubtful.withheld && !doubtful.escalates());
    let confident =
        decide(&scored(CONFIDENT_UNCERTAIN), &report(vec![]), &Hints::default(), &off, 0.0);
    assert!(confident.reasons.is_empty() && !confident.withheld);
}

#[test]
fn no_stream_passes_the_ceiling() {
    let capped = RoutePolicy { max_escalation_rate: 0.2, audit_rate: 0.5, ..policy() };
    for share_of_doubtful in [0_usize, 1, 5, 10] {
        let escalated = tickets()
            .enumerate()
            .filter(|(i, draw)| {
                let scored = if i % 10 < share_of_doubtful {
                    one_doubtful_cell()
                } else {
                    scored(CONFIDENT_UNCERTAIN)
                };
                decide(&scored, &report(vec![]), &Hints::default(), &capped, *draw).escalates()
            })
            .count();
        assert!(escalated <= 200, "{escalated} of 1000 at {share_of_doubtful} tenths doubtful");
    }
}

#[test]
fn a_known_share_of_doubtful_reports_lets_the_ceiling_be_used_in_full() {
    let capped = |doubtful_share| RoutePolicy {
        max_escalation_rate: 0.2,
        audit_rate: 0.0,
        doubtful_share,
        ..policy()
    };
    assert!((capped(0.4).admission() - 0.5).abs() < 1e-12);
    assert!((capped(0.1).admission() - 1.0).abs() < 1e-12);
    assert!((capped(0.0).admission() - 0.2).abs() < 1e-12, "unknown is the safe bound");
    assert!((capped(f64::NAN).admission() - 0.2).abs() < 1e-12);
    let audited = RoutePolicy { audit_rate: 0.1, ..capped(0.5) };
    assert!((audited.admission() - 0.3).abs() < 1e-12, "audits are counted in");
    let doubtful = one_doubtful_cell();
    assert!(decide(&doubtful, &report(vec![]), &Hints::default(), &capped(0.4), 0.49).escalates());
    assert!(decide(&doubtful, &report(vec![]), &Hints::default(), &capped(0.4), 0.5).withheld);
}

#[test]
fn a_report_over_the_ceiling_is_withheld_with_its_reasons() {
    let capped = RoutePolicy { max_escalation_rate: 0.2, ..policy() };
    let decision = decide(&one_doubtful_cell(), &report(vec![]), &Hints::default(), &capped, 0.2);
    assert!(decision.withheld && decision.doubtful() && !decision.escalates());
    assert!(
        decide(&one_doubtful_cell(), &report(vec![]), &Hints::default(), &capped, 0.1999)
            .escalates()
    );
}

#[test]
fn numbers_that_are_none_are_doubted() {
    let decision =
        decide(&scored([f32::NAN; STATUSES]), &report(vec![]), &Hints::default(), &policy(), 0.5);
    assert_eq!(decision.reasons.len(), OBSERVATIONS);
    assert_eq!(decision.confidence, [0.0; OBSERVATIONS]);
}

#[test]
fn tickets_are_uniform_and_stay_below_one() {
    let mut counts = [0_u32; 10];
    for i in 0..10_000_u32 {
        let draw = draw_of(&Uuid::new_v5(&Uuid::NAMESPACE_DNS, &i.to_be_bytes()));
        counts[(draw * 10.0) as usize] += 1;
    }
    assert!(counts.iter().all(|count| (850..1150).contains(count)), "{counts:?}");
    assert!(draw_of(&Uuid::max()) < 1.0);
    assert!(draw_of(&Uuid::nil()).abs() < f64::EPSILON);
}

#[test]
fn unknown_words_and_rules_that_disagree_are_doubts_of_the_whole_report() {
    let policy = RoutePolicy { max_tokens_per_word: 2.0, max_rule_conflicts: Some(2), ..policy() };
    let reasons = |tokens_per_word, conflicts: usize| {
        let mut rules = [FindingStatus::Uncertain; OBSERVATIONS];
        rules[..conflicts].fill(FindingStatus::Positive);
        let hints = Hints { tokens_per_word, rules: Some(rules) };
        decide(&scored(CONFIDENT_UNCERTAIN), &report(vec![]), &hints, &policy, 0.5).reasons
    };
    assert_eq!(reasons(2.0, 2), vec![]);
    assert_eq!(reasons(2.1, 0), vec![EscalationReason::UnknownWords]);
    assert_eq!(reasons(1.2, 3), vec![EscalationReason::RulesDisagree]);
}
