//! The checker itself: nothing to say of a clean run, and each falsehood found by the check that is there
//! for it, and by no other.

#![allow(unused_imports, reason = "a bench that shares the module leaves the tests out")]

use std::time::Duration;

use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use super::evidence::{Finding, Letter, Output, Seen};
use super::{Check, DemoFeed, Evidence, Guarantee, Place, Scene, Summary, check, ends, log};
use crate::support::kafka::KafkaBroker;
use crate::support::processes::RadstreamCommand;
use crate::support::records::{Isolation, Message, await_decided, read_all};
use crate::support::server::PATIENCE;
use crate::support::stage::{Stage, expected};

const LONG: Duration = Duration::from_secs(300);

/// Doubts some of the answers, so that there are escalations and markers for those that are none.
const ROUTING: &str = "[student]\nlabeler = \"rules\"\n[routing]\nmin_confidence = 1.0\naudit_rate = 0.0\nmax_escalation_rate = 0.3\n";

fn scene(stage: &Stage<'_>) -> Scene {
    Scene {
        client: stage.broker.client(),
        input: stage.topic("in"),
        findings: stage.topic("findings"),
        escalations: stage.topic("escalations"),
        distillation: stage.topic("distillation"),
        dead_letters: stage.topic("dead"),
        group: stage.group(),
        escalates: true,
        data_folders: vec![stage.broker.data_folder()],
    }
}

/// A falsehood, and the check that must find it.
type Falsehood<'a> = (Check, &'static str, Box<dyn Fn(&mut Evidence) + 'a>);

fn swap_two_versions(evidence: &mut Evidence) {
    let findings = &mut evidence.findings;
    let pair = (0..findings.len()).find_map(|first| {
        let is_other = |second: &usize| {
            let (a, b) = (&findings[first], &findings[*second]);
            // What its sender gave no key may lie in any partition, and there is no order between two.
            let from = |finding: &Finding| finding.source.map(|source| source.partition);
            a.key == b.key && from(a) == from(b) && a.source != b.source
        };
        (first + 1..findings.len()).find(is_other).map(|second| (first, second))
    });
    let (first, second) = pair.expect("a report with two versions");
    let at = findings[first].at;
    findings[first].at = findings[second].at;
    findings[second].at = at;
}

/// Another finding as if it came of an input that is to be skipped.
fn of_a_skipped_input(evidence: &mut Evidence) {
    let taken = |at: Place| {
        evidence.findings.iter().any(|finding| finding.source == Some(at))
            || evidence.letters.iter().any(|letter| letter.source == Some(at))
    };
    let free = evidence.inputs.iter().find(|input| !taken(input.at)).expect("a skipped input").at;
    let plain = |finding: &&Finding| finding.kind == "PROMOTED";
    let mut more = evidence.findings.iter().find(plain).expect("a promotion").clone();
    more.source = Some(free);
    more.at.offset += 1_000_000;
    more.key = None;
    evidence.findings.push(more);
}

