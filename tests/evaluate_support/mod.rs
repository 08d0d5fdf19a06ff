//! Twelve reports whose every figure can be worked out by hand.
//!
//! ```text
//!      reference                     system A                        A's lowest confidence
//! r01  CM neg, PE neg                the same                        0.60 (CM)
//! r02  CM pos                        the same                        0.76 (CM)
//! r03  CM unc, PE pos                CM pos                          0.65 (CM)  wrong
//! r04  PN neg + unc + pos = pos      PN unc                          0.50 (PN)  wrong
//! r05  PN unc                        the same                        0.72 (PN)
//! r06  PN neg, SD pos                the same                        0.78 (SD)
//! r07  PE pos, SD pos                SD blank                        0.74 (SD)  wrong
//! r08  PE unc                        PE pos                          0.55 (PE)  wrong
//! r09  CM neg                        the same                        0.82 (CM)
//! r10  nothing                       FR pos                          0.70 (FR)  wrong
//! r11  CM pos, PE neg                PE blank                        0.80 (PE)  wrong
//! r12  CM neg, PN neg                the same                        0.84 (PN)
//! ```
//!
//! All other cells are blank with confidence 0.95. No Finding follows: reference positive in r01,
//! r06, r09, r10, r12; system A the same without r10. Fracture has no reference cell but one
//! answer; eight observations are blank on both sides everywhere.

#![allow(dead_code, reason = "each test binary uses its part")]

use radstream::evaluate::judge::System;
use radstream::evaluate::pairing::Gold;
use radstream::evaluate::read::{Aggregate, Reading, Sheet, read};
use radstream::evaluate::verdict::{Plan, Provenance};
use radstream::report::{FindingStatus, Observation};

/// Observation and cell of JSON, for each report of the reference.
pub(crate) const GOLD: [(&str, &[(&str, &str)]); 12] = [
    ("r01", &[("cardiomegaly", r#""negative""#), ("pleural_effusion", r#""negative""#)]),
    ("r02", &[("cardiomegaly", r#""positive""#)]),
    ("r03", &[("cardiomegaly", r#""uncertain""#), ("pleural_effusion", r#""positive""#)]),
    ("r04", &[("pneumonia", r#"["negative", "uncertain", "positive"]"#)]),
    ("r05", &[("pneumonia", r#""uncertain""#)]),
    ("r06", &[("pneumonia", r#""negative""#), ("support_devices", r#""positive""#)]),
    ("r07", &[("pleural_effusion", r#""positive""#), ("support_devices", r#""positive""#)]),
    ("r08", &[("pleural_effusion", r#""uncertain""#)]),
    ("r09", &[("cardiomegaly", r#""negative""#)]),
    ("r10", &[]),
    ("r11", &[("cardiomegaly", r#""positive""#), ("pleural_effusion", r#""negative""#)]),
    ("r12", &[("cardiomegaly", r#""negative""#), ("pneumonia", r#""negative""#)]),
];

/// System A: answers, then the cell with the lowest confidence.
type Answered = (&'static str, &'static [(&'static str, &'static str)], (&'static str, f64));

const SYSTEM_A: [Answered; 12] = [
    (
        "r01",
        &[("cardiomegaly", "negative"), ("pleural_effusion", "negative")],
        ("cardiomegaly", 0.60),
    ),
    ("r02", &[("cardiomegaly", "positive")], ("cardiomegaly", 0.76)),
    (
        "r03",
        &[("cardiomegaly", "positive"), ("pleural_effusion", "positive")],
        ("cardiomegaly", 0.65),
    ),
    ("r04", &[("pneumonia", "uncertain")], ("pneumonia", 0.50)),
    ("r05", &[("pneumonia", "uncertain")], ("pneumonia", 0.72)),
    (
        "r06",
        &[("pneumonia", "negative"), ("support_devices", "positive")],
        ("support_devices", 0.78),
    ),
    ("r07", &[("pleural_effusion", "positive")], ("support_devices", 0.74)),
    ("r08", &[("pleural_effusion", "positive")], ("pleural_effusion", 0.55)),
    ("r09", &[("cardiomegaly", "negative")], ("cardiomegaly", 0.82)),
    ("r10", &[("fracture", "positive")], ("fracture", 0.70)),
    ("r11", &[("cardiomegaly", "positive")], ("pleural_effusion", 0.80)),
    ("r12", &[("cardiomegaly", "negative"), ("pneumonia", "negative")], ("pneumonia", 0.84)),
];

/// The reference as JSONL.
pub(crate) fn gold_jsonl() -> String {
    GOLD.iter()
        .map(|(id, cells)| {
            let cells: Vec<String> =
                cells.iter().map(|(name, cell)| format!("\"{name}\": {cell}")).collect();
            format!("{{\"id\": \"{id}\", \"labels\": {{{}}}}}\n", cells.join(", "))
        })
        .collect()
}

/// System A as `radstream label` would write it.
pub(crate) fn system_a_jsonl() -> String {
    SYSTEM_A
        .iter()
        .map(|(id, answers, (doubtful, lowest))| {
            let cells: Vec<String> = Observation::ALL
                .iter()
                .map(|observation| {
                    let name = observation.name();
                    let status = answers
                        .iter()
                        .find(|(answered, _)| *answered == name)
                        .map_or("not_mentioned", |(_, status)| *status);
                    let confidence = if name == *doubtful { *lowest } else { 0.95 };
                    format!(
                        "\"{name}\": {{\"status\": \"{status}\", \"confidence\": {confidence}}}"
                    )
                })
                .collect();
            format!("{{\"id\": \"{id}\", \"labels\": {{{}}}}}\n", cells.join(", "))
        })
        .collect()
}

/// System A as a CheXpert-style CSV, columns in CheXpert's own order, without No Finding.
pub(crate) fn system_a_csv() -> String {
    let mut order = Observation::ALL.to_vec();
    order.reverse();
    let titles: Vec<&str> = order.iter().map(|observation| observation.title()).collect();
    let mut out = format!("study_id,{}\n", titles.join(","));
    for (id, answers, _) in SYSTEM_A {
        let cells: Vec<&str> = order
            .iter()
            .map(|observation| {
                let answer = answers.iter().find(|(answered, _)| *answered == observation.name());
                let status = answer.map_or(FindingStatus::NotMentioned, |(_, status)| {
                    FindingStatus::ALL.into_iter().find(|known| known.name() == *status).unwrap()
                });
                status.chexpert()
            })
            .collect();
        out.push_str(&format!("{id},{}\n", cells.join(",")));
    }
    out
}

pub(crate) fn sheet(text: &str) -> Sheet {
    read(text.as_bytes(), &Reading::default()).unwrap()
}

pub(crate) fn gold() -> Gold {
    Gold::new(sheet(&gold_jsonl()), false).unwrap()
}

pub(crate) fn named(name: &str) -> Provenance {
    Provenance { name: name.to_owned(), sha256: String::new() }
}

/// A file of answers to `gold`.
pub(crate) fn system(gold: &Gold, name: &str, text: &str) -> System {
    let answers = gold.pair(&sheet(text), Default::default(), false).unwrap();
    System { from: named(name), answers }
}

/// Supported means two cells: twelve reports have no label with five of everything.
pub(crate) const PLAN: Plan = Plan {
    seed: 7,
    resamples: 200,
    min_support: 2,
    aggregate: Aggregate::Documented,
    derive_no_finding: false,
};
