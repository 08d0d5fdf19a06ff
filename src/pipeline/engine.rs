//! Who labels, as the pipeline sees it: something that encodes, and sessions that run.
//!
//! Two implementations: the student (ONNX), and the rules, which need no model.

use crate::report::{ReportText, Scored};
use crate::student::bucket::Buckets;
use crate::student::rules::RuleLabeler;
use crate::student::{Encoder, Encoding, Session, Student, StudentError};

use super::prepare::Task;

/// Text to token ids, on a thread of its own.
pub trait Encode: Send {
    /// Encodes; `None` when the labeller reads text.
    fn encode(&mut self, text: &ReportText) -> Option<Encoding>;
}

/// One session, on a thread of its own.
pub trait Score: Send {
    /// Labels a micro-batch, padded to `bucket` tokens; one result per task, in order.
    ///
    /// # Errors
    /// The run failed; nothing is known of any of them.
    fn score(&mut self, batch: &[Task], bucket: usize) -> Result<Vec<Scored>, StudentError>;
}

impl Encode for Encoder {
    fn encode(&mut self, text: &ReportText) -> Option<Encoding> {
        Some(Self::encode(self, text))
    }
}

impl Score for Session {
    fn score(&mut self, batch: &[Task], bucket: usize) -> Result<Vec<Scored>, StudentError> {
        let encodings: Vec<&Encoding> =
            batch.iter().filter_map(|task| task.encoding.as_ref()).collect();
        self.run(&encodings, bucket)
    }
}

struct NoEncoding;

impl Encode for NoEncoding {
    fn encode(&mut self, _: &ReportText) -> Option<Encoding> {
        None
    }
}

impl Score for RuleLabeler {
    fn score(&mut self, batch: &[Task], _: usize) -> Result<Vec<Scored>, StudentError> {
        Ok(batch.iter().map(|task| self.label(&task.text)).collect())
    }
}

/// What the pipeline needs of a labeller.
pub struct Engine {
    /// One per decode thread.
    pub encoders: Vec<Box<dyn Encode>>,
    /// One per session thread.
    pub sessions: Vec<Box<dyn Score>>,
    /// Length buckets, tokens.
    pub buckets: Vec<usize>,
    /// Padded tokens in a micro-batch, at most.
    pub batch_tokens: usize,
}

impl Engine {
    /// The student with `decode_threads` encoders.
    pub fn student(mut student: Student, decode_threads: usize) -> Self {
        let buckets = student.manifest().length_buckets.clone();
        let batch_tokens = student.batch_tokens();
        let encoders =
            (0..decode_threads).map(|_| Box::new(student.encoder()) as Box<dyn Encode>).collect();
        let sessions = student
            .take_sessions()
            .into_iter()
            .map(|session| Box::new(session) as Box<dyn Score>)
            .collect();
        Self { encoders, sessions, buckets, batch_tokens }
    }

    /// The rules on `threads` threads.
    pub fn rules(decode_threads: usize, threads: usize) -> Self {
        Self {
            encoders: (0..decode_threads)
                .map(|_| Box::new(NoEncoding) as Box<dyn Encode>)
                .collect(),
            sessions: (0..threads.max(1))
                .map(|_| Box::new(RuleLabeler::new()) as Box<dyn Score>)
                .collect(),
            buckets: vec![512, 4096],
            batch_tokens: 8192,
        }
    }

    /// Empty queues for this engine.
    pub fn queues<T>(&self, max_age: std::time::Duration) -> Buckets<T> {
        Buckets::new(&self.buckets, self.batch_tokens, max_age, 0)
    }
}
