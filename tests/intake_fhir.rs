//! FHIR resources and bundles: what is a report, who it is, and which version.

mod intake_support;

use intake_support::{outcome, outcomes, report, text_of};
use radstream::report::{ReportStatus, Warning};

fn diagnostic_report(fields: &str) -> String {
    format!(
        r#"{{"resourceType":"DiagnosticReport","id":"r1","code":{{"text":"XR CHEST 2 VIEWS"}},"conclusion":"No acute cardiopulmonary disease seen.",{fields}}}"#
    )
}

fn bundle(resources: &[&str]) -> String {
    let entries: Vec<String> =
        resources.iter().map(|resource| format!(r#"{{"resource":{resource}}}"#)).collect();
    format!(
        r#"{{"resourceType":"Bundle","timestamp":"2026-01-02T03:04:05Z","entry":[{}]}}"#,
        entries.join(",")
    )
}

#[test]
fn the_filler_or_accession_number_is_the_identity_wherever_it_is() {
    let own = diagnostic_report(
        r#""status":"final","identifier":[{"type":{"coding":[{"code":"PLAC"}]},"system":"urn:e","value":"P1"},
           {"type":{"coding":[{"code":"FILL"}]},"system":"urn:r","value":"F1"}]"#,
    );
    assert_eq!(report(own.as_bytes()).key.expose(), "urn:r|F1");
    let order = r#"{"resourceType":"ServiceRequest","id":"s1","identifier":[
        {"type":{"coding":[{"code":"ACSN"}]},"system":"urn:r","value":"F1"}]}"#;
    let based =
        diagnostic_report(r#""status":"final","basedOn":[{"reference":"ServiceRequest/s1"}]"#);
    let read = report(bundle(&[&based, order]).as_bytes());
    assert_eq!(read.key.expose(), "urn:r|F1");
    assert!(!read.warnings.contains(&Warning::FillerNumberMissing));
    let alone = report(diagnostic_report(r#""status":"final","meta":{"source":"ris"}"#).as_bytes());
    assert_eq!(alone.key.expose(), "ris|r1");
    assert!(alone.warnings.contains(&Warning::FillerNumberMissing));
}

#[test]
fn statuses_and_times_order_the_versions() {
    let version = |status: &str, issued: &str| {
        report(diagnostic_report(&format!(r#""status":"{status}","issued":"{issued}""#)).as_bytes())
    };
    let preliminary = version("preliminary", "2026-01-02T03:04:05Z");
    let amended = version("amended", "2026-01-02T03:04:05+00:00");
    assert_eq!(amended.status, ReportStatus::Amended);
    assert!(preliminary.version < amended.version);
    assert_eq!(amended.version.changed_at_ms, 1_767_323_045_000);
    assert_eq!(version("unknown", "2026").status, ReportStatus::Final);
    assert!(version("final", "soon").warnings.contains(&Warning::BadTimestamp));
    assert_eq!(
        outcome(
            diagnostic_report(r#""status":"registered""#)
                .replace("\"conclusion\":\"No acute cardiopulmonary disease seen.\",", "")
                .as_bytes()
        ),
        "skipped_no_text"
    );
}

#[test]
fn a_document_bundle_without_a_report_is_read_from_its_composition() {
    let composition = r#"{"resourceType":"Composition","status":"final","date":"2026-01-02","title":"Chest X-ray",
        "identifier":{"system":"urn:r","value":"D1"},
        "type":{"coding":[{"system":"http://loinc.org","code":"18748-4"}]},
        "section":[{"title":"History","code":{"coding":[{"code":"11329-0"}]},"text":{"div":"<div><p>Pneumonia last year.</p></div>"}},
          {"title":"Findings","text":{"div":"<div><p>Lungs are clear.</p></div>"}},
          {"code":{"coding":[{"code":"19005-8"}]},"text":{"div":"<div>No acute disease.</div>"}}]}"#;
    let bytes = bundle(&[composition]);
    assert_eq!(text_of(bytes.as_bytes()), "Lungs are clear.\nNo acute disease.");
    assert_eq!(report(bytes.as_bytes()).key.expose(), "urn:r|D1");
}

#[test]
fn notifications_and_resources_that_are_no_reports_are_told_apart() {
    let status = |kind: &str| {
        bundle(&[&format!(r#"{{"resourceType":"SubscriptionStatus","type":"{kind}"}}"#)])
    };
    assert_eq!(outcome(status("handshake").as_bytes()), "skipped_non_report");
    assert_eq!(outcome(status("heartbeat").as_bytes()), "skipped_non_report");
    assert_eq!(outcome(status("event-notification").as_bytes()), "needs_fetch");
    let full = bundle(&[
        r#"{"resourceType":"SubscriptionStatus","type":"event-notification"}"#,
        &diagnostic_report(r#""status":"final""#),
    ]);
    assert_eq!(outcome(full.as_bytes()), "labelled");
    assert_eq!(outcome(br#"{"resourceType":"Patient","id":"1"}"#), "skipped_non_report");
    let laboratory =
        diagnostic_report(r#""status":"final","category":[{"coding":[{"code":"LAB"}]}]"#);
    assert_eq!(outcome(laboratory.as_bytes()), "skipped_non_report");
    let ct = diagnostic_report(r#""status":"final""#).replace("XR CHEST 2 VIEWS", "CT CHEST");
    assert_eq!(outcome(ct.as_bytes()), "skipped_not_chest");
    assert_eq!(outcome(br#"{"hello":"world"}"#), "dead_letter(unknown_format)");
}

#[test]
fn findings_in_an_attachment_and_the_conclusion_are_both_labelled_once() {
    use base64::Engine as _;
    let attached = |text: &str| {
        let data = base64::engine::general_purpose::STANDARD.encode(text);
        diagnostic_report(&format!(
            r#""status":"final","presentedForm":[{{"contentType":"text/plain","data":"{data}"}}]"#
        ))
    };
    let findings = "FINDINGS: The lungs are clear and the heart is normal.";
    let wanted =
        "The lungs are clear and the heart is normal.\nNo acute cardiopulmonary disease seen.";
    assert_eq!(text_of(attached(findings).as_bytes()), wanted);
    let whole = format!("{findings}\nIMPRESSION: No acute cardiopulmonary\ndisease seen.");
    assert_eq!(text_of(attached(&whole).as_bytes()), wanted);
}

#[test]
fn arrays_and_lines_of_resources_are_read_one_by_one() {
    let one = diagnostic_report(r#""status":"final""#);
    assert_eq!(outcomes(format!("[{one},{one}]").as_bytes()), ["labelled", "labelled"]);
    assert_eq!(outcomes(format!("{one}\n{one}\n").as_bytes()), ["labelled", "labelled"]);
    assert_eq!(
        outcomes(format!("{one}\n{{\"resourceType\":").as_bytes()),
        ["labelled", "dead_letter(truncated)"]
    );
    assert_eq!(outcomes(format!("{one} trailing").as_bytes()), ["dead_letter(syntax)"]);
}

#[test]
fn codings_without_end_are_cut_and_told() {
    let codings: Vec<String> =
        (0..100).map(|code| format!(r#"{{"system":"urn:s","code":"{code}"}}"#)).collect();
    let coded = diagnostic_report(&format!(
        r#""status":"final","identifier":[{{"value":"F1"}}],"code":{{"text":"XR CHEST","coding":[{}]}}"#,
        codings.join(",")
    ))
    .replace(r#""code":{"text":"XR CHEST 2 VIEWS"},"#, "");
    let read = report(coded.as_bytes());
    assert!(read.warnings.contains(&Warning::CodingsCut), "{:?}", read.warnings);
    assert!(read.procedure.codings.len() < 100);
}
