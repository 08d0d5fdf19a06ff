//! Sessions and encoders on loan to a pipeline, which count what they do.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use radstream::pipeline::engine::{Encode, Score};
use radstream::pipeline::prepare::Task;
use radstream::report::{ReportText, Scored};
use radstream::student::{Encoder, Encoding, Session, StudentError};

/// What one run of either kind gave.
#[derive(Clone, Default)]
pub(crate) struct Figures {
    pub(crate) seconds: f64,
    pub(crate) reports: usize,
    pub(crate) batches: u64,
    /// Tokens computed, padding included.
    pub(crate) padded: u64,
    /// Time inside `Session::run`, summed over sessions.
    pub(crate) busy: f64,
    /// Processor time by thread name, seconds (Linux only).
    pub(crate) cpu: BTreeMap<String, f64>,
}

impl Figures {
    pub(crate) fn rate(&self) -> f64 {
        self.reports as f64 / self.seconds
    }

    pub(crate) fn cpu_per_report(&self) -> f64 {
        1e6 * self.cpu.values().sum::<f64>() / self.reports as f64
    }
}

/// Counts of what sessions do.
#[derive(Default)]
pub(crate) struct Tally {
    batches: AtomicU64,
    padded: AtomicU64,
    busy_nanos: AtomicU64,
}

impl Tally {
    pub(crate) fn count(&self, rows: usize, bucket: usize, time: Duration) {
        self.batches.fetch_add(1, Ordering::Relaxed);
        self.padded.fetch_add((rows * bucket) as u64, Ordering::Relaxed);
        self.busy_nanos.fetch_add(time.as_nanos() as u64, Ordering::Relaxed);
    }

    pub(crate) fn figures(
        &self,
        reports: usize,
        seconds: f64,
        cpu: BTreeMap<String, f64>,
    ) -> Figures {
        Figures {
            seconds,
            reports,
            batches: self.batches.load(Ordering::Relaxed),
            padded: self.padded.load(Ordering::Relaxed),
            busy: self.busy_nanos.load(Ordering::Relaxed) as f64 / 1e9,
            cpu,
        }
    }
}

/// A session on loan to a pipeline; it comes home when the pipeline ends.
pub(crate) struct Lent {
    pub(crate) session: Option<Session>,
    pub(crate) home: Sender<Session>,
    pub(crate) tally: Arc<Tally>,
}

impl Score for Lent {
    fn score(&mut self, batch: &[Task], bucket: usize) -> Result<Vec<Scored>, StudentError> {
        let started = Instant::now();
        let session = self.session.as_mut().unwrap();
        let scored = Score::score(session, batch, bucket);
        self.tally.count(batch.len(), bucket, started.elapsed());
        scored
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.home.send(self.session.take().unwrap()).ok();
    }
}

/// An encoder that notes when its first report came: the first fetch is behind us then.
pub(crate) struct Stamped {
    pub(crate) encoder: Encoder,
    pub(crate) first: Arc<OnceLock<Instant>>,
}

impl Encode for Stamped {
    fn encode(&mut self, text: &ReportText) -> Option<Encoding> {
        self.first.get_or_init(Instant::now);
        Some(self.encoder.encode(text))
    }

    fn another(&self) -> Box<dyn Encode> {
        Box::new(Self { encoder: self.encoder.clone(), first: Arc::clone(&self.first) })
    }
}
