//! What goes wrong, and when: drawn from a seed, so that a run can be repeated.
//!
//! The moments are counts of findings, not times: the same schedule falls at the same places of the work
//! on a slow machine and on a fast one. What a fault meets there is for the machine to say.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use fastrand::Rng;

use crate::cluster::BROKERS;
use crate::proxy::{Act, Api, When};

/// Something that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// SIGKILL to a process, which is started again at once. It falls when the next such request has
    /// passed the proxies: findings are counted when a transaction has ended, and kills would all fall
    /// at that moment of its life.
    Kill { slot: usize, after: Api },
    /// SIGTERM to a process, which must end with 0 and is started again.
    Terminate { slot: usize },
    /// A further process joins the group.
    Join,
    /// The process that joined first leaves it.
    Leave,
    /// SIGKILL to a broker, which is started again when the others have taken over.
    KillBroker { broker: usize },
    /// SIGTERM to a broker, which is started again; then every partition goes back to its first leader.
    RestartBroker { broker: usize },
    /// Something happens to so many requests of a transaction, one after the other, or to their answers.
    Transaction { api: Api, when: When, act: Act, count: usize },
    /// SIGSTOP to a process until the group has given its partitions away, and some work was done.
    Freeze { slot: usize },
    /// A second process with the same instance id and transactional id.
    Twin { slot: usize },
    /// The broker that coordinates the group is gone when a process, having produced, hands its offsets over,
    /// until the process has given up that producer. librdkafka does not come back from that call by itself.
    LoseCoordinator,
    /// The brokers end a transaction and the process does not hear of it; nor is a new producer let in that
    /// could ask, until the process has given up making one.
    LoseEnd,
    /// A broker can write nothing any more and ends; it is started again when the others have taken over.
    FillDisk { broker: usize },
    /// The brokers hold radstream's clients to so many bytes a second, until a process has said so.
    Quota { bytes_per_second: u32 },
}

impl Fault {
    /// Its kind, for counting.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Kill { .. } => "process killed",
            Self::Terminate { .. } => "process terminated",
            Self::Join => "process joined",
            Self::Leave => "process left",
            Self::KillBroker { .. } => "broker killed",
            Self::RestartBroker { .. } => "broker restarted",
            Self::Transaction { .. } => "transaction disturbed",
            Self::Freeze { .. } => "process frozen",
            Self::Twin { .. } => "twin started",
            Self::LoseCoordinator => "coordinator lost",
            Self::LoseEnd => "end not heard of",
            Self::FillDisk { .. } => "disk full",
            Self::Quota { .. } => "quota in force",
        }
    }
}

/// A fault and its moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// It falls when this many findings are out.
    pub at: usize,
    pub fault: Fault,
}

/// How many of which faults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mix {
    pub kills: usize,
    pub terminations: usize,
    /// Joins and leaves together.
    pub rebalances: usize,
    pub broker_kills: usize,
    pub broker_restarts: usize,
    pub transactions: usize,
    pub freezes: usize,
    pub twins: usize,
    pub full_disks: usize,
}

/// A seeded plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    pub seed: u64,
    pub steps: Vec<Step>,
}

