//! One run: a feed, processes of radstream, a schedule of faults, and all the evidence at the end.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::checker::{Evidence, Verdict, check};
use crate::cluster::Cluster;
use crate::feeding::Feeding;
use crate::schedule::Fault;
use crate::support::processes::{Radstream, RadstreamCommand};
use crate::support::records::{self, Isolation, TopicReader};
use crate::support::server::wait_until;
use crate::watch::Watch;

mod inflict;
mod plan;

pub use plan::{Plan, group};

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

/// The end of a run.
pub struct Ended {
    pub verdict: Verdict,
    /// What the process in the first slot held, over time.
    pub samples: Vec<Sample>,
    /// What the processes said of themselves, where that was watched.
    pub watch: Option<Watch>,
}

/// A run while it lasts.
struct Run<'a> {
    plan: &'a Plan,
    cluster: &'a mut Cluster,
    feeding: Feeding,
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
    watch: Option<Watch>,
    /// A second reader of the findings, that takes its time.
    slow: Option<TopicReader>,
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
        let limit = plan.refuse_over.filter(|_| kind == "findings");
        cluster.create_topic(&plan.topic(kind), PARTITIONS, limit);
    }
    let steps = plan.schedule.steps.len();
    let mut feeding = Feeding::start(cluster.client(), plan.topic("in"), plan.feed, plan.pace);
    if steps == 0 || plan.at_once {
        feeding.all();
    }
    let findings = [&*plan.topic("findings")];
    let reader = TopicReader::new(&cluster.client(), &findings, Isolation::ReadCommitted);
    let slow = plan.watched.then(|| {
        let mut client = cluster.client();
        // It takes what it is asked for and hardly more, and nobody asks it before the end.
        client.set("queued.min.messages", "1").set("queued.max.messages.kbytes", "64");
        client.set("fetch.message.max.bytes", "65536").set("fetch.queue.backoff.ms", "5");
        TopicReader::new(&client, &findings, Isolation::ReadCommitted)
    });
    let mut run = Run {
        plan,
        cluster,
        feeding,
        slots: Vec::new(),
        started,
        joined: Vec::new(),
        joins: 0,
        reader,
        fired: BTreeMap::new(),
        samples: Vec::new(),
        watch: plan.watched.then(Watch::new),
        slow,
        died: Vec::new(),
        stuck: None,
        logs: Vec::new(),
    };
    run.slots = (0..plan.processes).map(|slot| Some(run.spawn(&format!("p{slot}")))).collect();
    run.refuse();
    let (events, letters) = plan.feed.totals();
    let mut seen_at_last_fault = 0;
    for (number, step) in plan.schedule.steps.iter().enumerate() {
        run.feeding.for_step(number, steps);
        if !run.wait(step.at) {
            break;
        }
        // Work must be left when the last one falls: else it meets nothing.
        seen_at_last_fault = run.reader.messages().len();
        run.inflict(step.fault);
        if run.stuck.is_some() {
            break;
        }
    }
    run.feeding.all();
    if run.stuck.is_none() && run.wait(events) {
        run.wait_for_letters(letters);
        if run.stuck.is_none() && plan.bug.is_none() {
            run.wait_for_commits();
        }
    }
    run.feeding.finish();
    run.end();
    let samples = std::mem::take(&mut run.samples);
    let (fired, died) = (std::mem::take(&mut run.fired), std::mem::take(&mut run.died));
    let (stuck, logs) = (run.stuck.take(), std::mem::take(&mut run.logs));
    let mut evidence = Evidence::collect(&plan.scene(run.cluster));
    evidence.saw_during(run.slow.as_mut().unwrap_or(&mut run.reader).read_to_end());
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
    Ended { verdict, samples, watch: run.watch }
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

    /// Reads on until something holds, with work as long as there is any. False when nothing moves any more.
    fn wait_or(&mut self, mut holds: impl FnMut(&mut Self) -> bool) -> bool {
        let (mut seen, mut since) = (self.reader.messages().len(), Instant::now());
        while !holds(self) {
            self.reader.read_some();
            self.feeding.unless_busy(self.reader.messages().len());
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

    /// What comes to neither finding nor letter may still be under way, with a process that has just
    /// lost its partitions. Whether all is committed is for the checker to say.
    fn wait_for_commits(&mut self) {
        let (input, group) = (self.plan.topic("in"), self.plan.group());
        let client = self.cluster.client();
        let ends = records::end_offsets(&client, &input);
        let deadline = Instant::now() + self.plan.patience;
        while Instant::now() < deadline {
            let committed = records::committed_offsets(&client, &group, &input);
            let whole = |(partition, end): (&i32, &i64)| {
                committed.get(partition).copied().flatten().unwrap_or(0) == *end
            };
            if ends.iter().all(whole) {
                return;
            }
            self.reader.read_some();
            self.reap();
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

    /// Asks the processes what they say of themselves.
    fn look(&mut self) {
        let Some(watch) = &mut self.watch else { return };
        if watch.is_due() {
            for (slot, process) in self.slots.iter_mut().enumerate() {
                if let Some(process) = process {
                    watch.look(&format!("p{slot}"), process);
                }
            }
        }
    }

    /// Starts anew what has ended by itself, as Kubernetes would, and notes it.
    fn reap(&mut self) {
        self.sample();
        self.look();
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

    fn end_one(&mut self, name: &str, mut process: Radstream) {
        let deadline = Instant::now() + GRACE;
        // One that has hardly started would end by the signal itself.
        while process.try_wait().is_none()
            && !process.stderr().contains("stage label starts")
            && Instant::now() < deadline
        {
            self.reader.read_some();
        }
        process.terminate();
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
            std::fs::create_dir_all(&folder).expect("a folder for RADSTREAM_FAULTS_LOGS");
            std::fs::write(&at, process.stderr()).expect("RADSTREAM_FAULTS_LOGS can be written to");
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
        let (group, input) = (self.plan.group(), self.plan.topic("in"));
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
