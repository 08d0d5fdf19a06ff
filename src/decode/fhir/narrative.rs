//! The text of a FHIR report: the first source that says enough.

use std::borrow::Cow;
use std::collections::HashSet;

use super::index::{Holder, Index};
use super::model::{Attachment, CodeableConcept, Resource, Section};
use crate::decode::attachment::{self, Document, Pdfs};
use crate::decode::shape::{Field, List};
use crate::decode::{Piece, SourceProfile, markup, section_code};
use crate::extract::is_placeholder;
use crate::report::{Phi, SectionKind, TextBlock};

/// A source with less text than this, in characters, is passed over if a later one has more.
const ENOUGH: usize = 30;

/// What the sources of a report gave.
#[derive(Default)]
pub(super) struct Narrative {
    pub(super) blocks: Vec<TextBlock>,
    /// A document was attached that is not read.
    pub(super) unread: bool,
    /// The text came out of a PDF.
    pub(super) of_pdf: bool,
    /// Text is somewhere else: a URL, or a reference to a resource that did not come along.
    pub(super) elsewhere: bool,
    /// The sources that said something, used or not; only when somebody asked.
    pub(super) pieces: Vec<Piece>,
}

/// Reads the text of resources.
pub(super) struct Reader<'c, 'r> {
    pub(super) index: &'c Index<'r>,
    /// Reads attached PDF documents.
    pub(super) pdfs: &'c Pdfs,
    /// What is special about the sender.
    pub(super) profile: Option<&'c SourceProfile>,
    /// Somebody asked how it is read.
    pub(super) traced: bool,
}

impl<'r> Reader<'_, 'r> {
    /// Reads a DiagnosticReport. Order: attached text, attached HTML or RTF, result Observations,
    /// `conclusion`, the sections of a Composition in the same bundle, the narrative.
    pub(super) fn of_report(
        &self,
        report: &'r Resource,
        composition: Option<&'r Resource>,
    ) -> Narrative {
        let mut narrative = Narrative::default();
        let plain =
            |attachment: &Attachment| attachment.content_type.text().starts_with("text/plain");
        let forms = || report.presented_form.items().iter().map(|form| &**form);
        let holder = Holder::of(report);
        let mut sources = Vec::with_capacity(SOURCES.len());
        for wanted in [true, false] {
            let chosen = forms().filter(|form| plain(form) == wanted);
            sources.push(attachments(chosen, &holder, self.index, &mut narrative, None));
        }
        let mut results = Observations::new(self);
        for reference in report.result.items() {
            match self.index.resolve(&holder, reference) {
                Some(observation) => results.read(observation, 0),
                None => narrative.elsewhere |= !reference.reference.text().is_empty(),
            }
        }
        if report.result.items().is_empty() {
            // Contained Observations that nobody refers to are still the report's.
            for contained in report.contained.items().iter().filter(|r| r.is("Observation")) {
                results.read(contained, 0);
            }
        }
        sources.push(results.blocks);
        let conclusion = unescaped(report.conclusion.text());
        sources.push(block(Some(SectionKind::Impression), &conclusion).into_iter().collect());
        let mut sections = Vec::new();
        if let Some(composition) = composition {
            section_blocks(&composition.section, self.profile, 0, &mut sections);
        }
        sources.push(sections);
        sources.push(narrative_block(report));
        let chosen = choose(&sources);
        if self.traced {
            narrative.pieces = all_pieces(&sources, chosen);
        }
        narrative.blocks = chosen.and_then(|at| sources.into_iter().nth(at)).unwrap_or_default();
        let says = |block: &TextBlock| !is_placeholder(block.text.expose());
        if !narrative.blocks.iter().any(says) && narrative.unread {
            // Nothing but documents: a PDF, where it can be read, is better than no text.
            narrative.unread = false;
            let pdfs = Some(self.pdfs);
            narrative.blocks = attachments(forms(), &holder, self.index, &mut narrative, pdfs);
            narrative.pieces = self.pieces("presentedForm (document)", &narrative.blocks);
        }
        add_conclusion(&mut narrative, &conclusion);
        narrative
    }

    /// Reads a Composition's sections.
    pub(super) fn of_composition(&self, composition: &Resource) -> Narrative {
        let mut blocks = Vec::new();
        section_blocks(&composition.section, self.profile, 0, &mut blocks);
        let mut place = "section";
        if blocks.is_empty() {
            place = "text.div";
            blocks = narrative_block(composition);
        }
        Narrative { pieces: self.pieces(place, &blocks), blocks, ..Narrative::default() }
    }

    /// Reads a DocumentReference's attachments.
    pub(super) fn of_document(&self, document: &'r Resource) -> Narrative {
        let mut narrative = Narrative::default();
        let contents = document.content.items().iter();
        let forms = contents.filter_map(|c| c.attachment.as_ref()).map(|a| &**a);
        let (holder, pdfs) = (Holder::of(document), Some(self.pdfs));
        narrative.blocks = attachments(forms, &holder, self.index, &mut narrative, pdfs);
        narrative.pieces = self.pieces("content.attachment", &narrative.blocks);
        narrative
    }

    /// Reads an Observation that stands alone.
    pub(super) fn of_observation(&self, observation: &'r Resource) -> Narrative {
        let mut observations = Observations::new(self);
        observations.read(observation, 0);
        let blocks = observations.blocks;
        let pieces = self.pieces("valueString, note, component and hasMember", &blocks);
        Narrative { pieces, blocks, ..Narrative::default() }
    }

    /// The only source of a resource, when somebody asked.
    fn pieces(&self, place: &'static str, blocks: &[TextBlock]) -> Vec<Piece> {
        if self.traced { vec![piece(place, blocks)] } else { Vec::new() }
    }
}

