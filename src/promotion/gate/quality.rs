//! Guards of what the models say, on gold sets.

use super::{Guard, Outcome};
use crate::evaluate::Task;
use crate::evaluate::bootstrap::Interval;
use crate::promotion::evidence::{GoldSet, MacroF1, ObservationF1, Paired, TASKS};
use crate::promotion::limits::{Limits, Require};

pub(super) fn guards(gold: &[GoldSet], limits: &Limits) -> Vec<Guard> {
    let mut guards: Vec<Guard> = gold.iter().flat_map(|set| guards_of_set(set, limits)).collect();
    guards.extend(TASKS.into_iter().filter_map(|task| judged_somewhere(gold, task)));
    if limits.require == Require::Better {
        guards.push(gain(gold, limits));
    }
    guards
}

fn guards_of_set(set: &GoldSet, limits: &Limits) -> Vec<Guard> {
    let mut guards = vec![reports(set, limits)];
    guards.extend(set.macros.iter().map(|figure| macro_f1(figure, limits)));
    guards.push(ece(set.ece, limits));
    guards.push(rise("calibration.ece", set.ece, limits.ece_margin));
    guards.push(rise("calibration.nll_4", set.log_loss, limits.log_loss_margin));
    guards.push(doubted(set.doubted, limits));
    guards.push(passed_mistakes(set.passed_mistakes, limits));
    let floored = set.observations.iter().filter(|figure| figure.cells >= limits.floor_cells);
    guards.extend(floored.map(|figure| floor(figure, limits)));
    for guard in &mut guards {
        guard.gold = Some(set.name.clone());
    }
    guards
}

fn reports(set: &GoldSet, limits: &Limits) -> Guard {
    let (found, least) = (set.reports, limits.min_reports);
    let outcome = if found >= least { Outcome::Holds } else { Outcome::Unknown };
    let why = format!("{found} reports");
    Guard::plain("reports", format!("at least {least} reports"), outcome, why)
}

/// Whether a loss is small enough, by the interval of the gain (what is better being more).
fn not_worse(gain: Option<Interval>, margin: f64) -> Outcome {
    match gain {
        Some(gain) if gain.low >= -margin => Outcome::Holds,
        Some(gain) if gain.high < 0.0 => Outcome::Fails,
        Some(_) | None => Outcome::Unknown,
    }
}

fn compared(figure: &str, paired: Paired, limit: String, outcome: Outcome) -> Guard {
    let interval = paired.difference.and_then(|difference| difference.interval);
    let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |v| format!("{v:.3}"));
    let mut why = format!(
        "{} against {}, difference {}",
        number(paired.challenger),
        number(paired.champion),
        paired.difference.map_or_else(|| "-".to_owned(), |d| format!("{:+.3}", d.value)),
    );
    why += &match interval {
        Some(Interval { low, high }) => format!(" [{low:+.3}, {high:+.3}]"),
        None => " (no interval)".to_owned(),
    };
    why += &format!("; limit: {limit}");
    why += match outcome {
        Outcome::Unknown => "; the interval is too wide to say",
        Outcome::NotJudged => "; too few such cells",
        Outcome::Holds | Outcome::Fails => "",
    };
    Guard {
        champion: paired.champion,
        challenger: paired.challenger,
        difference: paired.difference.map(|difference| difference.value),
        interval,
        ..Guard::plain(figure, limit, outcome, why)
    }
}

fn macro_f1(figure: &MacroF1, limits: &Limits) -> Guard {
    let margin = limits.margins.of(figure.task);
    let outcome = if figure.observations == 0 {
        Outcome::NotJudged
    } else {
        not_worse(figure.paired.difference.and_then(|d| d.interval), margin)
    };
    let name = format!("supported.{}", figure.task.name());
    let limit = format!("difference at least -{margin:.3}");
    Guard { limit_difference: Some(-margin), ..compared(&name, figure.paired, limit, outcome) }
}

/// A figure of which less is better may rise by the margin.
fn rise(figure: &str, paired: Paired, margin: f64) -> Guard {
    // What is gained is the champion's minus the challenger's.
    let gain = paired
        .difference
        .and_then(|difference| difference.interval)
        .map(|interval| Interval { low: -interval.high, high: -interval.low });
    let limit = format!("difference at most +{margin:.3}");
    Guard {
        limit_difference: Some(margin),
        ..compared(figure, paired, limit, not_worse(gain, margin))
    }
}

fn ece(paired: Paired, limits: &Limits) -> Guard {
    // A champion that is above the limit itself may be replaced by one that is less so.
    let most = paired.champion.map_or(limits.max_ece, |champion| champion.max(limits.max_ece));
    let (outcome, found) = match paired.challenger {
        Some(found) if found <= most => (Outcome::Holds, format!("{found:.4}")),
        Some(found) => (Outcome::Fails, format!("{found:.4}")),
        None => (Outcome::Unknown, "not known".to_owned()),
    };
    let limit = format!("at most {most:.3}");
    let why = format!("{found}; limit: {limit}");
    Guard {
        champion: paired.champion,
        challenger: paired.challenger,
        ..Guard::plain("calibration.ece", limit, outcome, why)
    }
}

