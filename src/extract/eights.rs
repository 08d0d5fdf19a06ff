//! Looks at ASCII text eight bytes at a time: each byte of a number says something of one byte of the
//! text, in its highest bit.

const ONES: u64 = u64::from_ne_bytes([1; 8]);
const HIGH: u64 = ONES * 0x80;

/// The text in pieces of eight bytes with the place of each; the last one is filled up with zeros.
fn eights(text: &[u8]) -> impl Iterator<Item = (usize, u64)> {
    let pieces = text.chunks_exact(8);
    let rest = pieces.remainder();
    let mut last = [0; 8];
    last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
    let last = (!rest.is_empty()).then_some(u64::from_le_bytes(last));
    let whole = pieces.map(|piece| piece.try_into().map_or(0, u64::from_le_bytes));
    whole.chain(last).scan(0, |next, eight| {
        let at = *next;
        *next += 8;
        Some((at, eight))
    })
}

/// Places of the bytes that are marked.
fn marked(at: usize, marks: u64) -> impl Iterator<Item = usize> {
    let mut marks = marks;
    std::iter::from_fn(move || {
        if marks == 0 {
            return None;
        }
        let byte = marks.trailing_zeros() / 8;
        marks &= marks.wrapping_sub(1);
        Some(at + byte as usize)
    })
}

/// Marks the letters. Right for ASCII only.
const fn letters(eight: u64) -> u64 {
    let lower = eight | (ONES * 0x20);
    let from_a = lower.wrapping_add(ONES * (0x80 - b'a' as u64));
    let past_z = lower.wrapping_add(ONES * (0x7f - b'z' as u64));
    from_a & !past_z & HIGH
}

/// The words of a text of ASCII: runs of letters.
pub(super) fn words(text: &[u8], mut visit: impl FnMut(&[u8])) {
    let mut start = None;
    let mut before = 0;
    for (at, eight) in eights(text) {
        let letters = letters(eight);
        // Where a word begins or ends.
        let turns = letters ^ ((letters << 8) | before);
        before = letters >> 56;
        for place in marked(at, turns) {
            match start.take() {
                None => start = Some(place),
                Some(start) => visit(text.get(start..place).unwrap_or_default()),
            }
        }
    }
    if let Some(start) = start {
        visit(text.get(start..).unwrap_or_default());
    }
}

/// Places of bytes that are neither letters nor blanks, and of some that are: the caller looks again.
pub(super) fn unusual(text: &[u8]) -> impl Iterator<Item = usize> {
    eights(text).flat_map(|(at, eight)| {
        // Letters have bit 6. So has the underscore, which may not be missed.
        let no_letter = (!eight) << 1;
        let blank = eight ^ (ONES * 0x20);
        let no_blank = (blank & !HIGH).wrapping_add(!HIGH) | blank;
        let underscore = eight ^ (ONES * b'_' as u64);
        let no_underscore = (underscore & !HIGH).wrapping_add(!HIGH) | underscore;
        marked(at, ((no_letter & no_blank) | !no_underscore) & HIGH)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn words_are_runs_of_letters(text in "[ -~\t\n]{0,60}") {
            let mut found: Vec<Vec<u8>> = Vec::new();
            words(text.as_bytes(), |word| found.push(word.to_vec()));
            let wanted: Vec<Vec<u8>> = text
                .split(|c: char| !c.is_ascii_alphabetic())
                .filter(|word| !word.is_empty())
                .map(|word| word.as_bytes().to_vec())
                .collect();
            prop_assert_eq!(found, wanted);
        }

        #[test]
        fn no_mark_of_punctuation_is_missed(text in "[ -~\t\né—]{0,60}") {
            let found: Vec<usize> = unusual(text.as_bytes()).collect();
            prop_assert!(found.is_sorted());
            for (at, byte) in text.bytes().enumerate() {
                if byte.is_ascii_punctuation() && byte < b'@' || byte == b'_' {
                    prop_assert!(found.contains(&at), "{at} in {text}");
                }
                if byte == b' ' || byte.is_ascii_alphabetic() {
                    prop_assert!(!found.contains(&at), "{at} in {text}");
                }
            }
        }
    }
}
