//! The text of one order: OBX values, their repetitions and notes, in physical order.

mod value;

use std::borrow::Cow;

use self::value::{Kind, STATUS, document, is_uid, kind_of, repair_shift, value_text};
use super::fields::{Fields, is_blank, trimmed};
use super::group::Group;
use super::identifier::{Named, SectionCache};
use super::{Header, Refused, Warnings};
use crate::decode::attachment::{Document, Pdfs};
use crate::decode::status::{self, Status};
use crate::decode::{Piece, RejectionClass, TextSegments, has_too_many_lines, markup, note};
use crate::extract::is_placeholder;
use crate::report::{Phi, SectionKind, TextBlock, Warning};

/// Text shorter than this, in characters, does not keep notes from being the report.
const SHORT: usize = 30;

/// What the observations of one order gave.
#[derive(Clone, Default)]
pub(super) struct Narrative {
    pub(super) blocks: Vec<TextBlock>,
    pub(super) warnings: Warnings,
    /// Statuses of the lines that carry the report, in order, those that could be read.
    pub(super) statuses: Vec<Status>,
    /// Every line that carries the report was deleted, wrong, or cannot be obtained.
    pub(super) withdrawn: bool,
    /// Some observation or note has a value, of whatever type.
    pub(super) has_values: bool,
    /// Results that are numbers or codes: a laboratory's, not a report's.
    pub(super) measurements: usize,
    /// Where text was, used or not; only when somebody asked.
    pub(super) pieces: Vec<Piece>,
    traced: bool,
    segments: TextSegments,
}

impl Narrative {
    /// Notes a place that may hold text. Its number, from 1; 0 when nobody asked.
    fn piece(&mut self, place: impl FnOnce() -> String, named: Named, text: &str) -> usize {
        if self.traced {
            self.pieces.push(Piece {
                place: place().into(),
                section: named.section,
                by_profile: named.by_profile,
                chars: text.trim().chars().count(),
                ignored: None,
            });
        }
        self.pieces.len()
    }

    /// Notes a place whose text is not part of the report.
    fn ignore(&mut self, obx: &Fields<'_>, named: Named, why: &'static str) {
        if self.traced {
            let piece = self.piece(|| obx.place(5), named, obx.raw(5));
            self.drop_piece(piece, why);
        }
    }

    /// Says why a piece is not part of the report after all.
    fn drop_piece(&mut self, piece: usize, why: &'static str) {
        let piece = piece.checked_sub(1).and_then(|index| self.pieces.get_mut(index));
        if let Some(piece) = piece {
            piece.ignored.get_or_insert(why);
        }
    }
}

/// A line of the report, borrowed from the message where nothing in it had to be decoded.
struct Line<'m> {
    section: Option<SectionKind>,
    text: Cow<'m, str>,
    status: Option<Status>,
    from_note: bool,
    /// Its place in [`Narrative::pieces`], when there are any.
    piece: usize,
}

/// Reads the observations and notes of an order.
pub(super) fn read(header: &Header<'_>, group: &Group<'_>) -> Result<Narrative, Refused> {
    let segments = header.profile.map_or(TextSegments::Both, |profile| profile.text_segments);
    let mut narrative = Narrative { traced: header.traced, segments, ..Narrative::default() };
    let mut lines: Vec<Line<'_>> = Vec::with_capacity(group.observations.len());
    let mut documents = Vec::new();
    let mut sections = SectionCache::new(header.profile);
    for observation in &group.observations {
        let obx = &observation.obx;
        let kind = kind_of(trimmed(obx.raw(2)));
        narrative.has_values = narrative.has_values || !is_blank(obx.raw(5));
        if header.profile.is_some() {
            let named = sections.of(obx);
            if named.left_out {
                narrative.ignore(obx, named, "the profile leaves this identifier out");
                ignore_notes(&observation.notes, &mut narrative, OBSERVATION_UNUSED);
                continue;
            }
        }
        match kind {
            Kind::Text | Kind::Unknown => {
                let status = status::of_observation(obx.raw(STATUS));
                let repaired = if status.is_some() { None } else { repair_shift(obx)? };
                let (obx, status) = match &repaired {
                    Some(repaired) => {
                        note(&mut narrative.warnings, Warning::FieldShiftRepaired);
                        (repaired, status::of_observation(repaired.raw(STATUS)))
                    }
                    None => (obx, status),
                };
                let (kind, notes) = (kind, &observation.notes);
                let said = Said { obx, kind, status, notes };
                text_lines(&said, &mut sections, &mut lines, &mut narrative);
            }
            Kind::Coded => {
                let named = sections.of(obx);
                let section = named.section;
                if section == Some(SectionKind::Impression)
                    || section == Some(SectionKind::Findings)
                {
                    coded_line(obx, named, &mut lines, &mut narrative);
                } else {
                    narrative.measurements += 1;
                    narrative.ignore(obx, named, "a coded result is no text");
                }
                notes_of(&observation.notes, named, &mut lines, &mut narrative);
            }
            Kind::Document => documents.push(obx),
            Kind::Measurement => {
                narrative.measurements += 1;
                narrative.ignore(obx, Named::default(), "a measurement is no text");
            }
            Kind::Pointer => {
                narrative.ignore(obx, Named::default(), "a pointer is not followed");
            }
            Kind::Other => {
                narrative.ignore(obx, Named::default(), "its value type holds no text");
            }
        }
        if matches!(kind, Kind::Measurement | Kind::Pointer | Kind::Other | Kind::Document) {
            ignore_notes(&observation.notes, &mut narrative, OBSERVATION_UNUSED);
        }
    }
    finish(group, lines, &documents, narrative, &header.pdfs)
}

