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
        // The end of a longer text: its last eight bytes, those that were read already moved out.
        None => match (text.last_chunk(), rest.len()) {
            (Some(last), 1..=7) => u64::from_le_bytes(*last) >> (64 - 8 * rest.len()),
            // No call to copy a few bytes.
            _ => rest.iter().rev().fold(0, |so_far, byte| (so_far << 8) | u64::from(*byte)),
        },
    }
}

/// The text as numbers of eight bytes, the last one filled up with zeros.
#[inline]
pub(crate) fn eights(text: &[u8]) -> Eights<'_> {
    let (whole, rest) = text.as_chunks();
    let last = eight(text, text.len() - rest.len());
    Eights { whole, last: (!rest.is_empty()).then_some(last) }
}

/// See [`eights()`]. Not a chain of two iterators: what is done with each number stands in one place then,
/// and is made part of one loop.
pub(crate) struct Eights<'t> {
    whole: &'t [[u8; 8]],
    last: Option<u64>,
}

impl Iterator for Eights<'_> {
    type Item = u64;

    #[inline]
    fn next(&mut self) -> Option<u64> {
        match self.whole.split_first() {
            Some((eight, rest)) => {
                self.whole = rest;
                Some(u64::from_le_bytes(*eight))
            }
            None => self.last.take(),
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

/// The words of a text of ASCII, runs of letters: where each begins, and its first three bytes. Those
/// beyond the end of the text are zeros.
#[inline]
pub(super) fn words(text: &[u8], mut visit: impl FnMut(usize, u32)) {
    let (mut last, mut starts, mut before, mut at) = (0, 0_u64, 0, 0_usize);
    let mut eights = eights(text);
    loop {
        // What a word begins with is known when the next eight bytes are.
        let next = eights.next();
        let eight = next.unwrap_or_default();
        while starts != 0 {
            // The mark is the highest bit of its byte.
            let shift = starts.trailing_zeros() - 7;
            let three = ((last >> shift) | ((eight << 1) << (63 - shift))) as u32 & 0x00ff_ffff;
            visit(at + shift as usize / 8 - 8, three);
            starts &= starts - 1;
        }
        if next.is_none() {
            return;
        }
        let letters = letters(eight);
        starts = letters & !((letters << 8) | before);
        before = letters >> 56;
        (last, at) = (eight, at + 8);
    }
}

/// Length of the word at the beginning of a text of ASCII.
pub(super) fn word_length(text: &[u8]) -> usize {
    text.iter().take_while(|byte| byte.is_ascii_alphabetic()).count()
}

/// The first place that `wanted` takes, of bytes that are neither letters nor blanks, and of some that
/// are.
#[inline]
pub(super) fn find_unusual<T>(
    text: &[u8],
    mut wanted: impl FnMut(usize, u8) -> Option<T>,
) -> Option<T> {
    for (index, eight) in eights(text).enumerate() {
        let at = index * 8;
        // Letters have bit 6, and the blank has none of the five lowest. The underscore, which may not
        // be missed, has bit 6 and all of those.
        let lowest = eight & (ONES * 0x1f);
        let (any, all) = ((lowest + ONES * 0x1f) << 2, (lowest + ONES) << 2);
        let mut marks = ((any & ((!eight) << 1)) | all) & HIGH;
        while marks != 0 {
            let place = at | (marks.trailing_zeros() as usize / 8);
            marks &= marks - 1;
            if let Some(byte) = text.get(place)
                && let Some(found) = wanted(place, *byte)
            {
                return Some(found);
            }
        }
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
            words(text.as_bytes(), |at, three| {
                let rest = &text.as_bytes()[at..];
                let first: Vec<u8> = rest.iter().copied().chain([0; 3]).take(3).collect();
                assert_eq!(three.to_le_bytes()[..3], first);
                found.push(rest[..word_length(rest)].to_vec());
            });
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
        fn eight_bytes_are_those_of_the_text_and_zeros(text in any::<Vec<u8>>(), at in 0_usize..40) {
            let bytes = std::array::from_fn(|index| text.get(at + index).copied().unwrap_or(0));
            prop_assert_eq!(eight(&text, at), u64::from_le_bytes(bytes));
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