/// The sources of a DiagnosticReport, in the order they are asked.
const SOURCES: [&str; 6] = [
    "presentedForm (text/plain)",
    "presentedForm (other)",
    "result and contained Observations",
    "conclusion",
    "Composition.section",
    "text.div",
];

/// The first source with enough text, else the first with any.
fn choose(sources: &[Vec<TextBlock>]) -> Option<usize> {
    let length = |blocks: &[TextBlock]| -> usize {
        blocks.iter().map(|block| block.text.expose().trim().len()).sum()
    };
    let enough = sources.iter().position(|blocks| length(blocks) >= ENOUGH);
    enough.or_else(|| sources.iter().position(|blocks| length(blocks) > 0))
}

/// What each source had.
fn all_pieces(sources: &[Vec<TextBlock>], chosen: Option<usize>) -> Vec<Piece> {
    let all = SOURCES.iter().zip(sources).enumerate().filter(|(_, (_, blocks))| !blocks.is_empty());
    all.map(|(position, (place, blocks))| {
        let ignored = (chosen != Some(position)).then_some("another source is the report");
        Piece { ignored, ..piece(place, blocks) }
    })
    .collect()
}

/// What a source had.
fn piece(place: &'static str, blocks: &[TextBlock]) -> Piece {
    Piece {
        place: Cow::Borrowed(place),
        section: blocks.first().and_then(|block| block.section),
        by_profile: false,
        chars: blocks.iter().map(|block| block.text.expose().chars().count()).sum(),
        ignored: None,
    }
}

/// The conclusion belongs to the report even where another source gave the body, unless that source
/// says it already.
fn add_conclusion(narrative: &mut Narrative, conclusion: &str) {
    let Narrative { blocks, pieces, .. } = narrative;
    let squeezed = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let wanted = squeezed(conclusion);
    if wanted.is_empty() {
        return;
    }
    let said = blocks.iter().any(|b| {
        b.section == Some(SectionKind::Impression) || squeezed(b.text.expose()).contains(&wanted)
    });
    if !said {
        blocks.extend(block(Some(SectionKind::Impression), conclusion));
        for piece in pieces.iter_mut().filter(|piece| piece.place == "conclusion") {
            piece.ignored = None;
        }
    }
}

fn attachments<'a, 'r: 'a>(
    forms: impl Iterator<Item = &'a Attachment>,
    holder: &Holder<'r>,
    index: &Index<'r>,
    narrative: &mut Narrative,
    pdfs: Option<&Pdfs>,
) -> Vec<TextBlock> {
    let unread = Pdfs::new(None);
    let pdfs = pdfs.unwrap_or(&unread);
    let mut blocks = Vec::new();
    for form in forms {
        let mut data = form.data.text();
        let url = form.url.text();
        if data.is_empty() && !url.is_empty() {
            let reference = super::model::Reference {
                reference: form.url.clone(),
                ..super::model::Reference::default()
            };
            match index.resolve(holder, &reference).filter(|r| r.is("Binary")) {
                Some(binary) => data = binary.data.text(),
                None => narrative.elsewhere = true,
            }
        }
        match attachment::from_base64(data, form.content_type.text(), pdfs) {
            Document::Text(text) => blocks.extend(block(None, &unescaped(&text))),
            Document::Pdf(text) => {
                narrative.of_pdf = true;
                blocks.extend(block(None, &text));
            }
            Document::Unread => narrative.unread = true,
            Document::Empty => {}
        }
    }
    blocks
}

