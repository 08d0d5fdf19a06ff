//! Which denials and hedges reach a mention.

use std::ops::Range;

use super::cues::Cue;
use super::lexicon::Stance;
use super::scan::Hit;
use crate::report::{FindingStatus, Observation};

/// An observation named in a sentence.
#[derive(Clone, Debug)]
pub(super) struct Mention {
    pub(super) observation: Observation,
    pub(super) stance: Stance,
    pub(super) span: Range<usize>,
}

/// What reaches a mention from one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reached {
    Denied,
    Hedged,
    Nothing,
}

/// Status of every mention of a sentence that is a mention at all.
pub(super) fn weigh(
    sentence: &str,
    mentions: &[Mention],
    cues: &[Hit<Cue>],
) -> Vec<(Observation, FindingStatus)> {
    let mut judged: Vec<(&Mention, FindingStatus)> = mentions
        .iter()
        .filter(|mention| !set_aside(sentence, mention, cues))
        .filter(|mention| !explained(sentence, mention, mentions, cues))
        .map(|mention| (mention, judge(sentence, mention, mentions, cues)))
        .collect();
    hedge_alternatives(sentence, &mut judged);
    judged.into_iter().map(|(mention, status)| (mention.observation, status)).collect()
}

/// Advice, a condition or history: no mention (guide, rule 14).
fn set_aside(sentence: &str, mention: &Mention, cues: &[Hit<Cue>]) -> bool {
    cues.iter().filter(|cue| cue.span.end <= mention.span.start).any(|cue| match cue.tag {
        Cue::Advice => true,
        Cue::Aside => !between(sentence, cue.span.end, mention.span.start).contains([',', ';']),
        _ => false,
    })
}

fn judge(
    sentence: &str,
    mention: &Mention,
    mentions: &[Mention],
    cues: &[Hit<Cue>],
) -> FindingStatus {
    if mention.stance == Stance::Absent {
        return FindingStatus::Negative;
    }
    let before = from_before(sentence, mention, cues);
    let after = from_after(sentence, mention, mentions, cues);
    let reached = match (before, after) {
        (Reached::Denied, _) | (_, Reached::Denied) => Reached::Denied,
        (Reached::Hedged, _) | (_, Reached::Hedged) => Reached::Hedged,
        _ => Reached::Nothing,
    };
    match (reached, mention.stance) {
        (Reached::Denied, _) => FindingStatus::Negative,
        (Reached::Hedged, _) | (_, Stance::Doubtful) => FindingStatus::Uncertain,
        _ if matches!(mention.observation, Observation::LungOpacity | Observation::LungLesion)
            && outside_the_lung(sentence, mention, cues).is_some() =>
        {
            FindingStatus::Uncertain
        }
        _ => FindingStatus::Positive,
    }
}

/// Cues in front of the mention, nearest first.
fn from_before(sentence: &str, mention: &Mention, cues: &[Hit<Cue>]) -> Reached {
    let at = mention.span.start;
    let mut hedged = false;
    let mut fresh = false;
    for cue in cues.iter().rev().filter(|cue| cue.span.start <= at) {
        let gap = between(sentence, cue.span.end, at);
        match cue.tag {
            Cue::Stop | Cue::StopNext if cue.span.end <= at => break,
            Cue::Fresh if !list_goes_on(sentence, mention.span.end) => fresh = true,
            Cue::DeniesNext if !fresh => {
                if hedged {
                    break;
                }
                return Reached::Denied;
            }
            Cue::HedgesNext | Cue::Versus if !fresh && hedge_spans(sentence, gap, mention) => {
                hedged = true;
            }
            // "no opacity to suggest pneumonia": the denial goes through.
            Cue::HedgesCause if !fresh && hedge_spans(sentence, gap, mention) => {
                let denied = cues.iter().rev().any(|other| {
                    other.tag == Cue::DeniesNext
                        && other.span.end <= cue.span.start
                        && !cues.iter().any(|stop| {
                            matches!(stop.tag, Cue::Stop | Cue::Fresh)
                                && stop.span.start >= other.span.end
                                && stop.span.end <= cue.span.start
                        })
                });
                return if denied { Reached::Denied } else { Reached::Hedged };
            }
            // A denial of the thing before says nothing of this one, and ends older reaches.
            Cue::DeniesPrevious | Cue::HedgesPrevious if cue.span.end <= at => break,
            _ => {}
        }
    }
    if hedged { Reached::Hedged } else { Reached::Nothing }
}

