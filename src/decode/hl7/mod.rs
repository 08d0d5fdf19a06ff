//! HL7 v2 messages → reports.
//!
//! `ORU^R01` and `MDM^Txx` are read; every other message is no report. A message is read as a stream
//! of segments with state, not by the standard's grammar: real feeds leave out, repeat and reorder
//! segments and put their own between them.

mod er7;
mod escape;
mod fields;
mod group;
mod identifier;
mod identifiers;
mod identity;
mod narrative;
mod report;

use std::borrow::Cow;

use self::fields::Fields;
use super::attachment::Pdfs;
use super::{
    DecodeOptions, Outcomes, Reading, RejectionClass, SourceProfile, charset, frame, note, time,
};
use crate::report::{Skip, Warning};

/// Most oddities that are told of one message is the number of warnings there are.
type Warnings = Vec<Warning>;

/// What MSH says of a message, and the settings that go with it.
struct Header<'m> {
    msh: Fields<'m>,
    /// `ORU`, `MDM`.
    kind: Cow<'m, str>,
    /// `R01`, `T02`; empty when not given.
    trigger: Cow<'m, str>,
    test_message: bool,
    /// MSH-7, milliseconds; 0 when not given.
    message_at_ms: i64,
    time_zone: &'m str,
    /// Character set it was read in.
    charset: &'static str,
    /// Reads attached PDF documents.
    pdfs: Pdfs,
    /// What is special about this sender.
    profile: Option<&'m SourceProfile>,
    /// Somebody asked how it is read.
    traced: bool,
    /// Oddities of the message as a whole.
    warnings: Warnings,
    /// Prefix of every place in it: empty, or `message[3]/`.
    place: String,
}

/// Reads a value that holds HL7 v2: one message, several, or a batch.
pub(super) fn decode(bytes: &[u8], options: &DecodeOptions, outcomes: &mut Outcomes) {
    let frame::Split { messages, miscounted } = frame::split(bytes);
    if messages.is_empty() {
        // Only batch headers: a batch of nothing.
        outcomes.skip(Skip::NonReport);
    }
    let several = messages.len() > 1;
    for (index, message) in messages.iter().enumerate() {
        if outcomes.is_full() {
            return;
        }
        let place = if several { format!("message[{}]/", index + 1) } else { String::new() };
        let before = outcomes.len();
        if let Err((class, location)) =
            decode_message(message, miscounted, &place, options, outcomes)
        {
            outcomes.reject(class, format!("{place}{location}"));
        }
        if outcomes.len() == before && !outcomes.is_full() {
            outcomes.skip(Skip::NonReport);
        }
    }
}

type Refused = (RejectionClass, String);

