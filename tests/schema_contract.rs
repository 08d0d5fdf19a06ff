//! Holds `schemas/` and the code together: what is published fits the files and reads back the same.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop there")]

use std::borrow::Cow;

use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use radstream::publish::{
    Contract, DecodeError, EncodeError, Escalation, EventKind, FindingsEvent, Framing, Identity,
    Labelled, ModelIdentity, Outgoing, Provenance, PublishSettings, PublishedStatus, Publisher,
    SchemaIds, Source, Topic, content_hash, decode,
};
use radstream::report::{
    Coding, Evidence, FindingStatus, Intent, KnownIdentifier, KnownKind, LabelledSection,
    OBSERVATIONS, Observation, Phi, Procedure, Report, ReportKey, ReportStatus, ReportText,
    ReportVersion, Scored, SectionKind, Warning,
};
use radstream::route::{Decision, Hints, RoutePolicy, decide, draw_of};

const NOW: i64 = 1_717_243_200_123;

fn report() -> Report {
    Report {
        key: ReportKey::new("RIS", "ACC-778812"),
        accession_number: Phi::from("ACC-778812"),
        intent: Intent::Label,
        status: ReportStatus::Final,
        version: ReportVersion {
            changed_at_ms: 1_717_240_000_000,
            rank: ReportStatus::Final.rank(),
            message_at_ms: 1_717_240_001_000,
        },
        procedure: Procedure {
            codings: vec![Coding {
                code: "36643-5".into(),
                text: "XR CHEST 2 VIEWS".into(),
                system: "LN".into(),
            }],
            service_section: Some("RAD".into()),
        },
        blocks: vec![],
        message_type: "ORU^R01".into(),
        sending_application: "RIS".into(),
        sending_facility: "GENERAL".into(),
        charset: "UTF-8",
        profile: None,
        test_message: false,
        warnings: vec![Warning::CharsetGuessed],
    }
}

fn text() -> ReportText {
    let section = |kind, text: &str| LabelledSection { kind, text: Phi::from(text) };
    ReportText {
        sections: vec![
            section(SectionKind::Findings, "Œdema is mild. No pneumothorax."),
            section(SectionKind::Impression, "Mild edema, possible pneumonia."),
        ],
        present: vec![SectionKind::Indication, SectionKind::Findings, SectionKind::Impression],
    }
}

fn scored() -> Scored {
    let mut scored = Scored {
        probabilities: [[0.97, 0.01, 0.01, 0.01]; OBSERVATIONS],
        evidence: [None; OBSERVATIONS],
        truncated: false,
    };
    scored.probabilities[4] = [0.01, 0.97, 0.01, 0.01];
    scored.evidence[4] = Some(Evidence { section: SectionKind::Findings, start: 0, end: 14 });
    scored.probabilities[6] = [0.01, 0.01, 0.01, 0.97];
    scored.probabilities[8] = [0.0, 0.49, 0.51, 0.0];
    scored
}

fn identifiers() -> Vec<KnownIdentifier> {
    vec![
        KnownIdentifier::new(KnownKind::PatientName, "MUSTERFRAU^ERIKA"),
        KnownIdentifier::new(KnownKind::Number, "MRN-5512"),
    ]
}

fn model() -> ModelIdentity {
    ModelIdentity { name: "default".into(), version: "0.1".into(), sha256: "ab".repeat(32) }
}

fn decision() -> Decision {
    let policy = RoutePolicy {
        escalate: true,
        thresholds: [0.8; OBSERVATIONS],
        audit_rate: 0.0,
        max_escalation_rate: 1.0,
        doubtful_share: 1.0,
        max_tokens_per_word: 0.0,
        max_rule_conflicts: None,
    };
    let draw = draw_of(&Identity::of(&report(), &text(), &model()).event_id);
    decide(&scored(), &report(), &Hints::default(), &policy, draw)
}

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn headers() -> Vec<(String, Vec<u8>)> {
    vec![("traceparent".into(), TRACE.into()), ("patient".into(), b"DOE^JANE".to_vec())]
}

