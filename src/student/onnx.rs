//! The edge to ONNX Runtime: sessions, one batch in and scores out.

use std::path::Path;

use ort::environment::Environment;
use ort::ep;
use ort::error::ErrorCode;
use ort::session::Session as OrtSession;
use ort::session::builder::{GraphOptimizationLevel, PrepackedWeights};
use ort::value::{Outlet, TensorElementType, TensorRef, ValueType};

use super::manifest::Manifest;
use super::tokenize::Encoding;
use super::{Device, StudentError, evidence, runtime};
use crate::report::{OBSERVATIONS, STATUSES, Scored};

const INPUT_IDS: &str = "input_ids";
const ATTENTION_MASK: &str = "attention_mask";
const LOGITS: &str = "logits";
const EVIDENCE: &str = "evidence";

/// Opens `count` sessions on one model; the weights that a CPU session repacks are shared.
pub(super) fn open_sessions(
    library: &Path,
    model: &[u8],
    model_path: &Path,
    manifest: &Manifest,
    device: Device,
    count: usize,
) -> Result<Vec<Session>, StudentError> {
    let environment = runtime::environment(library)?;
    let weights = PrepackedWeights::new();
    let mut sessions = Vec::with_capacity(count);
    for _ in 0..count.max(1) {
        let inner = build(&environment, model, model_path, device, &weights)?;
        if sessions.is_empty() {
            let mut problems = shape_problems("input", inner.inputs(), &INPUTS);
            problems.extend(shape_problems("output", inner.outputs(), &OUTPUTS));
            if !problems.is_empty() {
                return Err(StudentError::Shape { path: model_path.to_path_buf(), problems });
            }
        }
        sessions.push(Session::new(inner, manifest));
    }
    Ok(sessions)
}

fn build(
    environment: &Environment,
    model: &[u8],
    model_path: &Path,
    device: Device,
    weights: &PrepackedWeights,
) -> Result<OrtSession, StudentError> {
    let failed = |error: ort::Error| match error.code() {
        // What the library says of the file, not of the machine.
        ErrorCode::InvalidProtobuf
        | ErrorCode::InvalidGraph
        | ErrorCode::InvalidArgument
        | ErrorCode::NotImplemented
        | ErrorCode::NoModel => StudentError::Shape {
            path: model_path.to_path_buf(),
            problems: vec![error.to_string()],
        },
        _ => StudentError::Session { path: model_path.to_path_buf(), problem: reason(&error) },
    };
    // One thread per session, no spinning: throughput comes from several sessions, and the cores
    // are shared with decoding. Memory patterns are for fixed shapes; ours vary.
    let builder = || -> ort::Result<_> {
        Ok(OrtSession::builder(environment)?
            .with_optimization_level(GraphOptimizationLevel::All)?
            .with_intra_threads(1)?
            .with_inter_threads(1)?
            .with_intra_op_spinning(false)?
            .with_inter_op_spinning(false)?
            .with_memory_pattern(false)?)
    };
    let builder = builder().map_err(failed)?;
    let mut builder = match device {
        Device::Cpu => builder.with_prepacked_weights(weights).map_err(|e| failed(e.into()))?,
        // Without `error_on_failure` a provider that cannot be loaded is silently left out.
        Device::Cuda { device_id } => builder
            .with_execution_providers([ep::CUDA::default()
                .with_device_id(device_id)
                .build()
                .error_on_failure()])
            .map_err(|error| StudentError::Provider {
                provider: "CUDA",
                device_id,
                problem: reason(&error),
            })?,
    };
    builder.commit_from_memory(model).map_err(|error| match device {
        Device::Cpu => failed(error),
        Device::Cuda { device_id } => {
            StudentError::Provider { provider: "CUDA", device_id, problem: reason(&error) }
        }
    })
}

/// ONNX Runtime's message, to stand in a sentence of ours.
fn reason(error: &dyn std::error::Error) -> String {
    error.to_string().trim_end().trim_end_matches('.').to_owned()
}

/// An input or output that the model must have; -1 is a dimension that varies.
struct Slot {
    name: &'static str,
    element: TensorElementType,
    shape: &'static [i64],
}

const INPUTS: [Slot; 2] = [
    Slot { name: INPUT_IDS, element: TensorElementType::Int64, shape: &[-1, -1] },
    Slot { name: ATTENTION_MASK, element: TensorElementType::Int64, shape: &[-1, -1] },
];
const OUTPUTS: [Slot; 2] = [
    Slot { name: LOGITS, element: TensorElementType::Float32, shape: &[-1, 13, 4] },
    Slot { name: EVIDENCE, element: TensorElementType::Float32, shape: &[-1, 13, -1] },
];

