//! A cache of words in front of the tokenizer.
//!
//! Radiology uses few words (1,000 cover 96 % of a real corpus), and the tokenizer cuts text at
//! white space before it looks at letters, so the tokens of a word never depend on its neighbours.
//! That is true of the tokenizers recognised by [`WordCache::suits`] and of plain ASCII text; all
//! else goes the long way. Equality with the long way is tested on the corpus and on random text.

use std::collections::HashMap;

use serde_json::Value;
use tokenizers::Tokenizer;

/// Words kept. When full, the cache starts anew: bounded, and it follows a change of vocabulary.
const CAPACITY: usize = 8_192;
/// Longer words are not worth a place.
const LONGEST_WORD: usize = 48;

/// One token of a text: its id, and the byte in the text at which it ends (inclusive).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) id: u32,
    /// `None` for special tokens.
    pub(super) last: Option<u32>,
}

/// Tokens by word. Holds report words: no `Debug`.
#[derive(Clone)]
pub(super) struct WordCache {
    words: HashMap<Box<str>, Box<[Token]>>,
    /// Added tokens, lower case; a word that contains one goes the long way.
    added: Vec<String>,
    prefix: Vec<u32>,
    suffix: Vec<u32>,
}

impl WordCache {
    /// The cache for this tokenizer, if words are independent in it. `json` is its file.
    pub(super) fn suits(json: &[u8], tokenizer: &Tokenizer) -> Option<Self> {
        let file: Value = serde_json::from_slice(json).ok()?;
        let independent = keeps_ascii(file.get("normalizer")?)
            && cuts_at_white_space(file.get("pre_tokenizer")?)
            && frames_only(file.get("post_processor")?)
            && matches!(file.get("model")?.get("type")?.as_str()?, "BPE" | "WordPiece")
            && file.get("model")?.get("dropout").is_none_or(Value::is_null);
        let added: Vec<String> = tokenizer
            .get_added_tokens_decoder()
            .values()
            .map(|t| t.content.to_lowercase())
            .collect();
        if !independent || added.iter().any(|t| t.is_empty() || t.contains(char::is_whitespace)) {
            return None;
        }
        let framed = tokenizer.encode("a", true).ok()?;
        let special = framed.get_special_tokens_mask();
        let leading = special.iter().take_while(|flag| **flag == 1).count();
        let trailing = special.iter().rev().take_while(|flag| **flag == 1).count();
        let ids = framed.get_ids();
        Some(Self {
            words: HashMap::new(),
            added,
            prefix: ids.get(..leading)?.to_vec(),
            suffix: ids.get(ids.len().checked_sub(trailing)?..)?.to_vec(),
        })
    }

    /// Tokens of `text` with the special ones, into `out`; `false` (and `out` is rubbish) when the
    /// text has to go the long way.
    pub(super) fn encode(
        &mut self,
        tokenizer: &Tokenizer,
        text: &str,
        out: &mut Vec<Token>,
    ) -> bool {
        let plain = |byte: u8| byte.is_ascii_graphic() || byte == b' ' || byte == b'\n';
        if !text.bytes().all(plain) || u32::try_from(text.len()).is_err() {
            return false;
        }
        out.clear();
        out.extend(self.prefix.iter().map(|id| Token { id: *id, last: None }));
        let mut start = 0_u32;
        for word in text.split([' ', '\n']) {
            if !word.is_empty() && !self.push_word(tokenizer, word, start, out) {
                return false;
            }
            start = start.saturating_add(u32::try_from(word.len()).unwrap_or(u32::MAX));
            start = start.saturating_add(1);
        }
        out.extend(self.suffix.iter().map(|id| Token { id: *id, last: None }));
        true
    }

    fn push_word(
        &mut self,
        tokenizer: &Tokenizer,
        word: &str,
        start: u32,
        out: &mut Vec<Token>,
    ) -> bool {
        let placed = |token: &Token| Token { id: token.id, last: token.last.map(|l| l + start) };
        if let Some(tokens) = self.words.get(word) {
            out.extend(tokens.iter().map(placed));
            return true;
        }
        let lower = word.to_ascii_lowercase();
        if word.len() > LONGEST_WORD || self.added.iter().any(|added| lower.contains(added)) {
            return false;
        }
        let Ok(encoding) = tokenizer.encode(word, false) else { return false };
        let tokens: Box<[Token]> = tokens(&encoding).collect();
        out.extend(tokens.iter().map(placed));
        if self.words.len() >= CAPACITY {
            self.words.clear();
        }
        self.words.insert(word.into(), tokens);
        true
    }
}

