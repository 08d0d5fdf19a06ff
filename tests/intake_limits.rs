//! Hostile and very large payloads: time and memory are bounded, and what is refused is a dead letter
//! that says why.
//!
//! Memory is counted by a counting allocator. Work is judged by what it allocates at two sizes; a
//! reading that does not end in [`PATIENCE`] is a hang, and no measure of speed.

mod intake_support;

use std::sync::mpsc;
use std::time::Duration;

use allocation_counter::{AllocationInfo, measure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use intake_support::Message;
use radstream::decode::{DecodeOptions, Decoded, RejectionClass, decode};
use radstream::extract::{ExtractPolicy, Extracted, extract};
use radstream::report::{Intent, Report, Skip};

const MIB: usize = 1024 * 1024;

/// Most memory at one time, as a multiple of the payload.
const MOST_TIMES: u64 = 20;

/// The same for a payload that is compressed as a whole: it may grow a hundredfold, in a buffer that
/// doubles.
const MOST_TIMES_COMPRESSED: u64 = 200;

/// What is allowed besides, bytes: a small payload needs some.
const ALWAYS: u64 = MIB as u64;

/// A reading that takes longer hangs: it is quadratic in tens of megabytes.
const PATIENCE: Duration = Duration::from_secs(120);

/// What became of a payload, and what it cost.
struct Read {
    outcomes: Vec<Outcome>,
    cost: AllocationInfo,
}

#[derive(Debug)]
enum Outcome {
    /// Characters that are labelled.
    Labelled(usize),
    Skipped(Skip),
    Rejected(RejectionClass),
    /// Retracted or promoted.
    Other,
}

impl Read {
    fn only(&self) -> &Outcome {
        let [outcome] = &self.outcomes[..] else { panic!("{} outcomes", self.outcomes.len()) };
        outcome
    }
}

/// Reads a payload under the greatest limit that can be configured.
fn read(payload: Vec<u8>) -> Read {
    read_with(payload, options())
}

fn options() -> DecodeOptions {
    DecodeOptions { max_payload_bytes: 64 * MIB, ..DecodeOptions::default() }
}

/// Reads a payload, and holds memory and time.
fn read_with(payload: Vec<u8>, options: DecodeOptions) -> Read {
    read_within(payload, options, MOST_TIMES)
}

/// Reads a payload in at most so many times its length of memory, and holds time.
fn read_within(payload: Vec<u8>, options: DecodeOptions, times: u64) -> Read {
    let length = payload.len() as u64;
    let (sender, receiver) = mpsc::sync_channel(1);
    std::thread::spawn(move || {
        let mut outcomes = Vec::new();
        let cost = measure(|| {
            for decoded in decode(&payload, &options) {
                outcomes.push(outcome(decoded));
            }
        });
        // The receiver is gone only when the test has failed already.
        drop(sender.send(Read { outcomes, cost }));
    });
    let read = receiver.recv_timeout(PATIENCE).expect("a payload that is read in bounded time");
    assert!(!read.outcomes.is_empty());
    let most = length * times + ALWAYS;
    let peak = read.cost.bytes_max;
    assert!(peak <= most, "{length} bytes took {peak}: {} times", peak / length.max(1));
    read
}

fn outcome(decoded: Decoded) -> Outcome {
    let mut report: Report = match decoded {
        Decoded::Rejected(rejection) => return Outcome::Rejected(rejection.class),
        Decoded::Skipped(skip) => return Outcome::Skipped(skip),
        Decoded::Report(report) => *report,
    };
    if report.intent != Intent::Label {
        return Outcome::Other;
    }
    match extract(&mut report, &ExtractPolicy::default()) {
        Extracted::Text(text) => Outcome::Labelled(text.model_input().expose().chars().count()),
        Extracted::Skipped(skip) => Outcome::Skipped(skip),
    }
}

/// Holds that four times the payload allocates at most about four times as much, in number and bytes.
fn grows_in_step(make: impl Fn(usize) -> Vec<u8>, size: usize) {
    let (small, large) = (read(make(size)).cost, read(make(4 * size)).cost);
    let within = |small: u64, large: u64| large <= 5 * small + 1000;
    assert!(
        within(small.count_total, large.count_total),
        "{} allocations, then {}",
        small.count_total,
        large.count_total
    );
    assert!(
        within(small.bytes_total, large.bytes_total),
        "{} bytes allocated, then {}",
        small.bytes_total,
        large.bytes_total
    );
}

fn rejected(payload: Vec<u8>, class: RejectionClass) {
    let read = read(payload);
    assert!(
        matches!(read.only(), Outcome::Rejected(found) if *found == class),
        "{:?} instead of {class:?}",
        read.only()
    );
}

/// A message with this many lines of text, `repeat` words each.
fn lines(count: usize, repeat: usize) -> Vec<u8> {
    let mut text = Message::with_obx(&[]).text();
    for line in 1..=count {
        text.push_str("OBX|");
        text.push_str(&line.to_string());
        text.push_str("|TX|||");
        text.push_str(&"No effusion. ".repeat(repeat));
        text.push_str("||||||F\r");
    }
    text.into_bytes()
}

/// A message with one line.
fn line(value: &str) -> Vec<u8> {
    Message::with_obx(&[&format!("OBX|1|TX|||{value}||||||F")]).text().into_bytes()
}

/// A message with one document.
fn document(bytes: &[u8]) -> Vec<u8> {
    let data = STANDARD.encode(bytes);
    Message::with_obx(&[&format!("OBX|1|ED|||^^^Base64^{data}||||||F")]).text().into_bytes()
}

/// A report with a document.
fn presented(bytes: &[u8]) -> Vec<u8> {
    let data = STANDARD.encode(bytes);
    format!(
        r#"{{"resourceType":"DiagnosticReport","id":"1","status":"final","code":{{"text":"XR CHEST"}},
           "presentedForm":[{{"data":"{data}"}}]}}"#
    )
    .into_bytes()
}

