//! Student and teacher as one system: what its figures are when the most doubtful reports are answered
//! by the teacher, and when as many drawn by lot are.
//!
//! The teacher answers a report as a whole. In service it decides the doubted cells only, so that the
//! figures of a teacher that is not perfect may differ a little from these.

use serde::Serialize;

use super::bootstrap::Resamples;
use super::convention::{Average, Scope};
use super::pairing::{Answers, Gold};
use super::tally::Tally;
use super::verdict::Provenance;
use super::{Row, Task};

/// Shares of reports that the teacher answers.
const RATES: [f64; 5] = [0.0, 0.05, 0.10, 0.20, 1.0];
/// Draws by lot that are averaged.
const DRAWS: usize = 200;

/// Macro F1 over the supported labels, by task, in [`Task::ALL`] order.
type Scores = [Option<f64>; Task::ALL.len()];

/// The system at one call rate.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AtRate {
    /// Share of reports that the teacher answers.
    pub rate: f64,
    /// Number of them.
    pub calls: usize,
    /// With the most doubtful reports answered.
    pub doubtful: Scores,
    /// With as many drawn by lot: the mean of many draws.
    pub by_lot: Scores,
}

/// A system with a teacher behind it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SecondOpinion {
    /// Where the teacher's answers come from.
    pub teacher: Provenance,
    /// At each call rate.
    pub rates: Vec<AtRate>,
}

/// Judges `student` with `teacher` behind it. `None` when the student gives no confidence.
pub fn second_opinion(
    gold: &Gold,
    student: &Answers,
    (from, teacher): (&Provenance, &Answers),
    scope: &Scope,
    seed: u64,
) -> Option<SecondOpinion> {
    let scores = student.scores.as_ref()?;
    let reports = gold.rows.len();
    let doubt = |report: &usize| {
        scores.get(*report).and_then(Option::as_ref).map_or(f64::NEG_INFINITY, |scores| {
            scores.confidence.iter().copied().fold(f64::INFINITY, f64::min)
        })
    };
    let mut order: Vec<usize> = (0..reports).collect();
    order.sort_by(|a, b| doubt(a).total_cmp(&doubt(b)));
    let lots: Vec<Vec<usize>> = lots(seed, reports);
    let scored = |order: &[usize], calls: usize| -> Scores {
        let mut rows: Vec<Row> = student.rows.clone();
        for report in order.iter().take(calls) {
            if let (Some(row), Some(answer)) = (rows.get_mut(*report), teacher.rows.get(*report)) {
                *row = *answer;
            }
        }
        let tally = Tally::count(&gold.rows, &rows, &vec![1; reports]);
        Task::ALL.map(|task| scope.macro_f1(&tally, Average::Supported, task))
    };
    let rates = RATES.map(|rate| {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share")]
        let calls = (rate * reports as f64).round() as usize;
        let drawn: Vec<Scores> = lots.iter().map(|order| scored(order, calls)).collect();
        let by_lot = std::array::from_fn(|task| {
            let values: Vec<f64> =
                drawn.iter().filter_map(|scores| scores.get(task).copied().flatten()).collect();
            (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
        });
        AtRate { rate, calls, doubtful: scored(&order, calls), by_lot }
    });
    Some(SecondOpinion { teacher: from.clone(), rates: rates.into() })
}

/// Orders of the reports by lot.
fn lots(seed: u64, reports: usize) -> Vec<Vec<usize>> {
    let mut draws = Resamples::new(seed, reports);
    std::iter::repeat_with(|| {
        let mut order: Vec<(u64, usize)> =
            (0..reports).map(|report| (draws.draw(), report)).collect();
        order.sort_unstable();
        order.into_iter().map(|(_, report)| report).collect()
    })
    .take(DRAWS)
    .collect()
}