/// An observation that is text.
struct Said<'a, 'm> {
    /// Its fields where they belong.
    obx: &'a Fields<'m>,
    kind: Kind,
    status: Option<Status>,
    notes: &'a [Fields<'m>],
}

fn text_lines<'m>(
    said: &Said<'_, 'm>,
    sections: &mut SectionCache<'m>,
    lines: &mut Vec<Line<'m>>,
    narrative: &mut Narrative,
) {
    let Said { obx, kind, status, notes } = *said;
    let text = value_text(obx, narrative);
    if kind == Kind::Unknown && !is_blank(&text) {
        note(&mut narrative.warnings, Warning::UnknownValueType);
    }
    if is_uid(&text) {
        let named = if narrative.traced { sections.of(obx) } else { Named::default() };
        return narrative.ignore(obx, named, "a DICOM identifier is no text");
    }
    let mut named = sections.of(obx);
    if named.section.is_none() && status == Some(Status::Appended) {
        named.section = Some(SectionKind::Addendum);
    }
    let piece = narrative.piece(|| obx.place(5), named, &text);
    lines.push(Line { section: named.section, text, status, from_note: false, piece });
    notes_of(notes, named, lines, narrative);
}

fn coded_line<'m>(
    obx: &Fields<'m>,
    named: Named,
    lines: &mut Vec<Line<'m>>,
    narrative: &mut Narrative,
) {
    let status = status::of_observation(obx.raw(11));
    let values = obx.parse(5);
    for repetition in 1..=values.repetitions() {
        let name = values.part(repetition, 2, 1);
        let text = if name.is_empty() { values.part(repetition, 1, 1) } else { name };
        if !text.is_empty() {
            let piece = narrative.piece(|| obx.place(5), named, &text);
            lines.push(Line { section: named.section, text, status, from_note: false, piece });
        }
    }
}

fn notes_of<'m>(
    notes: &[Fields<'m>],
    named: Named,
    lines: &mut Vec<Line<'m>>,
    narrative: &mut Narrative,
) {
    if narrative.segments == TextSegments::Observations {
        return ignore_notes(notes, narrative, NOTES_LEFT_OUT);
    }
    for nte in notes {
        lines.push(note_line(nte, named, narrative));
    }
}

/// Why notes under an observation that is no text are none.
const OBSERVATION_UNUSED: &str = "its observation is no text";
/// Why notes are no text where the profile says so.
const NOTES_LEFT_OUT: &str = "the profile takes text from OBX only";

fn ignore_notes(notes: &[Fields<'_>], narrative: &mut Narrative, why: &'static str) {
    if narrative.traced {
        for nte in notes {
            let piece = narrative.piece(|| nte.place(3), Named::default(), nte.raw(3));
            narrative.drop_piece(piece, why);
        }
    }
}

fn note_line<'m>(nte: &Fields<'m>, named: Named, narrative: &mut Narrative) -> Line<'m> {
    narrative.has_values = narrative.has_values || !is_blank(nte.raw(3));
    let (text, unknown) = nte.text(nte.raw(3));
    if unknown {
        note(&mut narrative.warnings, Warning::UnknownEscape);
    }
    let piece = narrative.piece(|| nte.place(3), named, &text);
    Line { section: named.section, text, status: None, from_note: true, piece }
}

/// Why the notes of an order are no text.
const OBSERVATIONS_ARE_REPORT: &str = "the observations are the report";