/// The tokens of an encoding of the library.
pub(super) fn tokens(encoding: &tokenizers::Encoding) -> impl Iterator<Item = Token> {
    let ids = encoding.get_ids().iter();
    ids.zip(encoding.get_offsets()).zip(encoding.get_special_tokens_mask()).map(
        |((id, (_, end)), special)| Token {
            id: *id,
            last: (*special == 0).then(|| u32::try_from(end.saturating_sub(1)).unwrap_or(u32::MAX)),
        },
    )
}

fn kind(part: &Value) -> Option<&str> {
    part.get("type")?.as_str()
}

/// The normalizer changes ASCII text character by character, or not at all.
fn keeps_ascii(normalizer: &Value) -> bool {
    match kind(normalizer) {
        None => normalizer.is_null(),
        Some("NFC" | "NFD" | "NFKC" | "NFKD" | "StripAccents" | "Lowercase") => true,
        Some("Sequence") => normalizer
            .get("normalizers")
            .and_then(Value::as_array)
            .is_some_and(|parts| parts.iter().all(keeps_ascii)),
        Some(_) => false,
    }
}

/// White space is removed first; what follows only cuts finer.
fn cuts_at_white_space(pre_tokenizer: &Value) -> bool {
    match kind(pre_tokenizer) {
        Some("BertPreTokenizer" | "WhitespaceSplit") => true,
        Some("Sequence") => pre_tokenizer
            .get("pretokenizers")
            .and_then(Value::as_array)
            .and_then(|parts| parts.split_first())
            .is_some_and(|(first, rest)| {
                let finer = ["BertPreTokenizer", "WhitespaceSplit", "Digits", "Punctuation"];
                cuts_at_white_space(first)
                    && rest.iter().all(|part| kind(part).is_some_and(|k| finer.contains(&k)))
            }),
        _ => false,
    }
}

