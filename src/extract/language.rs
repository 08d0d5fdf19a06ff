//! Is the report in English? By the small words of other languages, and by script.

use std::sync::LazyLock;

use super::eights;
use super::phrases::Phrases;
use super::sections::Split;

/// Words that are looked at: enough to tell.
const ENOUGH: usize = 120;

/// Whether a word is foreign (`true`) or English.
static WORDS: LazyLock<Phrases<bool>> = LazyLock::new(|| {
    let foreign = FOREIGN.iter().map(|word| (*word, true));
    foreign.chain(ENGLISH.iter().map(|word| (*word, false))).collect()
});

/// The foreign words that are ASCII and no English ones.
static PACKED: LazyLock<Packed> = LazyLock::new(|| {
    let foreign = WORDS.iter().filter(|(word, foreign)| **foreign && word.is_ascii());
    Packed::of(foreign.map(|(word, _)| *word))
});

/// Words of running text in other languages that are no English words.
const FOREIGN: &[&str] = &[
    // German
    "der",
    "das",
    "und",
    "mit",
    "kein",
    "keine",
    "keinen",
    "nicht",
    "ist",
    "sind",
    "im",
    "ohne",
    "beidseits",
    "lunge",
    "herz",
    "eine",
    "einer",
    "nachweis",
    "zeichen",
    "auf",
    "bei",
    "zum",
    "befund",
    "beurteilung",
    "rechts",
    "links",
    "unauffällig",
    "thorax",
    // Spanish, Portuguese
    "el",
    "los",
    "las",
    "del",
    "con",
    "sin",
    "una",
    "por",
    "derrame",
    "pulmones",
    "pulmonar",
    "ambos",
    "hallazgos",
    "impresión",
    "conclusión",
    "se",
    "observa",
    "tórax",
    "torax",
    "corazón",
    "silueta",
    "cardíaca",
    "dentro",
    "limites",
    "límites",
    "normales",
    "uma",
    "sem",
    "com",
    "não",
    "área",
    "cardiaca",
    "da",
    "do",
    "dos",
    "das",
    "pulmões",
    "derrames",
    // French
    "le",
    "les",
    "des",
    "du",
    "et",
    "sans",
    "une",
    "pas",
    "avec",
    "poumon",
    "poumons",
    "dans",
    "sur",
    "épanchement",
    "pleural",
    "cardiaque",
    "résultat",
    "est",
    "sont",
    "aux",
    // Italian, Dutch
    "il",
    "gli",
    "della",
    "delle",
    "nei",
    "non",
    "versamento",
    "pleurico",
    "cuore",
    "het",
    "een",
    "geen",
    "van",
    "zijn",
    "niet",
    "hart",
    "longen",
];

/// Words that are also in the lists of other languages, or common in English reports.
const ENGLISH: &[&str] = &[
    "the",
    "is",
    "are",
    "no",
    "of",
    "and",
    "with",
    "there",
    "in",
    "to",
    "or",
    "for",
    "has",
    "normal",
    "clear",
    "right",
    "left",
    "lungs",
    "lung",
    "heart",
    "acute",
    "evidence",
    "pleural",
    "effusion",
    "not",
    "size",
    "without",
    "change",
    "unchanged",
    "stable",
    "small",
    "chest",
];

/// Whether the text is plainly not English.
pub(super) fn is_foreign(split: &Split<'_>) -> bool {
    // Without a few foreign words ASCII is English, and nothing else need be counted.
    if split.lines().all(str::is_ascii) && foreign_in_ascii(split) < FEWEST {
        return false;
    }
    let mut tally = Tally::default();
    for line in split.lines() {
        tally.read(line);
        if tally.words == ENOUGH {
            break;
        }
    }
    tally.is_foreign()
}

/// Fewer foreign words than this are names and Latin.
const FEWEST: usize = 3;

/// How many of the first words are foreign ones, in lines that are all ASCII.
fn foreign_in_ascii(split: &Split<'_>) -> usize {
    let table = &*PACKED;
    let (mut words, mut foreign) = (0, 0);
    for line in split.lines() {
        let text = line.as_bytes();
        eights::words(text, |from, three| {
            if words < ENOUGH {
                words += 1;
                if table.may_hold(three) {
                    foreign += usize::from(table.holds(text.get(from..).unwrap_or_default()));
                }
            }
        });
        // Even if all words to come were foreign, they would be less than one in eight.
        if words == ENOUGH || (words - foreign) * 8 > ENOUGH * 7 {
            break;
        }
    }
    foreign
}

/// What was counted, of the first [`ENOUGH`] words.
#[derive(Default)]
struct Tally {
    words: usize,
    foreign: usize,
    english: usize,
    letters: usize,
    /// Letters beyond Latin with its extensions.
    other_script: usize,
}

impl Tally {
    fn read(&mut self, line: &str) {
        let mut lower = String::new();
        for word in line.split(|c: char| !c.is_alphabetic()).filter(|word| !word.is_empty()) {
            lower.clear();
            for character in word.chars() {
                self.letters += 1;
                self.other_script += usize::from(character > '\u{24f}');
                lower.extend(character.to_lowercase());
            }
            self.count(WORDS.get(lower.as_str()).copied());
            if self.words == ENOUGH {
                return;
            }
        }
    }

    fn count(&mut self, foreign: Option<bool>) {
        self.words += 1;
        match foreign {
            Some(true) => self.foreign += 1,
            Some(false) => self.english += 1,
            None => {}
        }
    }

