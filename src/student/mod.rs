//! The student: a small model that labels a report in milliseconds.
//!
//! A model is a folder ([`manifest`]): network, tokenizer, and a manifest that vouches for both.
//! [`Student::load`] checks it whole and proves it on its own sentences before anything is
//! labelled. Then each thread takes what it needs: an [`Encoder`] (text to tokens) or a [`Session`]
//! (tokens to scores); [`Buckets`] decides which texts run together. [`OnnxLabeler`] does it all
//! for a slice of texts; [`rules`] is a labeller that needs no model.

pub mod bucket;
pub mod bulk;
mod evidence;
pub mod folder;
pub mod labeler;
pub mod manifest;
pub mod onnx;
pub mod rules;
pub mod runtime;
pub mod self_test;
pub mod sentences;
pub mod single;
pub mod tokenize;
pub mod version;
mod words;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

pub use bucket::{Batch, Buckets};
pub use bulk::OnnxLabeler;
pub use manifest::Manifest;
pub use onnx::Session;
pub use self_test::SelfTestFailure;
pub use tokenize::{Encoder, Encoding};

use crate::publish::ModelIdentity;
use crate::report::OBSERVATIONS;

/// What the model runs on. Never chosen silently: a device that cannot be used is an error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Device {
    /// The processor.
    #[default]
    Cpu,
    /// An NVIDIA GPU.
    Cuda {
        /// Its number, from 0.
        device_id: i32,
    },
}

/// How to load a student.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StudentOptions {
    /// The model folder.
    pub model: PathBuf,
    /// The ONNX Runtime library; `None` looks in the usual places ([`runtime::find_runtime`]).
    pub onnxruntime: Option<PathBuf>,
    /// What to run on.
    pub device: Device,
    /// Sessions, each for one thread; 0 is one per core on CPU and two on CUDA.
    pub sessions: usize,
    /// Most padded tokens in one batch; 0 is 1,024 on CPU and 16,384 on CUDA.
    pub batch_tokens: usize,
}

impl StudentOptions {
    /// On CPU, with the defaults.
    pub fn new(model: impl Into<PathBuf>) -> Self {
        Self {
            model: model.into(),
            onnxruntime: None,
            device: Device::Cpu,
            sessions: 0,
            batch_tokens: 0,
        }
    }

    fn sessions(&self) -> usize {
        match (self.sessions, self.device) {
            // A small model is computed fastest with one thread per session and one session per
            // core; on a GPU one session runs while the other is copied.
            (0, Device::Cpu) => thread::available_parallelism().map_or(1, usize::from),
            (0, Device::Cuda { .. }) => 2,
            (sessions, _) => sessions,
        }
    }

    fn batch_tokens(&self) -> usize {
        match (self.batch_tokens, self.device) {
            // A core is saturated by about a thousand rows; more only misses the cache.
            (0, Device::Cpu) => 1_024,
            (0, Device::Cuda { .. }) => 16_384,
            (tokens, _) => tokens,
        }
    }
}

/// A loaded, verified model.
#[derive(Debug)]
pub struct Student {
    manifest: Manifest,
    identity: ModelIdentity,
    encoder: Encoder,
    sessions: Vec<Session>,
    batch_tokens: usize,
    launch_floor_tokens: usize,
}

impl Student {
    /// Loads a model folder: hashes, manifest, tokenizer, runtime, inputs and outputs, self-test.
    ///
    /// Blocks for the time it takes to read the model and to build the sessions.
    ///
    /// # Errors
    /// [`StudentError`]: what is wrong, all of it where several things are, with the remedy.
    pub fn load(options: &StudentOptions) -> Result<Self, StudentError> {
        match Self::load_and_test(options)? {
            (student, failures) if failures.is_empty() => Ok(student),
            (_, failures) => Err(StudentError::SelfTest { path: options.model.clone(), failures }),
        }
    }

    /// As [`Student::load`], but a model that fails its self-test is given all the same, with every
    /// label that differs. For judging it; never for labelling.
    ///
    /// # Errors
    /// [`StudentError`], as for [`Student::load`].
    pub fn load_and_test(
        options: &StudentOptions,
    ) -> Result<(Self, Vec<SelfTestFailure>), StudentError> {
        let folder = manifest::read_folder(&options.model)?;
        let manifest = folder.manifest;
        let mut encoder =
            Encoder::new(&folder.tokenizer, manifest.max_tokens).map_err(|problem| {
                StudentError::Tokenizer {
                    path: folder.path.join(manifest::TOKENIZER_FILE),
                    problem,
                }
            })?;
        let library = runtime::find_runtime(options.onnxruntime.as_deref())?;
        let mut sessions = onnx::open_sessions(
            &library,
            &folder.model,
            &folder.path.join(manifest::MODEL_FILE),
            &manifest,
            options.device,
            options.sessions(),
        )?;
        let failures = match sessions.first_mut() {
            Some(session) => {
                let edges = &manifest.length_buckets;
                self_test::run(&manifest.self_test, &mut encoder, session, edges)?
            }
            None => Vec::new(),
        };
        let student = Self {
            identity: folder.identity,
            manifest,
            encoder,
            sessions,
            batch_tokens: options.batch_tokens(),
            launch_floor_tokens: match options.device {
                Device::Cpu => 0,
                // About the tokens that a GPU computes in the time a launch takes.
                Device::Cuda { .. } => 4_096,
            },
        };
        Ok((student, failures))
    }

