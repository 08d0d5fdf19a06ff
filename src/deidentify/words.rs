//! Text as words: where each stands, how it is capitalised, and what it is without case and accents.

/// How a word is capitalised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// `stone`
    Lower,
    /// `Stone`, `McDonald`, and a single capital
    Capital,
    /// `STONE`
    Upper,
}

/// A run of letters.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Word {
    /// First byte.
    pub(super) start: usize,
    /// One past the last byte.
    pub(super) end: usize,
    /// Lower case, accents removed: `müller` is `muller`.
    pub(super) folded: String,
    pub(super) shape: Shape,
    /// First of a sentence, a line or a heading's text, where a capital says nothing.
    pub(super) opens: bool,
}

/// The words of a text, in order. A digit, a hyphen and an apostrophe end a word.
pub(super) fn words(text: &str) -> Vec<Word> {
    let mut found = Vec::new();
    let mut start = None;
    let mut opens = true;
    for (at, letter) in text.char_indices().chain([(text.len(), '\n')]) {
        if letter.is_alphabetic() || (start.is_some() && is_combining(letter)) {
            start.get_or_insert(at);
            continue;
        }
        if let Some(first) = start.take() {
            let word = text.get(first..at).unwrap_or_default();
            found.push(Word {
                start: first,
                end: at,
                folded: fold(word),
                shape: shape(word),
                opens,
            });
            opens = false;
        }
        opens |=
            matches!(letter, '.' | '!' | '?' | ':' | ';' | '\n' | '\r' | '*' | '•' | '"' | '#');
    }
    found
}

fn shape(word: &str) -> Shape {
    let mut letters = word.chars();
    let first_is_capital = letters.next().is_some_and(char::is_uppercase);
    let capitals = word.chars().filter(|c| c.is_uppercase()).count();
    match first_is_capital {
        false => Shape::Lower,
        true if capitals > 1 && !word.chars().any(char::is_lowercase) => Shape::Upper,
        true => Shape::Capital,
    }
}

fn is_combining(letter: char) -> bool {
    ('\u{300}'..='\u{36f}').contains(&letter)
}

/// Lower case without accents, for the letters of European names.
pub(super) fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    for letter in text.chars().flat_map(char::to_lowercase).filter(|c| !is_combining(*c)) {
        match letter {
            'à'..='å' | 'ā' | 'ă' | 'ą' => folded.push('a'),
            'ç' | 'ć' | 'č' => folded.push('c'),
            'ď' | 'đ' | 'ð' => folded.push('d'),
            'è'..='ë' | 'ē' | 'ė' | 'ę' | 'ě' => folded.push('e'),
            'ğ' => folded.push('g'),
            'ì'..='ï' | 'ī' | 'ı' => folded.push('i'),
            'ł' | 'ľ' | 'ĺ' => folded.push('l'),
            'ñ' | 'ń' | 'ň' => folded.push('n'),
            'ò'..='ö' | 'ø' | 'ō' | 'ő' => folded.push('o'),
            'ř' | 'ŕ' => folded.push('r'),
            'ś' | 'š' | 'ş' | 'ș' => folded.push('s'),
            'ť' | 'ţ' | 'ț' => folded.push('t'),
            'ù'..='ü' | 'ū' | 'ů' | 'ű' => folded.push('u'),
            'ý' | 'ÿ' => folded.push('y'),
            'ź' | 'ž' | 'ż' => folded.push('z'),
            'ß' => folded.push_str("ss"),
            'æ' => folded.push_str("ae"),
            'œ' => folded.push_str("oe"),
            other => folded.push(other),
        }
    }
    folded
}