fn shape_problems(kind: &str, found: &[Outlet], wanted: &[Slot]) -> Vec<String> {
    let mut problems = Vec::new();
    for slot in wanted {
        let Some(outlet) = found.iter().find(|outlet| outlet.name() == slot.name) else {
            let names: Vec<&str> = found.iter().map(Outlet::name).collect();
            problems.push(format!("no {kind} `{}` among [{}]", slot.name, names.join(", ")));
            continue;
        };
        let fits = match outlet.dtype() {
            ValueType::Tensor { ty, shape, .. } => {
                // Exporters may leave a fixed dimension open; a fixed one must be the right one.
                *ty == slot.element
                    && shape.len() == slot.shape.len()
                    && shape.iter().zip(slot.shape).all(|(got, want)| got == want || *got == -1)
            }
            _ => false,
        };
        if !fits {
            problems.push(format!(
                "{kind} `{}` is {}, expected Tensor<{}> of shape {:?}",
                slot.name,
                outlet.dtype(),
                slot.element,
                slot.shape
            ));
        }
    }
    if kind == "input" {
        for outlet in found.iter().filter(|o| wanted.iter().all(|slot| slot.name != o.name())) {
            problems.push(format!("unknown input `{}`", outlet.name()));
        }
    }
    problems
}

/// One ONNX session for one thread, with its buffers.
pub struct Session {
    inner: OrtSession,
    temperatures: [f32; OBSERVATIONS],
    pad: i64,
    ids: Vec<i64>,
    mask: Vec<i64>,
    sums: Vec<f32>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}

impl Session {
    fn new(inner: OrtSession, manifest: &Manifest) -> Self {
        Self {
            inner,
            temperatures: manifest.temperatures,
            pad: i64::from(manifest.pad_token_id),
            ids: Vec::new(),
            mask: Vec::new(),
            sums: Vec::new(),
        }
    }

    /// Scores a batch, each text padded to `bucket` tokens. One [`Scored`] per text, in order.
    ///
    /// # Errors
    /// [`StudentError::Run`] when a text is longer than `bucket`, the runtime fails, or its answer
    /// is not a number.
    pub fn run(&mut self, batch: &[&Encoding], bucket: usize) -> Result<Vec<Scored>, StudentError> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        self.pad_batch(batch, bucket)?;
        let shape = [batch.len(), bucket];
        let outputs = self
            .inner
            .run(ort::inputs![
                INPUT_IDS => TensorRef::from_array_view((shape, self.ids.as_slice())).map_err(run_error)?,
                ATTENTION_MASK => TensorRef::from_array_view((shape, self.mask.as_slice())).map_err(run_error)?,
            ])
            .map_err(run_error)?;
        let rows = batch.len();
        let logits = tensor(&outputs, LOGITS, rows * OBSERVATIONS * STATUSES)?;
        let weights = tensor(&outputs, EVIDENCE, rows * OBSERVATIONS * bucket)?;

        let mut scored = Vec::with_capacity(rows);
        let rows = logits.chunks_exact(OBSERVATIONS * STATUSES);
        let rows = rows.zip(weights.chunks_exact(OBSERVATIONS * bucket));
        for (encoding, (logits, weights)) in batch.iter().zip(rows) {
            let probabilities = probabilities(logits, &self.temperatures).ok_or_else(|| {
                StudentError::Run { problem: "the model's answer is not a number".to_owned() }
            })?;
            let mut evidence = [None; OBSERVATIONS];
            let cells = evidence.iter_mut().zip(&probabilities).zip(weights.chunks_exact(bucket));
            for ((evidence, row), weights) in cells {
                // Column 0 is `not_mentioned`: nothing to point at.
                if argmax(row) != 0 {
                    *evidence = evidence::strongest(
                        weights,
                        encoding.sentence_of(),
                        encoding.sentences(),
                        &mut self.sums,
                    );
                }
            }
            scored.push(Scored { probabilities, evidence, truncated: encoding.truncated() });
        }
        Ok(scored)
    }

    fn pad_batch(&mut self, batch: &[&Encoding], bucket: usize) -> Result<(), StudentError> {
        self.ids.clear();
        self.mask.clear();
        for (row, encoding) in (1..).zip(batch) {
            let tokens = encoding.len();
            if tokens > bucket {
                let problem = format!("a text of {tokens} tokens does not fit bucket {bucket}");
                return Err(StudentError::Run { problem });
            }
            self.ids.extend(encoding.ids().iter().map(|id| i64::from(*id)));
            self.ids.resize(row * bucket, self.pad);
            self.mask.resize(self.mask.len() + tokens, 1);
            self.mask.resize(row * bucket, 0);
        }
        Ok(())
    }
}

