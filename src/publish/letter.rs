//! Dead letters as read, and what a replay writes: the record as it was, and a marker that says so.
//!
//! A marker is a record without a value behind its letter, in the letter's partition of the dead-letter
//! topic. Behind it on purpose: a topic loses its oldest records first, so a letter never outlives the
//! marker that it was replayed.

use super::Topic;
use super::dead_letter::{
    ATTEMPT, ERROR_CLASS, ERROR_LOCATION, ERROR_STAGE, FAILED_AT, FIRST_FAILED_AT, OMITTED, PART,
    VERSION, is_of_a_failure, word,
};
use super::headers::{Headers, find, push, rfc3339};
use super::{Outgoing, SOFTWARE_VERSION};

/// Name of the header that says how often a record was replayed, from 1.
pub const REPLAY_COUNT_HEADER: &str = "radstream.replay.count";
/// On a marker: the letter that was replayed (`partition:offset`).
const REPLAYED_LETTER: &str = "radstream.replayed.letter";
/// On a marker: the topic that it was written to.
const REPLAYED_TO: &str = "radstream.replayed.to";
/// On a marker: when.
const REPLAYED_AT: &str = "radstream.replayed.at";

/// Longest name of a Kafka topic.
const LONGEST_TOPIC: usize = 249;

/// What a record of the dead-letter topic is, by its headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeadLetterRecord {
    /// A message that could not be processed.
    Letter(Box<LetterHead>),
    /// A letter was replayed.
    Replayed(ReplayMark),
    /// Nothing of radstream's.
    Foreign,
}

/// What the headers of a dead letter say. No report text and no identifier.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LetterHead {
    /// Class of the failure (`syntax`).
    pub class: String,
    /// Step that refused the record: `decode`, `label`, `publish` or `teach`.
    pub stage: String,
    /// Place in the record; empty when that says nothing.
    pub location: String,
    /// Version of radstream that wrote the letter.
    pub version: String,
    /// When it failed; that of the first failure where an older radstream wrote the letter.
    /// Milliseconds since 1970-01-01 UTC.
    pub failed_at_ms: Option<i64>,
    /// When it failed first, before any replay.
    pub first_failed_at_ms: Option<i64>,
    /// How often the record has become a dead letter.
    pub attempt: u32,
    /// How often it was replayed.
    pub replays: u32,
    /// Which report of the record, from 0.
    pub part: u32,
    /// Where the record stands that failed.
    pub origin: Option<Origin>,
    /// What was left out because it did not fit (`value,headers`).
    pub omitted: Option<String>,
}

/// Where a record stood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
}

impl std::fmt::Display for Origin {
    /// As `radstream explain` takes it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}", self.topic, self.partition, self.offset)
    }
}

/// Says that a letter was replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplayMark {
    /// The letter's partition.
    pub partition: i32,
    /// The letter's offset.
    pub offset: i64,
}

impl DeadLetterRecord {
    /// Reads the headers of a record of the dead-letter topic.
    ///
    /// What a sender put on its message cannot make a letter look like a marker: letters have a class,
    /// markers have none.
    pub fn read(headers: &[(String, Vec<u8>)], has_value: bool) -> Self {
        if let Some(class) = text(headers, ERROR_CLASS) {
            return Self::Letter(Box::new(LetterHead::read(headers, word(class))));
        }
        let mark = || {
            let (partition, offset) = text(headers, REPLAYED_LETTER)?.split_once(':')?;
            let (partition, offset) = (partition.parse().ok()?, offset.parse().ok()?);
            Some(Self::Replayed(ReplayMark { partition, offset }))
        };
        if has_value { Self::Foreign } else { mark().unwrap_or(Self::Foreign) }
    }
}

impl LetterHead {
    fn read(headers: &[(String, Vec<u8>)], class: String) -> Self {
        let word_of = |name| text(headers, name).map(word).unwrap_or_default();
        let number = |name| text(headers, name).and_then(|text| text.parse::<u32>().ok());
        let time = |name| {
            let time = text(headers, name)?.parse::<jiff::Timestamp>().ok()?;
            Some(time.as_millisecond())
        };
        let first_failed_at_ms = time(FIRST_FAILED_AT);
        Self {
            class,
            stage: word_of(ERROR_STAGE),
            location: word_of(ERROR_LOCATION),
            version: word_of(VERSION),
            failed_at_ms: time(FAILED_AT).or(first_failed_at_ms),
            first_failed_at_ms,
            attempt: number(ATTEMPT).unwrap_or(1),
            replays: number(REPLAY_COUNT_HEADER).unwrap_or(0),
            part: number(PART).unwrap_or(0),
            origin: origin(headers),
            omitted: text(headers, OMITTED).map(word),
        }
    }
}

