//! One run: a feed, processes of radstream, a schedule of faults, and all the evidence at the end.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::checker::{Evidence, Guarantee, Scene, Verdict, check};
use crate::cluster::{BROKERS, Cluster};
use crate::feed::Feed;
use crate::feeding::Feeding;
use crate::proxy::{self, Api, Proxy};
use crate::schedule::{Fault, Schedule};
use crate::support::processes::{Radstream, RadstreamCommand};
use crate::support::records::{self, Isolation, TopicReader};
use crate::support::server::wait_until;

/// Partitions of every topic.
pub const PARTITIONS: i32 = 6;
/// Without a new finding for so long, something is stuck. Broker restarts take half a minute.
const STALL: Duration = Duration::from_secs(150);
/// For a process to end by itself.
const GRACE: Duration = Duration::from_secs(90);

/// Lines of a log to show when a run was not clean.
const TAIL: usize = 25;

/// Between two looks at what a process holds.
const SAMPLE: Duration = Duration::from_secs(10);

/// What a process held at a moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// Seconds since the first sample.
    pub at: f64,
    pub memory_bytes: u64,
    /// Open files and connections.
    pub files: usize,
    pub threads: usize,
    /// Findings out so far.
    pub findings: usize,
}

/// What a run is made of.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Prefix of topics and group.
    pub name: String,
    pub feed: Feed,
    pub schedule: Schedule,
    /// Processes at the start.
    pub processes: usize,
    /// Known to the group by name, so that a restart is no rebalance.
    pub static_members: bool,
    /// Reports a second that a process labels at most: faults must find work to disturb.
    pub rate: f64,
    /// Whether the rules stand in for the student. Delivery is the same, and the runs are faster.
    pub rules: bool,
    pub guarantee: Guarantee,
    /// A defect to plant; only a test build has any.
    pub bug: Option<&'static str>,
    /// Without a new finding for so long, something is stuck.
    pub patience: Duration,
    /// Messages a second; `None`: all are there at the start.
    pub pace: Option<f64>,
    /// A limit of the findings topic, in bytes, that the brokers enforce until a process ends by it.
    pub refuse_over: Option<u32>,
}

impl Plan {
    pub fn new(name: impl Into<String>, feed: Feed, schedule: Schedule) -> Self {
        Self {
            name: name.into(),
            feed,
            schedule,
            processes: 2,
            static_members: true,
            rate: 150.0,
            rules: true,
            guarantee: Guarantee::ExactlyOnce,
            bug: None,
            patience: STALL,
            pace: None,
            refuse_over: None,
        }
    }

    fn topic(&self, kind: &str) -> String {
        format!("{}.{kind}", self.name)
    }

    fn scene(&self, cluster: &Cluster) -> Scene {
        Scene {
            client: cluster.client(),
            input: self.topic("in"),
            findings: self.topic("findings"),
            escalations: self.topic("escalations"),
            distillation: self.topic("distillation"),
            dead_letters: self.topic("dead"),
            group: format!("{}.group", self.name),
            escalates: true,
            data_folders: cluster.data_folders(),
        }
    }

    fn config(&self, servers: &str, instance: &str) -> String {
        format!(
            "[kafka]
bootstrap_servers = \"{servers}\"
group = \"{name}.group\"
instance_id = \"{instance}\"
static_membership = {fixed}
session_timeout_ms = 6000
[topics]
reports = [\"{name}.in\"]
findings = \"{name}.findings\"
escalations = \"{name}.escalations\"
distillation = \"{name}.distillation\"
dead_letters = \"{name}.dead\"
replication_factor = 3
[delivery]
guarantee = \"{guarantee}\"
transaction_timeout_ms = 4000
commit_interval_ms = 100
commit_records = 100
[student]
labeler = \"{labeler}\"
sessions = 1
max_reports_per_second = {rate:?}
[publish]
max_dead_letter_ratio = 0.5
[http]
listen = \"127.0.0.1:0\"
",
            name = self.name,
            fixed = self.static_members,
            guarantee = match self.guarantee {
                Guarantee::ExactlyOnce => "exactly_once",
                Guarantee::AtLeastOnce => "at_least_once",
            },
            labeler = if self.rules { "rules" } else { "student" },
            rate = self.rate,
        )
    }
}

/// The end of a run.
pub struct Ended {
    pub verdict: Verdict,
    /// What the process in the first slot held, over time.
    pub samples: Vec<Sample>,
}

/// A run while it lasts.
struct Run<'a> {
    plan: &'a Plan,
    cluster: &'a mut Cluster,
    /// `None`: the slot is empty for the moment.
    slots: Vec<Option<Radstream>>,
    started: Instant,
    /// Who joined, oldest first.
    joined: Vec<(String, Radstream)>,
    joins: usize,
    reader: TopicReader,
    fired: BTreeMap<&'static str, usize>,
    /// What the process in the first slot held, over time.
    samples: Vec<Sample>,
    /// Processes that ended without being told to.
    died: Vec<String>,
    /// Something did not come to its end.
    stuck: Option<String>,
    /// The ends of the logs of those that ended.
    logs: Vec<(String, String)>,
}

