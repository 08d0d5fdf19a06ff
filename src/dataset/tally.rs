//! Counts of a dataset's rows.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Counts by name.
pub type Counts = BTreeMap<String, u64>;

/// What is counted of a file, or of all. Everything but `seen` counts rows, or cells of rows: one for
/// each text, however often it was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Rows.
    pub rows: u64,
    /// Samples that they stand for, those of the same text among them.
    pub seen: u64,
    /// Rows that a person should look at and no person has labelled.
    pub needs_review: u64,
    /// Observation, status, who gave the label.
    pub labels: BTreeMap<String, BTreeMap<String, Counts>>,
    /// Who gave the labels of a row: the one who counts most, where several did.
    pub sources: Counts,
    /// Provider, model, version of the prompt.
    pub teachers: BTreeMap<String, BTreeMap<String, Counts>>,
    /// Name, version.
    pub students: BTreeMap<String, Counts>,
    /// Why the reports were chosen; a report may have several reasons.
    pub reasons: Counts,
}

/// The columns of a row that are counted.
#[derive(Deserialize)]
pub(super) struct Counted<'a> {
    times_seen: i64,
    label_source: &'a str,
    human: bool,
    needs_review: bool,
    cells: Vec<CountedCell<'a>>,
    selection_reasons: Vec<CountedReason<'a>>,
    student_name: Option<&'a str>,
    student_version: Option<&'a str>,
    teacher_provider: Option<&'a str>,
    teacher_model: Option<&'a str>,
    teacher_prompt_version: Option<&'a str>,
}

#[derive(Deserialize)]
struct CountedCell<'a> {
    observation: &'a str,
    status: &'a str,
    label_source: &'a str,
}

#[derive(Deserialize)]
struct CountedReason<'a> {
    reason: &'a str,
}

impl Tally {
    /// Counts one row.
    pub(super) fn count(&mut self, row: &Counted<'_>) {
        self.rows += 1;
        self.seen += u64::try_from(row.times_seen).unwrap_or(0);
        self.needs_review += u64::from(row.needs_review && !row.human);
        one(&mut self.sources, row.label_source, 1);
        for cell in &row.cells {
            let statuses = entry(&mut self.labels, cell.observation);
            one(entry(statuses, cell.status), cell.label_source, 1);
        }
        let mut reasons: Vec<&str> = row.selection_reasons.iter().map(|r| r.reason).collect();
        reasons.sort_unstable();
        reasons.dedup();
        reasons.into_iter().for_each(|reason| one(&mut self.reasons, reason, 1));
        if let Some((name, version)) = row.student_name.zip(row.student_version) {
            one(entry(&mut self.students, name), version, 1);
        }
        let teacher = row.teacher_provider.zip(row.teacher_model).zip(row.teacher_prompt_version);
        if let Some(((provider, model), prompt)) = teacher {
            one(entry(entry(&mut self.teachers, provider), model), prompt, 1);
        }
    }

    /// Adds the counts of another file.
    pub(super) fn add(&mut self, other: &Self) {
        self.rows += other.rows;
        self.seen += other.seen;
        self.needs_review += other.needs_review;
        add(&mut self.sources, &other.sources);
        add(&mut self.reasons, &other.reasons);
        for (name, versions) in &other.students {
            add(entry(&mut self.students, name), versions);
        }
        for (name, statuses) in &other.labels {
            for (status, sources) in statuses {
                add(entry(entry(&mut self.labels, name), status), sources);
            }
        }
        for (provider, models) in &other.teachers {
            for (model, prompts) in models {
                add(entry(entry(&mut self.teachers, provider), model), prompts);
            }
        }
    }

    /// Cells of an observation with a status, whoever gave it.
    pub fn cells(&self, observation: &str, status: &str) -> u64 {
        let sources = self.labels.get(observation).and_then(|statuses| statuses.get(status));
        sources.map_or(0, |sources| sources.values().sum())
    }
}

fn entry<'a, V: Default>(map: &'a mut BTreeMap<String, V>, name: &str) -> &'a mut V {
    map.entry(name.to_owned()).or_default()
}

/// Adds to the count of a name.
pub(super) fn one(counts: &mut Counts, name: &str, more: u64) {
    *entry(counts, name) += more;
}

fn add(to: &mut Counts, from: &Counts) {
    for (name, count) in from {
        one(to, name, *count);
    }
}