/// Where the record stood, in the names of whichever system's headers were configured.
fn origin(headers: &[(String, Vec<u8>)]) -> Option<Origin> {
    let written = |prefix: &str| {
        let part = |name: &str| text(headers, &format!("{prefix}{name}"));
        let (partition, offset) = (part("partition")?.parse().ok()?, part("offset")?.parse().ok()?);
        Some((part("topic")?.to_owned(), partition, offset))
    };
    let spring = || {
        let bytes = |name: &str| find(headers, &format!("kafka_dlt-original-{name}"));
        let partition = i32::from_be_bytes(bytes("partition")?.try_into().ok()?);
        let offset = i64::from_be_bytes(bytes("offset")?.try_into().ok()?);
        Some((text(headers, "kafka_dlt-original-topic")?.to_owned(), partition, offset))
    };
    let (topic, partition, offset) = written("__connect.errors.")
        .or_else(|| written("__streams.errors."))
        .or_else(spring)
        .filter(|(topic, ..)| is_topic(topic))?;
    Some(Origin { topic, partition, offset })
}

/// What Kafka allows as a topic's name.
fn is_topic(name: &str) -> bool {
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    (1..=LONGEST_TOPIC).contains(&name.len()) && name.bytes().all(legal)
}

fn text<'a>(headers: &'a [(String, Vec<u8>)], name: &str) -> Option<&'a str> {
    std::str::from_utf8(find(headers, name)?).ok()
}

/// Headers of a letter's record when it is replayed: those that it had, without those of failures, and
/// [`REPLAY_COUNT_HEADER`] one higher. When it failed first and how often stay, for the case that it
/// fails again.
pub fn replayed_headers(letter: &[(String, Vec<u8>)]) -> Headers {
    let replays = text(letter, REPLAY_COUNT_HEADER).and_then(|text| text.parse::<u32>().ok());
    let is_kept = |name: &str| !is_of_a_failure(name) && name != REPLAY_COUNT_HEADER;
    let mut headers: Headers = letter.iter().filter(|(name, _)| is_kept(name)).cloned().collect();
    let replays = replays.unwrap_or(0).saturating_add(1);
    push(&mut headers, REPLAY_COUNT_HEADER, &replays.to_string());
    headers
}

impl ReplayMark {
    /// The marker's record. It has no key: it tells nothing of whom the letter is about.
    pub fn record(self, to: &str, now_ms: i64) -> Outgoing {
        let mut headers = Vec::with_capacity(4);
        let Self { partition, offset } = self;
        push(&mut headers, REPLAYED_LETTER, &format!("{partition}:{offset}"));
        push(&mut headers, REPLAYED_TO, to);
        if let Some(time) = rfc3339(now_ms) {
            push(&mut headers, REPLAYED_AT, &time);
        }
        push(&mut headers, VERSION, SOFTWARE_VERSION);
        Outgoing {
            topic: Topic::DeadLetters,
            partition: Some(partition),
            key: None,
            payload: None,
            headers,
            timestamp_ms: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::dead_letter::{Failure, build};
    use super::super::{ErrorHeaders, PublishSettings, Source};
    use super::*;

    const NOW: i64 = 1_717_243_200_123;

    fn letter(style: ErrorHeaders, given: &[(&str, &str)]) -> Outgoing {
        let headers: Headers = given
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()))
            .collect();
        let source = Source {
            topic: "reports",
            partition: 3,
            offset: 1234,
            timestamp_ms: Some(1),
            part: 2,
            headers: &headers,
        };
        let settings = PublishSettings { error_headers: style, ..PublishSettings::default() };
        let failure =
            Failure { stage: "decode", class: "syntax", location: "OBX[3]-5", now_ms: NOW };
        build(&settings, &source, Some(b"key"), Some(b"x"), &failure)
    }

