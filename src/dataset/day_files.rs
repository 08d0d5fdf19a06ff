//! The files of one day, while they are written.

use std::fs;
use std::io;
use std::path::Path;

use arrow_array::{BooleanArray, RecordBatch};
use arrow_select::filter::filter_record_batch;
use jiff::civil::Date;

use super::folder::Folder;
use super::index::{Place, Shelf};
use super::manifest::FileEntry;
use super::rows_file::{self, RowsError, RowsWriter};
use super::store::StoreError;

/// The files of one day, created when there is something to write.
pub(super) struct DayFiles<'a> {
    day: Date,
    building: &'a Path,
    writers: [Option<RowsWriter>; 2],
}

impl<'a> DayFiles<'a> {
    pub(super) const fn new(day: Date, building: &'a Path) -> Self {
        Self { day, building, writers: [None, None] }
    }

    fn path(&self, shelf: Shelf) -> String {
        format!("{}/day={}/part.parquet", shelf.folder(), self.day)
    }

    pub(super) fn failed(&self, shelf: Shelf, error: RowsError) -> StoreError {
        let source = match error {
            RowsError::Io(source) => source,
            other @ RowsError::Content => io::Error::other(other),
        };
        StoreError::Write { path: self.building.join(self.path(shelf)), source }
    }

    /// Puts each row where it belongs.
    pub(super) fn write(
        &mut self,
        rows: &RecordBatch,
        places: &[Option<Place>],
        folder: &mut Folder,
    ) -> Result<(), StoreError> {
        for (at, shelf) in Shelf::ALL.into_iter().enumerate() {
            let here = |place: &Option<Place>| place.is_some_and(|place| place.shelf == shelf);
            if !places.iter().any(here) {
                continue;
            }
            let path = self.building.join(self.path(shelf));
            let Some(slot) = self.writers.get_mut(at) else { continue };
            let written = (|| {
                folder.step("rows")?;
                let writer = match slot {
                    Some(writer) => writer,
                    None => {
                        fs::create_dir_all(path.parent().unwrap_or(self.building))?;
                        slot.insert(RowsWriter::create(&path)?)
                    }
                };
                let seen = places.iter().map(|place| place.map_or(0, |place| place.times_seen));
                let rows = rows_file::with_times_seen(rows, seen.collect())?;
                let here: BooleanArray = places.iter().map(|place| Some(here(place))).collect();
                writer.write(&filter_record_batch(&rows, &here)?)
            })();
            written.map_err(|error| self.failed(shelf, error))?;
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<Vec<FileEntry>, StoreError> {
        let mut files = Vec::new();
        for (shelf, writer) in Shelf::ALL.into_iter().zip(std::mem::take(&mut self.writers)) {
            let Some(writer) = writer else { continue };
            let written = writer.finish().map_err(|error| self.failed(shelf, error))?;
            files.push(FileEntry {
                path: self.path(shelf),
                day: self.day.to_string(),
                bytes: written.bytes,
                sha256: written.sha256,
                tally: written.tally,
            });
        }
        Ok(files)
    }
}
