//! Is the report in English? By the small words of other languages, and by script.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::sections::Split;

/// Words that are looked at: enough to tell.
const ENOUGH: usize = 200;

/// Whether a word is foreign (`true`) or English.
static WORDS: LazyLock<HashMap<&str, bool>> = LazyLock::new(|| {
    let foreign = FOREIGN.iter().map(|word| (*word, true));
    foreign.chain(ENGLISH.iter().map(|word| (*word, false))).collect()
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
pub(super) fn is_foreign(split: &Split) -> bool {
    let (mut words, mut foreign, mut english) = (0_usize, 0_usize, 0_usize);
    let (mut letters, mut other_script) = (0_usize, 0_usize);
    let mut lower = String::new();
    'lines: for line in split.lines() {
        for word in line.split(|c: char| !c.is_alphabetic()).filter(|word| !word.is_empty()) {
            lower.clear();
            for character in word.chars() {
                letters += 1;
                // Beyond Latin with its extensions.
                other_script += usize::from(character > '\u{24f}');
                lower.extend(character.to_lowercase());
            }
            words += 1;
            match WORDS.get(lower.as_str()) {
                Some(true) => foreign += 1,
                Some(false) => english += 1,
                None => {}
            }
            if words == ENOUGH {
                break 'lines;
            }
        }
    }
    let script = letters >= 10 && other_script * 3 > letters;
    script || (foreign >= 3 && foreign > english && foreign * 8 >= words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extract::sections;
    use crate::report::{Phi, TextBlock};

    fn foreign(text: &str) -> bool {
        is_foreign(&sections::split(&[TextBlock { section: None, text: Phi::from(text) }]))
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
