//! Finds the HL7 v2 messages in a value: MLLP frames, batches, many messages in a row, log text
//! before the first one.

use memchr::memmem;

/// MLLP start of block.
const START: u8 = 0x0b;
/// MLLP end of block; a carriage return follows it.
const END: u8 = 0x1c;

/// One message as found, from its `MSH` on, framing bytes removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Message<'p> {
    pub(super) bytes: &'p [u8],
    /// Bytes that belong to no message stood before it.
    pub(super) after_garbage: bool,
    /// It stood in an MLLP block.
    pub(super) framed: bool,
    /// An MLLP block was begun and neither it nor the last segment was ended: part is missing.
    pub(super) cut: bool,
}

/// Whether a message or a batch header can be found.
pub(super) fn holds_message(bytes: &[u8]) -> bool {
    let mut lines = LineStarts::new(bytes);
    lines.any(|at| !matches!(kind_of_line(bytes, at), Line::Other)) || stray_start(bytes).is_some()
}

/// The messages of a value.
pub(super) struct Split<'p> {
    pub(super) messages: Vec<Message<'p>>,
    /// A trailer of a batch counts other than what came before it, see [`is_miscounted`].
    pub(super) miscounted: bool,
}

/// Splits a value into its messages. Batch headers and trailers are not messages.
pub(super) fn split(bytes: &[u8]) -> Split<'_> {
    let mut splitter = Splitter { bytes, messages: Vec::new(), open: None, garbage: false };
    let mut trailer = false;
    let mut blank_from = 0;
    for at in LineStarts::new(bytes) {
        trailer |= matches!(bytes.get(at), Some(b'B' | b'F'))
            && bytes.get(at + 1..).is_some_and(|rest| rest.starts_with(b"TS"));
        match kind_of_line(bytes, at) {
            Line::Message => {
                splitter.close(at);
                splitter.see_garbage(blank_from, at);
                splitter.open = Some(Open { at, framed: at > 0 && byte(bytes, at - 1) == START });
            }
            Line::Batch | Line::EndOfBlock => {
                splitter.close(at);
                splitter.see_garbage(blank_from, at);
            }
            Line::Other if splitter.open.is_some() => continue,
            Line::Other => {
                splitter.see_garbage(blank_from, at);
                blank_from = at;
                continue;
            }
        }
        blank_from = bytes.len().min(end_of_line(bytes, at));
    }
    splitter.close(bytes.len());
    if splitter.messages.is_empty() {
        // Log text and message on one line, without a start of block between them.
        if let Some(at) = stray_start(bytes) {
            splitter.garbage = true;
            splitter.open = Some(Open { at, framed: false });
            splitter.close(bytes.len());
        }
    }
    // Most values are one message without a trailer.
    Split { messages: splitter.messages, miscounted: trailer && is_miscounted(bytes) }
}

/// Whether a trailer of a batch (BTS-1 messages, FTS-1 batches) counts other than what came before it.
/// Trailers without a number count nothing.
fn is_miscounted(bytes: &[u8]) -> bool {
    let (mut messages, mut batches) = (0_u64, 0_u64);
    for at in LineStarts::new(bytes) {
        let Some([name @ .., separator]) = bytes.get(at..at + 4) else { continue };
        let says = |count: u64| {
            let field = bytes.get(at + 4..).unwrap_or_default();
            let digits: &[u8] = field
                .split(|b| !b.is_ascii_digit())
                .next()
                .filter(|d| d.len() < 10)
                .unwrap_or_default();
            std::str::from_utf8(digits)
                .ok()
                .and_then(|d| d.parse().ok())
                .is_none_or(|said: u64| said == count)
        };
        if !separator.is_ascii_punctuation() {
            continue;
        }
        match name {
            b"MSH" => messages += 1,
            b"BHS" => messages = 0,
            b"BTS" => {
                if !says(messages) {
                    return true;
                }
                (messages, batches) = (0, batches + 1);
            }
            b"FTS" => {
                if !says(batches) {
                    return true;
                }
                batches = 0;
            }
            _ => {}
        }
    }
    false
}

struct Open {
    at: usize,
    framed: bool,
}

struct Splitter<'p> {
    bytes: &'p [u8],
    messages: Vec<Message<'p>>,
    open: Option<Open>,
    garbage: bool,
}

impl Splitter<'_> {
    fn close(&mut self, end: usize) {
        let Some(open) = self.open.take() else { return };
        let whole = self.bytes.get(open.at..end).unwrap_or_default();
        let block_end = end_of_block(whole);
        let mut bytes = block_end.map_or(whole, |length| whole.get(..length).unwrap_or(whole));
        // Framing bytes of a neighbour, padding and end-of-file marks are not data.
        while let [head @ .., START | END | 0 | 0x1a] = bytes {
            bytes = head;
        }
        let cut =
            open.framed && block_end.is_none() && !matches!(bytes.last(), Some(b'\r' | b'\n'));
        self.messages.push(Message {
            bytes,
            after_garbage: std::mem::take(&mut self.garbage),
            framed: open.framed,
            cut,
        });
    }

    fn see_garbage(&mut self, from: usize, to: usize) {
        let between = self.bytes.get(from..to).unwrap_or_default();
        self.garbage |= between
            .iter()
            .any(|b| !b.is_ascii_whitespace() && !matches!(*b, START | END | 0 | 0x1a));
    }
}

enum Line {
    Message,
    Batch,
    /// A log viewer's rendering of the end of a block.
    EndOfBlock,
    Other,
}

