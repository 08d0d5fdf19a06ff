//! What a run is made of.

use std::ops::Range;
use std::time::Duration;

use super::STALL;
use crate::checker::{Guarantee, Scene};
use crate::cluster::{BROKERS, Cluster};
use crate::feed::Feed;
use crate::schedule::{Mix, Schedule};
use crate::support::stage::topics_toml;

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
    /// Messages a second; `None`: a portion for each fault.
    pub pace: Option<f64>,
    /// All messages are there at the start.
    pub at_once: bool,
    /// What messages may take, MiB.
    pub budget_mib: u64,
    /// Whether what processes say of themselves is watched, and a second reader of the findings is slow.
    pub watched: bool,
    /// A limit of the findings topic, in bytes, that the brokers enforce until a process ends by it.
    pub refuse_over: Option<u32>,
}

/// The consumer group of a plan with that name.
pub fn group(name: &str) -> String {
    format!("{name}.group")
}

impl Plan {
    /// A plan without faults, drawn from the feed's seed.
    pub fn new(name: impl Into<String>, feed: Feed) -> Self {
        Self {
            name: name.into(),
            feed,
            schedule: Schedule { seed: feed.seed, steps: Vec::new() },
            processes: 2,
            static_members: true,
            rate: 150.0,
            rules: true,
            guarantee: Guarantee::ExactlyOnce,
            bug: None,
            patience: STALL,
            pace: None,
            at_once: false,
            budget_mib: 256,
            watched: false,
            refuse_over: None,
        }
    }

    /// With these faults, on processes of these `slots`; as it is, where it has a schedule already.
    pub fn with(mut self, mix: Mix, slots: Range<usize>) -> Self {
        if self.schedule.steps.is_empty() {
            let (seed, findings) = (self.schedule.seed, self.feed.totals().0);
            self.schedule = Schedule::draw(seed, mix, slots, findings);
        }
        self
    }

    pub(super) fn topic(&self, kind: &str) -> String {
        format!("{}.{kind}", self.name)
    }

    pub(super) fn group(&self) -> String {
        group(&self.name)
    }

    pub(super) fn scene(&self, cluster: &Cluster) -> Scene {
        Scene {
            client: cluster.client(),
            input: self.topic("in"),
            findings: self.topic("findings"),
            escalations: self.topic("escalations"),
            distillation: self.topic("distillation"),
            dead_letters: self.topic("dead"),
            group: self.group(),
            escalates: true,
            data_folders: cluster.data_folders(),
        }
    }

    pub(super) fn config(&self, servers: &str, instance: &str) -> String {
        format!(
            "[kafka]
bootstrap_servers = \"{servers}\"
group = \"{group}\"
instance_id = \"{instance}\"
static_membership = {fixed}
session_timeout_ms = 6000
{topics}
[delivery]
guarantee = \"{guarantee}\"
transaction_timeout_ms = 4000
commit_interval_ms = 100
commit_records = 100
[memory]
budget_mib = {budget}
[intake]
max_payload_mib = 8
[student]
labeler = \"{labeler}\"
sessions = 1
max_reports_per_second = {rate:?}
[publish]
max_dead_letter_ratio = 0.5
[http]
listen = \"127.0.0.1:0\"
",
            group = self.group(),
            topics = topics_toml(&self.name, BROKERS),
            fixed = self.static_members,
            budget = self.budget_mib,
            guarantee = match self.guarantee {
                Guarantee::ExactlyOnce => "exactly_once",
                Guarantee::AtLeastOnce => "at_least_once",
            },
            labeler = if self.rules { "rules" } else { "student" },
            rate = self.rate,
        )
    }
}
