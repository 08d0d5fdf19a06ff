use super::*;
use encoding_rs::UTF_8;

fn names(text: &str) -> Vec<String> {
    let message = parse(text, UTF_8).expect("parses");
    message.segments.iter().map(|s| s.name().to_owned()).collect()
}

#[test]
fn every_terminator_gives_the_same_segments() {
    for end in ["\r", "\n", "\r\n"] {
        let text = ["MSH|^~\\&|A", "PID|1", "", "OBX|1", "ZPF|1"].join(end);
        assert_eq!(names(&text), ["MSH", "PID", "OBX", "ZPF"], "{end:?}");
    }
}

#[test]
fn a_line_feed_inside_a_value_begins_no_segment() {
    let text = "MSH|^~\\&|A\rOBX|1|TX|||line one\nABC|no segment\nline three||||||F\rOBX|2";
    let message = parse(text, UTF_8).expect("parses");
    let fields = message.fields(&message.segments[1]);
    assert_eq!(message.segments.len(), 3);
    assert!(fields.raw(5).starts_with("line one\nABC"));
}

#[test]
fn a_line_that_is_no_segment_continues_the_field_before_it() {
    let text = "MSH|^~\\&|A\nOBX|1|TX|||line one\nline two\n\nEND\nline three\nOBX|2|TX|||x";
    let message = parse(text, UTF_8).expect("parses");
    assert!(message.nonstandard_terminator);
    assert_eq!(
        message.fields(&message.segments[1]).raw(5),
        "line one\nline two\n\nEND\nline three"
    );
}

#[test]
fn delimiters_come_from_the_header() {
    let (separators, truncation) = delimiters("MSH](^~\\&]x").expect("usable");
    assert_eq!((separators.field, separators.component, separators.repetition), (b']', b'(', b'^'));
    assert_eq!((separators.escape, separators.subcomponent, truncation), (b'~', b'\\', '&'));
    let message = parse("MSH|^~\\&#|APP|FAC|||||ORU^R01\rpid|1", UTF_8).expect("parses");
    let header = message.fields(&message.segments[0]);
    assert_eq!((header.raw(3), &*header.value(9, 2)), ("APP", "R01"));
    assert_eq!(message.segments[1].name(), "PID");
}

#[test]
fn unusable_delimiters_are_a_syntax_error() {
    for header in ["MSH|ABCD|x", "MSH|^^^^|x", "MSH||x|y"] {
        let refused = delimiters(header);
        assert!(header == "MSH||x|y" || refused == Err(RejectionClass::Syntax), "{header}");
    }
}
