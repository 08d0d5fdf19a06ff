//! Names that the message gives, found in running text.
//!
//! A name that could be a word ("Stone", "Long", "May") counts only where the context is a name: next
//! to another part of it, after a title, in the middle of a sentence with a capital. Any other name
//! counts wherever it stands, in any case.

use std::collections::HashMap;

use super::known::PARTICLES;
use super::lexicon;
use super::people;
use super::span::{Kind, Span};
use super::surrogate;
use super::words::{Shape, Word};

/// How much a name proves by standing there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weight {
    /// No word is spelled so.
    Strong,
    /// Also an ordinary or medical word, or too short.
    Word,
    /// Also an eponym or device: "Foley".
    Eponym,
    /// A single letter or a particle: no name by itself.
    Nothing,
}

/// Words that name somebody when they stand together in this order.
pub(super) struct Phrase {
    pub(super) tokens: Vec<String>,
    pub(super) weight: Weight,
}

impl Phrase {
    pub(super) fn new(tokens: Vec<String>) -> Self {
        let weight = match tokens.as_slice() {
            [] => Weight::Nothing,
            [only] if only.chars().count() < 2 || PARTICLES.contains(&only.as_str()) => {
                Weight::Nothing
            }
            [only] if lexicon::is_eponym(only) => Weight::Eponym,
            [only] if lexicon::is_ordinary(only) || only.chars().count() < 3 => Weight::Word,
            several if several.iter().all(|token| lexicon::is_ordinary(token)) => Weight::Word,
            _ => Weight::Strong,
        };
        Self { tokens, weight }
    }
}

/// A person, place or facility of the message.
pub(super) struct Entity {
    pub(super) kind: Kind,
    pub(super) key: String,
    pub(super) phrases: Vec<Phrase>,
    /// First letters of a person's names.
    pub(super) initials: Vec<char>,
}

/// Names that computers give: initial and surname in one word, `jsmith`.
pub(super) fn sign_ons(names: &[Phrase]) -> Vec<Phrase> {
    let single = names.iter().filter_map(|name| match name.tokens.as_slice() {
        [only] => Some(only),
        _ => None,
    });
    // Of many names, the first ones: pairs grow with the square.
    let single: Vec<&String> = single.take(8).collect();
    let mut joined = Vec::new();
    for surname in single.iter().filter(|name| name.len() >= 4) {
        for given in single.iter().filter(|name| name != &surname) {
            if let Some(initial) = given.chars().next() {
                joined.push(Phrase::new(vec![[&initial.to_string(), surname.as_str()].concat()]));
            }
        }
    }
    joined.retain(|phrase| phrase.weight == Weight::Strong);
    joined
}

/// One phrase found: words `first..past`.
#[derive(Clone, Copy)]
struct Hit {
    entity: usize,
    phrase: usize,
    first: usize,
    past: usize,
    weight: Weight,
}

/// Where the entities stand. Words in `kept` places are not looked at.
pub(super) fn find(
    text: &str,
    words: &[Word],
    kept: &[(usize, usize)],
    entities: &[Entity],
    found: &mut Vec<Span>,
) {
    let hits = hits(text, words, kept, entities);
    let mut by_entity: HashMap<usize, Vec<Hit>> = HashMap::new();
    for hit in hits {
        by_entity.entry(hit.entity).or_default().push(hit);
    }
    for (index, entity) in entities.iter().enumerate() {
        let Some(hits) = by_entity.get(&index) else { continue };
        let mut rest = hits.iter().peekable();
        while let Some(hit) = rest.next() {
            let mut run = vec![*hit];
            let mut past = hit.past;
            while let Some(next) = rest.peek() {
                let joined = next.first < past
                    || (!run.iter().any(|part| part.phrase == next.phrase)
                        && agree(words, run.last(), next)
                        && join(text, words, past, next.first, &entity.initials));
                if !joined {
                    break;
                }
                past = past.max(next.past);
                run.push(**next);
                rest.next();
            }
            found.extend(judge(text, words, kept, entity, &run, past));
        }
    }
}

