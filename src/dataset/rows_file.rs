//! Parquet files of rows.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, new_null_array};
use arrow_schema::ArrowError;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::arrow::{ArrowWriter, ProjectionMask};
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use sha2::{Digest as _, Sha256};

use super::row::{self, KEY_COLUMNS, KeyRow, TIMES_SEEN};
use super::tally::{Counted, Tally};
use super::{Entry, SampleKey};
use crate::publish::hex;

/// Rows that are in memory at once while files are copied.
pub(super) const BATCH: usize = 512;
/// Rows of a row group: what the writer holds, compressed, before it writes.
const ROW_GROUP: usize = 8_192;
/// zstd beyond this is slow and hardly smaller.
const LEVEL: i32 = 3;

/// A file of rows cannot be read or written. Nothing of its content is quoted.
#[derive(Debug, thiserror::Error)]
pub(super) enum RowsError {
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Not a file of ours, or damaged.
    #[error("it is not a Parquet file as radstream writes it")]
    Content,
}

impl From<ParquetError> for RowsError {
    fn from(error: ParquetError) -> Self {
        match error {
            ParquetError::External(source) => match source.downcast::<io::Error>() {
                Ok(source) => Self::Io(*source),
                Err(_) => Self::Content,
            },
            _ => Self::Content,
        }
    }
}

impl From<ArrowError> for RowsError {
    fn from(_: ArrowError) -> Self {
        Self::Content
    }
}

impl From<serde_arrow::Error> for RowsError {
    fn from(_: serde_arrow::Error) -> Self {
        Self::Content
    }
}

/// What was written.
pub(super) struct Written {
    pub(super) bytes: u64,
    pub(super) sha256: String,
    pub(super) tally: Tally,
}

/// A file being written.
pub(super) struct RowsWriter {
    parquet: ArrowWriter<Hashing>,
    tally: Tally,
}

impl RowsWriter {
    /// Creates a file, which must not exist: those of other snapshots may be links to the same.
    pub(super) fn create(path: &Path) -> Result<Self, RowsError> {
        let level = ZstdLevel::try_new(LEVEL)?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(level))
            .set_max_row_group_row_count(Some(ROW_GROUP))
            .set_created_by(concat!("radstream ", env!("CARGO_PKG_VERSION")).to_owned())
            .build();
        let file = Hashing { file: File::create_new(path)?, sha: Sha256::new(), bytes: 0 };
        let parquet = ArrowWriter::try_new(file, row::schema(), Some(properties))?;
        Ok(Self { parquet, tally: Tally::default() })
    }

    /// Adds rows.
    pub(super) fn write(&mut self, rows: &RecordBatch) -> Result<(), RowsError> {
        for counted in serde_arrow::from_record_batch::<Vec<Counted<'_>>>(rows)? {
            self.tally.count(&counted);
        }
        Ok(self.parquet.write(rows)?)
    }

    /// Writes what is left, and waits until it is on the disk.
    pub(super) fn finish(self) -> Result<Written, RowsError> {
        let Hashing { file, sha, bytes } = self.parquet.into_inner()?;
        file.sync_all()?;
        Ok(Written { bytes, sha256: hex(&sha.finalize()), tally: self.tally })
    }
}

/// Hashes what passes.
struct Hashing {
    file: File,
    sha: Sha256,
    bytes: u64,
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.sha.update(bytes.get(..written).unwrap_or_default());
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// The rows of a file, some at a time.
pub(super) fn read(path: &Path) -> Result<ParquetRecordBatchReader, RowsError> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(path)?)?;
    Ok(builder.with_batch_size(BATCH).build()?)
}

/// The entries of a file's rows, with how often each text was seen.
pub(super) fn entries(path: &Path) -> Result<Vec<(Entry, i64)>, RowsError> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(path)?)?;
    let wanted = KEY_COLUMNS.into_iter().chain([TIMES_SEEN]);
    let mask = ProjectionMask::columns(builder.parquet_schema(), wanted);
    let mut entries = Vec::new();
    for rows in builder.with_projection(mask).with_batch_size(BATCH).build()? {
        let rows = rows?;
        let seen = times_seen(&rows)?;
        for (key, seen) in key_rows(&rows)?.iter().zip(seen.values()) {
            entries.push((key.entry().ok_or(RowsError::Content)?, *seen));
        }
    }
    Ok(entries)
}

/// The keys of rows.
pub(super) fn keys(rows: &RecordBatch) -> Result<Vec<SampleKey>, RowsError> {
    let keys: Option<Vec<SampleKey>> = key_rows(rows)?.iter().map(KeyRow::key).collect();
    keys.ok_or(RowsError::Content)
}

fn key_rows(rows: &RecordBatch) -> Result<Vec<KeyRow<'_>>, RowsError> {
    Ok(serde_arrow::from_record_batch(rows)?)
}

fn times_seen(rows: &RecordBatch) -> Result<&Int64Array, RowsError> {
    let column = rows.column_by_name(TIMES_SEEN).ok_or(RowsError::Content)?;
    column.as_any().downcast_ref().ok_or(RowsError::Content)
}

/// The same rows with other counts of how often their texts were seen. Columns that the build that wrote
/// them did not know are empty.
pub(super) fn with_times_seen(
    rows: &RecordBatch,
    times_seen: Vec<i64>,
) -> Result<RecordBatch, RowsError> {
    // Our schema, not the file's: its metadata may say more.
    let schema = row::schema();
    let times_seen: ArrayRef = Arc::new(Int64Array::from(times_seen));
    let columns = schema.fields().iter().map(|field| {
        if field.name() == TIMES_SEEN {
            return Ok(Arc::clone(&times_seen));
        }
        match rows.column_by_name(field.name()) {
            Some(column) => Ok(Arc::clone(column)),
            None if field.is_nullable() => Ok(new_null_array(field.data_type(), rows.num_rows())),
            None => Err(RowsError::Content),
        }
    });
    let columns = columns.collect::<Result<Vec<ArrayRef>, RowsError>>()?;
    Ok(RecordBatch::try_new(Arc::clone(&schema), columns)?)
}