fn source(headers: &[(String, Vec<u8>)]) -> Source<'_> {
    Source {
        topic: "radiology.reports",
        partition: 3,
        offset: 1234,
        timestamp_ms: Some(1_717_240_002_000),
        part: 1,
        headers,
    }
}

/// Publishes `text` as the report's, as it was decided.
fn with_labelled<T>(text: &ReportText, publish: impl FnOnce(Labelled<'_>) -> T) -> T {
    let headers = headers();
    let (source, report, scored) = (source(&headers), report(), scored());
    let (decision, model) = (decision(), model());
    let identity = Identity::of(&report, text, &model);
    publish(Labelled {
        source: &source,
        report: &report,
        text,
        scored: &scored,
        decision: &decision,
        model: &model,
        identity,
        identifiers: &identifiers(),
    })
}

fn publish(settings: PublishSettings, now_ms: i64) -> (Outgoing, Outgoing) {
    let publisher = Publisher::new(settings);
    with_labelled(&text(), |labelled| {
        let findings = publisher.findings(labelled, now_ms).unwrap();
        (findings, publisher.escalation(labelled, now_ms).unwrap())
    })
}

fn findings_event(outgoing: &Outgoing) -> FindingsEvent<'static> {
    decode(Contract::Findings, outgoing.payload.as_deref().unwrap()).unwrap()
}

fn header<'a>(outgoing: &'a Outgoing, name: &str) -> Option<&'a str> {
    let (_, value) = outgoing.headers.iter().find(|(n, _)| n == name)?;
    Some(std::str::from_utf8(value).unwrap())
}

#[test]
fn findings_read_back_as_they_were_written() {
    let (outgoing, _) = publish(PublishSettings::default(), NOW);
    assert_eq!(outgoing.topic, Topic::Findings);
    assert_eq!(outgoing.key.as_deref(), Some(b"RIS|ACC-778812".as_slice()));
    assert_eq!(outgoing.timestamp_ms, None);

    let event = findings_event(&outgoing);
    assert_eq!(event.kind, EventKind::Labelled);
    assert_eq!(event.event_id, Identity::of(&report(), &text(), &model()).event_id);
    assert_eq!(event.report_status, PublishedStatus::Final);
    assert_eq!(event.report_version.changed_at, 1_717_240_000_000);
    assert_eq!(event.report_version.rank, 3);
    assert_eq!(event.provenance, Provenance::Student);
    assert!(event.ai_asserted && event.doubtful && event.pending_teacher);
    assert!(!event.escalation_withheld);
    assert_eq!(event.revision, 0);
    assert_eq!(event.sections_present, ["indication", "findings", "impression"]);
    assert_eq!(event.sections_labelled, ["findings", "impression"]);
    assert_eq!(event.warnings, ["charset_guessed"]);
    assert_eq!(event.no_finding.as_deref(), Some("not_mentioned"));
    assert_eq!(event.labelled_at, NOW);
    assert_eq!(event.model.as_deref(), Some(&model()));
    assert_eq!(event.procedure.codings[0].text, "XR CHEST 2 VIEWS");
    assert_eq!(event.source.topic, "radiology.reports");
    assert_eq!((event.source.partition, event.source.offset, event.source.part), (3, 1234, 1));
    assert_eq!(event.source.timestamp, Some(1_717_240_002_000));

    let names: Vec<&str> = event.findings.iter().map(|f| f.observation.as_ref()).collect();
    assert_eq!(names, Observation::ALL.map(Observation::name));
    let edema = &event.findings[4];
    assert_eq!((edema.status.as_ref(), edema.confidence), ("positive", 0.97));
    let evidence = edema.evidence.as_ref().unwrap();
    assert_eq!((evidence.section.as_ref(), evidence.start, evidence.end), ("findings", 0, 14));
    assert_eq!(event.findings[6].status, FindingStatus::Uncertain.name());

    // The hedge (pneumonia) is no reason, the narrow choice (pneumothorax) is.
    assert_eq!(event.escalation_reasons.len(), 1);
    let reason = &event.escalation_reasons[0];
    assert_eq!(reason.reason, "low_confidence");
    assert_eq!(reason.observation.as_deref(), Some("pneumothorax"));
    assert_eq!((reason.confidence, reason.threshold), (Some(0.51), Some(0.8)));
}

