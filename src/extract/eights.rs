//! Looks at ASCII text eight bytes at a time: each byte of a number says something of one byte of the
//! text, in its highest bit.

const ONES: u64 = u64::from_ne_bytes([1; 8]);
const HIGH: u64 = ONES * 0x80;

/// Eight bytes of the text as a number; beyond its end they are zeros.
#[inline]
pub(crate) fn eight(text: &[u8], at: usize) -> u64 {
    let rest = text.get(at..).unwrap_or_default();
    match rest.first_chunk() {
        Some(eight) => u64::from_le_bytes(*eight),
        None => {
            // No call to copy a few bytes.
            rest.iter().rev().fold(0, |so_far, byte| (so_far << 8) | u64::from(*byte))
        }
    }
}

/// Marks the bytes that are `byte`.
#[inline]
pub(crate) const fn equal(eight: u64, byte: u8) -> u64 {
    let other = eight ^ (ONES * byte as u64);
    !((other & !HIGH).wrapping_add(!HIGH) | other | !HIGH)
}

/// Marks the bytes below the blank: control characters, the ends of lines among them.
#[inline]
pub(crate) const fn below_blank(eight: u64) -> u64 {
    !((eight & !HIGH).wrapping_add(ONES * 0x60) | eight) & HIGH
}

/// Marks the letters. Right for ASCII only.
const fn letters(eight: u64) -> u64 {
    let lower = eight | (ONES * 0x20);
    let from_a = lower.wrapping_add(ONES * (0x80 - b'a' as u64));
    let past_z = lower.wrapping_add(ONES * (0x7f - b'z' as u64));
    from_a & !past_z & HIGH
}

/// The words of a text of ASCII: runs of letters.
#[inline]
pub(super) fn words(text: &[u8], mut visit: impl FnMut(&[u8])) {
    let (mut start, mut inside, mut before) = (0, false, 0);
    let mut at = 0;
    while at < text.len() {
        let letters = letters(eight(text, at));
        // Where a word begins or ends.
        let mut turns = letters ^ ((letters << 8) | before);
        before = letters >> 56;
        while turns != 0 {
            let place = at | (turns.trailing_zeros() as usize / 8);
            turns &= turns - 1;
            if inside {
                visit(text.get(start..place).unwrap_or_default());
            }
            (start, inside) = (place, !inside);
        }
        at += 8;
    }
    if inside {
        visit(text.get(start..).unwrap_or_default());
    }
}

/// The first place that `wanted` takes, of bytes that are neither letters nor blanks, and of some that
/// are.
#[inline]
pub(super) fn find_unusual<T>(
    text: &[u8],
    mut wanted: impl FnMut(usize, u8) -> Option<T>,
) -> Option<T> {
    let mut at = 0;
    while at < text.len() {
        let eight = eight(text, at);
        // Letters have bit 6. So has the underscore, which may not be missed.
        let no_letter = (!eight) << 1;
        let mut marks = (no_letter & HIGH & !equal(eight, b' ')) | equal(eight, b'_');
        while marks != 0 {
            let place = at | (marks.trailing_zeros() as usize / 8);
            marks &= marks - 1;
            if let Some(byte) = text.get(place)
                && let Some(found) = wanted(place, *byte)
            {
                return Some(found);
            }
        }
        at += 8;
    }
    None
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
        fn marks_are_exact(bytes in any::<[u8; 8]>(), byte in any::<u8>()) {
            let number = u64::from_le_bytes(bytes);
            let of = |marked: fn(u8, u8) -> bool| {
                u64::from_le_bytes(bytes.map(|each| if marked(each, byte) { 0x80 } else { 0 }))
            };
            prop_assert_eq!(equal(number, byte), of(|each, byte| each == byte));
            prop_assert_eq!(below_blank(number), of(|each, _| each < b' '));
        }

        #[test]
        fn no_mark_of_punctuation_is_missed(text in "[ -~\t\né—]{0,60}") {
            let mut found: Vec<usize> = Vec::new();
            find_unusual(text.as_bytes(), |at, _| {
                found.push(at);
                None::<()>
            });
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
