//! What the gate decides on: the figures of both models on the same reports, and what was measured of
//! the models themselves.

use serde::Serialize;

use crate::evaluate::bootstrap::{Difference, Resamples};
use crate::evaluate::convention::Average;
use crate::evaluate::figure::Figure;
use crate::evaluate::pairing::Answers;
use crate::evaluate::verdict::{Plan, Support, Verdict};
use crate::evaluate::{Label, Row, Task};
use crate::report::{OBSERVATIONS, Observation};

/// Tasks whose macro F1 is guarded.
pub const TASKS: [Task; 4] = [Task::Positive, Task::Uncertainty, Task::Negation, Task::Mention];
/// Tasks in which each observation has a floor.
pub const FLOOR_TASKS: [Task; 3] = [Task::Positive, Task::Uncertainty, Task::Negation];

/// A figure of both models on the same reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Paired {
    /// Of the model in service.
    pub champion: Option<f64>,
    /// Of the candidate.
    pub challenger: Option<f64>,
    /// Challenger minus champion, with the interval of the paired bootstrap.
    pub difference: Option<Difference>,
}

impl Paired {
    fn of(figure: Figure, verdict: &Verdict) -> Self {
        let mut systems = verdict.systems.iter();
        let mut value = || systems.next().and_then(|system| system.figures.value(figure));
        Self {
            challenger: value(),
            champion: value(),
            difference: verdict.comparisons.first().and_then(|c| c.differences.get(figure)),
        }
    }
}

/// The macro F1 of a task.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MacroF1 {
    /// The task.
    pub task: Task,
    /// Observations in the average: those with enough cells in the reference.
    pub observations: usize,
    /// Its values.
    pub paired: Paired,
}

/// The F1 of one observation in a task.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ObservationF1 {
    /// The observation.
    pub observation: Observation,
    /// The task.
    pub task: Task,
    /// Cells of the task's target in the reference.
    pub cells: u64,
    /// Its values.
    pub paired: Paired,
}

/// Both models on one gold set.
#[derive(Clone, Debug, PartialEq)]
pub struct GoldSet {
    /// File name.
    pub name: String,
    /// SHA-256 of the file.
    pub sha256: String,
    /// Reports.
    pub reports: usize,
    /// Macro F1 of the guarded tasks.
    pub macros: Vec<MacroF1>,
    /// F1 of each observation.
    pub observations: Vec<ObservationF1>,
    /// Share of reports with all thirteen statuses right.
    pub exact_match: Paired,
    /// Expected calibration error.
    pub ece: Paired,
    /// Log loss of the reference's status, nats a cell.
    pub log_loss: Paired,
    /// Share of reports of which a cell is less sure than its threshold asks: those that are escalated.
    pub doubted: Paired,
    /// Share of reports with a wrong cell that are not doubted: nobody would look at them again.
    pub passed_mistakes: Paired,
}

/// What one model would ask a second opinion for, report by report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Doubt {
    /// Whether it is doubted.
    pub doubted: Vec<bool>,
    /// Whether a cell is wrong and it is not doubted.
    pub passed: Vec<bool>,
}

impl GoldSet {
    /// Takes the guarded figures out of an evaluation whose first system is the challenger, compared
    /// with the second, the champion. What they doubt is no matter of an evaluation, and comes beside it.
    pub fn of(verdict: &Verdict, challenger: &Doubt, champion: &Doubt, plan: Plan) -> Self {
        let reference = &verdict.reference;
        let supported = |task: Task| {
            let averages = reference.labels_averaged.iter();
            let found = averages.clone().find(|a| a.average == Average::Supported);
            found.and_then(|a| a.labels.get(task as usize)).copied().unwrap_or(0)
        };
        let cells = |observation: Observation, task: Task| {
            let support = reference.support.get(observation as usize);
            support.map_or(0, |support| targets(support, task))
        };
        Self {
            name: reference.from.name.clone(),
            sha256: reference.from.sha256.clone(),
            reports: reference.reports,
            macros: TASKS
                .into_iter()
                .map(|task| MacroF1 {
                    task,
                    observations: supported(task),
                    paired: Paired::of(Figure::Macro(Average::Supported, task), verdict),
                })
                .collect(),
            observations: FLOOR_TASKS
                .into_iter()
                .flat_map(|task| Observation::ALL.map(|observation| (task, observation)))
                .map(|(task, observation)| ObservationF1 {
                    observation,
                    task,
                    cells: cells(observation, task),
                    paired: Paired::of(
                        Figure::LabelF1(Label::Observed(observation), task),
                        verdict,
                    ),
                })
                .collect(),
            exact_match: Paired::of(Figure::ExactMatch, verdict),
            ece: Paired::of(Figure::Ece, verdict),
            log_loss: Paired::of(Figure::LogLoss4, verdict),
            doubted: share(&challenger.doubted, &champion.doubted, plan),
            passed_mistakes: share(&challenger.passed, &champion.passed, plan),
        }
    }
}

