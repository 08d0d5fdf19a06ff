//! What the threads of a proxy share: settings, armed faults, live connections, counts.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use super::faults::{Act, Api, Counts, Fault, Kind, When};
use super::link::Link;

/// One lock and one condition for all: a test's faults are few, and a frame takes the lock a handful of
/// times.
#[derive(Default)]
pub(super) struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) target: Option<SocketAddr>,
    pub(super) refuse: bool,
    pub(super) blackhole: bool,
    pub(super) latency: Duration,
    /// Size of the pieces; `None`: as they come.
    pub(super) slice: Option<usize>,
    pub(super) armed: Vec<Fault>,
    /// Frames that wait for `release` or their time.
    pub(super) held: usize,
    pub(super) counts: Counts,
    pub(super) ended: bool,
    /// How often `release` was called: who waits, waits for the next.
    releases: u64,
    links: BTreeMap<u64, Arc<Link>>,
    next_link: u64,
}

impl Shared {
    /// Changes settings, and wakes whoever waits for a change.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.lock());
        self.changed.notify_all();
        result
    }

    pub(super) fn look<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.lock())
    }

    /// A connection begins; its number. `None` when the proxy has ended.
    pub(super) fn register(&self, link: &Arc<Link>) -> Option<u64> {
        self.change(|state| {
            if state.ended {
                return None;
            }
            let number = state.next_link;
            state.next_link += 1;
            state.links.insert(number, Arc::clone(link));
            state.counts.connections += 1;
            Some(number)
        })
    }

    pub(super) fn forget(&self, number: u64) {
        self.change(|state| state.links.remove(&number));
    }

    /// Resets one connection. Under the lock, so that no thread goes to sleep between the mark and
    /// the wake-up.
    pub(super) fn reset(&self, link: &Link) {
        self.change(|_| link.reset());
    }

    pub(super) fn reset_all(&self) -> usize {
        self.change(|state| {
            let links = std::mem::take(&mut state.links);
            for link in links.values() {
                link.reset();
                state.counts.hit(Kind::ResetAll, None);
            }
            links.len()
        })
    }

    /// No more connections, and an end to those there are.
    pub(super) fn end(&self) {
        self.change(|state| {
            state.ended = true;
            for link in std::mem::take(&mut state.links).values() {
                link.reset();
            }
        });
    }

    pub(super) fn release(&self) {
        self.change(|state| state.releases += 1);
    }

    /// A frame has arrived: counts it, takes the armed fault that hits it, and lets the general
    /// latency pass.
    ///
    /// # Errors
    /// When the connection was reset.
    pub(super) fn arrived(&self, link: &Link, when: When, api: Api) -> io::Result<Option<Act>> {
        let mut state = self.lock();
        state.counts.arrived(when, api);
        let latency = state.latency;
        if latency > Duration::ZERO {
            state.counts.hit(Kind::Latency, None);
            let waits = |state: &mut State| state.latency > Duration::ZERO && !link.is_reset();
            state = self
                .changed
                .wait_timeout_while(state, latency, waits)
                .expect("no panic holds it")
                .0;
        }
        link.alive()?;
        let hits = |fault: &Fault| fault.when == when && fault.api == api && fault.count > 0;
        let Some(fault) = state.armed.iter_mut().find(|fault| hits(fault)) else { return Ok(None) };
        fault.count -= 1;
        let act = fault.act;
        state.armed.retain(|fault| fault.count > 0);
        state.counts.hit(act.into(), Some((when, api)));
        drop(state);
        // A test may wait for the count.
        self.changed.notify_all();
        Ok(Some(act))
    }

    /// Holds the calling thread, and with it the frame it carries.
    ///
    /// # Errors
    /// When the connection was reset.
    pub(super) fn hold(&self, link: &Link, longest: Duration) -> io::Result<()> {
        let mut state = self.lock();
        let releases = state.releases;
        state.held += 1;
        let waits = |state: &mut State| state.releases == releases && !link.is_reset();
        state =
            self.changed.wait_timeout_while(state, longest, waits).expect("no panic holds it").0;
        state.held -= 1;
        link.alive()
    }

    /// Waits while there is a black hole; how many bytes may then pass at once.
    ///
    /// # Errors
    /// When the connection was reset.
    pub(super) fn may_pass(&self, link: &Link, bytes: usize) -> io::Result<usize> {
        let mut state = self.lock();
        if state.blackhole {
            state.counts.hit(Kind::Blackhole, None);
            let waits = |state: &mut State| state.blackhole && !link.is_reset();
            state = self.changed.wait_while(state, waits).expect("no panic holds it");
        }
        link.alive()?;
        match state.slice {
            Some(piece) if piece < bytes => {
                state.counts.hit(Kind::Slice, None);
                Ok(piece)
            }
            _ => Ok(bytes),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic holds it")
    }
}
