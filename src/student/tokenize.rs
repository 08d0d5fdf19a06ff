//! Text to token ids, and the way back from a token to its sentence.

use std::fmt;

use tokenizers::Tokenizer;

use super::evidence::NO_SENTENCE;
use super::sentences::sentences;
use super::words::{Token, WordCache, tokens};
use crate::report::{Evidence, ReportText};

/// A text is cut at this many bytes per token that the model reads before it is tokenised: no
/// language comes near it, and the time spent on a hostile text is bounded.
const BYTES_PER_TOKEN: usize = 64;

/// Tokenizes on one thread. A clone shares nothing with it, so that threads do not wait for each
/// other.
#[derive(Clone)]
pub struct Encoder {
    tokenizer: Tokenizer,
    words: Option<WordCache>,
    max_tokens: usize,
    unknown: Option<u32>,
    scratch: Vec<Token>,
}

impl fmt::Debug for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encoder").field("max_tokens", &self.max_tokens).finish_non_exhaustive()
    }
}

impl Encoder {
    /// An encoder from the bytes of `tokenizer.json`.
    ///
    /// # Errors
    /// The library's reason, when the file is no tokenizer.
    pub fn new(json: &[u8], max_tokens: usize) -> Result<Self, String> {
        let mut tokenizer = Tokenizer::from_bytes(json).map_err(|error| error.to_string())?;
        tokenizer.with_padding(None);
        tokenizer.with_truncation(None).map_err(|error| error.to_string())?;
        let unknown = ["[UNK]", "<unk>"].into_iter().find_map(|t| tokenizer.token_to_id(t));
        let words = WordCache::suits(json, &tokenizer);
        Ok(Self { tokenizer, words, max_tokens: max_tokens.max(3), unknown, scratch: Vec::new() })
    }

    /// Tokenizes [`ReportText::model_input`]. Never fails.
    ///
    /// Longer text than the model reads is cut: the first tokens and the closing special token
    /// stay, and [`Encoding::truncated`] says so. Training cuts the same way.
    pub fn encode(&mut self, text: &ReportText) -> Encoding {
        let input = text.model_input();
        let whole = input.expose();
        let read = cut(whole, self.max_tokens.saturating_mul(BYTES_PER_TOKEN));
        let mut truncated = read.len() < whole.len();

        let cached = self
            .words
            .as_mut()
            .is_some_and(|words| words.encode(&self.tokenizer, read, &mut self.scratch));
        if !cached {
            truncated |= !self.encode_whole(read);
        }
        if self.scratch.len() > self.max_tokens {
            truncated = true;
            let last = self.scratch.last().copied();
            self.scratch.truncate(self.max_tokens.saturating_sub(1));
            self.scratch.extend(last);
        }
        self.finish(text, truncated)
    }

    /// The long way, with the library. `false` when it could not read the text at all, which the
    /// tokenizers in use have no path to: the text is then taken as empty, marked as cut.
    fn encode_whole(&mut self, text: &str) -> bool {
        self.scratch.clear();
        match self.tokenizer.encode(text, true) {
            Ok(encoding) => {
                self.scratch.extend(tokens(&encoding));
                true
            }
            Err(_) => {
                if let Ok(encoding) = self.tokenizer.encode("", true) {
                    self.scratch.extend(tokens(&encoding));
                }
                false
            }
        }
    }

    fn finish(&self, text: &ReportText, truncated: bool) -> Encoding {
        let (spans, ends) = sentence_spans(text);
        let mut at = 0;
        let sentence_of = self.scratch.iter().map(|token| {
            let Some(last) = token.last else { return NO_SENTENCE };
            // Tokens ascend, so each sentence is looked at once.
            while ends.get(at).is_some_and(|end| *end <= last) {
                at += 1;
            }
            u16::try_from(at).unwrap_or(NO_SENTENCE)
        });
        let sentence_of = sentence_of.collect();
        let ids: Box<[u32]> = self.scratch.iter().map(|token| token.id).collect();
        let unknown = ids.iter().filter(|id| Some(**id) == self.unknown).count();
        Encoding {
            unknown: u32::try_from(unknown).unwrap_or(u32::MAX),
            ids,
            sentence_of,
            sentences: spans,
            truncated,
        }
    }
}

/// `text` up to at most `limit` bytes, cut between characters.
fn cut(text: &str, limit: usize) -> &str {
    if text.len() <= limit {
        return text;
    }
    text.get(..text.floor_char_boundary(limit)).unwrap_or_default()
}

/// The sentences of all sections, and where each ends in the joined text, in bytes.
fn sentence_spans(text: &ReportText) -> (Box<[Evidence]>, Vec<u32>) {
    let (mut spans, mut ends) = (Vec::new(), Vec::new());
    // Where the section starts in `ReportText::model_input`: sections are joined by one newline.
    let mut base = 0;
    for section in &text.sections {
        let body = section.text.expose();
        if base > 0 {
            base += 1;
        }
        let (mut byte, mut chars) = (0, 0);
        for range in sentences(body) {
            chars += count_chars(body, byte..range.start);
            let start = chars;
            chars += count_chars(body, range.clone());
            byte = range.end;
            spans.push(Evidence { section: section.kind, start, end: chars });
            ends.push(u32::try_from(base + range.end).unwrap_or(u32::MAX));
        }
        base += body.len();
    }
    (spans.into_boxed_slice(), ends)
}

fn count_chars(text: &str, range: std::ops::Range<usize>) -> u32 {
    let piece = text.get(range).unwrap_or_default();
    let chars = if piece.is_ascii() { piece.len() } else { piece.chars().count() };
    u32::try_from(chars).unwrap_or(u32::MAX)
}

