//! Who labels, as the pipeline sees it: something that encodes, and sessions that run.
//!
//! Two implementations: the student (ONNX), and the rules, which need no model.

use crate::report::{ReportText, Scored};
use crate::student::rules::RuleLabeler;
use crate::student::{Encoder, Encoding, Session, Student, StudentError};

use super::prepare::Task;

/// Text to token ids, on a thread of its own.
pub trait Encode: Send {
    /// Encodes; `None` when the labeller reads text.
    fn encode(&mut self, text: &ReportText) -> Option<Encoding>;

    /// Another one that does the same, for another thread.
    fn another(&self) -> Box<dyn Encode>;
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

    fn another(&self) -> Box<dyn Encode> {
        Box::new(self.clone())
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

    fn another(&self) -> Box<dyn Encode> {
        Box::new(Self)
    }
}

impl Score for RuleLabeler {
    fn score(&mut self, batch: &[Task], _: usize) -> Result<Vec<Scored>, StudentError> {
        Ok(batch.iter().map(|task| self.label(&task.text)).collect())
    }
}

/// What the pipeline needs of a labeller.
pub struct Engine {
    /// The pattern of the decode threads' encoders.
    pub encoder: Box<dyn Encode>,
    /// One per session thread.
    pub sessions: Vec<Box<dyn Score>>,
    /// Length buckets, tokens.
    pub buckets: Vec<usize>,
    /// Padded tokens in a micro-batch, at most.
    pub batch_tokens: usize,
}

impl Engine {
    /// The student.
    pub fn student(mut student: Student) -> Self {
        let buckets = student.manifest().length_buckets.clone();
        let batch_tokens = student.batch_tokens();
        let encoder = Box::new(student.encoder());
        let sessions = student
            .take_sessions()
            .into_iter()
            .map(|session| Box::new(session) as Box<dyn Score>)
            .collect();
        Self { encoder, sessions, buckets, batch_tokens }
    }

    /// The rules on `threads` threads.
    pub fn rules(threads: usize) -> Self {
        Self {
            encoder: Box::new(NoEncoding),
            sessions: (0..threads.max(1))
                .map(|_| Box::new(RuleLabeler::new()) as Box<dyn Score>)
                .collect(),
            buckets: vec![512, 4096],
            batch_tokens: 8192,
        }
    }
}
