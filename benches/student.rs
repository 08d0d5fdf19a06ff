//! The student alone: how fast one thread tokenises, how fast bare sessions compute prepared
//! batches at several token budgets, and what the bulk labeller makes of both together.
//!
//! `cargo bench --bench student`; needs `models/default` and ONNX Runtime. Figures go with the
//! machine: compare within one run. Beside reports per second stands the processor time of one
//! report (Linux only), which means something on a busy machine too.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark may panic")]
#![allow(clippy::cast_precision_loss, reason = "counts are small")]

use std::io::{self, Write};
use std::thread;
use std::time::{Duration, Instant};

use radstream::report::{LabelledSection, Phi, ReportText, SectionKind};
use radstream::student::labeler::Labeler;
use radstream::student::{Batch, Encoding, OnnxLabeler, Student, StudentOptions};
use serde_json::Value;

/// At least this long per figure.
const TIME: Duration = Duration::from_secs(4);

fn main() -> io::Result<()> {
    let mut out = io::stdout().lock();
    let texts = corpus();
    let cores = thread::available_parallelism()?.get();
    let loading = Instant::now();
    let student = load(1_024);
    let loaded = loading.elapsed();
    let model = student.identity();
    writeln!(out, "model {} {}, {cores} cores", model.name, model.version)?;
    writeln!(out, "{:<44}{loaded:>12.0?}", "load, check and self-test")?;

    let mut encoder = student.encoder();
    let encodings: Vec<Encoding> = texts.iter().map(|text| encoder.encode(text)).collect();
    let tokens: usize = encodings.iter().map(Encoding::len).sum();
    let mean = tokens as f64 / texts.len() as f64;
    writeln!(out, "{:<44}{mean:>12.1}", "tokens per report")?;
    let tokenising = rate(texts.len(), || {
        for text in &texts {
            std::hint::black_box(encoder.encode(text));
        }
    });
    writeln!(out, "{:<44}{tokenising}", "tokenise, 1 thread, reports/s")?;
    let mut labeler = OnnxLabeler::new(student);
    let bulk = rate(texts.len(), || {
        labeler.label(&texts).unwrap();
    });
    writeln!(out, "{:<44}{:>12.0}", "bulk labeller, text to scores, reports/s", bulk.per_second)?;
    if let Some(peak) = peak_memory() {
        writeln!(out, "{:<44}{peak:>12}", "peak memory of the process so far")?;
    }
    drop(labeler);

    for budget in [128, 256, 512, 1_024, 2_048, 4_096] {
        let mut student = load(budget);
        let batches = batches(&student, &encodings);
        let padded: usize = batches.iter().map(Batch::padded_tokens).sum();
        let padding = 100.0 * (1.0 - tokens as f64 / padded as f64);
        let sessions = student.take_sessions();
        let count = sessions.len();
        let bare: Vec<Rate> = thread::scope(|scope| {
            let run = |mut session: radstream::student::Session| {
                let batches = &batches;
                scope.spawn(move || {
                    rate(encodings_of(batches), || {
                        for batch in batches {
                            session.run(&batch.items, batch.bucket).unwrap();
                        }
                    })
                })
            };
            let threads: Vec<_> = sessions.into_iter().map(run).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let bare = Rate {
            per_second: bare.iter().map(|rate| rate.per_second).sum(),
            cpu_micros: bare[0].cpu_micros,
        };
        let name = format!("{count} bare sessions, {budget} tokens, reports/s");
        writeln!(out, "{name:<44}{bare}   padding {padding:.1} %")?;
    }

    Ok(())
}

fn load(batch_tokens: usize) -> Student {
    let options = StudentOptions { batch_tokens, ..StudentOptions::new("models/default") };
    Student::load(&options).unwrap_or_else(|error| panic!("{error}"))
}

fn corpus() -> Vec<ReportText> {
    let corpus = std::fs::read_to_string("distill/corpus/reports.jsonl").unwrap();
    let section = |line: &Value, kind, key: &str| {
        let text = line[key].as_str().unwrap();
        (!text.is_empty()).then(|| LabelledSection { kind, text: Phi::from(text) })
    };
    let read = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        let findings = section(&line, SectionKind::Findings, "findings");
        let impression = section(&line, SectionKind::Impression, "impression");
        ReportText { sections: findings.into_iter().chain(impression).collect(), present: vec![] }
    };
    corpus.lines().map(read).collect()
}

fn batches<'e>(student: &Student, encodings: &'e [Encoding]) -> Vec<Batch<&'e Encoding>> {
    let now = Instant::now();
    let mut buckets = student.buckets(Duration::MAX);
    for encoding in encodings {
        buckets.push(encoding, encoding.len(), now);
    }
    std::iter::from_fn(|| buckets.pop(now)).collect()
}

fn encodings_of(batches: &[Batch<&Encoding>]) -> usize {
    batches.iter().map(|batch| batch.items.len()).sum()
}

/// How fast a job is.
struct Rate {
    per_second: f64,
    /// Processor time of the calling thread per item.
    cpu_micros: Option<f64>,
}

impl std::fmt::Display for Rate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:>12.0}", self.per_second)?;
        self.cpu_micros.map_or(Ok(()), |micros| write!(f, "   {micros:>8.1} us CPU each"))
    }
}

/// Rate of a job of `items` items, repeated after one warm-up.
fn rate(items: usize, mut job: impl FnMut()) -> Rate {
    job();
    let (start, cpu) = (Instant::now(), cpu_time());
    let mut done = 0;
    while start.elapsed() < TIME {
        job();
        done += items;
    }
    let seconds = start.elapsed().as_secs_f64();
    let cpu = cpu_time().zip(cpu).map(|(now, then)| (now - then).as_secs_f64());
    Rate {
        per_second: done as f64 / seconds,
        cpu_micros: cpu.map(|seconds| 1e6 * seconds / done as f64),
    }
}

/// Processor time of this thread so far.
fn cpu_time() -> Option<Duration> {
    let times = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    times.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}

fn peak_memory() -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM"))?;
    Some(line.split_whitespace().skip(1).collect::<Vec<_>>().join(" "))
}
