//! Where a letter is replayed to, or why it is not.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::catalogue::Letter;

/// What bounds a replay.
#[derive(Clone, Debug)]
pub struct ReplayPolicy {
    /// Topics that letters may go back to, with their numbers of partitions.
    pub inputs: BTreeMap<Arc<str>, usize>,
    /// In place of the topic that each came from.
    pub to: Option<Arc<str>>,
    /// A record that was replayed so often stays.
    pub max_replays: u32,
    /// Largest record, bytes.
    pub max_bytes: u64,
}

/// Where a letter's record is written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Topic.
    pub topic: Arc<str>,
    /// The partition that it came from; `None`: its key decides.
    pub partition: Option<i32>,
}

/// Why a letter is not replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// It was replayed as often as is allowed.
    TooOften,
    /// Something of the record was left out when the letter was written.
    Cut,
    /// It does not say where its record came from.
    NoSource,
    /// It came from a topic that is none of ours.
    OtherSource,
    /// Larger than what may be produced now.
    TooLarge,
}

impl Refusal {
    /// Machine name (`too_often`), as in the summary.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TooOften => "too_often",
            Self::Cut => "cut",
            Self::NoSource => "no_source",
            Self::OtherSource => "other_source",
            Self::TooLarge => "too_large",
        }
    }

    /// What it means, and what to do.
    pub const fn words(self) -> &'static str {
        match self {
            Self::TooOften => "replayed --max-replays times already: mend the cause first",
            Self::Cut => {
                "too large when it failed, so the letter has not all of it: the whole record may still \
                 stand where it came from"
            }
            Self::NoSource => {
                "the letter does not say which topic it came from: name one with --to"
            }
            Self::OtherSource => {
                "it came from a topic that this configuration does not read, or that is gone: name one \
                 with --to"
            }
            Self::TooLarge => "larger than publish.max_message_bytes: raise it",
        }
    }
}

/// Decides about a letter that was not replayed yet.
///
/// # Errors
/// Why it stays.
pub fn decide(letter: &Letter, policy: &ReplayPolicy) -> Result<Target, Refusal> {
    if letter.is_cut {
        return Err(Refusal::Cut);
    }
    if letter.replays >= policy.max_replays {
        return Err(Refusal::TooOften);
    }
    if letter.bytes > policy.max_bytes {
        return Err(Refusal::TooLarge);
    }
    if let Some(topic) = &policy.to {
        return Ok(Target { topic: Arc::clone(topic), partition: None });
    }
    let (topic, partition, _) = letter.origin.as_ref().ok_or(Refusal::NoSource)?;
    let partitions = policy.inputs.get(topic).ok_or(Refusal::OtherSource)?;
    // Where its report's other versions stand. The topic may have been made anew with fewer.
    let is_there = usize::try_from(*partition).is_ok_and(|number| number < *partitions);
    Ok(Target { topic: Arc::clone(topic), partition: is_there.then_some(*partition) })
}

#[cfg(test)]
mod tests {
    use super::super::catalogue::Catalogue;
    use super::super::catalogue::tests::letter;
    use super::*;

    fn policy() -> ReplayPolicy {
        ReplayPolicy {
            inputs: BTreeMap::from([(Arc::from("in"), 4)]),
            to: None,
            max_replays: 3,
            max_bytes: 10_000,
        }
    }

    fn plain(partition: i32) -> Letter {
        let mut catalogue = Catalogue::new(false);
        catalogue.take(&letter((partition, 0), "syntax", 10, Some(b"x")));
        catalogue.letters().next().unwrap().clone()
    }

    #[test]
    fn a_letter_goes_back_to_the_partition_that_it_came_from() {
        let target = |partition| Ok(Target { topic: Arc::from("in"), partition });
        assert_eq!(decide(&plain(3), &policy()), target(Some(3)));
        assert_eq!(decide(&plain(4), &policy()), target(None), "the topic has four partitions");
    }

    #[test]
    fn another_topic_takes_any_letter_and_the_key_decides() {
        let policy = ReplayPolicy { to: Some(Arc::from("other")), ..policy() };
        let target = Ok(Target { topic: Arc::from("other"), partition: None });
        let nowhere = Letter { origin: None, ..plain(3) };
        assert_eq!(decide(&plain(3), &policy), target);
        assert_eq!(decide(&nowhere, &policy), target);
    }

    #[test]
    fn what_cannot_or_may_not_be_replayed_stays() {
        let letter = plain(3);
        let often = |replays| decide(&Letter { replays, ..letter.clone() }, &policy());
        assert!(often(2).is_ok());
        assert_eq!(often(3), Err(Refusal::TooOften));
        let cut = Letter { is_cut: true, ..letter.clone() };
        assert_eq!(decide(&cut, &policy()), Err(Refusal::Cut));
        let large = Letter { bytes: 10_001, ..letter.clone() };
        assert_eq!(decide(&large, &policy()), Err(Refusal::TooLarge));
        let nowhere = Letter { origin: None, ..letter.clone() };
        assert_eq!(decide(&nowhere, &policy()), Err(Refusal::NoSource));
        let other = Letter { origin: Some((Arc::from("dead"), 0, 0)), ..letter };
        assert_eq!(decide(&other, &policy()), Err(Refusal::OtherSource));
    }
}
