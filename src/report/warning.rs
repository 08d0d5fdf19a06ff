//! Oddities of the input that do not stop a report.

use serde::{Deserialize, Serialize};

/// A recoverable oddity of the input. It travels with the finding as a code, never as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Warning {
    /// Segments ended by LF or CRLF instead of CR.
    NonstandardTerminator,
    /// Bytes before the first `MSH` were dropped.
    LeadingGarbage,
    /// Declared and actual character set disagree, or none was declared and it was not ASCII.
    CharsetGuessed,
    /// An escape sequence was unknown or unterminated and was kept as it stood.
    UnknownEscape,
    /// OBX-2 was missing or not a known value type; read as text.
    UnknownValueType,
    /// A base64 document was attached and not read.
    AttachmentNotRead,
    /// No result status was given; taken as final.
    StatusMissing,
    /// No assigning authority was given; the sending facility stands in.
    AuthorityMissing,
    /// No filler order number; the placer's, the document's or the report's own id stands in.
    FillerNumberMissing,
    /// A date-time could not be read.
    BadTimestamp,
    /// A time lay too far in the future of its record, whose own time stands in for it.
    FutureTimestamp,
    /// Procedure code and text disagree on whether this is a chest radiograph.
    ProcedureConflict,
    /// The exam covers more than the chest.
    MixedExam,
    /// Only an addendum was received, without the report it belongs to.
    AddendumAlone,
    /// No heading was recognised; the whole text was labelled.
    NoHeadings,
    /// The text was longer than the model reads; its tail was not labelled.
    TextTruncated,
    /// The whole message had been escaped once more than it should be; that was undone.
    DoubleEscaped,
    /// An unescaped field separator in the text had shifted later fields; they were put back.
    FieldShiftRepaired,
    /// A trailer (BTS-1, FTS-1) counts other than what its batch holds: something may be missing.
    BatchCountMismatch,
    /// A result status was given that no table knows; the lines' statuses, else final, stand in.
    StatusUnknown,
    /// Some lines were marked deleted or wrong and are left out; the others were labelled.
    LinesWithdrawn,
    /// The text was taken from notes (NTE), because the observations only pointed to them.
    TextFromNotes,
    /// The report's orders have more codings than are kept; those beyond are not looked at.
    CodingsCut,
    /// The text was extracted from an attached PDF: its order is that of the page, not of the author.
    TextFromPdf,
    /// The source says that an AI drafted the report (FHIR security label AIAST). Never train on it.
    AiDrafted,
}

impl Warning {
    /// All warnings.
    pub const ALL: [Self; 25] = [
        Self::NonstandardTerminator,
        Self::LeadingGarbage,
        Self::CharsetGuessed,
        Self::UnknownEscape,
        Self::UnknownValueType,
        Self::AttachmentNotRead,
        Self::StatusMissing,
        Self::AuthorityMissing,
        Self::FillerNumberMissing,
        Self::BadTimestamp,
        Self::FutureTimestamp,
        Self::ProcedureConflict,
        Self::MixedExam,
        Self::AddendumAlone,
        Self::NoHeadings,
        Self::TextTruncated,
        Self::DoubleEscaped,
        Self::FieldShiftRepaired,
        Self::BatchCountMismatch,
        Self::StatusUnknown,
        Self::LinesWithdrawn,
        Self::TextFromNotes,
        Self::CodingsCut,
        Self::TextFromPdf,
        Self::AiDrafted,
    ];

    /// Machine name (`nonstandard_terminator`).
    pub const fn name(self) -> &'static str {
        match self {
            Self::NonstandardTerminator => "nonstandard_terminator",
            Self::LeadingGarbage => "leading_garbage",
            Self::CharsetGuessed => "charset_guessed",
            Self::UnknownEscape => "unknown_escape",
            Self::UnknownValueType => "unknown_value_type",
            Self::AttachmentNotRead => "attachment_not_read",
            Self::StatusMissing => "status_missing",
            Self::AuthorityMissing => "authority_missing",
            Self::FillerNumberMissing => "filler_number_missing",
            Self::BadTimestamp => "bad_timestamp",
            Self::FutureTimestamp => "future_timestamp",
            Self::ProcedureConflict => "procedure_conflict",
            Self::MixedExam => "mixed_exam",
            Self::AddendumAlone => "addendum_alone",
            Self::NoHeadings => "no_headings",
            Self::TextTruncated => "text_truncated",
            Self::DoubleEscaped => "double_escaped",
            Self::FieldShiftRepaired => "field_shift_repaired",
            Self::BatchCountMismatch => "batch_count_mismatch",
            Self::StatusUnknown => "status_unknown",
            Self::LinesWithdrawn => "lines_withdrawn",
            Self::TextFromNotes => "text_from_notes",
            Self::CodingsCut => "codings_cut",
            Self::TextFromPdf => "text_from_pdf",
            Self::AiDrafted => "ai_drafted",
        }
    }
}
