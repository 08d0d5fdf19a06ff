//! The output so far: what need not be asked about again.

use std::collections::{HashMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::publish::hex;

/// Longest line that is read back.
const LONGEST_LINE: u64 = 8 << 20;

/// A line of the output.
pub(super) type Line = Map<String, Value>;

/// How a line of ours begins: its members are in the order of their names.
const OURS: [&[u8]; 2] = [b"{\"addenda\":", b"{\"deidentified\":"];

/// Why the output cannot be gone on with.
pub(super) enum OpenError {
    Io(io::Error),
    /// A line of another making.
    Foreign(usize),
}

impl From<io::Error> for OpenError {
    fn from(problem: io::Error) -> Self {
        Self::Io(problem)
    }
}

/// The output file, and where each text stands in it.
pub(super) struct Done {
    file: File,
    end: u64,
    /// Written, or being asked about: id and text.
    tasks: HashSet<(String, [u8; 32])>,
    texts: HashMap<[u8; 32], u64>,
    failures: PathBuf,
    failed: Option<File>,
    /// Something was written: until then the files stay as they are.
    opened: bool,
}

impl Done {
    /// Opens the output and reads what is there. A last line that was cut off by a kill is removed.
    pub(super) fn open(path: &Path) -> Result<Self, OpenError> {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let mut failures = path.as_os_str().to_owned();
        failures.push(".failed.jsonl");
        let mut done = Self {
            file,
            end: 0,
            tasks: HashSet::new(),
            opened: false,
            texts: HashMap::new(),
            failures: PathBuf::from(failures),
            failed: None,
        };
        let mut reader = BufReader::new(done.file.try_clone()?);
        let mut number = 0;
        loop {
            let mut line = Vec::new();
            let length = reader.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line)? as u64;
            if length == 0 {
                break;
            }
            if line.last() != Some(&b'\n') {
                // Cut off by a kill, if it begins as ours do; otherwise a file of another making.
                let ours =
                    OURS.iter().any(|head| line.starts_with(head) || head.starts_with(&line));
                if !ours || length == LONGEST_LINE {
                    return Err(OpenError::Foreign(number + 1));
                }
                break;
            }
            number += 1;
            let value: Value =
                serde_json::from_slice(&line).map_err(|_| OpenError::Foreign(number))?;
            let id = value.get("id").and_then(Value::as_str);
            let hash = value.get("text_hash").and_then(Value::as_str).and_then(unhex);
            let (Some(id), Some(hash)) = (id, hash) else {
                return Err(OpenError::Foreign(number));
            };
            done.tasks.insert((id.to_owned(), hash));
            done.texts.entry(hash).or_insert(done.end);
            done.end += length;
        }
        Ok(done)
    }

    pub(super) fn has(&self, id: &str, hash: &[u8; 32]) -> bool {
        self.tasks.contains(&(id.to_owned(), *hash))
    }

    /// Takes a task; false when it is done, or taken already.
    pub(super) fn take(&mut self, id: &str, hash: &[u8; 32]) -> bool {
        self.tasks.insert((id.to_owned(), *hash))
    }

    /// Before the first write: what a kill left of the last line goes, and so do the failures of the
    /// last run, which are tried again.
    fn begin(&mut self) -> io::Result<()> {
        if self.opened {
            return Ok(());
        }
        self.opened = true;
        self.file.set_len(self.end)?;
        self.file.seek(SeekFrom::Start(self.end))?;
        if self.failures.exists() {
            std::fs::remove_file(&self.failures)?;
        }
        Ok(())
    }

    pub(super) fn has_text(&self, hash: &[u8; 32]) -> bool {
        self.texts.contains_key(hash)
    }

    /// Writes the labels of the same text under another id; false when the text is not there.
    pub(super) fn repeat(&mut self, hash: &[u8; 32], id: &str) -> io::Result<bool> {
        let Some(at) = self.texts.get(hash).copied() else { return Ok(false) };
        self.begin()?;
        self.file.seek(SeekFrom::Start(at))?;
        let mut line = Vec::new();
        BufReader::new(self.file.try_clone()?.take(LONGEST_LINE)).read_until(b'\n', &mut line)?;
        self.file.seek(SeekFrom::Start(self.end))?;
        let mut value: Line = serde_json::from_slice(&line)?;
        value.insert("id".to_owned(), json!(id));
        self.write(id, *hash, &value)?;
        Ok(true)
    }

    /// Writes a line, whole, at once: a kill cuts off the last line at most.
    pub(super) fn write(&mut self, id: &str, hash: [u8; 32], line: &Line) -> io::Result<()> {
        self.begin()?;
        let mut line = line.clone();
        line.insert("text_hash".to_owned(), json!(hex(&hash)));
        let mut bytes = serde_json::to_vec(&line)?;
        bytes.push(b'\n');
        self.file.write_all(&bytes)?;
        self.tasks.insert((id.to_owned(), hash));
        self.texts.entry(hash).or_insert(self.end);
        self.end += bytes.len() as u64;
        Ok(())
    }

    /// Notes a report that got no answer.
    pub(super) fn failed(&mut self, id: &str, problem: &str) -> io::Result<()> {
        self.begin()?;
        if self.failed.is_none() {
            self.failed = Some(File::create(&self.failures)?);
        }
        match &mut self.failed {
            Some(file) => writeln!(file, "{}", json!({ "id": id, "problem": problem })),
            None => Ok(()),
        }
    }
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    let mut bytes = [0; 32];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(id: &str) -> Line {
        json!({"deidentified": true, "id": id, "labels": {}}).as_object().unwrap().clone()
    }

    #[test]
    fn a_line_cut_off_by_a_kill_is_removed_and_the_rest_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.jsonl");
        let mut done = Done::open(&path).ok().unwrap();
        done.write("a", [1; 32], &line("a")).unwrap();
        done.write("b", [2; 32], &line("b")).unwrap();
        drop(done);
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() - 5]).unwrap();
        let mut done = Done::open(&path).ok().unwrap();
        assert!(done.has("a", &[1; 32]) && !done.has("b", &[2; 32]) && done.has_text(&[1; 32]));
        assert_ne!(std::fs::read(&path).unwrap().last(), Some(&b'\n'), "as it was, until a write");
        assert!(done.repeat(&[1; 32], "c").unwrap());
        assert!(!done.repeat(&[2; 32], "d").unwrap());
        drop(done);
        let text = std::fs::read_to_string(&path).unwrap();
        let ids: Vec<Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(ids.iter().map(|v| v["id"].as_str().unwrap()).collect::<Vec<_>>(), ["a", "c"]);
        assert_eq!(ids[0]["text_hash"], ids[1]["text_hash"]);
    }

    #[test]
    fn a_file_of_another_making_is_not_written_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.jsonl");
        std::fs::write(&path, "{\"id\":\"a\"}\n").unwrap();
        assert!(matches!(Done::open(&path), Err(OpenError::Foreign(1))));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"id\":\"a\"}\n");
        std::fs::write(&path, "{\"precious\": 1}").unwrap();
        assert!(matches!(Done::open(&path), Err(OpenError::Foreign(1))), "no line end, not ours");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"precious\": 1}");
    }
}
