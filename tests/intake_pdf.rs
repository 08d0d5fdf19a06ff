//! Attached PDF documents, read by a real child process: reports, and documents made to do harm.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop there")]

mod intake_support;

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine as _;
use intake_support::{LABELLED, Message, sections};
use radstream::decode::{DecodeOptions, Decoded, PdfText, ReadPdf, decode};
use radstream::extract::{ExtractPolicy, Extracted, extract};
use radstream::pdf::PdfProcess;
use radstream::report::{Report, SectionKind, Skip, Warning};

fn reader() -> PdfProcess {
    PdfProcess::of(PathBuf::from(env!("CARGO_BIN_EXE_radstream")))
}

fn options() -> DecodeOptions {
    DecodeOptions { pdf: Some(Arc::new(reader())), ..DecodeOptions::default() }
}

/// A PDF file of these objects (from 1 on); the first is the catalog.
fn file(objects: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = b"%PDF-1.4\n".to_vec();
    let mut places = Vec::new();
    for (number, object) in (1..).zip(objects) {
        places.push(bytes.len());
        bytes.extend(format!("{number} 0 obj\n").bytes());
        bytes.extend(object);
        bytes.extend(b"\nendobj\n");
    }
    let table = bytes.len();
    let mut trailer = format!("xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1);
    for place in places {
        writeln!(trailer, "{place:010} 00000 n ").unwrap();
    }
    let size = objects.len() + 1;
    writeln!(trailer, "trailer\n<< /Size {size} /Root 1 0 R >>\nstartxref\n{table}\n%%EOF")
        .unwrap();
    bytes.extend(trailer.bytes());
    bytes
}

fn stream(dictionary: &str, content: &[u8]) -> Vec<u8> {
    let mut object = format!("<< {dictionary} /Length {} >>\nstream\n", content.len()).into_bytes();
    object.extend(content);
    object.extend(b"\nendstream");
    object
}

/// One page, drawn by `content`, with font F1 and the XObject X1 that draws itself.
fn page(content: Vec<u8>) -> Vec<u8> {
    file(&[
        b"<< /Type /Catalog /Pages 2 0 R >>".to_vec(),
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 /MediaBox [0 0 612 792] >>".to_vec(),
        b"<< /Type /Page /Parent 2 0 R /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> \
          /XObject << /X1 6 0 R >> >> >>"
            .to_vec(),
        content,
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>"
            .to_vec(),
        stream(
            "/Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources << /XObject << /X1 6 0 R >> >>",
            b"/X1 Do",
        ),
    ])
}

/// A page with these lines of text, 14 points apart; an empty line is a gap.
fn written(lines: &[&str]) -> Vec<u8> {
    let mut content = String::from("BT /F1 11 Tf 72 720 Td\n");
    for line in lines {
        let line = line.replace('(', "\\(").replace(')', "\\)");
        writeln!(content, "({line}) Tj 0 -14 Td").unwrap();
    }
    content.push_str("ET");
    page(stream("", content.as_bytes()))
}

const REPORT: [&str; 9] = [
    "GENERAL HOSPITAL",
    "EXAM: XR CHEST 2 VIEWS",
    "",
    "FINDINGS:",
    "Heart size is normal. Small left",
    "pleural effusion.",
    "",
    "IMPRESSION: 1. Small left pleural effusion. No pneumothorax. Pneumonia",
    "cannot be excluded.",
];

fn encoded(pdf: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(pdf)
}

fn message(pdf: &[u8]) -> String {
    let obx = format!("OBX|1|ED|PDF^Report^L||RIS^AP^PDF^Base64^{}||||||F", encoded(pdf));
    Message::with_obx(&[&obx]).text()
}

fn read(payload: &str) -> (Report, Extracted) {
    let mut decoded = decode(payload.as_bytes(), &options());
    assert_eq!(decoded.len(), 1);
    let Decoded::Report(mut report) = decoded.remove(0) else { panic!("no report") };
    let extracted = extract(&mut report, &ExtractPolicy::default());
    (*report, extracted)
}

#[test]
fn m10_a_pdf_alone_is_read_by_lines_and_sections() {
    let (report, extracted) = read(&message(&written(&REPORT)));
    let Extracted::Text(text) = extracted else { panic!("no text") };
    assert_eq!(
        sections(&text),
        [
            (
                SectionKind::Findings,
                "Heart size is normal. Small left pleural effusion.".to_owned()
            ),
            (
                SectionKind::Impression,
                "1. Small left pleural effusion. No pneumothorax. Pneumonia cannot be excluded."
                    .to_owned()
            ),
        ]
    );
    assert!(report.warnings.contains(&Warning::TextFromPdf));
    assert!(!report.warnings.contains(&Warning::AttachmentNotRead));
}

#[test]
fn m09_a_pdf_beside_text_is_not_opened() {
    let pdf = format!("OBX|9|ED|PDF||^^^^{}||||||F", encoded(&written(&["FINDINGS: Large mass."])));
    let (report, extracted) = read(&Message::chest().and(&pdf).text());
    let Extracted::Text(text) = extracted else { panic!("no text") };
    assert_eq!(text.model_input().expose(), LABELLED);
    assert!(report.warnings.contains(&Warning::AttachmentNotRead));
    assert!(!report.warnings.contains(&Warning::TextFromPdf));
}

#[test]
fn m20_a_fhir_report_that_is_only_a_pdf_is_read_and_one_with_a_conclusion_is_not_opened() {
    let json = |more: &str| {
        let pdf = encoded(&written(&REPORT));
        format!(
            r#"{{"resourceType":"DiagnosticReport","id":"r1","status":"final","code":{{"text":"XR CHEST"}},
            "presentedForm":[{{"contentType":"application/pdf","data":"{pdf}"}}]{more}}}"#
        )
    };
    let (report, extracted) = read(&json(""));
    let Extracted::Text(text) = extracted else { panic!("no text") };
    assert_eq!(text.sections.len(), 2);
    assert!(report.warnings.contains(&Warning::TextFromPdf));
    let (report, extracted) = read(&json(r#","conclusion":"No acute cardiopulmonary disease.""#));
    let Extracted::Text(text) = extracted else { panic!("no text") };
    assert_eq!(text.model_input().expose(), "No acute cardiopulmonary disease.");
    assert!(!report.warnings.contains(&Warning::TextFromPdf));
}

#[test]
fn lines_are_read_across_the_page_in_whatever_order_they_are_drawn() {
    let words = [
        (300, 700, "Small left effusion."),
        (72, 672, "IMPRESSION:"),
        (72, 700, "FINDINGS:"),
        (72, 700, "FINDINGS:"), // drawn twice, for bold
        (160, 700, "Heart is normal."),
        (160, 672, "Small eff"),
        (200, 672, "fusion."), // the next strip of the page, which overlaps
    ];
    let mut content = String::new();
    for (x, y, word) in words {
        writeln!(content, "BT /F1 11 Tf {x} {y} Td ({word}) Tj ET").unwrap();
    }
    let PdfText::Text(text) = reader().read(&page(stream("", content.as_bytes()))) else {
        panic!("no text")
    };
    assert_eq!(
        text.trim(),
        "FINDINGS: Heart is normal. Small left effusion.\n\nIMPRESSION: Small effusion."
    );
}

#[test]
fn a_scan_has_no_text() {
    assert!(reader().read(&page(stream("", b"0 0 m 9 9 l S"))) == PdfText::Empty);
    let (report, extracted) = read(&message(&page(stream("", b""))));
    assert!(matches!(extracted, Extracted::Skipped(Skip::NoText)));
    assert!(report.warnings.contains(&Warning::AttachmentNotRead));
}

/// Deflated zeros: a few hundred kilobytes that stand for `mebibytes` MiB.
fn bomb(mebibytes: usize, piece: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    let block = piece.repeat((1 << 20) / piece.len());
    for _ in 0..mebibytes {
        encoder.write_all(&block).unwrap();
    }
    encoder.finish().unwrap()
}

#[test]
fn documents_that_want_too_much_memory_time_or_stack_end_as_attachments_not_read() {
    let compressed = |piece: &[u8], size| page(stream("/Filter /FlateDecode", &bomb(size, piece)));
    for (name, pdf) in [
        ("memory", compressed(b"\0", 700)),
        ("time", compressed(b"BT /F1 9 Tf (x) Tj ET ", 40)),
        ("stack", page(stream("", b"/X1 Do"))),
    ] {
        let text = reader().read(&pdf);
        assert!(text == PdfText::OverLimit, "{name}");
    }
    let (report, extracted) = read(&message(&compressed(b"\0", 700)));
    assert!(matches!(extracted, Extracted::Skipped(Skip::NoText)));
    assert!(report.warnings.contains(&Warning::AttachmentNotRead));
}

#[test]
fn a_document_of_too_many_pages_or_words_is_not_read_in_part() {
    let pages = |count: usize| {
        let kids: String = (3..3 + count).map(|number| format!("{number} 0 R ")).collect();
        let tree = format!("<< /Type /Pages /Kids [{kids}] /Count {count} /MediaBox [0 0 9 9] >>");
        let mut objects = vec![b"<< /Type /Catalog /Pages 2 0 R >>".to_vec(), tree.into_bytes()];
        objects.resize(count + 2, b"<< /Type /Page /Parent 2 0 R >>".to_vec());
        file(&objects)
    };
    assert!(reader().read(&pages(51)) == PdfText::OverLimit);
    assert!(reader().read(&pages(50)) == PdfText::Empty);
    let words = format!("BT /F1 9 Tf {} ET", "(Lungs clear.) Tj ".repeat(100_000));
    assert!(reader().read(&page(stream("", words.as_bytes()))) == PdfText::OverLimit);
}

#[test]
fn a_cut_or_broken_document_is_unreadable_or_read_and_never_more() {
    let whole = written(&REPORT);
    for end in (5..whole.len()).step_by(whole.len() / 16) {
        assert!(reader().read(&whole[..end]) != PdfText::OverLimit, "cut at {end}");
    }
    let mut broken = whole.clone();
    for at in (9..whole.len()).step_by(37) {
        broken[at] ^= 0x15;
    }
    assert!(reader().read(&broken) != PdfText::OverLimit);
    assert!(reader().read(b"%PDF-1.4") == PdfText::Unreadable);
}
