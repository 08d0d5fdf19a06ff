//! Stage label on real Kafka: each report's outcome exactly once, whatever is killed.

mod support;

use std::time::Duration;

use radstream::broker::division;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use support::kafka::KafkaBroker;
use support::metrics;
use support::processes::{Radstream, RadstreamCommand};
use support::records::Message;
use support::stage::{Stage, assert_exactly_once, expected, sources};

const RUN: [&str; 3] = ["run", "--stage", "label"];
/// For twenty thousand reports on two busy cores.
const PATIENCE: Duration = Duration::from_secs(900);
const GRACE: Duration = Duration::from_secs(60);

fn process(stage: &Stage<'_>, instance: &str) -> Radstream {
    let config = stage.config(instance, "[student]\nsessions = 1\n");
    RadstreamCommand::new(&RUN).config(&config).spawn()
}

fn ends_well(mut process: Radstream) {
    process.terminate();
    let status = process.wait(GRACE);
    assert_eq!(status.code(), Some(0), "{}", process.log_tail(40));
}

/// A deterministic "random" step: kills fall at different places of a transaction's life.
fn jitter(round: usize) -> usize {
    (round * 7919 + 101) % 977
}

#[test]
fn one_of_two_processes_killed_five_times_leaves_each_outcome_exactly_once() {
    const SEED: u64 = 11;
    const MESSAGES: u64 = 20_000;
    let broker = KafkaBroker::shared();
    let stage = Stage::create(broker, "killed");
    stage.feed(SEED, MESSAGES);
    let (events, dead) = expected(SEED, MESSAGES);

    let steady = process(&stage, "steady");
    let mut victim = process(&stage, "victim");
    let findings = stage.topic("findings");
    // Reads while the faults happen.
    let mut reader = broker.reader(&[&findings]);
    for round in 0..5 {
        let mark = events * (round + 1) / 8 + jitter(round);
        let seen = reader.until("findings before a kill", PATIENCE, |m| m.len() >= mark).len();
        assert!(seen < events, "the kill must fall while there is work");
        victim.kill();
        victim = process(&stage, "victim");
    }
    reader.until("all findings", PATIENCE, |messages| messages.len() >= events);
    let letters = stage.topic("dead");
    broker.reader(&[&letters]).until("all dead letters", GRACE, |m| m.len() >= dead);
    ends_well(victim);
    ends_well(steady);

    assert_exactly_once(&stage, SEED);
    let mut during: Vec<Message> = reader.read_to_end().to_vec();
    during.sort_by_key(|message| (message.partition, message.offset));
    assert!(
        during == broker.read_committed_all(&findings),
        "who read during the faults and who reads afterwards see the same"
    );
}

#[test]
fn until_end_works_off_what_is_there_and_leaves_what_comes_later() {
    const SEED: u64 = 3;
    let broker = KafkaBroker::shared();
    let stage = Stage::create(broker, "until-end");
    stage.feed(SEED, 700);
    let config = stage.config("only", "");
    let ran = RadstreamCommand::new(&["run", "--until-end"]).config(&config).run(PATIENCE);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_exactly_once(&stage, SEED);

    // A second run finds nothing to do and ends as well.
    let before = stage.broker.read_committed_all(&stage.topic("findings"));
    let ran = RadstreamCommand::new(&["run", "--until-end"]).config(&config).run(PATIENCE);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(before == stage.broker.read_committed_all(&stage.topic("findings")));
}

#[test]
fn sigterm_in_the_middle_of_work_loses_and_repeats_nothing() {
    const SEED: u64 = 5;
    const MESSAGES: u64 = 2_500;
    let broker = KafkaBroker::shared();
    let stage = Stage::create(broker, "terminated");
    stage.feed(SEED, MESSAGES);
    let (events, _) = expected(SEED, MESSAGES);
    let findings = stage.topic("findings");
    let mut reader = broker.reader(&[&findings]);
    for round in 1..=2 {
        let process = process(&stage, "stopped");
        let seen = reader.until("some findings", PATIENCE, |m| m.len() >= events * round / 4).len();
        assert!(seen < events, "the signal must fall while there is work");
        ends_well(process);
    }
    let config = stage.config("stopped", "");
    let ran = RadstreamCommand::new(&["run", "--until-end"]).config(&config).run(PATIENCE);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_exactly_once(&stage, SEED);
}

