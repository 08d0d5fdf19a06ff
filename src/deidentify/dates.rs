//! Days, months and times of day; ages over 89.
//!
//! A year alone stays: Safe Harbor allows it. So do numbers that only look like a day: `RA 7/10`,
//! `ribs 8/9/10`, `grade 2/6`.

use std::sync::LazyLock;

use regex::{Captures, Regex};

use super::span::{Kind, Span};

#[expect(clippy::unwrap_used, reason = "constant patterns, compiled in the tests")]
fn pattern(source: &str) -> Regex {
    Regex::new(source).unwrap()
}

const MONTH: &str = r"(?P<month>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)";

/// 2024-03-01, 2024/3/1, 2024.03.01, with a time or without.
static YEAR_FIRST: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"\b(?P<y>(?:19|20)\d{2})(?:[-/.])(?P<a>\d{1,2})(?:[-/.])(?P<b>\d{1,2})(?:T\d{2}:?\d{2}(?::?\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?)?",
    )
});
/// 03/01/2024, 1.3.2024, 3-1-24, 07/01/19Williams.
static YEAR_LAST: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?P<a>\d{1,2})\s?(?P<s>[-/.])\s?(?P<b>\d{1,2})\s?(?P<s2>[-/.])\s?(?P<y>(?:19|20)\d{2}|['’]?\d{2})",
    )
});
/// March 3, 2024; Mar. 3rd; MARCH 2024; march 3 24.
static MONTH_FIRST: LazyLock<Regex> = LazyLock::new(|| {
    pattern(&format!(
        r"(?i)\b{MONTH}\b\.?\s*(?:(?P<d>\d{{1,2}})(?:st|nd|rd|th)?\b(?:\s*,?\s*(?P<y>(?:19|20)\d{{2}}\b|['’]\d{{2}}\b))?|,?\s*(?:of\s+)?(?P<y2>(?:19|20)\d{{2}})\b)"
    ))
});
/// 3 March 2024, 3-Mar-2024, the 3rd of March, 03MAR2024.
static DAY_FIRST: LazyLock<Regex> = LazyLock::new(|| {
    pattern(&format!(
        r"(?i)\b(?P<d>\d{{1,2}})(?:st|nd|rd|th)?(?:\s+of\s+|[\s-]*)(?:day\s+of\s+)?{MONTH}\b?\.?(?:(?:[\s,-]*)(?P<y>(?:19|20)\d{{2}}\b|['’]?\d{{2}}\b))?"
    ))
});
/// "on 3/14", "dated 12/01", "since 3/2024", "comparison: 3/14".
static SHORT: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?i)\b(?:on|dated?|since|until|from|comparison|compared\s+(?:to|with)|prior(?:\s+(?:study|exam|film|radiograph|ct))?|(?:study|exam|film|films|radiograph|radiographs|x-?ray|ct|cxr|image|images|examination)\s+(?:of|from|on)|as\s+of|through|to)\s*:?\s*(?P<day>(?P<a>0?[1-9]|1[0-2]|[12]\d|3[01])[/-](?P<b>0?[1-9]|[12]\d|3[01]))(?:[^\w/.-]|[.](?:\s|$)|$)",
    )
});
/// 03/2024.
static MONTH_YEAR: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"\b(?P<a>0?[1-9]|1[0-2])[-/](?P<y>(?:19|20)\d{2})\b"));
/// "in March", "early May": a month as a word of its own.
static IN_MONTH: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"\b(?i:in|since|from|of|last|early|mid|late|until|by|during|this|through|next|to|and)[\s-]+(?P<m>(?i:january|february|april|june|july|august|september|october|november|december)|March|May|MARCH|Jan|Feb|Apr|Aug|Sept|Oct|Nov|Dec)\b",
    )
});
static WEEKDAY: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?i)\b(?:mon|tues|wednes|thurs|fri|satur|sun)days?\b(?:\s*,)?"));
/// 14:05, 2:05 pm, 0930 hours, 9 a.m.
static CLOCK: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?i)\b(?:[01]?\d|2[0-3])[:.][0-5]\d(?::[0-5]\d(?:\.\d+)?)?\s?(?:[ap]\.?m\b\.?|h(?:rs?|ours?)?\b)(?:\s?[ECMP][SD]?T\b)?|\b(?:[01]?\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:\.\d+)?)?(?:\s?(?:[ECMP][SD]?T|UTC|GMT|Z))?\b|\b(?:1[0-2]|0?[1-9])\s?[ap]\.?m\b\.?|\b(?:[01]\d|2[0-3])[0-5]\d\s?(?:h|hrs?|hours?)\b",
    )
});
/// "at 1405".
static AT_CLOCK: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?i)\b(?:at|@)\s*(?P<t>(?:[01]\d|2[0-3])[0-5]\d)(?:[\s,.;)]|$)"));