    fn head(letter: &Outgoing) -> LetterHead {
        match DeadLetterRecord::read(&letter.headers, true) {
            DeadLetterRecord::Letter(head) => *head,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_letter_is_read_as_it_was_written_in_every_style_of_headers() {
        let styles =
            [ErrorHeaders::Connect, ErrorHeaders::Streams, ErrorHeaders::Spring, ErrorHeaders::All];
        for style in styles {
            let head = head(&letter(style, &[("sender", "RIS")]));
            let origin = Origin { topic: "reports".to_owned(), partition: 3, offset: 1234 };
            let expected = LetterHead {
                class: "syntax".to_owned(),
                stage: "decode".to_owned(),
                location: "OBX[3]-5".to_owned(),
                version: SOFTWARE_VERSION.to_owned(),
                failed_at_ms: Some(NOW),
                first_failed_at_ms: Some(NOW),
                attempt: 1,
                replays: 0,
                part: 2,
                origin: Some(origin),
                omitted: None,
            };
            assert_eq!(head, expected, "{style:?}");
        }
    }

    #[test]
    fn a_replay_gives_the_senders_headers_back_in_order_and_counts() {
        let sent = [("b", "1"), ("a", "2"), ("b", "3")];
        for style in [ErrorHeaders::Connect, ErrorHeaders::All] {
            let replayed = replayed_headers(&letter(style, &sent).headers);
            let names: Vec<(&str, &str)> = replayed
                .iter()
                .map(|(name, value)| (name.as_str(), std::str::from_utf8(value).unwrap()))
                .collect();
            assert_eq!(names[..3], sent);
            let ours = [
                ("radstream.first.failed.at", "2024-06-01T12:00:00.123Z"),
                ("radstream.attempt", "1"),
                (REPLAY_COUNT_HEADER, "1"),
            ];
            assert_eq!(names[3..], ours);
        }
    }

    #[test]
    fn a_record_that_fails_again_is_a_letter_with_its_count_and_its_first_failure() {
        let mut given: Vec<(String, String)> = vec![("sender".into(), "RIS".into())];
        for round in 1..=3 {
            let borrowed: Vec<(&str, &str)> =
                given.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            let letter = letter(ErrorHeaders::All, &borrowed);
            let head = head(&letter);
            assert_eq!((head.attempt, head.replays), (round, round - 1));
            assert_eq!(head.first_failed_at_ms, Some(NOW));
            given = replayed_headers(&letter.headers)
                .into_iter()
                .map(|(name, value)| (name, String::from_utf8(value).unwrap()))
                .collect();
            assert_eq!(given.len(), 4, "nothing is stacked");
        }
    }

    #[test]
    fn a_marker_is_read_as_it_was_written_and_tells_nothing_else() {
        let mark = ReplayMark { partition: 4, offset: 77 };
        let record = mark.record("reports", NOW);
        assert_eq!((&record.key, &record.payload, record.partition), (&None, &None, Some(4)));
        assert_eq!(
            DeadLetterRecord::read(&record.headers, false),
            DeadLetterRecord::Replayed(mark)
        );
        assert_eq!(DeadLetterRecord::read(&record.headers, true), DeadLetterRecord::Foreign);
        assert_eq!(DeadLetterRecord::read(&[], false), DeadLetterRecord::Foreign);
        for bad in ["", "4", "4:", "a:b", "4:77:1"] {
            let headers = [(REPLAYED_LETTER.to_owned(), bad.as_bytes().to_vec())];
            assert_eq!(DeadLetterRecord::read(&headers, false), DeadLetterRecord::Foreign, "{bad}");
        }
    }

    #[test]
    fn a_sender_cannot_forge_a_marker_or_a_place() {
        let forged = [
            (REPLAYED_LETTER, "3:0"),
            ("__connect.errors.topic", "elsewhere"),
            ("radstream.error.class", "none"),
        ];
        let letter = letter(ErrorHeaders::Spring, &forged);
        let head = head(&letter);
        assert_eq!(head.class, "syntax");
        assert_eq!(head.origin.unwrap().topic, "reports");
        assert!(letter.headers.iter().all(|(name, _)| name != REPLAYED_LETTER));
    }

    #[test]
    fn what_is_no_topic_is_no_place_to_write_to() {
        for bad in ["", "a b", "a/b", "\u{1b}[2J", &"x".repeat(250)] {
            assert!(!is_topic(bad), "{bad:?}");
        }
        assert!(is_topic("radiology.reports_2-x"));
    }
}