#[test]
fn memory_stays_within_the_budget_while_two_hundred_thousand_messages_wait() {
    const SEED: u64 = 7;
    const MESSAGES: u64 = 200_000;
    const BUDGET_MIB: u64 = 64;
    let broker = KafkaBroker::shared();
    let stage = Stage::create(broker, "waiting");
    stage.feed(SEED, MESSAGES);
    let slow = format!(
        "[memory]\nbudget_mib = {BUDGET_MIB}\n[intake]\nmax_payload_mib = 8\n[student]\nsessions = 2\nmax_reports_per_second = 200.0\n"
    );
    let config = stage.config("slow", &slow);
    let mut process = RadstreamCommand::new(&RUN).config(&config).spawn();
    let findings = stage.topic("findings");
    let mut reader = broker.reader(&[&findings]);
    reader.until("two thousand findings of the slowed student", PATIENCE, |m| m.len() >= 2_000);
    let memory = process.memory();
    let limit = (BUDGET_MIB + 300) << 20;
    // Shown with --nocapture: the figure that the changelog states.
    println!("peak resident memory {} MiB of {} MiB allowed", memory.peak >> 20, limit >> 20);
    assert!(memory.peak <= limit, "peak {} MiB, allowed {} MiB", memory.peak >> 20, limit >> 20);
    // The test would prove nothing if the budget had never been full.
    let (_, page) = process.get("/metrics");
    for probe in ["/livez", "/readyz", "/startupz"] {
        assert_eq!(process.get(probe).0, 200, "{probe}");
    }
    let used = metrics::value(&page, "radstream_memory_used_bytes").expect("the metric");
    assert!(used > 0.5 * (BUDGET_MIB << 19) as f64, "only {used} bytes of the budget were in use");
    ends_well(process);
}

#[test]
fn at_least_once_delivery_loses_nothing_when_killed() {
    const SEED: u64 = 13;
    const MESSAGES: u64 = 2_000;
    let broker = KafkaBroker::shared();
    let stage = Stage::create(broker, "at-least-once");
    stage.feed(SEED, MESSAGES);
    let (events, dead) = expected(SEED, MESSAGES);
    let findings = stage.topic("findings");
    let mut reader = broker.reader(&[&findings]);
    let config = stage
        .config("only", "")
        .replace("[delivery]\n", "[delivery]\nguarantee = \"at_least_once\"\n");
    let mut process = RadstreamCommand::new(&RUN).config(&config).spawn();
    let seen = reader.until("some findings", PATIENCE, |m| m.len() >= events / 3).len();
    assert!(seen < events, "the kill must fall while there is work");
    process.kill();
    let ran = RadstreamCommand::new(&["run", "--until-end"]).config(&config).run(PATIENCE);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);

    let found = broker.read_committed_all(&findings);
    assert!(found.len() >= events, "{} of {events}", found.len());
    assert_eq!(sources(&found).len(), events, "every record that leads to an event has one");
    assert!(broker.read_committed_all(&stage.topic("dead")).len() >= dead);
}

#[test]
fn processes_that_come_and_go_leave_each_outcome_exactly_once() {
    const SEED: u64 = 17;
    const MESSAGES: u64 = 6_000;
    let broker = KafkaBroker::shared();
    let stage = Stage::create(broker, "comes-and-goes");
    stage.feed(SEED, MESSAGES);
    let (events, _) = expected(SEED, MESSAGES);
    let findings = stage.topic("findings");
    let mut reader = broker.reader(&[&findings]);
    // Without static membership each start and each end is a rebalance. Slow enough for work to be there at
    // each of them, on any machine.
    let start = |name: &str| {
        let config = stage
            .config(name, "[student]\nsessions = 1\nmax_reports_per_second = 150.0\n")
            .replace("[kafka]\n", "[kafka]\nstatic_membership = false\n");
        RadstreamCommand::new(&RUN).config(&config).spawn()
    };
    let mut running = vec![start("m0")];
    for round in 1..=6 {
        let mark = events * round / 9;
        let seen = reader.until("findings before a change", PATIENCE, |m| m.len() >= mark).len();
        assert!(seen < events, "the change must fall while there is work");
        running.push(start(&format!("m{round}")));
        if round % 2 == 0 {
            ends_well(running.remove(0));
        }
    }
    reader.until("all findings", PATIENCE, |messages| messages.len() >= events);
    for mut process in running {
        let address = process.address();
        let series = process.until("a lag of zero", GRACE, || {
            let (_, page) = support::processes::http_get(&address, "/metrics").ok()?;
            let lags: Vec<f64> = metrics::samples(&page)
                .filter(|(series, _)| series.starts_with("radstream_consumer_lag_records{"))
                .map(|(_, lag)| lag)
                .collect();
            (!lags.is_empty() && lags.iter().all(|lag| *lag == 0.0)).then_some(lags.len())
        });
        assert!(series > 0);
        ends_well(process);
    }
    assert_exactly_once(&stage, SEED);
}

