//! A model that is being judged: loaded, with one session on this thread.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::command::assemble::{policy, student_options};
use crate::config::{self, Settings};
use crate::promotion::evidence::Contender;
use crate::report::{OBSERVATIONS, ReportText};
use crate::student::folder::Listing;
use crate::student::labeler::{LabelError, Labeler as _};
use crate::student::manifest::SelfTestCase;
use crate::student::{OnnxLabeler, SelfTestFailure, Student, StudentError, StudentOptions};

/// A loaded model.
pub(super) struct Loaded {
    /// Labels on the calling thread.
    pub(super) labeler: OnnxLabeler,
    /// Confidence that it must reach to be believed, as it would be used here.
    pub(super) thresholds: [f32; OBSERVATIONS],
    /// Its sentences.
    pub(super) self_test: Vec<SelfTestCase>,
    /// Labels of them that it gets wrong.
    pub(super) failures: Vec<SelfTestFailure>,
}

/// Loads a model as the settings say, self-test failures or not.
pub(super) fn load(settings: &Settings, folder: &Path) -> Result<Loaded, StudentError> {
    // One session: then all of its work is done on this thread, whose processor time is measured.
    let options =
        StudentOptions { model: folder.to_path_buf(), sessions: 1, ..student_options(settings) };
    let (student, failures) = Student::load_and_test(&options)?;
    let self_test = student.manifest().self_test.clone();
    let thresholds = policy(&settings.routing, *student.thresholds(), None).thresholds;
    Ok(Loaded { thresholds, labeler: OnnxLabeler::new(student), self_test, failures })
}

/// What the manifest says of a model.
pub(super) fn described(listing: &Listing) -> Contender {
    Contender {
        name: listing.identity.name.clone(),
        version: listing.identity.version.clone(),
        sha256: listing.identity.sha256.clone(),
        manifest_sha256: listing.manifest_sha256.clone(),
        bytes: listing.bytes,
        max_tokens: listing.max_tokens,
    }
}

/// A clock that tells how much a model costs.
#[derive(Clone, Copy)]
pub(super) enum Clock {
    /// Processor time of this thread: what else runs on the machine does not count.
    Processor,
    /// Wall time: what a GPU does is not this thread's work.
    Wall,
}

impl Clock {
    pub(super) const fn of(device: config::Device) -> Self {
        match device {
            config::Device::Cpu => Self::Processor,
            config::Device::Cuda => Self::Wall,
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Processor => "processor time",
            Self::Wall => "wall time",
        }
    }

    /// Time that `model` takes for the texts.
    pub(super) fn time(
        self,
        model: &mut Loaded,
        texts: &[ReportText],
    ) -> Result<Duration, LabelError> {
        let (began, spent) = (Instant::now(), processor_time());
        model.labeler.label(texts)?;
        Ok(match self {
            Self::Processor => processor_time().saturating_sub(spent),
            Self::Wall => began.elapsed(),
        })
    }
}

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}