/// The share of reports that the model's own thresholds doubt, both ways: more costs the teacher's time;
/// a better model doubts fewer, but hardly none. By the value first, as for floors.
fn doubted(paired: Paired, limits: &Limits) -> Guard {
    let (rise, ratio) = (limits.doubted_rise, limits.min_doubted_ratio);
    let limit = format!("difference at most +{rise:.3}, and at least {ratio:.2} of the champion's");
    let outcome = match (paired.champion, paired.difference) {
        (Some(champion), Some(difference)) => {
            let interval = difference.interval;
            if difference.value > rise {
                beyond(interval.map(|interval| interval.low > 0.0))
            } else if champion + difference.value < ratio * champion {
                beyond(interval.map(|interval| interval.high < 0.0))
            } else {
                Outcome::Holds
            }
        }
        _ => Outcome::Unknown,
    };
    Guard { limit_difference: Some(rise), ..compared("doubted", paired, limit, outcome) }
}

/// Mistakes that nobody would look at again: what thresholds are for.
fn passed_mistakes(paired: Paired, limits: &Limits) -> Guard {
    let rise = limits.mistakes_rise;
    let outcome = match paired.difference {
        None => Outcome::Unknown,
        Some(difference) if difference.value <= rise => Outcome::Holds,
        Some(difference) => beyond(difference.interval.map(|interval| interval.low > 0.0)),
    };
    let limit = format!("difference at most +{rise:.3}");
    Guard { limit_difference: Some(rise), ..compared("passed_mistakes", paired, limit, outcome) }
}

/// A value beyond its limit fails when the change is real.
fn beyond(real: Option<bool>) -> Outcome {
    if real == Some(true) { Outcome::Fails } else { Outcome::Unknown }
}

fn floor(figure: &ObservationF1, limits: &Limits) -> Guard {
    let fall = limits.floor_fall;
    let name = format!("label.{}.{}", figure.observation.name(), figure.task.name());
    let limit = format!("difference at least -{fall:.3}");
    // The value first: with dozens of small figures, chance alone would leave one undecided.
    let outcome = match figure.paired.difference {
        None => Outcome::Unknown,
        Some(difference) if difference.value >= -fall => Outcome::Holds,
        Some(difference) => match difference.interval {
            Some(interval) if interval.high < 0.0 => Outcome::Fails,
            Some(_) | None => Outcome::Unknown,
        },
    };
    Guard { limit_difference: Some(-fall), ..compared(&name, figure.paired, limit, outcome) }
}

/// A task that no gold set can judge is not guarded at all: that must not pass for a guard that holds.
fn judged_somewhere(gold: &[GoldSet], task: Task) -> Option<Guard> {
    let judged = |set: &GoldSet| set.macros.iter().any(|m| m.task == task && m.observations > 0);
    (!gold.iter().any(judged)).then(|| {
        let why = "no gold set has enough such cells of any observation".to_owned();
        let limit = "one gold set must have enough such cells".to_owned();
        Guard::plain(&format!("supported.{}", task.name()), limit, Outcome::Unknown, why)
    })
}

/// Reports without a wrong cell, as a primary figure.
pub(crate) const EXACT_MATCH: &str = "exact_match";

/// Chance of a gain that is none, over all primary figures and gold sets together. Two-sided, so that with
/// one figure on one set this is its 95 % interval above 0.
const ALPHA: f64 = 0.05;

/// Better in one of the primary figures, on one of the gold sets. Of several that are looked at, chance
/// alone shows one more often than of one: each must be as unlikely as all of them together may be
/// (Bonferroni; for "at least one", Holm's procedure asks the same).
fn gain(gold: &[GoldSet], limits: &Limits) -> Guard {
    let primary: Vec<(&GoldSet, &str, Paired)> = gold
        .iter()
        .flat_map(|set| {
            let judged = set.macros.iter().filter(|figure| figure.observations > 0);
            let macros = judged.map(move |figure| (set, figure.task.name(), figure.paired));
            macros.chain([(set, EXACT_MATCH, set.exact_match)])
        })
        .filter(|(_, name, _)| limits.primary.contains(name))
        .collect();
    let asked = ALPHA / (primary.len().max(1) as f64);
    let interval = |paired: &Paired| paired.difference.and_then(|d| d.interval);
    let surely_not = |paired: &Paired| interval(paired).is_some_and(|i| i.high <= 0.0);
    let surely = |paired: &Paired| {
        let unlikely = paired.difference.and_then(|d| d.p).is_some_and(|p| p <= asked);
        unlikely && interval(paired).is_some_and(|i| i.low > 0.0)
    };
    let better = primary.iter().find(|(_, _, paired)| surely(paired));
    let outcome = match better {
        Some(_) => Outcome::Holds,
        None if !primary.is_empty() && primary.iter().all(|(_, _, p)| surely_not(p)) => {
            Outcome::Fails
        }
        None => Outcome::Unknown,
    };
    let limit = format!(
        "one of {} better: interval above 0, and p at most {asked:.4} ({ALPHA} over {})",
        limits.primary.join(", "),
        primary.len().max(1)
    );
    let told = |(set, name, paired): &(&GoldSet, &str, Paired)| {
        let told = compared(name, *paired, "above 0".to_owned(), outcome);
        let difference = told.difference.map_or_else(|| "-".to_owned(), |d| format!("{d:+.3}"));
        let interval = told
            .interval
            .map_or_else(|| "no interval".to_owned(), |i| format!("{:+.3}, {:+.3}", i.low, i.high));
        let p =
            paired.difference.and_then(|d| d.p).map_or_else(String::new, |p| format!(", p {p:.4}"));
        format!("{name} on {} {difference} [{interval}]{p}", set.name)
    };
    let why = match better {
        Some(found) => format!("better: {}", told(found)),
        None if primary.is_empty() => "no gold set judges a primary figure".to_owned(),
        None => {
            let all: Vec<String> = primary.iter().map(told).collect();
            format!("not shown to be better: {}; limit: {limit}", all.join("; "))
        }
    };
    Guard::plain("gain", limit, outcome, why)
}