fn kind_of_line(bytes: &[u8], at: usize) -> Line {
    let rest = bytes.get(at..).unwrap_or_default();
    let [a, b, c, separator, next, ..] = rest else { return Line::Other };
    // Most lines are told by their first byte.
    if !matches!(*a, b'M' | b'm' | b'F' | b'f' | b'B' | b'b' | b'<') {
        return Line::Other;
    }
    if [*a, *b, *c, *separator] == *b"<EB>" {
        return Line::EndOfBlock;
    }
    let separates =
        *separator == b'|' || (separator.is_ascii_punctuation() && next.is_ascii_punctuation());
    if !separates {
        return Line::Other;
    }
    match [*a, *b, *c].map(|byte| byte.to_ascii_uppercase()).as_slice() {
        b"MSH" => Line::Message,
        b"FHS" | b"BHS" | b"BTS" | b"FTS" => Line::Batch,
        _ => Line::Other,
    }
}

/// A message header in the middle of a line, with the usual delimiters.
fn stray_start(bytes: &[u8]) -> Option<usize> {
    memmem::find(bytes, b"MSH|^~\\&")
}

/// Length of a message up to the end of its block, if the block is ended.
fn end_of_block(message: &[u8]) -> Option<usize> {
    memchr::memchr_iter(END, message)
        .find(|at| matches!(message.get(at + 1), None | Some(b'\r' | b'\n' | &START | &END | 0)))
}

fn end_of_line(bytes: &[u8], from: usize) -> usize {
    let rest = bytes.get(from..).unwrap_or_default();
    memchr::memchr2(b'\r', b'\n', rest).map_or(bytes.len(), |at| from + at)
}

fn byte(bytes: &[u8], at: usize) -> u8 {
    bytes.get(at).copied().unwrap_or_default()
}

/// Places where a line may begin: the start, and after CR, LF and MLLP's start of block.
struct LineStarts<'p> {
    bytes: &'p [u8],
    next: Option<usize>,
}

impl<'p> LineStarts<'p> {
    const fn new(bytes: &'p [u8]) -> Self {
        Self { bytes, next: Some(0) }
    }
}

impl Iterator for LineStarts<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let at = self.next?;
        let rest = self.bytes.get(at..).unwrap_or_default();
        self.next = memchr::memchr3(b'\r', b'\n', START, rest).map(|found| at + found + 1);
        Some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(bytes: &[u8]) -> Vec<String> {
        split(bytes)
            .messages
            .iter()
            .map(|m| String::from_utf8_lossy(m.bytes).into_owned())
            .collect()
    }

    #[test]
    fn framing_bytes_are_not_part_of_a_message() {
        assert_eq!(texts(b"\x0bMSH|^~\\&|A\rPID|1\r\x1c\r\n"), ["MSH|^~\\&|A\rPID|1\r"]);
    }

    #[test]
    fn two_frames_are_two_messages() {
        let value = b"\x0bMSH|^~\\&|A\r\x1c\r\x0bMSH|^~\\&|B\r\x1c\r";
        assert_eq!(texts(value), ["MSH|^~\\&|A\r", "MSH|^~\\&|B\r"]);
    }

    #[test]
    fn batch_headers_part_messages_and_are_dropped() {
        let value = b"FHS|^~\\&\rBHS|^~\\&\rMSH|^~\\&|A\rMSH|^~\\&|B\rBTS|2\rFTS|1\r";
        assert_eq!(texts(value), ["MSH|^~\\&|A\r", "MSH|^~\\&|B\r"]);
        assert!(split(value).messages.iter().all(|m| !m.after_garbage));
    }

    #[test]
    fn trailers_that_miscount_are_noticed_and_empty_ones_count_nothing() {
        let batch = |bts: &str, fts: &str| {
            format!(
                "FHS|^~\\&\rBHS|^~\\&\rMSH|^~\\&|A\rMSH|^~\\&|B\rBTS|{bts}\rBHS|^~\\&\rMSH|^~\\&|C\rBTS|1\rFTS|{fts}\r"
            )
        };
        for (bts, fts, wrong) in [
            ("2", "2", false),
            ("", "", false),
            ("2|done", "2^x", false),
            ("3", "2", true),
            ("2", "1", true),
            ("0", "", true),
        ] {
            assert_eq!(is_miscounted(batch(bts, fts).as_bytes()), wrong, "{bts} {fts}");
        }
        // No batch headers: the trailer counts what came before it.
        assert!(!is_miscounted(b"MSH|^~\\&|A\rMSH|^~\\&|B\rBTS|2\r"));
        assert!(!is_miscounted(b"MSH|^~\\&|A\rOBX|1|TX|||BTS|7\r"));
    }

    #[test]
    fn text_before_the_first_message_is_dropped_and_noted() {
        for value in [
            &b"2026-01-01 INFO got\n\x0bMSH|^~\\&|A\r\x1c\r"[..],
            b"2026-01-01 INFO got \x0bMSH|^~\\&|A\r\x1c\r",
            b"2026-01-01 INFO got: MSH|^~\\&|A\r",
        ] {
            let found = split(value).messages;
            assert_eq!(found.len(), 1);
            assert!(found[0].after_garbage);
            assert!(found[0].bytes.starts_with(b"MSH|^~\\&|A"));
        }
    }

    #[test]
    fn a_begun_block_that_stops_inside_a_segment_is_cut() {
        let cut = |value| split(value).messages[0].cut;
        assert!(cut(b"\x0bMSH|^~\\&|A\rPID|1|2"));
        assert!(!cut(b"\x0bMSH|^~\\&|A\rPID|1|2\r"));
        assert!(!cut(b"MSH|^~\\&|A\rPID|1|2"));
    }

    #[test]
    fn prose_about_segments_is_no_message() {
        assert!(!holds_message(b"MSH-9 is missing\nMSH was empty"));
        assert!(holds_message(b"msh|^~\\&|a"));
        assert!(holds_message(b"MSH](^~\\&]a"));
    }
}