fn both_documents(bytes: &[u8]) -> [Vec<u8>; 2] {
    [document(bytes), presented(bytes)]
}

#[test]
fn a_message_of_50_mb_is_refused_unless_the_limit_is_raised() {
    let payload = lines(50_000, 80);
    assert!(payload.len() > 50_000_000, "{}", payload.len());
    let refused = read_with(payload.clone(), DecodeOptions::default());
    assert!(matches!(refused.only(), Outcome::Rejected(RejectionClass::Oversize)));
    assert!(refused.cost.bytes_total < 10_000, "a refused payload is not read");
    assert!(matches!(read(payload).only(), Outcome::Labelled(n) if *n > 45_000_000));
}

#[test]
fn a_message_of_100_000_obx_is_read_whole() {
    let read = read(lines(100_000, 1));
    // Every line is there, and its line break.
    assert!(
        matches!(read.only(), Outcome::Labelled(n) if *n == 100_000 * 13 - 1),
        "{:?}",
        read.only()
    );
    grows_in_step(|count| lines(count, 1), 10_000);
}

#[test]
fn a_message_of_a_million_segments_is_a_dead_letter() {
    rejected(lines(1_000_000, 0), RejectionClass::Oversize);
    let mut zed = Message::chest().text().into_bytes();
    zed.extend(b"ZZZ|\r".repeat(1_000_000));
    rejected(zed, RejectionClass::Oversize);
}