/// A hedge goes through "and" and "or", and through a comma only in a list of alternatives.
fn hedge_spans(sentence: &str, gap: &str, mention: &Mention) -> bool {
    if gap.contains(" with ") {
        return false;
    }
    !gap.contains(',') || gap.contains(" or ") || list_goes_on(sentence, mention.span.end)
}

/// Does the list that the mention stands in end in "or" / "nor"?
fn list_goes_on(sentence: &str, from: usize) -> bool {
    let rest = sentence.get(from..).unwrap_or_default();
    let rest = rest.split(['.', ';', ':']).next().unwrap_or_default();
    let mut steps = 0;
    for word in rest.split(' ') {
        match word.trim_matches(',') {
            "or" | "nor" => return true,
            "is" | "are" | "was" | "were" | "has" | "have" | "with" | "but" | "may" | "which" => {
                return false;
            }
            _ => steps += 1,
        }
        if steps > 8 {
            return false;
        }
    }
    false
}

/// Cues behind the mention, nearest first.
fn from_after(
    sentence: &str,
    mention: &Mention,
    mentions: &[Mention],
    cues: &[Hit<Cue>],
) -> Reached {
    for cue in cues.iter().filter(|cue| cue.span.start >= mention.span.end) {
        let reached = match cue.tag {
            Cue::Stop => break,
            Cue::DeniesPrevious => Reached::Denied,
            Cue::HedgesPrevious => Reached::Hedged,
            Cue::Versus => {
                let gap = between(sentence, mention.span.end, cue.span.start);
                if gap.split_whitespace().count() <= 1 && !gap.contains(',') {
                    return Reached::Hedged;
                }
                continue;
            }
            // "pulmonary edema, resolved", "effusion suspected": the cue closes the statement.
            Cue::DeniesNext if closes(sentence, cue) && is_participle(sentence, cue) => {
                Reached::Denied
            }
            Cue::HedgesNext if closes(sentence, cue) => Reached::Hedged,
            Cue::HedgesNext if open_hedge(sentence, mention, mentions, cue) => Reached::Hedged,
            Cue::DeniesNext | Cue::HedgesNext | Cue::HedgesCause => break,
            _ => continue,
        };
        return if joined(sentence, mention, mentions, cue.span.start) {
            reached
        } else {
            Reached::Nothing
        };
    }
    Reached::Nothing
}

/// Does nothing but the end, a mark or a place follow the cue?
fn closes(sentence: &str, cue: &Hit<Cue>) -> bool {
    let rest = sentence.get(cue.span.end..).unwrap_or_default().trim_start();
    rest.is_empty()
        || rest.starts_with(['.', ',', ';', ')', ':'])
        || rest.split(' ').next().is_some_and(|word| {
            matches!(word, "in" | "at" | "on" | "from" | "although" | "given" | "and" | "there")
        })
}

/// A word that denies from either side: "resolved effusion", "effusion, resolved".
fn is_participle(sentence: &str, cue: &Hit<Cue>) -> bool {
    ["resolved", "cleared", "removed", "excluded", "absent"].contains(&between(
        sentence,
        cue.span.start,
        cue.span.end,
    ))
}

/// "early pneumonia could look the same": a diagnosis followed by a bare "may" or "could".
fn open_hedge(sentence: &str, mention: &Mention, mentions: &[Mention], cue: &Hit<Cue>) -> bool {
    use Observation::{Atelectasis, Consolidation, Edema, Pneumonia};
    matches!(mention.observation, Pneumonia | Atelectasis | Consolidation | Edema)
        && matches!(between(sentence, cue.span.start, cue.span.end), "may" | "might" | "could")
        && between(sentence, mention.span.end, cue.span.start).trim().is_empty()
        && !mentions.iter().any(|other| other.span.start >= cue.span.end)
}

