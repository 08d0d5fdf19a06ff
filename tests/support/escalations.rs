//! Escalations without a stage label: what it would have published of made-up reports.

use std::sync::LazyLock;

use radstream::publish::{
    Identity, Labelled, ModelIdentity, Outgoing, PublishSettings, Publisher, Source,
};
use radstream::report::{
    Coding, Intent, KnownIdentifier, KnownKind, LabelledSection, OBSERVATIONS, Phi, Procedure,
    Report, ReportKey, ReportStatus, ReportText, ReportVersion, SectionKind,
};
use radstream::route::{Hints, RoutePolicy, decide};
use radstream::student::rules::RuleLabeler;

use super::records::NewRecord;

/// Making it compiles all its patterns.
static RULES: LazyLock<RuleLabeler> = LazyLock::new(RuleLabeler::new);

/// A report to escalate.
#[derive(Clone, Debug)]
pub struct Case {
    /// Accession number.
    pub number: String,
    /// Its impression.
    pub text: String,
    /// When it changed, milliseconds since the epoch: later versions have later times.
    pub changed_at_ms: i64,
    /// When it was escalated.
    pub escalated_at_ms: i64,
    /// Its patient; `None`: the message names nobody.
    pub patient: Option<&'static str>,
}

impl Case {
    pub fn new(number: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            number: number.into(),
            text: text.into(),
            changed_at_ms: 1_700_000_000_000,
            escalated_at_ms: now_ms(),
            patient: Some("OKONKWO^MARIA"),
        }
    }

    /// Report `number` of a series whose texts all differ.
    pub fn of_series(number: usize) -> Self {
        let letters = |mut n: usize| {
            let mut word = String::from("q");
            for _ in 0..4 {
                word.push(char::from(b'a' + (n % 26) as u8));
                n /= 26;
            }
            word
        };
        let text = format!(
            "Small left pleural effusion, unchanged. No pneumothorax. Marker {} in place.",
            letters(number)
        );
        Self::new(format!("A{number}"), text)
    }

    /// The record that stage label publishes, every cell doubted.
    pub fn record(&self) -> NewRecord {
        let report = self.report(ReportStatus::Final);
        let section =
            LabelledSection { kind: SectionKind::Impression, text: Phi::from(self.text.as_str()) };
        let text = ReportText { sections: vec![section], present: vec![SectionKind::Impression] };
        let scored = RULES.label(&text);
        let policy = RoutePolicy {
            escalate: true,
            thresholds: [2.0; OBSERVATIONS],
            audit_rate: 0.0,
            max_escalation_rate: 1.0,
            doubtful_share: 1.0,
            max_tokens_per_word: 0.0,
            max_rule_conflicts: None,
        };
        let model =
            ModelIdentity { name: "rules".into(), version: "1".into(), sha256: "00".into() };
        let decision = decide(&scored, &report, &Hints::default(), &policy, 0.0);
        let identifiers: Vec<_> = self
            .patient
            .map(|name| KnownIdentifier::new(KnownKind::PatientName, name))
            .into_iter()
            .collect();
        let source = self.source();
        let labelled = Labelled {
            source: &source,
            report: &report,
            text: &text,
            scored: &scored,
            decision: &decision,
            model: &model,
            identity: Identity::of(&report, &text, &model),
            identifiers: &identifiers,
        };
        let publisher = Publisher::new(PublishSettings::default());
        let outgoing = publisher.escalation(labelled, self.escalated_at_ms).expect("it fits");
        new_record(outgoing)
    }

    fn report(&self, status: ReportStatus) -> Report {
        Report {
            key: ReportKey::new("RIS", &self.number),
            accession_number: Phi::from(self.number.as_str()),
            intent: Intent::Label,
            status,
            version: ReportVersion {
                changed_at_ms: self.changed_at_ms,
                rank: status.rank(),
                message_at_ms: self.changed_at_ms,
            },
            procedure: Procedure {
                codings: vec![Coding { code: "71046".into(), ..Coding::default() }],
                service_section: Some("RAD".into()),
            },
            blocks: vec![],
            message_type: "ORU^R01".into(),
            sending_application: "RIS".into(),
            sending_facility: "GENERAL".into(),
            charset: "UTF-8",
            profile: None,
            test_message: false,
            warnings: vec![],
        }
    }

    /// What stage label publishes behind it when the report comes again, so long after, with a status
    /// that needs no second opinion.
    pub fn marker(&self, status: ReportStatus, after_ms: i64) -> NewRecord {
        let later = Self { changed_at_ms: self.changed_at_ms + after_ms, ..self.clone() };
        let settings = PublishSettings { mark_escalations: true, ..PublishSettings::default() };
        let source = later.source();
        let marker =
            Publisher::new(settings).escalation_marker(&source, &later.report(status), now_ms());
        new_record(marker.expect("a status that changes the text"))
    }

    const fn source(&self) -> Source<'static> {
        Source {
            topic: "in",
            partition: 0,
            offset: 1,
            timestamp_ms: Some(self.changed_at_ms),
            part: 0,
            headers: &[],
        }
    }
}

fn new_record(outgoing: Outgoing) -> NewRecord {
    NewRecord {
        partition: None,
        key: outgoing.key,
        value: outgoing.payload,
        headers: outgoing.headers,
    }
}

/// Milliseconds since 1970-01-01 UTC.
pub fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
