//! What we say of a report, and whether a second opinion is asked for it.
//!
//! Pure. Two kinds of doubt are kept apart: *uncertain* is a status, the radiologist hedged, and a
//! confident "uncertain" is a good answer that is never escalated; *low confidence* is our doubt
//! about any status, and only that (or a reason that concerns the whole report) escalates.
//!
//! # The ceiling on escalations
//!
//! A redo after an abort or a crash must decide the same, so a decision may depend on the report,
//! the policy and nothing that moves: no clock, no running rate, no order of arrival. What is left
//! is a lottery whose ticket is a function of the report ([`draw_of`] its event id). A doubtful
//! report is escalated when its ticket is below the *admission*, the chance given to doubtful
//! reports; a confident one is audited when its ticket is below the audit rate.
//!
//! How much chance a doubtful report gets ([`RoutePolicy::admission`]) depends on how many there are.
//! With [`RoutePolicy::doubtful_share`] unknown (1), it is `max_escalation_rate` itself: no report
//! then has a greater chance than that of being escalated, whatever arrives, so the ceiling holds on
//! every stream; the price is that it binds early: with a tenth of the reports doubtful and a ceiling
//! of 0.2, 0.02 is sent. With the share known (measured on held-out reports with the thresholds in
//! use) the ceiling is used in full. The share is a constant of the run.

use uuid::Uuid;

use crate::report::{
    FindingStatus, Labels, OBSERVATIONS, Observation, Report, STATUSES, Scored, Warning, no_finding,
};

/// When to ask for a second opinion.
#[derive(Clone, Debug, PartialEq)]
pub struct RoutePolicy {
    /// Whether anything is escalated at all. Doubt is noted in the findings either way.
    pub escalate: bool,
    /// Confidence that each cell has to reach, in [`Observation::ALL`] order, 0 to 1. A cell below
    /// its threshold is doubtful; 0 never doubts it.
    pub thresholds: [f32; OBSERVATIONS],
    /// Share of confident reports that are escalated all the same, 0 to 1: the only unbiased view
    /// of what is accepted without a second opinion.
    pub audit_rate: f64,
    /// Ceiling on the share of reports that are escalated, audits included, 0 to 1. 1: no ceiling.
    pub max_escalation_rate: f64,
    /// Share of all reports that these thresholds doubt, above 0 to 1. 1: unknown.
    pub doubtful_share: f64,
    /// Tokens a word above which a text is doubted: the model cuts words that it does not know into
    /// pieces. 0: never.
    pub max_tokens_per_word: f64,
    /// Cells in which the rules contradict the student above which a report is doubted. `None`: the
    /// rules are not asked.
    pub max_rule_conflicts: Option<usize>,
}

/// What else is known of a report's text when it is decided about.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Hints {
    /// Tokens a word, as the student cut it; 0 when it did not.
    pub tokens_per_word: f64,
    /// What the rules say; `None` when they were not asked.
    pub rules: Option<Labels>,
}

impl RoutePolicy {
    /// The chance to give a doubtful report so that escalations reach the ceiling and do not pass
    /// it. Audits of the confident ones are counted in. A share that is no share counts as unknown.
    pub fn admission(&self) -> f64 {
        let (ceiling, share) = (self.max_escalation_rate, self.doubtful_share);
        if !(share > 0.0 && share <= 1.0) {
            return ceiling.clamp(0.0, 1.0);
        }
        let audits = (1.0 - share) * self.audit_chance();
        ((ceiling - audits) / share).clamp(0.0, 1.0)
    }

    fn audit_chance(&self) -> f64 {
        self.audit_rate.min(self.max_escalation_rate)
    }
}

/// Why a report is doubted or checked. Each has a stable name, used in findings and metrics.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum EscalationReason {
    /// The confidence of one cell is below its threshold.
    LowConfidence {
        /// Which cell.
        observation: Observation,
        /// Its confidence, 0 to 1.
        confidence: f32,
        /// What it had to reach.
        threshold: f32,
    },
    /// The text was longer than the model reads.
    Truncated,
    /// Only an addendum was received, without the report that it changes.
    AddendumAlone,
    /// Many words that the model does not know: another language, another speciality, damaged text.
    UnknownWords,
    /// The rules contradict the student in many cells: one of the two is wrong.
    RulesDisagree,
    /// A confident report, drawn for the audit.
    Audit,
}

impl EscalationReason {
    /// Machine name (`low_confidence`).
    pub const fn name(&self) -> &'static str {
        match self {
            Self::LowConfidence { .. } => "low_confidence",
            Self::Truncated => "truncated",
            Self::AddendumAlone => "addendum_alone",
            Self::UnknownWords => "unknown_words",
            Self::RulesDisagree => "rules_disagree",
            Self::Audit => "audit",
        }
    }

    /// The cell that it concerns; `None` when it concerns the whole report.
    pub const fn observation(&self) -> Option<Observation> {
        match self {
            Self::LowConfidence { observation, .. } => Some(*observation),
            Self::Truncated
            | Self::AddendumAlone
            | Self::UnknownWords
            | Self::RulesDisagree
            | Self::Audit => None,
        }
    }
}

