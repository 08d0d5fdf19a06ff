//! Challengers made of the model that ships, each wrong in one way.
//!
//! The network's weights are changed where they stand in `model.onnx`: the file is a protobuf message,
//! whose few fields that matter are walked here (onnx.proto: ModelProto.graph = 7,
//! GraphProto.initializer = 5, TensorProto.name = 8, raw_data = 9).

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    dead_code,
    reason = "a test ends at what it did not expect; not every test makes every challenger"
)]

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

pub(crate) const SHIPPED: &str = "models/default";
/// Asserted statuses in the order of the network's columns.
const ASSERTED: usize = 3;
const UNCERTAIN: usize = 2;

/// A copy of the model that ships.
pub(crate) struct Model(TempDir);

impl Model {
    pub(crate) fn shipped() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for file in ["manifest.json", "model.onnx", "tokenizer.json", "README.md"] {
            fs::copy(Path::new(SHIPPED).join(file), folder.path().join(file)).unwrap();
        }
        Self(folder)
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    pub(crate) fn manifest(&self, change: impl FnOnce(&mut Value)) -> &Self {
        let path = self.file("manifest.json");
        let mut manifest = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        change(&mut manifest);
        fs::write(path, serde_json::to_vec_pretty(&manifest).unwrap()).unwrap();
        self
    }

    /// Calls it another version.
    pub(crate) fn named(&self, version: &str) -> &Self {
        self.manifest(|manifest| manifest["version"] = version.into())
    }

    /// Changes weights by the name of their tensor, and vouches for the result.
    pub(crate) fn weights(&self, change: impl Fn(&str, &mut [f32])) -> &Self {
        let path = self.file("model.onnx");
        let mut bytes = fs::read(&path).unwrap();
        for (name, place) in float_tensors(&bytes) {
            let raw = &mut bytes[place];
            let mut values: Vec<f32> =
                raw.chunks_exact(4).map(|c| f32::from_le_bytes(c.try_into().unwrap())).collect();
            change(&name, &mut values);
            for (chunk, value) in raw.chunks_exact_mut(4).zip(values) {
                chunk.copy_from_slice(&value.to_le_bytes());
            }
        }
        let digest = Sha256::digest(&bytes);
        let sha256: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        fs::write(path, bytes).unwrap();
        self.manifest(|manifest| manifest["files"]["model.onnx"]["sha256"] = sha256.into())
    }

    /// (a) Weights of chance, as before any training.
    pub(crate) fn untrained() -> Self {
        let model = Self::shipped();
        model.named("untrained").weights(|name, values| {
            if values.len() < 1_000 {
                return;
            }
            let mut state = name.bytes().fold(17_u64, |s, b| s.wrapping_mul(31) + u64::from(b));
            for value in values {
                // A linear congruential generator will do: nobody is fooled by these weights.
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let share = f32::from(u16::try_from(state >> 48).unwrap()) / 65_535.0;
                *value = (share - 0.5) * 0.2;
            }
        });
        model
    }

    /// (b) Each observation answers for its neighbour, as if labels were shuffled in training.
    pub(crate) fn shuffled() -> Self {
        let model = Self::shipped();
        model.named("shuffled").weights(|name, values| {
            if name.starts_with("pool_judge") || name.starts_with("pool_attend") {
                for row in values.chunks_exact_mut(13 * ASSERTED) {
                    row.rotate_right(ASSERTED);
                }
            }
        });
        model
    }

    /// (c) Sure of everything: the temperatures are a fifth of what they should be.
    pub(crate) fn overconfident() -> Self {
        let model = Self::shipped();
        model.named("overconfident").manifest(|manifest| {
            for temperature in manifest["temperatures"].as_array_mut().unwrap() {
                *temperature = (temperature.as_f64().unwrap() * 0.2).into();
            }
        });
        model
    }

    /// (d) Same answers at several times the cost: every report is padded to the longest.
    pub(crate) fn slow() -> Self {
        let model = Self::shipped();
        model.named("slow").manifest(|manifest| {
            manifest["length_buckets"] = serde_json::json!([512]);
        });
        model
    }

    /// Never hedges. Its self-test holds the sentences that it gets right.
    pub(crate) fn blind_to_doubt() -> Self {
        let model = Self::shipped();
        model
            .named("blind")
            .weights(|name, values| {
                if name == "pool_judge_bias" {
                    for observation in values.chunks_exact_mut(ASSERTED) {
                        observation[UNCERTAIN] = -100.0;
                    }
                }
            })
            .manifest(|manifest| {
                manifest["self_test"].as_array_mut().unwrap().retain(|case| {
                    case["labels"].as_object().unwrap().values().all(|s| s != "uncertain")
                });
            });
        model
    }
}

/// Places of the raw values of the float tensors with a name.
fn float_tensors(bytes: &[u8]) -> BTreeMap<String, Range<usize>> {
    let mut found = BTreeMap::new();
    for (_, graph) in fields(bytes, 0..bytes.len()).into_iter().filter(|(number, _)| *number == 7) {
        let initializers = fields(bytes, graph).into_iter().filter(|(number, _)| *number == 5);
        for (_, tensor) in initializers {
            let parts = fields(bytes, tensor);
            let part = |wanted| parts.iter().find(|(n, _)| *n == wanted).map(|(_, r)| r.clone());
            let (Some(name), Some(raw)) = (part(8), part(9)) else { continue };
            let name = String::from_utf8(bytes[name].to_vec()).unwrap();
            // Integers are constants of shape; the floats that matter are named in words.
            if !name.starts_with("int_") && name != "pad_status" {
                found.insert(name, raw);
            }
        }
    }
    assert!(found.contains_key("pool_judge_weight"), "the network's names have changed");
    found
}

/// Fields with a length (wire type 2) of a message: number and place. Others are skipped.
fn fields(bytes: &[u8], message: Range<usize>) -> Vec<(u64, Range<usize>)> {
    let mut found = Vec::new();
    let mut at = message.start;
    let varint = |at: &mut usize| {
        let (mut value, mut shift) = (0_u64, 0);
        loop {
            let byte = bytes[*at];
            *at += 1;
            value |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                return value;
            }
        }
    };
    while at < message.end {
        let tag = varint(&mut at);
        match tag & 7 {
            0 => drop(varint(&mut at)),
            1 => at += 8,
            2 => {
                let length = usize::try_from(varint(&mut at)).unwrap();
                found.push((tag >> 3, at..at + length));
                at += length;
            }
            5 => at += 4,
            other => panic!("wire type {other}"),
        }
    }
    found
}