fn hits(text: &str, words: &[Word], kept: &[(usize, usize)], entities: &[Entity]) -> Vec<Hit> {
    let mut starts: HashMap<&str, Vec<(usize, usize)>> = HashMap::new();
    let mut glued: HashMap<String, Vec<(usize, usize)>> = HashMap::new();
    for (entity, named) in entities.iter().enumerate() {
        for (phrase, wanted) in named.phrases.iter().enumerate() {
            if let Some(first) = wanted.tokens.first() {
                starts.entry(first).or_default().push((entity, phrase));
            }
            if wanted.tokens.len() > 1 {
                glued.entry(wanted.tokens.concat()).or_default().push((entity, phrase));
            }
        }
    }
    let mut hits = Vec::new();
    for (at, word) in words.iter().enumerate() {
        if surrogate::covers(kept, word.start, word.end) {
            continue;
        }
        let alone =
            starts.get(word.folded.as_str()).into_iter().flatten().map(|found| (found, false));
        let as_one = glued.get(&word.folded).into_iter().flatten().map(|found| (found, true));
        for (&(entity, phrase), is_one) in alone.chain(as_one) {
            let Some(wanted) = entities.get(entity).and_then(|e| e.phrases.get(phrase)) else {
                continue;
            };
            let length = if is_one { 1 } else { wanted.tokens.len() };
            if is_one || stands(text, words, at, &wanted.tokens) {
                let weight = wanted.weight;
                hits.push(Hit { entity, phrase, first: at, past: at + length, weight });
            }
        }
    }
    hits
}

/// Whether the tokens stand from word `at` on, with little between them.
fn stands(text: &str, words: &[Word], at: usize, tokens: &[String]) -> bool {
    let Some(here) = words.get(at..at + tokens.len()) else { return false };
    here.iter().zip(tokens).all(|(word, token)| word.folded == *token)
        && here.iter().zip(here.iter().skip(1)).all(|(a, b)| near(text, a, b, true))
}

/// Only a joint of a name stands between two words.
fn near(text: &str, before: &Word, after: &Word, period: bool) -> bool {
    let between = text.get(before.end..after.start).unwrap_or("....");
    between.chars().count() <= 3
        && between.chars().all(|c| {
            c == ' '
                || matches!(c, '\t' | '\u{a0}' | ',' | '-' | '‐' | '\'' | '’' | '^' | '_')
                || (c == '.' && period)
                || (c == '\n' && between.trim().is_empty())
        })
}

/// Whether a part that is also a word goes on a name by its case: "Mr. Long will need", "may Okonkwo".
fn agree(words: &[Word], before: Option<&Hit>, next: &Hit) -> bool {
    let lower = |hit: &Hit| words.get(hit.first).is_some_and(|word| word.shape == Shape::Lower);
    let Some(before) = before else { return true };
    if lower(next) && next.weight != Weight::Strong {
        return false;
    }
    !(lower(before) && before.weight != Weight::Strong) || lower(next)
}

/// Whether two found parts are one name: adjacent, or with initials and particles between.
fn join(text: &str, words: &[Word], past: usize, next: usize, initials: &[char]) -> bool {
    let Some(between) = words.get(past.saturating_sub(1)..=next) else { return false };
    let last = between.len().saturating_sub(1);
    between.len() <= 5
        && between
            .iter()
            .enumerate()
            .all(|(i, word)| i == 0 || i == last || is_joint(word, initials))
        && between
            .iter()
            .zip(between.iter().skip(1))
            .enumerate()
            .all(|(i, (a, b))| near(text, a, b, i > 0))
}

fn is_joint(word: &Word, initials: &[char]) -> bool {
    PARTICLES.contains(&word.folded.as_str()) || is_initial(word, initials)
}

/// `J`, or `JD` of a person whose names start so.
fn is_initial(word: &Word, initials: &[char]) -> bool {
    let small = word.folded.len() == 1 && !matches!(word.folded.as_str(), "a" | "i" | "x" | "s");
    let letters = word.folded.len() == 1
        || (word.folded.len() == 2
            && word.shape == Shape::Upper
            // "DR", "AT": more often words than initials.
            && !lexicon::is_ordinary(&word.folded));
    letters
        && (word.shape != Shape::Lower || small)
        && word.folded.chars().all(|letter| initials.contains(&letter))
}

