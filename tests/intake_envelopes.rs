//! What messages come wrapped in: compression, JSON under any pointer, Avro, HL7 v2 in XML.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop there")]

mod intake_support;

use std::io::Write as _;

use apache_avro::Schema;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use base64::Engine as _;
use intake_support::{LABELLED, Message, outcome, report, text_of};
use radstream::decode::{AvroInput, DecodeOptions, Decoded, WriterSchemas, decode};
use radstream::extract::{ExtractPolicy, Extracted, extract};

fn base64(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The student's input of each report in a payload; the rejection's words where there is none.
fn texts(payload: &[u8], options: &DecodeOptions) -> Vec<String> {
    decode(payload, options)
        .into_iter()
        .map(|decoded| match decoded {
            Decoded::Report(mut report) => match extract(&mut report, &ExtractPolicy::default()) {
                Extracted::Text(text) => text.model_input().into_inner(),
                Extracted::Skipped(skip) => skip.name().to_owned(),
            },
            Decoded::Skipped(skip) => skip.name().to_owned(),
            Decoded::Rejected(rejection) => rejection.to_string(),
        })
        .collect()
}

#[test]
fn m23_gzip_is_opened_bare_and_in_base64_and_in_envelopes() {
    let message = Message::chest().text();
    let packed = gzip(message.as_bytes());
    let encoded = base64(&packed);
    for bytes in [
        packed.clone(),
        encoded.clone().into_bytes(),
        format!(r#"{{"data":"{encoded}"}}"#).into_bytes(),
        gzip(format!(r#"{{"message":{{"data":"{}"}}}}"#, base64(message.as_bytes())).as_bytes()),
    ] {
        assert_eq!(text_of(&bytes), LABELLED);
    }
    assert_eq!(outcome(&packed[..packed.len() - 9]), "dead_letter(truncated)");
}

#[test]
fn a_compressed_bomb_is_a_dead_letter_however_it_is_wrapped() {
    let bomb = gzip(&vec![b'|'; 64 << 20]);
    let twice = gzip(&bomb);
    let wrapped = format!(r#"{{"data":"{}"}}"#, base64(&bomb));
    for bytes in [&bomb[..], &twice, wrapped.as_bytes()] {
        assert!(bytes.len() < 100_000);
        assert_eq!(outcome(bytes), "dead_letter(oversize)");
    }
}

#[test]
fn a_configured_pointer_leads_to_text_base64_or_an_object() {
    let message = Message::chest().text();
    let quoted = serde_json::to_string(&message).unwrap();
    let fhir = r#"{"resourceType":"DiagnosticReport","id":"r1","status":"final","code":{"text":"XR CHEST"},"conclusion":"No acute disease."}"#;
    let options = |pointer: &str| DecodeOptions {
        envelope_pointer: Some(pointer.to_owned()),
        ..DecodeOptions::default()
    };
    let event = options("/events/1/odd~1name");
    for (value, wanted) in [
        (quoted.as_str(), LABELLED),
        (&format!("\"{}\"", base64(message.as_bytes())), LABELLED),
        (&format!("\"{}\"", base64(&gzip(message.as_bytes()))), LABELLED),
        (fhir, "No acute disease."),
        (&serde_json::to_string(fhir).unwrap(), "No acute disease."),
    ] {
        // `data` is a usual name, and the pointer wins.
        let json = format!(r#"{{"data":{quoted},"events":[7,{{"odd/name":{value}}}]}}"#);
        assert_eq!(texts(json.as_bytes(), &event), [wanted]);
    }
    let elsewhere = format!(r#"{{"data":{quoted}}}"#);
    assert_eq!(texts(elsewhere.as_bytes(), &event), [LABELLED], "the usual names still serve");
    let prose = r#"{"text":"hello"}"#;
    assert_eq!(texts(prose.as_bytes(), &options("/text")), ["unknown_format at $"]);
}

#[test]
fn a_resource_inside_a_cloud_event_is_read() {
    let fhir = r#"{"resourceType":"DiagnosticReport","id":"r1","status":"final","code":{"text":"XR CHEST"},"conclusion":"No acute disease."}"#;
    let event = format!(
        r#"{{"specversion":"1.0","id":"1","source":"/ris","type":"report","data":{fhir}}}"#
    );
    assert_eq!(text_of(event.as_bytes()), "No acute disease.");
    let binary = format!(
        r#"{{"specversion":"1.0","id":"1","type":"x","data_base64":"{}"}}"#,
        base64(Message::chest().text().as_bytes())
    );
    assert_eq!(text_of(binary.as_bytes()), LABELLED);
}

const SCHEMA: &str = r#"{"type":"record","name":"Event","fields":[
    {"name":"source","type":"string"},
    {"name":"event","type":["null",{"type":"record","name":"Body","fields":[
        {"name":"message","type":"bytes"}]}]}]}"#;

fn framed(message: &[u8]) -> Vec<u8> {
    let schema = Schema::parse_str(SCHEMA).unwrap();
    let body = Value::Record(vec![("message".into(), Value::Bytes(message.to_vec()))]);
    let value = Value::Record(vec![
        ("source".into(), Value::String("MSH|^~\\&| is how it begins".into())),
        ("event".into(), Value::Union(1, Box::new(body))),
    ]);
    let mut payload = vec![0, 0, 0, 0, 42];
    let writer = GenericDatumWriter::builder(&schema).build().unwrap();
    writer.write_value(&mut payload, value).unwrap();
    payload
}

#[test]
fn m23_a_field_of_framed_avro_holds_the_message() {
    let input = AvroInput::new("event.message", WriterSchemas::one(SCHEMA).unwrap());
    let options = DecodeOptions { avro: Some(input), ..DecodeOptions::default() };
    let message = Message::chest().text();
    let framed_mllp = format!("\u{b}{message}\u{1c}\r");
    for payload in [
        message.as_bytes(),
        framed_mllp.as_bytes(),
        base64(message.as_bytes()).as_bytes(),
        &gzip(message.as_bytes()),
    ] {
        assert_eq!(texts(&framed(payload), &options), [LABELLED]);
    }
    let whole = framed(message.as_bytes());
    assert_eq!(texts(&whole[..whole.len() - 3], &options), ["syntax at avro"]);
    assert_eq!(texts(&framed(b"hello"), &options), ["unknown_format at payload"]);
    // What is not framed is read as always.
    assert_eq!(texts(message.as_bytes(), &options), [LABELLED]);
    let other = AvroInput::new("event.text", WriterSchemas::one(SCHEMA).unwrap());
    let other = DecodeOptions { avro: Some(other), ..DecodeOptions::default() };
    assert_eq!(texts(&whole, &other), ["wrong_type at avro"]);
}

/// The chest message in HL7's own XML: groups, types as names of components, an escape as an element.
fn xml(charset: &str) -> String {
    format!(
        r#"<?xml version="1.0" encoding="{charset}" standalone="no"?>
<ORU_R01 xmlns="urn:hl7-org:v2xml">
  <MSH>
    <MSH.1>|</MSH.1><MSH.2>^~\&amp;</MSH.2>
    <MSH.3><HD.1>RIS</HD.1></MSH.3><MSH.4><HD.1>GENHOSP</HD.1></MSH.4>
    <MSH.7><TS.1>20260102030405</TS.1></MSH.7>
    <MSH.9><MSG.1>ORU</MSG.1><MSG.2>R01</MSG.2><MSG.3>ORU_R01</MSG.3></MSH.9>
    <MSH.10>MSG0001</MSH.10><MSH.11><PT.1>P</PT.1></MSH.11><MSH.12><VID.1>2.5.1</VID.1></MSH.12>
  </MSH>
  <ORU_R01.PATIENT_RESULT>
    <ORU_R01.PATIENT><PID><PID.1>1</PID.1><PID.3><CX.1>900001</CX.1><CX.4><HD.1>GENHOSP</HD.1></CX.4></PID.3></PID></ORU_R01.PATIENT>
    <ORU_R01.ORDER_OBSERVATION>
      <OBR>
        <OBR.3><EI.1>A1000001</EI.1><EI.2>RIS</EI.2></OBR.3>
        <OBR.4><CE.1>71046</CE.1><CE.2>XR CHEST 2 VIEWS</CE.2><CE.3>C4</CE.3></OBR.4>
        <OBR.22><TS.1>20260102030300</TS.1></OBR.22><OBR.24>RAD</OBR.24><OBR.25>F</OBR.25>
      </OBR>
      <ORU_R01.OBSERVATION><OBX>
        <OBX.2>TX</OBX.2><OBX.3><CE.1>71046&amp;GDT</CE.1></OBX.3>
        <OBX.5>FINDINGS: Heart size is normal (5|6 &amp; 7^2), R&#246;ntgen &lt;5 mm.</OBX.5>
        <OBX.5>Small left pleural effusion.</OBX.5>
        <OBX.11>F</OBX.11>
      </OBX></ORU_R01.OBSERVATION>
      <ORU_R01.OBSERVATION><OBX>
        <OBX.2>FT</OBX.2>
        <OBX.5>IMPRESSION:<escape V=".br"/>1. Small effusion.
2. No pneumothorax.</OBX.5>
        <OBX.11>F</OBX.11>
      </OBX></ORU_R01.OBSERVATION>
    </ORU_R01.ORDER_OBSERVATION>
  </ORU_R01.PATIENT_RESULT>
</ORU_R01>"#
    )
}

#[test]
fn hl7_in_xml_is_the_same_report_as_in_er7() {
    let wanted = "Heart size is normal (5|6 & 7^2), Röntgen <5 mm.\nSmall left pleural effusion.\n\
                  1. Small effusion.\n2. No pneumothorax.";
    let document = xml("UTF-8");
    assert_eq!(text_of(document.as_bytes()), wanted);
    let read = report(document.as_bytes());
    let er7 = report(Message::chest().text().as_bytes());
    assert_eq!(read.key, er7.key);
    assert_eq!(read.version, er7.version);
    assert_eq!(read.message_type, "ORU^R01");
    assert_eq!(
        (read.sending_application.as_str(), read.sending_facility.as_str()),
        ("RIS", "GENHOSP")
    );
    assert_eq!(read.procedure.codings[0].code, "71046");
    // A Latin-1 document, bytes above 127 and all.
    let latin = xml("ISO-8859-1").replace("&#246;", "\u{f6}");
    let latin = encoding_rs::WINDOWS_1252.encode(&latin).0.into_owned();
    assert_eq!(text_of(&latin), wanted);
    assert_eq!(text_of(base64(document.as_bytes()).as_bytes()), wanted);
}

#[test]
fn hl7_in_xml_with_numbered_components_is_read_too() {
    let xml = "<HL7Message><MSH><MSH.3><MSH.3.1>RIS</MSH.3.1></MSH.3><MSH.9><MSH.9.1>ORU</MSH.9.1>\
        <MSH.9.2>R01</MSH.9.2></MSH.9></MSH><PID><PID.3><PID.3.1>1</PID.3.1></PID.3></PID>\
        <OBR><OBR.3><OBR.3.1>A1</OBR.3.1><OBR.3.2>RIS</OBR.3.2></OBR.3><OBR.4><OBR.4.1>71046</OBR.4.1>\
        <OBR.4.2>XR CHEST</OBR.4.2></OBR.4><OBR.25><OBR.25.1>F</OBR.25.1></OBR.25></OBR>\
        <OBX><OBX.2><OBX.2.1>TX</OBX.2.1></OBX.2><OBX.5><OBX.5.1>No acute disease seen.</OBX.5.1></OBX.5>\
        <OBX.11><OBX.11.1>F</OBX.11.1></OBX.11></OBX></HL7Message>";
    assert_eq!(text_of(xml.as_bytes()), "No acute disease seen.");
    assert_eq!(report(xml.as_bytes()).key.expose(), "RIS|A1");
    assert_eq!(outcome(&xml.as_bytes()[..400]), "dead_letter(truncated)");
    for end in 0..xml.len() {
        assert!(!texts(&xml.as_bytes()[..end], &DecodeOptions::default()).is_empty());
    }
}
