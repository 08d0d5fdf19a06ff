//! Report → the text that will be labelled, or why there is none.
//!
//! Decides in this order: another exam than a chest radiograph, no text or only a placeholder,
//! another language. Then keeps findings, impression and addenda; history, indication, technique,
//! comparison and prior reports are never labelled. Pure: no clock, no I/O.

mod chest;
mod chest_codes;
mod choose;
pub(crate) mod eights;
mod furniture;
mod headings;
mod language;
mod phrases;
mod placeholder;
mod sections;
mod tidy;
mod titles;

use serde::Serialize;

pub use self::chest::{ChestReason, ProcedureClass};
pub(crate) use self::chest::{is_plainly_other, names_chest_radiograph};
pub use self::choose::{text_from_plain, text_from_sections};
pub(crate) use self::headings::section_of_title;
pub(crate) use self::placeholder::is_placeholder;
pub use self::sections::Origin;
use crate::report::{
    Intent, Report, ReportStatus, ReportText, SectionKind, Skip, TextBlock, Warning,
};

/// What counts as a report to label.
#[derive(Clone, Debug)]
pub struct ExtractPolicy {
    /// Label exams that cover more than the chest (ribs and chest, chest and abdomen).
    pub label_mixed_exams: bool,
    /// Label exams of which nothing says what they are.
    pub label_unknown_exams: bool,
    /// Fewer characters than this, all sections together, is no text.
    pub min_text_chars: usize,
    /// Procedure codes that are chest radiographs here, besides the built-in ones.
    pub chest_codes: Vec<String>,
    /// Procedure codes that are not, whatever their text says. They win over every other rule.
    pub excluded_codes: Vec<String>,
}

impl Default for ExtractPolicy {
    fn default() -> Self {
        Self {
            label_mixed_exams: true,
            label_unknown_exams: false,
            min_text_chars: 6, // "Normal" is a report
            chest_codes: Vec::new(),
            excluded_codes: Vec::new(),
        }
    }
}

/// The text to label, or why there is none.
#[derive(Clone, Debug)]
pub enum Extracted {
    /// What the student reads.
    Text(ReportText),
    /// No finding is made of it.
    Skipped(Skip),
}

/// Sections, is-it-a-chest-radiograph, placeholders, language. May add warnings to the report, and
/// marks a report that is only an addendum as appended.
///
/// For reports to label. A report to retract or promote has no text: see [`settle`].
pub fn extract(report: &mut Report, policy: &ExtractPolicy) -> Extracted {
    extract_with(report, policy, None)
}

/// What becomes of a report, whatever it asks for: `None` for one to promote or retract that may
/// concern a chest radiograph. Of another exam nothing was published, so nothing changes of it.
pub fn settle(
    report: &mut Report,
    policy: &ExtractPolicy,
    trace: Option<&mut ExtractTrace>,
) -> Option<Extracted> {
    match report.intent {
        Intent::Label => Some(extract_with(report, policy, trace)),
        Intent::Promote | Intent::Retract => {
            let decided = chest::decide(&report.procedure, "", policy);
            if let Some(trace) = trace {
                trace.exam = Some(decided);
            }
            (decided.0 == ProcedureClass::Other).then_some(Extracted::Skipped(Skip::NotChest))
        }
    }
}

/// How a report was taken apart. Holds kinds and counts, no text.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ExtractTrace {
    /// What kind of exam it is, and what decided that.
    pub exam: Option<(ProcedureClass, ChestReason)>,
    /// Every section, in physical order.
    pub sections: Vec<SectionTrace>,
}

/// One section of a report.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct SectionTrace {
    /// Its kind.
    pub kind: SectionKind,
    /// What says that it begins.
    pub origin: Origin,
    /// Characters of its text.
    pub chars: usize,
}

impl ExtractTrace {
    fn of(split: &sections::Split<'_>, exam: (ProcedureClass, ChestReason)) -> Self {
        let sections = split.sections.iter().filter(|section| !section.is_blank());
        let sections = sections.map(|section| SectionTrace {
            kind: section.kind,
            origin: section.origin,
            chars: section.text().chars().count(),
        });
        Self { exam: Some(exam), sections: sections.collect() }
    }
}

fn extract_with(
    report: &mut Report,
    policy: &ExtractPolicy,
    trace: Option<&mut ExtractTrace>,
) -> Extracted {
    // What is extracted is borrowed from the blocks until it is joined, while the report is written to.
    let blocks = std::mem::take(&mut report.blocks);
    let extracted = extract_from(&blocks, report, policy, trace);
    report.blocks = blocks;
    extracted
}

fn extract_from(
    blocks: &[TextBlock],
    report: &mut Report,
    policy: &ExtractPolicy,
    trace: Option<&mut ExtractTrace>,
) -> Extracted {
    let tidied = tidy::Tidied::of(blocks);
    let split = sections::split(&tidied);
    let header = split.header();
    let header_text = header.as_deref().unwrap_or_default();
    let (class, reason) = chest::decide(&report.procedure, header_text, policy);
    let foreign = language::is_foreign(&split);
    if let Some(trace) = trace {
        *trace = ExtractTrace::of(&split, (class, reason));
    }
    match class {
        ProcedureClass::ChestRadiograph => {}
        ProcedureClass::Conflict => report.warn(Warning::ProcedureConflict),
        ProcedureClass::Mixed if policy.label_mixed_exams => report.warn(Warning::MixedExam),
        ProcedureClass::Unknown if policy.label_unknown_exams => {}
        ProcedureClass::Mixed | ProcedureClass::Other | ProcedureClass::Unknown => {
            return Extracted::Skipped(Skip::NotChest);
        }
    }
    let text = match split.into_text(policy.min_text_chars) {
        Some(_) if foreign => return Extracted::Skipped(Skip::Language),
        Some(text) => text,
        None => return Extracted::Skipped(Skip::NoText),
    };
    if text.sections.iter().all(|section| section.kind == SectionKind::Body) {
        report.warn(Warning::NoHeadings);
    }
    if text.sections.iter().all(|section| section.kind == SectionKind::Addendum) {
        report.warn(Warning::AddendumAlone);
        // Sites send an addendum as "final" or as "partial" (table 0123 has no code for it).
        if matches!(report.status, ReportStatus::Final | ReportStatus::Partial) {
            report.status = ReportStatus::Appended;
            report.version.rank = report.status.rank();
        }
    }
    Extracted::Text(text)
}
