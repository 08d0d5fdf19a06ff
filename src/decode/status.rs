//! Result status codes and what they mean for us: HL7 tables 0123 (OBR-25), 0085 (OBX-11), 0271
//! (TXA-17), and FHIR's `DiagnosticReport.status`.

use crate::report::ReportStatus;

/// Meaning of a result status, of a whole report or of one line of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// Ordered, scheduled or performed; no result yet.
    NoResult,
    /// Some results, not all.
    Partial,
    /// Read, not verified.
    Preliminary,
    /// Verified.
    Final,
    /// Verified; the text was not sent again.
    FinalUnsent,
    /// Text was added.
    Appended,
    /// Changed, extent not said.
    Amended,
    /// Replaces an earlier one.
    Corrected,
    /// Cancelled, deleted, wrong, or not obtainable.
    Withdrawn,
    /// Only in answers to queries.
    Query,
}

impl Status {
    /// The report status it leads to, where it leads to one.
    pub(super) const fn report(self) -> Option<ReportStatus> {
        match self {
            Self::Partial => Some(ReportStatus::Partial),
            Self::Preliminary => Some(ReportStatus::Preliminary),
            Self::Final | Self::FinalUnsent => Some(ReportStatus::Final),
            Self::Appended => Some(ReportStatus::Appended),
            Self::Amended => Some(ReportStatus::Amended),
            Self::Corrected => Some(ReportStatus::Corrected),
            Self::Withdrawn => Some(ReportStatus::Retracted),
            Self::NoResult | Self::Query => None,
        }
    }
}

/// OBR-25, table 0123. `A` is "some, but not all, results available"; it is not an addendum.
pub(super) fn of_order(field: &str) -> Option<Status> {
    let mut letters = [0; LONGEST_WORD];
    match word(field, &mut letters) {
        b"O" | b"I" | b"S" | b"N" => Some(Status::NoResult),
        b"A" => Some(Status::Partial),
        b"P" | b"R" | b"M" => Some(Status::Preliminary),
        b"F" => Some(Status::Final),
        b"C" => Some(Status::Corrected),
        b"X" => Some(Status::Withdrawn),
        b"Y" | b"Z" => Some(Status::Query),
        other => of_word(other),
    }
}

/// OBX-11, table 0085.
pub(super) fn of_observation(field: &str) -> Option<Status> {
    let mut letters = [0; LONGEST_WORD];
    match word(field, &mut letters) {
        b"I" | b"N" | b"O" | b"S" => Some(Status::NoResult),
        b"P" | b"R" => Some(Status::Preliminary),
        b"F" | b"V" => Some(Status::Final),
        b"U" => Some(Status::FinalUnsent),
        b"A" => Some(Status::Amended),
        b"B" => Some(Status::Appended),
        b"C" => Some(Status::Corrected),
        b"D" | b"W" | b"X" => Some(Status::Withdrawn),
        other => of_word(other),
    }
}

/// TXA-17, table 0271.
pub(super) fn of_document(field: &str) -> Option<Status> {
    let mut letters = [0; LONGEST_WORD];
    match word(field, &mut letters) {
        b"IP" | b"IN" => Some(Status::Partial),
        b"DI" | b"DO" | b"PA" => Some(Status::Preliminary),
        b"AU" | b"LA" => Some(Status::Final),
        other => of_word(other),
    }
}

/// FHIR R4, R4B and R5, `DiagnosticReport.status` and `Composition.status`.
pub(super) fn of_fhir(code: &str) -> Option<Status> {
    match code.trim() {
        "registered" => Some(Status::NoResult),
        "partial" => Some(Status::Partial),
        "preliminary" | "modified" => Some(Status::Preliminary),
        "final" => Some(Status::Final),
        "amended" => Some(Status::Amended),
        "corrected" => Some(Status::Corrected),
        "appended" => Some(Status::Appended),
        "cancelled" | "entered-in-error" | "deprecated" | "withdrawn" => Some(Status::Withdrawn),
        _ => None,
    }
}

/// Senders that write words where a code belongs (`Final`, `Prelim`, `Wet Read`).
fn of_word(word: &[u8]) -> Option<Status> {
    if word.len() < 3 {
        return None;
    }
    let starts = |prefix: &str| word.starts_with(prefix.as_bytes());
    if starts("FIN") || starts("VERIF") || starts("SIGNED") {
        Some(Status::Final)
    } else if starts("PRELIM") || starts("WET") || starts("DRAFT") || starts("UNVERIF") {
        Some(Status::Preliminary)
    } else if starts("ADDEND") || starts("APPEND") {
        Some(Status::Appended)
    } else if starts("CORR") {
        Some(Status::Corrected)
    } else if starts("AMEND") {
        Some(Status::Amended)
    } else if starts("CANCEL") || starts("DELET") || starts("WRONG") || starts("RETRACT") {
        Some(Status::Withdrawn)
    } else if starts("PARTIAL") {
        Some(Status::Partial)
    } else {
        None
    }
}

/// Letters of a status that are looked at.
const LONGEST_WORD: usize = 16;

/// The leading word, upper case: what follows the code (components, log marks) is not part of it.
fn word<'l>(field: &str, letters: &'l mut [u8; LONGEST_WORD]) -> &'l [u8] {
    // Nearly always it is one letter.
    if let [byte] = field.as_bytes()
        && let [letter, ..] = letters
    {
        *letter = byte.to_ascii_uppercase();
        return letters.get(..usize::from(byte.is_ascii_alphabetic())).unwrap_or_default();
    }
    let mut length = 0;
    for (letter, byte) in letters.iter_mut().zip(field.trim().bytes()) {
        if !byte.is_ascii_alphabetic() {
            break;
        }
        *letter = byte.to_ascii_uppercase();
        length += 1;
    }
    letters.get(..length).unwrap_or_default()
}

/// Whether a diagnostic service section (OBR-24 or FHIR category, table 0074) is one of laboratory,
/// pathology, or another service that makes no imaging reports.
pub(super) fn is_laboratory(section: &str) -> bool {
    const SERVICES: [&str; 23] = [
        "LAB",
        "BG",
        "BLB",
        "CG",
        "CH",
        "CP",
        "GE",
        "HM",
        "IMM",
        "MB",
        "MCB",
        "MYC",
        "OSL",
        "PAT",
        "SP",
        "SR",
        "TX",
        "VR",
        "URN",
        "PHR",
        "LP29693-6",
        "LP7839-6",
        "LABORATORY",
    ];
    let section = section.trim();
    SERVICES.iter().any(|service| service.eq_ignore_ascii_case(section))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_is_partial_on_the_order_and_amended_on_the_line() {
        assert_eq!(of_order("A"), Some(Status::Partial));
        assert_eq!(of_observation("A"), Some(Status::Amended));
        assert_eq!(of_observation("B"), Some(Status::Appended));
    }

    #[test]
    fn lower_case_words_and_trailing_marks_are_understood() {
        assert_eq!(of_order("f"), Some(Status::Final));
        assert_eq!(of_order("Final"), Some(Status::Final));
        assert_eq!(of_observation("Wet Read"), Some(Status::Preliminary));
        assert_eq!(of_observation("F<R>"), Some(Status::Final));
        assert_eq!(of_observation("no pneumothorax"), None);
        assert_eq!(of_observation(""), None);
    }

    #[test]
    fn withdrawals_of_every_format_retract() {
        for status in
            [of_order("X"), of_observation("W"), of_observation("D"), of_fhir("entered-in-error")]
        {
            assert_eq!(status.and_then(Status::report), Some(ReportStatus::Retracted));
        }
    }
}
