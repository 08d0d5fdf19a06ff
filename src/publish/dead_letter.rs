//! Dead letters: the original record untouched, with headers that say where it came from, which
//! step refused it and why.
//!
//! Headers carry no report text and no identifier: stage and class are names from our own code,
//! the location is a place (`OBX-5 rep 3 byte 120`). Error headers that the record already had,
//! ours or another system's, are replaced, so that a replayed record does not stack them.

use serde::Deserialize;

use super::headers::{Headers, find, push, rfc3339};
use super::{Outgoing, PublishSettings, RECORD_OVERHEAD, Source, Topic};

/// Whose header names a dead letter carries, besides `radstream.*`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorHeaders {
    /// Kafka Connect's (`__connect.errors.topic`).
    #[default]
    Connect,
    /// Kafka Streams' (KIP-1034, `__streams.errors.topic`).
    Streams,
    /// Spring Kafka's (`kafka_dlt-original-topic`; numbers are big-endian binary).
    Spring,
    /// All three.
    All,
}

impl ErrorHeaders {
    const fn includes(self, other: Self) -> bool {
        matches!(self, Self::All) || self as u8 == other as u8
    }
}

/// Headers of earlier errors, ours or another system's: removed before ours are added.
const REPLACED: [&str; 7] = [
    "__connect.errors.",
    "__streams.errors.",
    "__dlq.errors.",
    "kafka_dlt-",
    "radstream.error.",
    "radstream.omitted",
    "radstream.replayed.",
];
/// The same, whole names.
const REPLACED_NAMES: [&str; 3] = [FAILED_AT, VERSION, PART];
/// What a record has lived through. A letter tells it anew; a replay passes it on.
const HISTORY: [&str; 2] = [FIRST_FAILED_AT, ATTEMPT];

pub(super) const ERROR_CLASS: &str = "radstream.error.class";
pub(super) const ERROR_STAGE: &str = "radstream.error.stage";
pub(super) const ERROR_LOCATION: &str = "radstream.error.location";
pub(super) const FAILED_AT: &str = "radstream.failed.at";
pub(super) const FIRST_FAILED_AT: &str = "radstream.first.failed.at";
pub(super) const ATTEMPT: &str = "radstream.attempt";
pub(super) const VERSION: &str = "radstream.version";
pub(super) const PART: &str = "radstream.part";
/// Present when the record would not have fitted: what was left out (`value`, `headers`, `key`).
pub(super) const OMITTED: &str = "radstream.omitted";
/// Where the whole record stands (`topic/partition/offset`).
const OMITTED_POINTER: &str = "radstream.omitted.pointer";

/// Longest stage, class or location.
const MAX_WORD: usize = 200;

/// What went wrong.
pub(super) struct Failure<'a> {
    pub(super) stage: &'a str,
    pub(super) class: &'a str,
    pub(super) location: &'a str,
    pub(super) now_ms: i64,
}

/// Builds the dead letter of an input record.
pub(super) fn build(
    settings: &PublishSettings,
    source: &Source<'_>,
    key: Option<&[u8]>,
    payload: Option<&[u8]>,
    failure: &Failure<'_>,
) -> Outgoing {
    let mut letter = Outgoing {
        topic: Topic::DeadLetters,
        partition: None,
        key: key.map(<[u8]>::to_vec),
        payload: None,
        headers: kept(source),
        timestamp_ms: source.timestamp_ms,
    };
    let ours = error_headers(settings, source, failure);
    let limit = settings.max_message_bytes;
    let size = |letter: &Outgoing, payload: usize| {
        let ours: usize = ours.iter().map(|(name, value)| name.len() + value.len()).sum();
        letter.bytes() + ours + payload + RECORD_OVERHEAD
    };

    // A record that the broker would refuse must not hold the partition up: leave out what is too
    // much, the value first, and say where the whole stands.
    let mut omitted = Vec::new();
    if size(&letter, payload.map_or(0, <[u8]>::len)) > limit {
        omitted.push("value");
        if size(&letter, 0) > limit {
            omitted.push("headers");
            letter.headers.clear();
        }
        if size(&letter, 0) > limit {
            omitted.push("key");
            letter.key = None;
        }
    } else {
        letter.payload = payload.map(<[u8]>::to_vec);
    }
    letter.headers.extend(ours);
    if !omitted.is_empty() {
        let pointer = format!("{}/{}/{}", source.topic, source.partition, source.offset);
        push(&mut letter.headers, OMITTED, &omitted.join(","));
        push(&mut letter.headers, OMITTED_POINTER, &pointer);
    }
    letter
}

