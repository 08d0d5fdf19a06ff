//! Messy inputs from real feeds, each a test named after its case (M01 to M35). Data is made up.

mod intake_support;

use base64::Engine as _;
use intake_support::{
    LABELLED, Message, decoded, lines, outcome, outcome_of, outcomes, report, text_of, with,
};
use radstream::decode::{DecodeOptions, Decoded, RejectionClass};
use radstream::report::{Intent, ReportStatus, SectionKind, Skip, Warning};

fn base64(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[test]
fn m01_lf_and_crlf_terminators_give_the_same_report() {
    for end in ["\n", "\r\n"] {
        let bytes = Message::chest().text().replace('\r', end);
        let report = report(bytes.as_bytes());
        assert_eq!(text_of(bytes.as_bytes()), LABELLED);
        assert!(report.warnings.contains(&Warning::NonstandardTerminator));
    }
    assert!(
        !report(Message::chest().text().as_bytes())
            .warnings
            .contains(&Warning::NonstandardTerminator)
    );
}

#[test]
fn m02_a_bare_lf_inside_a_value_is_data() {
    let bytes =
        Message::with_obx(&["OBX|1|TX|&GDT||FINDINGS:\nHeart normal.\nABC|x\nNo effusion.||||||F"])
            .text();
    assert_eq!(text_of(bytes.as_bytes()), "Heart normal.\nABC|x\nNo effusion.");
    let lf_only = bytes.replace('\r', "\n").replace("ABC|x\n", "");
    assert_eq!(text_of(lf_only.as_bytes()), "Heart normal.\nNo effusion.");
}

#[test]
fn m03_framing_bytes_and_log_text_are_dropped() {
    let message = Message::chest().text();
    for (bytes, warned) in [
        (format!("\u{b}{message}\u{1c}\r"), false),
        (format!("\u{b}{message}\u{1c}\r\n"), false),
        (format!("2026-01-02 03:04 received\n\u{b}{message}\u{1c}\r"), true),
        (format!("2026-01-02 03:04 received \u{b}{message}\u{1c}\r"), true),
        (format!("\u{b}{message}"), false),
    ] {
        assert_eq!(text_of(bytes.as_bytes()), LABELLED);
        assert_eq!(report(bytes.as_bytes()).warnings.contains(&Warning::LeadingGarbage), warned);
    }
    let second = message.replace("A1000001", "A1000002");
    let two = format!("\u{b}{message}\u{1c}\r\u{b}{second}\u{1c}\r");
    let keys: Vec<_> = decoded(two.as_bytes()).iter().map(key).collect();
    assert_eq!(keys, ["RIS|A1000001", "RIS|A1000002"]);
}

fn key(decoded: &Decoded) -> String {
    match decoded {
        Decoded::Report(report) => report.key.expose().to_owned(),
        other => format!("{other:?}"),
    }
}

#[test]
fn m03_a_frame_that_stops_inside_a_segment_is_truncated() {
    let message = Message::chest().text();
    let cut = format!("\u{b}{}", message.trim_end_matches("cannot be excluded.||||||F\r"));
    assert_eq!(outcome(cut.as_bytes()), "dead_letter(truncated)");
}

#[test]
fn m04_unescaped_separators_and_html_in_text_lose_nothing() {
    let html = "<B>CHEST X-RAY</B><BR>FINDINGS: Heart &amp; lungs normal. See \
                <A HREF=\"http://pacs/view?a=1&b=2\">images</A>.<BR>IMPRESSION: No T&B, size 5^2 mm.";
    let bytes = Message::with_obx(&[&format!("OBX|1|FT|R^REPORT^L||{html}||||||F")]).text();
    assert_eq!(
        text_of(bytes.as_bytes()),
        "Heart & lungs normal. See images.\nNo T&B, size 5^2 mm."
    );
}

#[test]
fn m05_escapes_become_text_and_an_unterminated_one_stays() {
    let raw = r"FINDINGS:\.br\Heart normal.\X0D\\X0A\No effusion.\.sp2\\.in+4\\.ti-4\\H\Clear\N\ lungs.\X0A\IMPRESSION:\.br\Old 5 \ 6 rib. All \F\ clear.";
    let bytes = Message::with_obx(&[&format!("OBX|1|FT|R^REPORT^L||{raw}||||||F")]).text();
    let report = report(bytes.as_bytes());
    assert_eq!(
        text_of(bytes.as_bytes()),
        "Heart normal.\nNo effusion.\nClear lungs.\nOld 5 \\ 6 rib. All | clear."
    );
    assert!(report.warnings.contains(&Warning::UnknownEscape));
}

#[test]
fn m06_a_twice_escaped_line_break_is_a_line_break() {
    let raw = r"FINDINGS: line one.\E\.br\E\Line two at \E\\E\server\E\share.";
    let bytes = Message::with_obx(&[&format!("OBX|1|TX|||{raw}||||||F")]).text();
    assert_eq!(text_of(bytes.as_bytes()), "line one.\nLine two at \\\\server\\share.");
}

#[test]
fn m07_repetitions_are_lines_and_an_unescaped_tilde_is_text() {
    let bytes =
        Message::with_obx(&["OBX|1|TX|||FINDINGS:~Nodule measures ~5 mm.~No effusion.||||||F"])
            .text();
    assert_eq!(text_of(bytes.as_bytes()), "Nodule measures ~5 mm.\nNo effusion.");
}

#[test]
fn m08_one_line_per_obx_keeps_physical_order_and_paragraphs() {
    let bytes = Message::with_obx(&[
        "OBX|3|TX|||EXAM: XR CHEST||||||F",
        "OBX|3|TX|||||||||F",
        "OBX|1|TX|||FINDINGS||||||F",
        "OBX|1|TX|||The heart is normal in size and the lungs are||||||F",
        "OBX|2|TX|||clear bilaterally.||||||F",
        "OBX||TX|||||||||F",
        "OBX|9|TX|||IMPRESSION: No acute disease.||||||F",
    ])
    .text();
    assert_eq!(
        text_of(bytes.as_bytes()),
        "The heart is normal in size and the lungs are clear bilaterally.\nNo acute disease."
    );
}

#[test]
fn m09_text_beside_a_pdf_is_labelled_and_the_pdf_is_noted() {
    let pdf = format!("OBX|3|ED|PDF^Report^L||RIS^AP^PDF^Base64^{}||||||F", base64(b"%PDF-1.4 x"));
    let bytes = Message::chest().and(&pdf).text();
    assert_eq!(text_of(bytes.as_bytes()), LABELLED);
    assert!(report(bytes.as_bytes()).warnings.contains(&Warning::AttachmentNotRead));
}

#[test]
fn m10_a_pdf_alone_is_no_text_and_a_text_document_is_read() {
    let pdf = base64(b"%PDF-1.4 x");
    let bytes = Message::with_obx(&[&format!("OBX|1|ED|PDF||^^^^{pdf}||||||F")]).text();
    assert_eq!(outcome(bytes.as_bytes()), "skipped_no_text");
    let mut rtf =
        base64(b"{\\rtf1\\ansi FINDINGS: Lungs clear.\\par IMPRESSION: Normal chest.\\par}");
    rtf.insert_str(12, "\\.br\\");
    let bytes = Message::with_obx(&[&format!("OBX|1|ED|R||^TEXT^RTF^Base64^{rtf}||||||F")]).text();
    assert_eq!(text_of(bytes.as_bytes()), "Lungs clear.\nNormal chest.");
    let large = base64(format!("FINDINGS: {}", "Lungs clear. ".repeat(6000)).as_bytes());
    let bytes = Message::with_obx(&[&format!("OBX|1|ED|R||^TEXT^^Base64^{large}||||||F")]).text();
    assert!(text_of(bytes.as_bytes()).len() > 64 * 1024);
}

#[test]
fn m11_a_missing_or_invented_value_type_is_text() {
    for value_type in ["", "String"] {
        let obx = format!("OBX|1|{value_type}|||FINDINGS: Lungs are clear. No effusion.||||||F");
        let bytes = Message::with_obx(&[&obx]).text();
        assert_eq!(text_of(bytes.as_bytes()), "Lungs are clear. No effusion.");
        assert!(report(bytes.as_bytes()).warnings.contains(&Warning::UnknownValueType));
    }
}

#[test]
fn m12_every_character_set_gives_the_same_text() {
    let text = |charset: &str| {
        Message::with_obx(&["OBX|1|TX|||FINDINGS: Small Ghon\u{e9} focus, R\u{f6}ntgen of the chest is clear.||||||F"])
            .charset(charset)
            .text()
    };
    let latin = |text: String| encoding_rs::WINDOWS_1252.encode(&text).0.into_owned();
    let wanted = "Small Ghoné focus, Röntgen of the chest is clear.";
    let mut marked = b"\xef\xbb\xbf".to_vec();
    marked.extend(text("UNICODE UTF-8").bytes());
    for (bytes, guessed) in [
        (latin(text("")), true),
        (latin(text("8859/1")), false),
        (text("UNICODE UTF-8").into_bytes(), false),
        (text("8859/1").into_bytes(), true),
        (marked, false),
    ] {
        assert_eq!(text_of(&bytes), wanted);
        assert_eq!(report(&bytes).warnings.contains(&Warning::CharsetGuessed), guessed);
    }
}

#[test]
fn m13_a_bad_message_in_a_batch_is_rejected_alone() {
    let good = Message::chest().text();
    let other = good.replace("A1000001", "A1000002");
    let batch =
        format!("FHS|^~\\&|RIS\rBHS|^~\\&|RIS\r{good}MSH|^~\\&|RIS|||\r{other}BTS|7\rFTS|1\r");
    let found = outcomes(batch.as_bytes());
    assert_eq!(found, ["labelled", "dead_letter(truncated)", "labelled"]);
    let Decoded::Rejected(rejection) = &decoded(batch.as_bytes())[1] else {
        panic!("not rejected")
    };
    assert_eq!(rejection.location, "message[2]/MSH-9");
    // BTS-1 says 7 where there are 3: something may be missing, and every finding says so.
    for decoded in decoded(batch.as_bytes()) {
        if let Decoded::Report(report) = decoded {
            assert!(report.warnings.contains(&Warning::BatchCountMismatch));
        }
    }
    assert_eq!(outcomes(format!("{good}{other}").as_bytes()), ["labelled", "labelled"]);
    assert_eq!(outcomes(b"FHS|^~\\&|RIS\rFTS|0\r"), ["skipped_non_report"]);
}

#[test]
fn m14_the_key_is_the_order_never_the_message() {
    let first = Message::chest().text();
    let second = first.replace("A1000001", "A1000002").replace("900001", "900002");
    assert_ne!(report(first.as_bytes()).key, report(second.as_bytes()).key);
    let nameless = first.replace("MSG0001", "");
    assert_eq!(report(first.as_bytes()).key, report(nameless.as_bytes()).key);
    assert_eq!(report(first.as_bytes()).version, report(first.as_bytes()).version);
}

#[test]
fn m15_versions_order_themselves_whatever_arrives_first() {
    let version = |status: &str, changed: &str| {
        report(Message::chest().status(status).changed(changed).text().as_bytes()).version
    };
    let preliminary = version("P", "20260102030000");
    let last = version("F", "20260102040000");
    let corrected = version("C", "20260102050000");
    assert!(preliminary < last && last < corrected);
    // Same time: the stronger status is the later version.
    assert!(version("P", "20260102030000") < version("F", "20260102030000"));
    assert!(version("F", "20260102030000") < version("C", "20260102030000"));
}

#[test]
fn m16_an_addendum_alone_is_marked() {
    for status in ["A", "F"] {
        let bytes =
            Message::with_obx(&["OBX|1|TX|||ADDENDUM: No pneumothorax on re-review.||||||F"])
                .status(status)
                .text();
        let (report, text) = outcome_of(bytes.as_bytes());
        assert_eq!(text.as_deref(), Some("No pneumothorax on re-review."));
        assert_eq!(report.status, ReportStatus::Appended);
        assert_eq!(report.version.rank, ReportStatus::Appended.rank());
        assert!(report.warnings.contains(&Warning::AddendumAlone));
    }
    let appended =
        Message::with_obx(&["OBX|1|TX|&ADT||No pneumothorax on re-review.||||||B"]).text();
    assert!(outcome_of(appended.as_bytes()).0.warnings.contains(&Warning::AddendumAlone));
    let whole = Message::chest().and("OBX|4|TX|&ADT||ADDENDUM: Tiny pneumothorax.||||||F").text();
    assert_eq!(text_of(whole.as_bytes()), format!("{LABELLED}\nTiny pneumothorax."));
}

#[test]
fn m17_withdrawals_retract_and_an_unsent_final_promotes() {
    for status in ["D", "W", "X"] {
        let obx = format!("OBX|1|TX|&GDT||FINDINGS: Pneumothorax.||||||{status}");
        let report = report(Message::with_obx(&[&obx]).text().as_bytes());
        assert_eq!((report.intent, report.status), (Intent::Retract, ReportStatus::Retracted));
        assert!(report.blocks.is_empty());
    }
    let cancelled = report(Message::chest().status("X").text().as_bytes());
    assert_eq!(cancelled.intent, Intent::Retract);
    for status in ["entered-in-error", "cancelled"] {
        let json = format!(
            r#"{{"resourceType":"DiagnosticReport","id":"r1","status":"{status}","code":{{"text":"XR CHEST"}}}}"#
        );
        assert_eq!(report(json.as_bytes()).intent, Intent::Retract);
    }
    let unsent = report(Message::with_obx(&["OBX|1|TX|&GDT||||||||U"]).text().as_bytes());
    assert_eq!((unsent.intent, unsent.status), (Intent::Promote, ReportStatus::Final));
    let silent = report(Message::with_obx(&[]).text().as_bytes());
    assert_eq!(silent.intent, Intent::Promote);
    // One deleted line among others is left out, no more.
    let bytes = Message::chest().and("OBX|4|TX|&IMP||Large pneumothorax.||||||D").text();
    assert_eq!(text_of(bytes.as_bytes()), LABELLED);
}

#[test]
fn m18_text_in_notes_is_the_report_and_the_pointer_to_it_is_not() {
    let notes = "NTE|1||FINDINGS: Lungs are clear.\rNTE|2||IMPRESSION: No acute disease.";
    for obx in [
        "OBX|1|TX|R^REPORT^L||See Comments||||||F\r",
        "OBX|1|TX|R^REPORT^L||See Report||||||F\r",
        "",
    ] {
        let bytes = Message::with_obx(&[&format!("{obx}{notes}")]).text();
        assert_eq!(text_of(bytes.as_bytes()), "Lungs are clear.\nNo acute disease.", "{obx}");
    }
    let alone = Message::with_obx(&["OBX|1|TX|R^REPORT^L||See Comments||||||F"]).text();
    assert_eq!(outcome(alone.as_bytes()), "skipped_no_text");
}

#[test]
fn m19_orders_and_patients_of_one_message_are_never_mixed() {
    let ct = "OBR|1||A1^RIS|71260^CT CHEST^C4|||||||||||||||||||||F\rOBX|1|TX|||FINDINGS: CT shows a mass.||||||F";
    let xr = "OBR|2||A2^RIS|71046^XR CHEST^C4|||||||||||||||||||||F\rOBX|1|TX|||FINDINGS: Lungs are clear.||||||F";
    let same = xr.replace("A2^RIS", "A3^RIS");
    let message = format!(
        "MSH|^~\\&|RIS|HOSP|||20260102||ORU^R01|1|P|2.5\rPID|1||1\r{ct}\r{xr}\rPID|2||2\r{same}\r"
    );
    assert_eq!(outcomes(message.as_bytes()), ["skipped_not_chest", "labelled", "labelled"]);
    let keys: Vec<_> = decoded(message.as_bytes()).iter().map(key).collect();
    assert_eq!(keys, ["RIS|A1", "RIS|A2", "RIS|A3"]);
    // The same key under two patients stays two reports; under one patient it is one.
    let clash = message.replace("A3^RIS", "A2^RIS");
    assert_eq!(decoded(clash.as_bytes()).len(), 3);
    let joined = clash.replace("PID|2||2\r", "");
    assert_eq!(decoded(joined.as_bytes()).len(), 2);
}

#[test]
fn m20_fhir_text_is_found_wherever_it_is() {
    let report = |fields: &str| {
        format!(
            r#"{{"resourceType":"DiagnosticReport","id":"r1","status":"final","code":{{"coding":[{{"system":"http://loinc.org","code":"36643-5"}}]}},{fields}}}"#
        )
    };
    let html = base64(b"<html><body><p>FINDINGS:</p><br/>Lungs are clear.<p>IMPRESSION: No acute disease.</p></body></html>");
    let (first, second) = html.split_at(16);
    let html = format!("{first}\\n{second}");
    let rtf = base64(b"{\\rtf1 FINDINGS: Lungs are clear.\\par IMPRESSION: No acute disease.}");
    let wanted = "Lungs are clear.\nNo acute disease.";
    for fields in [
        format!(r#""presentedForm":[{{"contentType":"text/html","data":"{html}"}}]"#),
        format!(r#""presentedForm":[{{"contentType":"application/rtf","data":"{rtf}"}}]"#),
        r##""contained":[{"resourceType":"Observation","id":"f","code":{"coding":[{"code":"59776-5"}]},"valueString":"Lungs are clear."},
            {"resourceType":"Observation","id":"i","code":{"coding":[{"code":"19005-8"}]},"valueString":"No acute disease."}],
            "result":[{"reference":"#f"},{"reference":"#i"}]"##.to_owned(),
        r#""conclusion":"FINDINGS:\\nLungs are clear.\\nIMPRESSION:\\nNo acute disease.""#.to_owned(),
    ] {
        assert_eq!(text_of(report(&fields).as_bytes()), wanted, "{fields}");
    }
    assert_eq!(
        text_of(report(r#""conclusion":"No acute disease.""#).as_bytes()),
        "No acute disease."
    );
    assert_eq!(
        outcome(report(r#""presentedForm":[{"url":"Binary/1"}]"#).as_bytes()),
        "needs_fetch"
    );
    let id_only = r#"{"resourceType":"Bundle","type":"history","entry":[{"resource":{"resourceType":"Parameters","parameter":[
        {"name":"type","valueCode":"event-notification"},{"name":"notification-event","part":[{"name":"focus","valueReference":{"reference":"DiagnosticReport/1"}}]}]}}]}"#;
    assert_eq!(outcome(id_only.as_bytes()), "needs_fetch");
    let two = report(r#""conclusion":"No acute disease.""#);
    let bundle = format!(
        r#"{{"resourceType":"Bundle","entry":[{{"resource":{two}}},{{"resource":{}}}]}}"#,
        two.replace("r1", "r2")
    );
    assert_eq!(outcomes(bundle.as_bytes()), ["labelled", "labelled"]);
}

#[test]
fn m21_custom_delimiters_and_lower_case_segment_names() {
    let custom: String = Message::chest()
        .text()
        .chars()
        .map(|c| match c {
            '|' => ']',
            '^' => '(',
            '~' => '!',
            '&' => '%',
            other => other,
        })
        .collect();
    assert_eq!(text_of(custom.as_bytes()), LABELLED);
    let lower = Message::chest()
        .text()
        .replace("OBX|", "obx|")
        .replace("OBR|", "obr|")
        .replace("MSH|", "msh|");
    assert_eq!(text_of(lower.as_bytes()), LABELLED);
}

#[test]
fn m22_hl7_null_is_no_text() {
    let bytes = Message::with_obx(&["OBX|1|TX|&GDT||\"\"||||||F"]).text();
    assert_eq!(outcome(bytes.as_bytes()), "skipped_no_text");
}

#[test]
fn m23_envelopes_and_base64_are_opened() {
    let message = Message::chest().text();
    let encoded = base64(message.as_bytes());
    let quoted = serde_json::to_string(&message).expect("JSON");
    for bytes in [
        format!(r#"{{"name":"x","data":"{encoded}"}}"#),
        format!(r#"{{"message":{{"data":"{encoded}"}}}}"#),
        format!(r#"{{"hl7":{quoted}}}"#),
        encoded.clone(),
    ] {
        assert_eq!(text_of(bytes.as_bytes()), LABELLED);
    }
}

#[test]
fn m24_a_resource_name_needs_a_fetch() {
    let name = "projects/p/locations/l/datasets/d/hl7V2Stores/s/messages/m";
    assert_eq!(outcome(name.as_bytes()), "needs_fetch");
}

#[test]
fn m25_a_placeholder_impression_gives_way_to_the_real_one() {
    let bytes = Message::with_obx(&[
        "OBX|1|TX|||IMPRESSION: Please see below.||||||F",
        "OBX|2|TX|||FINDINGS: Lungs are clear.||||||F",
        "OBX|3|TX|||IMPRESSION: No acute disease.||||||F",
    ])
    .text();
    assert_eq!(text_of(bytes.as_bytes()), "Lungs are clear.\nNo acute disease.");
}

#[test]
fn m26_odd_statuses_and_times_are_read_or_said() {
    let missing = report(Message::chest().status("").without_line_status().text().as_bytes());
    assert_eq!(missing.status, ReportStatus::Final);
    assert!(missing.warnings.contains(&Warning::StatusMissing));
    assert_eq!(
        report(Message::chest().status("p").text().as_bytes()).status,
        ReportStatus::Preliminary
    );
    let at = |changed: &str| report(Message::chest().changed(changed).text().as_bytes());
    assert_eq!(at("20260102").version.changed_at_ms, 1_767_312_000_000);
    assert_eq!(at("202601020304").version.changed_at_ms, 1_767_323_040_000);
    assert_eq!(at("20260102030405.5+0000").version.changed_at_ms, 1_767_323_045_500);
    let bad = at("00000000");
    assert!(bad.warnings.contains(&Warning::BadTimestamp));
    assert_eq!(bad.version.changed_at_ms, bad.version.message_at_ms);
}

#[test]
fn m27_test_messages_are_skipped_unless_accepted() {
    for id in ["T", "D"] {
        let bytes = Message::chest().text().replace("|MSG0001|P|", &format!("|MSG0001|{id}|"));
        assert_eq!(outcome(bytes.as_bytes()), "skipped_test");
        let options = DecodeOptions { accept_test_messages: true, ..DecodeOptions::default() };
        let decoded = radstream::decode::decode(bytes.as_bytes(), &options);
        assert!(matches!(&decoded[..], [Decoded::Report(report)] if report.test_message));
    }
}

#[test]
fn m28_z_segments_between_lines_and_glued_segments_do_no_harm() {
    let z = Message::chest().text().replace("OBX|3", "ZXX|1|private|x\rOBX|3");
    assert_eq!(text_of(z.as_bytes()), LABELLED);
    let glued = Message::chest().text().replace("|F\rPV1", "|F||1||PID|1||\rPV1");
    assert_eq!(text_of(glued.as_bytes()), LABELLED);
}

#[test]
fn m29_huge_reports_are_read_and_empty_ones_are_no_text() {
    let many: Vec<String> = (0..10_000)
        .map(|n| format!("OBX|{n}|TX|&GDT||Sentence {n} of the report.||||||F"))
        .collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let text = text_of(Message::with_obx(&many).text().as_bytes());
    assert!(text.starts_with("Sentence 0 of") && text.ends_with("Sentence 9999 of the report."));
    let long = format!("OBX|1|TX|||FINDINGS: {}||||||F", "Lungs are clear. ".repeat(60_000));
    assert_eq!(text_of(Message::with_obx(&[&long]).text().as_bytes()).len(), 60_000 * 17 - 1);
    let empty = vec!["OBX|1|TX|&GDT||  ||||||P"; 1000];
    assert_eq!(outcome(Message::with_obx(&empty).status("P").text().as_bytes()), "skipped_no_text");
}

#[test]
fn m30_reports_in_other_languages_are_skipped() {
    let german = "OBX|1|TX|||BEFUND: Herz und Lunge unauffällig. Kein Erguss. Keine Infiltrate. Kein Pneumothorax.||||||F";
    let bytes = Message::with_obx(&[german])
        .procedure("RTX^Röntgen Thorax^L")
        .charset("UNICODE UTF-8")
        .text();
    assert_eq!(outcome(bytes.as_bytes()), "skipped_language");
    let spanish = "OBX|1|TX|||HALLAZGOS: Silueta cardíaca dentro de límites normales. Sin derrame pleural. No se observa neumotórax.||||||F";
    let bytes =
        Message::with_obx(&[spanish]).procedure("RX^RX TORAX^L").charset("UNICODE UTF-8").text();
    assert_eq!(outcome(bytes.as_bytes()), "skipped_language");
}

#[test]
fn m31_invisible_characters_and_typographic_quotes_become_plain() {
    let obx = "OBX|1|TX|||FINDINGS:\u{a0}The patient\u{2019}s lungs\0are\u{c}clear. Pneumo\u{ad}thorax absent.||||||F";
    let bytes = Message::with_obx(&[obx]).charset("UNICODE UTF-8").text();
    assert_eq!(text_of(bytes.as_bytes()), "The patient's lungs are clear. Pneumothorax absent.");
}

#[test]
fn m32_patient_names_and_identifiers_never_reach_the_text() {
    let bytes = Message::chest()
        .text()
        .replace("TESTER^ALFA", "MASS^NODULE")
        .replace("^^^GENHOSP^MR", "~900001");
    assert_eq!(text_of(bytes.as_bytes()), LABELLED);
    assert!(!format!("{:?}", decoded(bytes.as_bytes())).contains("effusion"));
}

#[test]
fn m33_a_suffix_is_read_from_either_component() {
    for identifier in
        ["71046&IMP^XR CHEST^C4", "&IMP", "IMP", "71046^IMP", "71046^XR&IMP^C4", "19005-8^x^LN"]
    {
        let obx = format!("OBX|1|TX|{identifier}||No acute disease.||||||F");
        let (_, sections) = with(Message::with_obx(&[&obx]).text().as_bytes());
        assert_eq!(
            sections,
            [(SectionKind::Impression, "No acute disease.".to_owned())],
            "{identifier}"
        );
    }
}

#[test]
fn m34_a_report_that_an_ai_drafted_is_labelled_and_marked() {
    let resource = |meta: &str| {
        format!(
            r#"{{"resourceType":"DiagnosticReport","id":"r1","status":"final","code":{{"text":"XR CHEST"}},"conclusion":"No acute disease."{meta}}}"#
        )
    };
    let label = r#","meta":{"security":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ObservationValue","code":"AIAST"}]}"#;
    let drafted = resource(label);
    let bundle = |meta: &str, resource: &str| {
        format!(r#"{{"resourceType":"Bundle","entry":[{{"resource":{resource}}}]{meta}}}"#)
    };
    for json in [drafted.clone(), bundle("", &drafted), bundle(label, &resource(""))] {
        assert_eq!(outcome(json.as_bytes()), "labelled");
        assert!(report(json.as_bytes()).warnings.contains(&Warning::AiDrafted), "{json}");
    }
    assert!(!report(resource("").as_bytes()).warnings.contains(&Warning::AiDrafted));
    let test = resource(r#","meta":{"security":[{"code":"HTEST"}]}"#);
    assert_eq!(outcome(test.as_bytes()), "skipped_test");
}

#[test]
fn m35_an_unescaped_field_separator_is_put_back_into_the_text() {
    let obx = "OBX|1|TX|&GDT||FINDINGS: Lungs | clear | no effusion.||||||F";
    assert_eq!(
        text_of(Message::with_obx(&[obx]).text().as_bytes()),
        "Lungs | clear | no effusion."
    );
    let lost = "OBX|1|TX|&GDT||FINDINGS: a|b is large|c|d|e|f|there is no status here";
    let bytes = Message::with_obx(&[lost]).text();
    assert_eq!(outcome(bytes.as_bytes()), "dead_letter(field_shift)");
    let Decoded::Rejected(rejection) = &decoded(bytes.as_bytes())[0] else {
        panic!("not rejected")
    };
    assert_eq!(
        (rejection.class, rejection.location.as_str()),
        (RejectionClass::FieldShift, "OBX[1]-5")
    );
}

#[test]
fn other_messages_and_other_exams_are_counted_not_labelled() {
    for kind in ["ADT^A01", "ORM^O01", "ACK", "OUL^R22", "ORU^R30"] {
        let bytes = Message::chest().text().replace("ORU^R01^ORU_R01", kind);
        assert_eq!(outcome(bytes.as_bytes()), Skip::NonReport.name(), "{kind}");
    }
    let laboratory = "MSH|^~\\&|LAB|H|||20260102||ORU^R01|1|P|2.5\rOBR|1||L1|GLU^GLUCOSE^L|||||||||||||||||||||F\rOBX|1|NM|GLU||5.4|mmol/L|||||F\r";
    assert_eq!(outcome(laboratory.as_bytes()), "skipped_non_report");
    let ct = Message::chest().procedure("71260^CT CHEST W CONTRAST^C4").text();
    assert_eq!(outcome(ct.as_bytes()), "skipped_not_chest");
}

#[test]
fn a_document_is_read_replaced_appended_and_withdrawn() {
    let document = |trigger: &str, filler: &str| {
        format!(
            "MSH|^~\\&|DICT|HOSP|||20260102030405||MDM^{trigger}|1|P|2.5\rEVN|{trigger}|20260102\rPID|1||1\r\
             OBR|1|||71046^XR CHEST 2 VIEWS^C4\r\
             TXA|1|DI|TX||||20260102|20260102030300||||DOC9^DICT|DOC8^DICT||{filler}||AU\r\
             OBX|1|TX|||FINDINGS: Lungs are clear.||||||F\rOBX|2|TX|||IMPRESSION: No acute disease.||||||F\r"
        )
    };
    let original = document("T02", "A77^RIS");
    assert_eq!(text_of(original.as_bytes()), "Lungs are clear.\nNo acute disease.");
    let read = report(original.as_bytes());
    assert_eq!((read.key.expose(), read.status), ("RIS|A77", ReportStatus::Final));
    assert_eq!(read.version.changed_at_ms, 1_767_322_980_000);
    assert_eq!(report(document("T10", "A77^RIS").as_bytes()).status, ReportStatus::Corrected);
    let addendum = report(document("T06", "").as_bytes());
    assert_eq!((addendum.key.expose(), addendum.status), ("DICT|DOC8", ReportStatus::Appended));
    assert!(addendum.warnings.contains(&Warning::FillerNumberMissing));
    assert_eq!(report(document("T11", "A77^RIS").as_bytes()).intent, Intent::Retract);
    assert_eq!(lines(document("T02", "").as_bytes()), 2);
}

#[test]
fn a_report_that_nothing_identifies_is_rejected() {
    let bytes = Message::chest().text().replace("A1000001^RIS", "").replace("PL123^EHR", "");
    assert_eq!(outcome(bytes.as_bytes()), "dead_letter(missing_identity)");
    let placer = report(Message::chest().text().replace("A1000001^RIS", "").as_bytes());
    assert_eq!(placer.key.expose(), "EHR|PL123");
    assert!(placer.warnings.contains(&Warning::FillerNumberMissing));
    let json =
        r#"{"resourceType":"DiagnosticReport","status":"final","conclusion":"Lungs are clear."}"#;
    assert_eq!(outcome(json.as_bytes()), "dead_letter(missing_identity)");
}

#[test]
fn a_wrong_type_where_the_text_should_be_is_rejected_by_name() {
    let json = r#"{"resourceType":"Bundle","entry":[{"resource":{"resourceType":"Patient","conclusion":1}},
        {"resource":{"resourceType":"DiagnosticReport","id":"1","status":"final","presentedForm":"oops"}}]}"#;
    let decoded = decoded(json.as_bytes());
    let [Decoded::Rejected(rejection)] = &decoded[..] else { panic!("not rejected") };
    assert_eq!(rejection.location, "$.entry[1].resource.presentedForm");
}
