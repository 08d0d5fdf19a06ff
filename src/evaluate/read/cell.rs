//! One cell: its column by name, its status by word or number, several mentions as one status.

use serde::Serialize;
use serde_json::Value;

use crate::evaluate::Label;
use crate::report::{FindingStatus, STATUSES};

/// What several mentions of one observation in one report come to.
///
/// CheXpert's paper and its code disagree when a report denies, hedges and asserts the same finding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Aggregate {
    /// Positive beats uncertain beats negative: CheXpert's documentation, and our guide.
    #[default]
    Documented,
    /// As CheXpert's code does it: negative and uncertain together are uncertain, even beside a
    /// positive.
    ChexpertCode,
}

/// The status of a report that mentions an observation so. No mention at all: not mentioned.
pub fn aggregate(mentions: &[FindingStatus], policy: Aggregate) -> FindingStatus {
    let has = |status| mentions.contains(&status);
    let (negative, uncertain) = (has(FindingStatus::Negative), has(FindingStatus::Uncertain));
    if policy == Aggregate::ChexpertCode && negative && uncertain {
        FindingStatus::Uncertain
    } else if has(FindingStatus::Positive) {
        FindingStatus::Positive
    } else if uncertain {
        FindingStatus::Uncertain
    } else if negative {
        FindingStatus::Negative
    } else {
        FindingStatus::NotMentioned
    }
}

/// The label of a column or key: machine name or title, in any case.
pub(super) fn label_of(name: &str) -> Option<Label> {
    let folded = name.trim().to_lowercase().replace([' ', '-'], "_");
    // MIMIC-CXR-JPG's radiologist file calls Lung Opacity so.
    let folded = if folded == "airspace_opacity" { "lung_opacity" } else { folded.as_str() };
    Label::ALL.into_iter().find(|label| label.name() == folded)
}

/// The label that someone most likely meant.
pub(super) fn nearest_label(name: &str) -> Option<&'static str> {
    let folded = name.trim().to_lowercase().replace([' ', '-'], "_");
    Label::ALL
        .into_iter()
        .map(|label| (strsim::jaro_winkler(label.name(), &folded), label.name()))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .and_then(|(likeness, name)| (likeness > 0.8).then_some(name))
}

/// A status as a word, as CheXpert's number, or blank (also as pandas writes them).
pub(super) fn status_of(word: &str) -> Option<FindingStatus> {
    match word.trim().to_lowercase().as_str() {
        "" | "nan" | "not_mentioned" => Some(FindingStatus::NotMentioned),
        "1" | "1.0" | "positive" => Some(FindingStatus::Positive),
        "0" | "0.0" | "negative" => Some(FindingStatus::Negative),
        "-1" | "-1.0" | "uncertain" => Some(FindingStatus::Uncertain),
        _ => None,
    }
}

/// What a JSON cell says.
pub(super) struct Cell {
    pub(super) status: FindingStatus,
    pub(super) confidence: Option<f64>,
    pub(super) probabilities: Option<[f64; STATUSES]>,
}

/// A cell of JSONL: a status, a list of mentions, or an object with status and confidence.
pub(super) fn read(value: &Value, policy: Aggregate) -> Result<Cell, &'static str> {
    let mut cell =
        Cell { status: FindingStatus::NotMentioned, confidence: None, probabilities: None };
    match value {
        Value::Object(fields) => {
            cell.status = scalar(fields.get("status").unwrap_or(&Value::Null))?;
            cell.confidence = fields.get("confidence").map(probability).transpose()?;
            cell.probabilities = fields.get("probabilities").map(distribution).transpose()?;
            if cell.confidence.is_none()
                && let Some(row) = &cell.probabilities
            {
                cell.confidence = row.get(cell.status as usize).copied();
            }
        }
        Value::Array(mentions) => {
            let mentions: Result<Vec<_>, _> = mentions.iter().map(scalar).collect();
            cell.status = aggregate(&mentions?, policy);
        }
        other => cell.status = scalar(other)?,
    }
    Ok(cell)
}