    /// Who this is, as written on every finding.
    pub fn identity(&self) -> &ModelIdentity {
        &self.identity
    }

    /// Confidence below which a cell is doubtful, per observation.
    pub fn thresholds(&self) -> &[f32; OBSERVATIONS] {
        &self.manifest.thresholds
    }

    /// The whole manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Most padded tokens in one batch.
    pub fn batch_tokens(&self) -> usize {
        self.batch_tokens
    }

    /// Padded tokens below which a batch costs the device the same ([`Buckets::new`]).
    pub fn launch_floor_tokens(&self) -> usize {
        self.launch_floor_tokens
    }

    /// Empty buckets that suit this model and device; an item older than `max_age` goes first.
    pub fn buckets<T>(&self, max_age: Duration) -> Buckets<T> {
        let edges = &self.manifest.length_buckets;
        Buckets::new(edges, self.batch_tokens, max_age, self.launch_floor_tokens)
    }

    /// A tokenizer for one thread.
    pub fn encoder(&self) -> Encoder {
        self.encoder.clone()
    }

    /// The sessions, each for one thread. Empty from the second call on.
    pub fn take_sessions(&mut self) -> Vec<Session> {
        std::mem::take(&mut self.sessions)
    }

    /// The sessions, each for one thread.
    pub fn into_sessions(self) -> Vec<Session> {
        self.sessions
    }
}

/// The student cannot be loaded or run. Never holds report text; the self-test's sentences are ours.
#[derive(Debug, thiserror::Error)]
pub enum StudentError {
    /// A file of the model folder, or the folder, is not there.
    #[error(
        "no model: `{}` does not exist; set `student.model` to a model folder",
        path.display()
    )]
    ModelMissing {
        /// What was looked for.
        path: PathBuf,
    },
    /// A file of the model folder cannot be read.
    #[error("cannot read `{}`: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// `manifest.json` is not what this program reads.
    #[error("`{}` is not a usable manifest:{}", path.display(), Listed(problems))]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// Everything that is wrong with it.
        problems: Vec<String>,
    },
    /// A file is not the one that the manifest vouches for.
    #[error(
        "`{}` is damaged or was exchanged: SHA-256 is {found} ({found_bytes} bytes), the manifest \
         says {expected} ({expected_bytes} bytes); restore the folder whole",
        file.display()
    )]
    HashMismatch {
        /// The file.
        file: PathBuf,
        /// Hash in the manifest.
        expected: String,
        /// Hash of the file.
        found: String,
        /// Size in the manifest, in bytes.
        expected_bytes: u64,
        /// Size of the file, in bytes.
        found_bytes: u64,
    },
    /// `tokenizer.json` cannot be used.
    #[error("`{}` is not a usable tokenizer: {problem}", path.display())]
    Tokenizer {
        /// The tokenizer.
        path: PathBuf,
        /// The library's reason.
        problem: String,
    },
    /// ONNX Runtime cannot be loaded.
    #[error(
        "cannot load ONNX Runtime from `{}`: {problem}; version 1.{} or newer is needed: run \
         `make deps`, or set the library's path in `student.onnxruntime` or in {}",
        path.display(), ort::MINOR_VERSION, runtime::RUNTIME_VARIABLE
    )]
    Runtime {
        /// The library.
        path: PathBuf,
        /// Why not.
        problem: String,
    },
    /// The configured device cannot be used. There is no fall-back to CPU.
    #[error(
        "cannot run on {provider} device {device_id}: {problem}; install the GPU build of ONNX \
         Runtime with its CUDA and cuDNN libraries, or set `student.device = \"cpu\"`"
    )]
    Provider {
        /// Execution provider.
        provider: &'static str,
        /// Number of the device.
        device_id: i32,
        /// ONNX Runtime's reason.
        problem: String,
    },
    /// ONNX Runtime could not open the network for a reason that need not lie in it.
    #[error(
        "`{}` could not be opened by ONNX Runtime: {problem}; check free memory, and the log of the \
         system",
        path.display()
    )]
    Session {
        /// The network.
        path: PathBuf,
        /// ONNX Runtime's reason.
        problem: String,
    },
    /// The network is not one of a student: unreadable, or other inputs or outputs.
    #[error("`{}` is not a student's network:{}", path.display(), Listed(problems))]
    Shape {
        /// The network.
        path: PathBuf,
        /// Everything that is wrong with it.
        problems: Vec<String>,
    },
    /// The model does not give the labels that its manifest promises.
    #[error(
        "the model in `{}` fails its self-test on this machine; do not label with it:{}",
        path.display(), Listed(failures)
    )]
    SelfTest {
        /// The model folder.
        path: PathBuf,
        /// Every label that differs.
        failures: Vec<SelfTestFailure>,
    },
    /// A batch could not be scored.
    #[error("the model could not score a batch: {problem}")]
    Run {
        /// ONNX Runtime's reason.
        problem: String,
    },
    /// More than one thing is wrong.
    #[error("{} things are wrong with the model:{}", .0.len(), Listed(.0))]
    Several(Vec<StudentError>),
}

