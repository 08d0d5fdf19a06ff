//! Guards of the models themselves: do they load, do they know the sentences, how large, how fast.

use super::{Guard, Outcome};
use crate::promotion::evidence::{Contender, Evidence, Speed};
use crate::promotion::limits::Limits;

const MIB: f64 = 1_048_576.0;
/// Labels that are told of a failed self-test.
const TOLD: usize = 3;

pub(super) fn guards(evidence: &Evidence, limits: &Limits) -> Vec<Guard> {
    let mut guards = vec![loads(evidence.load_problem.as_deref())];
    let champion = evidence.champion.as_ref();
    if let Some(champion) = champion {
        guards.push(new(champion, &evidence.challenger));
    }
    if evidence.load_problem.is_some() {
        return guards;
    }
    guards.push(self_test(&evidence.self_test_failures));
    if let Some(champion) = champion {
        guards.push(lost(evidence, limits));
        guards.push(compatible(champion, &evidence.challenger));
        guards.push(speed(evidence.speed.as_ref(), limits));
    }
    guards.push(size(champion, &evidence.challenger, limits));
    guards
}

fn loads(problem: Option<&str>) -> Guard {
    let (outcome, why) = match problem {
        None => (Outcome::Holds, "its files are whole and it loads".to_owned()),
        Some(problem) => (Outcome::Fails, problem.to_owned()),
    };
    Guard::plain(
        "loads",
        "must load: hashes, observations, inputs, outputs".to_owned(),
        outcome,
        why,
    )
}

fn new(champion: &Contender, challenger: &Contender) -> Guard {
    let same = champion.manifest_sha256 == challenger.manifest_sha256;
    let (outcome, why) = if same {
        (Outcome::Fails, "the candidate is the model in service".to_owned())
    } else {
        (Outcome::Holds, "it is not the model in service".to_owned())
    };
    Guard::plain("new", "another model than the one in service".to_owned(), outcome, why)
}

fn self_test(failures: &[String]) -> Guard {
    let (outcome, why) = if failures.is_empty() {
        (Outcome::Holds, "every label of its own sentences is right".to_owned())
    } else {
        (Outcome::Fails, told("wrong in its own sentences", failures))
    };
    Guard::plain("self_test", "no wrong label".to_owned(), outcome, why)
}

fn told(what: &str, labels: &[String]) -> String {
    let first: Vec<&str> = labels.iter().take(TOLD).map(String::as_str).collect();
    let more = match labels.len() - first.len() {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    format!("{} labels {what}: {}{more}", labels.len(), first.join("; "))
}

fn lost(evidence: &Evidence, limits: &Limits) -> Guard {
    let most = limits.max_lost_sentences;
    let (outcome, why) = match &evidence.lost_sentences {
        None => (Outcome::Unknown, "the champion's sentences were not tried".to_owned()),
        Some(lost) => {
            let count = format!("{} of {} sentences are wrong", lost.sentences, lost.of);
            if lost.sentences > most {
                (Outcome::Fails, format!("{count}; {}", told("wrong", &lost.labels)))
            } else {
                (Outcome::Holds, count)
            }
        }
    };
    let limit = format!("at most {most} of the champion's sentences wrong");
    Guard::plain("self_test.champion", limit, outcome, why)
}

fn compatible(champion: &Contender, challenger: &Contender) -> Guard {
    let (least, found) = (champion.max_tokens, challenger.max_tokens);
    let (outcome, why) = if found < least {
        let why = format!("it reads {found} tokens of a report, the champion {least}: more is cut");
        (Outcome::Fails, why)
    } else {
        (Outcome::Holds, format!("same labels, and it reads {found} tokens of a report"))
    };
    Guard {
        champion: Some(least as f64),
        challenger: Some(found as f64),
        ..Guard::plain("compatible", format!("reads at least {least} tokens"), outcome, why)
    }
}

fn speed(speed: Option<&Speed>, limits: &Limits) -> Guard {
    let least = limits.min_speed_ratio;
    let limit = format!("at least {least:.2} of the champion's");
    let Some(speed) = speed else {
        let why = "it was not measured".to_owned();
        return Guard::plain("speed", limit, Outcome::Unknown, why);
    };
    let outcome = if speed.ratio >= least { Outcome::Holds } else { Outcome::Fails };
    let why = format!(
        "{:.0} reports a second against {:.0}: {:.2} of the champion's speed (median of {} rounds, {})",
        speed.challenger, speed.champion, speed.ratio, speed.rounds, speed.clock
    );
    Guard {
        champion: Some(speed.champion),
        challenger: Some(speed.challenger),
        ..Guard::plain("speed", limit, outcome, why)
    }
}

fn size(champion: Option<&Contender>, challenger: &Contender, limits: &Limits) -> Guard {
    let (size, most) = (challenger.bytes as f64 / MIB, limits.max_bytes as f64 / MIB);
    let outcome =
        if challenger.bytes <= limits.max_bytes { Outcome::Holds } else { Outcome::Fails };
    Guard {
        champion: champion.map(|champion| champion.bytes as f64 / MIB),
        challenger: Some(size),
        ..Guard::plain(
            "size",
            format!("at most {most:.1} MiB"),
            outcome,
            format!("the folder has {size:.1} MiB"),
        )
    }
}
