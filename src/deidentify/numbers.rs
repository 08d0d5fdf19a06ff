//! Numbers that are somebody's: records, orders, telephones, addresses of computers, serials.

use std::sync::LazyLock;

use regex::Regex;

use super::span::{Kind, Span};

#[expect(clippy::unwrap_used, reason = "constant patterns, compiled in the tests")]
fn pattern(source: &str) -> Regex {
    Regex::new(source).unwrap()
}

/// Patterns whose first group, or whole match, is the identifier. Precise ones first.
static PATTERNS: LazyLock<Vec<(Kind, Regex)>> = LazyLock::new(|| {
    [
        (Kind::Email, r"(?i)[\w.+%'-]+\s?@\s?[\w-]+(?:\.[\w-]+)+"),
        (Kind::Link, r#"(?i)\b(?:https?|ftp|file|dicomweb|wado)://[^\s<>"]+"#),
        (Kind::Link, r#"(?i)\bwww\.[^\s<>"]+"#),
        (
            Kind::Link,
            r"(?i)\b(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+(?:com|org|net|edu|gov|mil|info|io|health|local|internal|co\.uk|nhs\.uk|de|fr|ca)\b(?:/\S*)?",
        ),
        (
            Kind::Link,
            r"\b(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?::\d{1,5})?\b",
        ),
        (Kind::Link, r"(?i)\b(?:[0-9a-f]{1,4}:){5,7}[0-9a-f]{1,4}\b|\b(?:[0-9a-f]{2}[:-]){5}[0-9a-f]{2}\b"),
        // DICOM UID.
        (Kind::Number, r"\b\d+(?:\.\d+){5,}\b"),
        (Kind::Number, r"(?i)\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b"),
        // Social security number.
        (Kind::Number, r"\b\d{3}[- ]\d{2}[- ]\d{4}\b"),
        (
            Kind::Device,
            r"(?i)\b(?:s/n|serial(?:\s+(?:number|no\.?|num|\#))?|ser\.?\s*no\.?|model(?:\s+(?:number|no\.?|\#))?|lot(?:\s+(?:number|no\.?|\#))?|udi|device\s+(?:id|identifier|number)|vin|licen[cs]e\s+plate|plate\s+(?:number|no\.?))\s*(?:is|[:#=])?\s*\#?\s*([A-Z]{0,5}[-/ ]?[A-Z0-9]*\d[A-Z0-9]*(?:[-/.][A-Z0-9]+)*)",
        ),
        (
            Kind::Phone,
            r"(?i)\b(?:phone|tel(?:ephone)?|fax|cell|mobile|pager|beeper|contact|call\s?back|callback)(?:\s+(?:number|no\.?|\#|at|on))?\s*(?:is|[:#=.])?\s*(\(?\+?\d[\d()\- ./]{1,18}\d(?:\s*(?:x|ext\.?|extension)\s*\d{1,6})?)",
        ),
        (Kind::Phone, r"(?i)\b(?:ext(?:ension|\.)?|bleep|pager|beeper)\s*(?:is|[:#.])?\s*(\d{3,6})\b"),
        (
            Kind::Phone,
            r"(?i)(?:\+?\b1[-. ]?)?(?:\(\d{3}\)[-. ]?|\b\d{3}[-. /])\d{3}[-. ]\d{4}\b(?:\s*(?:x|ext\.?|extension)\s*\d{1,6})?",
        ),
        (Kind::Phone, r"\+\d{1,3}[-. ]?(?:\(\d{1,4}\)[-. ]?)?\d{1,4}(?:[-. ]?\d{2,4}){2,4}\b"),
        (Kind::Phone, r"\b0\d{2,4}[- ]\d{3,4}[- ]?\d{3,4}\b|\(0\d{2,4}\)\s?\d{3,4}[- ]?\d{3,4}\b"),
        (
            Kind::Number,
            r"(?i)\b(?:mrn|mr\s?\#|mr\s?no\.?|mc\s?\#|med(?:ical)?\s+rec(?:ord)?(?:\s+(?:number|no\.?|num|\#))?|patient\s+(?:id|identifier|number|no\.?)|pt\s+(?:id|\#)|(?:unit|chart|hospital|nhs|study|exam|order|accession|acc|visit|encounter|account|acct|case|claim|policy|member|subscriber|group|insurance|medicare|medicaid|health\s+plan|beneficiary|license|licence|driver'?s?\s+licen[cs]e|certificate|passport|npi|dea|requisition|req|confirmation|specimen|file|job|dictation|document|report|placer|filler|ticket|badge|employee|user|login)\s*(?:id|identifier|number|numbers|no\.?|num\.?|nbr|\#)|accession|acc|acct|ssn|social\s+security(?:\s+(?:number|no\.?|\#))?|npi|dea|csn|fin|har|iban|unit)\s*(?:is|was|[:#=])?\s*\#?\s*([A-Z]{0,5}[-/ ]?\d+(?:[A-Z]{1,4}\d+)*(?:[-/. ]?\d+)*(?:[A-Z]{1,3}\b)?)",
        ),
        (Kind::Number, r"(?i)\b[A-Z]{2}\d{2}\s?[A-Z]{4}\s?\d{4}\s?\d{4}[A-Z0-9 ]{2,18}\b"),
        // 4111 1111 1111 1111, 60-56-85-91.
        (Kind::Number, r"\b\d{2,6}(?:[- ]\d{2,6}){3,6}\b"),
        (Kind::Number, r"\b\d{4,}[- ]\d{4,}\b"),
        // XR24-0012345, HCS843, A123456, 24CR001234.
        (Kind::Number, r"\b[A-Z]{1,6}[-_]?\d{4,}(?:[-_][A-Z0-9]+)*\b|\b[A-Z]{2,6}\d{2}-\d{3,}\b|\b[A-Z]{3,6}\d{3,}\b"),
        (Kind::Number, r"\b\d{2,4}[A-Z]{1,4}\d{3,}\b|\b\d{2,4}-\d{5,}\b|\b[A-Z]{1,4}-\d{2}-\d{3,}\b"),
        // Local telephone number; ranges with a unit are sorted out below.
        (Kind::Phone, r"\b\d{3}-\d{4}\b"),
        (Kind::Number, r"#\s?(\d{4,})\b"),
        (Kind::Number, r"\d{6,}"),
    ]
    .into_iter()
    .map(|(kind, source)| (kind, pattern(source)))
    .collect()
});

/// A unit says that a number is a measurement.
static UNIT_FOLLOWS: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?i)^\s*(?:mm|cm|m|ml|cc|l|mg|mcg|g|kg|mmhg|hu|units?|u|ms|hz|%|mgy|mgycm|kv|kvp|mas|fr|french|x\s*\d)\b",
    )
});

