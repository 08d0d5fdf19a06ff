//! Champion and challenger on the same reports, and against the same clock.

use std::path::{Path, PathBuf};

use indicatif::ProgressBar;

use super::contender::{Clock, Loaded, described, load};
use super::{PromoteFailure, SEED, broken};
use crate::command::evaluate::{EvaluateFailure, source};
use crate::config::Settings;
use crate::evaluate::judge::{System, judge};
use crate::evaluate::pairing::Gold;
use crate::evaluate::read::{Aggregate, Reading};
use crate::evaluate::verdict::{Plan, Provenance, Verdict};
use crate::promotion::evidence::{Contender, Doubt, Evidence, GoldSet, Lost, Speed};
use crate::report::ReportText;
use crate::student::folder::Listing;
use crate::student::labeler::LabelError;
use crate::student::self_test::failures_of;
use crate::student::{SelfTestFailure, StudentError};

/// Rounds against the clock.
const ROUNDS: usize = 5;
/// Texts of a round.
const TEXTS: usize = 200;

/// What both are judged on.
pub(super) struct Trial<'a> {
    pub(super) settings: &'a Settings,
    pub(super) progress: &'a ProgressBar,
    pub(super) gold: &'a [PathBuf],
}

/// A gold set in memory.
struct Set {
    from: Provenance,
    gold: Gold,
}

type Listed<'a> = Result<&'a Listing, &'a StudentError>;

/// A first model: loaded and asked its own sentences.
pub(super) fn alone(settings: &Settings, candidate: &Path, listing: Listed<'_>) -> Evidence {
    let (evidence, _) = challenger(settings, candidate, listing);
    evidence
}

fn challenger(
    settings: &Settings,
    candidate: &Path,
    listing: Listed<'_>,
) -> (Evidence, Option<Loaded>) {
    let mut evidence = Evidence::default();
    let loaded = match listing {
        Ok(listing) => {
            evidence.challenger = described(listing);
            load(settings, candidate).map_err(|problem| problem.to_string())
        }
        Err(problem) => Err(problem.to_string()),
    };
    match loaded {
        Ok(loaded) => {
            evidence.self_test_failures = lines(&loaded.failures);
            (evidence, Some(loaded))
        }
        Err(problem) => (broken(evidence, problem), None),
    }
}

fn lines(failures: &[SelfTestFailure]) -> Vec<String> {
    failures.iter().map(ToString::to_string).collect()
}