fn falsehoods<'a>(letter: &'a Message, findings: &'a str, input: &'a str) -> Vec<Falsehood<'a>> {
    // A kind without escalations, markers and withdrawals: one falsehood is then one only.
    let promoted = |evidence: &Evidence| {
        evidence.findings.iter().position(|finding| finding.kind == "PROMOTED").expect("one")
    };
    vec![
        (
            Check::FeedWhole,
            "an input less",
            Box::new(|e| {
                let at = e.inputs.iter().position(|input| {
                    !e.findings.iter().any(|f| f.source == Some(input.at))
                        && !e.letters.iter().any(|l| l.source == Some(input.at))
                });
                e.inputs.remove(at.expect("a skipped input"));
            }),
        ),
        (
            Check::Readable,
            "a value that is no record",
            Box::new(|e| {
                e.unreadable.push("of a made-up record".into());
            }),
        ),
        (
            Check::Lost,
            "a finding less",
            Box::new(move |e| {
                e.findings.remove(promoted(e));
            }),
        ),
        (Check::Lost, "a dead letter less", Box::new(|e| _ = e.letters.pop())),
        (
            Check::Doubled,
            "a finding twice",
            Box::new(move |e| {
                let mut again = e.findings[promoted(e)].clone();
                again.at.offset += 1_000_000;
                e.findings.push(again);
            }),
        ),
        (
            Check::Doubled,
            "a dead letter twice",
            Box::new(|e| {
                let again = e.letters[0].clone();
                e.letters.push(again);
            }),
        ),
        (Check::WrongOutcome, "a finding of a skipped input", Box::new(of_a_skipped_input)),
        (
            Check::WrongOutcome,
            "a finding of another topic",
            Box::new(move |e| {
                let mut more = e.findings[promoted(e)].clone();
                more.source = None;
                e.findings.push(more);
            }),
        ),
        (
            Check::WrongOutcome,
            "another kind",
            Box::new(move |e| {
                let at = promoted(e);
                e.findings[at].kind = "LABELLED".into();
            }),
        ),
        (Check::KeyOrder, "versions that overtake each other", Box::new(swap_two_versions)),
        (
            Check::AbortedInvisible,
            "a reader sees more than was committed",
            Box::new(|e| {
                for log in e.outputs.get_mut(findings).unwrap().log.values_mut() {
                    if let Some(offset) = log.committed.pop_first() {
                        log.aborted.insert(offset);
                        return;
                    }
                }
            }),
        ),
        (
            Check::AbortedInvisible,
            "a reader misses a committed record",
            Box::new(|e| {
                e.outputs
                    .get_mut(findings)
                    .unwrap()
                    .log
                    .get_mut(&0)
                    .unwrap()
                    .committed
                    .insert(1 << 40);
            }),
        ),
        (
            Check::ReadersAgree,
            "a record changed",
            Box::new(|e| {
                e.during.get_mut(findings).unwrap()[0].digest ^= 1;
            }),
        ),
        (
            Check::ReadersAgree,
            "a record came twice",
            Box::new(|e| {
                let during = e.during.get_mut(findings).unwrap();
                let again = during[0];
                during.push(again);
            }),
        ),
        (
            Check::OffsetsMatch,
            "a committed offset too low",
            Box::new(|e| {
                *e.group_offsets.get_mut(&2).unwrap().as_mut().unwrap() -= 1;
            }),
        ),
        (Check::OffsetsMatch, "no committed offset", Box::new(|e| _ = e.group_offsets.remove(&1))),
        (
            Check::Stable,
            "an open transaction",
            Box::new(|e| {
                e.outputs.get_mut(findings).unwrap().ends.get_mut(&0).unwrap().1 -= 1;
            }),
        ),
        (
            Check::LettersIdentical,
            "a byte of the value",
            Box::new(|e| {
                let mut changed = letter.clone();
                changed.value.as_mut().unwrap()[0] ^= 1;
                e.letters[0] = Letter::of(&changed, input);
            }),
        ),
        (
            Check::LettersIdentical,
            "a sender's header",
            Box::new(|e| {
                let mut changed = letter.clone();
                changed.headers.retain(|(name, _)| name != "test-number");
                e.letters[0] = Letter::of(&changed, input);
            }),
        ),
        (
            Check::LettersIdentical,
            "the reason",
            Box::new(|e| {
                let mut changed = letter.clone();
                changed.headers.retain(|(name, _)| name != "radstream.error.class");
                e.letters[0] = Letter::of(&changed, input);
            }),
        ),
        (
            Check::LettersIdentical,
            "the time",
            Box::new(|e| {
                *e.letters[0].record.timestamp.as_mut().unwrap() += 1;
            }),
        ),
        (Check::EscalationsMatch, "an escalation less", Box::new(|e| _ = e.escalations.pop())),
        (
            Check::EscalationsMatch,
            "an escalation twice",
            Box::new(|e| {
                let again = e.escalations[0].clone();
                e.escalations.push(again);
            }),
        ),
        (Check::EscalationsMatch, "another report's", Box::new(|e| e.escalations[0].key = None)),
        (Check::WithdrawalsMatch, "a withdrawal less", Box::new(|e| _ = e.withdrawals.pop())),
        (
            Check::WithdrawalsMatch,
            "a withdrawal twice",
            Box::new(|e| {
                let again = e.withdrawals[0].clone();
                e.withdrawals.push(again);
            }),
        ),
        (Check::MarksMatch, "a marker less", Box::new(|e| _ = e.marks.pop())),
        (Check::MarksMatch, "a marker of another kind", Box::new(|e| e.marks[0].kind.push('x'))),
        (Check::FaultsHappened, "too few", Box::new(|e| _ = e.fired.insert("kill".into(), 1))),
        (
            Check::FaultsHappened,
            "all work was done before",
            Box::new(|e| {
                e.findings_at_last_fault = Some(e.findings.len());
            }),
        ),
        (Check::ProcessesLived, "an end", Box::new(|e| e.unexpected_ends.push("code 70".into()))),
    ]
}

