//! What is expected of one message, as it stands in its file.

use serde::{Deserialize, Serialize};

use crate::command::explain::time;
use crate::decode::{DecodeOptions, Decoded, decode};
use crate::extract::{ExtractPolicy, Extracted, settle};
use crate::report::{Intent, Report, ReportStatus, SectionKind, Warning};

/// The outcomes of one message, in their order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Expectation {
    report: Vec<ExpectedReport>,
}

/// One outcome.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpectedReport {
    /// `labelled`, `skipped_not_chest`, `retracted`, `dead_letter`.
    outcome: String,
    /// Class and place of a dead letter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// The profile that read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    profile: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    status: Option<ReportStatus>,
    /// When the result last changed, RFC 3339: shows the time zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    changed_at: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<Warning>,
    /// What the student reads.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    section: Vec<ExpectedSection>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpectedSection {
    kind: SectionKind,
    text: String,
}

impl Expectation {
    /// What is read from a message.
    pub(super) fn of(payload: &[u8], options: &DecodeOptions) -> Self {
        let policy = ExtractPolicy::default();
        let report = decode(payload, options)
            .into_iter()
            .map(|decoded| match decoded {
                Decoded::Skipped(skip) => {
                    ExpectedReport { outcome: skip.name().to_owned(), ..ExpectedReport::default() }
                }
                Decoded::Rejected(rejection) => ExpectedReport {
                    outcome: "dead_letter".to_owned(),
                    reason: Some(rejection.to_string()),
                    ..ExpectedReport::default()
                },
                Decoded::Report(mut report) => {
                    let settled = settle(&mut report, &policy, None);
                    ExpectedReport::of(&report, settled)
                }
            })
            .collect();
        Self { report }
    }

    /// Whether that profile read any of it.
    pub(super) fn is_read_by(&self, profile: &str) -> bool {
        // What is no report is not told by whom it was skipped.
        self.report.iter().all(|report| report.key.is_none())
            || self.report.iter().any(|report| report.profile.as_deref() == Some(profile))
    }

    pub(super) fn to_toml(&self) -> String {
        toml::to_string_pretty(self).expect("an expectation is tables, lists and texts")
    }
}

impl ExpectedReport {
    fn of(report: &Report, settled: Option<Extracted>) -> Self {
        let (outcome, text) = match settled {
            Some(Extracted::Text(text)) => ("labelled", Some(text)),
            Some(Extracted::Skipped(skip)) => (skip.name(), None),
            None if report.intent == Intent::Retract => ("retracted", None),
            None => ("promoted", None),
        };
        let sections = text.map(|text| text.sections).unwrap_or_default();
        Self {
            outcome: outcome.to_owned(),
            reason: None,
            profile: report.profile.as_deref().map(ToOwned::to_owned),
            key: Some(report.key.expose().to_owned()),
            status: Some(report.status),
            changed_at: time(report.version.changed_at_ms),
            warnings: report.warnings.clone(),
            section: sections
                .into_iter()
                .map(|section| ExpectedSection {
                    kind: section.kind,
                    text: section.text.into_inner(),
                })
                .collect(),
        }
    }
}