/// The text of Observations, each read once: members may point in circles.
struct Observations<'c, 'r> {
    reader: &'c Reader<'c, 'r>,
    seen: HashSet<*const Resource>,
    blocks: Vec<TextBlock>,
}

impl<'c, 'r> Observations<'c, 'r> {
    fn new(reader: &'c Reader<'_, 'r>) -> Self {
        Self { reader, seen: HashSet::new(), blocks: Vec::new() }
    }

    /// An Observation's text, its components' and its members', each under the section its code names.
    fn read(&mut self, observation: &'r Resource, depth: u8) {
        if matches!(observation.status.text(), "entered-in-error" | "cancelled")
            || depth > 3
            || !self.seen.insert(std::ptr::from_ref(observation))
        {
            return;
        }
        let section =
            observation.code.as_ref().and_then(|code| section_of(code, self.reader.profile));
        let mut text = unescaped(observation.value_string.text());
        if text.is_empty()
            && let Some(value) = observation.value_codeable_concept.as_ref()
        {
            let display =
                value.coding.items().iter().map(|c| c.display.text()).find(|d| !d.is_empty());
            let own = value.text.text();
            text = if own.is_empty() { display.unwrap_or_default() } else { own }.to_owned();
        }
        self.blocks.extend(block(section, &text));
        for annotation in observation.note.items() {
            self.blocks.extend(block(section, &unescaped(annotation.text.text())));
        }
        for component in observation.component.items() {
            self.read(component, depth + 1);
        }
        let holder = Holder::of(observation);
        for member in observation.has_member.items() {
            if let Some(member) = self.reader.index.resolve(&holder, member) {
                self.read(member, depth + 1);
            }
        }
    }
}

/// The section a code names: to the source profile first, then by the codes everybody knows.
fn section_of(concept: &CodeableConcept, profile: Option<&SourceProfile>) -> Option<SectionKind> {
    if let Some(profile) = profile {
        let codes = concept.coding.items().iter().flat_map(|c| [c.code.text(), c.display.text()]);
        if let Some(section) = profile.section(codes.chain([concept.text.text()])) {
            return section;
        }
    }
    let of_codings =
        concept.coding.items().iter().find_map(|coding| {
            section_code::section(coding.code.text(), "", coding.display.text())
        });
    of_codings.or_else(|| section_code::section("", "", concept.text.text()))
}

fn section_blocks(
    sections: &Field<List<Box<Section>>>,
    profile: Option<&SourceProfile>,
    depth: u8,
    blocks: &mut Vec<TextBlock>,
) {
    if depth > 4 {
        return;
    }
    for section in sections.items() {
        let kind = section
            .code
            .as_ref()
            .and_then(|concept| section_of(concept, profile))
            .or_else(|| section_code::section("", "", section.title.text()));
        if let Some(text) = section.text.as_ref() {
            blocks.extend(block(kind, &markup::from_html(text.div.text())));
        }
        section_blocks(&section.section, profile, depth + 1, blocks);
    }
}

/// `text.div`, unless it only repeats the report's metadata.
fn narrative_block(resource: &Resource) -> Vec<TextBlock> {
    let Some(text) = resource.text.as_ref() else { return Vec::new() };
    if !matches!(text.status.text(), "additional" | "generated") {
        return Vec::new();
    }
    let plain = markup::from_html(text.div.text());
    // A generated narrative is mostly a table of metadata: it must have sentences to be the report.
    let sentences = plain.matches(". ").count() + plain.matches(".\n").count();
    if sentences < 2 {
        return Vec::new();
    }
    block(None, &plain).into_iter().collect()
}

fn block(section: Option<SectionKind>, text: &str) -> Option<TextBlock> {
    let text = markup::to_plain(text.to_owned());
    (!text.trim().is_empty()).then(|| TextBlock { section, text: Phi::new(text) })
}

/// Some senders write the two characters `\n` where a line break belongs.
fn unescaped(text: &str) -> String {
    let text = text.replace("\r\n", "\n");
    if text.contains('\n') || !text.contains("\\n") || text.trim_start().starts_with("{\\rtf") {
        return text.replace('\r', "\n");
    }
    text.replace("\\r\\n", "\n").replace("\\n", "\n").replace('\r', "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literal_line_breaks_are_line_breaks_only_where_no_real_one_is() {
        assert_eq!(unescaped("Clear.\\n No effusion."), "Clear.\n No effusion.");
        assert_eq!(unescaped("C:\\new\nfile"), "C:\\new\nfile");
    }
}
