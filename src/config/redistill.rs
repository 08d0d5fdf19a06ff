//! Settings of the periodic job `radstream redistill`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The job that makes a new student from the distillation topic (`radstream redistill`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Redistill {
    /// Folder in which the job works: dataset, checkpoints, candidate, state. It holds report text
    /// (de-identified). Default "models/redistill".
    pub work: PathBuf,
    /// New samples without which nothing is done. 0 to 1000000000. Default 500.
    pub min_new_samples: u64,
    /// Days after which a sample leaves the dataset. 0 to 36500. Default 0: never. Not with a command of
    /// your own for the export.
    pub keep_days: u32,
    /// Command that exports the topic into {dataset}, as a list of words. Default []: this program's own
    /// `dataset export`.
    pub export: Vec<String>,
    /// Command that trains a student on {dataset} and writes its folder to {out}, with checkpoints in
    /// {work}; run where radstream runs. {config} is our configuration file, {gold} the gold sets of the
    /// gate (quoted, with commas): their texts must not be trained on. It sees PATH, HOME, PYTHON*,
    /// CUDA_*, OMP_*, HF_* and the like of our environment, and no secret of ours. Default: the training of
    /// this repository, from its root, with `distill` installed in .venv.
    pub train: Vec<String>,
}

impl Default for Redistill {
    fn default() -> Self {
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        Self {
            work: PathBuf::from("models/redistill"),
            min_new_samples: 500,
            keep_days: 0,
            export: Vec::new(),
            train: words(&[
                ".venv/bin/python",
                "-m",
                "radstream_distill",
                "make",
                "--config",
                "distill/configs/site.toml",
                "--out",
                "{out}",
                "--work",
                "{work}",
                "--set",
                "data.datasets=[\"{dataset}\"]",
                "--set",
                "data.held_out=[{gold}]",
            ]),
        }
    }
}
