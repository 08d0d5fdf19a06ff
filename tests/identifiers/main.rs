//! What messages say of people outside of their reports' text, as escalations carry it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop there")]

mod fhir;
mod hl7;

use std::io::Write as _;

use base64::Engine as _;
use proptest::prelude::*;
use radstream::decode::{DecodeOptions, Decoded, decode, identifiers};
use radstream::report::{KnownIdentifier, Report};

/// The reports of a payload with their positions.
fn reports(payload: &[u8], options: &DecodeOptions) -> Vec<(u32, Box<Report>)> {
    let decoded = (0..).zip(decode(payload, options));
    decoded
        .filter_map(|(part, decoded)| match decoded {
            Decoded::Report(report) => Some((part, report)),
            _ => None,
        })
        .collect()
}

/// `kind value` of what each report is given.
fn known(payload: &[u8]) -> Vec<Vec<String>> {
    let options = DecodeOptions::default();
    let all = identifiers(payload, &options);
    let shown = |one: &KnownIdentifier| format!("{} {}", one.kind.name(), one.value.expose());
    let reports = reports(payload, &options);
    reports.iter().map(|(part, report)| all.of(*part, report).iter().map(shown).collect()).collect()
}

/// What the only report is given.
fn only(payload: &[u8]) -> Vec<String> {
    let mut found = known(payload);
    assert_eq!(found.len(), 1);
    found.remove(0)
}

#[track_caller]
fn assert_holds(found: &[String], wanted: &[&str]) {
    let missing: Vec<_> = wanted.iter().filter(|one| !found.iter().any(|f| f == *one)).collect();
    assert!(missing.is_empty(), "{missing:?} not in {found:#?}");
}

/// A segment from its fields by number.
fn segment(name: &str, fields: &[(usize, &str)]) -> String {
    let last = fields.iter().map(|(number, _)| *number).max().unwrap_or(0);
    let mut segment = name.to_owned();
    for number in 1..=last {
        segment.push('|');
        let field = fields.iter().find(|(at, _)| *at == number);
        segment.push_str(field.map_or("", |(_, value)| value));
    }
    segment + "\r"
}

const HEADER: &str =
    "MSH|^~\\&|RIS|KESTREL^1.2.3^ISO|DB|RIVERBEND|20260102030405||ORU^R01|1|P|2.5\r";
const TEXT: &str = "OBX|1|TX|71046&IMP^XR CHEST^C4||No effusion. Seen by nobody.||||||F";

fn order(accession: &str) -> String {
    let procedure = (4, "71046^XR CHEST^C4");
    segment("OBR", &[(3, accession), procedure, (22, "20260103"), (24, "RAD"), (25, "F")])
}

#[test]
fn the_way_to_the_message_is_the_decoders() {
    let message = [HEADER, "PID|1||1||OKONKWO^MARIA\r", &order("A1"), TEXT].concat();
    let wanted = ["patient_name OKONKWO^MARIA", "number A1", "facility KESTREL"];
    let base64 = base64::engine::general_purpose::STANDARD.encode(&message);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(message.as_bytes()).unwrap();
    let wrapped: [Vec<u8>; 5] = [
        serde_json::json!({ "event": 1, "data": base64 }).to_string().into_bytes(),
        serde_json::json!({ "hl7": message }).to_string().into_bytes(),
        gzip.finish().unwrap(),
        format!("\u{b}{message}\r\u{1c}\r").into_bytes(),
        base64.into_bytes(),
    ];
    for payload in &wrapped {
        assert_holds(&only(payload), &wanted);
    }
    let xml = "<ORU_R01 xmlns=\"urn:hl7-org:v2xml\"><MSH><MSH.3><HD.1>RIS</HD.1></MSH.3>\
        <MSH.4><HD.1>KESTREL</HD.1></MSH.4><MSH.9><MSG.1>ORU</MSG.1><MSG.2>R01</MSG.2></MSH.9>\
        <MSH.11><PT.1>P</PT.1></MSH.11></MSH><ORU_R01.PATIENT><PID><PID.3><CX.1>1</CX.1></PID.3>\
        <PID.5><XPN.1><FN.1>OKONKWO</FN.1></XPN.1><XPN.2>MARIA</XPN.2></PID.5></PID>\
        </ORU_R01.PATIENT><OBR><OBR.3><EI.1>A1</EI.1></OBR.3><OBR.4><CE.1>71046</CE.1></OBR.4>\
        <OBR.25>F</OBR.25></OBR><OBX><OBX.2>TX</OBX.2><OBX.3><CE.1>IMP</CE.1></OBX.3>\
        <OBX.5>No effusion.</OBX.5><OBX.11>F</OBX.11></OBX></ORU_R01>";
    assert_holds(&only(xml.as_bytes()), &wanted);
}

/// A chest report as FHIR has it; `more` are further elements.
fn fhir_report(id: &str, more: &str) -> String {
    format!(
        r#"{{"resourceType":"DiagnosticReport","id":"{id}","status":"final",
        "code":{{"text":"XR CHEST 2 VIEWS"}},"conclusion":"No effusion, says Nobody Atall.",
        "identifier":[{{"type":{{"coding":[{{"code":"FILL"}}]}},"system":"urn:ris","value":"{id}-ACC"}}]{more}}}"#
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever is cut off or broken: no panic, and what is given is within its bounds.
    #[test]
    fn any_cut_and_any_broken_byte_is_survived(
        which in 0_usize..3, cut in 0_usize..2000, at in 0_usize..2000, byte in any::<u8>(),
    ) {
        let hl7 = [HEADER, "PID|1||1^^^A&B~2||DOE&A^J~R\\XE9\\E^J||1945\r", &order("A1"), TEXT, "\r"];
        let hl7 = hl7.concat();
        let fhir = fhir_report("r1", r#","subject":{"reference":"Patient/p","display":"J Doe"}"#);
        let mut payload = match which {
            0 => hl7.into_bytes(),
            1 => [hl7.clone(), hl7].concat().into_bytes(),
            _ => format!("[{fhir},{fhir}]").into_bytes(),
        };
        payload.truncate(payload.len().min(cut));
        if let Some(broken) = payload.get_mut(at) {
            *broken = byte;
        }
        let options = DecodeOptions::default();
        let all = identifiers(&payload, &options);
        for (part, report) in reports(&payload, &options) {
            let list = all.of(part, &report);
            prop_assert!(list.len() <= KnownIdentifier::MOST + 1);
            let longest = KnownIdentifier::LONGEST + 4;
            prop_assert!(list.iter().all(|one| one.value.expose().len() <= longest));
        }
    }
}
