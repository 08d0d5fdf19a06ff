//! Brings a fault about.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};

use super::{Run, STALL};
use crate::proxy::{self, Act, Api, Proxy, When};
use crate::schedule::Fault;
use crate::watch::Watch;

impl Run<'_> {
    pub(super) fn inflict(&mut self, fault: Fault) {
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
                self.wait_for_more(20);
                self.cluster.restart(broker);
            }
            Fault::RestartBroker { broker } => {
                self.cluster.stop(broker);
                self.cluster.restart(broker);
                let moved = self.cluster.elect_preferred_leaders();
                *self.fired.entry("leaders moved").or_insert(0) += moved;
            }
            Fault::Transaction { api, when, act, count } => {
                // Whichever broker the next such requests go to.
                let wire = proxy::Fault { api, when, act, count };
                self.cluster.proxies().for_each(|proxy| proxy.arm(wire));
                let met = self.wait_or(|run| run.cluster.proxies().any(|p| p.armed() == 0));
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
                self.wait_for_more(60);
                self.signal(slot, "CONT");
                self.until_members(members);
            }
            Fault::LoseCoordinator => {
                if !self.lose_coordinator() {
                    return;
                }
            }
            Fault::LoseEnd => {
                if !self.lose_end() {
                    return;
                }
            }
            Fault::FillDisk { broker } => {
                self.cluster.fill_disk(broker);
                self.wait_for_more(20);
                self.cluster.restart(broker);
            }
            Fault::Quota { bytes_per_second } => {
                self.cluster.set_quota(Some(bytes_per_second));
                let met = self.wait_or(|run| {
                    let said = |watch: &Watch| watch.sum("radstream_broker_throttle_seconds");
                    run.watch.as_ref().is_some_and(|watch| said(watch) > 0.0)
                });
                self.cluster.set_quota(None);
                if !met {
                    return;
                }
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

    /// Waits for so many further findings, or for all.
    fn wait_for_more(&mut self, findings: usize) {
        let more = self.reader.messages().len() + findings;
        self.wait(more.min(self.plan.feed.totals().0));
    }

    /// False when it did not come to that.
    fn lose_coordinator(&mut self) -> bool {
        let restarts = |run: &Self| {
            let told = "radstream_producer_restarts_total{reason=\"send_offsets\"}";
            run.watch.as_ref().map_or(0.0, |watch| watch.sum(told))
        };
        let (of_group, of_transactions) = self.cluster.two_coordinators(&self.plan.group(), "p0");
        let before = restarts(self);
        let api = Api::AddOffsetsToTxn;
        let wire = proxy::Fault { api, when: When::Before, act: Act::Hold, count: 1 };
        self.cluster.proxy(of_transactions).arm(wire);
        // At once: the client asks anew after half of the time of a transaction.
        let held =
            self.until_seen("a held request", |run| run.cluster.proxy(of_transactions).held() > 0);
        self.cluster.proxy(of_group).refuse(true);
        self.cluster.proxy(of_group).reset_all();
        self.cluster.proxy(of_transactions).release();
        let met = held && self.wait_or(|run| restarts(run) > before);
        self.cluster.proxy(of_transactions).disarm();
        self.cluster.proxy(of_group).refuse(false);
        met
    }

    /// False when it did not come to that.
    fn lose_end(&mut self) -> bool {
        let given_up = |run: &Self| {
            let told = "radstream_transactions_total{outcome=\"aborted\"}";
            run.watch.as_ref().map_or(0.0, |watch| watch.sum(told))
        };
        // It must have its first producer.
        self.until_request(Api::EndTxn);
        let before = given_up(self);
        for (api, when) in [(Api::EndTxn, When::After), (Api::InitProducerId, When::Before)] {
            let wire = proxy::Fault { api, when, act: Act::Drop, count: usize::MAX };
            self.cluster.proxies().for_each(|proxy| proxy.arm(wire));
        }
        let met = self.wait_or(|run| given_up(run) > before);
        self.cluster.proxies().for_each(Proxy::disarm);
        met
    }

    /// Waits until one more request of that kind has come by.
    fn until_request(&mut self, api: Api) {
        let seen = |run: &Self| -> u64 {
            run.cluster.proxies().map(|proxy| proxy.counts().requests_of(api)).sum()
        };
        let before = seen(self);
        self.until_seen(&format!("{api:?}"), |run| seen(run) > before);
    }

    /// Waits for a moment of the wire, so as not to miss it. False when it did not come.
    fn until_seen(&mut self, what: &str, holds: impl Fn(&Self) -> bool) -> bool {
        let patience = self.plan.patience;
        let deadline = Instant::now() + patience;
        // Nothing is read here: there must be work in any case.
        self.feeding.few();
        while !holds(self) {
            if Instant::now() > deadline {
                self.stuck = Some(format!("no {what} within {patience:?}"));
                return false;
            }
            std::thread::park_timeout(Duration::from_millis(1));
        }
        true
    }

    fn signal(&mut self, slot: usize, name: &str) {
        if let Some(process) = &self.slots[slot] {
            process.signal(name);
        }
    }

    /// Waits until the group has so many members.
    fn until_members(&mut self, members: usize) {
        let asking: BaseConsumer = self.cluster.client().create().expect("a consumer");
        let group = self.plan.group();
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
}
