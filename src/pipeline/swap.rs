//! The thread that looks for another model and puts it into service while the old one labels.
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
    /// Told once, and not tried again while it stays as it is.
    refused: Option<Version>,
    /// The generation before the present one.
    last: Weak<Generation>,
}

impl Keeper {
    fn look(&mut self, service: &Service, totals: &Totals) {
        let seen = Version::look(&self.watch.folder);
        match judge(&seen, &self.watch.in_service, self.refused.as_ref()) {
            Look::Same => self.settle(totals),
            Look::KnownBad => {}
            Look::New if self.last.strong_count() > 0 => {
                tracing::debug!("another model waits until the last one is out of memory");
            }
            Look::New => self.attempt(seen, service, totals),
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
        let started = Instant::now();
        let folder = seen.folder().to_path_buf();
        let load = &mut self.watch.load;
        // A model that breaks the library must not end the stage that labels well without it.
        let loaded = std::panic::catch_unwind(AssertUnwindSafe(|| load(&folder)));
        let seconds = started.elapsed().as_secs_f64();
        metrics::histogram!(names::MODEL_LOAD_SECONDS).record(seconds);
        let (reason, problem) = match loaded {
            Ok(Ok(generation)) => {
                let model = generation.model.clone();
                self.last = service.switch(generation, totals);
                self.watch.in_service = seen;
                self.settle(totals);
                tracing::info!(
                    model = model.name,
                    version = model.version,
                    sha256 = model.sha256,
                    folder = %folder.display(),
                    seconds,
                    "another model is in service"
                );
                return;
            }
            Ok(Err(error)) => (error.kind(), error.to_string()),
            Err(_) => ("panic", String::from("loading it panicked; the place is in the log")),
        };
        metrics::counter!(names::MODEL_REFUSED_TOTAL, "reason" => reason).increment(1);
        metrics::gauge!(names::MODEL_REFUSED).set(1.0);
        totals.set_refused(true);
        let current = service.current();
        tracing::error!(
            folder = %folder.display(),
            reason,
            problem,
            in_service = current.model.version,
            "a model was refused; the one in service goes on. It is not tried again until it changes"
        );
        self.refused = Some(seen);
    }
}

#[cfg(test)]
mod tests;
