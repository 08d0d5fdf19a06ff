//! Every warning: a message that brings it about, and one like it that does not. Then its way into the
//! metrics.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop there")]

mod intake_support;

use base64::Engine as _;
use intake_support::{Message, outcome_of};
use radstream::decode::{DecodeOptions, Decoded, PdfText, ReadPdf, decode};
use radstream::extract::{ExtractPolicy, extract};
use radstream::report::Warning;

const CLEAR: &str = "OBX|1|TX|&GDT||FINDINGS: Lungs are clear.||||||F";

fn plain() -> String {
    Message::with_obx(&[CLEAR]).text()
}

fn obx(line: &str) -> String {
    Message::with_obx(&[line]).text()
}

fn fhir(fields: &str) -> String {
    format!(
        r#"{{"resourceType":"DiagnosticReport","status":"final","code":{{"text":"XR CHEST"}},
            "identifier":[{{"type":{{"coding":[{{"code":"FILL"}}]}},"system":"urn:r","value":"A1"}}],
            "conclusion":"No acute disease."{fields}}}"#
    )
}

/// A message with the oddity, and one without it. `None`: it comes after intake.
fn pair(warning: Warning) -> Option<(Vec<u8>, Vec<u8>)> {
    let of = |odd: String| Some((odd.into_bytes(), plain().into_bytes()));
    match warning {
        Warning::NonstandardTerminator => of(plain().replace('\r', "\n")),
        Warning::LeadingGarbage => of(format!("received: {}", plain())),
        Warning::CharsetGuessed => {
            let mut latin = plain().into_bytes();
            let at = latin.windows(6).position(|w| w == b"clear.").unwrap();
            latin[at] = 0xe9;
            Some((latin, plain().into_bytes()))
        }
        Warning::UnknownEscape => {
            of(obx(r"OBX|1|TX|&GDT||FINDINGS: Lungs \ZZ9\ are clear \ today.||||||F"))
        }
        Warning::DoubleEscaped => of(plain().replace('\\', "\\\\")),
        Warning::UnknownValueType => of(plain().replace("|TX|", "|String|")),
        Warning::AttachmentNotRead => {
            of(Message::with_obx(&[CLEAR, "OBX|2|ED|||^^^^JVBERi0xLjQ=||||||F"]).text())
        }
        Warning::StatusMissing => {
            of(Message::with_obx(&[CLEAR]).status("").without_line_status().text())
        }
        Warning::StatusUnknown => of(Message::with_obx(&[CLEAR]).status("Q9").text()),
        Warning::AuthorityMissing => of(plain().replace("A1000001^RIS", "A1000001")),
        Warning::FillerNumberMissing => of(plain().replace("A1000001^RIS", "")),
        Warning::BadTimestamp => of(Message::with_obx(&[CLEAR]).changed("00000000").text()),
        Warning::ProcedureConflict => {
            of(Message::with_obx(&[CLEAR]).procedure("71046^KUB FLAT PLATE ABDOMEN^C4").text())
        }
        Warning::MixedExam => {
            of(Message::with_obx(&[CLEAR]).procedure("71101^XR RIBS AND CHEST^C4").text())
        }
        Warning::AddendumAlone => of(obx("OBX|1|TX|&ADT||No pneumothorax on re-review.||||||F")),
        Warning::NoHeadings => of(obx("OBX|1|TX|||The lungs are clear today.||||||F")),
        Warning::FieldShiftRepaired => {
            of(obx("OBX|1|TX|&GDT||FINDINGS: Lungs | are clear.||||||F"))
        }
        Warning::BatchCountMismatch => {
            let batch = |count: u8| format!("BHS|^~\\&\r{}BTS|{count}\r", plain()).into_bytes();
            Some((batch(2), batch(1)))
        }
        Warning::LinesWithdrawn => {
            of(Message::with_obx(&[CLEAR, "OBX|2|TX|&GDT||Large mass.||||||D"]).text())
        }
        Warning::TextFromNotes => {
            of(obx("OBX|1|TX|R||See Comments||||||F\rNTE|1||FINDINGS: Lungs are clear."))
        }
        Warning::CodingsCut => {
            // Linked orders of one report, each with another code.
            let orders = |count: usize| {
                let order = |n: usize| format!("OBR|{n}|P1|A1000001^RIS|C{n}^XR CHEST^L\r");
                let orders: String = (2..=count).map(order).collect();
                (plain() + &orders).into_bytes()
            };
            Some((orders(70), orders(5)))
        }
        Warning::TextFromPdf => {
            let pdf = base64::engine::general_purpose::STANDARD.encode("%PDF-1.4");
            of(obx(&format!("OBX|1|ED|||^^^^{pdf}||||||F")))
        }
        Warning::AiDrafted => {
            let label = |code: &str| {
                let label = format!(
                    r#","meta":{{"security":[{{"system":"http://terminology.hl7.org/CodeSystem/v3-ObservationValue","code":"{code}"}}]}}"#
                );
                fhir(&label).into_bytes()
            };
            Some((label("AIAST"), label("CLINAST")))
        }
        // Intake knows no record: tests of `pipeline::prepare`.
        Warning::FutureTimestamp => None,
        // The student says so: tests of `publish` and `student`.
        Warning::TextTruncated => None,
    }
}

