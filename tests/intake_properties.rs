//! What must hold of any input: an outcome, no panic, and the same text however a message is wrapped.

mod intake_support;

use base64::Engine as _;
use intake_support::{LABELLED, Message, outcomes, text_of};
use proptest::prelude::*;

fn bundle() -> String {
    let html = base64::engine::general_purpose::STANDARD.encode(
        "<html><body><p>FINDINGS: Lungs clear.</p><p>IMPRESSION: Normal.</p></body></html>",
    );
    format!(
        r#"{{"resourceType":"Bundle","type":"message","entry":[
            {{"resource":{{"resourceType":"MessageHeader","source":{{"name":"RIS"}}}}}},
            {{"fullUrl":"urn:uuid:1","resource":{{"resourceType":"DiagnosticReport","id":"r1","status":"final",
              "identifier":[{{"type":{{"coding":[{{"code":"ACSN"}}]}},"system":"urn:h","value":"A1"}}],
              "code":{{"coding":[{{"system":"http://loinc.org","code":"36643-5","display":"XR Chest 2 Views"}}]}},
              "issued":"2026-01-02T03:04:05Z","presentedForm":[{{"contentType":"text/html","data":"{html}"}}]}}}}]}}"#
    )
}

#[test]
fn every_cut_of_a_message_gives_an_outcome() {
    let message = Message::chest()
        .and(r"OBX|4|FT|X^é\T\||Röntgen \.br\ \XC3A9\ ~ end||||||F")
        .and("OBX|5|ED|P||^AP^PDF^Base64^JVBERi0xLjQ=||||||F")
        .text();
    let framed = format!("\u{b}{message}\u{1c}\r");
    let batch = format!("FHS|^~\\&\r{message}{message}FTS|1\r");
    let json = bundle();
    for bytes in [message.as_bytes(), framed.as_bytes(), batch.as_bytes(), json.as_bytes()] {
        for end in 0..=bytes.len() {
            assert!(!outcomes(&bytes[..end]).is_empty());
            assert!(!outcomes(&bytes[end..]).is_empty());
        }
    }
    assert_eq!(text_of(json.as_bytes()), "Lungs clear.\nNormal.");
}

#[test]
fn every_wrapping_of_a_message_gives_the_same_text() {
    let message = Message::chest().text();
    let encoded = base64::engine::general_purpose::STANDARD.encode(&message);
    let utf16: Vec<u8> = message.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let notes = message
        .replace("OBX|2|TX|71046&GDT^XR CHEST^C4||||||||F\r", "")
        .replace("OBX|1|TX|71046&GDT^XR CHEST^C4||", "NTE|1||")
        .replace("OBX|3|TX|71046&IMP^XR CHEST^C4||", "NTE|2||")
        .replace("||||||F\r", "\r");
    let merged = message.replace(
        "||||||F\rOBX|2|TX|71046&GDT^XR CHEST^C4||||||||F\rOBX|3|TX|71046&IMP^XR CHEST^C4||",
        "~~",
    );
    let words = message
        .replace("Heart size is", "Heart size~is")
        .replace("pleural effusion. No", "pleural effusion. \\H\\No\\N\\");
    let document = message
        .replace("ORU^R01^ORU_R01", "MDM^T02^MDM_T02")
        .replace("OBX|1|", "TXA|1|DI|TX|||||20260102030300||||D1|||||AU\rOBX|1|");
    let zed =
        message.replace("\rOBX", "\rZXX|1|x|y\rOBX").replace("\rPV1", "\rNTE|1||patient note\rPV1");
    for (name, bytes) in [
        ("LF", message.replace('\r', "\n").into_bytes()),
        ("CRLF", message.replace('\r', "\r\n").into_bytes()),
        ("no last terminator", message.trim_end().as_bytes().to_vec()),
        ("MLLP", format!("\u{b}{message}\u{1c}\r").into_bytes()),
        ("batch", format!("FHS|^~\\&\rBHS|^~\\&\r{message}BTS|1\rFTS|1\r").into_bytes()),
        ("base64", encoded.clone().into_bytes()),
        ("envelope", format!("{{\"data\":\"{encoded}\"}}").into_bytes()),
        ("UTF-16", utf16),
        ("notes", notes.into_bytes()),
        ("one value", merged.into_bytes()),
        ("repetitions and highlights", words.into_bytes()),
        ("document", document.into_bytes()),
        ("private segments", zed.into_bytes()),
        ("truncation character", message.replace("^~\\&|", "^~\\&#|").into_bytes()),
        ("string literal", message.replace('\\', "\\\\").into_bytes()),
        ("no value types", message.replace("|TX|", "||").into_bytes()),
        ("no identifiers", message.replace("71046&GDT^XR CHEST^C4", "").into_bytes()),
        ("local names", message.replace("71046&GDT^XR CHEST^C4", "R^REPORT^L").into_bytes()),
    ] {
        assert_eq!(text_of(&bytes), LABELLED, "{name}");
    }
}