impl Schedule {
    /// Spreads the faults over the first nine tenths of `findings`, in an order and on victims drawn from
    /// the seed. `slots` are the processes that may be hit.
    pub fn draw(seed: u64, mix: Mix, slots: Range<usize>, findings: usize) -> Self {
        let mut rng = Rng::with_seed(seed);
        let mut faults: Vec<Fault> = Vec::new();
        let slot = |rng: &mut Rng| rng.usize(slots.clone());
        faults.extend((0..mix.kills).map(|n| {
            let after = if n.is_multiple_of(2) { Api::EndTxn } else { APIS[1 + n / 2 % 4] };
            Fault::Kill { slot: slot(&mut rng), after }
        }));
        faults.extend((0..mix.terminations).map(|_| Fault::Terminate { slot: slot(&mut rng) }));
        // Brokers in turn: each is hit as often as the others.
        faults.extend((0..mix.broker_kills).map(|n| Fault::KillBroker { broker: n % BROKERS }));
        faults
            .extend((0..mix.broker_restarts).map(|n| Fault::RestartBroker { broker: n % BROKERS }));
        faults.extend((0..mix.transactions).map(transaction));
        faults.extend((0..mix.freezes).map(|_| Fault::Freeze { slot: slot(&mut rng) }));
        faults.extend((0..mix.full_disks).map(|n| Fault::FillDisk { broker: n % BROKERS }));
        faults.extend((0..mix.twins).map(|_| Fault::Twin { slot: slot(&mut rng) }));
        faults.extend((0..mix.rebalances).map(|_| Fault::Join));
        rng.shuffle(&mut faults);
        // Who leaves must have joined: every other change of the group is a departure.
        let changes = faults.iter_mut().filter(|fault| **fault == Fault::Join);
        changes.skip(1).step_by(2).for_each(|fault| *fault = Fault::Leave);
        let width = (findings * 9 / 10) / faults.len().max(1);
        assert!(width > 0 || faults.is_empty(), "more faults than findings");
        let steps = faults.into_iter().enumerate();
        let steps = steps.map(|(n, fault)| Step { at: n * width + rng.usize(..width), fault });
        Self { seed, steps: steps.collect() }
    }

    /// The same fault so many times, over the first half of `findings`: work must be left when a fault takes
    /// seconds to be brought about.
    pub fn early(seed: u64, fault: Fault, count: usize, findings: usize) -> Self {
        let places = (0..count).map(|number| findings * number / (2 * count));
        Self { seed, steps: places.map(|at| Step { at, fault }).collect() }
    }

    /// How many faults of each kind.
    pub fn planned(&self) -> BTreeMap<&'static str, usize> {
        let mut counts = BTreeMap::new();
        for step in &self.steps {
            *counts.entry(step.fault.kind()).or_insert(0) += 1;
        }
        counts
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {}:", self.seed)?;
        for (kind, count) in self.planned() {
            write!(f, " {count} x {kind};")?;
        }
        Ok(())
    }
}

/// The requests of a transaction.
const APIS: [Api; 5] = [
    Api::EndTxn,
    Api::TxnOffsetCommit,
    Api::AddOffsetsToTxn,
    Api::AddPartitionsToTxn,
    Api::Produce,
];

/// The requests of a transaction in turn, each lost on the way there, on the way back, late on the way there
/// (its client has asked again and got its answer by then), answered late, and not answered until the client
/// has given up.
fn transaction(number: usize) -> Fault {
    const HARM: [(When, Act, usize); 5] = [
        (When::After, Act::Reset, 1),
        (When::Before, Act::Delay(HOLD), 1),
        (When::After, Act::Delay(HOLD), 1),
        (When::After, Act::Drop, UNHEARD),
        (When::Before, Act::Reset, 1),
    ];
    // EndTxn is every other one: the answer to a commit is the one that matters most.
    let api = if number.is_multiple_of(2) { Api::EndTxn } else { APIS[1 + (number / 2) % 4] };
    let (when, act, count) = HARM[(number / 2) % HARM.len()];
    Fault::Transaction { api, when, act, count }
}

/// The client asks anew after half of the time of a transaction; two processes may share these.
const UNHEARD: usize = 4;

/// Longer than a transaction may take here.
const HOLD: std::time::Duration = std::time::Duration::from_secs(8);

#[test]
fn a_schedule_is_the_same_for_a_seed_and_has_what_was_asked_for() {
    let mix = Mix { kills: 5, rebalances: 6, broker_kills: 3, transactions: 10, ..Mix::default() };
    let schedule = Schedule::draw(7, mix, 0..3, 1000);
    assert_eq!(schedule, Schedule::draw(7, mix, 0..3, 1000));
    assert_ne!(schedule, Schedule::draw(8, mix, 0..3, 1000));
    let planned = schedule.planned();
    assert_eq!((planned["process killed"], planned["process joined"]), (5, 3));
    assert_eq!((planned["process left"], planned["broker killed"]), (3, 3));
    assert!(schedule.steps.is_sorted_by_key(|step| step.at));
    assert!(schedule.steps.iter().all(|step| step.at < 900));
}
