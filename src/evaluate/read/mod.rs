//! Label files: JSONL (the reference's form, or what `radstream label` writes) and CheXpert-style
//! CSV. Bytes in, records out; what is wrong is told by line, never by content.

mod cell;
mod csv_file;
mod jsonl;

use std::fmt;

use super::pairing::CellScores;
use crate::report::{FindingStatus, Labels, Phi, ReportText};

pub use cell::{Aggregate, aggregate};

/// Most problems that are told of one file.
const TOLD: usize = 5;

/// How to read what a file leaves open.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// What several mentions in one cell come to.
    pub aggregate: Aggregate,
    /// CSV column with the id; `None` looks for the usual names.
    pub id_column: Option<String>,
}

/// The records of a label file.
#[derive(Debug, Default)]
pub struct Sheet {
    /// Records in file order.
    pub records: Vec<Record>,
    /// The file states No Finding for every report (a CSV with that column).
    pub states_no_finding: bool,
}

/// One report of a label file.
#[derive(Debug)]
pub struct Record {
    /// Line where it begins, from 1.
    pub line: u64,
    /// Its id, if it has one.
    pub id: Option<Phi<String>>,
    /// Its text, if the file holds any that can be labelled.
    pub text: Option<ReportText>,
    /// Its labels; `None` when the file says that there are none.
    pub labels: Option<Labels>,
    /// No Finding, as the file states it.
    pub no_finding: Option<FindingStatus>,
    /// Confidence of each cell; `None` unless all thirteen have one.
    pub scores: Option<CellScores>,
}

/// Something wrong in a line. Holds nothing of the line's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Line, from 1.
    pub line: u64,
    /// What is wrong, and the remedy where there is one.
    pub what: String,
}

/// A file is not a label file. Never holds text or identifiers.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// It holds no record.
    #[error("it holds no records")]
    Empty,
    /// The table's header lacks something.
    #[error("line 1: {0}")]
    Header(String),
    /// Lines that cannot be read: the first few, and how many there are.
    #[error("{}", Told { problems, count: *count })]
    Lines {
        /// The first of them.
        problems: Vec<Problem>,
        /// How many there are.
        count: usize,
    },
}

struct Told<'a> {
    problems: &'a [Problem],
    count: usize,
}

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let several = self.count > 1;
        for problem in self.problems {
            let lead = if several { "\n  - " } else { "" };
            write!(f, "{lead}line {}: {}", problem.line, problem.what)?;
        }
        match self.count - self.problems.len() {
            0 => Ok(()),
            more => write!(f, "\n  and {more} more lines"),
        }
    }
}

/// Reads a label file; JSONL when its first character is `{`, otherwise a table.
///
/// # Errors
/// [`ReadError`]: what is wrong, with line numbers.
pub fn read(bytes: &[u8], reading: &Reading) -> Result<Sheet, ReadError> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    if bytes.trim_ascii().is_empty() {
        return Err(ReadError::Empty);
    }
    let mut problems = Problems::default();
    let sheet = if bytes.trim_ascii_start().starts_with(b"{") {
        jsonl::read(bytes, reading, &mut problems)
    } else {
        csv_file::read(bytes, reading, &mut problems)?
    };
    if problems.count > 0 {
        return Err(ReadError::Lines { problems: problems.first, count: problems.count });
    }
    if sheet.records.is_empty() {
        return Err(ReadError::Empty);
    }
    Ok(sheet)
}

#[derive(Default)]
struct Problems {
    first: Vec<Problem>,
    count: usize,
}

impl Problems {
    fn note(&mut self, line: u64, what: String) {
        self.count += 1;
        if self.first.len() < TOLD {
            self.first.push(Problem { line, what });
        }
    }
}