impl StudentError {
    /// One error of them all.
    fn all(mut problems: Vec<Self>) -> Self {
        match problems.pop() {
            Some(only) if problems.is_empty() => only,
            Some(last) => {
                problems.push(last);
                Self::Several(problems)
            }
            None => Self::Several(problems),
        }
    }

    /// What kind of error it is, for metrics.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::ModelMissing { .. } => "missing",
            Self::Unreadable { .. } => "unreadable",
            Self::Manifest { .. } => "manifest",
            Self::HashMismatch { .. } => "damaged",
            Self::Tokenizer { .. } => "tokenizer",
            Self::Runtime { .. } => "runtime",
            Self::Provider { .. } => "provider",
            Self::Session { .. } => "session",
            Self::Shape { .. } => "shape",
            Self::SelfTest { .. } => "self_test",
            Self::Run { .. } => "run",
            Self::Several(_) => "several",
        }
    }

    /// Whether the same files may load another time: memory was short, a disk or a device did not
    /// answer. What the files themselves say stays as it is.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Unreadable { .. }
            | Self::Runtime { .. }
            | Self::Provider { .. }
            | Self::Session { .. }
            | Self::Run { .. } => true,
            Self::ModelMissing { .. }
            | Self::Manifest { .. }
            | Self::HashMismatch { .. }
            | Self::Tokenizer { .. }
            | Self::Shape { .. }
            | Self::SelfTest { .. } => false,
            Self::Several(problems) => problems.iter().all(Self::may_pass),
        }
    }

    /// The file or folder that the error is about, if it is about one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::ModelMissing { path }
            | Self::Unreadable { path, .. }
            | Self::Manifest { path, .. }
            | Self::HashMismatch { file: path, .. }
            | Self::Tokenizer { path, .. }
            | Self::Runtime { path, .. }
            | Self::Session { path, .. }
            | Self::Shape { path, .. }
            | Self::SelfTest { path, .. } => Some(path),
            Self::Provider { .. } | Self::Run { .. } => None,
            Self::Several(problems) => problems.first().and_then(Self::path),
        }
    }
}

/// One per line, or on the same line when it is the only one.
struct Listed<'a, T>(&'a [T]);

impl<T: fmt::Display> fmt::Display for Listed<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [only] => write!(f, " {only}"),
            several => several.iter().try_for_each(|problem| write!(f, "\n  - {problem}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_in_the_files_does_not_pass_and_one_such_reason_is_enough() {
        let missing = || StudentError::ModelMissing { path: "a".into() };
        let session = || StudentError::Session { path: "a".into(), problem: "memory".to_owned() };
        let shape = StudentError::Shape { path: "a".into(), problems: Vec::new() };
        assert!(session().may_pass() && !missing().may_pass() && !shape.may_pass());
        assert!(StudentError::Several(vec![session(), session()]).may_pass());
        assert!(!StudentError::Several(vec![session(), missing()]).may_pass());
    }

    #[test]
    fn several_problems_are_listed_one_is_not() {
        let missing = |file: &str| StudentError::ModelMissing { path: file.into() };
        let one = StudentError::all(vec![missing("a")]).to_string();
        assert!(one.starts_with("no model: `a` does not exist"), "{one}");
        let two = StudentError::all(vec![missing("a"), missing("b")]).to_string();
        assert!(
            two.contains("\n  - no model: `a`") && two.contains("\n  - no model: `b`"),
            "{two}"
        );
    }
}