    const fn is_foreign(&self) -> bool {
        let script = self.letters >= 10 && self.other_script * 3 > self.letters;
        let words =
            self.foreign >= FEWEST && self.foreign > self.english && self.foreign * 8 >= self.words;
        script || words
    }
}

/// Longest word that is packed into one number, in bytes.
const LONGEST_PACKED: usize = 16;

/// Slots of the table; a power of two, several times the words.
const SLOTS: usize = 1024;

/// Bits of the filter: five for each of three letters.
const FILTER: usize = 1 << 15;

/// An open-addressed set of short words. A word is one number, so that a look-up compares numbers.
struct Packed {
    slots: Vec<u128>,
    /// A bit is set for what a word begins with: most words that are not in the set are told by it.
    filter: Vec<u64>,
}

impl Packed {
    fn of<'w>(words: impl Iterator<Item = &'w str>) -> Self {
        let mut table = Self { slots: vec![0; SLOTS], filter: vec![0; FILTER / 64] };
        for word in words.map(str::as_bytes).filter(|word| word.len() <= LONGEST_PACKED) {
            // After a word of two letters anything may stand.
            let any = if word.len() < 3 { 0..32 } else { 0..1 };
            for third in any.map(|bits| bits << 16) {
                let (place, bit) = Self::bit(eights::eight(word, 0) as u32 | third);
                table.filter.iter_mut().skip(place).take(1).for_each(|bits| *bits |= bit);
            }
            let key = Self::key(word);
            let mut at = Self::slot(key);
            while table.slots.get(at).is_some_and(|taken| *taken != 0 && *taken != key) {
                at = (at + 1) % SLOTS;
            }
            table.slots.iter_mut().skip(at).take(1).for_each(|slot| *slot = key);
        }
        table
    }

    /// Whether a word of ASCII letters, of any case, may be in the set, by its first three bytes: the
    /// third may be what follows a word of two letters, and no word has one.
    #[inline]
    fn may_hold(&self, three: u32) -> bool {
        let (place, bit) = Self::bit(three);
        self.filter.get(place).is_some_and(|bits| bits & bit != 0)
    }

    /// Whether the word of ASCII letters, of any case, that a text begins with is in the set.
    fn holds(&self, text: &[u8]) -> bool {
        let word = text.get(..eights::word_length(text)).unwrap_or_default();
        if word.len() > LONGEST_PACKED {
            return false;
        }
        let key = Self::key(word);
        let mut at = Self::slot(key);
        loop {
            match self.slots.get(at) {
                None | Some(0) => return false,
                Some(found) if *found == key => return true,
                Some(_) => at = (at + 1) % SLOTS,
            }
        }
    }

    /// Place in the filter of what a word begins with: the five lowest bits of each letter, which do
    /// not know case.
    #[inline]
    const fn bit(three: u32) -> (usize, u64) {
        let bits = (three & 0x1f) | ((three >> 3) & (0x1f << 5)) | ((three >> 6) & (0x1f << 10));
        (bits as usize / 64, 1 << (bits % 64))
    }

    fn key(word: &[u8]) -> u128 {
        // Bit 5 makes a letter lower case.
        word.iter().fold(0, |key, byte| (key << 8) | u128::from(byte | 0x20))
    }

    const fn slot(key: u128) -> usize {
        let folded = (key as u64) ^ ((key >> 64) as u64).rotate_left(17);
        (folded.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54) as usize % SLOTS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extract::sections;
    use crate::extract::tidy::Tidied;
    use crate::report::{Phi, TextBlock};

    fn foreign(text: &str) -> bool {
        let blocks = [TextBlock { section: None, text: Phi::from(text) }];
        is_foreign(&sections::split(&Tidied::of(&blocks)))
    }

    #[test]
    fn the_packed_table_holds_the_foreign_words_of_ascii_and_no_others() {
        let holds = |word: &str, after: &str| {
            let text = [word, after].concat();
            let three = eights::eight(text.as_bytes(), 0) as u32 & 0x00ff_ffff;
            PACKED.may_hold(three) && PACKED.holds(text.as_bytes())
        };
        for (word, foreign) in WORDS.iter().filter(|(word, _)| word.is_ascii()) {
            assert_eq!(holds(word, ""), *foreign, "{word}");
            assert_eq!(holds(&word.to_uppercase(), ", and so on"), *foreign, "{word}");
        }
        for word in ["effusions", "x", "pneumonoultramicroscopic", "zzz", "ders"] {
            assert!(!holds(word, " "), "{word}");
        }
    }

    #[test]
    fn other_languages_are_told_from_english() {
        for text in [
            "Herz und Lunge unauffällig. Kein Nachweis eines Ergusses. Keine Infiltrate.",
            "Silueta cardíaca dentro de límites normales. Sin derrame pleural. No se observa neumotórax.",
            "Pas d'épanchement pleural. Les poumons sont clairs. Silhouette cardiaque normale.",
            "心影大小正常。两肺未见明显实变影。无胸腔积液。",
        ] {
            assert!(foreign(text), "{text}");
        }
        for text in [
            "No acute disease.",
            "HEART SIZE NORMAL. LUNGS CLEAR. DR. DER LAS. PA AND LATERAL.",
            "Stable cardiomegaly. S/p CABG. Left IJ line, tip in SVC.",
            "Pleural thorax.",
        ] {
            assert!(!foreign(text), "{text}");
        }
    }
}