/// The post-processor only puts special tokens around the text.
fn frames_only(post_processor: &Value) -> bool {
    matches!(kind(post_processor), Some("TemplateProcessing" | "BertProcessing"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    /// A small tokenizer of the same make as the one that ships.
    fn tokenizer() -> (Vec<u8>, Tokenizer) {
        let letters = "abcdefghijklmnopqrstuvwxyz0123456789.,:;()[]-/";
        let mut vocabulary = serde_json::Map::new();
        let mut add = |token: String| {
            let id = vocabulary.len();
            vocabulary.insert(token, id.into());
        };
        for special in ["[PAD]", "[UNK]", "[CLS]", "[SEP]"] {
            add(special.to_owned());
        }
        for letter in letters.chars() {
            add(letter.to_string());
            add(format!("##{letter}"));
        }
        add("no".to_owned());
        add("##ax".to_owned());
        let special = |id: usize, content: &str| {
            json!({"id": id, "content": content, "single_word": false, "lstrip": false,
                "rstrip": false, "normalized": false, "special": true})
        };
        let json = json!({
            "version": "1.0", "truncation": null, "padding": null,
            "added_tokens": [special(0, "[PAD]"), special(1, "[UNK]"), special(2, "[CLS]"), special(3, "[SEP]")],
            "normalizer": {"type": "Sequence", "normalizers": [
                {"type": "NFKD"}, {"type": "StripAccents"}, {"type": "Lowercase"}]},
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
                {"type": "BertPreTokenizer"}, {"type": "Digits", "individual_digits": true}]},
            "post_processor": {"type": "TemplateProcessing",
                "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}},
                    {"Sequence": {"id": "A", "type_id": 0}},
                    {"SpecialToken": {"id": "[SEP]", "type_id": 0}}],
                "pair": [{"Sequence": {"id": "A", "type_id": 0}},
                    {"Sequence": {"id": "B", "type_id": 1}}],
                "special_tokens": {
                    "[CLS]": {"id": "[CLS]", "ids": [2], "tokens": ["[CLS]"]},
                    "[SEP]": {"id": "[SEP]", "ids": [3], "tokens": ["[SEP]"]}}},
            "decoder": null,
            "model": {"type": "BPE", "dropout": null, "unk_token": "[UNK]",
                "continuing_subword_prefix": "##", "end_of_word_suffix": null, "fuse_unk": false,
                "byte_fallback": false, "vocab": vocabulary,
                "merges": [["n", "##o"], ["##a", "##x"]]},
        });
        let bytes = json.to_string().into_bytes();
        let tokenizer = Tokenizer::from_bytes(&bytes).unwrap();
        (bytes, tokenizer)
    }

    proptest! {
        #[test]
        fn the_cache_gives_what_the_tokenizer_gives(
            texts in prop::collection::vec("([a-zA-Z]{1,12}|[ -~]{0,6}|[ \n]|No pneumothorax\\. |[0-9.]{1,5}|\\[CLS\\]){0,20}", 1..6)
        ) {
            let (json, tokenizer) = tokenizer();
            let mut cache = WordCache::suits(&json, &tokenizer).unwrap();
            let mut out = Vec::new();
            for text in &texts {
                if cache.encode(&tokenizer, text, &mut out) {
                    let whole = tokenizer.encode(text.as_str(), true).unwrap();
                    prop_assert_eq!(&out, &tokens(&whole).collect::<Vec<_>>());
                }
            }
        }
    }

    #[test]
    fn on_the_corpus_the_shipped_tokenizer_and_its_cache_agree() {
        let json = std::fs::read("models/default/tokenizer.json").unwrap();
        let tokenizer = Tokenizer::from_bytes(&json).unwrap();
        let mut cache = WordCache::suits(&json, &tokenizer).expect("its words are independent");
        let corpus = std::fs::read_to_string("distill/corpus/reports.jsonl").unwrap();
        let mut out = Vec::new();
        let (mut texts, mut taken) = (0, 0);
        for line in corpus.lines() {
            let report: Value = serde_json::from_str(line).unwrap();
            let part = |name: &str| report[name].as_str().unwrap().to_owned();
            let text = part("findings") + "\n" + &part("impression");
            texts += 1;
            if cache.encode(&tokenizer, &text, &mut out) {
                taken += 1;
                let whole = tokenizer.encode(text.as_str(), true).unwrap();
                assert_eq!(out, tokens(&whole).collect::<Vec<_>>(), "{text}");
            }
        }
        assert!(taken * 10 > texts * 9, "{taken} of {texts} took the short way");
    }

    #[test]
    fn ordinary_text_is_taken_and_the_rest_goes_the_long_way() {
        let (json, tokenizer) = tokenizer();
        let mut cache = WordCache::suits(&json, &tokenizer).unwrap();
        let mut out = Vec::new();
        assert!(cache.encode(&tokenizer, "No pneumothorax.\nHeart  normal.", &mut out));
        assert_eq!(out.first().map(|t| t.id), Some(2));
        assert_eq!(out.last().map(|t| t.id), Some(3));
        let long = "x".repeat(LONGEST_WORD + 1);
        for other in ["Ödem", "a\u{b}b", "a[cls]b", "tab\there", long.as_str()] {
            assert!(!cache.encode(&tokenizer, other, &mut out), "{other}");
        }
    }

    #[test]
    fn the_cache_never_outgrows_its_capacity() {
        let (json, tokenizer) = tokenizer();
        let mut cache = WordCache::suits(&json, &tokenizer).unwrap();
        let mut out = Vec::new();
        for n in 0..CAPACITY + 10 {
            assert!(cache.encode(&tokenizer, &n.to_string(), &mut out));
            assert!(cache.words.len() <= CAPACITY);
        }
    }

    #[test]
    fn a_tokenizer_whose_words_see_their_neighbours_is_not_cached() {
        let (json, tokenizer) = tokenizer();
        let change = |key: &str, value: Value| {
            let mut file: Value = serde_json::from_slice(&json).unwrap();
            file[key] = value;
            file.to_string().into_bytes()
        };
        for (key, value) in [
            ("pre_tokenizer", json!({"type": "ByteLevel", "add_prefix_space": false})),
            ("pre_tokenizer", json!({"type": "Metaspace", "replacement": "_", "split": false})),
            ("pre_tokenizer", Value::Null),
            ("normalizer", json!({"type": "Replace", "pattern": {"String": " "}, "content": "_"})),
            ("post_processor", json!({"type": "RobertaProcessing", "trim_offsets": true})),
        ] {
            assert!(WordCache::suits(&change(key, value), &tokenizer).is_none(), "{key}");
        }
    }
}