#[test]
fn an_escalation_carries_the_text_and_asks_only_about_the_doubtful_cell() {
    let (findings, outgoing) = publish(PublishSettings::default(), NOW);
    assert_eq!(outgoing.topic, Topic::Escalations);
    assert_eq!(outgoing.key, findings.key);
    let escalation: Escalation<'static> =
        decode(Contract::Escalation, outgoing.payload.as_deref().unwrap()).unwrap();
    assert_eq!(escalation.event_id, findings_event(&findings).event_id);
    assert_eq!(Some(escalation.content_hash), findings_event(&findings).content_hash);
    assert_eq!(escalation.sections[0].text, "Œdema is mild. No pneumothorax.");
    assert_eq!(escalation.sections[1].kind, "impression");
    let identifiers: Vec<(&str, &str)> =
        escalation.identifiers.iter().map(|i| (i.kind.as_ref(), i.value.as_ref())).collect();
    assert_eq!(identifiers, [("patient_name", "MUSTERFRAU^ERIKA"), ("number", "MRN-5512")]);
    assert_eq!(escalation.cells.len(), OBSERVATIONS);
    let asked: Vec<&str> =
        escalation.cells.iter().filter(|c| c.ask).map(|c| c.observation.as_ref()).collect();
    assert_eq!(asked, ["pneumothorax"]);
    assert_eq!(escalation.cells[8].probabilities.negative, 0.51);
    assert_eq!(escalation.cells[8].reasons[0].reason, "low_confidence");
    assert_eq!(escalation.report_reasons, []);
    assert!(!escalation.training_excluded);
    assert_eq!(escalation.escalated_at, NOW);
}

#[test]
fn m34_an_escalation_of_an_ai_drafted_report_is_excluded_from_training() {
    let headers = headers();
    let report = Report { warnings: vec![Warning::AiDrafted], ..report() };
    let (text, scored, decision, model) = (text(), scored(), decision(), model());
    let labelled = Labelled {
        source: &source(&headers),
        report: &report,
        text: &text,
        scored: &scored,
        decision: &decision,
        model: &model,
        identity: Identity::of(&report, &text, &model),
        identifiers: &[],
    };
    let outgoing = Publisher::new(PublishSettings::default()).escalation(labelled, NOW).unwrap();
    let escalation: Escalation<'static> =
        decode(Contract::Escalation, outgoing.payload.as_deref().unwrap()).unwrap();
    assert!(escalation.training_excluded);
    assert_eq!(escalation.warnings, ["ai_drafted"]);
}

#[test]
fn evidence_is_quoted_only_when_configured() {
    let quoted = |evidence_text| {
        let settings = PublishSettings { evidence_text, ..PublishSettings::default() };
        let event = findings_event(&publish(settings, NOW).0);
        event.findings[4].evidence.clone().unwrap().text.map(Cow::into_owned)
    };
    assert_eq!(quoted(false), None);
    assert_eq!(quoted(true).as_deref(), Some("Œdema is mild."));
}

#[test]
fn evidence_of_one_of_two_sections_of_a_kind_is_not_quoted() {
    let mut text = text();
    text.sections[1].kind = SectionKind::Findings;
    let publisher =
        Publisher::new(PublishSettings { evidence_text: true, ..PublishSettings::default() });
    let outgoing = with_labelled(&text, |labelled| publisher.findings(labelled, NOW).unwrap());
    assert_eq!(findings_event(&outgoing).findings[4].evidence.clone().unwrap().text, None);
}

