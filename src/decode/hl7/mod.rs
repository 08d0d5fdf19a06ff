//! HL7 v2 messages → reports.
//!
//! `ORU^R01` and `MDM^Txx` are read; every other message is no report. A message is read as a stream
//! of segments with state, not by the standard's grammar: real feeds leave out, repeat and reorder
//! segments and put their own between them.

mod er7;
mod escape;
mod fields;
mod group;
mod identity;
mod narrative;
mod report;

use self::fields::Fields;
use super::attachment::Pdfs;
use super::{DecodeOptions, Outcomes, RejectionClass, charset, frame, note, time};
use crate::report::{Skip, Warning};

/// Most oddities that are told of one message is the number of warnings there are.
type Warnings = Vec<Warning>;

/// What MSH says of a message, and the settings that go with it.
struct Header<'m> {
    msh: Fields<'m>,
    /// `ORU`, `MDM`.
    kind: String,
    /// `R01`, `T02`; empty when not given.
    trigger: String,
    test_message: bool,
    /// MSH-7, milliseconds; 0 when not given.
    message_at_ms: i64,
    time_zone: &'m str,
    /// Character set it was read in.
    charset: &'static str,
    /// Reads attached PDF documents.
    pdfs: Pdfs,
    /// Oddities of the message as a whole.
    warnings: Warnings,
    /// Prefix of every place in it: empty, or `message[3]/`.
    place: String,
}

/// Reads a value that holds HL7 v2: one message, several, or a batch.
pub(super) fn decode(bytes: &[u8], options: &DecodeOptions, outcomes: &mut Outcomes) {
    let messages = frame::split(bytes);
    if messages.is_empty() {
        // Only batch headers: a batch of nothing.
        outcomes.skip(Skip::NonReport);
    }
    let several = messages.len() > 1;
    let miscounted = frame::is_miscounted(bytes);
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
    let head = std::str::from_utf8(head)
        .map_or_else(|_| String::from_utf8_lossy(head), std::borrow::Cow::Borrowed);
    let in_header = |class| (class, "MSH-2".to_owned());
    let (separators, _) = er7::delimiters(&head).map_err(in_header)?;
    let declared = charset_of(&head, separators.field);
    let text = charset::decode(
        message.bytes,
        declared,
        separators.repetition,
        options.default_charset.as_deref(),
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
    let (kind, trigger) = message_type(&msh);
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
    let message_at = time::parse(&msh.value(7, 1), &options.time_zone);
    if message_at == time::Time::Bad {
        note(&mut warnings, Warning::BadTimestamp);
    }
    let header = Header {
        kind,
        trigger,
        test_message,
        message_at_ms: if let time::Time::At(ms) = message_at { ms } else { 0 },
        time_zone: &options.time_zone,
        charset: text.name(),
        pdfs: outcomes.pdfs.clone(),
        warnings,
        place: place.to_owned(),
        msh,
    };
    let body = group::read(&parsed);
    if header.kind == "MDM" {
        report::document(&header, &body, outcomes);
    } else {
        report::results(&header, &body, outcomes);
    }
    Ok(())
}

/// MSH-9: message code and trigger event, from the components or from the structure (`ORU_R01`).
fn message_type(msh: &Fields<'_>) -> (String, String) {
    let mut kind = msh.value(9, 1).to_ascii_uppercase();
    let mut trigger = msh.value(9, 2).to_ascii_uppercase();
    let structure = msh.value(9, 3).to_ascii_uppercase();
    let whole = if kind.is_empty() { structure } else { kind.clone() };
    if let Some((code, event)) = whole.split_once('_') {
        if trigger.is_empty() {
            event.clone_into(&mut trigger);
        }
        kind = code.to_owned();
    } else if kind.is_empty() {
        kind = whole;
    }
    (kind, trigger)
}

fn carries_reports(kind: &str, trigger: &str) -> bool {
    match kind {
        "ORU" => matches!(trigger, "R01" | ""),
        "MDM" => trigger.is_empty() || (trigger.len() == 3 && trigger.starts_with('T')),
        _ => false,
    }
}

/// MSH-18, before the message is cut.
fn charset_of(head: &str, separator: u8) -> &str {
    let mut separators = memchr::memchr_iter(separator, head.as_bytes());
    // The separator itself is MSH-1.
    let start = separators.nth(16).map(|at| at + 1);
    let end = separators.next().unwrap_or(head.len());
    start.and_then(|start| head.get(start..end)).unwrap_or_default()
}

fn first_line(bytes: &[u8]) -> &[u8] {
    let end = memchr::memchr2(b'\r', b'\n', bytes).unwrap_or(bytes.len());
    bytes.get(..end).unwrap_or_default()
}
