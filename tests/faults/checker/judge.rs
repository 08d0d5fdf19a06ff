//! The checks themselves.

use std::collections::{BTreeMap, BTreeSet};

use super::evidence::{Digest, Evidence, Finding, Guarantee, Input, Letter, Place, Seen};
use super::{Check, Expected, Feed, Violations};

/// `ce_type` of markers.
const WITHDRAWN: &str = "org.radstream.distillation.withdrawn.v1";
const RETRACTED: &str = "org.radstream.escalation.retracted.v1";
const REPLACED: &str = "org.radstream.escalation.replaced.v1";

/// What the headers begin with that a dead letter has of its own, and does not keep of an earlier one.
const OF_A_LETTER: [&str; 6] = [
    "__connect.errors.",
    "__streams.errors.",
    "__dlq.errors.",
    "kafka_dlt-",
    "radstream.error.",
    "radstream.omitted",
];
/// The same, whole names.
const NAMES_OF_A_LETTER: [&str; 5] = [
    "radstream.failed.at",
    "radstream.first.failed.at",
    "radstream.attempt",
    "radstream.version",
    "radstream.part",
];

/// Headers that every dead letter must have.
const WANTED: [&str; 10] = [
    "__connect.errors.topic",
    "__connect.errors.partition",
    "__connect.errors.offset",
    "__connect.errors.exception.message",
    "radstream.error.class",
    "radstream.error.stage",
    "radstream.first.failed.at",
    "radstream.attempt",
    "radstream.version",
    "radstream.part",
];

pub(super) fn all(evidence: &Evidence, feed: &impl Feed) -> Vec<(Check, Violations)> {
    let [lost, doubled, wrong] = outcomes(evidence, feed);
    let mut unreadable = Violations::default();
    for problem in &evidence.unreadable {
        unreadable.add(|| problem.clone());
    }
    let mut ended = Violations::default();
    for end in &evidence.unexpected_ends {
        ended.add(|| end.clone());
    }
    vec![
        (Check::FeedWhole, feed_whole(evidence, feed)),
        (Check::Readable, unreadable),
        (Check::Lost, lost),
        (Check::Doubled, doubled),
        (Check::WrongOutcome, wrong),
        (Check::KeyOrder, key_order(evidence)),
        (Check::AbortedInvisible, aborted_invisible(evidence)),
        (Check::ReadersAgree, readers_agree(evidence)),
        (Check::OffsetsMatch, offsets_match(evidence)),
        (Check::Stable, stable(evidence)),
        (Check::LettersIdentical, letters_identical(evidence)),
        (Check::EscalationsMatch, escalations_match(evidence)),
        (Check::WithdrawalsMatch, withdrawals_match(evidence)),
        (Check::MarksMatch, marks_match(evidence)),
        (Check::FaultsHappened, faults_happened(evidence)),
        (Check::ProcessesLived, ended),
    ]
}

fn number<F: Feed>(input: &Input) -> Option<u64> {
    input.header(F::NUMBER)?.parse().ok()
}

fn feed_whole<F: Feed>(evidence: &Evidence, feed: &F) -> Violations {
    let mut found = Violations::default();
    let mut missing: BTreeSet<u64> = (0..feed.messages()).collect();
    for input in &evidence.inputs {
        if !number::<F>(input).is_some_and(|number| missing.remove(&number)) {
            found.add(|| format!("input {}: no message of the feed, or the second", input.at));
        }
    }
    for number in missing {
        found.add(|| format!("message {number} is not in the input"));
    }
    if feed.messages() == 0 {
        found.add(|| "nothing was fed".into());
    }
    found
}

/// Findings of stage label: later revisions are a teacher's.
fn own(evidence: &Evidence) -> impl Iterator<Item = &Finding> {
    evidence.findings.iter().filter(|finding| finding.revision == 0)
}

/// [`Check::Lost`], [`Check::Doubled`], [`Check::WrongOutcome`].
fn outcomes<F: Feed>(evidence: &Evidence, feed: &F) -> [Violations; 3] {
    let [mut lost, mut doubled, mut wrong] = [(); 3].map(|()| Violations::default());
    let mut findings: BTreeMap<Place, Vec<&Finding>> = BTreeMap::new();
    for finding in own(evidence) {
        match finding.source {
            Some(source) => findings.entry(source).or_default().push(finding),
            None => wrong.add(|| format!("finding {}: of another topic", finding.at)),
        }
    }
    let mut letters: BTreeMap<Place, Vec<&Letter>> = BTreeMap::new();
    for letter in &evidence.letters {
        match letter.source {
            Some(source) => letters.entry(source).or_default().push(letter),
            None => wrong.add(|| format!("dead letter {}: of no input", letter.record.at)),
        }
    }
    for input in &evidence.inputs {
        // Not of the feed: reported as such.
        let Some(number) = number::<F>(input) else { continue };
        let found = findings.remove(&input.at).unwrap_or_default();
        let buried = letters.remove(&input.at).unwrap_or_default();
        let expected = feed.expected(number);
        let (right, all) = match expected {
            Expected::Finding(kind) => {
                let right = found.iter().filter(|finding| finding.kind == kind).count();
                (right, found.len() + buried.len())
            }
            Expected::Letter => (buried.len(), found.len() + buried.len()),
            Expected::Nothing => (0, found.len() + buried.len()),
        };
        if expected != Expected::Nothing && all == 0 {
            lost.add(|| format!("input {}: {expected:?}", input.at));
        }
        if right > 1 {
            doubled.add(|| {
                let findings = found.iter().map(|finding| format!(" finding {}", finding.at));
                let letters = buried.iter().map(|letter| format!(" letter {}", letter.record.at));
                let outcomes: String = findings.chain(letters).collect();
                format!("input {}:{outcomes}", input.at)
            });
        }
        if all > right {
            wrong.add(|| format!("input {}: expected {expected:?}, has another", input.at));
        }
    }
    for source in findings.keys().chain(letters.keys()) {
        wrong.add(|| format!("an outcome of {source}, which is no input"));
    }
    if evidence.guarantee == Guarantee::AtLeastOnce {
        doubled = Violations::default();
    }
    [lost, doubled, wrong]
}