#[test]
fn a_redo_at_another_time_differs_in_nothing_but_the_time() {
    let (mut early, mut early_escalation) = publish(PublishSettings::default(), NOW);
    let (mut late, mut late_escalation) = publish(PublishSettings::default(), NOW + 60_000);
    assert_ne!(early, late);
    for outgoing in [&mut early, &mut late, &mut early_escalation, &mut late_escalation] {
        outgoing.headers.retain(|(name, _)| name != "ce_time");
    }
    let event = FindingsEvent { labelled_at: 0, ..findings_event(&early) };
    assert!(event == FindingsEvent { labelled_at: 0, ..findings_event(&late) });
    assert_eq!(early.headers, late.headers);
    assert_eq!(early_escalation.headers, late_escalation.headers);
    // Same bytes but for the time, which takes as many bytes in both.
    let (early, late) = (early.payload.unwrap(), late.payload.unwrap());
    assert_eq!(early.len(), late.len());
    let differing = early.iter().zip(&late).filter(|(a, b)| a != b).count();
    assert!((1..=6).contains(&differing), "{differing} bytes differ");
}

#[test]
fn retractions_and_promotions_carry_identity_and_no_findings() {
    let publisher = Publisher::new(PublishSettings::default());
    let retraction = publisher.retraction(&source(&[]), &report(), NOW).unwrap();
    let promotion = publisher.promotion(&source(&[]), &report(), NOW).unwrap();
    let (retracted, promoted) = (findings_event(&retraction), findings_event(&promotion));
    assert_eq!((retracted.kind, promoted.kind), (EventKind::Retracted, EventKind::Promoted));
    assert_ne!(retracted.event_id, promoted.event_id);
    for event in [retracted, promoted] {
        assert_eq!(event.report_key, "RIS|ACC-778812");
        assert_eq!(event.findings.len(), 0);
        assert_eq!((event.no_finding, event.content_hash, event.model), (None, None, None));
        assert!(!event.ai_asserted);
        assert_eq!(event.provenance, Provenance::Unknown);
    }
    assert_eq!(header(&retraction, "ce_type"), Some("org.radstream.findings.retracted.v1"));
    assert_eq!(header(&promotion, "ce_type"), Some("org.radstream.findings.promoted.v1"));
}

#[test]
fn headers_are_cloud_events_with_the_trace_context_and_no_identifier() {
    let (findings, escalation) = publish(PublishSettings::default(), NOW);
    let id = findings_event(&findings).event_id.to_string();
    let expected = [
        ("content-type", "application/avro"),
        ("ce_specversion", "1.0"),
        ("ce_id", id.as_str()),
        ("ce_source", "/radstream/label"),
        ("ce_type", "org.radstream.findings.labelled.v1"),
        ("ce_time", "2024-06-01T12:00:00.123Z"),
        ("radstream.schema", "org.radstream.FindingsEvent"),
        ("traceparent", TRACE),
    ];
    let got: Vec<(&str, &str)> = findings
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), std::str::from_utf8(value).unwrap()))
        .collect();
    assert_eq!(got, expected);
    // CloudEvents asks that source and id together are unique.
    assert_eq!(header(&escalation, "ce_id"), Some(id.as_str()));
    assert_eq!(header(&escalation, "ce_source"), Some("/radstream/label/escalations"));
}

#[test]
fn with_a_registry_the_same_body_follows_the_ids_of_the_registry() {
    let ids = SchemaIds { findings: 7, escalations: 0x0102_0304, distillation: None };
    let confluent = PublishSettings { framing: Framing::Confluent(ids), ..Default::default() };
    let (findings, escalation) = publish(confluent, NOW);
    let (plain, _) = publish(PublishSettings::default(), NOW);
    let (findings_bytes, plain) = (findings.payload.clone().unwrap(), plain.payload.unwrap());
    assert_eq!(findings_bytes[..5], [0, 0, 0, 0, 7]);
    assert_eq!(findings_bytes[5..], plain[10..]);
    assert_eq!(escalation.payload.unwrap()[..5], [0, 1, 2, 3, 4]);
    assert_eq!(findings_event(&findings).report_key, "RIS|ACC-778812");
}