/// The span of a run of parts, if it is a name. Initials and particles around it belong to it.
fn judge(
    text: &str,
    words: &[Word],
    kept: &[(usize, usize)],
    entity: &Entity,
    run: &[Hit],
    past: usize,
) -> Option<Span> {
    let mut first = run.first()?.first;
    let mut past = past;
    let free = |word: &Word| !surrogate::covers(kept, word.start, word.end);
    if entity.kind == Kind::Person {
        while let Some(before) = first.checked_sub(1).and_then(|at| words.get(at))
            && is_joint(before, &entity.initials)
            && free(before)
            && near(text, before, words.get(first)?, before.folded.len() == 1)
        {
            first -= 1;
        }
        while let Some(after) = words.get(past)
            && is_initial(after, &entity.initials)
            && free(after)
            && (after.folded != "a" || initial_mark(text, after))
            && !credential_starts(text, after)
            && near(text, words.get(past - 1)?, after, words.get(past - 1)?.folded.len() == 1)
            && !is_possessive(text, after)
        {
            past += 1;
        }
        if let Some(after) = words.get(past)
            && matches!(after.folded.as_str(), "jr" | "sr" | "ii" | "iii" | "iv")
            && after.shape != Shape::Lower
            && near(text, words.get(past - 1)?, after, false)
        {
            past += 1;
        }
    }
    let strong = run.iter().any(|hit| hit.weight == Weight::Strong && !medicine(words, hit));
    let capitals =
        run.iter().all(|hit| words.get(hit.first).is_some_and(|word| word.shape != Shape::Lower));
    let mut parts: Vec<usize> = run.iter().map(|hit| hit.phrase).collect();
    parts.dedup();
    let together = parts.len() > 1 && capitals && entity.kind == Kind::Person;
    let with_initial = capitals
        && entity.kind == Kind::Person
        && (first < run.first()?.first || past > run.last()?.past)
        && !run.iter().any(|hit| medicine(words, hit));
    if !strong && !together && !with_initial && !in_context(text, words, entity, run) {
        return None;
    }
    Some(Span {
        start: words.get(first)?.start,
        end: words.get(past.checked_sub(1)?)?.end,
        kind: entity.kind,
        key: entity.key.clone(),
    })
}

/// A capital A that is an initial and no article: with a period, or before a comma or line end.
fn initial_mark(text: &str, word: &Word) -> bool {
    text.get(word.end..)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', ',', '\n', ';', ')']))
}

/// The s of "Smith's".
fn is_possessive(text: &str, word: &Word) -> bool {
    word.folded == "s" && text.get(..word.start).is_some_and(|b| b.ends_with(['\'', '’']))
}

/// The M of `M.D.`
fn credential_starts(text: &str, word: &Word) -> bool {
    text.get(word.end..).is_some_and(|rest| rest.starts_with(".D") || rest.starts_with(".N"))
}

/// "Wilson disease", "Foley catheter", "Swan-Ganz".
fn medicine(words: &[Word], hit: &Hit) -> bool {
    let Some(word) = words.get(hit.first) else { return false };
    let skip_s = usize::from(words.get(hit.past).is_some_and(|next| next.folded == "s"));
    words
        .get(hit.past + skip_s)
        .is_some_and(|next| lexicon::is_eponym_before(&word.folded, &next.folded))
}

/// Whether the words around say that this is a name.
fn in_context(text: &str, words: &[Word], entity: &Entity, run: &[Hit]) -> bool {
    let Some(hit) = run.first() else { return false };
    let Some(word) = words.get(hit.first) else { return false };
    let before = hit.first.checked_sub(1).and_then(|at| words.get(at));
    if medicine(words, hit) {
        return false;
    }
    if entity.kind == Kind::Person && people::introduced(text, words, hit.first) {
        return true;
    }
    if hit.weight == Weight::Eponym || word.shape != Shape::Capital || word.opens {
        return false;
    }
    // A capital in the middle of a sentence, and not in a line of capitals.
    let capital = |word: &Word| word.shape != Shape::Lower && !word.opens && word.folded.len() > 1;
    let title_case = before.is_some_and(capital)
        || words
            .get(hit.past)
            .is_some_and(|after| capital(after) && text.get(word.end..after.start) == Some(" "));
    !title_case
}
