//! Where labels come from: files, standard input, or a labeller that reads the reference's texts.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::{EvaluateArgs, EvaluateFailure, LabelerChoice, is_dash};
use crate::command::labeler;
use crate::evaluate::judge::System;
use crate::evaluate::pairing::{Answers, Gold};
use crate::evaluate::read::{self, Reading, Sheet};
use crate::evaluate::verdict::Provenance;
use crate::publish::hex;
use crate::report::{ReportText, Scored};
use crate::student::labeler::{LabelError, Labeler};

/// Largest label file, in bytes: it is held in memory.
const MAX_FILE: u64 = 1 << 30;
/// Reports labelled in one call.
const CHUNK: usize = 512;

/// A label file that was read.
pub(in crate::command) struct LabelFile {
    pub(in crate::command) from: Provenance,
    pub(in crate::command) sheet: Sheet,
}

/// Reads a label file, or standard input.
pub(in crate::command) fn read(
    path: &Path,
    reading: &Reading,
    stdin: &mut dyn Read,
) -> Result<LabelFile, EvaluateFailure> {
    let unreadable = |source| EvaluateFailure::Input { path: spoken(path), source };
    let mut bytes = Vec::new();
    let mut opened;
    let reader: &mut dyn Read = if is_dash(path) {
        stdin
    } else {
        opened = File::open(path).map_err(unreadable)?;
        &mut opened
    };
    reader.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_FILE {
        let source = io::Error::new(io::ErrorKind::FileTooLarge, "larger than 1 GiB");
        return Err(unreadable(source));
    }
    let sheet = read::read(&bytes, reading)
        .map_err(|problem| EvaluateFailure::Format { path: spoken(path), problem })?;
    let name = match path.file_name() {
        _ if is_dash(path) => "standard input".to_owned(),
        Some(name) => name.to_string_lossy().into_owned(),
        None => path.display().to_string(),
    };
    let sha256 = hex(&Sha256::digest(&bytes));
    Ok(LabelFile { from: Provenance { name, sha256 }, sheet })
}

/// A path as messages name it.
pub(super) fn spoken(path: &Path) -> PathBuf {
    if is_dash(path) { "standard input".into() } else { path.to_owned() }
}

/// The answers of a label file.
pub(super) fn system(
    args: &EvaluateArgs,
    path: &Path,
    gold: &Gold,
    reading: &Reading,
    stdin: &mut dyn Read,
) -> Result<System, EvaluateFailure> {
    let LabelFile { from, sheet } = read(path, reading, stdin)?;
    let answers = gold
        .pair(&sheet, args.match_by, args.derive_no_finding)
        .map_err(|problem| EvaluateFailure::Pairing { path: spoken(path), problem })?;
    Ok(System { from, answers })
}

/// All systems to judge; what the others are compared with comes last.
pub(super) fn systems(
    args: &EvaluateArgs,
    gold: &Gold,
    reading: &Reading,
    stdin: &mut dyn Read,
) -> Result<Vec<System>, EvaluateFailure> {
    let mut from_file = |path: &Path| system(args, path, gold, reading, stdin);
    let mut systems = Vec::new();
    for path in &args.predictions {
        systems.push(from_file(path)?);
    }
    let model = args.model.as_deref();
    let judges_student = systems.is_empty() && args.labeler == LabelerChoice::Student;
    if systems.is_empty() {
        systems.push(labelled(args, (args.labeler, model), gold)?);
    }
    match args.versus.as_deref() {
        None => {}
        Some("rules") => systems.push(labelled(args, (LabelerChoice::Rules, None), gold)?),
        Some("student") => {
            if judges_student && model.is_none() {
                return Err(EvaluateFailure::Usage(String::from(
                    "--versus student compares the student that ships with itself; give --model, --predictions or --labeler rules",
                )));
            }
            // A student that is judged is held against the one that ships.
            let model = model.filter(|_| !judges_student);
            systems.push(labelled(args, (LabelerChoice::Student, model), gold)?);
        }
        Some(path) if Path::new(path).is_dir() => {
            systems.push(labelled(args, (LabelerChoice::Student, Some(Path::new(path))), gold)?);
        }
        Some(path) => systems.push(from_file(Path::new(path))?),
    }
    told_apart(&mut systems);
    Ok(systems)
}

/// Numbers the systems of one name: tables and comparisons go by name.
fn told_apart(systems: &mut [System]) {
    let names: Vec<String> = systems.iter().map(|system| system.from.name.clone()).collect();
    for (place, system) in systems.iter_mut().enumerate() {
        let before = names.iter().take(place).filter(|name| **name == system.from.name).count();
        if before > 0 {
            system.from.name = format!("{} ({})", system.from.name, before + 1);
        }
    }
}

fn labelled(
    args: &EvaluateArgs,
    (choice, model): (LabelerChoice, Option<&Path>),
    gold: &Gold,
) -> Result<System, EvaluateFailure> {
    if gold.texts.iter().all(Option::is_none) {
        return Err(EvaluateFailure::Usage(format!(
            "{} holds no report text to label (findings, impression or text); give --predictions",
            args.gold.display()
        )));
    }
    let mut labeler = labeler(choice, model)?;
    let answers = label(labeler.as_mut(), &gold.texts)?;
    let model = labeler.model();
    let from = Provenance {
        name: format!("{} {}", model.name, model.version),
        sha256: model.sha256.clone(),
    };
    Ok(System { from, answers })
}

/// Labels the reference's texts; a report without text is unanswered.
pub(in crate::command) fn label(
    labeler: &mut dyn Labeler,
    texts: &[Option<ReportText>],
) -> Result<Answers, LabelError> {
    let mut scored: Vec<Option<Scored>> = Vec::with_capacity(texts.len());
    for chunk in texts.chunks(CHUNK) {
        let given: Vec<ReportText> = chunk.iter().flatten().cloned().collect();
        let results = labeler.label(&given)?;
        if results.len() != given.len() {
            return Err(LabelError::Count { expected: given.len(), got: results.len() });
        }
        let mut results = results.into_iter();
        scored.extend(chunk.iter().map(|text| text.as_ref().and_then(|_| results.next())));
    }
    Ok(Gold::answers(&scored))
}