/// Chooses what is the report: the observations, or the notes when those only point to them.
fn finish<'m>(
    group: &Group<'m>,
    mut lines: Vec<Line<'m>>,
    documents: &[&Fields<'_>],
    mut narrative: Narrative,
    pdfs: &Pdfs,
) -> Result<Narrative, Refused> {
    withdraw(&mut lines, documents, &mut narrative);
    let length = |lines: &[Line<'_>], from_note: bool| -> usize {
        lines.iter().filter(|l| l.from_note == from_note).map(|l| l.text.trim().len()).sum()
    };
    // Counted only as far as it matters.
    let mut value_length = 0;
    for line in lines.iter().filter(|line| !line.from_note) {
        value_length += line.text.trim().len();
        if value_length >= SHORT {
            break;
        }
    }
    let points_elsewhere = value_length > 0
        && lines.iter().filter(|l| !l.from_note).all(|l| is_blank_or_placeholder(&l.text));
    let notes_only = narrative.segments == TextSegments::Notes;
    if narrative.segments == TextSegments::Observations {
        ignore_notes(&group.notes, &mut narrative, NOTES_LEFT_OUT);
    } else if notes_only || value_length < SHORT || points_elsewhere {
        let notes = group.notes.iter();
        let mut order_notes: Vec<Line<'_>> =
            notes.map(|nte| note_line(nte, Named::default(), &mut narrative)).collect();
        let note_length = length(&lines, true) + length(&order_notes, true);
        let withdrawn = narrative.withdrawn;
        if !withdrawn && (notes_only || note_length > value_length || points_elsewhere) {
            for line in lines.iter().filter(|line| !line.from_note) {
                narrative.drop_piece(line.piece, "the notes are the report");
            }
            lines.retain(|line| line.from_note);
            note(&mut narrative.warnings, Warning::TextFromNotes);
            order_notes.append(&mut lines);
            lines = order_notes;
        } else {
            for line in order_notes {
                narrative.drop_piece(line.piece, OBSERVATIONS_ARE_REPORT);
            }
        }
    } else {
        ignore_notes(&group.notes, &mut narrative, OBSERVATIONS_ARE_REPORT);
    }
    let says = |line: &&Line<'_>| !is_blank(&line.text);
    narrative.statuses.reserve(lines.len());
    narrative.statuses.extend(lines.iter().filter(says).filter_map(|line| line.status));
    if narrative.statuses.is_empty() {
        narrative.statuses = lines.iter().filter_map(|line| line.status).collect();
    }
    let mut has_text = lines.iter().any(|line| !is_blank_or_placeholder(&line.text));
    for obx in documents {
        // A document stands in for text; beside text it would say the same twice.
        match if has_text { Document::Unread } else { document(obx, pdfs) } {
            document @ (Document::Text(_) | Document::Pdf(_)) => {
                let (text, of_pdf) = document.into_text();
                if of_pdf {
                    note(&mut narrative.warnings, Warning::TextFromPdf);
                }
                has_text = true;
                let status = status::of_observation(obx.raw(11));
                narrative.statuses.extend(status);
                let piece = narrative.piece(|| obx.place(5), Named::default(), &text);
                let text = Cow::Owned(text);
                lines.push(Line { section: None, text, status, from_note: false, piece });
            }
            Document::Unread => {
                note(&mut narrative.warnings, Warning::AttachmentNotRead);
                let why = if has_text { "text is there already" } else { "it cannot be read" };
                narrative.ignore(obx, Named::default(), why);
            }
            Document::Empty => narrative.ignore(obx, Named::default(), "it is empty"),
        }
    }
    narrative.blocks = blocks(&lines);
    if has_too_many_lines(&narrative.blocks) {
        return Err((RejectionClass::Oversize, "OBX".to_owned()));
    }
    Ok(narrative)
}

/// Drops deleted lines; if no line that says something is left, the report itself is withdrawn.
fn withdraw(lines: &mut Vec<Line<'_>>, documents: &[&Fields<'_>], narrative: &mut Narrative) {
    let gone = |status: Option<Status>| status == Some(Status::Withdrawn);
    let values = |line: &&Line<'_>| !line.from_note;
    let any_gone = lines.iter().any(|line| gone(line.status));
    if any_gone {
        let says = |line: &&Line<'_>| !is_blank(&line.text);
        let mut telling = lines.iter().filter(values).filter(says).peekable();
        narrative.withdrawn = if telling.peek().is_some() {
            telling.all(|line| gone(line.status))
        } else {
            lines.iter().filter(values).all(|line| gone(line.status))
        };
        for line in lines.iter().filter(|line| gone(line.status)) {
            narrative.drop_piece(line.piece, "withdrawn by OBX-11");
        }
        lines.retain(|line| !gone(line.status));
        if !narrative.withdrawn {
            note(&mut narrative.warnings, Warning::LinesWithdrawn);
        }
    } else if lines.iter().all(|line| line.from_note) && !documents.is_empty() {
        narrative.withdrawn = documents.iter().all(|obx| gone(status::of_observation(obx.raw(11))));
    }
}

/// Consecutive lines of one section become one block. An empty line is a paragraph break.
fn blocks(lines: &[Line<'_>]) -> Vec<TextBlock> {
    lines
        .chunk_by(|one, next| one.section == next.section)
        .filter_map(|run| {
            let mut text = String::with_capacity(run.iter().map(|line| line.text.len() + 1).sum());
            for (index, line) in run.iter().enumerate() {
                if index > 0 {
                    text.push('\n');
                }
                text.push_str(&line.text);
            }
            let text = markup::to_plain(text);
            let section = run.first().and_then(|line| line.section);
            (!is_blank(&text)).then(|| TextBlock { section, text: Phi::new(text) })
        })
        .collect()
}

fn is_blank_or_placeholder(text: &str) -> bool {
    is_blank(text) || is_placeholder(text)
}
