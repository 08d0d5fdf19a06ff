//! Parts a report into its sections: by headings, and by the codes its blocks came with.

use std::borrow::Cow;

use serde::Serialize;

use super::furniture::{Banner, banner, signature};
use super::headings::{self, Heading};
use super::tidy::{self, Tidied};
use crate::report::SectionKind;

/// A run of lines under one heading or code.
pub(super) struct Section<'t> {
    pub(super) kind: SectionKind,
    /// Tidied; an empty line is a paragraph break.
    pub(super) lines: Vec<Cow<'t, str>>,
    pub(super) origin: Origin,
}

/// What says that a section begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The code of the text: an OBX-3, a LOINC code, the source profile.
    Code,
    /// A heading in the text.
    Heading,
    /// Nothing: text before the first heading, or without any.
    Unheaded,
}

impl Section<'_> {
    pub(super) const fn new(kind: SectionKind) -> Self {
        Self { kind, lines: Vec::new(), origin: Origin::Unheaded }
    }

    pub(super) fn text(&self) -> String {
        tidy::join(self.lines.iter().map(|line| &**line))
    }

    pub(super) fn is_blank(&self) -> bool {
        self.lines.iter().all(|line| line.is_empty())
    }
}

/// Most lines that are kept as words for what was examined.
const MOST_TITLES: usize = 4;

/// A report in sections, in physical order.
pub(super) struct Split<'t> {
    pub(super) sections: Vec<Section<'t>>,
    /// Words that say what was examined: exam headings, view titles, the first lines.
    titles: Vec<&'t str>,
    /// First section of a preliminary report and of the final one that follows it.
    pub(super) preliminary_from: Option<usize>,
    pub(super) final_from: Option<usize>,
}

/// Parts the text of a report. Headings inside a block win over the block's code, except in blocks
/// whose code says that they are never labelled.
pub(super) fn split<'t>(report: &'t Tidied<'_>) -> Split<'t> {
    let mut splitter = Splitter {
        split: Split {
            sections: Vec::with_capacity(8),
            titles: Vec::with_capacity(MOST_TITLES),
            preliminary_from: None,
            final_from: None,
        },
        discarding: false,
        titled: false,
        labelled_text_seen: false,
    };
    for block in &report.blocks {
        splitter.discarding = false;
        let origin = if block.section.is_some() { Origin::Code } else { Origin::Unheaded };
        splitter.begin(block.section.unwrap_or(SectionKind::Body), origin);
        let fixed = block.section.is_some_and(is_context);
        for line in &block.lines {
            if fixed {
                splitter.push(line);
            } else {
                splitter.line(line, block.one_line);
            }
        }
    }
    splitter.split
}

/// Sections that only give context and are never labelled.
pub(super) const fn is_context(kind: SectionKind) -> bool {
    use SectionKind::{
        Comparison, Exam, History, Indication, Notification, Recommendation, Technique, WetRead,
    };
    matches!(
        kind,
        Exam | Indication
            | History
            | Technique
            | Comparison
            | Recommendation
            | Notification
            | WetRead
    )
}

struct Splitter<'t> {
    split: Split<'t>,
    /// Inside a signature: nothing is kept until a heading.
    discarding: bool,
    /// Some section other than unheaded text was begun.
    titled: bool,
    labelled_text_seen: bool,
}

impl<'t> Splitter<'t> {
    fn begin(&mut self, kind: SectionKind, origin: Origin) {
        self.titled |= kind != SectionKind::Body;
        self.split.sections.push(Section { origin, ..Section::new(kind) });
    }

    fn kind(&self) -> SectionKind {
        self.split.sections.last().map_or(SectionKind::Body, |section| section.kind)
    }

    fn push(&mut self, line: &'t str) {
        if !line.is_empty() {
            let kind = self.kind();
            self.labelled_text_seen |= !is_context(kind);
            if kind == SectionKind::Exam && self.split.titles.len() < MOST_TITLES {
                self.split.titles.push(line);
            }
        }
        if let Some(section) = self.split.sections.last_mut() {
            if section.lines.is_empty() {
                section.lines.reserve(8);
            }
            section.lines.push(Cow::Borrowed(line));
        }
    }