/// The input's headers without those of earlier errors.
fn kept(source: &Source<'_>) -> Headers {
    let is_kept = |name: &str| !is_of_a_failure(name) && !HISTORY.contains(&name);
    source.headers.iter().filter(|(name, _)| is_kept(name)).cloned().collect()
}

/// A header that a letter has and its original has not, but for what the record has lived through.
pub(super) fn is_of_a_failure(name: &str) -> bool {
    REPLACED.iter().any(|prefix| name.starts_with(prefix)) || REPLACED_NAMES.contains(&name)
}

fn error_headers(
    settings: &PublishSettings,
    source: &Source<'_>,
    failure: &Failure<'_>,
) -> Headers {
    let stage = word(failure.stage);
    let class = word(failure.class);
    let location = word(failure.location);
    let partition = source.partition.to_string();
    let offset = source.offset.to_string();
    let exception = format!("radstream.{class}");
    let message = if location.is_empty() {
        format!("{class} in {stage}")
    } else {
        format!("{class} in {stage} at {location}")
    };

    let mut headers = Vec::with_capacity(16);
    if settings.error_headers.includes(ErrorHeaders::Connect) {
        for (name, value) in [
            ("topic", source.topic),
            ("partition", &partition),
            ("offset", &offset),
            ("connector.name", &settings.application),
            ("task.id", "0"),
            ("stage", &stage),
            ("class.name", &settings.application),
            ("exception.class.name", &exception),
            ("exception.message", &message),
        ] {
            push(&mut headers, &format!("__connect.errors.{name}"), value);
        }
    }
    if settings.error_headers.includes(ErrorHeaders::Streams) {
        for (name, value) in [
            ("exception", exception.as_str()),
            ("message", &message),
            ("topic", source.topic),
            ("partition", &partition),
            ("offset", &offset),
        ] {
            push(&mut headers, &format!("__streams.errors.{name}"), value);
        }
    }
    if settings.error_headers.includes(ErrorHeaders::Spring) {
        let mut spring = |name: &str, value: &[u8]| {
            headers.push((format!("kafka_dlt-{name}"), value.to_vec()));
        };
        spring("original-topic", source.topic.as_bytes());
        spring("original-partition", &source.partition.to_be_bytes());
        spring("original-offset", &source.offset.to_be_bytes());
        if let Some(timestamp) = source.timestamp_ms {
            spring("original-timestamp", &timestamp.to_be_bytes());
        }
        spring("original-consumer-group", settings.consumer_group.as_bytes());
        spring("exception-fqcn", exception.as_bytes());
        spring("exception-message", message.as_bytes());
    }

    push(&mut headers, ERROR_CLASS, &class);
    push(&mut headers, ERROR_STAGE, &stage);
    if !location.is_empty() {
        push(&mut headers, ERROR_LOCATION, &location);
    }
    if let Some(time) = rfc3339(failure.now_ms) {
        push(&mut headers, FAILED_AT, &time);
    }
    if let Some(time) = first_failed_at(source).or_else(|| rfc3339(failure.now_ms)) {
        push(&mut headers, FIRST_FAILED_AT, &time);
    }
    push(&mut headers, ATTEMPT, &attempt(source).to_string());
    push(&mut headers, PART, &source.part.to_string());
    push(&mut headers, VERSION, env!("CARGO_PKG_VERSION"));
    headers
}

