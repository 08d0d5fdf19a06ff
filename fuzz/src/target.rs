//! The fuzz targets: what must hold of any input. Used by `cargo fuzz` and by `tests/fuzzing.rs`.
#![allow(unreachable_pub, reason = "a module of a test, and of a crate")]

use std::sync::{Arc, LazyLock, Once};

use allocation_counter::measure;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use radstream::decode::{
    AvroInput, DecodeOptions, Decoded, PdfText, ReadPdf, WriterSchemas, decode,
};
use radstream::extract::{ExtractPolicy, Extracted, extract, text_from_plain, text_from_sections};
use radstream::report::{Intent, Report, ReportText, SectionKind};

/// A target: what reads an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// HL7 v2: a whole message, or what follows a header.
    Hl7,
    /// FHIR JSON; what is no JSON is attached to a report as a document.
    Fhir,
    /// Any bytes, and the same bytes as they come out of stores, queues and sockets.
    Detect,
    /// Report text, with headings or without.
    Sections,
}

impl Target {
    /// All targets.
    pub const ALL: [Self; 4] = [Self::Hl7, Self::Fhir, Self::Detect, Self::Sections];

    /// Name of its folder of inputs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hl7 => "hl7",
            Self::Fhir => "fhir",
            Self::Detect => "detect",
            Self::Sections => "sections",
        }
    }

    /// Reads an input to its end.
    ///
    /// # Panics
    ///
    /// When something that must hold of any input does not.
    pub fn read(self, data: &[u8]) {
        match self {
            Self::Hl7 => hl7(data),
            Self::Fhir => fhir(data),
            Self::Detect => detect(data),
            Self::Sections => sections(data),
        }
    }

    /// Reads an input and gives the most memory held at one time, bytes.
    ///
    /// # Errors
    ///
    /// Says so when that is more than [`MOST_TIMES`] the input.
    ///
    /// # Panics
    ///
    /// When something else does not hold.
    pub fn measure(self, data: &[u8]) -> Result<u64, String> {
        warm_up();
        // What a target wraps around its input is read as well.
        let wrapped = if self == Self::Detect { 2 * data.len() } else { data.len() };
        // So is what it is opened to.
        let opened = if is_packed(data) { OPENED * data.len().max(SMALL) } else { 0 };
        let most = (wrapped + opened + HEADER.len()) as u64 * MOST_TIMES + ALWAYS;
        let peak = measure(|| self.read(data)).bytes_max;
        if peak > most {
            return Err(format!("{} bytes took {peak} bytes of memory, not {most}", data.len()));
        }
        Ok(peak)
    }
}

/// Most memory at one time, as a multiple of what is read.
const MOST_TIMES: u64 = 20;

/// Memory that even the smallest input may take, bytes: a thousand reports, some thousand segments and
/// lines are allowed however short they are.
const ALWAYS: u64 = 1024 * 1024;

/// To how many times its length gzip may be opened, and what length it is always taken to have.
const OPENED: usize = 20;
const SMALL: usize = 64 * 1024 / OPENED;

/// Whether an input has gzip in it, as it stands or in base64.
fn is_packed(data: &[u8]) -> bool {
    let dense: Vec<u8> = data.iter().copied().filter(|b| !b.is_ascii_whitespace()).collect();
    let has =
        |sign: &[u8]| data.windows(sign.len()).chain(dense.windows(sign.len())).any(|w| w == sign);
    has(b"\x1f\x8b") || has(b"H4sI")
}

/// How inputs are read: as usual, and Avro and PDF documents are, too.
static OPTIONS: LazyLock<DecodeOptions> = LazyLock::new(|| {
    let schema = r#"{"type":"record","name":"Message","fields":[{"name":"id","type":"long"},
        {"name":"tags","type":{"type":"array","items":"string"}},
        {"name":"payload","type":["null","string","bytes"]}]}"#;
    let schemas = WriterSchemas::one(schema).expect("a schema");
    DecodeOptions {
        avro: Some(AvroInput::new("payload", schemas)),
        pdf: Some(Arc::new(LengthOfPdf)),
        ..DecodeOptions::default()
    }
});

/// Stands in for the process that reads PDF documents: what it says of one depends on its length.
#[derive(Debug)]
struct LengthOfPdf;

impl ReadPdf for LengthOfPdf {
    fn read(&self, pdf: &[u8]) -> PdfText {
        match pdf.len() % 4 {
            0 => PdfText::Unreadable,
            1 => PdfText::OverLimit,
            2 => PdfText::Empty,
            _ => PdfText::Text("FINDINGS: The lungs are clear.\nIMPRESSION: Normal.".to_owned()),
        }
    }
}