static AGE_NUMBER: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?i)\b(?P<n>9\d|1[0-3]\d)(?:\s*|-)(?:y[./]?\s?o\b|y/o|years?\b|yrs?\b|-?years?-?olds?\b|year-?olds?\b|F\b|M\b)|\bage[ds]?\s*[:=]?\s*(?:of\s+|is\s+)?(?P<n2>9\d|1[0-3]\d)\b|\bturn(?:ed|s|ing)?\s+(?P<n3>9\d|1[0-3]\d)\b",
    )
});
static AGE_WORDS: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?i)\b(?P<n>ninety(?:[- ](?:one|two|three|four|five|six|seven|eight|nine))?|(?:one |a )?hundred(?:(?: and)? (?:one|two|three|four|five|six|seven|eight|nine|ten))?)[- ]years?\b",
    )
});

/// The year of a birth: it may tell an age over 89, so it does not stay.
static BIRTH_YEAR: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?i)\b(?:born(?:\s+in)?|year\s+of\s+birth|birth\s+year|dob|yob)\s*[:=]?\s*(?P<y>(?:18|19|20)\d{2})\b",
    )
});

/// Words before numbers that are parts of the body or pages of images, not days.
static COUNTED: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?i)\b(?:ribs?|levels?|vertebra[el]?|segments?|lobes?|images?|series|slices?|grade|scores?|stage|zones?|views?|[TLCS])\s*(?:#|no\.?|numbers?)?\s*$",
    )
});
static UNIT_FOLLOWS: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?i)^\s*(?:mm|cm|ml|cc|mg|kg|mmhg|%|x\s*\d|ribs?\b)"));

/// Adds days, times and ages to `found`.
pub(super) fn find(text: &str, found: &mut Vec<Span>) {
    for expression in [&*YEAR_FIRST, &*YEAR_LAST] {
        numeric(text, expression, found);
    }
    for expression in [&*DAY_FIRST, &*MONTH_FIRST] {
        for date in expression.captures_iter(text) {
            written(&date, found);
        }
    }
    for date in SHORT.captures_iter(text) {
        push_group(text, &date, "day", Kind::Date, found);
    }
    for date in MONTH_YEAR.find_iter(text) {
        push(date.start(), date.end(), Kind::Date, date.as_str(), found);
    }
    for month in IN_MONTH.captures_iter(text) {
        // "Signed by May Stone": before another capital it may be a name.
        let end = month.name("m").map_or(0, |m| m.end());
        let mut after = text.get(end..).unwrap_or_default().chars();
        if after.next() == Some(' ') && after.next().is_some_and(char::is_uppercase) {
            continue;
        }
        push_group(text, &month, "m", Kind::Date, found);
    }
    for day in WEEKDAY.find_iter(text) {
        let name = day.as_str().trim_end_matches([',', ' ']);
        push(day.start(), day.start() + name.len(), Kind::Date, name, found);
    }
    for born in BIRTH_YEAR.captures_iter(text) {
        push_group(text, &born, "y", Kind::Date, found);
    }
    for time in CLOCK.find_iter(text) {
        push(time.start(), time.end(), Kind::Time, time.as_str().trim_end_matches('.'), found);
    }
    for time in AT_CLOCK.captures_iter(text) {
        push_group(text, &time, "t", Kind::Time, found);
    }
    for expression in [&*AGE_NUMBER, &*AGE_WORDS] {
        for age in expression.captures_iter(text) {
            let number = ["n", "n2", "n3"].into_iter().find_map(|name| age.name(name));
            let Some(number) = number else { continue };
            push(number.start(), number.end(), Kind::Age, "", found);
        }
    }
}

