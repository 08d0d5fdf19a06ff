//! The student on one text at a time: for what is not in a hurry.

use super::onnx::Session;
use super::tokenize::{Encoder, Encoding};
use super::{Student, StudentError};
use crate::report::{ReportText, Scored};

/// One encoder and one session.
#[derive(Debug)]
pub struct Single {
    encoder: Encoder,
    session: Session,
    length_buckets: Vec<usize>,
}

impl Single {
    /// Takes over one of the student's sessions.
    ///
    /// # Errors
    /// [`StudentError::Run`] when they were taken before.
    pub fn new(student: Student) -> Result<Self, StudentError> {
        let (encoder, length_buckets) =
            (student.encoder(), student.manifest().length_buckets.clone());
        let session = student.into_sessions().into_iter().next();
        let session = session
            .ok_or_else(|| StudentError::Run { problem: "no session is left".to_owned() })?;
        Ok(Self { encoder, session, length_buckets })
    }

    /// Labels one report.
    ///
    /// # Errors
    /// [`StudentError::Run`].
    pub fn label(&mut self, text: &ReportText) -> Result<Scored, StudentError> {
        self.read(text).map(|(scored, _)| scored)
    }

    /// Labels one report; with it, how it was tokenised.
    ///
    /// # Errors
    /// [`StudentError::Run`].
    pub fn read(&mut self, text: &ReportText) -> Result<(Scored, Encoding), StudentError> {
        let encoding = self.encoder.encode(text);
        let fits = |edge: &&usize| **edge >= encoding.len();
        let bucket = self.length_buckets.iter().find(fits).copied().unwrap_or(encoding.len());
        let scored = self.session.run(&[&encoding], bucket)?.pop();
        let missing = || StudentError::Run { problem: "the model gave no answer".to_owned() };
        Ok((scored.ok_or_else(missing)?, encoding))
    }
}