#[test]
fn a_payload_that_is_not_ours_is_refused() {
    let read = |bytes: &[u8]| decode::<FindingsEvent<'static>>(Contract::Findings, bytes).err();
    let (findings, escalation) = publish(PublishSettings::default(), NOW);
    let bytes = findings.payload.unwrap();
    let schema = Contract::Findings.name();
    assert_eq!(read(b""), Some(DecodeError::Framing { schema }));
    assert_eq!(read(b"MSH|"), Some(DecodeError::Framing { schema }));
    assert_eq!(read(&[0, 0, 0]), Some(DecodeError::Framing { schema }));
    assert_eq!(read(&escalation.payload.unwrap()), Some(DecodeError::OtherSchema { schema }));
    for cut in [11, 40, bytes.len() - 1] {
        assert_eq!(read(&bytes[..cut]), Some(DecodeError::Body { schema }), "cut at {cut}");
    }
    assert_eq!(read(&[bytes.as_slice(), b"x"].concat()), Some(DecodeError::Body { schema }));
}

#[test]
fn a_record_that_the_broker_would_refuse_is_an_error_without_its_text() {
    let publisher =
        Publisher::new(PublishSettings { max_message_bytes: 2500, ..Default::default() });
    let mut text = text();
    text.sections[0].text = Phi::from("EFFUSION ".repeat(1000));
    let error = with_labelled(&text, |labelled| publisher.escalation(labelled, NOW).unwrap_err());
    assert!(matches!(error, EncodeError::TooLarge { limit: 2500, .. }));
    assert!(!format!("{error} {error:?}").contains("EFFUSION"));
}

#[test]
fn debug_shows_no_text_and_no_identifier() {
    let headers = headers();
    let (findings, escalation) =
        publish(PublishSettings { evidence_text: true, ..Default::default() }, NOW);
    let read: Escalation<'static> =
        decode(Contract::Escalation, escalation.payload.as_deref().unwrap()).unwrap();
    let shown = format!(
        "{findings:?} {escalation:?} {:?} {read:?} {:?}",
        findings_event(&findings),
        source(&headers)
    );
    for secret in ["778812", "DOE", "MUSTERFRAU", "5512", "pneumothorax", "dema"] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
}

#[test]
fn the_hash_of_the_content_is_the_published_one() {
    let event = findings_event(&publish(PublishSettings::default(), NOW).0);
    let hash = content_hash(&text(), &report().procedure);
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(event.content_hash.as_deref(), Some(hex.as_str()));
}

/// The struct must name every field of the file, in its order: a field that the struct lacked would
/// be written as its default without a word.
#[test]
fn structs_and_files_have_the_same_fields_in_the_same_order() {
    let (findings, escalation) = publish(PublishSettings::default(), NOW);
    for (contract, outgoing, names) in [
        (Contract::Findings, &findings, field_names(&findings_event(&findings))),
        (
            Contract::Escalation,
            &escalation,
            field_names(
                &decode::<Escalation<'static>>(
                    Contract::Escalation,
                    escalation.payload.as_deref().unwrap(),
                )
                .unwrap(),
            ),
        ),
    ] {
        let reader = GenericDatumReader::builder(contract.schema()).build().unwrap();
        let Value::Record(fields) =
            reader.read_value(&mut &outgoing.payload.as_deref().unwrap()[10..]).unwrap()
        else {
            panic!("{} is a record", contract.name());
        };
        let in_file: Vec<String> = fields.into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, in_file, "{}", contract.file());
    }
}

/// Names of the fields that a struct serialises, nested ones after a dot, as JSON shows them.
fn field_names<T: serde::Serialize>(value: &T) -> Vec<String> {
    // A string, since serde_json's map sorts its keys.
    let text = serde_json::to_string(value).unwrap();
    let mut depth = 0;
    let mut names = Vec::new();
    let mut rest = text.as_str();
    while let Some(at) = rest.find(['{', '}', '[', ']', '"']) {
        let (_, tail) = rest.split_at(at);
        let (token, tail) = tail.split_at(1);
        rest = tail;
        match token {
            "{" | "[" => depth += 1,
            "}" | "]" => depth -= 1,
            _ => {
                let end = rest.find('"').unwrap();
                let (string, tail) = rest.split_at(end);
                rest = tail.strip_prefix('"').unwrap();
                if depth == 1 && rest.starts_with(':') {
                    names.push(string.to_owned());
                }
            }
        }
    }
    names
}
