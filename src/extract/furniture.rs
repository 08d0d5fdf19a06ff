//! What surrounds the text of a report: banners, signatures, attestations.

use super::{eights, headings};

/// What a banner says.
pub(super) enum Banner {
    Preliminary,
    Final,
    End,
}

/// A line that only says which report follows, or that none does.
pub(super) fn banner(line: &str) -> Option<Banner> {
    if line.len() > 60 {
        return None;
    }
    if !may_be_banner(line) {
        return None;
    }
    match headings::normalise(line)?.as_str() {
        "PRELIMINARY REPORT"
        | "PRELIMINARY RADIOLOGY REPORT"
        | "RESIDENT PRELIMINARY REPORT"
        | "PRELIM REPORT" => Some(Banner::Preliminary),
        "FINAL REPORT"
        | "FINAL RADIOLOGY REPORT"
        | "FINAL"
        | "ATTENDING FINAL REPORT"
        | "FINAL ATTENDING REPORT" => Some(Banner::Final),
        "END OF REPORT" | "END OF IMPRESSION" | "END REPORT" | "REPORT FINALIZED" => {
            Some(Banner::End)
        }
        _ => None,
    }
}

/// Told by the first two letters and the last one: nearly every line is none.
fn may_be_banner(line: &str) -> bool {
    let mut letters = line.bytes().filter(|byte| byte.is_ascii_alphanumeric() || *byte == b'&');
    let mut next = || letters.next().map(|byte| byte.to_ascii_uppercase());
    let begins = matches!(
        (next(), next()),
        (Some(b'P'), Some(b'R'))
            | (Some(b'R'), Some(b'E'))
            | (Some(b'F'), Some(b'I'))
            | (Some(b'A'), Some(b'T'))
            | (Some(b'E'), Some(b'N'))
    );
    begins
        && line
            .bytes()
            .rev()
            .find(u8::is_ascii_alphanumeric)
            .is_some_and(|last| matches!(last.to_ascii_uppercase(), b'T' | b'L' | b'N' | b'D'))
}

/// Phrases that begin a signature or attestation, by their first letter.
const fn signature_phrases(first: u8) -> &'static [&'static str] {
    match first.to_ascii_lowercase() {
        b'a' => &["approved by", "attending radiologist:", "accession number:", "accession #"],
        b'b' => &["by electronically"],
        b'd' => &["dictated by", "dictated and", "dictated on", "dictation date"],
        b'e' => &[
            "electronically signed",
            "electronically verified",
            "electronically approved",
            "end of impression",
            "end of report",
        ],
        b'f' => &["finalized by"],
        b'i' => &[
            "interpreted by",
            "i, dr",
            "i reviewed",
            "i have reviewed",
            "i personally reviewed",
            "i have personally reviewed",
        ],
        b'o' => &["ordering physician:"],
        b'r' => &[
            "requested by",
            "read by:",
            "reviewed by:",
            "reported by",
            "report finalized",
            "report signed",
            "resident radiologist:",
            "radiologist:",
            "referring physician:",
        ],
        b's' => &["signed by"],
        b't' => &[
            "this document has been electronically",
            "this report has been electronically",
            "transcribed by",
            "transcribed on",
            "transcriptionist",
        ],
        b'v' => &["verified by"],
        b'w' => &["workstation:", "workstation id:", "wsn:"],
        _ => &[],
    }
}

/// Told by three bytes: nearly every sentence begins none of [`signature_phrases`].
const fn may_be_signature(first: [u8; 3]) -> bool {
    // Bit 5 makes a letter lower case, and leaves what else they have there.
    matches!(
        &[first[0] | 0x20, first[1] | 0x20, first[2] | 0x20],
        b"app"
            | b"att"
            | b"acc"
            | b"by "
            | b"dic"
            | b"ele"
            | b"end"
            | b"fin"
            | b"int"
            | b"i, "
            | b"i r"
            | b"i h"
            | b"i p"
            | b"ord"
            | b"req"
            | b"rea"
            | b"rev"
            | b"rep"
            | b"res"
            | b"rad"
            | b"ref"
            | b"sig"
            | b"thi"
            | b"tra"
            | b"ver"
            | b"wor"
            | b"wsn"
    )
}

/// What a sentence may end with before a signature.
const fn ends_sentence(byte: u8) -> bool {
    matches!(byte, b'.' | b'!' | b'?' | b'-' | b'_' | b'*' | b'/' | b';' | b')')
}

/// Where a signature begins in a tidied line: at the start, or after the end of a sentence.
pub(super) fn signature(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let begins_after = |from: usize| {
        let rest = bytes.get(from..)?;
        let blanks = rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        let rest = rest.get(blanks..)?;
        if !may_be_signature(*rest.first_chunk()?) {
            return None;
        }
        let begins = |phrase: &&str| {
            rest.get(..phrase.len())
                .is_some_and(|found| found.eq_ignore_ascii_case(phrase.as_bytes()))
        };
        signature_phrases(*rest.first()?).iter().any(begins).then_some(from + blanks)
    };
    begins_after(0).or_else(|| {
        eights::find_unusual(bytes, |at, byte| {
            ends_sentence(byte).then(|| begins_after(at + 1)).flatten()
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_phrase_is_left_out_by_its_first_bytes() {
        for phrase in (0..=u8::MAX).flat_map(signature_phrases) {
            let first = phrase.as_bytes().first_chunk().expect("three bytes");
            assert!(may_be_signature(*first), "{phrase}");
            assert!(may_be_signature(first.map(|byte| byte.to_ascii_uppercase())), "{phrase}");
        }
    }

    #[test]
    fn signatures_begin_at_a_sentence_and_not_inside_one() {
        assert_eq!(signature("Clear. Electronically Signed by Q"), Some(7));
        assert_eq!(signature("DICTATED BY: Q"), Some(0));
        assert_eq!(signature("The line, dictated by position, is unchanged."), None);
        assert_eq!(signature("Clear.*** I have personally  reviewed"), None);
        assert_eq!(signature("Clear.*** i have personally reviewed"), Some(10));
    }
}
