//! Streets, postal codes, and hospitals that the message did not name.

use std::sync::LazyLock;

use regex::Regex;

use super::lexicon;
use super::span::{Kind, Span};
use super::words::{Word, fold};

#[expect(clippy::unwrap_used, reason = "constant patterns, compiled in the tests")]
fn pattern(source: &str) -> Regex {
    Regex::new(source).unwrap()
}

const STATES: &str = "A[KLRZ]|C[AOT]|D[CE]|FL|GA|HI|I[ADLN]|K[SY]|LA|M[ADEINOST]|N[CDEHJMVY]|O[HKR]|P[AR]|RI|S[CD]|T[NX]|UT|V[AT]|W[AIVY]";

/// 123 Park Drive, Apt. 4, San Diego, CA 03245. `CT` and `DR` in capitals are no streets.
static STREET: LazyLock<Regex> = LazyLock::new(|| {
    pattern(&format!(
        r"\b\d{{1,6}}[A-Z]?\s+(?P<name>(?:(?:[NSEW]\.?|[A-Z][\p{{L}}'’.]*|\d+(?:st|nd|rd|th))\s+){{1,4}})(?:(?i:street|avenue|road|drive|lane|boulevard|court|terrace|highway|parkway|crescent)|Ave|Rd|Ln|Blvd|Hwy|Pkwy|Sq|Square|Trail|Trl|Circle|Cir|Place|Pl|Way|Close|Gardens|Dr|Ct|St|AVE|RD|LN|BLVD|HWY|PKWY)\b(?:\.?,?\s*(?i:apt|apartment|suite|ste|unit|floor|room|\#)\.?\s*\#?\w{{1,6}})?(?:(?:\.?,\s*|\s+)(?:[A-Z][\p{{L}}'’.]+[ ]?){{1,3}},?\s+(?:{STATES})\b\.?,?(?:\s+\d{{5}}(?:-\d{{4}})?)?)?"
    ))
});
/// San Diego, CA 92101; WI 62297.
static STATE_ZIP: LazyLock<Regex> = LazyLock::new(|| {
    pattern(&format!(
        r"(?:\b(?:[A-Z][\p{{L}}'’.]+[ ]){{0,2}}[A-Z][\p{{L}}'’.]+,?\s+)?\b(?:{STATES}),?\s+\d{{5}}(?:-\d{{4}})?\b"
    ))
});
static OTHER: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    vec![
        pattern(r"(?i)\bP\.?\s?O\.?\s+Box\s+\d+"),
        pattern(
            r"(?i)\b(?:zip|postal)(?:\s*code)?\s*(?:is|[:=])?\s*(?P<value>\d[\d -]{2,9}\d|[A-Z]{1,2}\d[A-Z\d]?\s?\d[A-Z]{2})\b",
        ),
        // A UK postcode, in capitals.
        pattern(r"\b[A-Z]{1,2}\d[A-Z\d]? \d[A-Z]{2}\b"),
        pattern(r"\b\d{5}-\d{4}\b"),
        // The value of an address field, to the end of its line.
        pattern(
            r"(?im)\b(?:home\s+address|mailing\s+address|billing\s+address|street\s+address|address|lives\s+at|residing\s+at|resides\s+at)\s*[:=]?[ \t]*(?P<value>\d{1,6}[A-Z]?[ \t][^\n;.]{3,80}?)(?:[.;]|$|,?[ \t](?:home|phone|tel|fax|cell|dob|mrn)\b)",
        ),
        pattern(
            r"(?i)\b(?:room|rm|bed|bay)\s*(?:no\.?|number|\#|:)?\s*(?P<value>[A-Z]?\d{1,4}(?:[- ]?[A-D]|-\d{1,2})?)\b",
        ),
    ]
});

/// St. Mary's Hospital, Brigham Health Center.
static FACILITY: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"\b(?P<name>(?:(?:St\.?|Mt\.?|[A-Z][\p{L}'’]*)(?:[ \t]|-)){1,5}?)(?P<sort>(?i:(?:general |memorial |regional |university |community |county |children['’]?s |veterans |medical |health ?|imaging |cancer |surgical |heart ){0,3}(?:hospitals?|medical cent(?:er|re)|health cent(?:er|re)|cent(?:er|re)|clinic|infirmary|health ?system|healthcare|imaging|nursing home|hospice|rehabilitation|institute)))\b(?P<of>(?: of [A-Z]\p{L}+)?)",
    )
});

/// Adds streets, codes and facilities to `found`.
pub(super) fn find(text: &str, words: &[Word], found: &mut Vec<Span>) {
    for street in STREET.captures_iter(text) {
        let (Some(whole), Some(name)) = (street.get(0), street.name("name")) else { continue };
        // "3 Right Lateral Place": medicine is no street.
        if !words_of(words, name.start(), name.end()).any(|word| lexicon::is_medical(&word.folded))
        {
            push(whole.start(), whole.as_str(), Kind::Address, found);
        }
    }
    for city in STATE_ZIP.find_iter(text) {
        let own = own_start(words, city.start(), city.end());
        push(own, text.get(own..city.end()).unwrap_or_default(), Kind::Address, found);
    }
    for expression in OTHER.iter() {
        for code in expression.captures_iter(text) {
            if let Some(value) = code.name("value").or_else(|| code.get(0)) {
                push(value.start(), value.as_str(), Kind::Address, found);
            }
        }
    }
    for facility in FACILITY.captures_iter(text) {
        let (Some(whole), Some(name)) = (facility.get(0), facility.name("name")) else { continue };
        // "Rural clinic film": a proper name has capitals all through.
        let sort = facility.name("sort").map_or("", |sort| sort.as_str());
        if !sort.starts_with(char::is_uppercase) {
            continue;
        }
        let generic = |word: &Word| {
            lexicon::is_ordinary(&word.folded)
                || lexicon::is_function_word(&word.folded)
                || word.folded.len() < 2
        };
        // "The Outside Hospital" is nobody's; of "At Mercy Hospital" the "At" stays.
        let start = own_start(words, name.start(), name.end());
        let own = words_of(words, start, name.end())
            .find(|word| !generic(word) || matches!(word.folded.as_str(), "st" | "saint"));
        if let Some(own) = own
            && let Some(value) = text.get(own.start..whole.end())
        {
            push(own.start, value, Kind::Facility, found);
        }
    }
}

/// Of "REFERRED FROM MILLBROOK, NY 12345" the first two words stay.
fn own_start(words: &[Word], start: usize, end: usize) -> usize {
    let joins = |word: &&Word| {
        matches!(word.folded.as_str(), "from" | "to" | "at" | "in" | "by" | "with" | "the" | "and")
    };
    words_of(words, start, end).filter(joins).last().map_or(start, |word| {
        words_of(words, word.end, end).next().map_or(start, |next| next.start)
    })
}

fn words_of(words: &[Word], start: usize, end: usize) -> impl Iterator<Item = &Word> {
    let first = words.partition_point(|word| word.start < start);
    words.iter().skip(first).take_while(move |word| word.end <= end)
}

fn push(start: usize, value: &str, kind: Kind, found: &mut Vec<Span>) {
    let value = value.trim_end_matches(['.', ' ', '\n', '\t', ',']);
    let key = fold(value).chars().filter(|c| c.is_alphanumeric()).collect();
    found.push(Span { start, end: start + value.len(), kind, key });
}