/// A shadow that the report surely puts down to something else is no mention: an opacity that is a
/// nipple (19), an angle blunted by a pleural scar (7).
fn explained(sentence: &str, mention: &Mention, mentions: &[Mention], cues: &[Hit<Cue>]) -> bool {
    match mention.observation {
        Observation::PleuralEffusion => {
            mention.stance == Stance::Doubtful
                && mentions.iter().any(|other| {
                    other.observation == Observation::PleuralOther
                        && other.span.start >= mention.span.end
                })
        }
        Observation::LungOpacity | Observation::LungLesion => {
            outside_the_lung(sentence, mention, cues) == Some(true)
        }
        _ => false,
    }
}

/// Is the shadow put down to something outside the lung? `Some(true)`: surely, `Some(false)`: with
/// a hedge.
fn outside_the_lung(sentence: &str, mention: &Mention, cues: &[Hit<Cue>]) -> Option<bool> {
    let outside =
        cues.iter().find(|cue| cue.tag == Cue::Outside && cue.span.start >= mention.span.end)?;
    let gap = between(sentence, mention.span.end, outside.span.start);
    if gap.contains([';', '.']) {
        return None;
    }
    let hedged = cues.iter().any(|cue| {
        matches!(cue.tag, Cue::HedgesNext | Cue::HedgesCause | Cue::Versus | Cue::HedgesPrevious)
            && cue.span.start >= mention.span.end
            && cue.span.end <= outside.span.start
    });
    if hedged || gap.contains(" or ") {
        return Some(false);
    }
    let linked = gap.split_whitespace().any(|word| {
        let word = word.trim_matches(',');
        matches!(word, "is" | "are" | "was" | "were" | "due")
            || ["represent", "reflect", "correspond", "coincid", "account", "caused"]
                .iter()
                .any(|stem| word.starts_with(stem))
    });
    linked.then_some(true)
}

/// Is everything between the mention and the cue one list ("effusions and infiltrate have
/// resolved")?
fn joined(sentence: &str, mention: &Mention, mentions: &[Mention], cue: usize) -> bool {
    let mut at = mention.span.end;
    for other in mentions.iter().filter(|other| other.span.start >= mention.span.end) {
        if other.span.start >= cue {
            break;
        }
        let gap = between(sentence, at, other.span.start);
        let listed = gap.contains(" and ")
            || gap.contains(" or ")
            || gap.contains('/')
            || (gap.starts_with(',') && gap.split_whitespace().count() <= 3);
        if !listed || gap.split_whitespace().count() > 5 {
            return false;
        }
        at = other.span.end;
    }
    true
}

/// "atelectasis or infiltrate", "atelectasis/infiltrate": both are uncertain (rules 1 and 22).
fn hedge_alternatives(sentence: &str, judged: &mut [(&Mention, FindingStatus)]) {
    let mut doubtful = vec![false; judged.len()];
    for (index, pair) in judged.windows(2).enumerate() {
        let [(left, left_status), (right, right_status)] = pair else { continue };
        if left.observation == right.observation
            || *left_status == FindingStatus::Negative
            || *right_status == FindingStatus::Negative
        {
            continue;
        }
        let gap = between(sentence, left.span.end, right.span.start);
        if gap.len() > 40 || gap.contains([';', '.', ':']) {
            continue;
        }
        let alternative = gap.trim() == "/"
            || gap.contains(" or ")
            || gap.contains("/or ")
            || gap.starts_with(", or ");
        if alternative {
            doubtful.iter_mut().skip(index).take(2).for_each(|mark| *mark = true);
        }
    }
    for ((_, status), doubt) in judged.iter_mut().zip(doubtful) {
        if doubt {
            *status = FindingStatus::Uncertain;
        }
    }
}

fn between(sentence: &str, from: usize, to: usize) -> &str {
    sentence.get(from..to).unwrap_or_default()
}