fn push(start: usize, end: usize, kind: Kind, key: &str, found: &mut Vec<Span>) {
    let key = key.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    found.push(Span { start, end, kind, key });
}

fn push_group(text: &str, date: &Captures<'_>, name: &str, kind: Kind, found: &mut Vec<Span>) {
    let Some(group) = date.name(name) else { return };
    let before = text.get(..group.start()).unwrap_or_default();
    let after = text.get(group.end()..).unwrap_or_default();
    if !COUNTED.is_match(tail(before)) && !UNIT_FOLLOWS.is_match(after) {
        push(group.start(), group.end(), kind, group.as_str(), found);
    }
}

/// The last few characters of a text: enough for a word before a number.
fn tail(text: &str) -> &str {
    let from = text.char_indices().rev().nth(23).map_or(0, |(at, _)| at);
    text.get(from..).unwrap_or_default()
}

fn numeric(text: &str, expression: &Regex, found: &mut Vec<Span>) {
    for date in expression.captures_iter(text) {
        let Some(whole) = date.get(0) else { continue };
        let number = |name: &str| date.name(name).and_then(|m| m.as_str().parse::<u32>().ok());
        let (Some(a), Some(b)) = (number("a"), number("b")) else { continue };
        let year = date.name("y").map_or("", |m| m.as_str()).trim_start_matches(['\'', '’']);
        let before = text.get(..whole.start()).unwrap_or_default();
        let after = text.get(whole.end()..).unwrap_or_default();
        let separator = date.name("s").map_or("", |m| m.as_str());
        let same = date.name("s2").is_none_or(|second| second.as_str() == separator);
        let bounded = !before.ends_with(|c: char| c.is_ascii_digit() || matches!(c, '/' | '.'))
            && !after.starts_with(|c: char| c.is_ascii_digit());
        let two_digits = |name: &str| date.name(name).is_some_and(|m| m.as_str().len() == 2);
        // 3.4.12 is an outline, 8-9-10 are ribs: with a short year, days are written out.
        let written_out =
            year.len() == 4 || separator == "/" || (two_digits("a") && two_digits("b"));
        let day = (a.min(b) >= 1) && a.min(b) <= 12 && a.max(b) <= 31;
        if !(same && bounded && written_out && day)
            || COUNTED.is_match(tail(before))
            || UNIT_FOLLOWS.is_match(after)
        {
            continue;
        }
        // Day and month in either order: where it cannot be told, both orders are one key each.
        let year = full_year(year);
        let (month, day) = if a > 12 { (b, a) } else { (a, b) };
        let key = format!("{year}-{month:02}-{day:02}");
        found.push(Span { start: whole.start(), end: whole.end(), kind: Kind::Date, key });
    }
}

fn full_year(year: &str) -> String {
    match (year.len(), year.parse::<u32>()) {
        (2, Ok(short)) if short > 35 => format!("19{short:02}"),
        (2, Ok(short)) => format!("20{short:02}"),
        _ => year.to_owned(),
    }
}

fn written(date: &Captures<'_>, found: &mut Vec<Span>) {
    const MONTHS: [&str; 12] =
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    let (Some(whole), Some(name)) = (date.get(0), date.name("month")) else { return };
    let day: Option<u32> = date.name("d").and_then(|m| m.as_str().parse().ok());
    let year = date.name("y").or_else(|| date.name("y2"));
    let lower = name.as_str().to_ascii_lowercase();
    // "may 2 views": without a year, a month that is a word needs its capital.
    let word = matches!(lower.as_str(), "may" | "mar" | "march" | "dec" | "sep" | "jan" | "oct");
    let capital = name.as_str().starts_with(char::is_uppercase);
    if day.is_some_and(|day| day == 0 || day > 31) || (word && year.is_none() && !capital) {
        return;
    }
    let month = MONTHS.iter().position(|month| lower.starts_with(month)).map_or(0, |at| at + 1);
    let year =
        year.map(|m| full_year(m.as_str().trim_start_matches(['\'', '’']))).unwrap_or_default();
    let key = format!("{year}-{month:02}-{:02}", day.unwrap_or_default());
    let end = whole.start() + whole.as_str().trim_end_matches([' ', ',', '-', '.']).len();
    found.push(Span { start: whole.start(), end, kind: Kind::Date, key });
}
