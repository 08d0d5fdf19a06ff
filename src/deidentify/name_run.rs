//! Where a name begins and ends among words.

use super::known::{Known, PARTICLES};
use super::lexicon;
use super::span::{Kind, Span};
use super::surrogate;
use super::words::{Shape, Word};

/// What stands before a name.
const TITLES: [&str; 14] = [
    "dr",
    "drs",
    "doctor",
    "mr",
    "mrs",
    "ms",
    "miss",
    "mx",
    "prof",
    "professor",
    "sister",
    "mister",
    "nurse",
    "rev",
];
/// Credentials, which end a name and are none.
const CREDENTIALS: [&str; 22] = [
    "md", "do", "phd", "rn", "np", "pa", "mbbs", "frcr", "mph", "dnp", "aprn", "arnp", "crnp",
    "facr", "jr", "sr", "ii", "iii", "iv", "rt", "lpn", "dpm",
];
/// Most words of one name.
const LONGEST: usize = 5;

/// How sure the place is that a name follows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Certainty {
    /// A header field: every word of its value that could be a name is one.
    Field,
    /// A title: an ordinary word with a capital is a name here.
    Named,
    /// A cue in a sentence: ordinary words are not names.
    Likely,
}

/// The words of a text, and which of them can be names.
pub(super) struct Reader<'t> {
    pub(super) text: &'t str,
    pub(super) words: &'t [Word],
    pub(super) kept: &'t [(usize, usize)],
}