#[derive(Debug)]
struct AnyPdf;

impl ReadPdf for AnyPdf {
    fn read(&self, _: &[u8]) -> PdfText {
        PdfText::Text("FINDINGS: Lungs are clear.".into())
    }
}

fn warnings(payload: &[u8], with_pdf: bool) -> Vec<Warning> {
    let mut options = DecodeOptions::default();
    if with_pdf {
        options.pdf = Some(std::sync::Arc::new(AnyPdf));
    }
    let mut decoded = decode(payload, &options);
    assert_eq!(decoded.len(), 1);
    let Decoded::Report(mut report) = decoded.remove(0) else { panic!("no report: {decoded:?}") };
    extract(&mut report, &ExtractPolicy::default());
    report.warnings
}

#[test]
fn every_warning_comes_of_its_oddity_and_of_nothing_else() {
    for warning in Warning::ALL {
        let Some((odd, even)) = pair(warning) else { continue };
        let with_pdf = warning == Warning::TextFromPdf;
        assert!(warnings(&odd, with_pdf).contains(&warning), "{}", warning.name());
        assert!(!warnings(&even, with_pdf).contains(&warning), "{}", warning.name());
    }
    assert_eq!(warnings(plain().as_bytes(), false), [], "nothing is odd about a plain message");
}

#[test]
fn names_of_warnings_are_distinct_and_are_what_is_serialised() {
    let mut names: Vec<_> = Warning::ALL.iter().map(|warning| warning.name()).collect();
    for warning in Warning::ALL {
        assert_eq!(serde_json::to_value(warning).unwrap(), warning.name());
    }
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), Warning::ALL.len());
}

#[test]
fn m12_the_character_set_that_was_chosen_is_recorded() {
    let message = |charset: &str| {
        Message::with_obx(&["OBX|1|TX|||FINDINGS: R\u{f6}ntgen of the chest is clear.||||||F"])
            .charset(charset)
            .text()
    };
    let latin = |charset| encoding_rs::WINDOWS_1252.encode(&message(charset)).0.into_owned();
    for (bytes, chosen) in [
        (message("UNICODE UTF-8").into_bytes(), "UTF-8"),
        (message("8859/1").into_bytes(), "UTF-8"),
        (latin("8859/1"), "windows-1252"),
        (latin("8859/15"), "ISO-8859-15"),
        (latin(""), "windows-1252"),
        (plain().into_bytes(), "US-ASCII"),
        (fhir("").replace("acute", "acut\u{e9}").into_bytes(), "UTF-8"),
    ] {
        assert_eq!(outcome_of(&bytes).0.charset, chosen);
    }
}
