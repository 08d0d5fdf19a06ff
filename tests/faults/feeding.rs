//! How the feed comes into its topic: at a pace, or so much at a time that every fault finds work to disturb.

use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;

use crate::checker::{Expected, Feed as _};
use crate::feed::Feed;
use crate::support::records::{self, NewRecord};

/// Some for each partition.
const FEW: u64 = 48;
/// Kept until the last fault has struck.
const RESERVE: u64 = 4 * FEW;

/// A feed that is being written.
pub struct Feeding {
    client: ClientConfig,
    topic: String,
    feed: Feed,
    rest: Box<dyn Iterator<Item = NewRecord>>,
    written: u64,
    /// Findings events that come of what is written.
    findings: usize,
    paced: Option<JoinHandle<()>>,
}

impl Feeding {
    /// With a pace (messages a second) a thread writes all of it; else nothing is written yet.
    pub fn start(client: ClientConfig, topic: String, feed: Feed, pace: Option<f64>) -> Self {
        let rest = Box::new(feed.records());
        let mut feeding = Self { client, topic, feed, rest, written: 0, findings: 0, paced: None };
        if let Some(pace) = pace {
            let (client, topic) = (feeding.client.clone(), feeding.topic.clone());
            feeding.note(feed.messages);
            feeding.paced = Some(std::thread::spawn(move || {
                let started = Instant::now();
                let paced = feed.records().enumerate().inspect(|(number, _)| {
                    let due = started + Duration::from_secs_f64(*number as f64 / pace);
                    std::thread::park_timeout(due.saturating_duration_since(Instant::now()));
                });
                records::produce(&client, &topic, paced.map(|(_, record)| record));
            }));
        }
        feeding
    }

    /// Writes what the step with this number of so many needs. A step falls within the first nine tenths, in
    /// its own equal part of them; the part after it is there too, and not more: however slow a fault is,
    /// the next one is not late. The rest is for faults that find no work all the same.
    pub fn for_step(&mut self, step: usize, steps: usize) {
        let part = self.feed.messages * 9 / 10 / steps as u64;
        let reserved = self.feed.messages.saturating_sub(RESERVE);
        self.up_to((part * (step as u64 + 2)).min(reserved));
    }

    /// Writes a few messages more, if all that came of the others is among so many `findings`: whoever waits
    /// for something that only happens to work would wait for ever.
    pub fn unless_busy(&mut self, findings: usize) {
        if findings >= self.findings {
            self.few();
        }
    }

    /// Writes a few messages more.
    pub fn few(&mut self) {
        self.up_to(self.written + FEW);
    }

    /// Writes the rest. Does not wait for a thread that feeds at a pace.
    pub fn all(&mut self) {
        self.up_to(self.feed.messages);
    }

    /// Waits for a thread that feeds at a pace.
    pub fn finish(&mut self) {
        if let Some(thread) = self.paced.take() {
            thread.join().expect("the feed is written");
        }
    }

    fn up_to(&mut self, number: u64) {
        let more = number.min(self.feed.messages).saturating_sub(self.written);
        if more > 0 {
            records::produce(&self.client, &self.topic, self.rest.by_ref().take(more as usize));
            self.note(self.written + more);
        }
    }

    fn note(&mut self, written: u64) {
        let is_finding = |n: &u64| matches!(self.feed.expected(*n), Expected::Finding(_));
        self.findings += (self.written..written).filter(is_finding).count();
        self.written = written;
    }
}
