//! Kafka headers of what we publish: CloudEvents 1.0 in binary mode, the schema's name, and the
//! trace context of the input record.
//!
//! `ce_subject` is left out on purpose. The subject of a finding is a report, whose name identifies
//! a patient; headers end up in traces and logs, and an unkeyed hash of an accession number is
//! found by trying all numbers. The report key is the Kafka key, and it is in the value.

use jiff::Timestamp;
use uuid::Uuid;

use super::{Contract, PublishedVersion};

/// Name of the header that names the schema of the value.
pub const SCHEMA_HEADER: &str = "radstream.schema";

/// Name of the header that says which version of a report a record is about, of a marker as of a sample:
/// `changed_at/rank/message_at` of [`PublishedVersion`].
pub const VERSION_HEADER: &str = "radstream.report.version";

/// Name of the header that says how often an escalation was put off, from 1.
pub const RETRY_ATTEMPT_HEADER: &str = "radstream.retry.attempt";

/// Name of the header that says when it may be tried again: milliseconds since 1970-01-01 UTC.
pub const RETRY_NOT_BEFORE_HEADER: &str = "radstream.retry.not_before";

/// Longest `tracestate` that is passed on: what the W3C recommendation asks for at least.
const MAX_TRACESTATE: usize = 512;

/// A list of headers as Kafka has them.
pub(super) type Headers = Vec<(String, Vec<u8>)>;

/// What the headers of one event say.
pub(super) struct EventHeaders<'a> {
    pub(super) id: &'a Uuid,
    /// `ce_source`: with the id it is unique, as CloudEvents asks.
    pub(super) origin: &'a str,
    pub(super) event_type: &'a str,
    pub(super) contract: Contract,
    pub(super) now_ms: i64,
}

impl EventHeaders<'_> {
    pub(super) fn build(&self, input: &[(String, Vec<u8>)]) -> Headers {
        let mut headers = Vec::with_capacity(9);
        push(&mut headers, "content-type", "application/avro");
        push(&mut headers, "ce_specversion", "1.0");
        push(&mut headers, "ce_id", &self.id.to_string());
        push(&mut headers, "ce_source", self.origin);
        push(&mut headers, "ce_type", self.event_type);
        if let Some(time) = rfc3339(self.now_ms) {
            push(&mut headers, "ce_time", &time);
        }
        push(&mut headers, SCHEMA_HEADER, self.contract.name());
        pass_trace_context(input, &mut headers);
        headers
    }
}

/// Adds [`VERSION_HEADER`].
pub(super) fn push_version(headers: &mut Headers, version: PublishedVersion) {
    let PublishedVersion { changed_at, rank, message_at } = version;
    push(headers, VERSION_HEADER, &format!("{changed_at}/{rank}/{message_at}"));
}

/// The version of a report that a record names in its [`VERSION_HEADER`].
pub fn version_of(headers: &[(String, Vec<u8>)]) -> Option<PublishedVersion> {
    let text = std::str::from_utf8(find(headers, VERSION_HEADER)?).ok()?;
    let mut parts = text.split('/');
    let version = PublishedVersion {
        changed_at: parts.next()?.parse().ok()?,
        rank: parts.next()?.parse().ok()?,
        message_at: parts.next()?.parse().ok()?,
    };
    parts.next().is_none().then_some(version)
}

pub(super) fn push(headers: &mut Headers, name: &str, value: &str) {
    headers.push((name.to_owned(), value.as_bytes().to_vec()));
}

/// RFC 3339 in UTC; `None` outside the years that it can write.
pub(super) fn rfc3339(ms: i64) -> Option<String> {
    Timestamp::from_millisecond(ms).ok().map(|time| time.to_string())
}

/// The first header of that name.
pub(super) fn find<'a>(headers: &'a [(String, Vec<u8>)], name: &str) -> Option<&'a [u8]> {
    headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_slice())
}

/// Passes `traceparent` on if it is valid, and `tracestate` with it.
pub(super) fn pass_trace_context(input: &[(String, Vec<u8>)], headers: &mut Headers) {
    let Some(parent) = find(input, "traceparent").filter(|value| is_traceparent(value)) else {
        return;
    };
    headers.push(("traceparent".to_owned(), parent.to_vec()));
    let is_printable = |value: &&[u8]| {
        (1..=MAX_TRACESTATE).contains(&value.len())
            && value.iter().all(|b| matches!(b, b' '..=b'~'))
    };
    if let Some(state) = find(input, "tracestate").filter(is_printable) {
        headers.push(("tracestate".to_owned(), state.to_vec()));
    }
}

/// W3C Trace Context: `version-traceid-parentid-flags` in lower-case hexadecimal, ids not all zero,
/// version not `ff`. Versions after 00 may have more, after a further dash.
fn is_traceparent(value: &[u8]) -> bool {
    let hex = |part: &[u8], length: usize| {
        part.len() == length && part.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let mut parts = value.split(|b| *b == b'-');
    let (Some(version), Some(trace), Some(parent), Some(flags)) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    hex(version, 2)
        && version != b"ff"
        && hex(trace, 32)
        && trace.iter().any(|b| *b != b'0')
        && hex(parent, 16)
        && parent.iter().any(|b| *b != b'0')
        && hex(flags, 2)
        && (parts.next().is_none() || version != b"00")
        && value.len() <= 128
        && value.iter().all(|b| matches!(b, b' '..=b'~'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn only_valid_trace_parents_are_passed_on() {
        assert!(is_traceparent(PARENT.as_bytes()));
        assert!(is_traceparent(
            format!("01{}-extra", PARENT.strip_prefix("00").unwrap()).as_bytes()
        ));
        for bad in [
            "",
            "00",
            "DOE^JANE",
            &PARENT.to_uppercase(),
            &format!("{PARENT}-extra"),
            &format!("{PARENT} "),
            &format!("ff{}", PARENT.strip_prefix("00").unwrap()),
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
        ] {
            assert!(!is_traceparent(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn trace_state_follows_only_a_valid_parent_and_must_be_printable() {
        let given = |parent: &str, state: &[u8]| {
            let input = [
                ("traceparent".to_owned(), parent.as_bytes().to_vec()),
                ("tracestate".to_owned(), state.to_vec()),
            ];
            let mut headers = Vec::new();
            pass_trace_context(&input, &mut headers);
            headers.into_iter().map(|(name, _)| name).collect::<Vec<_>>()
        };
        assert_eq!(given(PARENT, b"congo=t61"), ["traceparent", "tracestate"]);
        assert_eq!(given(PARENT, b"a=\xff"), ["traceparent"]);
        assert_eq!(given(PARENT, &[b'a'; 513]), ["traceparent"]);
        assert_eq!(given("nonsense", b"congo=t61"), [""; 0]);
    }

    #[test]
    fn a_version_is_read_as_it_is_written_and_nothing_else_is() {
        let version = PublishedVersion { changed_at: -5, rank: 3, message_at: 7 };
        let mut headers = Vec::new();
        push_version(&mut headers, version);
        assert_eq!(version_of(&headers), Some(version));
        for bad in ["", "1/2", "1/2/3/4", "a/2/3", "1/99999999999/3"] {
            let headers = [(VERSION_HEADER.to_owned(), bad.as_bytes().to_vec())];
            assert_eq!(version_of(&headers), None, "{bad}");
        }
        assert_eq!(version_of(&[]), None);
    }

    #[test]
    fn times_are_written_in_utc() {
        assert_eq!(rfc3339(1_717_243_200_123).as_deref(), Some("2024-06-01T12:00:00.123Z"));
        assert_eq!(rfc3339(i64::MAX), None);
    }
}
