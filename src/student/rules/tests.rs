//! Canonical sentences of mention, denial, hedge and reach, and the score on our own corpus.

use std::collections::BTreeMap;

use super::*;
use crate::report::{LabelledSection, Phi, SectionKind};

fn report(findings: &str, impression: &str) -> ReportText {
    let sections = [(SectionKind::Findings, findings), (SectionKind::Impression, impression)]
        .into_iter()
        .filter(|(_, text)| !text.trim().is_empty())
        .map(|(kind, text)| LabelledSection { kind, text: Phi::from(text) })
        .collect();
    ReportText { sections, present: Vec::new() }
}

fn chosen(row: &[f32; STATUSES]) -> FindingStatus {
    let best = (0..STATUSES).max_by(|&a, &b| row[a].total_cmp(&row[b]));
    FindingStatus::ALL[best.unwrap()]
}

/// `cardiomegaly:p pleural_effusion:n`, in model order, mentioned cells only.
fn shown(labeler: &RuleLabeler, sentence: &str) -> String {
    let scored = labeler.label(&report(sentence, ""));
    let cells = Observation::ALL.iter().zip(&scored.probabilities).filter_map(|(o, row)| {
        let status = chosen(row);
        (status != FindingStatus::NotMentioned)
            .then(|| format!("{}:{}", o.name(), status.name().get(..1).unwrap()))
    });
    cells.collect::<Vec<_>>().join(" ")
}