    fn line(&mut self, line: &'t str, one_line: bool) {
        if line.is_empty() {
            // A signature above the report ends with its paragraph.
            self.discarding &= self.labelled_text_seen;
            return self.push(line);
        }
        match banner(line) {
            Some(Banner::Preliminary) => {
                self.begin(SectionKind::Body, Origin::Heading);
                self.split.preliminary_from = Some(self.split.sections.len() - 1);
                return;
            }
            Some(Banner::Final) => {
                self.begin(SectionKind::Body, Origin::Heading);
                self.split.final_from = Some(self.split.sections.len() - 1);
                return;
            }
            Some(Banner::End) => {
                self.discarding = true;
                return;
            }
            None => {}
        }
        match headings::at_start(line) {
            Some((Heading::Section(kind), after)) => {
                self.discarding = false;
                self.note_view(line, kind);
                self.begin(kind, Origin::Heading);
                self.running(after, one_line);
            }
            Some((Heading::Anatomy, _)) => {
                self.discarding = false;
                use SectionKind::{Comparison, Exam, History, Indication, Technique};
                if matches!(self.kind(), Exam | Indication | History | Technique | Comparison) {
                    self.begin(SectionKind::Findings, Origin::Heading);
                }
                self.running(line, one_line);
            }
            None if self.discarding => {}
            None => {
                if self.split.titles.len() < 2 && !self.titled && line.len() <= 100 {
                    self.split.titles.push(line);
                }
                self.running(line, one_line);
            }
        }
    }

    /// A title that names views is text of the exam as well as a heading.
    fn note_view(&mut self, line: &'t str, kind: SectionKind) {
        if kind == SectionKind::Findings
            && let Some((title, _)) = line.split_once(':')
            && headings::normalise(title).is_some_and(|normal| headings::is_view(normal.as_str()))
        {
            self.split.titles.insert(0, title);
            self.split.titles.truncate(MOST_TITLES);
        }
    }

    /// Text of a line after its heading: more headings may follow inside it, and a signature.
    fn running(&mut self, text: &'t str, one_line: bool) {
        let mut from = 0;
        let mut search = 0;
        while let Some((start, end, kind)) = headings::inline(text, search, one_line) {
            search = end;
            if self.is_sentence_of_findings(text, start, kind) {
                continue;
            }
            self.keep(text.get(from..start).unwrap_or_default());
            self.discarding = false;
            self.begin(kind, Origin::Heading);
            from = end;
        }
        self.keep(text.get(from..).unwrap_or_default());
    }

    /// `FINDINGS: Comparison: 1/2/2020. The heart …`: a capitalised context title right where the
    /// findings begin is their first sentence, not a section that would swallow them.
    fn is_sentence_of_findings(&self, text: &str, start: usize, kind: SectionKind) -> bool {
        let title = text.get(start..).and_then(|rest| rest.split(':').next()).unwrap_or_default();
        start == 0
            && is_context(kind)
            && title.contains(char::is_lowercase)
            && self.split.sections.last().is_some_and(|section| {
                section.kind == SectionKind::Findings && section.lines.is_empty()
            })
    }

    fn keep(&mut self, text: &'t str) {
        if self.discarding {
            return;
        }
        let (text, signed) = match signature(text) {
            Some(at) => (text.get(..at).unwrap_or_default(), true),
            None => (text, false),
        };
        // The line is tidied: it has no other blanks.
        let text = text.trim_ascii();
        if !text.is_empty() {
            self.push(text);
        }
        self.discarding = signed;
    }
}

impl Split<'_> {
    /// Words that say what was examined, at most a few lines.
    pub(super) fn header(&self) -> Option<String> {
        let mut header =
            String::with_capacity(self.titles.iter().map(|title| title.len() + 1).sum());
        for title in &self.titles {
            header.push_str(title.get(..title.len().min(200)).unwrap_or(title));
            header.push('\n');
        }
        (!header.is_empty()).then_some(header)
    }

    /// Every line, in order.
    pub(super) fn lines(&self) -> impl Iterator<Item = &str> {
        self.sections.iter().flat_map(|section| section.lines.iter().map(|line| &**line))
    }
}