impl Trial<'_> {
    /// Everything that the gate wants to know, and the evaluations behind it.
    pub(super) fn run(
        &self,
        champion: &Path,
        candidate: &Path,
        listing: Listed<'_>,
    ) -> Result<(Evidence, Vec<Verdict>), PromoteFailure> {
        // Before anything is loaded: a path that is wrong should not take a minute to be told.
        let sets = self.read()?;
        self.progress.set_message("loading both models");
        let of_champion = Listing::read(champion).map_err(PromoteFailure::Champion)?;
        let mut champion = load(self.settings, champion).map_err(PromoteFailure::Champion)?;
        let (mut evidence, loaded) = challenger(self.settings, candidate, listing);
        let of_champion = described(&of_champion);
        evidence.champion = Some(of_champion.clone());
        let Some(mut challenger) = loaded else { return Ok((evidence, Vec::new())) };
        match self.lost(&champion, &mut challenger) {
            Ok(lost) => evidence.lost_sentences = Some(lost),
            Err(problem) => return Ok((failed(evidence, &problem), Vec::new())),
        }
        let mut verdicts = Vec::with_capacity(sets.len());
        for set in &sets {
            self.progress.set_message(format!("labelling {} twice", set.from.name));
            let first = match source::label(&mut challenger.labeler, &set.gold.texts) {
                Ok(answers) => answers,
                Err(problem) => return Ok((failed(evidence, &problem), Vec::new())),
            };
            let second = source::label(&mut champion.labeler, &set.gold.texts)?;
            let named = |role: &str, of: &Contender| Provenance {
                name: format!("{role} {}", of.version),
                sha256: of.sha256.clone(),
            };
            let rows = &set.gold.rows;
            let doubt = Doubt::of(rows, &first, &challenger.thresholds);
            let doubt_before = Doubt::of(rows, &second, &champion.thresholds);
            let systems = [
                System { from: named("challenger", &evidence.challenger), answers: first },
                System { from: named("champion", &of_champion), answers: second },
            ];
            self.progress.set_message(format!("comparing on {}", set.from.name));
            let verdict = judge(&set.gold, set.from.clone(), &systems, true, None, self.plan());
            evidence.gold.push(GoldSet::of(&verdict, &doubt, &doubt_before, self.plan()));
            verdicts.push(verdict);
        }
        match self.race(&sets, &mut champion, &mut challenger) {
            Ok(speed) => evidence.speed = speed,
            Err(problem) => return Ok((failed(evidence, &problem), Vec::new())),
        }
        Ok((evidence, verdicts))
    }

    fn read(&self) -> Result<Vec<Set>, PromoteFailure> {
        if self.gold.is_empty() {
            return Err(PromoteFailure::NoGold);
        }
        let reading = Reading::default();
        let mut sets = Vec::with_capacity(self.gold.len());
        for path in self.gold {
            let file = source::read(path, &reading, &mut std::io::empty())?;
            let gold = Gold::new(file.sheet, false)
                .map_err(|problem| EvaluateFailure::Pairing { path: path.clone(), problem })?;
            let without = gold.texts.iter().filter(|text| text.is_none()).count();
            if without > 0 {
                let of = gold.len();
                return Err(PromoteFailure::NoText { path: path.clone(), without, of });
            }
            sets.push(Set { from: file.from, gold });
        }
        told_apart(&mut sets);
        Ok(sets)
    }

    fn plan(&self) -> Plan {
        let gate = &self.settings.promotion;
        Plan {
            seed: SEED,
            resamples: gate.resamples,
            min_support: gate.min_support,
            aggregate: Aggregate::default(),
            derive_no_finding: false,
        }
    }

    /// The champion's sentences, asked of the challenger: its own are those that it gets right.
    fn lost(&self, champion: &Loaded, challenger: &mut Loaded) -> Result<Lost, LabelError> {
        self.progress.set_message("asking the challenger the champion's sentences");
        let failures = failures_of(&mut challenger.labeler, &champion.self_test)?;
        let mut sentences: Vec<&str> = failures.iter().map(|f| f.text.as_str()).collect();
        sentences.dedup();
        Ok(Lost {
            sentences: sentences.len(),
            of: champion.self_test.len(),
            labels: lines(&failures),
        })
    }

    /// Both label the same texts, turn by turn, each going first in every other round. They have
    /// labelled all of them before: both are warm.
    fn race(
        &self,
        sets: &[Set],
        champion: &mut Loaded,
        challenger: &mut Loaded,
    ) -> Result<Option<Speed>, LabelError> {
        let all = sets.iter().flat_map(|set| set.gold.texts.iter().flatten());
        let texts: Vec<ReportText> = all.take(TEXTS).cloned().collect();
        let clock = Clock::of(self.settings.student.device);
        let mut rounds = Vec::with_capacity(ROUNDS);
        for round in 0..ROUNDS {
            self.progress
                .set_message(format!("against the clock, round {} of {ROUNDS}", round + 1));
            let (first, second) = if round % 2 == 0 {
                let first = clock.time(champion, &texts)?;
                (first, clock.time(challenger, &texts)?)
            } else {
                let second = clock.time(challenger, &texts)?;
                (clock.time(champion, &texts)?, second)
            };
            rounds.push((first.as_secs_f64(), second.as_secs_f64()));
        }
        Ok(Speed::of(&rounds, texts.len(), clock.name()))
    }
}

fn failed(evidence: Evidence, problem: &LabelError) -> Evidence {
    broken(evidence, format!("it loads, but cannot label: {problem}"))
}

/// Numbers the gold sets of one name: guards go by name.
fn told_apart(sets: &mut [Set]) {
    let names: Vec<String> = sets.iter().map(|set| set.from.name.clone()).collect();
    for (place, set) in sets.iter_mut().enumerate() {
        let before = names.iter().take(place).filter(|name| **name == set.from.name).count();
        if before > 0 {
            set.from.name = format!("{} ({})", set.from.name, before + 1);
        }
    }
}