#[test]
fn canonical_sentences_get_their_labels() {
    let labeler = RuleLabeler::new();
    let cases = [
        // Mentions (guide, table).
        ("Small left pleural effusion.", "pleural_effusion:p"),
        ("Moderate pericardial effusion.", ""),
        ("Portable chest.", ""),
        ("Calcified granuloma in the left base.", "lung_lesion:p"),
        ("Calcified hilar lymph nodes.", ""),
        ("Massive hiatal hernia.", ""),
        ("Pleural-parenchymal scarring at the apices.", "lung_opacity:p pleural_other:p"),
        ("Hydropneumothorax on the left.", "pneumothorax:p pleural_effusion:p"),
        ("Right IJ catheter tip in the SVC.", "support_devices:p"),
        ("Old healed left rib fractures.", "fracture:p"),
        ("Compression deformity of T12.", "fracture:p"),
        ("Pulmonary vascularity is normal.", ""),
        ("No acute cardiopulmonary abnormality.", ""),
        ("Negative chest.", ""),
        // Denial and its reach (3, 4, 7, 8).
        (
            "No focal consolidation, effusion, or pneumothorax.",
            "consolidation:n pneumothorax:n pleural_effusion:n",
        ),
        ("No pneumothorax, small left effusion.", "pneumothorax:n pleural_effusion:p"),
        ("No large effusion.", "pleural_effusion:n"),
        ("No change in the left effusion.", "pleural_effusion:p"),
        ("Lungs are clear.", "lung_opacity:n"),
        ("The costophrenic angles are sharp.", "pleural_effusion:n"),
        ("Blunting of the left costophrenic angle.", "pleural_effusion:u"),
        ("No fracture other than the known rib fracture.", "fracture:p"),
        ("Osseous structures are intact.", "fracture:n"),
        ("No opacity to suggest pneumonia.", "lung_opacity:n pneumonia:n"),
        ("Cardiomegaly without edema.", "cardiomegaly:p edema:n"),
        ("PNEUMOTHORAX: None.", "pneumothorax:n"),
        ("LUNGS: no infiltrate, no nodule.", "lung_opacity:n lung_lesion:n"),
        // Hedges (1, 2, 22).
        ("Basilar opacity, likely atelectasis.", "lung_opacity:p atelectasis:u"),
        ("Pneumonia cannot be excluded.", "pneumonia:u"),
        ("Pneumonia not excluded.", "pneumonia:u"),
        ("Right basilar atelectasis or pneumonia.", "pneumonia:u atelectasis:u"),
        ("Atelectasis/consolidation at the left base.", "consolidation:u atelectasis:u"),
        ("Pulmonary edema is unlikely.", "edema:u"),
        ("Opacity compatible with pneumonia.", "lung_opacity:p pneumonia:p"),
        ("Small effusion suspected.", "pleural_effusion:u"),
        // Heart and mediastinum (5, 17, 38).
        ("The heart is normal in size.", "cardiomegaly:n"),
        ("The heart is at the upper limits of normal.", "cardiomegaly:n"),
        ("The heart is mildly enlarged.", "cardiomegaly:p"),
        ("Borderline heart size.", "cardiomegaly:u"),
        ("The heart is not enlarged.", "cardiomegaly:n"),
        ("The heart may be slightly enlarged.", "cardiomegaly:u"),
        ("The heart is stable.", ""),
        ("Cardiomediastinal silhouette is normal.", "enlarged_cardiomediastinum:n"),
        ("Heart and mediastinum are normal.", "enlarged_cardiomediastinum:n cardiomegaly:n"),
        ("Widened superior mediastinum.", "enlarged_cardiomediastinum:p"),
        // Change (6), advice (14), history, alternatives (19, 40).
        ("Interval removal of the chest tube.", "support_devices:n"),
        ("The effusion has resolved.", "pleural_effusion:n"),
        ("Partially resolved effusion.", "pleural_effusion:p"),
        ("Recommend CT to evaluate for nodule.", ""),
        ("Density at the base is a nipple shadow.", ""),
        ("The nodule may be a nipple shadow.", "lung_lesion:u"),
        ("Scar rather than atelectasis.", "lung_opacity:p atelectasis:n"),
    ];
    let wrong: Vec<String> = cases
        .iter()
        .filter_map(|(sentence, wanted)| {
            let got = shown(&labeler, sentence);
            (got != *wanted).then(|| format!("{sentence}\n  wanted {wanted}\n  got    {got}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn positive_beats_uncertain_beats_negative_over_sections() {
    let labeler = RuleLabeler::new();
    let status = |findings, impression| {
        chosen(&labeler.label(&report(findings, impression)).probabilities[9])
    };
    assert_eq!(status("No effusion.", "Possible effusion."), FindingStatus::Uncertain);
    assert_eq!(status("Small effusion.", "No effusion."), FindingStatus::Positive);
}

#[test]
fn evidence_is_the_sentence_that_decided_in_characters() {
    let labeler = RuleLabeler::new();
    let findings = "No effusion on the right – señora. Small effusion on the left. Clear.";
    let scored = labeler.label(&report(findings, "Heart normal."));
    let evidence = scored.evidence[9].unwrap();
    let span: String = findings
        .chars()
        .skip(evidence.start as usize)
        .take((evidence.end - evidence.start) as usize)
        .collect();
    assert_eq!(span, "Small effusion on the left.");
    assert_eq!(scored.evidence[1].unwrap().section, SectionKind::Impression);
    assert_eq!(scored.evidence[8], None);
}

#[test]
fn every_row_of_probabilities_sums_to_one() {
    for row in CALIBRATED {
        assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-6);
    }
}

#[test]
fn the_identity_names_the_tables() {
    let identity = RuleLabeler::new();
    assert_eq!(identity.model().name, "rules");
    assert_eq!(identity.model().sha256.len(), 64);
}

/// A floor, a little under what was measured when the rules were last changed.
#[test]
fn the_corpus_is_labelled_as_well_as_before() {
    let labeler = RuleLabeler::new();
    let lines = include_str!("../../../distill/corpus/reports.jsonl");
    let mut cells: BTreeMap<&str, [[f64; 3]; 4]> = BTreeMap::new();
    for line in lines.lines() {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        let text =
            report(value["findings"].as_str().unwrap(), value["impression"].as_str().unwrap());
        let scored = labeler.label(&text);
        for (observation, row) in Observation::ALL.iter().zip(&scored.probabilities) {
            let gold = value["labels"][observation.name()].as_str().unwrap_or("not_mentioned");
            let got = chosen(row);
            let counts = cells.entry(observation.name()).or_default();
            for (class, status) in FindingStatus::ALL.into_iter().enumerate() {
                match (status.name() == gold, status == got) {
                    (true, true) => counts[class][0] += 1.0,
                    (false, true) => counts[class][1] += 1.0,
                    (true, false) => counts[class][2] += 1.0,
                    (false, false) => {}
                }
            }
        }
    }
    let macro_f1 = |class: usize| {
        let each = cells.values().map(|counts| {
            let [hit, false_alarm, missed] = counts[class];
            2.0 * hit / (2.0 * hit + false_alarm + missed)
        });
        each.sum::<f64>() / OBSERVATIONS as f64
    };
    let [_, positive, negative, uncertain] = [0, 1, 2, 3].map(macro_f1);
    assert!(positive >= 0.89, "positive {positive:.3}");
    assert!(negative >= 0.88, "negation {negative:.3}");
    assert!(uncertain >= 0.78, "uncertainty {uncertain:.3}");
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "(?s).{0,300}", words in "((no|effusion|heart|is|or|,|possible|normal|é|nodule|[.?;]) ?){0,40}") {
        let labeler = LABELER.with(std::clone::Clone::clone);
        let scored = labeler.label(&report(&text, &words));
        for evidence in scored.evidence.into_iter().flatten() {
            assert!(evidence.start < evidence.end);
        }
    }
}

thread_local! {
    static LABELER: std::rc::Rc<RuleLabeler> = std::rc::Rc::new(RuleLabeler::new());
}