#[test]
fn of_two_processes_with_one_name_one_ends_with_70_and_nothing_is_doubled() {
    const SEED: u64 = 19;
    const MESSAGES: u64 = 4_000;
    let broker = KafkaBroker::shared();
    let stage = Stage::create(broker, "one-name");
    stage.feed(SEED, MESSAGES);
    let (events, _) = expected(SEED, MESSAGES);
    let findings = stage.topic("findings");
    let mut reader = broker.reader(&[&findings]);
    let mut first = process(&stage, "twin");
    let seen = reader.until("some findings", PATIENCE, |m| m.len() >= events / 8).len();
    assert!(seen < events, "the twin must come while there is work");
    let mut second = process(&stage, "twin");
    // Which of the two is for the brokers to say.
    let ended = support::server::wait_until("one of the two to end", PATIENCE, || {
        let ended = first.try_wait().or_else(|| second.try_wait())?;
        Some(ended)
    });
    assert_eq!(ended.code(), Some(70), "{}\n{}", first.log_tail(20), second.log_tail(20));
    let (gone, rest) = if first.try_wait().is_some() { (first, second) } else { (second, first) };
    assert!(gone.stderr().contains("kafka.instance_id"), "{}", gone.log_tail(5));
    reader.until("all findings", PATIENCE, |messages| messages.len() >= events);
    ends_well(rest);
    assert_exactly_once(&stage, SEED);
}

#[test]
fn a_member_killed_between_the_halves_of_a_rebalance_leaves_no_partition_without_an_owner() {
    const SEED: u64 = 23;
    const MESSAGES: u64 = 600;
    let broker = KafkaBroker::shared();
    let stage = Stage::create(broker, "halves");
    stage.feed(SEED, MESSAGES);
    let (events, dead) = expected(SEED, MESSAGES);

    // A process that has everything, then stands still: it does not serve the first half of the rebalance
    // that the next member brings about, so it never asks for the second.
    let before = member(&stage, "back");
    let six = || assigned(&before).filter(|count| *count == 6);
    support::server::wait_until("all partitions in one hand", GRACE, six);
    let other = member(&stage, "other");
    let group = |members, unowned| {
        assigned(&other);
        let topics = [stage.topic("in")];
        let division = division::ask(&other, &stage.group(), &topics, GRACE).ok()??;
        (division.members.len() == members && division.unowned().len() == unowned).then_some(())
    };
    support::server::wait_until("a first half that is over", GRACE, || group(2, 3));

    // Back under its name, as after a kill.
    let mut process = process(&stage, "back");
    let address = process.address();
    let page = || support::processes::http_get(&address, "/metrics").ok().map(|(_, page)| page);
    let unowned = format!("radstream_unowned_partitions{{topic=\"{}\"}}", stage.topic("in"));
    process.until("an owner for each partition", PATIENCE, || {
        let theirs = assigned(&other)?;
        let told = metrics::value(&page()?, &unowned)?;
        (theirs == 3 && told == 0.0).then_some(())
    });
    let rejoined = "radstream_consumer_restarts_total{reason=\"unowned\"}";
    assert_eq!(metrics::value(&page().unwrap(), rejoined), Some(1.0), "{}", process.log_tail(40));

    // And it can still take over what another leaves.
    other.unsubscribe();
    support::server::wait_until("one member that has all", GRACE, || group(1, 0));
    drop((before, other));
    let findings = stage.topic("findings");
    broker.reader(&[&findings]).until("all findings", PATIENCE, |m| m.len() >= events);
    let letters = stage.topic("dead");
    broker.reader(&[&letters]).until("all dead letters", GRACE, |m| m.len() >= dead);
    ends_well(process);
    assert_exactly_once(&stage, SEED);
}

/// A member of the stage's group that does nothing with what it is given.
fn member(stage: &Stage<'_>, instance: &str) -> BaseConsumer {
    let client: BaseConsumer = stage
        .broker
        .client()
        .set("group.id", stage.group())
        .set("group.instance.id", instance)
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("session.timeout.ms", "45000")
        .set("enable.auto.commit", "false")
        .create()
        .expect("a consumer");
    client.subscribe(&[&stage.topic("in")]).expect("a subscription");
    client
}

/// How many partitions a member has, after it has served what came.
fn assigned(member: &BaseConsumer) -> Option<usize> {
    drop(member.poll(Duration::from_millis(50)));
    member.assignment().ok().map(|list| list.count())
}