/// Runs a plan and judges it.
///
/// # Panics
/// When the cluster itself fails. What radstream does wrong is in the verdict.
pub fn run(plan: &Plan, cluster: &mut Cluster) -> Ended {
    println!(
        "{}: {} messages, {} processes, {}",
        plan.name, plan.feed.messages, plan.processes, plan.schedule
    );
    let started = Instant::now();
    for kind in ["in", "findings", "escalations", "distillation", "dead"] {
        cluster.create_topic(&plan.topic(kind), PARTITIONS);
    }
    if let Some(limit) = plan.refuse_over {
        cluster.set_topic(&plan.topic("findings"), "max.message.bytes", &limit.to_string());
    }
    let steps = plan.schedule.steps.len();
    let mut feeding = Feeding::start(cluster.client(), plan.topic("in"), plan.feed, plan.pace);
    if steps == 0 {
        feeding.all();
    }
    let reader =
        TopicReader::new(&cluster.client(), &[&plan.topic("findings")], Isolation::ReadCommitted);
    let mut run = Run {
        plan,
        cluster,
        slots: Vec::new(),
        started,
        joined: Vec::new(),
        joins: 0,
        reader,
        fired: BTreeMap::new(),
        samples: Vec::new(),
        died: Vec::new(),
        stuck: None,
        logs: Vec::new(),
    };
    run.slots = (0..plan.processes).map(|slot| Some(run.spawn(&format!("p{slot}")))).collect();
    run.refuse();
    let (events, letters) = plan.feed.totals();
    let mut seen_at_last_fault = 0;
    for (number, step) in plan.schedule.steps.iter().enumerate() {
        feeding.for_step(number, steps);
        if !run.wait(step.at) {
            break;
        }
        // Work must be left when the last one falls: else it meets nothing.
        seen_at_last_fault = run.reader.messages().len();
        run.inflict(step.fault);
    }
    if run.stuck.is_none() && run.wait(events) {
        run.wait_for_letters(letters);
    }
    feeding.finish();
    run.end();
    let samples = std::mem::take(&mut run.samples);
    let (fired, died) = (std::mem::take(&mut run.fired), std::mem::take(&mut run.died));
    let (stuck, logs) = (run.stuck.take(), std::mem::take(&mut run.logs));
    let mut evidence = Evidence::collect(&plan.scene(run.cluster));
    evidence.saw_during(run.reader.read_to_end());
    evidence.guarantee = plan.guarantee;
    let counts = |of: BTreeMap<&str, usize>| {
        of.into_iter().map(|(kind, count)| (kind.to_owned(), count as u64)).collect()
    };
    evidence.planned = counts(plan.schedule.planned());
    evidence.fired = counts(fired.clone());
    evidence.findings_at_last_fault = Some(seen_at_last_fault);
    evidence.unexpected_ends = died;
    evidence.unexpected_ends.extend(stuck);
    let verdict = check(&evidence, &plan.feed);
    println!("{}: {fired:?} in {:.0} s\n{verdict}", plan.name, started.elapsed().as_secs_f64());
    if !verdict.is_clean() && plan.bug.is_none() {
        for (name, tail) in logs {
            println!("the end of {name}'s log:\n{tail}");
        }
    }
    Ended { verdict, samples }
}