/// What stands before an input of [`hl7`] that has no header.
const HEADER: &[u8] = b"MSH|^~\\&|RIS|HOSP|||20260102030405||ORU^R01|1|P|2.5.1\r\
    PID|1||1^^^H^MR\rOBR|1|P1|A1^RIS|71046^XR CHEST 2 VIEWS^C4|||||||||||||||||||||F\r";

fn hl7(data: &[u8]) {
    if data.starts_with(b"MSH") {
        outcomes(data);
    } else {
        outcomes(&[HEADER, data].concat());
    }
}

fn fhir(data: &[u8]) {
    if matches!(data.first(), Some(b'{' | b'[')) {
        outcomes(data);
        return;
    }
    let report = format!(
        r#"{{"resourceType":"DiagnosticReport","id":"1","status":"final","code":{{"text":"XR CHEST"}},
           "presentedForm":[{{"data":"{}"}}]}}"#,
        STANDARD.encode(data)
    );
    outcomes(report.as_bytes());
}

fn detect(data: &[u8]) {
    outcomes(data);
    let base64 = STANDARD.encode(data);
    outcomes(base64.as_bytes());
    outcomes(format!(r#"{{"data":"{base64}"}}"#).as_bytes());
    outcomes(&[b"\x0b", data, b"\x1c\r"].concat());
    outcomes(&[b"\0\0\0\0\x01", data].concat());
    let wide = data.iter().flat_map(|byte| [*byte, 0]);
    outcomes(&[0xff, 0xfe].into_iter().chain(wide).collect::<Vec<u8>>());
}

fn sections(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    // Decode refuses such a text before it is parted.
    if text.lines().count() > 5_000 + text.len() / 8 {
        return;
    }
    if let Some(found) = text_from_plain(&text) {
        labelled(&found, &text);
    }
    let (findings, impression) = text.split_at(text.floor_char_boundary(text.len() / 2));
    if let Some(found) = text_from_sections(findings, impression) {
        labelled(&found, &text);
    }
}

/// Reads a payload to its end and holds what comes of it against what must be.
fn outcomes(payload: &[u8]) {
    let options = &*OPTIONS;
    let decoded = decode(payload, options);
    assert!(!decoded.is_empty(), "a payload without an outcome");
    assert!(decoded.len() <= options.max_reports_per_record + 1, "more outcomes than the limit");
    for outcome in decoded {
        match outcome {
            Decoded::Report(report) => reported(*report),
            Decoded::Skipped(_) => {}
            // A place is made of names and numbers: a long one would be text of the input.
            Decoded::Rejected(rejection) => {
                assert!(rejection.location.len() <= 200, "a place that is a text");
                assert!(rejection.location.is_ascii(), "a place that is no name");
            }
        }
    }
}

fn reported(mut report: Report) {
    let number = report.key.expose().split_once('|').map_or("", |(_, number)| number);
    assert!(!number.is_empty(), "a report without a number");
    let mut warnings = report.warnings.clone();
    warnings.sort_unstable();
    warnings.dedup();
    assert_eq!(warnings.len(), report.warnings.len(), "a warning told twice");
    assert_eq!(report.version.rank, report.status.rank(), "a rank that is not the status's");
    if report.intent != Intent::Label {
        assert!(report.blocks.is_empty(), "text of a report that is not read");
        return;
    }
    for block in &report.blocks {
        assert!(!block.text.expose().trim().is_empty(), "a block without text");
    }
    let whole: Vec<&str> = report.blocks.iter().map(|b| b.text.expose().as_str()).collect();
    let whole = whole.join("\n");
    if let Extracted::Text(text) = extract(&mut report, &ExtractPolicy::default()) {
        labelled(&text, &whole);
    }
}

/// What is labelled is not empty, is of the labelled sections, and was said in the report.
fn labelled(text: &ReportText, whole: &str) {
    let input = text.model_input();
    assert!(!input.expose().trim().is_empty(), "nothing to label");
    assert!(input.expose().len() <= whole.len() + text.sections.len(), "more than was said");
    for section in &text.sections {
        assert!(
            matches!(
                section.kind,
                SectionKind::Body
                    | SectionKind::Findings
                    | SectionKind::Impression
                    | SectionKind::Addendum
            ),
            "a section that is never labelled"
        );
        assert!(!section.text.expose().trim().is_empty(), "a section without text");
    }
}

/// Builds what is built once, so that no input is charged for it.
pub fn warm_up() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let text =
            b"OBX|1|FT|&GDT||FINDINGS: The lungs are clear.\\.br\\IMPRESSION: Normal.||||||F\r";
        hl7(text);
        fhir(b"<p>FINDINGS: The lungs are clear.</p>");
        detect(b"{}");
        sections(b"FINDINGS: The lungs are clear.\nIMPRESSION: Normal.\nADDENDUM: None.");
    });
}