/// A tokenised text: what a session needs, and no more. `Debug` prints sizes only, because token
/// ids are the text in another alphabet.
#[derive(Clone, PartialEq, Eq)]
pub struct Encoding {
    ids: Box<[u32]>,
    sentence_of: Box<[u16]>,
    sentences: Box<[Evidence]>,
    unknown: u32,
    truncated: bool,
}

impl fmt::Debug for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encoding")
            .field("tokens", &self.ids.len())
            .field("sentences", &self.sentences.len())
            .field("truncated", &self.truncated)
            .finish_non_exhaustive()
    }
}

impl Encoding {
    /// Number of tokens, special ones included: the length that buckets go by.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// No tokens at all; not even special ones.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The text was longer than the model reads.
    pub fn truncated(&self) -> bool {
        self.truncated
    }

    /// Tokens a word of the text that it was made of: high where the vocabulary does not know the words
    /// and cuts them into pieces.
    #[expect(clippy::cast_precision_loss, reason = "tokens of a report are few")]
    pub fn per_word(&self, text: &ReportText) -> f64 {
        let texts = text.sections.iter().map(|section| section.text.expose());
        let words: usize = texts.map(|text| text.split_whitespace().count()).sum();
        self.len() as f64 / words.max(1) as f64
    }

    /// Share of tokens that the vocabulary does not know, 0 to 1. High for text that is not
    /// English prose.
    pub fn unknown_rate(&self) -> f64 {
        if self.ids.is_empty() {
            return 0.0;
        }
        let tokens = u32::try_from(self.ids.len()).unwrap_or(u32::MAX);
        f64::from(self.unknown) / f64::from(tokens)
    }

    /// Memory it takes, in bytes, for the byte budget.
    pub fn bytes(&self) -> usize {
        size_of::<Self>()
            + size_of_val(&*self.ids)
            + size_of_val(&*self.sentence_of)
            + size_of_val(&*self.sentences)
    }

    pub(super) fn ids(&self) -> &[u32] {
        &self.ids
    }

    pub(super) fn sentence_of(&self) -> &[u16] {
        &self.sentence_of
    }

    pub(super) fn sentences(&self) -> &[Evidence] {
        &self.sentences
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{LabelledSection, Phi, SectionKind};

    /// Whole words only, so that expected token numbers can be read off the text.
    const TOKENIZER: &str = r#"{"version": "1.0", "truncation": null, "padding": null,
        "added_tokens": [], "normalizer": {"type": "Lowercase"},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]},
        "decoder": null,
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "",
            "max_input_chars_per_word": 100, "vocab": {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2,
            "[SEP]": 3, "no": 4, "edema": 5, ".": 6, "heart": 7, "große": 8}}}"#;

    fn text(sections: &[(SectionKind, &str)]) -> ReportText {
        let sections = sections
            .iter()
            .map(|(kind, text)| LabelledSection { kind: *kind, text: Phi::from(*text) })
            .collect();
        ReportText { sections, present: Vec::new() }
    }

    fn encoder(max_tokens: usize) -> Encoder {
        Encoder::new(TOKENIZER.as_bytes(), max_tokens).unwrap()
    }

    #[test]
    fn every_token_knows_its_sentence_and_spans_count_characters() {
        let text = text(&[
            (SectionKind::Findings, "Große Heart. No edema."),
            (SectionKind::Impression, "Heart."),
        ]);
        let encoding = encoder(64).encode(&text);
        assert_eq!(encoding.ids(), [2, 8, 7, 6, 4, 5, 6, 7, 6, 3]);
        let none = NO_SENTENCE;
        assert_eq!(encoding.sentence_of(), [none, 0, 0, 0, 1, 1, 1, 2, 2, none]);
        let spans: Vec<_> =
            encoding.sentences().iter().map(|e| (e.section, e.start, e.end)).collect();
        assert_eq!(
            spans,
            [
                (SectionKind::Findings, 0, 12),
                (SectionKind::Findings, 13, 22),
                (SectionKind::Impression, 0, 6)
            ]
        );
    }

    #[test]
    fn a_long_text_is_cut_keeps_its_closing_token_and_says_so() {
        let long = text(&[(SectionKind::Body, "no edema . heart")]);
        let encoding = encoder(4).encode(&long);
        assert_eq!(encoding.ids(), [2, 4, 5, 3]);
        assert!(encoding.truncated());
        let fits = encoder(6).encode(&long);
        assert_eq!(fits.ids(), [2, 4, 5, 6, 7, 3]);
        assert!(!fits.truncated());
    }

    #[test]
    fn a_hostile_text_is_cut_before_it_is_tokenised() {
        let text = text(&[(SectionKind::Body, &"é".repeat(1_000_000))]);
        let encoding = encoder(8).encode(&text);
        assert!(encoding.truncated());
        assert!(encoding.len() <= 8);
        assert!(encoding.bytes() < 1_000);
    }

    #[test]
    fn unknown_words_are_counted() {
        let encoding = encoder(64).encode(&text(&[(SectionKind::Body, "nein edema")]));
        assert!((encoding.unknown_rate() - 0.25).abs() < 1e-9, "1 of 4 with [CLS] and [SEP]");
    }

    #[test]
    fn debug_shows_sizes_only() {
        let encoding = encoder(64).encode(&text(&[(SectionKind::Body, "heart")]));
        let shown = format!("{encoding:?}");
        assert_eq!(shown, "Encoding { tokens: 3, sentences: 1, truncated: false, .. }");
    }

    #[test]
    fn a_file_that_is_no_tokenizer_is_refused() {
        assert!(Encoder::new(b"{}", 8).is_err());
    }
}