impl Run<'_> {
    fn spawn(&self, instance: &str) -> Radstream {
        let config = self.plan.config(&self.cluster.proxied(), instance);
        let mut command = RadstreamCommand::new(&["run", "--stage", "label"]).config(&config);
        if let Some(bug) = self.plan.bug {
            command = command.env("PLANTED_BUG", bug);
        }
        command.spawn()
    }

    fn fired(&mut self, fault: Fault) {
        *self.fired.entry(fault.kind()).or_insert(0) += 1;
    }

    /// Reads on until so many findings are out. False when nothing moves any more.
    fn wait(&mut self, findings: usize) -> bool {
        self.wait_or(|run| run.reader.messages().len() >= findings)
    }

    /// Reads on until something holds. False when nothing moves any more.
    fn wait_or(&mut self, mut holds: impl FnMut(&mut Self) -> bool) -> bool {
        let (mut seen, mut since) = (self.reader.messages().len(), Instant::now());
        while !holds(self) {
            self.reader.read_some();
            let now = self.reader.messages().len();
            if now > seen {
                (seen, since) = (now, Instant::now());
            }
            self.reap();
            if self.died.len() > 2 * PARTITIONS as usize || since.elapsed() > self.plan.patience {
                self.stuck =
                    Some(format!("no finding after the {seen}th within {:?}", self.plan.patience));
                return false;
            }
        }
        true
    }

    fn wait_for_letters(&mut self, letters: usize) {
        let topic = self.plan.topic("dead");
        let mut reader =
            TopicReader::new(&self.cluster.client(), &[&topic], Isolation::ReadCommitted);
        let deadline = Instant::now() + self.plan.patience;
        while reader.messages().len() < letters {
            reader.read_some();
            self.reap();
            if Instant::now() > deadline {
                let seen = reader.messages().len();
                self.stuck = Some(format!("{seen} of {letters} dead letters came"));
                return;
            }
        }
    }

    /// Looks at the process in the first slot, now and then.
    fn sample(&mut self) {
        let now = self.started.elapsed();
        if self
            .samples
            .last()
            .is_some_and(|last| now.as_secs_f64() < last.at + SAMPLE.as_secs_f64())
        {
            return;
        }
        let Some(process) = self.slots[0].as_mut() else { return };
        if process.try_wait().is_some() {
            return;
        }
        let count = |what: &str| {
            std::fs::read_dir(format!("/proc/{}/{what}", process.pid())).map_or(0, Iterator::count)
        };
        self.samples.push(Sample {
            at: now.as_secs_f64(),
            memory_bytes: process.memory().now,
            files: count("fd"),
            threads: count("task"),
            findings: self.reader.messages().len(),
        });
    }

    /// Starts anew what has ended by itself, as Kubernetes would, and notes it.
    fn reap(&mut self) {
        self.sample();
        for slot in 0..self.slots.len() {
            let Some(process) = self.slots[slot].as_mut() else { continue };
            if let Some(status) = process.try_wait() {
                let why = process.log_tail(2);
                self.logs.push((format!("p{slot}"), process.log_tail(TAIL)));
                self.died.push(format!("p{slot} ended by itself ({status}): {why}"));
                self.slots[slot] = Some(self.spawn(&format!("p{slot}")));
            }
        }
    }

    fn inflict(&mut self, fault: Fault) {
        match fault {
            Fault::Kill { slot, after } => {
                self.until_request(after);
                // Dropping kills.
                self.slots[slot] = None;
                self.slots[slot] = Some(self.spawn(&format!("p{slot}")));
            }
            Fault::Terminate { slot } => {
                if let Some(process) = self.slots[slot].take() {
                    self.end_one(&format!("p{slot}"), process);
                }
                self.slots[slot] = Some(self.spawn(&format!("p{slot}")));
            }
            Fault::Join => {
                let name = format!("j{}", self.joins);
                self.joins += 1;
                let process = self.spawn(&name);
                self.joined.push((name, process));
                // It has joined when the group says so.
                let members = self.slots.len() + self.joined.len();
                self.until_members(members);
            }
            Fault::Leave => {
                if self.joined.is_empty() {
                    return;
                }
                let (name, process) = self.joined.remove(0);
                self.end_one(&name, process);
            }
            Fault::KillBroker { broker } => {
                self.cluster.kill(broker);
                // The other two have taken over when findings come again.
                let more = self.reader.messages().len() + 20;
                self.wait(more.min(self.plan.feed.totals().0));
                self.cluster.restart(broker);
            }
            Fault::RestartBroker { broker } => {
                self.cluster.stop(broker);
                self.cluster.restart(broker);
                let moved = self.cluster.elect_preferred_leaders();
                *self.fired.entry("leaders moved").or_insert(0) += moved;
            }
            Fault::Transaction { api, when, act } => {
                // Whichever broker the next such request goes to.
                let wire = proxy::Fault { api, when, act, count: 1 };
                self.cluster.proxies().for_each(|proxy| proxy.arm(wire));
                let met = self.wait_or(|run| run.cluster.armed() < BROKERS);
                self.cluster.proxies().for_each(Proxy::disarm);
                if !met {
                    return;
                }
            }
            Fault::Freeze { slot } => {
                let members = self.slots.len() + self.joined.len();
                self.signal(slot, "STOP");
                // Its partitions are given away, and others work on them.
                self.until_members(members - 1);
                let more = self.reader.messages().len() + 60;
                self.wait(more.min(self.plan.feed.totals().0));
                self.signal(slot, "CONT");
                self.until_members(members);
            }
            Fault::Twin { slot } => {
                let mut twin = self.spawn(&format!("p{slot}"));
                let Some(mut first) = self.slots[slot].take() else { return };
                let mut ended = None;
                self.wait_or(|_| {
                    ended = first.try_wait().or_else(|| twin.try_wait());
                    ended.is_some()
                });
                let code = ended.and_then(|status| status.code());
                if code != Some(70) {
                    self.died.push(format!("of two twins none ended with 70, but {ended:?}"));
                }
                let rest = if first.try_wait().is_some() { twin } else { first };
                self.slots[slot] = Some(rest);
            }
        }
        self.fired(fault);
    }

    /// Waits until one more request of that kind has come by.
    fn until_request(&mut self, api: Api) {
        let seen = |run: &Self| -> u64 {
            run.cluster.proxies().map(|proxy| proxy.counts().requests_of(api)).sum()
        };
        let (before, deadline) = (seen(self), Instant::now() + STALL);
        while seen(self) == before {
            if Instant::now() > deadline {
                self.stuck = Some(format!("no {api:?} within {STALL:?}"));
                return;
            }
            std::thread::park_timeout(Duration::from_millis(1));
        }
    }

    fn signal(&mut self, slot: usize, name: &str) {
        if let Some(process) = &self.slots[slot] {
            process.signal(name);
        }
    }

    /// Waits until the group has so many members.
    fn until_members(&mut self, members: usize) {
        let asking: BaseConsumer = self.cluster.client().create().expect("a consumer");
        let group = format!("{}.group", self.plan.name);
        let deadline = Instant::now() + STALL;
        loop {
            self.reader.read_some();
            let found = asking.fetch_group_list(Some(&group), Duration::from_secs(5));
            let count = found
                .ok()
                .and_then(|list| list.groups().first().map(|group| group.members().len()));
            if count == Some(members) {
                return;
            }
            if Instant::now() > deadline {
                self.stuck = Some(format!("the group has {count:?} members, not {members}"));
                return;
            }
            self.reap();
        }
    }

    fn end_one(&mut self, name: &str, mut process: Radstream) {
        process.terminate();
        let deadline = Instant::now() + GRACE;
        // The others' findings are read meanwhile: the reader is one of the witnesses.
        while process.try_wait().is_none() && Instant::now() < deadline {
            self.reader.read_some();
        }
        self.keep_log(name, &process);
        self.logs.push((name.to_owned(), process.log_tail(TAIL)));
        match process.try_wait().map(|status| status.code()) {
            Some(Some(0)) => {}
            other => {
                let why = process.log_tail(2);
                self.died.push(format!("{name} was told to end and did so with {other:?}: {why}"));
            }
        }
    }

    /// Keeps a log where `RADSTREAM_FAULTS_LOGS` says, for whoever looks for a cause.
    fn keep_log(&self, name: &str, process: &Radstream) {
        if let Some(folder) = std::env::var_os("RADSTREAM_FAULTS_LOGS") {
            let file = format!("{}-{name}-{}.log", self.plan.name, process.pid());
            let at = std::path::Path::new(&folder).join(file);
            std::fs::write(&at, process.stderr()).expect("RADSTREAM_FAULTS_LOGS is a folder");
        }
    }

    fn end(&mut self) {
        let last = self.slots.drain(..).enumerate();
        let mut rest: Vec<(String, Radstream)> =
            last.filter_map(|(slot, process)| Some((format!("p{slot}"), process?))).collect();
        rest.append(&mut self.joined);
        for (name, process) in rest {
            self.end_one(&name, process);
        }
    }

    /// Waits until the brokers have refused a message, and then takes the limit away.
    fn refuse(&mut self) {
        if self.plan.refuse_over.is_none() {
            return;
        }
        let (group, input) = (format!("{}.group", self.plan.name), self.plan.topic("in"));
        let client = self.cluster.client();
        let mut refused = None;
        wait_until("a message to be refused", STALL, || {
            refused = self.slots[0].as_mut().and_then(Radstream::try_wait);
            // Or, with a bug, to be lost.
            let committed = records::committed_offsets(&client, &group, &input);
            let done: i64 = committed.values().flatten().sum();
            (refused.is_some() || done as u64 >= self.plan.feed.messages / 2).then_some(())
        });
        self.cluster.set_topic(&self.plan.topic("findings"), "max.message.bytes", "1048588");
        if refused.is_some() {
            self.slots[0] = Some(self.spawn("p0"));
        }
    }
}