/// What we say of a report.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// Most probable status of each observation.
    pub labels: Labels,
    /// Calibrated probability of that status, 0 to 1.
    pub confidence: [f32; OBSERVATIONS],
    /// The derived label No Finding.
    pub no_finding: FindingStatus,
    /// Why the answer is doubted or checked; empty when it is neither. Cells first, in model order.
    pub reasons: Vec<EscalationReason>,
    /// Doubtful, but not sent: escalation is off, or the ceiling left it out.
    pub withheld: bool,
}

impl Decision {
    /// Whether the report goes to the teacher.
    pub fn escalates(&self) -> bool {
        !self.withheld && !self.reasons.is_empty()
    }

    /// Whether we doubt our answer. An audit is no doubt.
    pub fn doubtful(&self) -> bool {
        self.reasons.iter().any(|reason| !matches!(reason, EscalationReason::Audit))
    }
}

/// The lottery ticket of a report, in [0, 1): uniform over reports, the same for the same event id.
///
/// It is made of the first six bytes: those of a UUID version 5 are all hash (the version stands in
/// the seventh byte).
pub fn draw_of(event_id: &Uuid) -> f64 {
    let [a, b, c, d, e, f, ..] = *event_id.as_bytes();
    let ticket = u64::from_be_bytes([0, 0, a, b, c, d, e, f]);
    // 48 bits fit a double exactly, and the division by a power of two is exact.
    ticket as f64 / (1_u64 << 48) as f64
}

/// A model's answer and all that speaks against it, before anything is drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct Doubts {
    /// Most probable status of each observation.
    pub labels: Labels,
    /// Calibrated probability of that status, 0 to 1.
    pub confidence: [f32; OBSERVATIONS],
    /// Why the answer is doubted; cells first, in model order.
    pub reasons: Vec<EscalationReason>,
}

/// What is doubted of a report with these warnings.
pub fn doubts(
    scored: &Scored,
    warnings: &[Warning],
    hints: &Hints,
    policy: &RoutePolicy,
) -> Doubts {
    let choices = scored.probabilities.map(|row| choose(&row));
    let labels: Labels = choices.map(|(status, _)| status);
    let confidence = choices.map(|(_, confidence)| confidence);

    let mut reasons: Vec<EscalationReason> = Observation::ALL
        .into_iter()
        .zip(confidence)
        .zip(policy.thresholds)
        .filter(|((_, confidence), threshold)| confidence < threshold)
        .map(|((observation, confidence), threshold)| EscalationReason::LowConfidence {
            observation,
            confidence,
            threshold,
        })
        .collect();
    if scored.truncated || warnings.contains(&Warning::TextTruncated) {
        reasons.push(EscalationReason::Truncated);
    }
    if warnings.contains(&Warning::AddendumAlone) {
        reasons.push(EscalationReason::AddendumAlone);
    }
    if policy.max_tokens_per_word > 0.0 && hints.tokens_per_word > policy.max_tokens_per_word {
        reasons.push(EscalationReason::UnknownWords);
    }
    if let (Some(most), Some(rules)) = (policy.max_rule_conflicts, &hints.rules)
        && labels.iter().zip(rules).filter(|(ours, theirs)| ours != theirs).count() > most
    {
        reasons.push(EscalationReason::RulesDisagree);
    }
    Doubts { labels, confidence, reasons }
}

/// Decides what to say of a report and whether to ask for a second opinion.
///
/// `draw` in [0, 1) must be a function of the report ([`draw_of`]), so that a redo after a crash
/// decides the same.
pub fn decide(
    scored: &Scored,
    report: &Report,
    hints: &Hints,
    policy: &RoutePolicy,
    draw: f64,
) -> Decision {
    let Doubts { labels, confidence, mut reasons } =
        doubts(scored, &report.warnings, hints, policy);
    let withheld = if reasons.is_empty() {
        if policy.escalate && draw < policy.audit_chance() {
            reasons.push(EscalationReason::Audit);
        }
        false
    } else {
        !policy.escalate || draw >= policy.admission()
    };
    Decision { labels, confidence, no_finding: no_finding(&labels), reasons, withheld }
}

/// The most probable status; the first in model order among equals. A row without a usable number
/// gives confidence 0, which any threshold above 0 doubts.
pub(crate) fn choose(row: &[f32; STATUSES]) -> (FindingStatus, f32) {
    let mut best = (FindingStatus::NotMentioned, 0.0);
    for (status, &probability) in FindingStatus::ALL.into_iter().zip(row) {
        if probability > best.1 {
            best = (status, probability);
        }
    }
    best
}

#[cfg(test)]
mod tests;