#[test]
fn a_line_of_a_megabyte_is_read_whatever_it_is_made_of() {
    let words = read(line(&"No effusion ".repeat(MIB / 12)));
    assert!(matches!(words.only(), Outcome::Labelled(n) if *n > MIB - 20));
    for piece in [
        "a",
        " ",
        "|",
        "~",
        "^",
        "&",
        "\\",
        "\\.br\\",
        "\\.sp40\\",
        "\\E\\",
        "\\X41\\",
        "\\F\\",
        "\n",
        ".",
        ":",
        "A:",
        "1. ",
        "FINDINGS:",
        "IMPRESSION: ",
        "ADDENDUM: x. ",
        "<",
        "<p>",
        "<!--",
        "&#",
        "&lt;",
        "_",
        "é",
        "{\\rtf1 ",
        "\\Z",
        "^\\.br\\",
        "\n\n\n",
        "a.\n",
        "- ",
        "\t",
        "\u{b}",
    ] {
        eprintln!("{piece:?}");
        let whole = read(line(&piece.repeat(MIB / piece.len())));
        assert!(whole.outcomes.len() == 1, "{piece:?}");
    }
    let header = format!("MSH|^~\\&|{}\r", "A^B&C~".repeat(MIB / 6));
    read(header.into_bytes());
    for field in ["|", "^", "&", "~"] {
        let obr = format!("PID|1{0}\rORC|RE{0}\rOBR|1|2|3{0}\r", field.repeat(MIB / 3));
        read(line("Clear lungs.").into_iter().chain(obr.into_bytes()).collect());
    }
}

#[test]
fn lines_of_a_megabyte_grow_in_step() {
    for piece in ["~a", "\\.br\\", "IMPRESSION: x. ", "<p>", "No effusion. ", "\n"] {
        grows_in_step(|count| line(&piece.repeat(count / piece.len())), MIB / 4);
    }
}