impl Doubt {
    /// A report is doubted when a cell is less sure than its threshold asks. Cut text is not counted: both
    /// read as many tokens, or the challenger is refused for that. Empty for answers without confidence.
    pub fn of(reference: &[Row], answers: &Answers, thresholds: &[f32; OBSERVATIONS]) -> Self {
        let below = |confidence: &[f64; OBSERVATIONS]| {
            confidence.iter().zip(thresholds).any(|(found, asked)| *found < f64::from(*asked))
        };
        let scores = answers.scores.iter().flatten();
        let doubted: Vec<bool> = scores
            .map(|report| report.as_ref().is_some_and(|report| below(&report.confidence)))
            .collect();
        let wrong = |(wanted, found): (&Row, &Row)| {
            Observation::ALL
                .into_iter()
                .any(|cell| wanted.get(cell as usize) != found.get(cell as usize))
        };
        let wrong = reference.iter().zip(&answers.rows).map(wrong);
        let passed = wrong.zip(&doubted).map(|(wrong, doubted)| wrong && !doubted).collect();
        Self { doubted, passed }
    }
}

/// The share of such reports of both, with the interval of the difference on the same resamples.
fn share(challenger: &[bool], champion: &[bool], plan: Plan) -> Paired {
    if challenger.is_empty() || challenger.len() != champion.len() {
        return Paired::default();
    }
    let weighted = |those: &[bool], weights: &[u32]| {
        let all: u32 = weights.iter().sum();
        let those = those.iter().zip(weights).filter(|(one, _)| **one);
        Some(f64::from(those.map(|(_, weight)| weight).sum::<u32>()) / f64::from(all))
    };
    let once = vec![1; challenger.len()];
    let (first, second) = (weighted(challenger, &once), weighted(champion, &once));
    let draws = Resamples::new(plan.seed, challenger.len()).take(plan.resamples);
    let (firsts, seconds): (Vec<_>, Vec<_>) =
        draws.map(|w| (weighted(challenger, &w), weighted(champion, &w))).unzip();
    let difference = Difference::of((first, second), (&firsts, &seconds));
    Paired { champion: second, challenger: first, difference }
}

const fn targets(support: &Support, task: Task) -> u64 {
    match task {
        Task::Positive => support.positive,
        Task::Negation => support.negative,
        Task::Uncertainty => support.uncertain,
        Task::Mention => support.positive + support.negative + support.uncertain,
        Task::Blank => support.not_mentioned,
    }
}

/// A model as the gate sees it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Contender {
    /// Name of the model family; empty when the manifest cannot be read.
    pub name: String,
    /// Its version.
    pub version: String,
    /// SHA-256 of the network.
    pub sha256: String,
    /// SHA-256 of the manifest, which stands for the whole folder.
    pub manifest_sha256: String,
    /// Size of the folder, in bytes.
    pub bytes: u64,
    /// Longest text that it reads, in tokens.
    pub max_tokens: usize,
}

/// How fast both are: the same texts on the same device, turn by turn.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Speed {
    /// Reports a second of the champion, median of the rounds.
    pub champion: f64,
    /// Of the challenger.
    pub challenger: f64,
    /// Challenger over champion: the median of the rounds' ratios.
    pub ratio: f64,
    /// Rounds.
    pub rounds: usize,
    /// What was measured: `processor time` or `wall time`, of one session.
    pub clock: &'static str,
}

impl Speed {
    /// From the seconds that each took for `reports` texts in each round, champion first. `None`
    /// without rounds, or when a round took no time that could be measured.
    pub fn of(rounds: &[(f64, f64)], reports: usize, clock: &'static str) -> Option<Self> {
        let measured = |seconds: &f64| seconds.is_finite() && *seconds > 0.0;
        if !rounds.iter().all(|(champion, challenger)| measured(champion) && measured(challenger)) {
            return None;
        }
        let reports = reports as f64;
        Some(Self {
            champion: median(rounds.iter().map(|(champion, _)| reports / champion))?,
            challenger: median(rounds.iter().map(|(_, challenger)| reports / challenger))?,
            ratio: median(rounds.iter().map(|(champion, challenger)| champion / challenger))?,
            rounds: rounds.len(),
            clock,
        })
    }
}

fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    if values.len() % 2 == 1 {
        return Some(upper);
    }
    let lower = *values.get(values.len() / 2 - 1)?;
    Some(f64::midpoint(lower, upper))
}

/// Everything that the gate knows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evidence {
    /// The model in service; `None` for a first model.
    pub champion: Option<Contender>,
    /// The candidate.
    pub challenger: Contender,
    /// Why the candidate cannot be loaded; then nothing below is known of it.
    pub load_problem: Option<String>,
    /// Labels of its own self-test that it gets wrong, one line each.
    pub self_test_failures: Vec<String>,
    /// Sentences of the champion's self-test that it gets wrong. `None` when they were not tried.
    pub lost_sentences: Option<Lost>,
    /// Both on each gold set.
    pub gold: Vec<GoldSet>,
    /// Both against the clock.
    pub speed: Option<Speed>,
}

/// Sentences of the champion's self-test that a challenger gets wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Lost {
    /// Sentences with a wrong label.
    pub sentences: usize,
    /// Sentences tried.
    pub of: usize,
    /// Every wrong label, one line each. The sentences are ours, no report text.
    pub labels: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::LABELS;
    use crate::evaluate::pairing::CellScores;
    use crate::evaluate::read::Aggregate;
    use crate::report::FindingStatus;

    #[test]
    fn a_report_is_doubted_for_one_cell_below_its_threshold() {
        let sure = |cell: f64| {
            let mut confidence = [1.0; OBSERVATIONS];
            confidence[4] = cell;
            Some(CellScores { confidence, probabilities: None })
        };
        let scores = Some(vec![sure(0.8), sure(0.79), None]);
        let right = [FindingStatus::NotMentioned; LABELS];
        let mut wrong = right;
        wrong[2] = FindingStatus::Positive;
        let answers = Answers { rows: vec![right; 3], scores, ..Answers::default() };
        let mut thresholds = [0.1; OBSERVATIONS];
        thresholds[4] = 0.8;
        // 0.8 as a float of 32 bits is a little more than 0.8.
        let reference = [wrong, right, wrong];
        let found = Doubt::of(&reference, &answers, &thresholds);
        assert_eq!(
            (found.doubted, found.passed),
            (vec![true, true, false], vec![false, false, true])
        );
        let blind = Doubt::of(&reference, &answers, &[0.0; OBSERVATIONS]);
        assert_eq!((blind.doubted, blind.passed), (vec![false; 3], vec![true, false, true]));
        assert_eq!(Doubt::of(&reference, &Answers::default(), &thresholds), Doubt::default());
    }

    #[test]
    fn a_share_is_compared_on_the_same_reports() {
        let plan = Plan {
            seed: 1,
            resamples: 500,
            min_support: 1,
            aggregate: Aggregate::default(),
            derive_no_finding: false,
        };
        let champion: Vec<bool> = (0..200).map(|n| n % 10 == 0).collect();
        let found = share(&[false; 200], &champion, plan);
        assert_eq!((found.champion, found.challenger), (Some(0.1), Some(0.0)));
        let difference = found.difference.unwrap();
        let interval = difference.interval.unwrap();
        // Of 200 reports: standard deviation sqrt(0.1 * 0.9 / 200), 0.021.
        assert_eq!(difference.value, -0.1);
        assert!(interval.high < -0.05 && interval.low > -0.16, "{interval:?}");
        let same = share(&champion, &champion, plan).difference.unwrap();
        assert_eq!((same.value, same.interval.unwrap().low), (0.0, 0.0));
        assert_eq!(share(&[], &champion, plan), Paired::default());
    }

    #[test]
    fn one_slow_round_does_not_decide_about_speed() {
        let rounds = [(1.0, 2.0), (1.0, 2.1), (9.0, 2.0), (1.0, 1.9), (1.0, 2.0)];
        let speed = Speed::of(&rounds, 100, "processor time").unwrap();
        assert_eq!((speed.ratio, speed.champion, speed.challenger), (0.5, 100.0, 50.0));
        assert_eq!(speed.rounds, 5);
        let even = Speed::of(&[(1.0, 1.0), (1.0, 2.0)], 10, "").unwrap();
        assert_eq!(even.ratio, 0.75);
    }

    #[test]
    fn what_took_no_time_was_not_measured() {
        assert_eq!(Speed::of(&[], 10, ""), None);
        assert_eq!(Speed::of(&[(1.0, 0.0)], 10, ""), None);
        assert_eq!(Speed::of(&[(f64::NAN, 1.0)], 10, ""), None);
    }
}