fn decode_message(
    message: &frame::Message<'_>,
    miscounted: bool,
    place: &str,
    options: &DecodeOptions,
    outcomes: &mut Outcomes,
) -> Result<(), Refused> {
    if message.cut {
        return Err((RejectionClass::Truncated, "payload".to_owned()));
    }
    let mut warnings = Warnings::new();
    if miscounted {
        note(&mut warnings, Warning::BatchCountMismatch);
    }
    if message.after_garbage {
        note(&mut warnings, Warning::LeadingGarbage);
    }
    // The header is ASCII in every character set that can carry HL7 v2.
    let head = first_line(message.bytes);
    let head =
        std::str::from_utf8(head).map_or_else(|_| String::from_utf8_lossy(head), Cow::Borrowed);
    let in_header = |class| (class, "MSH-2".to_owned());
    let (separators, _) = er7::delimiters(&head).map_err(in_header)?;
    let in_head = |field: usize| header_field(&head, separators.field, field);
    let profile = if options.profiles.is_empty() {
        None
    } else {
        let first = |field: usize| {
            let components = in_head(field).split(char::from(separators.component));
            components.map(str::trim).next().unwrap_or_default()
        };
        options.profiles.of_hl7(first(3), first(4))
    };
    outcomes.trace_message(|reading| {
        *reading = Reading {
            format: "hl7_v2",
            place: place.trim_end_matches('/').to_owned(),
            framing: if message.framed { "mllp" } else { "none" },
            profile: profile.map(|profile| profile.name.to_string()),
            ..Reading::default()
        };
    });
    let default_charset = profile.and_then(|profile| profile.default_charset.as_deref());
    let text = charset::decode(
        message.bytes,
        in_head(18),
        separators.repetition,
        default_charset.or(options.default_charset.as_deref()),
    )
    .ok_or_else(|| (RejectionClass::Charset, "MSH-18".to_owned()))?;
    if text.guessed {
        note(&mut warnings, Warning::CharsetGuessed);
    }
    let undoubled = er7::unescape_twice(&text.text);
    if undoubled.is_some() {
        note(&mut warnings, Warning::DoubleEscaped);
    }
    let content = undoubled.as_deref().unwrap_or(&text.text);
    let parsed = er7::parse(content, text.encoding).map_err(|class| match class {
        RejectionClass::Oversize => (class, "payload".to_owned()),
        class => in_header(class),
    })?;
    if parsed.nonstandard_terminator {
        note(&mut warnings, Warning::NonstandardTerminator);
    }
    let Some(msh) = parsed.segments.first().map(|segment| parsed.fields(segment)) else {
        return Err(in_header(RejectionClass::Syntax));
    };
    outcomes.identify(|| identifiers::of(&parsed));
    let (kind, trigger) = message_type(&msh);
    outcomes.trace_message(|reading| {
        reading.charset = text.encoding.name();
        reading.charset_by = text.by;
        reading.segments = parsed.names();
        if carries_reports(&kind, &trigger) {
            reading.message_type = type_name(&kind, &trigger);
        }
    });
    if kind.is_empty() {
        // A header that stops before MSH-9 was cut; one without it is wrong.
        let class = if msh.last() < 9 { RejectionClass::Truncated } else { RejectionClass::Syntax };
        return Err((class, "MSH-9".to_owned()));
    }
    if !carries_reports(&kind, &trigger) {
        outcomes.skip(Skip::NonReport);
        return Ok(());
    }
    let processing = msh.value(11, 1);
    let test_message = ["T", "D"].iter().any(|test| processing.eq_ignore_ascii_case(test));
    if test_message && !options.accept_test_messages {
        outcomes.skip(Skip::Test);
        return Ok(());
    }
    let time_zone =
        profile.and_then(|profile| profile.time_zone.as_deref()).unwrap_or(&options.time_zone);
    let message_at = time::parse(&msh.value(7, 1), time_zone);
    if message_at == time::Time::Bad {
        note(&mut warnings, Warning::BadTimestamp);
    }
    let header = Header {
        kind,
        trigger,
        test_message,
        message_at_ms: if let time::Time::At(ms) = message_at { ms } else { 0 },
        time_zone,
        charset: text.name(),
        pdfs: outcomes.pdfs.clone(),
        profile,
        traced: outcomes.is_traced(),
        warnings,
        place: place.to_owned(),
        msh,
    };
    let local = profile.and_then(|p| p.accession.as_ref()).filter(|path| path.is_local());
    let body = group::read(&parsed, local.map(|path| &path.segment));
    if header.kind == "MDM" {
        report::document(&header, &body, outcomes);
    } else {
        report::results(&header, &body, outcomes);
    }
    Ok(())
}

/// MSH-9: message code and trigger event, from the components or from the structure (`ORU_R01`).
fn message_type<'m>(msh: &Fields<'m>) -> (Cow<'m, str>, Cow<'m, str>) {
    let upper = |value: Cow<'m, str>| match value.bytes().any(|byte| byte.is_ascii_lowercase()) {
        true => Cow::Owned(value.to_ascii_uppercase()),
        false => value,
    };
    let [kind, trigger, structure] = msh.parse(9).values().map(upper);
    let whole = if kind.is_empty() { structure } else { kind };
    let parts = whole.split_once('_').map(|(code, event)| (code.to_owned(), event.to_owned()));
    match parts {
        Some((code, event)) if trigger.is_empty() => (code.into(), event.into()),
        Some((code, _)) => (code.into(), trigger),
        None => (whole, trigger),
    }
}

/// `ORU^R01`.
fn type_name(kind: &str, trigger: &str) -> String {
    if trigger.is_empty() { kind.to_owned() } else { [kind, "^", trigger].concat() }
}

fn carries_reports(kind: &str, trigger: &str) -> bool {
    match kind {
        "ORU" => matches!(trigger, "R01" | ""),
        "MDM" => trigger.is_empty() || (trigger.len() == 3 && trigger.starts_with('T')),
        _ => false,
    }
}

/// A field of MSH, from 3, before the message is cut.
fn header_field(head: &str, separator: u8, field: usize) -> &str {
    let mut separators = memchr::memchr_iter(separator, head.as_bytes());
    // The separator itself is MSH-1.
    let start = separators.nth(field.saturating_sub(2)).map(|at| at + 1);
    let end = separators.next().unwrap_or(head.len());
    start.and_then(|start| head.get(start..end)).unwrap_or_default()
}

fn first_line(bytes: &[u8]) -> &[u8] {
    let end = memchr::memchr2(b'\r', b'\n', bytes).unwrap_or(bytes.len());
    bytes.get(..end).unwrap_or_default()
}