impl Reader<'_> {
    fn is_free(&self, word: &Word) -> bool {
        let mask = word.folded.len() > 1 && word.folded.chars().all(|c| c == 'x');
        !mask && !surrogate::covers(self.kept, word.start, word.end)
    }

    /// Whether the word can be part of a name; `Named` also allows "White".
    fn is_name(&self, word: &Word, certainty: Certainty) -> bool {
        if word.shape == Shape::Lower || !self.is_free(word) {
            return false;
        }
        let folded = word.folded.as_str();
        if lexicon::is_function_word(folded) || lexicon::is_role(folded) || is_credential(word) {
            return folded.chars().count() == 1;
        }
        match certainty {
            Certainty::Likely => !lexicon::is_ordinary(folded),
            _ if word.shape == Shape::Upper => !lexicon::is_medical(folded),
            _ => true,
        }
    }

    /// Whether a name can start with this word. "Mark" and "Will" are words; before a surname they
    /// are names.
    fn opens_name(&self, at: usize, certainty: Certainty) -> bool {
        let Some(word) = self.words.get(at) else { return false };
        if self.is_name(word, certainty) {
            return true;
        }
        let Some(next) = self.words.get(at + 1) else { return false };
        if word.shape == Shape::Lower || next.shape == Shape::Lower || !self.is_free(word) {
            return false;
        }
        match self.text.get(word.end..next.start) {
            Some(" ") => {
                lexicon::is_given_name(&word.folded)
                    && (self.is_name(next, Certainty::Likely)
                        || self.is_particle_at(at + 1)
                        || self.follows_given(at + 1))
            }
            // "NG, HOPE"
            Some(", ") => {
                lexicon::is_given_name(&next.folded)
                    && word.folded.len() <= 3
                    && !lexicon::is_role(&word.folded)
                    && !lexicon::is_function_word(&word.folded)
            }
            _ => false,
        }
    }

    /// "Patrick Buck": a capital after a given name that is no word itself.
    fn follows_given(&self, at: usize) -> bool {
        let Some(given) = at.checked_sub(1).and_then(|before| self.words.get(before)) else {
            return false;
        };
        let Some(word) = self.words.get(at) else { return false };
        let short = word.folded.len() == 2
            && !lexicon::is_common(&word.folded)
            && !lexicon::is_role(&word.folded)
            && !["ap", "ct", "iv", "pa", "po", "ra", "tb", "us"].contains(&word.folded.as_str());
        lexicon::is_given_name(&given.folded)
            && (!lexicon::is_ordinary(&given.folded) || short)
            && self.is_free(word)
            && self.text.get(given.end..word.start) == Some(" ")
            && !lexicon::is_function_word(&word.folded)
            && (short || (word.shape == Shape::Capital && !lexicon::is_medical(&word.folded)))
    }

    /// `van`, `de la`, before a capital.
    fn is_particle_at(&self, at: usize) -> bool {
        let particle = |word: &&Word| PARTICLES.contains(&word.folded.as_str());
        let mut rest = self.words.iter().skip(at);
        let joints = rest.by_ref().take_while(particle).take(3).count();
        let named = self.words.get(at + joints).is_some_and(|word| {
            word.shape != Shape::Lower && self.is_name(word, Certainty::Likely)
        });
        (1..=2).contains(&joints) && named
    }

    /// `MD`, `M.D.`, `R.N.`
    fn is_credential_at(&self, at: usize) -> bool {
        let Some(word) = self.words.get(at) else { return false };
        let spelled = self.words.get(at + 1).is_some_and(|next| {
            self.text.get(word.end..next.start) == Some(".")
                && matches!(
                    (word.folded.as_str(), next.folded.as_str()),
                    ("m" | "d" | "ph", "d" | "o") | ("r" | "l", "n" | "t") | ("n" | "p", "p" | "a")
                )
        });
        is_credential(word) || spelled
    }

    /// The word that starts at a byte, or after a title there.
    fn index_at(&self, byte: usize) -> Option<usize> {
        let index = self.words.partition_point(|word| word.start < byte);
        let gap = self.text.get(byte..self.words.get(index)?.start)?;
        gap.chars().all(|c| matches!(c, ' ' | '\t' | '"' | '(' | '\u{a0}')).then_some(index)
    }

    pub(super) fn starting_at(&self, byte: usize, certainty: Certainty) -> Option<(usize, usize)> {
        let index = self.index_at(byte)?;
        let word = self.words.get(index)?;
        if TITLES.contains(&word.folded.as_str()) {
            return None;
        }
        self.run(index, certainty)
    }

    /// A name from word `first` on: `Roger C Kelly`, `LATTE, MONICA`, `de la Cruz`, `O'Brien-Hall`.
    fn run(&self, first: usize, certainty: Certainty) -> Option<(usize, usize)> {
        let field = certainty == Certainty::Field;
        let mut past = first;
        let mut proper = 0;
        let mut comma = false;
        while let Some(word) = self.words.get(past)
            && past - first < LONGEST
        {
            if past > first {
                let before = self.words.get(past - 1)?;
                let gap = self.text.get(before.end..word.start)?;
                let initial = before.folded.chars().count() == 1 || before.folded == "st";
                let joins = match gap {
                    " " | "-" | "'" | "’" | "‐" | "\u{a0}" | "  " => true,
                    ". " | "." => initial,
                    ", " | "," => !comma && proper > 0,
                    _ => false,
                };
                if !joins {
                    break;
                }
                if gap.starts_with(',') {
                    // "Dr. Smith, Left lung": a comma goes on only to a given name.
                    let given = self.is_name(word, Certainty::Likely)
                        || (word.shape != Shape::Lower && lexicon::is_given_name(&word.folded));
                    if !given || past - first > 3 || self.is_credential_at(past) {
                        break;
                    }
                    proper += 1;
                    past += 1;
                    comma = true;
                    continue;
                }
                if word.folded == "s" && matches!(gap, "'" | "’") {
                    break;
                }
            }
            if past > first && self.is_credential_at(past) {
                break;
            }
            let opens = match past == first {
                true => self.opens_name(past, certainty),
                // "Ngozi Ng": a capital and small letters are no abbreviation.
                false => {
                    let short = (2..=3).contains(&word.folded.len())
                        && lexicon::is_medical(&word.folded)
                        && !lexicon::is_common(&word.folded);
                    (word.shape == Shape::Capital && short)
                        || self.follows_given(past)
                        || (field
                            && self.is_name(word, Certainty::Named)
                            && !lexicon::is_medical(&word.folded))
                }
            };
            if !opens && !self.is_particle_at(past) && !self.is_name(word, Certainty::Likely) {
                break;
            }
            let particle = !opens && self.is_particle_at(past);
            proper += usize::from(!particle && word.folded.chars().count() > 1);
            past += 1;
        }
        (proper > 0).then_some((first, past))
    }

    /// A name that ends before a byte: walks back over capitals.
    pub(super) fn ending_at(&self, byte: usize) -> Option<(usize, usize)> {
        let past = self.words.partition_point(|word| word.end <= byte);
        if self.words.get(past.checked_sub(1)?)?.end != byte
            && self.text.get(self.words.get(past - 1)?.end..byte) != Some(".")
        {
            return None;
        }
        let mut first = past;
        let mut comma = false;
        let mut proper = 0;
        while let Some(word) = first.checked_sub(1).and_then(|at| self.words.get(at))
            && past - first < LONGEST
        {
            if first < past {
                let after = self.words.get(first)?;
                let gap = self.text.get(word.end..after.start)?;
                let joins = match gap {
                    " " | "-" | "'" | "’" | "  " | "\u{a0}" => true,
                    ". " | "." => word.folded.chars().count() == 1,
                    ", " if !comma => {
                        comma = true;
                        true
                    }
                    _ => false,
                };
                if !joins {
                    break;
                }
            }
            let white = (first < past && lexicon::is_given_name(&word.folded))
                || (lexicon::is_common(&word.folded) && !word.opens);
            let sure = if white { Certainty::Named } else { Certainty::Likely };
            let particle = first < past && PARTICLES.contains(&word.folded.as_str());
            if !particle && !self.is_name(word, sure) {
                break;
            }
            proper += usize::from(word.folded.chars().count() > 1 && !particle);
            first -= 1;
        }
        (proper > 0).then_some((first, past))
    }

    /// "Dr. Smith", "mrs jones", "Drs. Smith and Jones".
    pub(super) fn titled(&self, index: usize) -> Option<(usize, usize)> {
        let title = self.words.get(index)?;
        let next = self.words.get(index + 1)?;
        let gap = self.text.get(title.end..next.start)?;
        let of_two = index.checked_sub(1).and_then(|at| self.words.get(at)).is_some_and(|before| {
            before.folded == "drs" && matches!(next.folded.as_str(), "and" | "or")
        });
        if of_two {
            return self.run(index + 2, Certainty::Likely);
        }
        if !TITLES.contains(&title.folded.as_str()) || !is_title_gap(gap) || !self.is_free(title) {
            return None;
        }
        // MS is a disease, MR a scan, and "sister" a relative.
        let weak = !matches!(title.folded.as_str(), "dr" | "drs" | "mr" | "mrs");
        let written_so =
            title.shape == Shape::Capital || (title.shape == Shape::Upper && gap.starts_with('.'));
        if weak && !written_so {
            return None;
        }
        if next.shape == Shape::Lower {
            return self.lower_run(index + 1);
        }
        // "DR. NG": after a title with its period, no abbreviation of radiology.
        if gap.starts_with('.') && next.shape == Shape::Upper && next.folded.len() <= 3 {
            let free = self.is_free(next) && !lexicon::is_common(&next.folded);
            return self
                .run(index + 1, Certainty::Named)
                .or(free.then_some((index + 1, index + 2)));
        }
        let role = matches!(title.folded.as_str(), "nurse" | "sister" | "doctor");
        self.run(index + 1, if role { Certainty::Likely } else { Certainty::Named })
    }

    /// "Jane Roe": a frequent given name and a word that is none of ours.
    pub(super) fn given_and_surname(&self, index: usize) -> Option<(usize, usize)> {
        let given = self.words.get(index)?;
        if given.shape == Shape::Lower || !lexicon::is_given_name(&given.folded) {
            return None;
        }
        // "MARK THE SPOT", "May Xyz" at the start of a sentence: too little to go by.
        let word =
            lexicon::is_common(&given.folded) && (given.shape == Shape::Upper || given.opens);
        if !word
            && let Some((first, past)) = self.run(index, Certainty::Named)
            && self
                .words
                .get(first + 1..past)?
                .iter()
                .any(|word| word.folded.chars().count() > 1 && !lexicon::is_eponym(&word.folded))
        {
            return Some((first, past));
        }
        // OSCAR, JOHNNY
        let surname = self.words.get(index.checked_sub(1)?)?;
        let comma = self.text.get(surname.end..given.start) == Some(", ");
        (comma && self.is_name(surname, Certainty::Likely)).then_some((index - 1, index + 1))
    }

    pub(super) fn lower_case_at(&self, byte: usize) -> Option<(usize, usize)> {
        let index = self.index_at(byte)?;
        (self.words.get(index)?.shape == Shape::Lower).then(|| self.lower_run(index))?
    }

    /// Lower-case words that are nothing else: dictation without capitals.
    fn lower_run(&self, first: usize) -> Option<(usize, usize)> {
        let mut past = first;
        while let Some(word) = self.words.get(past)
            && past - first < LONGEST
            && (past == first || {
                let gap = self.text.get(self.words.get(past - 1)?.end..word.start);
                matches!(gap, Some(" " | "-" | "'" | "’"))
            })
        {
            let folded = word.folded.as_str();
            // "mark okonkwo": a given name that is a word, before one that is none.
            let given = past == first && lexicon::is_given_name(folded);
            let joint =
                PARTICLES.contains(&folded) || (folded.chars().count() == 1 && folded != "s");
            let possible = !lexicon::is_ordinary(folded)
                && !lexicon::is_function_word(folded)
                && !CREDENTIALS.contains(&folded)
                && !TITLES.contains(&folded)
                && folded != "s";
            // "liam ng at 04:27".
            let short = past > first
                && folded.len() <= 3
                && !lexicon::is_common(folded)
                && self.text.get(word.end..).is_some_and(|rest| rest.starts_with(" at "));
            if !self.is_free(word) || !(possible || given || joint || short) {
                break;
            }
            past += 1;
        }
        let plain = |word: &Word| {
            word.folded.chars().count() > 1
                && !lexicon::is_ordinary(&word.folded)
                && !PARTICLES.contains(&word.folded.as_str())
        };
        let run = self.words.get(first..past)?;
        let given = run.first().is_some_and(|word| lexicon::is_given_name(&word.folded));
        (run.iter().any(plain) || (given && run.len() > 1)).then_some((first, past))
    }

    pub(super) fn span(&self, first: usize, past: usize, known: &Known) -> Option<Span> {
        let name = self.words.get(first..past)?;
        let start = name.first()?.start;
        let end = name.last()?.end;
        let long = |word: &&Word| word.folded.chars().count() > 1;
        // The surname is the key, so that "Dr. Smith" is the "Smith, John" of the line above.
        let comma = self.text.get(start..end)?.contains(',');
        let surname = if comma { name.iter().find(long) } else { name.iter().rev().find(long) }?;
        let key = known.person_called(&surname.folded).unwrap_or(&surname.folded).to_owned();
        Some(Span { start, end, kind: Kind::Person, key })
    }
}

fn is_credential(word: &Word) -> bool {
    word.shape == Shape::Upper && CREDENTIALS.contains(&word.folded.as_str())
}

/// Whether the word is a title, and with what stands after it introduces a name.
pub(super) fn is_title_before(text: &str, title: &Word, name: &Word) -> bool {
    TITLES.contains(&title.folded.as_str())
        && text.get(title.end..name.start).is_some_and(is_title_gap)
}

fn is_title_gap(gap: &str) -> bool {
    gap.len() <= 3 && gap.chars().all(|c| matches!(c, ' ' | '.' | '\t' | '\u{a0}'))
}
