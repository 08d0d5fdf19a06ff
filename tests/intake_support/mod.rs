//! Made-up messages and short forms of what became of them.
#![allow(dead_code, reason = "each test binary uses its part")]

pub(crate) mod samples;

use radstream::decode::{DecodeOptions, Decoded, decode};
use radstream::extract::{ExtractPolicy, Extracted, extract};
use radstream::report::{Intent, Report, ReportText, SectionKind};

/// What the chest message's text becomes.
pub(crate) const LABELLED: &str = "Heart size is normal. Small left pleural effusion.\n\
    1. Small left pleural effusion. No pneumothorax. Pneumonia cannot be excluded.";

/// An `ORU^R01` in the making.
#[derive(Clone)]
pub(crate) struct Message {
    charset: String,
    procedure: String,
    status: String,
    changed: String,
    obx: Vec<String>,
}

impl Message {
    /// A chest radiograph with findings and impression under OBX-3 suffixes.
    pub(crate) fn chest() -> Self {
        Self::with_obx(&[
            "OBX|1|TX|71046&GDT^XR CHEST^C4||FINDINGS: Heart size is normal. Small left pleural effusion.||||||F",
            "OBX|2|TX|71046&GDT^XR CHEST^C4||||||||F",
            "OBX|3|TX|71046&IMP^XR CHEST^C4||IMPRESSION: 1. Small left pleural effusion. No pneumothorax. Pneumonia cannot be excluded.||||||F",
        ])
    }

    /// A chest radiograph with these lines after OBR.
    pub(crate) fn with_obx(obx: &[&str]) -> Self {
        Self {
            charset: String::new(),
            procedure: "71046^XR CHEST 2 VIEWS^C4^36643-5^XR Chest 2 Views^LN".into(),
            status: "F".into(),
            changed: "20260102030300".into(),
            obx: obx.iter().map(|line| (*line).to_owned()).collect(),
        }
    }

    pub(crate) fn and(mut self, line: &str) -> Self {
        self.obx.push(line.to_owned());
        self
    }

    pub(crate) fn charset(mut self, name: &str) -> Self {
        name.clone_into(&mut self.charset);
        self
    }

    pub(crate) fn procedure(mut self, obr4: &str) -> Self {
        obr4.clone_into(&mut self.procedure);
        self
    }

    pub(crate) fn status(mut self, obr25: &str) -> Self {
        obr25.clone_into(&mut self.status);
        self
    }

    pub(crate) fn changed(mut self, obr22: &str) -> Self {
        obr22.clone_into(&mut self.changed);
        self
    }

    pub(crate) fn without_line_status(mut self) -> Self {
        for line in &mut self.obx {
            *line = line.trim_end_matches('F').to_owned();
        }
        self
    }

    /// The message, segments ended by CR.
    pub(crate) fn text(&self) -> String {
        let Self { charset, procedure, status, changed, obx } = self;
        let mut text = format!(
            "MSH|^~\\&|RIS|GENHOSP|HUB|HIE|20260102030405||ORU^R01^ORU_R01|MSG0001|P|2.5.1|||AL|NE||{charset}\r\
             PID|1||900001^^^GENHOSP^MR||TESTER^ALFA^^^^^L||19500101|F\r\
             PV1|1|E|ED^12^1\r\
             ORC|RE|PL123^EHR|A1000001^RIS||CM\r\
             OBR|1|PL123^EHR|A1000001^RIS|{procedure}|||20260102025500|||||||||9^DOC^ORDERING||||||{changed}||RAD|{status}||||||^cough, rule out pneumonia|77&READER&RAD\r"
        );
        for line in obx {
            text.push_str(line);
            text.push('\r');
        }
        text
    }
}

pub(crate) fn decoded(bytes: &[u8]) -> Vec<Decoded> {
    let decoded = decode(bytes, &DecodeOptions::default());
    assert!(!decoded.is_empty(), "decode never gives nothing");
    decoded
}

/// The only report in a payload.
pub(crate) fn report(bytes: &[u8]) -> Report {
    let mut decoded = decoded(bytes);
    assert_eq!(decoded.len(), 1, "one outcome: {decoded:?}");
    match decoded.remove(0) {
        Decoded::Report(report) => *report,
        other => panic!("no report: {other:?}"),
    }
}

/// The report as extract leaves it, and the student's input.
pub(crate) fn outcome_of(bytes: &[u8]) -> (Report, Option<String>) {
    let mut report = report(bytes);
    let text = match extract(&mut report, &ExtractPolicy::default()) {
        Extracted::Text(text) => Some(text.model_input().into_inner()),
        Extracted::Skipped(_) => None,
    };
    (report, text)
}

/// The student's input of the only report in a payload.
pub(crate) fn text_of(bytes: &[u8]) -> String {
    let mut report = report(bytes);
    match extract(&mut report, &ExtractPolicy::default()) {
        Extracted::Text(text) => text.model_input().into_inner(),
        Extracted::Skipped(skip) => panic!("skipped: {skip:?}"),
    }
}

/// The sections that are labelled.
pub(crate) fn with(bytes: &[u8]) -> (Report, Vec<(SectionKind, String)>) {
    let mut report = report(bytes);
    match extract(&mut report, &ExtractPolicy::default()) {
        Extracted::Text(text) => {
            let sections = sections(&text);
            (report, sections)
        }
        Extracted::Skipped(skip) => panic!("skipped: {skip:?}"),
    }
}

pub(crate) fn sections(text: &ReportText) -> Vec<(SectionKind, String)> {
    text.sections.iter().map(|s| (s.kind, s.text.expose().clone())).collect()
}

/// How many lines the student reads.
pub(crate) fn lines(bytes: &[u8]) -> usize {
    text_of(bytes).lines().count()
}

/// What became of each report in a payload, as counted.
pub(crate) fn outcomes(bytes: &[u8]) -> Vec<String> {
    decoded(bytes).into_iter().map(name).collect()
}

fn name(decoded: Decoded) -> String {
    match decoded {
        Decoded::Rejected(rejection) => format!("dead_letter({})", rejection.class.name()),
        Decoded::Skipped(skip) => skip.name().to_owned(),
        Decoded::Report(mut report) => match report.intent {
            Intent::Promote => "promoted".to_owned(),
            Intent::Retract => "retracted".to_owned(),
            Intent::Label => match extract(&mut report, &ExtractPolicy::default()) {
                Extracted::Text(_) => "labelled".to_owned(),
                Extracted::Skipped(skip) => skip.name().to_owned(),
            },
        },
    }
}

/// What became of the only report in a payload.
pub(crate) fn outcome(bytes: &[u8]) -> String {
    let mut outcomes = outcomes(bytes);
    assert_eq!(outcomes.len(), 1, "one outcome: {outcomes:?}");
    outcomes.remove(0)
}