/// When a replayed record failed first, if it says so in a form that we write.
fn first_failed_at(source: &Source<'_>) -> Option<String> {
    let text = std::str::from_utf8(find(source.headers, FIRST_FAILED_AT)?).ok()?;
    text.parse::<jiff::Timestamp>().ok().map(|time| time.to_string())
}

/// How often this record has become a dead letter, this time included.
fn attempt(source: &Source<'_>) -> u32 {
    find(source.headers, ATTEMPT)
        .and_then(|value| std::str::from_utf8(value).ok())
        .and_then(|text| text.parse::<u32>().ok())
        .map_or(1, |attempt| attempt.saturating_add(1))
}

/// Short printable ASCII: a header value that no tool chokes on.
pub(super) fn word(text: &str) -> String {
    text.chars()
        .take(MAX_WORD)
        .map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_717_243_200_123;

    fn letter(
        settings: &PublishSettings,
        headers: &[(&str, &[u8])],
        payload: Option<&[u8]>,
    ) -> Outgoing {
        let headers: Headers =
            headers.iter().map(|(name, value)| ((*name).to_owned(), value.to_vec())).collect();
        let source = Source {
            topic: "reports",
            partition: 3,
            offset: 1234,
            timestamp_ms: Some(1_500_000_000_000),
            part: 1,
            headers: &headers,
        };
        let failure = Failure {
            stage: "decode",
            class: "parse",
            location: "OBX-5 rep 3 byte 120",
            now_ms: NOW,
        };
        build(settings, &source, Some(b"key"), payload, &failure)
    }

    fn text<'a>(letter: &'a Outgoing, name: &str) -> Option<&'a str> {
        find(&letter.headers, name).map(|value| std::str::from_utf8(value).unwrap())
    }

    #[test]
    fn the_original_stays_byte_for_byte_and_in_time() {
        let payload: &[u8] = b"MSH|\x0b\x00\xff\r\n";
        let given: &[(&str, &[u8])] = &[("h", b"\xff\x00"), ("a", b""), ("h", b"again")];
        let letter = letter(&PublishSettings::default(), given, Some(payload));
        assert_eq!(letter.payload.as_deref(), Some(payload));
        assert_eq!(letter.key.as_deref(), Some(b"key".as_slice()));
        assert_eq!(letter.timestamp_ms, Some(1_500_000_000_000));
        assert_eq!(letter.partition, None);
        let kept: Vec<_> =
            letter.headers.iter().take(3).map(|(n, v)| (n.as_str(), v.as_slice())).collect();
        assert_eq!(kept, given);
    }

    #[test]
    fn an_empty_value_and_no_value_stay_apart() {
        let settings = PublishSettings::default();
        assert_eq!(letter(&settings, &[], None).payload, None);
        assert_eq!(letter(&settings, &[], Some(b"")).payload, Some(vec![]));
    }

    #[test]
    fn connect_headers_say_where_it_came_from_and_why() {
        let letter = letter(&PublishSettings::default(), &[], Some(b"x"));
        for (name, value) in [
            ("__connect.errors.topic", "reports"),
            ("__connect.errors.partition", "3"),
            ("__connect.errors.offset", "1234"),
            ("__connect.errors.connector.name", "radstream"),
            ("__connect.errors.stage", "decode"),
            ("__connect.errors.exception.class.name", "radstream.parse"),
            ("__connect.errors.exception.message", "parse in decode at OBX-5 rep 3 byte 120"),
            ("radstream.error.class", "parse"),
            ("radstream.error.stage", "decode"),
            ("radstream.error.location", "OBX-5 rep 3 byte 120"),
            ("radstream.failed.at", "2024-06-01T12:00:00.123Z"),
            ("radstream.first.failed.at", "2024-06-01T12:00:00.123Z"),
            ("radstream.attempt", "1"),
            ("radstream.part", "1"),
        ] {
            assert_eq!(text(&letter, name), Some(value), "{name}");
        }
        assert!(letter.headers.iter().all(|(n, _)| !n.starts_with("kafka_dlt-")));
    }

    #[test]
    fn spring_numbers_are_big_endian() {
        let settings =
            PublishSettings { error_headers: ErrorHeaders::Spring, ..PublishSettings::default() };
        let letter = letter(&settings, &[], Some(b"x"));
        let header = |name| find(&letter.headers, name).unwrap();
        assert_eq!(header("kafka_dlt-original-partition"), 3_i32.to_be_bytes());
        assert_eq!(header("kafka_dlt-original-offset"), 1234_i64.to_be_bytes());
        assert_eq!(header("kafka_dlt-original-timestamp"), 1_500_000_000_000_i64.to_be_bytes());
        assert_eq!(find(&letter.headers, "__connect.errors.topic"), None);
    }

    #[test]
    fn all_styles_can_stand_together() {
        let settings =
            PublishSettings { error_headers: ErrorHeaders::All, ..PublishSettings::default() };
        let letter = letter(&settings, &[], Some(b"x"));
        for name in ["__connect.errors.topic", "__streams.errors.topic", "kafka_dlt-original-topic"]
        {
            assert_eq!(text(&letter, name), Some("reports"));
        }
    }

    #[test]
    fn a_replayed_record_does_not_stack_headers_and_counts_its_attempts() {
        let settings =
            PublishSettings { error_headers: ErrorHeaders::All, ..PublishSettings::default() };
        let first = letter(&settings, &[("sender", b"RIS")], Some(b"x"));
        let replayed: Vec<(&str, &[u8])> =
            first.headers.iter().map(|(n, v)| (n.as_str(), v.as_slice())).collect();
        let second = letter(&settings, &replayed, Some(b"x"));
        assert_eq!(second.headers.len(), first.headers.len());
        assert_eq!(text(&second, "radstream.attempt"), Some("2"));
        assert_eq!(text(&second, "sender"), Some("RIS"));
    }

    #[test]
    fn the_first_failure_is_remembered_only_when_it_is_a_time() {
        let settings = PublishSettings::default();
        let at = |value: &[u8]| {
            let letter = letter(&settings, &[("radstream.first.failed.at", value)], Some(b"x"));
            text(&letter, "radstream.first.failed.at").unwrap().to_owned()
        };
        assert_eq!(at(b"2020-01-01T00:00:00Z"), "2020-01-01T00:00:00Z");
        assert_eq!(at(b"DOE^JANE"), "2024-06-01T12:00:00.123Z");
    }

    #[test]
    fn a_value_that_would_not_fit_is_left_out_with_a_pointer_to_it() {
        let settings = PublishSettings { max_message_bytes: 4096, ..PublishSettings::default() };
        let big = vec![b'x'; 4096];
        let letter_of = |headers: &[(&str, &[u8])], payload| letter(&settings, headers, payload);

        let letter = letter_of(&[("sender", b"RIS")], Some(&big));
        assert_eq!(letter.payload, None);
        assert_eq!(text(&letter, "radstream.omitted"), Some("value"));
        assert_eq!(text(&letter, "radstream.omitted.pointer"), Some("reports/3/1234"));
        assert_eq!(text(&letter, "sender"), Some("RIS"));

        let letter = letter_of(&[("sender", &big)], Some(b"x"));
        assert_eq!(text(&letter, "radstream.omitted"), Some("value,headers"));
        assert!(letter.bytes() <= 4096);

        let small = letter_of(&[], Some(b"x"));
        assert_eq!(text(&small, "radstream.omitted"), None);
    }

    #[test]
    fn header_values_are_short_printable_ascii() {
        assert_eq!(word("OBX-5 \u{e9}\r\n"), "OBX-5 ???");
        assert_eq!(word(&"x".repeat(1000)).len(), MAX_WORD);
    }
}
