use super::*;
use SectionKind::{Addendum, Comparison, Findings, Impression};

fn kind(line: &str) -> Option<SectionKind> {
    match at_start(line)? {
        (Heading::Section(kind), _) => Some(kind),
        (Heading::Anatomy, _) => None,
    }
}

#[test]
fn many_spellings_head_the_same_section() {
    for line in [
        "IMPRESSION: x",
        "Impression:",
        "impression : x",
        "**IMPRESSION:** x",
        "IMPRESSION",
        "Impression",
        "1. IMPRESSION: x",
        "IMPRESSION - x",
        "CONCLUSION:",
        "FINDINGS/IMPRESSION: x",
        "IMPRESSON: x",
        "IMPRESSIOM: x",
        "Findings & Impression: x",
        "== IMPRESSION ==",
    ] {
        assert_eq!(kind(line), Some(Impression), "{line}");
    }
    assert_eq!(kind("CHEST, PA AND LATERAL: x"), Some(Findings));
    assert_eq!(kind("Reason for exam (signs/symptoms): x"), None);
    assert_eq!(kind("ADDENDUM #2: x"), Some(Addendum));
    assert_eq!(kind("PRIOR REPORT: x"), Some(Comparison));
}

#[test]
fn prose_heads_nothing() {
    for line in [
        "Findings suggest pneumonia.",
        "The impression: none",
        "No effusion: clear",
        "Report",
        "View",
        "History of cough.",
        "Comparison is made with 1/2/2020.",
        "Stable.",
        "Pneumothorax: [None]",
        "Findings as follows. Lungs: clear",
    ] {
        assert_eq!(kind(line), None, "{line}");
    }
    assert!(matches!(at_start("LUNGS: Clear."), Some((Heading::Anatomy, "Clear."))));
}

#[test]
fn running_text_is_parted_at_capital_titles() {
    let line = "CLINICAL HISTORY: cough FINDINGS: clear. IMPRESSION: normal.";
    let (start, end, found) = inline(line, 17, true).expect("found");
    assert_eq!((line.get(start..end), found), (Some("FINDINGS:"), Findings));
    assert!(inline("no IMPRESSIONS here, FINDINGSX: y", 0, true).is_none());
    assert!(inline("It is my impression: clear", 0, true).is_none());
    assert!(inline("Clear. Impression: normal", 0, true).is_some());
    assert!(inline("Clear. Impression: normal", 0, false).is_none());
}
