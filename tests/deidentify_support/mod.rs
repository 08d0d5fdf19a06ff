//! Made-up hospital reports with identifiers planted in them, and what became of those.

#![allow(clippy::indexing_slicing, clippy::string_slice, reason = "made of constants and ASCII")]

mod hospital;
mod pieces;

use std::collections::BTreeMap;

use radstream::deidentify::{Deidentified, KnownIdentifier};
use radstream::report::{LabelledSection, Phi, SectionKind};

pub(crate) use hospital::report;

/// A small seeded generator (splitmix64): the same reports in every run.
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    pub(crate) fn of<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }

    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// One piece of a report: text of the template, or a planted identifier.
#[derive(Clone)]
enum Piece {
    Template(String),
    /// Kind for the table, and the text. `known ...` is also in the message's header.
    Planted(&'static str, String),
}

/// A report whose identifiers are known.
pub(crate) struct Planted {
    pub(crate) sections: Vec<LabelledSection>,
    pub(crate) known: Vec<KnownIdentifier>,
    pieces: Vec<Piece>,
}

/// Planted and missed, by kind.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) planted: BTreeMap<&'static str, (usize, usize)>,
    pub(crate) missed: Vec<(&'static str, String)>,
    pub(crate) template_words: usize,
    pub(crate) lost_words: Vec<String>,
    pub(crate) lost_from: Vec<String>,
}

/// Collects pieces, and text section by section.
#[derive(Default)]
struct Writer {
    pieces: Vec<Piece>,
    section: Vec<Piece>,
}

impl Writer {
    fn push(&mut self, piece: Piece) {
        self.pieces.push(piece.clone());
        self.section.push(piece);
    }

    fn template(&mut self, text: &str) {
        self.push(Piece::Template(text.to_owned()));
    }

    fn header(&mut self, kind: &'static str, text: String) {
        self.push(Piece::Planted(kind, text));
    }

    fn pattern(&mut self, kind: &'static str, text: String) {
        self.push(Piece::Planted(kind, text));
    }

    fn cut(&mut self) -> String {
        let text = |piece: &Piece| match piece {
            Piece::Template(text) | Piece::Planted(_, text) => text.clone(),
        };
        std::mem::take(&mut self.section).iter().map(text).collect()
    }
}

impl Planted {
    /// One report in ten is in capitals.
    fn new(
        sections: Vec<(SectionKind, String)>,
        known: Vec<KnownIdentifier>,
        pieces: Vec<Piece>,
        style: u64,
    ) -> Self {
        let sections = sections.into_iter().map(|(kind, text)| LabelledSection {
            kind,
            text: Phi::new(if style == 0 { text.to_uppercase() } else { text }),
        });
        Self { sections: sections.collect(), known, pieces }
    }

    /// Counts what was planted, what is still there, and what was lost of the rest.
    pub(crate) fn judge(&self, result: &Deidentified, tally: &mut Tally) {
        let mut left: BTreeMap<String, usize> = BTreeMap::new();
        for section in result.sections() {
            for word in words(&section.text.expose().replace("over 89", "")) {
                *left.entry(word).or_default() += 1;
            }
        }
        for piece in &self.pieces {
            let Piece::Template(text) = piece else { continue };
            for word in words(text) {
                tally.template_words += 1;
                match left.get_mut(&word) {
                    Some(count) if *count > 0 => *count -= 1,
                    _ => {
                        tally.lost_words.push(word);
                        tally.lost_from.push(text.clone());
                    }
                }
            }
        }
        // What is over came from the planted pieces.
        for piece in &self.pieces {
            let Piece::Planted(kind, text) = piece else { continue };
            let count = tally.planted.entry(kind).or_default();
            count.0 += 1;
            let leaks = words(text).into_iter().any(|word| {
                let year = word.len() == 4 && (word.starts_with("19") || word.starts_with("20"));
                let tells = word.chars().count() > 1 && !year && !JOINTS.contains(&word.as_str());
                tells && left.get(&word).is_some_and(|count| *count > 0)
            });
            if leaks {
                count.1 += 1;
                tally.missed.push((kind, text.clone()));
            }
        }
    }

    /// Whether the message's header gives identifiers of this kind.
    pub(crate) fn is_of_header(kind: &str) -> bool {
        kind.starts_with("known ")
    }
}

/// Parts of planted pieces that identify nobody.
const JOINTS: &[&str] =
    &["the", "of", "st", "nd", "rd", "th", "ma", "ny", "oh", "wa", "hours", "pm", "am"];

/// Letters and digits of a text, word by word, in lower case.
pub(crate) fn words(text: &str) -> Vec<String> {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect()
}
