//! Public sample messages beside the project, in `../shared/data` or where `RADSTREAM_SAMPLES` says.
//! They are read where they are and never copied.

use std::path::{Path, PathBuf};

/// One sample.
pub(crate) struct Sample {
    /// `hl7/scout/chest-0.hl7`.
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
}

/// A line of a folder's `index.tsv`, by the names of its columns.
pub(crate) struct Entry(Vec<(String, String)>);

impl Entry {
    pub(crate) fn get(&self, column: &str) -> &str {
        let found = self.0.iter().find(|(name, _)| name == column);
        found.map_or_else(|| panic!("index.tsv has no column {column}"), |(_, value)| value)
    }
}

/// Where the samples are, `None` (and a plain word) on a machine that has none.
///
/// A folder that should hold them and does not is an error: `RADSTREAM_SAMPLES` was set, or there is
/// a `../shared`.
#[expect(clippy::print_stdout, reason = "a test that did not run says so")]
pub(crate) fn root() -> Option<PathBuf> {
    let given = std::env::var_os("RADSTREAM_SAMPLES").map(PathBuf::from);
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared");
    let root = match given {
        Some(root) => root,
        None if beside.exists() => beside.join("data"),
        None => {
            println!(
                "NOT RUN: no sample messages; set RADSTREAM_SAMPLES to a folder with hl7/ and fhir/"
            );
            return None;
        }
    };
    for folder in ["hl7", "fhir"] {
        let index = root.join(folder).join("index.tsv");
        assert!(index.is_file(), "sample messages are expected: {} is missing", index.display());
    }
    Some(root)
}

/// The index of `hl7` or `fhir`; nothing where there are no samples.
pub(crate) fn index(folder: &str) -> Vec<Entry> {
    let Some(root) = root() else { return Vec::new() };
    let text = std::fs::read_to_string(root.join(folder).join("index.tsv")).expect("an index");
    let mut lines = text.lines().map(|line| line.split('\t').collect::<Vec<_>>());
    let names = lines.next().expect("a line of names");
    let entry = |values: Vec<&str>| {
        let values = values.into_iter().chain(std::iter::repeat(""));
        Entry(names.iter().zip(values).map(|(n, v)| ((*n).to_owned(), v.to_owned())).collect())
    };
    lines.map(entry).collect()
}

/// One sample that an index names.
pub(crate) fn read(folder: &str, file: &str) -> Sample {
    let path = root().expect("samples").join(folder).join(file);
    let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    Sample { name: format!("{folder}/{file}"), bytes }
}

/// Every sample of `hl7` or `fhir`, sorted by name, indexed or not.
pub(crate) fn all(folder: &str) -> Vec<Sample> {
    let Some(root) = root() else { return Vec::new() };
    let mut files = Vec::new();
    let mut folders = vec![root.join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a readable folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.file_name().is_some_and(|name| name != "index.tsv") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
        .into_iter()
        .map(|path| Sample {
            name: path.strip_prefix(&root).expect("below").to_string_lossy().into_owned(),
            bytes: std::fs::read(&path).expect("readable sample"),
        })
        .collect()
}
