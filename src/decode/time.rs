//! Date-times of HL7 v2 (`YYYY[MM[DD[HH[MM[SS[.S]]]]]][±ZZZZ]`) and FHIR → milliseconds UTC.

use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};

/// What a date-time field gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Time {
    /// Empty or HL7 null.
    Absent,
    /// Something that is no date-time.
    Bad,
    /// Milliseconds since 1970-01-01 UTC.
    At(i64),
}

/// Resolves a configured zone: `UTC`, an offset, an IANA name, or a POSIX rule.
pub(super) fn zone(name: &str) -> Option<TimeZone> {
    let name = name.trim();
    if name.is_empty() || name.eq_ignore_ascii_case("utc") || name == "Z" {
        return Some(TimeZone::UTC);
    }
    if let Some(offset) = offset(name) {
        return Some(offset.to_time_zone());
    }
    TimeZone::get(name).or_else(|_| TimeZone::posix(name)).ok()
}

/// `+HHMM`, `+HH:MM`, `-HH`, `Z`.
fn offset(text: &str) -> Option<Offset> {
    if text == "Z" || text == "z" {
        return Some(Offset::UTC);
    }
    let (sign, digits) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let digits: String = digits.chars().filter(|c| *c != ':').collect();
    if !(digits.len() == 2 || digits.len() == 4) || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let hours: i32 = digits.get(..2)?.parse().ok()?;
    let minutes: i32 =
        digits.get(2..).filter(|m| !m.is_empty()).map_or(Some(0), |m| m.parse().ok())?;
    if minutes > 59 {
        return None;
    }
    Offset::from_seconds(sign * (hours * 3600 + minutes * 60)).ok()
}

/// Reads a date-time; `zone` names the zone of one that carries none.
pub(super) fn parse(text: &str, zone: &str) -> Time {
    let text = text.trim();
    if text.is_empty() || text == "\"\"" {
        return Time::Absent;
    }
    read(text, zone).map_or(Time::Bad, Time::At)
}

/// What most senders write: eight, twelve or fourteen digits and nothing else.
fn plain_digits(text: &str) -> bool {
    matches!(text.len(), 8 | 12 | 14) && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn read(text: &str, default_zone: &str) -> Option<i64> {
    if plain_digits(text) {
        return at(text, 0, zone(default_zone).unwrap_or(TimeZone::UTC));
    }
    // FHIR and ISO forms differ from HL7's only in their punctuation.
    let iso = text.get(4..5) == Some("-") && text.get(7..8).is_none_or(|c| c == "-");
    let zone_from = if iso {
        text.find('T').and_then(|t| text.get(t..)?.find(['+', '-', 'Z']).map(|z| t + z))
    } else {
        text.find(['+', '-', 'Z'])
    };
    let (local, offset_text) = match zone_from {
        Some(at) => text.split_at_checked(at)?,
        None => (text, ""),
    };
    let (local, fraction) = local.split_once(['.', ',']).unwrap_or((local, ""));
    let digits: String = if iso {
        local.chars().filter(|c| !matches!(c, '-' | ':' | 'T' | ' ')).collect()
    } else {
        local.trim().to_owned()
    };
    if !digits.bytes().all(|b| b.is_ascii_digit())
        || !matches!(digits.len(), 4 | 6 | 8 | 10 | 12 | 14)
    {
        return None;
    }
    let nanosecond = nanoseconds(fraction)?;
    let zone = match offset_text {
        "" => zone(default_zone).unwrap_or(TimeZone::UTC),
        given => offset(given)?.to_time_zone(),
    };
    at(&digits, nanosecond, zone)
}

/// The instant that digits from the year down to the second name in a zone.
fn at(digits: &str, nanosecond: i32, zone: TimeZone) -> Option<i64> {
    let part = |from: usize, to: usize, absent: i8| -> Option<i8> {
        digits.get(from..to).map_or(Some(absent), |d| d.parse().ok())
    };
    let year: i16 = digits.get(..4)?.parse().ok()?;
    if year < 1800 {
        return None; // "00000000", "0001-01-01": a missing date in disguise
    }
    let second = part(12, 14, 0)?.min(59); // a leap second is the second before it
    let local = DateTime::new(
        year,
        part(4, 6, 1)?,
        part(6, 8, 1)?,
        part(8, 10, 0)?,
        part(10, 12, 0)?,
        second,
        nanosecond,
    )
    .ok()?;
    Some(zone.to_ambiguous_timestamp(local).compatible().ok()?.as_millisecond())
}

fn nanoseconds(fraction: &str) -> Option<i32> {
    if !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let digits = fraction.get(..fraction.len().min(9))?;
    let value: i32 = if digits.is_empty() { 0 } else { digits.parse().ok()? };
    let missing = 9_u32.checked_sub(u32::try_from(digits.len()).ok()?)?;
    value.checked_mul(10_i32.checked_pow(missing)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hl7_and_fhir_precisions_are_read() {
        let at = |text| parse(text, "UTC");
        assert_eq!(at("20260102"), Time::At(1_767_312_000_000));
        assert_eq!(at("202601020304"), Time::At(1_767_323_040_000));
        assert_eq!(at("20260102030405"), Time::At(1_767_323_045_000));
        assert_eq!(at("20260102030405.678"), Time::At(1_767_323_045_678));
        assert_eq!(at("20260102030405+0000"), Time::At(1_767_323_045_000));
        assert_eq!(at("20260102040405.1234+0100"), Time::At(1_767_323_045_123));
        assert_eq!(at("2026-01-02T03:04:05.678Z"), Time::At(1_767_323_045_678));
        assert_eq!(at("2026-01-02T04:04:05+01:00"), Time::At(1_767_323_045_000));
        assert_eq!(at("2026-01"), Time::At(1_767_225_600_000));
        assert_eq!(at("2026"), Time::At(1_767_225_600_000));
    }

    #[test]
    fn what_is_no_date_time_is_bad_and_what_is_empty_is_absent() {
        for text in [
            "00000000",
            "20261301",
            "20260199",
            "yesterday",
            "2026010203040506",
            "202",
            "2026-1",
            "+",
        ] {
            assert_eq!(parse(text, "UTC"), Time::Bad, "{text}");
        }
        assert_eq!(parse(" ", "UTC"), Time::Absent);
        assert_eq!(parse("\"\"", "UTC"), Time::Absent);
    }

    #[test]
    fn a_time_without_zone_takes_the_configured_one() {
        assert_eq!(parse("20260102030405", "-06:00"), Time::At(1_767_344_645_000));
        let summer = "CET-1CEST,M3.5.0,M10.5.0/3";
        assert_eq!(parse("20260702000000", summer), Time::At(1_782_943_200_000));
        assert!(zone("+25:99").is_none());
        assert!(zone("Nowhere/Atall").is_none());
    }
}