fn run_error(error: ort::Error) -> StudentError {
    StudentError::Run { problem: error.to_string() }
}

fn tensor<'o>(
    outputs: &'o ort::session::SessionOutputs<'_>,
    name: &str,
    values: usize,
) -> Result<&'o [f32], StudentError> {
    let output = outputs.get(name).ok_or_else(|| StudentError::Run {
        problem: format!("the model gave no output `{name}`"),
    })?;
    let (_, data) = output.try_extract_tensor::<f32>().map_err(run_error)?;
    if data.len() == values {
        return Ok(data);
    }
    let got = data.len();
    Err(StudentError::Run { problem: format!("output `{name}` has {got} values, not {values}") })
}

/// Calibrated probabilities of one report: a softmax per observation over `logits / temperature`.
/// `None` when a logit is not finite.
fn probabilities(
    logits: &[f32],
    temperatures: &[f32; OBSERVATIONS],
) -> Option<[[f32; STATUSES]; OBSERVATIONS]> {
    let mut out = [[0.0; STATUSES]; OBSERVATIONS];
    let rows = out.iter_mut().zip(logits.chunks_exact(STATUSES)).zip(temperatures);
    for ((out, logits), temperature) in rows {
        if !logits.iter().all(|logit| logit.is_finite()) {
            return None;
        }
        let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let mut sum = 0.0;
        for (out, logit) in out.iter_mut().zip(logits) {
            *out = ((logit - largest) / temperature).exp();
            sum += *out;
        }
        for out in out {
            *out /= sum;
        }
    }
    Some(out)
}

/// Column of the largest value; of equals the first.
pub(super) fn argmax(row: &[f32; STATUSES]) -> usize {
    let mut best = (0, f32::NEG_INFINITY);
    for (column, value) in row.iter().enumerate() {
        if *value > best.1 {
            best = (column, *value);
        }
    }
    best.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_temperature_of_one_gives_the_plain_softmax() {
        let mut logits = [0.0_f32; OBSERVATIONS * STATUSES];
        logits[..4].copy_from_slice(&[1.0, 2.0, 3.0, 4.0]);
        let out = probabilities(&logits, &[1.0; OBSERVATIONS]).unwrap();
        for (got, want) in out[0].iter().zip([0.032_058_6, 0.087_144_3, 0.236_882_8, 0.643_914_3]) {
            assert!((got - want).abs() < 1e-6, "{got} {want}");
        }
        assert_eq!(out[1], [0.25; 4]);
    }

    #[test]
    fn each_observation_has_its_own_temperature_and_order_is_kept() {
        let logits = [2.0_f32, 0.0, 1.0, -1.0].repeat(OBSERVATIONS);
        let mut temperatures = [1.0; OBSERVATIONS];
        temperatures[1] = 4.0;
        temperatures[2] = 0.5;
        let out = probabilities(&logits, &temperatures).unwrap();
        assert!(out[1][0] < out[0][0] && out[0][0] < out[2][0]);
        // exp(2 / 4) / (exp(0.5) + exp(0) + exp(0.25) + exp(-0.25))
        assert!((out[1][0] - 0.349_932).abs() < 1e-5, "{}", out[1][0]);
        for row in &out[..3] {
            assert_eq!(argmax(row), 0);
            assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        }
    }

    #[test]
    fn extreme_logits_stay_probabilities_and_broken_ones_are_refused() {
        let mut logits = [0.0_f32; OBSERVATIONS * STATUSES];
        logits[0] = 3e38;
        logits[1] = -3e38;
        let out = probabilities(&logits, &[0.01; OBSERVATIONS]).unwrap();
        assert!(out.iter().flatten().all(|p| (0.0..=1.0).contains(p)));
        for broken in [f32::NAN, f32::INFINITY] {
            logits[7] = broken;
            assert_eq!(probabilities(&logits, &[1.0; OBSERVATIONS]), None);
        }
    }
}
