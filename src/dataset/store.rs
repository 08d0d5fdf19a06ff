//! The dataset: takes records, and commits what they change as a new snapshot.
//!
//! In memory: an index of all samples (about 300 bytes each), the rows that were taken since the last
//! commit, and while a day is written one batch of rows and one row group. Nothing else grows.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::civil::Date;

use super::change::{self, Change};
use super::day_files::DayFiles;
use super::first_day_kept;
use super::folder::{Folder, FolderError, Steps};
use super::index::{Index, Place, Shelf, Taken};
use super::manifest::{FORMAT, FileEntry, History, MANIFEST, Manifest, ManifestError, Retention};
use super::marks::Marks;
use super::row::{self, Row};
use super::rows_file::{self, BATCH};
use super::tally::{Tally, one};
use crate::broker::Record;
use crate::publish::hex;

/// Name of the file of retractions in a snapshot.
const MARKS: &str = "retractions.jsonl";

/// The dataset cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The folder.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The current snapshot's manifest.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A file of the current snapshot is not as it was written.
    #[error(
        "{} is damaged; export into a new folder, or bring this one back from a copy",
        .0.display()
    )]
    Damaged(PathBuf),
    /// It was begun with another topic.
    #[error(
        "the dataset was read from topic {begun}, and topics.distillation is {asked}; export into a new folder"
    )]
    OtherTopic {
        /// Topic of the dataset.
        begun: String,
        /// Topic of the settings.
        asked: String,
    },
    /// The key beside the snapshots is not theirs.
    #[error(
        "the key in {} is not the one that the dataset was begun with: retractions would find no \
         samples; put the right one back, or export into a new folder",
        .0.display()
    )]
    OtherKey(PathBuf),
    /// A snapshot cannot be written. The one before it still stands.
    #[error(
        "{} cannot be written: {source}; the snapshot before it still stands. Check permissions \
         and free space.",
        path.display()
    )]
    Write {
        /// What was being written.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A dataset, open for writing by this process alone.
pub struct Store {
    folder: Folder,
    topic: String,
    manifest: Option<Manifest>,
    index: Index,
    history: History,
    /// Rows taken since the last commit; a gap where one is no longer needed.
    rows: Vec<Option<Box<Row>>>,
    waiting_bytes: usize,
    marks_changed: bool,
}

impl Store {
    /// Opens the dataset of a topic, or begins one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open(root: &Path, topic: &str) -> Result<Self, StoreError> {
        Self::open_with(root, topic, Box::new(|_| Ok(())))
    }

    pub(super) fn open_with(root: &Path, topic: &str, steps: Steps) -> Result<Self, StoreError> {
        let folder = Folder::open(root, steps)?;
        let mut store = Self {
            topic: topic.to_owned(),
            manifest: None,
            index: Index::default(),
            history: History::default(),
            rows: Vec::new(),
            waiting_bytes: 0,
            marks_changed: false,
            folder,
        };
        let Some(number) = store.folder.current() else { return Ok(store) };
        let path = store.folder.snapshot(number);
        let manifest = Manifest::read(&path)?;
        if manifest.topic != topic {
            let asked = topic.to_owned();
            return Err(StoreError::OtherTopic { begun: manifest.topic, asked });
        }
        if manifest.key_check != hex(&store.folder.pseudonyms.check()) {
            return Err(StoreError::OtherKey(root.to_owned()));
        }
        for shelf in Shelf::ALL {
            for file in manifest.files.iter().filter(|file| is_on(file, shelf)) {
                let path = path.join(&file.path);
                let damaged = || StoreError::Damaged(path.clone());
                let entries = rows_file::entries(&path).map_err(|_| damaged())?;
                if entries.len() as u64 != file.tally.rows {
                    return Err(damaged());
                }
                for (entry, times_seen) in entries {
                    store.index.stored(entry, Place { shelf, times_seen });
                }
            }
        }
        let marks = path.join(MARKS);
        let read = File::open(&marks).and_then(|file| Marks::read(BufReader::new(file)));
        store.index.marks = read.ok().flatten().ok_or(StoreError::Damaged(marks))?;
        store.history = manifest.history.clone();
        store.manifest = Some(manifest);
        Ok(store)
    }

    /// Partition to the offset that is to be read next.
    pub fn next_offsets(&self) -> BTreeMap<i32, i64> {
        self.manifest.as_ref().map(|manifest| manifest.next_offsets.clone()).unwrap_or_default()
    }

    /// The current snapshot.
    pub const fn manifest(&self) -> Option<&Manifest> {
        self.manifest.as_ref()
    }

    /// What was read so far, this run's part that is not committed yet included.
    pub const fn history(&self) -> &History {
        &self.history
    }

    /// Bytes of the records whose rows wait for a commit; what they take in memory is about twice that.
    pub const fn waiting_bytes(&self) -> usize {
        self.waiting_bytes
    }

    /// Notes offsets that the topic no longer has.
    pub fn missed(&mut self, offsets: u64) {
        self.history.missed_offsets += offsets;
    }

    /// Takes a record. Those of one partition must come in their order, each once.
    pub fn take(&mut self, record: &Record, now_ms: i64) {
        self.history.records += 1;
        let at = record.timestamp_ms.unwrap_or(now_ms).min(now_ms);
        match change::read(record, &self.folder.pseudonyms) {
            Change::Sample(entry, row) => {
                self.history.samples += 1;
                match self.index.sample(entry, self.rows.len()) {
                    Taken::In { replaced, again } => {
                        self.history.repeated += u64::from(again);
                        self.forget(replaced);
                        self.rows.push(Some(row));
                        self.waiting_bytes += record.wire_bytes();
                    }
                    Taken::Less => self.history.repeated += 1,
                    Taken::Retracted => self.history.late += 1,
                }
            }
            Change::Retracted { report, version } => {
                self.history.delete_markers += 1;
                self.marks_changed |= version.is_some();
                let (waiting, removed) = self.index.retract(report, version, at);
                self.history.retracted += removed;
                self.forget(waiting);
            }
            Change::Withdrawn { text, event } => {
                self.history.withdrawals += 1;
                self.marks_changed = true;
                let (waiting, removed) = self.index.withdraw(text, event, at);
                self.history.withdrawn += removed;
                self.forget(waiting);
            }
            Change::Unusable(code) => one(&mut self.history.unusable, code, 1),
        }
    }

    fn forget(&mut self, rows: impl IntoIterator<Item = usize>) {
        for row in rows {
            if let Some(row) = self.rows.get_mut(row) {
                *row = None;
            }
        }
    }

    /// Writes a new snapshot of all that was taken, with the offsets that are to be read next. False:
    /// nothing has changed, and the current snapshot stands.
    ///
    /// After an error the store is of no use; the former snapshot is, for the next run.
    ///
    /// # Errors
    /// [`StoreError::Write`], [`StoreError::Damaged`].
    pub fn commit(
        &mut self,
        next_offsets: &BTreeMap<i32, i64>,
        keep_days: Option<u32>,
        now_ms: i64,
    ) -> Result<bool, StoreError> {
        let first_kept = keep_days.and_then(|days| first_day_kept(now_ms, days));
        if let Some(first_kept) = first_kept {
            let (waiting, removed) = self.index.expire(first_kept);
            self.history.expired += removed;
            self.forget(waiting);
        }
        let remembered = self.index.marks.len();
        self.index.marks.expire(now_ms);
        self.marks_changed |= self.index.marks.len() != remembered;
        let days = self.index.plan();
        let retention =
            Retention { keep_days, first_day: first_kept.map(|day: Date| day.to_string()) };
        if let Some(current) = &self.manifest
            && days.is_empty()
            && !self.marks_changed
            && current.next_offsets == *next_offsets
            && current.retention.keep_days == keep_days
            && current.history == self.history
        {
            return Ok(false);
        }
        let number = self.folder.current().unwrap_or(0) + 1;
        let path = self.folder.snapshot(number);
        let write = |path: PathBuf| move |source| StoreError::Write { path, source };
        let building = self.folder.begin().map_err(write(path.clone()))?;
        let files = self.write_files(&days, &building)?;
        let mut manifest = Manifest {
            format: FORMAT,
            snapshot: number,
            dataset_id: String::new(),
            dataset_sha256: String::new(),
            created_at: Timestamp::from_millisecond(now_ms).unwrap_or_default().to_string(),
            software_version: env!("CARGO_PKG_VERSION").to_owned(),
            topic: self.topic.clone(),
            next_offsets: next_offsets.clone(),
            key_check: hex(&self.folder.pseudonyms.check()),
            retention,
            history: self.history.clone(),
            totals: Tally::default(),
            folded: 0,
            remembered_retractions: self.index.marks.len() as u64,
            files,
        };
        manifest.total();
        self.write_rest(&manifest, &building).map_err(write(building.clone()))?;
        self.folder.publish(number).map_err(write(path))?;
        self.index.settle();
        self.rows.clear();
        self.waiting_bytes = 0;
        self.marks_changed = false;
        self.manifest = Some(manifest);
        Ok(true)
    }

    /// Files of the days that changed are written anew, the others linked.
    fn write_files(
        &mut self,
        days: &BTreeMap<Date, Vec<usize>>,
        building: &Path,
    ) -> Result<Vec<FileEntry>, StoreError> {
        let changed: Vec<String> = days.keys().map(Date::to_string).collect();
        let current = self.folder.current().map(|number| self.folder.snapshot(number));
        let stands = self.manifest.iter().flat_map(|manifest| &manifest.files);
        let (old, mut files): (Vec<FileEntry>, Vec<FileEntry>) =
            stands.cloned().partition(|file| changed.contains(&file.day));
        if let Some(current) = &current {
            for file in &files {
                let path = building.join(&file.path);
                let link = self.folder.step("file").and_then(|()| {
                    fs::create_dir_all(path.parent().unwrap_or(building))?;
                    link(&current.join(&file.path), &path)
                });
                link.map_err(|source| StoreError::Write { path, source })?;
            }
        }
        for (day, rows) in days {
            let old = old.iter().filter(|file| file.day == day.to_string());
            let old: Vec<PathBuf> = old
                .filter_map(|file| current.as_ref().map(|current| current.join(&file.path)))
                .collect();
            files.extend(self.write_day(*day, &old, rows, building)?);
        }
        Ok(files)
    }

    fn write_day(
        &mut self,
        day: Date,
        old: &[PathBuf],
        new: &[usize],
        building: &Path,
    ) -> Result<Vec<FileEntry>, StoreError> {
        let mut files = DayFiles::new(day, building);
        for path in old {
            let damaged = |_| StoreError::Damaged(path.clone());
            for rows in rows_file::read(path).map_err(damaged)? {
                let rows = rows.map_err(|_| StoreError::Damaged(path.clone()))?;
                let keys = rows_file::keys(&rows).map_err(damaged)?;
                let places: Vec<Option<Place>> =
                    keys.iter().map(|key| self.index.place_of_stored(key)).collect();
                files.write(&rows, &places, &mut self.folder)?;
            }
        }
        for numbers in new.chunks(BATCH) {
            let rows = numbers.iter().filter_map(|number| self.rows.get(*number)?.as_deref());
            let rows: Vec<&Row> = rows.collect();
            let batch =
                row::batch(&rows).map_err(|error| files.failed(Shelf::Samples, error.into()))?;
            let keys =
                rows_file::keys(&batch).map_err(|error| files.failed(Shelf::Samples, error))?;
            let places: Vec<Option<Place>> =
                keys.iter().map(|key| self.index.place_of_new(key)).collect();
            files.write(&batch, &places, &mut self.folder)?;
        }
        files.finish()
    }

    fn write_rest(&mut self, manifest: &Manifest, building: &Path) -> io::Result<()> {
        self.folder.step("retractions")?;
        let mut marks = BufWriter::new(File::create_new(building.join(MARKS))?);
        self.index.marks.write(&mut marks)?;
        marks.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        self.folder.step("manifest")?;
        let mut file = File::create_new(building.join(MANIFEST))?;
        file.write_all(&serde_json::to_vec_pretty(manifest)?)?;
        file.write_all(b"\n")?;
        file.sync_all()
    }
}

fn is_on(file: &FileEntry, shelf: Shelf) -> bool {
    file.path.split('/').next() == Some(shelf.folder())
}

/// Some file systems have no hard links.
fn link(from: &Path, to: &Path) -> io::Result<()> {
    match fs::hard_link(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(error),
        Err(_) => {
            fs::copy(from, to)?;
            File::open(to)?.sync_all()
        }
        linked => linked,
    }
}

#[cfg(test)]
mod tests;