#[test]
fn base64_in_base64_is_opened_a_few_times_and_then_refused() {
    let mut payload = Message::chest().text().into_bytes();
    for _ in 0..3 {
        payload = STANDARD.encode(&payload).into_bytes();
    }
    assert!(matches!(read(payload.clone()).only(), Outcome::Labelled(_)));
    for _ in 0..3 {
        payload = STANDARD.encode(&payload).into_bytes();
    }
    rejected(payload.clone(), RejectionClass::Oversize);
    while payload.len() < 20 * MIB {
        payload = STANDARD.encode(&payload).into_bytes();
    }
    rejected(payload, RejectionClass::Oversize);
    let mut envelope = Message::chest().text().into_bytes();
    for _ in 0..20 {
        envelope = format!(r#"{{"data":"{}"}}"#, STANDARD.encode(&envelope)).into_bytes();
    }
    rejected(envelope, RejectionClass::Oversize);
}

/// DEFLATE that makes a gigabyte of few megabytes, in the wrapping of zlib.
fn deflated_zeros(length: usize) -> Vec<u8> {
    miniz_oxide::deflate::compress_to_vec_zlib(&vec![b' '; length], 9)
}

#[test]
fn a_compressed_document_is_not_blown_up() {
    let zeros = deflated_zeros(256 * MIB);
    assert!(zeros.len() < MIB, "{}", zeros.len());
    let mut pdf = b"%PDF-1.4\n1 0 obj\n<</Type/Catalog/Pages 2 0 R>>\nendobj\n2 0 obj\n\
        <</Type/Pages/Kids[3 0 R]/Count 1>>\nendobj\n3 0 obj\n\
        <</Type/Page/Parent 2 0 R/Contents 4 0 R/MediaBox[0 0 9 9]>>\nendobj\n"
        .to_vec();
    pdf.extend(
        format!("4 0 obj\n<</Length {}/Filter/FlateDecode>>\nstream\n", zeros.len()).bytes(),
    );
    pdf.extend(&zeros);
    pdf.extend(b"\nendstream\nendobj\ntrailer\n<</Root 1 0 R/Size 5>>\nstartxref\n0\n%%EOF\n");
    // gzip: a header, the DEFLATE of zlib, and sums nobody gets to.
    let gzip = [b"\x1f\x8b\x08\0\0\0\0\0\0\x03", &zeros[2..]].concat();
    for bytes in [zeros, pdf, gzip] {
        for payload in both_documents(&bytes) {
            let read = read(payload);
            assert!(
                matches!(read.only(), Outcome::Skipped(Skip::NoText) | Outcome::Rejected(_)),
                "{:?}",
                read.only()
            );
        }
        // Alone it is a compressed message, or nothing that is known.
        let (times, class) = if bytes.starts_with(b"\x1f\x8b") {
            (MOST_TIMES_COMPRESSED, RejectionClass::Oversize)
        } else {
            (MOST_TIMES, RejectionClass::UnknownFormat)
        };
        let bare = read_within(bytes, options(), times);
        assert!(matches!(bare.only(), Outcome::Rejected(got) if *got == class));
    }
}

#[test]
fn a_document_of_markup_alone_is_read_in_bounded_memory() {
    for piece in [
        "{",
        "{\\rtf1 ",
        "{\\*",
        "\\par",
        "\\u8211?",
        "\\'f6",
        "<p>",
        "<div><",
        "<pre>",
        "<script>",
        "<!--",
        "<a ",
        "&nbsp;",
        "&#32;",
        "<td>",
        "<br>",
        "</p>",
        "\n",
        "\\bin999999999 ",
    ] {
        for start in ["{\\rtf1 ", "<html><body>"] {
            let bytes = format!("{start}{}", piece.repeat(MIB / piece.len()));
            for payload in both_documents(bytes.as_bytes()) {
                read(payload);
            }
        }
    }
}

#[test]
fn deep_json_is_a_dead_letter_or_skipped() {
    for (open, class) in [
        (r#"{"resourceType":"DiagnosticReport","contained":["#, RejectionClass::Oversize),
        (r#"{"resourceType":"Bundle","entry":[{"resource":"#, RejectionClass::Oversize),
        (r#"{"resourceType":"Composition","section":["#, RejectionClass::Oversize),
        (r#"{"data":"#, RejectionClass::Oversize),
        ("[", RejectionClass::Oversize),
        (r#"{"x":"#, RejectionClass::Truncated),
    ] {
        let outcome = read(open.repeat(500_000).into_bytes());
        let Outcome::Rejected(found) = outcome.only() else { panic!("{:?}", outcome.only()) };
        assert!(
            *found == class || *found == RejectionClass::Truncated,
            "{open}: {found:?} instead of {class:?}"
        );
    }
    let unread =
        format!(r#"{{"x":{}{},"resourceType":"Patient"}}"#, "[".repeat(MIB), "]".repeat(MIB));
    assert!(matches!(read(unread.into_bytes()).only(), Outcome::Skipped(Skip::NonReport)));
}

/// A bundle or a report with many small parts.
fn wide(before: &str, part: &str, count: usize, after: &str) -> Vec<u8> {
    let mut json = String::from(before);
    for index in 0..count {
        if index > 0 {
            json.push(',');
        }
        json.push_str(part);
    }
    json.push_str(after);
    json.into_bytes()
}

#[test]
fn wide_json_takes_no_more_memory_than_its_size_allows() {
    const REPORT: &str = r#"{"resourceType":"DiagnosticReport","id":"1","status":"final","#;
    for (list, part) in [
        (r#""contained":["#, r#"{"resourceType":"X"}"#),
        (r#""contained":["#, r#"{"code":{}}"#),
        (r#""contained":["#, r#"{"code":1}"#),
        (r#""contained":["#, r#"{"contained":[{"code":1},{"code":1}],"code":1}"#),
        (r#""category":["#, r#"{}"#),
        (r#""category":["#, r#"{"coding":[{},{},{}]}"#),
        (r#""identifier":["#, r#"{"value":"1"}"#),
        (r#""identifier":["#, r#"{"type":{},"assigner":{}}"#),
        (r#""result":["#, r##"{"reference":"#"}"##),
        (r#""presentedForm":["#, r#"{"data":"QQ"}"#),
        (r#""component":["#, r#"{"code":{"text":"a"}}"#),
        (r#""section":["#, r#"{"title":""}"#),
        (r#""note":["#, r#"{"text":"a"}"#),
        (r#""x":["#, r#"[]"#),
    ] {
        for count in [1_000, 19_000, 100_000] {
            let payload = wide(&format!("{REPORT}{list}"), part, count, "]}");
            let read = read(payload);
            assert_eq!(read.outcomes.len(), 1, "{list}{part}");
        }
    }
    let entry = r#"{"resource":{"resourceType":"Bundle","entry":[{"resource":{"code":1}}]}}"#;
    read(wide(r#"{"resourceType":"Bundle","entry":["#, entry, 19_000, "]}"));
    read(wide("[", r#"{"resourceType":"X"}"#, 19_000, "]"));
    read("{\"resourceType\":\"X\"}\n".repeat(200_000).into_bytes());
}

#[test]
fn more_reports_than_the_limit_end_in_one_dead_letter() {
    let message = Message::chest().text();
    for payload in [
        message.repeat(5_000),
        "MSH|^~\\&|\r".repeat(MIB),
        Message::chest().text().replace("OBR|", "OBR|2|P|B|X\rOBR|").repeat(2_000),
    ] {
        let read = read(payload.into_bytes());
        assert_eq!(read.outcomes.len(), 1001);
        assert!(matches!(read.outcomes[1000], Outcome::Rejected(RejectionClass::Oversize)));
    }
    let orders: String =
        (0..100_000).map(|n| format!("OBR|1|P|A{n}|X\rOBX|1|TX|||a||||||F\r")).collect();
    let read = read(format!("{}{orders}", Message::with_obx(&[]).text()).into_bytes());
    assert!(matches!(read.outcomes.last(), Some(Outcome::Rejected(RejectionClass::Oversize))));
    assert!(read.outcomes.len() <= 1001);
}

#[test]
fn orders_of_one_report_are_joined_in_bounded_time() {
    let orders = |count: usize| -> Vec<u8> {
        let orders: String = (0..count)
            .map(|n| format!("OBR|1|P|A1000001^RIS|C{n}^T{n}^L^D{n}^E{n}^L\rOBX|1|TX|||a||||||F\r"))
            .collect();
        format!("{}{orders}", Message::chest().text()).into_bytes()
    };
    assert_eq!(read(orders(100_000)).outcomes.len(), 1);
    let documents =
        String::from_utf8(orders(100_000)).unwrap().replace("ORU^R01^ORU_R01", "MDM^T02");
    let documents = documents.replacen("OBR|", "TXA|1|DI|TX||||||||||D1|||||AU\rOBR|", 1);
    assert_eq!(read(documents.into_bytes()).outcomes.len(), 1);
}

#[test]
fn references_that_point_nowhere_or_in_circles_are_followed_in_bounded_time() {
    let circle = r#"{"resourceType":"Bundle","entry":[{"fullUrl":"urn:r","resource":{"resourceType":
        "DiagnosticReport","id":"r","status":"final","result":[LIST]}},{"fullUrl":"urn:o","resource":
        {"resourceType":"Observation","id":"o","status":"final","valueString":"Clear lungs.","hasMember":[LIST]}}]}"#;
    let list = vec![r#"{"reference":"urn:o"}"#; 200].join(",");
    read(circle.replace("LIST", &list).into_bytes());
    let list = vec![r#"{"reference":"urn:o"}"#; 15_000].join(",");
    read(circle.replace("LIST", &list).into_bytes());
    let contained = (0..15_000)
        .map(|n| format!(r#"{{"resourceType":"Observation","id":"{n}"}}"#))
        .collect::<Vec<_>>()
        .join(",");
    let nowhere =
        (0..15_000).map(|n| format!(r##"{{"reference":"#x{n}"}}"##)).collect::<Vec<_>>().join(",");
    let report = format!(
        r#"{{"resourceType":"DiagnosticReport","id":"1","contained":[{contained}],"result":[{nowhere}]}}"#
    );
    read(report.into_bytes());
}
