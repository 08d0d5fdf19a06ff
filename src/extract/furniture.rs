//! What surrounds the text of a report: banners, signatures, attestations.

use std::sync::LazyLock;

use regex::Regex;

use super::headings;

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

/// Phrases that begin a signature or attestation.
static SIGNATURE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"(?i-u)electronically (?:signed|verified|approved)|(?:this (?:document|report) has been|by) electronically|dictated (?:by|and|on)|dictation date|transcribed (?:by|on)|transcriptionist|(?:signed|interpreted|finalized|approved|verified|requested) by|(?:read|reviewed|reported) by:|reported by|report (?:finalized|signed)|(?:attending |resident )?radiologist:|workstation(?: id)?:|wsn:|(?:ordering|referring) physician:|i, dr|i (?:have )?(?:personally )?reviewed|end of (?:impression|report)|accession (?:number:|#)",
    )
    .unwrap_or_else(|error| unreachable!("a constant pattern: {error}"))
});

/// Where a signature begins in a line: at the start, or after the end of a sentence.
pub(super) fn signature(text: &str) -> Option<usize> {
    SIGNATURE.find_iter(text).map(|found| found.start()).find(|at| {
        let head = text.get(..*at).unwrap_or_default().trim_end();
        head.is_empty() || head.ends_with(['.', '!', '?', '-', '_', '*', '/', ';', ')'])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_begin_at_a_sentence_and_not_inside_one() {
        assert_eq!(signature("Clear. Electronically Signed by Q"), Some(7));
        assert_eq!(signature("DICTATED BY: Q"), Some(0));
        assert_eq!(signature("The line, dictated by position, is unchanged."), None);
    }
}