fn key_order(evidence: &Evidence) -> Violations {
    let mut found = Violations::default();
    // What is done again goes back: that is what the weaker guarantee allows.
    if evidence.guarantee == Guarantee::AtLeastOnce {
        return found;
    }
    let mut ordered: Vec<&Finding> = own(evidence).collect();
    ordered.sort_by_key(|finding| finding.at);
    let mut seen = BTreeSet::new();
    let mut last: BTreeMap<(Digest, i32), (i32, i64)> = BTreeMap::new();
    for finding in ordered {
        let Some(source) = finding.source else { continue };
        // The second of the same input is a duplicate, and reported as such.
        if !seen.insert(source) {
            continue;
        }
        let before =
            last.insert((finding.key, source.partition), (finding.at.partition, source.offset));
        if before.is_some_and(|(at, offset)| at != finding.at.partition || offset > source.offset) {
            found.add(|| format!("finding {} of {source} overtakes one of its key", finding.at));
        }
    }
    found
}

fn aborted_invisible(evidence: &Evidence) -> Violations {
    let mut found = Violations::default();
    for (topic, output) in &evidence.outputs {
        let mut committed: BTreeSet<Place> = output.committed.iter().map(|seen| seen.at).collect();
        let mut uncommitted: BTreeSet<Place> = output.uncommitted.iter().copied().collect();
        for (partition, log) in &output.log {
            let place = |offset: &i64| Place { partition: *partition, offset: *offset };
            for at in log.committed.iter().map(place) {
                if !committed.remove(&at) {
                    found.add(|| format!("{topic} {at}: committed, and no reader finds it"));
                }
            }
            for at in log.data().iter().map(place) {
                if !uncommitted.remove(&at) {
                    found.add(|| format!("{topic} {at}: in the log, and no reader finds it"));
                }
            }
        }
        for at in committed {
            found.add(|| format!("{topic} {at}: visible, and not committed"));
        }
        for at in uncommitted {
            found.add(|| format!("{topic} {at}: visible, and not in the log"));
        }
    }
    found
}

fn readers_agree(evidence: &Evidence) -> Violations {
    let mut found = Violations::default();
    for (topic, during) in &evidence.during {
        let Some(output) = evidence.outputs.get(topic) else {
            found.add(|| format!("{topic} was read during the run and not afterwards"));
            continue;
        };
        let mut ends: BTreeMap<i32, i64> = BTreeMap::new();
        for seen in during {
            let before = ends.insert(seen.at.partition, seen.at.offset);
            if before.is_some_and(|before| before >= seen.at.offset) {
                found.add(|| format!("{topic} {}: went back during the run", seen.at));
            }
        }
        let during: BTreeSet<Seen> = during.iter().copied().collect();
        let afterwards: BTreeSet<Seen> = output.committed.iter().copied().collect();
        for seen in during.difference(&afterwards) {
            found.add(|| format!("{topic} {}: seen during the run, not afterwards", seen.at));
        }
        for seen in afterwards.difference(&during) {
            found.add(|| format!("{topic} {}: there afterwards, not seen during the run", seen.at));
        }
    }
    found
}

fn offsets_match(evidence: &Evidence) -> Violations {
    let mut found = Violations::default();
    let committed =
        |partition| evidence.group_offsets.get(&partition).copied().flatten().unwrap_or(0);
    for (partition, end) in &evidence.input_ends {
        let at = committed(*partition);
        if at != *end {
            found.add(|| format!("partition {partition}: {at} is committed, the end is {end}"));
        }
    }
    found
}

fn stable(evidence: &Evidence) -> Violations {
    let mut found = Violations::default();
    for (topic, output) in &evidence.outputs {
        for (partition, (high, stable)) in &output.ends {
            if high != stable {
                found.add(|| format!("{topic} {partition}: stable up to {stable} of {high}"));
            }
        }
    }
    found
}

