//! The demo's second stage: escalations to a stand-in teacher, in the same process.

use std::fmt::Write as _;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::broker::auth::Authenticator;
use crate::command::assemble::teacher::{teach_options, teacher};
use crate::command::run::RunError;
use crate::config::{Settings, TeacherProvider};
use crate::demo::teacher::{TeacherOptions, TeacherServer};
use crate::pipeline::stop::{Mode, Stop};
use crate::pipeline::{self, StageError};
use crate::publish::Framing;
use crate::telemetry::health::Health;
use crate::telemetry::totals::Totals;

/// How long a large model would think; short, so that the demo is.
const LATENCY: Duration = Duration::from_millis(30);
/// Longest wait for the last second opinion.
const PATIENCE: Duration = Duration::from_secs(60);

/// Starts the stand-in and makes it the teacher of these settings.
pub(super) fn stand_in(settings: &mut Settings) -> std::io::Result<TeacherServer> {
    let options = TeacherOptions { latency: LATENCY, ..TeacherOptions::default() };
    let server = TeacherServer::start(options)?;
    settings.teacher.providers = vec![TeacherProvider {
        name: String::from("stand-in"),
        base_url: server.base_url(),
        model: String::from("stub-teacher"),
        ..TeacherProvider::default()
    }];
    Ok(server)
}

/// Stage teach on a thread of its own.
pub(super) struct SecondOpinions {
    server: TeacherServer,
    stop: Arc<Stop>,
    totals: Arc<Totals>,
    thread: JoinHandle<Result<(), StageError>>,
}

impl SecondOpinions {
    pub(super) fn start(settings: &Settings, server: TeacherServer) -> Result<Self, RunError> {
        let auth = Authenticator::from_settings(settings);
        let teacher = teacher(settings)?;
        let options = teach_options(settings, teacher, auth, Framing::SingleObject, None);
        let (stop, totals) = (Arc::new(Stop::default()), Arc::new(Totals::default()));
        let health =
            Arc::new(Health::new(Duration::from_millis(settings.delivery.transaction_timeout_ms)));
        let thread = {
            let (stop, totals) = (Arc::clone(&stop), Arc::clone(&totals));
            std::thread::Builder::new()
                .name(String::from("teach"))
                .spawn(move || pipeline::teach::run(options, &stop, &health, &totals))?
        };
        Ok(Self { server, stop, totals, thread })
    }

    /// Waits until all `escalated` have ended; says how, in one line.
    pub(super) fn end(self, escalated: u64) -> Result<String, RunError> {
        let deadline = Instant::now() + PATIENCE;
        while self.totals.records() < escalated
            && Instant::now() < deadline
            && !self.thread.is_finished()
        {
            std::thread::park_timeout(Duration::from_millis(20));
        }
        self.stop.request(Mode::Finish);
        match self.thread.join() {
            Ok(result) => result?,
            Err(_) => return Err(StageError::Panic { thread: "teach" }.into()),
        }
        let counts = self.server.counts();
        let ended = self.totals.snapshot().outcomes;
        let mut line = format!("{escalated} second opinions wanted");
        for (outcome, count) in ended {
            // Writing to a String cannot fail.
            write!(line, ", {count} {outcome}").ok();
        }
        let calls = counts.answered_well;
        write!(line, "; {calls} calls, the other texts were known").ok();
        Ok(line)
    }
}