#[test]
fn nothing_is_said_of_a_clean_run_and_each_falsehood_is_found_by_its_own_check() {
    const SEED: u64 = 23;
    const MESSAGES: u64 = 700;
    let stage = Stage::create(KafkaBroker::shared(), "judged");
    stage.feed(SEED, MESSAGES);
    let findings = stage.topic("findings");
    let mut reader = stage.broker.reader(&[&findings]);
    let config = stage.config("only", ROUTING);
    // None of its transactions may be aborted, however slow the broker is at first.
    let mut process = RadstreamCommand::new(&["run", "--until-end"])
        .config(&config)
        .env("RADSTREAM__DELIVERY__TRANSACTION_TIMEOUT_MS", "20000")
        .env("RADSTREAM__KAFKA__SESSION_TIMEOUT_MS", "45000")
        .spawn();
    let (events, dead) = expected(SEED, MESSAGES);
    reader.until("all findings", LONG, |messages| messages.len() >= events);
    assert_eq!(process.wait(LONG).code(), Some(0), "{}", process.log_tail(40));

    let mut evidence = Evidence::collect(&scene(&stage));
    evidence.saw_during(reader.read_to_end());
    // As if there had been faults.
    evidence.planned.insert("kill".into(), 2);
    evidence.fired.insert("kill".into(), 2);
    evidence.findings_at_last_fault = Some(events / 2);
    let feed = DemoFeed { seed: SEED, messages: MESSAGES };
    let verdict = check(&evidence, &feed);
    verdict.print();
    assert!(verdict.is_clean(), "{verdict}");
    // A check of nothing finds nothing.
    assert_eq!((evidence.findings.len(), evidence.letters.len()), (events, dead));
    assert!(evidence.escalations.len() > 10 && evidence.marks.len() > 2, "{verdict}");
    assert!(evidence.withdrawals.len() > 2 && evidence.summary.commits > 0, "{verdict}");
    assert_eq!((evidence.summary.aborts, evidence.summary.epochs), (0, 0));

    let input = stage.topic("in");
    let letter = stage.broker.read_committed_all(&stage.topic("dead")).swap_remove(0);
    assert_eq!(Place::of(&letter), evidence.letters[0].record.at);
    let falsehoods = falsehoods(&letter, &findings, &input);
    for (wanted, what, falsify) in &falsehoods {
        let mut falsified = evidence.clone();
        falsify(&mut falsified);
        let verdict = check(&falsified, &feed);
        assert_eq!(verdict.failed(), [*wanted], "{what}:\n{verdict}");
    }
    for check in Check::ALL {
        assert!(falsehoods.iter().any(|(tried, ..)| *tried == check), "{check:?} was not tried");
    }

    // With the weaker guarantee, what is doubled is no violation, and what is lost is one.
    evidence.guarantee = Guarantee::AtLeastOnce;
    for (wanted, what, falsify) in &falsehoods {
        let mut falsified = evidence.clone();
        falsify(&mut falsified);
        let failed = check(&falsified, &feed).failed();
        let allowed =
            what.ends_with("twice") && !what.starts_with("a record") || *wanted == Check::KeyOrder;
        assert_eq!(failed.is_empty(), allowed, "{what}: {failed:?}");
    }
}

