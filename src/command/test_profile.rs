//! `radstream test-profile`: does a source profile read its messages as expected?
//!
//! A profile's test is its folder: the profile, messages, and beside each message what is expected of
//! it ([`expectation`]).

mod expectation;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use similar::TextDiff;

use self::expectation::Expectation;
use super::exit;
use crate::config::Problems;
use crate::config::profiles::{self, PROFILE_FILE};
use crate::decode::{DecodeOptions, SourceProfile, SourceProfiles};

/// What the name of an expectation ends with.
const EXPECTED: &str = ".expected.toml";

/// Arguments of `radstream test-profile`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  radstream test-profile config/profiles/general-hospital
  radstream test-profile config/profiles/*
  radstream test-profile --update config/profiles/general-hospital

A folder holds profile.toml (or one NAME.toml), messages (*.hl7, *.json, any other file) and beside
each message what is expected of it: a1.hl7 and a1.expected.toml. An expectation holds, per report,
outcome, profile, key, status, time, warnings and the sections that are labelled. Write it by hand, or
let --update write it and read what it wrote.

Only this profile applies; everything else is at its default, but that messages marked as test (MSH-11)
are read like others. Expectations and differences hold report text and identifiers: use messages that
you made up.

Exit codes:
  0 all as expected, or written   64 usage   65 something differs   66 the folder holds no message
  74 an expectation or the output cannot be written   78 the profile is wrong")]
pub struct TestProfileArgs {
    /// Folders to test.
    #[arg(value_name = "DIR", required = true)]
    pub folders: Vec<PathBuf>,
    /// Write what was read as the new expectations.
    #[arg(long)]
    pub update: bool,
}

/// Why a folder cannot be tested.
#[derive(Debug, thiserror::Error)]
enum TestError {
    #[error("{0}")]
    Profile(#[from] Problems),
    #[error("{}: {problem}; {remedy}", folder.display())]
    Folder { folder: PathBuf, problem: String, remedy: &'static str },
    #[error("{} cannot be read: {problem}", path.display())]
    Read { path: PathBuf, problem: io::Error },
    #[error("{} cannot be written: {problem}", path.display())]
    Write { path: PathBuf, problem: io::Error },
    #[error("the output cannot be written: {0}")]
    Output(#[from] io::Error),
}

impl TestError {
    const fn exit_code(&self) -> u8 {
        match self {
            Self::Profile(_) => exit::CONFIGURATION,
            Self::Folder { .. } | Self::Read { .. } => exit::NO_INPUT,
            Self::Write { .. } | Self::Output(_) => exit::IO,
        }
    }
}

/// Tests every folder; gives the exit code: of the first that is wrong, else 0.
pub fn run(args: &TestProfileArgs, stdout: &mut dyn Write, stderr: &mut dyn Write) -> u8 {
    let mut code = exit::OK;
    for folder in &args.folders {
        let outcome = match test(folder, args.update, stdout) {
            Ok(true) => exit::OK,
            Ok(false) => exit::DATA,
            Err(error) => {
                // Nothing can be said when standard error is closed.
                drop(writeln!(stderr, "radstream: {error}"));
                error.exit_code()
            }
        };
        if code == exit::OK {
            code = outcome;
        }
    }
    code
}

/// Tests one folder. True when all is as expected.
fn test(folder: &Path, update: bool, out: &mut dyn Write) -> Result<bool, TestError> {
    let content = Content::of(folder)?;
    let profile = profiles::read(&content.profile_name, &content.profile)?;
    let options = options(&profile);
    writeln!(out, "{}: profile {}", folder.display(), profile.name)?;
    let mut failed = 0;
    for (name, message) in &content.messages {
        let payload = fs::read(message).map_err(|problem| unreadable(message, problem))?;
        let actual = Expectation::of(&payload, &options);
        let file = folder.join(format!("{name}{EXPECTED}"));
        let passed = if update {
            write_expectation(&file, message, &actual, out)?
        } else {
            compare(&file, message, &actual, out)?
        };
        failed += usize::from(!passed);
        if !actual.is_read_by(&profile.name) {
            writeln!(out, "    ! not read by this profile: its sender is another one")?;
        }
    }
    for name in &content.orphans {
        failed += 1;
        writeln!(out, "  ✗ {name}{EXPECTED}\n    no message {name}.* stands beside it")?;
    }
    let total = content.messages.len() + content.orphans.len();
    writeln!(out, "  {} of {total} as expected", total - failed)?;
    out.flush()?;
    Ok(failed == 0)
}

fn options(profile: &SourceProfile) -> DecodeOptions {
    DecodeOptions {
        profiles: SourceProfiles::new(vec![profile.clone()]),
        accept_test_messages: true,
        ..DecodeOptions::default()
    }
}

fn unreadable(path: &Path, problem: io::Error) -> TestError {
    TestError::Read { path: path.to_owned(), problem }
}

/// What a folder holds.
struct Content {
    profile: PathBuf,
    profile_name: String,
    /// By name without ending.
    messages: BTreeMap<String, PathBuf>,
    /// Expectations without a message.
    orphans: Vec<String>,
}

impl Content {
    fn of(folder: &Path) -> Result<Self, TestError> {
        let wrong = |problem: String, remedy| TestError::Folder {
            folder: folder.to_owned(),
            problem,
            remedy,
        };
        let mut profiles = Vec::new();
        let mut messages = BTreeMap::new();
        let mut expectations = BTreeSet::new();
        let entries = fs::read_dir(folder).map_err(|problem| unreadable(folder, problem))?;
        for entry in entries {
            let path = entry.map_err(|problem| unreadable(folder, problem))?.path();
            let Some(file) = path.file_name().and_then(|name| name.to_str()) else { continue };
            if file.starts_with('.') || file.ends_with('~') || path.is_dir() {
                continue;
            }
            if let Some(name) = file.strip_suffix(EXPECTED) {
                expectations.insert(name.to_owned());
            } else if file.ends_with(".toml") {
                profiles.push(path.clone());
            } else if !file.to_ascii_lowercase().ends_with(".md") {
                let name = file.rsplit_once('.').map_or(file, |(name, _)| name).to_owned();
                if let Some(other) = messages.insert(name, path.clone()) {
                    return Err(wrong(
                        format!("{file} and {} would share one expectation", other.display()),
                        "give one of them another name",
                    ));
                }
            }
        }
        if messages.is_empty() {
            return Err(wrong("it holds no message".to_owned(), "put one into it, such as a1.hl7"));
        }
        let own = folder.join(PROFILE_FILE);
        let profile = match profiles.as_slice() {
            _ if own.is_file() => own,
            [only] => only.clone(),
            _ => {
                let remedy = "name the profile profile.toml";
                return Err(wrong(format!("it holds {} profiles", profiles.len()), remedy));
            }
        };
        let named_by = if profile.ends_with(PROFILE_FILE) {
            folder.canonicalize().map_err(|problem| unreadable(folder, problem))?
        } else {
            profile.with_extension("")
        };
        let profile_name = named_by
            .file_name()
            .map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let orphans =
            expectations.into_iter().filter(|name| !messages.contains_key(name)).collect();
        Ok(Self { profile, profile_name, messages, orphans })
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

fn compare(
    file: &Path,
    message: &Path,
    actual: &Expectation,
    out: &mut dyn Write,
) -> Result<bool, TestError> {
    let name = file_name(message);
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(problem) if problem.kind() == io::ErrorKind::NotFound => {
            writeln!(out, "  ✗ {name}\n    no {}; --update writes it", file_name(file))?;
            return Ok(false);
        }
        Err(problem) => return Err(unreadable(file, problem)),
    };
    let expected = match toml::from_str::<Expectation>(&text) {
        Ok(expected) => expected,
        Err(problem) => {
            let line = problem.span().map_or(1, |span| {
                text.bytes().take(span.start).filter(|byte| *byte == b'\n').count() + 1
            });
            let expectation = file_name(file);
            writeln!(out, "  ✗ {name}\n    {expectation}:{line}  {}", problem.message())?;
            return Ok(false);
        }
    };
    if expected == *actual {
        writeln!(out, "  ✓ {name}")?;
        return Ok(true);
    }
    writeln!(out, "  ✗ {name}")?;
    writeln!(out, "    - expected  + read")?;
    let (expected, actual) = (expected.to_toml(), actual.to_toml());
    let diff = TextDiff::from_lines(&expected, &actual);
    for hunk in diff.unified_diff().context_radius(2).iter_hunks() {
        for line in hunk.to_string().lines() {
            writeln!(out, "    {line}")?;
        }
    }
    Ok(false)
}

fn write_expectation(
    file: &Path,
    message: &Path,
    actual: &Expectation,
    out: &mut dyn Write,
) -> Result<bool, TestError> {
    let name = file_name(message);
    let same = fs::read_to_string(file)
        .is_ok_and(|text| toml::from_str::<Expectation>(&text).is_ok_and(|e| e == *actual));
    if same {
        writeln!(out, "  ✓ {name}")?;
    } else {
        let text = format!(
            "# What radstream reads from {name}. `radstream test-profile` compares it, and --update\n\
             # writes it.\n\n{}",
            actual.to_toml()
        );
        fs::write(file, text)
            .map_err(|problem| TestError::Write { path: file.to_owned(), problem })?;
        writeln!(out, "  ✓ {name}: {} written, read it", file_name(file))?;
    }
    Ok(true)
}
