//! A store of models under test: copies of the default one under other versions, good and bad, and the
//! link that says which is current.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test may stop there")]

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::{self, JoinHandle};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// How a model is bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bad {
    /// One byte of the network differs from what the manifest vouches for.
    Damaged,
    /// The manifest demands another label of one of its sentences.
    SelfTest,
    /// There is no tokenizer.
    Missing,
    /// A sound network with another output.
    Shape,
    /// Two observations have changed places.
    Observations,
}

impl Bad {
    pub const ALL: [Self; 5] =
        [Self::Damaged, Self::SelfTest, Self::Missing, Self::Shape, Self::Observations];

    /// As the metric names it.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Damaged => "damaged",
            Self::SelfTest => "self_test",
            Self::Missing => "missing",
            Self::Shape => "shape",
            Self::Observations => "manifest",
        }
    }
}

/// A folder of models with a link `current`.
pub struct ModelStore {
    folder: TempDir,
}

impl ModelStore {
    /// Empty, beside the build, so that models can be linked instead of copied.
    pub fn create() -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        Self { folder }
    }

    /// The link.
    pub fn current(&self) -> PathBuf {
        self.folder.path().join("current")
    }

    /// The folder of a version.
    pub fn folder(&self, version: &str) -> PathBuf {
        self.folder.path().join(version)
    }

    /// The default model under another version.
    pub fn good(&self, version: &str) {
        self.model(version, None);
    }

    /// The same, whose network comes through a pipe.
    pub fn held(&self, version: &str) -> HeldModel {
        self.good(version);
        let network = self.folder(version).join("model.onnx");
        fs::remove_file(&network).expect("the link");
        let made = Command::new("mkfifo").arg(&network).status().expect("mkfifo runs");
        assert!(made.success(), "mkfifo {}: {made}", network.display());
        let opened = move || fs::OpenOptions::new().write(true).open(&network).expect("the pipe");
        HeldModel { opened: thread::spawn(opened) }
    }

    /// The same, spoilt.
    pub fn bad(&self, version: &str, bad: Bad) {
        self.model(version, Some(bad));
    }

    /// Points `current` at a version, in one step, as `radstream promote` does.
    pub fn point_to(&self, version: &str) {
        let next = self.folder.path().join("next");
        std::os::unix::fs::symlink(version, &next).expect("a link");
        fs::rename(next, self.current()).expect("the link takes the place of the old one");
    }

    fn model(&self, version: &str, bad: Option<Bad>) {
        let source = shipped();
        let target = self.folder.path().join(version);
        fs::create_dir(&target).expect("a new version");
        let mut manifest: Value =
            serde_json::from_slice(&read(&source.join("manifest.json"))).expect("a manifest");
        manifest["version"] = json!(version);
        let mut network = None;
        match bad {
            Some(Bad::Damaged) => {
                let mut bytes = read(&source.join("model.onnx"));
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
                network = Some(bytes);
            }
            Some(Bad::Shape) => {
                let bytes = renamed(read(&source.join("model.onnx")), b"logits", b"logitz");
                let hash = Sha256::digest(&bytes);
                let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
                manifest["files"]["model.onnx"]["sha256"] = json!(hash);
                network = Some(bytes);
            }
            Some(Bad::SelfTest) => {
                let labels = manifest["self_test"][0]["labels"].as_object_mut().expect("labels");
                let other = if labels.get("fracture") == Some(&json!("positive")) {
                    "negative"
                } else {
                    "positive"
                };
                labels.insert("fracture".to_owned(), json!(other));
            }
            Some(Bad::Observations) => {
                manifest["observations"].as_array_mut().expect("observations").swap(4, 5);
            }
            Some(Bad::Missing) | None => {}
        }
        match network {
            Some(bytes) => fs::write(target.join("model.onnx"), bytes).expect("a network"),
            None => link(&source.join("model.onnx"), &target.join("model.onnx")),
        }
        if bad != Some(Bad::Missing) {
            link(&source.join("tokenizer.json"), &target.join("tokenizer.json"));
        }
        fs::write(target.join("manifest.json"), manifest.to_string()).expect("a manifest");
    }
}

/// A good model that nobody can finish loading until the test lets go of it.
pub struct HeldModel {
    /// A pipe can be opened for writing once somebody reads it.
    opened: JoinHandle<File>,
}

impl HeldModel {
    /// Whether somebody has begun to load it.
    pub fn is_loading(&self) -> bool {
        self.opened.is_finished()
    }

    /// Hands over the network.
    pub fn let_go(self) {
        let mut pipe = self.opened.join().expect("the pipe opens");
        let source = shipped().join("model.onnx");
        io::copy(&mut File::open(source).expect("the network"), &mut pipe).expect("somebody reads");
    }
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|problem| panic!("{}: {problem}", path.display()))
}

/// Hard links cost nothing; across file systems a copy does.
fn link(from: &Path, to: &Path) {
    fs::hard_link(from, to)
        .or_else(|_| fs::copy(from, to).map(drop))
        .unwrap_or_else(|problem| panic!("{}: {problem}", to.display()));
}

/// Every `from` becomes `to`, of the same length: names in a serialised network keep their places.
fn renamed(mut bytes: Vec<u8>, from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let places: Vec<usize> =
        (0..=bytes.len() - from.len()).filter(|&at| bytes[at..].starts_with(from)).collect();
    assert!(!places.is_empty(), "the network has no such name");
    for at in places {
        bytes[at..at + to.len()].copy_from_slice(to);
    }
    bytes
}

/// The model that ships.
fn shipped() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models/default")
}