fn transactional(broker: &KafkaBroker, id: &str) -> BaseProducer {
    let producer: BaseProducer =
        broker.client().set("transactional.id", id).create().expect("a producer");
    producer.init_transactions(PATIENCE).expect("a transactional id");
    producer
}

fn send(producer: &BaseProducer, topic: &str, values: usize) {
    for value in 0..values {
        let value = value.to_string();
        producer.send(BaseRecord::to(topic).key("k").payload(&value)).expect("room in the queue");
    }
    // An abort drops what is still queued.
    producer.flush(PATIENCE).unwrap();
}

/// Evidence of one topic only.
fn of_topic(broker: &KafkaBroker, topic: &str) -> Evidence {
    let read = |isolation| read_all(&broker.client(), topic, isolation);
    let output = Output {
        committed: read(Isolation::ReadCommitted).iter().map(Seen::of).collect(),
        uncommitted: read(Isolation::ReadUncommitted).iter().map(Place::of).collect(),
        ends: ends(&broker.client(), topic),
        log: log::read_topic(&[broker.data_folder()], topic, 2),
    };
    let mut evidence = Evidence::default();
    evidence.outputs.insert(topic.to_owned(), output);
    evidence
}

#[test]
fn aborted_and_open_transactions_are_known_from_the_log() {
    const TOPIC: &str = "log.decided";
    let broker = KafkaBroker::shared();
    broker.create_topic(TOPIC, 2, &[]);
    let feed = DemoFeed { seed: 1, messages: 0 };
    let producer = transactional(broker, "log.one");
    let other = transactional(broker, "log.two");
    for commits in [true, false, true] {
        producer.begin_transaction().unwrap();
        send(&producer, TOPIC, 3);
        if commits {
            producer.commit_transaction(PATIENCE).unwrap();
        } else {
            producer.abort_transaction(PATIENCE).unwrap();
        }
    }
    // Before that all is decided.
    await_decided(&broker.client(), TOPIC);
    // Open in the midst of others: what comes behind it is committed and not yet to be seen.
    other.begin_transaction().unwrap();
    send(&other, TOPIC, 2);
    let evidence = of_topic(broker, TOPIC);
    let verdict = check(&evidence, &feed);
    assert_eq!(verdict.count(Check::Stable), 1, "{verdict}");
    assert_eq!(verdict.count(Check::AbortedInvisible), 0, "{verdict}");
    let logs = || evidence.outputs[TOPIC].log.values();
    assert_eq!(logs().map(|log| log.committed.len()).sum::<usize>(), 6);
    assert_eq!(logs().map(|log| log.aborted.len()).sum::<usize>(), 3);
    assert_eq!(logs().map(|log| log.open.len()).sum::<usize>(), 2);
    assert_eq!(logs().map(|log| (log.commits, log.aborts)).max(), Some((2, 1)));

    // Its successor fences it, and that aborts it.
    let successor = transactional(broker, "log.two");
    assert!(other.commit_transaction(PATIENCE).is_err(), "fenced");
    let evidence = of_topic(broker, TOPIC);
    let verdict = check(&evidence, &feed);
    assert_eq!(verdict.count(Check::Stable), 0, "{verdict}");
    assert_eq!(verdict.count(Check::AbortedInvisible), 0, "{verdict}");
    drop(successor);
    let summary = log::read_coordinator(&[broker.data_folder()], "log.");
    let wanted = Summary { commits: 2, aborts: 2, fencings: 1, epochs: 2, ..Summary::default() };
    assert_eq!(summary, wanted);

    // A reader that saw what was aborted.
    let mut falsified = evidence.clone();
    let output = falsified.outputs.get_mut(TOPIC).unwrap();
    let log = output.log.iter().find(|(_, log)| !log.aborted.is_empty()).unwrap();
    let at = Place { partition: *log.0, offset: *log.1.aborted.first().unwrap() };
    output.committed.push(Seen { at, digest: 0 });
    assert_eq!(check(&falsified, &feed).count(Check::AbortedInvisible), 1);
}
