//! The student as a [`Labeler`]: many texts at once, in order, on all sessions.

use std::panic::resume_unwind;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::bucket::Buckets;
use super::labeler::{LabelError, Labeler};
use super::onnx::Session;
use super::tokenize::{Encoder, Encoding};
use super::{Student, StudentError};
use crate::publish::ModelIdentity;
use crate::report::{ReportText, Scored};

/// Labels slices of texts with a loaded student. Memory grows with the slice: feed it thousands,
/// not millions.
#[derive(Debug)]
pub struct OnnxLabeler {
    identity: ModelIdentity,
    length_buckets: Vec<usize>,
    batch_tokens: usize,
    launch_floor_tokens: usize,
    workers: Vec<Worker>,
}

#[derive(Debug)]
struct Worker {
    encoder: Encoder,
    session: Session,
}

impl OnnxLabeler {
    /// Takes over the student's sessions.
    pub fn new(student: Student) -> Self {
        Self {
            identity: student.identity().clone(),
            length_buckets: student.manifest().length_buckets.clone(),
            batch_tokens: student.batch_tokens(),
            launch_floor_tokens: student.launch_floor_tokens(),
            workers: {
                let encoder = student.encoder();
                let sessions = student.into_sessions().into_iter();
                sessions.map(|session| Worker { encoder: encoder.clone(), session }).collect()
            },
        }
    }

    fn tokenize(&mut self, texts: &[ReportText]) -> Vec<Encoding> {
        // One session needs no other thread; then the processor time of the caller's is all there is.
        if let [only] = self.workers.as_mut_slice() {
            return texts.iter().map(|text| only.encoder.encode(text)).collect();
        }
        let share = texts.len().div_ceil(self.workers.len().max(1)).max(1);
        thread::scope(|scope| {
            let parts = texts.chunks(share).zip(&mut self.workers);
            let threads: Vec<_> = parts
                .map(|(part, worker)| {
                    scope.spawn(|| -> Vec<Encoding> {
                        part.iter().map(|text| worker.encoder.encode(text)).collect()
                    })
                })
                .collect();
            threads
                .into_iter()
                .flat_map(|t| t.join().unwrap_or_else(|p| resume_unwind(p)))
                .collect()
        })
    }
}

impl Labeler for OnnxLabeler {
    fn label(&mut self, texts: &[ReportText]) -> Result<Vec<Scored>, LabelError> {
        let encodings = self.tokenize(texts);
        // No item is ever overdue: everything is here already, and order is restored below.
        let now = Instant::now();
        let mut buckets = Buckets::new(
            &self.length_buckets,
            self.batch_tokens,
            Duration::MAX,
            self.launch_floor_tokens,
        );
        for item in encodings.iter().enumerate() {
            buckets.push(item, item.1.len(), now);
        }
        let waiting = Mutex::new(buckets);
        let work = |session: &mut Session| -> Result<Vec<(usize, Scored)>, StudentError> {
            let mut done = Vec::new();
            loop {
                let Some(batch) = waiting.lock().pop(now) else { return Ok(done) };
                let (numbers, inputs): (Vec<usize>, Vec<&Encoding>) =
                    batch.items.into_iter().unzip();
                match session.run(&inputs, batch.bucket) {
                    Ok(scored) => done.extend(numbers.into_iter().zip(scored)),
                    Err(error) => {
                        // Nothing of the slice is usable now: the others stop too.
                        waiting.lock().clear();
                        return Err(error);
                    }
                }
            }
        };
        let work = &work;
        let results: Vec<_> = match self.workers.as_mut_slice() {
            [only] => vec![work(&mut only.session)],
            several => thread::scope(|scope| {
                let sessions = several.iter_mut().map(|worker| &mut worker.session);
                let threads: Vec<_> =
                    sessions.map(|session| scope.spawn(move || work(session))).collect();
                threads.into_iter().map(|t| t.join().unwrap_or_else(|p| resume_unwind(p))).collect()
            }),
        };

        let mut numbered = Vec::with_capacity(texts.len());
        for result in results {
            numbered.extend(result.map_err(|error| LabelError::Engine(error.to_string()))?);
        }
        numbered.sort_unstable_by_key(|(number, _)| *number);
        if numbered.len() != texts.len() {
            return Err(LabelError::Count { expected: texts.len(), got: numbered.len() });
        }
        Ok(numbered.into_iter().map(|(_, scored)| scored).collect())
    }

    fn model(&self) -> &ModelIdentity {
        &self.identity
    }
}