fn letters_identical(evidence: &Evidence) -> Violations {
    let mut found = Violations::default();
    let inputs: BTreeMap<Place, &Input> =
        evidence.inputs.iter().map(|input| (input.at, input)).collect();
    for Letter { record, source } in &evidence.letters {
        // A letter of no input is a wrong outcome.
        let Some(input) = source.and_then(|source| inputs.get(&source)) else { continue };
        let kept = input.headers.iter().filter(|(name, _)| !is_of_a_letter(name));
        let is_kept = kept.eq(record.headers.iter().filter(|(name, _)| !is_of_a_letter(name)));
        let wanted = WANTED.iter().all(|name| record.header(name).is_some_and(|v| !v.is_empty()));
        let problem = if record.value != input.value {
            "the value differs"
        } else if record.key != input.key {
            "the key differs"
        } else if record.timestamp != input.timestamp {
            "the timestamp differs"
        } else if record.at.partition != input.at.partition {
            "another partition"
        } else if !is_kept {
            "the sender's headers differ"
        } else if !wanted {
            "a header is missing that says why"
        } else {
            continue;
        };
        found.add(|| format!("dead letter {} of {}: {problem}", record.at, input.at));
    }
    found
}

fn is_of_a_letter(name: &str) -> bool {
    OF_A_LETTER.iter().any(|own| name.starts_with(own)) || NAMES_OF_A_LETTER.contains(&name)
}

/// How often each is wanted and how often it is there.
type Tally<K> = BTreeMap<K, (usize, usize)>;

fn settle<K: Ord>(evidence: &Evidence, tally: Tally<K>, what: impl Fn(&K) -> String) -> Violations {
    let mut found = Violations::default();
    for (key, (wanted, there)) in tally {
        let holds = match evidence.guarantee {
            Guarantee::ExactlyOnce => wanted == there,
            Guarantee::AtLeastOnce => (wanted > 0) == (there > 0),
        };
        if !holds {
            found.add(|| format!("{}: {wanted} wanted, {there} there", what(&key)));
        }
    }
    found
}

fn escalations_match(evidence: &Evidence) -> Violations {
    let mut tally: Tally<(Option<Place>, Digest, &str)> = BTreeMap::new();
    for finding in own(evidence).filter(|finding| finding.escalated) {
        tally.entry((finding.source, finding.key, &finding.event_id)).or_default().0 += 1;
    }
    for escalation in &evidence.escalations {
        tally.entry((escalation.source, escalation.key, &escalation.event_id)).or_default().1 += 1;
    }
    settle(evidence, tally, |(source, _, _)| match source {
        Some(source) => format!("escalations of input {source}"),
        None => "escalations of another topic".into(),
    })
}

fn withdrawals_match(evidence: &Evidence) -> Violations {
    let mut tally: Tally<(Digest, &str)> = BTreeMap::new();
    let mut places: BTreeMap<Digest, Place> = BTreeMap::new();
    for finding in own(evidence).filter(|finding| finding.kind == "RETRACTED") {
        tally.entry((finding.key, WITHDRAWN)).or_default().0 += 1;
        places.insert(finding.key, finding.at);
    }
    for marker in &evidence.withdrawals {
        tally.entry((marker.key, &marker.kind)).or_default().1 += 1;
    }
    settle(evidence, tally, |(key, kind)| named(&places, *key, kind))
}

fn marks_match(evidence: &Evidence) -> Violations {
    let mut tally: Tally<(Digest, &str)> = BTreeMap::new();
    let mut places: BTreeMap<Digest, Place> = BTreeMap::new();
    for finding in own(evidence).filter(|finding| evidence.escalates && !finding.escalated) {
        let kind = match (finding.kind.as_str(), finding.status.as_str()) {
            ("RETRACTED", _) => RETRACTED,
            ("LABELLED", "CORRECTED" | "AMENDED" | "APPENDED") => REPLACED,
            _ => continue,
        };
        tally.entry((finding.key, kind)).or_default().0 += 1;
        places.insert(finding.key, finding.at);
    }
    for marker in &evidence.marks {
        tally.entry((marker.key, &marker.kind)).or_default().1 += 1;
    }
    settle(evidence, tally, |(key, kind)| named(&places, *key, kind))
}

fn named(places: &BTreeMap<Digest, Place>, key: Digest, kind: &str) -> String {
    match places.get(&key) {
        Some(place) => format!("{kind} under the key of finding {place}"),
        None => format!("{kind} under a key without such a finding"),
    }
}

fn faults_happened(evidence: &Evidence) -> Violations {
    let mut found = Violations::default();
    for (kind, planned) in &evidence.planned {
        let fired = evidence.fired.get(kind).copied().unwrap_or(0);
        if fired < *planned {
            found.add(|| format!("{kind}: {fired} of {planned} happened"));
        }
    }
    if evidence.planned.is_empty() {
        return found;
    }
    if evidence.during.values().all(Vec::is_empty) {
        found.add(|| "nobody read while they happened".into());
    }
    match evidence.findings_at_last_fault {
        None => found.add(|| "not said how much work was left after the last".into()),
        Some(before) if before >= own(evidence).count() => {
            found.add(|| "no work was left after the last".into());
        }
        Some(_) => {}
    }
    found
}
