//! Asking about many reports at once, and writing each answer as it comes.

use std::io;
use std::sync::Arc;

use indicatif::ProgressBar;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::done::Done;
use super::line;
use super::question;
use crate::command::label::input::{Body, Item};
use crate::teacher::ask::{AskError, Given, Teacher};
use crate::teacher::prompt::Question;

/// So many reports in a row without an answer, and the teacher is not there.
const IN_VAIN: u32 = 20;

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) labelled: u64,
    pub(super) remembered: u64,
    pub(super) failed: u64,
}

/// Why asking stopped before its end.
pub(super) enum Stop {
    Write(io::Error),
    OverBudget,
    Unavailable(String),
}

impl From<io::Error> for Stop {
    fn from(problem: io::Error) -> Self {
        Self::Write(problem)
    }
}

/// What became of one report.
struct Asked {
    id: String,
    question: Question,
    hash: [u8; 32],
    given: Result<(Arc<Given>, bool), AskError>,
}

pub(super) struct Asking<'a> {
    pub(super) teacher: &'a Arc<Teacher>,
    pub(super) all_local: bool,
    pub(super) votes: u32,
    pub(super) window: usize,
    pub(super) done: &'a mut Done,
    pub(super) bar: &'a ProgressBar,
    pub(super) tally: Tally,
}

impl Asking<'_> {
    pub(super) async fn all(&mut self, mut items: mpsc::Receiver<Item>) -> Result<(), Stop> {
        let mut tasks: JoinSet<Asked> = JoinSet::new();
        let mut in_vain = 0;
        let (mut unavailable, mut answered) = (None, false);
        let mut stopped = None;
        let mut open = true;
        while open || !tasks.is_empty() {
            tokio::select! {
                item = items.recv(), if open && tasks.len() < self.window => match item {
                    Some(item) => self.take(item, &mut tasks)?,
                    None => open = false,
                },
                Some(asked) = tasks.join_next(), if !tasks.is_empty() => {
                    // A task that panicked has lost its report's id; the next run asks again.
                    let Ok(asked) = asked else {
                        self.tally.failed += 1;
                        continue;
                    };
                    match &asked.given {
                        Err(AskError::OverBudget) => {
                            stopped.get_or_insert(Stop::OverBudget);
                            open = false;
                        }
                        Err(AskError::Unavailable(why)) => {
                            in_vain += 1;
                            unavailable = Some(why.to_string());
                            if in_vain >= IN_VAIN {
                                stopped.get_or_insert(Stop::Unavailable(why.to_string()));
                                open = false;
                            }
                        }
                        _ => (in_vain, answered) = (0, true),
                    }
                    self.write(asked)?;
                }
            }
        }
        // Nobody was there, however few were asked about.
        if stopped.is_none() && !answered {
            stopped = unavailable.map(Stop::Unavailable);
        }
        stopped.map_or(Ok(()), Err)
    }

    fn take(&mut self, item: Item, tasks: &mut JoinSet<Asked>) -> Result<(), Stop> {
        let Body::Text(text) = item.body else { return Ok(()) };
        let id = item.id;
        let question = match question(&text, item.named.as_deref(), self.all_local) {
            Ok(question) => question,
            Err(refused) => return self.failed(&id, refused.code()),
        };
        let hash = question.text_hash();
        // Under one id may stand several versions of a report: id and text together are one task.
        if !self.done.take(&id, &hash) {
            return Ok(());
        }
        if self.done.repeat(&hash, &id)? {
            self.labelled(true);
            return Ok(());
        }
        let (teacher, votes) = (Arc::clone(self.teacher), self.votes);
        tasks.spawn(async move {
            let given = teacher.ask(&question, votes).await;
            Asked { id, question, hash, given }
        });
        Ok(())
    }

    fn write(&mut self, asked: Asked) -> Result<(), Stop> {
        match asked.given {
            Ok((given, remembered)) => {
                let line = line::labelled(&asked.id, &asked.question, &given);
                self.done.write(&asked.id, asked.hash, &line)?;
                self.labelled(remembered);
                Ok(())
            }
            Err(AskError::Invalid(problem)) => self.failed(&asked.id, problem.code()),
            Err(error) => self.failed(&asked.id, error.code()),
        }
    }

    fn labelled(&mut self, remembered: bool) {
        self.tally.labelled += 1;
        self.tally.remembered += u64::from(remembered);
        self.step();
    }

    fn failed(&mut self, id: &str, problem: &str) -> Result<(), Stop> {
        self.done.failed(id, problem)?;
        self.tally.failed += 1;
        self.step();
        Ok(())
    }

    fn step(&self) {
        self.bar.inc(1);
        self.bar.set_message(format!("cost {:.4}", self.teacher.spent_today().cost));
    }
}