/// Names of tests, viruses and codes that look like an identifier.
static MEDICAL_CODE: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"^(?:CA[- ]?\d{2,3}(?:-\d)?|COVID-?\d{2,4}|SARS-?COV-?\d|H\d{1,2}N\d{1,2}|ICD-?\d+|CPT-?\d*|BRCA\d|HLA-?\w+|CD\d{1,3}|FEV\d|FDG\d+|TNM\d*)$",
    )
});

/// Adds numbers, telephones, links and serials to `found`.
pub(super) fn find(text: &str, found: &mut Vec<Span>) {
    for (kind, expression) in PATTERNS.iter() {
        for captures in expression.captures_iter(text) {
            let Some(value) = captures.get(1).or_else(|| captures.get(0)) else { continue };
            let written = value.as_str().trim_end_matches(['.', ',', ';', ')', ' ', '-', '/']);
            let end = value.start() + written.len();
            let digits = written.bytes().filter(u8::is_ascii_digit).count();
            let after = text.get(end..).unwrap_or_default();
            let cued = captures.get(1).is_some();
            let measurement = !cued && digits < 8 && UNIT_FOLLOWS.is_match(after);
            let too_short = cued && digits < 3;
            let year = cued && is_year(written);
            let code = MEDICAL_CODE.is_match(&written.to_ascii_uppercase());
            if written.is_empty() || measurement || too_short || year || code {
                continue;
            }
            let key = written.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase);
            found.push(Span { start: value.start(), end, kind: *kind, key: key.collect() });
        }
    }
}

/// "Model 2019", "accession 2024": Safe Harbor keeps years.
fn is_year(written: &str) -> bool {
    written.len() == 4 && written.parse::<u32>().is_ok_and(|year| (1900..2100).contains(&year))
}
