//! The thread that looks for another model and puts it into service while the old one labels.
//!
//! A model that is refused for what its files say is not tried again until they change. One whose reason
//! may pass (memory, disk, device) is: after one look, then two, four, and so on, up to [`LONGEST`].
//!
//! At most two models are in memory: the next is not loaded before the one before the present one has
//! been freed, with the last report that waited for it.

use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Weak;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};

use crate::student::StudentError;
use crate::student::version::{Look, Version, judge};
use crate::telemetry::names;
use crate::telemetry::totals::Totals;

use super::generation::{Generation, Service};

/// The longest time between two tries of a model whose refusal may pass.
const LONGEST: Duration = Duration::from_secs(600);

/// Loads and self-tests the model of a folder.
pub type Load = Box<dyn FnMut(&Path) -> Result<Generation, StudentError> + Send>;

/// What the thread needs.
pub struct Watch {
    /// Time between two looks.
    pub interval: Duration,
    /// The model folder as configured; a link is followed anew at every look.
    pub folder: PathBuf,
    /// What is in service, as it was seen before it was loaded.
    pub in_service: Version,
    /// Makes the next generation.
    pub load: Load,
}

/// Looks until the stage's work has ended: `open` is then closed.
pub fn run(watch: Watch, service: &Service, totals: &Totals, open: &Receiver<()>) {
    let interval = watch.interval;
    let mut keeper = Keeper { watch, refused: None, last: Weak::new() };
    while matches!(open.recv_timeout(interval), Err(RecvTimeoutError::Timeout)) {
        keeper.look(service, totals);
    }
}

struct Keeper {
    watch: Watch,
    /// Not tried again while it stays as it is, unless its reason may pass.
    refused: Option<Refused>,
    /// The generation before the present one.
    last: Weak<Generation>,
}

/// A model that could not be used.
struct Refused {
    version: Version,
    /// Times that it was tried.
    tries: u32,
    /// Looks until it is tried again; `None`: its reason cannot pass.
    looks: Option<u32>,
}

impl Refused {
    /// After a try: the first, or another of the same version.
    fn after(before: Option<Self>, version: Version, may_pass: bool, interval: Duration) -> Self {
        let same = before.filter(|before| before.version == version);
        let tries = same.map_or(0, |before| before.tries).saturating_add(1);
        Self { version, tries, looks: may_pass.then(|| looks_between(tries, interval)) }
    }

    /// Counts a look at the same version; whether it is tried again now.
    fn due(&mut self) -> bool {
        match &mut self.looks {
            Some(looks) => {
                *looks = looks.saturating_sub(1);
                *looks == 0
            }
            None => false,
        }
    }
}

/// Looks to let pass after so many tries: one, two, four, and so on, together no longer than [`LONGEST`].
fn looks_between(tries: u32, interval: Duration) -> u32 {
    let most = LONGEST.as_secs().checked_div(interval.as_secs()).unwrap_or(1).max(1);
    let doubled = 1_u64.checked_shl(tries.saturating_sub(1)).unwrap_or(u64::MAX);
    u32::try_from(doubled.min(most)).unwrap_or(u32::MAX)
}

impl Keeper {
    fn look(&mut self, service: &Service, totals: &Totals) {
        let seen = Version::look(&self.watch.folder);
        let refused = self.refused.as_ref().map(|refused| &refused.version);
        let look = judge(&seen, &self.watch.in_service, refused);
        let due = look == Look::KnownBad && self.refused.as_mut().is_some_and(Refused::due);
        match look {
            Look::Same => self.settle(totals),
            Look::KnownBad if !due => {}
            Look::New | Look::KnownBad if self.last.strong_count() > 0 => {
                tracing::debug!("another model waits until the last one is out of memory");
            }
            Look::New | Look::KnownBad => self.attempt(seen, service, totals),
        }
    }

    /// The model in service is the one that is wanted.
    fn settle(&mut self, totals: &Totals) {
        if self.refused.take().is_some() {
            metrics::gauge!(names::MODEL_REFUSED).set(0.0);
            totals.set_refused(false);
        }
    }

    fn attempt(&mut self, seen: Version, service: &Service, totals: &Totals) {
        // The reports do not wait for it: what the old one labels meanwhile is told.
        let batches = service.current().batches();
        let started = Instant::now();
        let folder = seen.folder().to_path_buf();
        let load = &mut self.watch.load;
        // A model that breaks the library must not end the stage that labels well without it.
        let loaded = std::panic::catch_unwind(AssertUnwindSafe(|| load(&folder)));
        let seconds = started.elapsed().as_secs_f64();
        metrics::histogram!(names::MODEL_LOAD_SECONDS).record(seconds);
        let (reason, problem, may_pass) = match loaded {
            Ok(Ok(generation)) => {
                let model = generation.model.clone();
                let meanwhile = service.current().batches().saturating_sub(batches);
                self.last = service.switch(generation, totals);
                self.watch.in_service = seen;
                self.settle(totals);
                tracing::info!(
                    model = model.name,
                    version = model.version,
                    sha256 = model.sha256,
                    folder = %folder.display(),
                    seconds,
                    batches_while_loading = meanwhile,
                    "another model is in service"
                );
                return;
            }
            Ok(Err(error)) => (error.kind(), error.to_string(), error.may_pass()),
            Err(_) => {
                ("panic", String::from("loading it panicked; the place is in the log"), false)
            }
        };
        metrics::counter!(names::MODEL_REFUSED_TOTAL, "reason" => reason).increment(1);
        metrics::gauge!(names::MODEL_REFUSED).set(1.0);
        totals.set_refused(true);
        let interval = self.watch.interval;
        let refused = Refused::after(self.refused.take(), seen, may_pass, interval);
        let current = service.current();
        tracing::error!(
            folder = %folder.display(),
            reason,
            problem,
            tries = refused.tries,
            again_in_s = refused.looks.map(|looks| interval.saturating_mul(looks).as_secs()),
            in_service = current.model.version,
            "a model was refused; the one in service goes on. Unless the log says when, it is not tried \
             again until one of its files changes"
        );
        self.refused = Some(refused);
    }
}

#[cfg(test)]
mod tests;