/// Pieces that messages are made of, in any order.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"MSH|^~\\&|A|B|||20260102||ORU^R01|1|P|2.5\r".to_vec()),
        Just(b"PID|1||1\r".to_vec()),
        Just(b"ORC|RE|P1|F1\r".to_vec()),
        Just(b"OBR|1|P1|F1|71046^XR CHEST^C4|||||||||||||||||||||F\r".to_vec()),
        Just(b"TXA|1|DI|TX||||||||||D1|||||AU\r".to_vec()),
        Just(b"OBX|1|TX|&GDT||FINDINGS: clear.||||||F\r".to_vec()),
        Just(b"OBX|1|ED|||^^^Base64^QUJD||||||W\r".to_vec()),
        Just(b"NTE|1||note \\.br\\\r".to_vec()),
        Just(b"FHS|^~\\&\r".to_vec()),
        Just(b"\x0b".to_vec()),
        Just(b"\x1c\r".to_vec()),
        Just(b"{\"resourceType\":\"DiagnosticReport\",\"id\":\"1\",\"conclusion\":\"x\"}".to_vec()),
        proptest::collection::vec(any::<u8>(), 0..12),
        "[|^~&\\\\\\r\\n:.A-Za-z0-9 ]{0,30}".prop_map(String::into_bytes),
    ];
    proptest::collection::vec(piece, 0..14).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn any_pile_of_segments_gives_outcomes(bytes in pieces()) {
        prop_assert!(!outcomes(&bytes).is_empty());
    }

    #[test]
    fn any_damage_to_a_message_gives_outcomes(
        place in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        json in any::<bool>(),
    ) {
        let mut bytes = if json { bundle() } else { Message::chest().text() }.into_bytes();
        let at = place.index(bytes.len());
        bytes[at] = byte;
        prop_assert!(!outcomes(&bytes).is_empty());
    }

    #[test]
    fn any_plain_text_is_labelled_or_not_without_panic(text in any::<String>()) {
        if let Some(found) = radstream::extract::text_from_plain(&text) {
            prop_assert!(!found.model_input().expose().trim().is_empty());
        }
        let _ = radstream::extract::text_from_sections(&text, &text);
    }

    #[test]
    fn sentences_of_a_report_reach_the_student_whole(
        findings in "[A-Z][a-z]{2,9}( [a-z]{2,9}){1,8}\\.",
        impression in "[A-Z][a-z]{2,9}( [a-z]{2,9}){1,8}\\.",
    ) {
        let obx = [
            format!("OBX|1|TX|||FINDINGS: {findings}||||||F"),
            format!("OBX|2|TX|||IMPRESSION: {impression}||||||F"),
        ];
        let obx: Vec<&str> = obx.iter().map(String::as_str).collect();
        let text = text_of(Message::with_obx(&obx).text().as_bytes());
        prop_assert_eq!(text, format!("{findings}\n{impression}"));
    }
}