const NO_STATUS: &str = "is not positive, negative, uncertain, not_mentioned (or 1, 0, -1, blank)";
const NO_PROBABILITY: &str = "has a confidence that is not a number from 0 to 1";
const NO_DISTRIBUTION: &str =
    "has probabilities that are not four numbers (or one for each status) with sum 1";

fn scalar(value: &Value) -> Result<FindingStatus, &'static str> {
    let status = match value {
        Value::Null => Some(FindingStatus::NotMentioned),
        Value::String(word) => status_of(word),
        Value::Number(number) => status_of(&number.to_string()),
        _ => None,
    };
    status.ok_or(NO_STATUS)
}

fn probability(value: &Value) -> Result<f64, &'static str> {
    value.as_f64().filter(|p| (0.0..=1.0).contains(p)).ok_or(NO_PROBABILITY)
}

fn distribution(value: &Value) -> Result<[f64; STATUSES], &'static str> {
    let parts: Vec<&Value> = match value {
        Value::Array(parts) => parts.iter().collect(),
        Value::Object(parts) => {
            FindingStatus::ALL.iter().filter_map(|status| parts.get(status.name())).collect()
        }
        _ => Vec::new(),
    };
    let parts: Vec<f64> = parts
        .into_iter()
        .map(probability)
        .collect::<Result<_, _>>()
        .map_err(|_| NO_DISTRIBUTION)?;
    let row: [f64; STATUSES] = parts.try_into().map_err(|_| NO_DISTRIBUTION)?;
    // Published files round; a sum off by more than a percent is another thing than a distribution.
    if (row.iter().sum::<f64>() - 1.0).abs() > 0.01 { Err(NO_DISTRIBUTION) } else { Ok(row) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use FindingStatus::{Negative, NotMentioned, Positive, Uncertain};
    use serde_json::json;

    #[test]
    fn the_three_way_conflict_depends_on_the_policy() {
        let all = [Negative, Uncertain, Positive];
        assert_eq!(aggregate(&all, Aggregate::Documented), Positive);
        assert_eq!(aggregate(&all, Aggregate::ChexpertCode), Uncertain);
        for policy in [Aggregate::Documented, Aggregate::ChexpertCode] {
            assert_eq!(aggregate(&[Negative, Positive], policy), Positive);
            assert_eq!(aggregate(&[Positive, Uncertain], policy), Positive);
            assert_eq!(aggregate(&[Negative, Uncertain], policy), Uncertain);
            assert_eq!(aggregate(&[NotMentioned, Negative], policy), Negative);
            assert_eq!(aggregate(&[], policy), NotMentioned);
        }
    }

    #[test]
    fn columns_are_known_by_name_in_any_spelling() {
        assert_eq!(label_of(" Pleural Effusion").map(Label::name), Some("pleural_effusion"));
        assert_eq!(label_of("Airspace Opacity").map(Label::name), Some("lung_opacity"));
        assert_eq!(label_of("NO_FINDING").map(Label::name), Some("no_finding"));
        assert_eq!(label_of("Hernia"), None);
        assert_eq!(nearest_label("plural effusion"), Some("pleural_effusion"));
        assert_eq!(nearest_label("xyz"), None);
    }

    #[test]
    fn a_cell_is_a_status_a_list_or_an_object() {
        let read = |value| read(&value, Aggregate::Documented);
        assert_eq!(read(json!("negative")).ok().map(|cell| cell.status), Some(Negative));
        assert_eq!(read(json!(-1)).ok().map(|cell| cell.status), Some(Uncertain));
        assert_eq!(read(json!(null)).ok().map(|cell| cell.status), Some(NotMentioned));
        assert_eq!(read(json!([0, "positive"])).ok().map(|cell| cell.status), Some(Positive));
        let cell = read(json!({"status": "positive", "probabilities": [0.1, 0.7, 0.1, 0.1]}));
        assert_eq!(cell.ok().and_then(|cell| cell.confidence), Some(0.7));
        for wrong in [
            json!("maybe"),
            json!(2),
            json!({"status": "positive", "confidence": 1.5}),
            json!({"status": "positive", "probabilities": [0.5, 0.7, 0.1, 0.1]}),
            json!({"status": "positive", "probabilities": {"positive": 1.0}}),
        ] {
            assert!(read(wrong).is_err());
        }
    }
}
