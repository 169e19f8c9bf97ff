//! Packing small files into few: what many quick commits leave behind, and readers pay for.
//!
//! The rows stay the same rows, so neither file counts as changed data. Two that pack the same
//! files can't both win, since each commit removes what it packed: who comes second gives up.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use deltalake::Path;
use deltalake::logstore::object_store::{Error as StoreError, ObjectStoreExt as _};

use super::encode::Encoder;
use super::log::Log;
use super::read::Opened;
use super::table::Damaged;
use super::{
    Bound, Commit, CommitError, File, FileReader, FileWriter, LakeError, Packing, PartitionValues,
    Table, fault,
};

/// Versions between looks for small files, each of which goes through all live files.
const LOOK_EVERY: i64 = 32;

/// A partition is packed when it has so many small files: each row is then packed a few times on
/// its way into a large file, and a partition never has many more small files than these.
const FILES: usize = 32;

/// Smaller files are worth packing, in bytes.
const SMALL: i64 = 16 << 20;

/// What is packed at once, in bytes: the new file waits in memory until it is whole.
const INPUT: i64 = 64 << 20;

/// Rows that are decoded at once: those of some tables are kilobytes each.
const BATCH: usize = 1_024;

/// The most files that are packed at once: one commit names them all.
const MOST_FILES: usize = 1_000;

/// Small files of one partition that are to become one. It owns what it needs, so it can run
/// beside further commits.
#[must_use = "nothing is packed until it is run"]
pub struct Compaction {
    log: Log,
    pub(super) files: Vec<File>,
    reader: FileReader,
    writer: FileWriter,
    damaged: Damaged,
}

/// A file that nobody sees yet, and the files whose rows it holds.
#[must_use = "nothing is replaced until it is committed"]
pub struct Packed {
    log: Log,
    pub(super) files: Vec<File>,
    pub(super) written: File,
}

/// What a compaction changed.
#[derive(Debug)]
pub struct Replaced {
    /// The paths that are no longer live.
    pub old: Vec<String>,
    /// The file that holds their rows.
    pub new: File,
}

impl Table {
    /// The packing that is due: of the partition with the most small files, if those are many.
    /// Costs nothing until the table has moved on by some versions since it last found none.
    pub fn compaction(&mut self, packing: Packing) -> Option<Compaction> {
        if self.version() - self.looked < LOOK_EVERY {
            return None;
        }
        self.looked = self.version();
        self.compaction_of(|file| file.size < SMALL, packing)
    }

    /// The packing of files that are `small`, if those are many.
    pub(super) fn compaction_of(
        &self,
        small: impl Fn(&File) -> bool,
        packing: Packing,
    ) -> Option<Compaction> {
        if self.go_on().is_err() || self.is_append_only() {
            return None;
        }
        let files = self.small_files(small)?;
        Some(Compaction {
            log: self.log.clone(),
            files,
            reader: self.reader().with_batch(BATCH),
            writer: self.writer().with_packing(packing),
            damaged: Arc::clone(&self.damaged),
        })
    }

    fn small_files(&self, is_small: impl Fn(&File) -> bool) -> Option<Vec<File>> {
        let mut partitions: BTreeMap<&PartitionValues, Vec<&File>> = BTreeMap::new();
        let damaged = self.damaged.lock().unwrap_or_else(PoisonError::into_inner);
        let small = |file: &&File| is_small(file) && !damaged.contains(&file.path);
        for file in self.files().filter(small) {
            let small = partitions.entry(&file.partition_values).or_default();
            small.push(file);
        }
        let mut small = partitions.into_values().max_by_key(Vec::len)?;
        if small.len() < FILES {
            return None;
        }
        // By age, so that files end up with ranges of their own and readers can pass them over.
        small.sort_by_key(|file| (first_offset(file), &file.path));
        let mut size = 0;
        let fits = |file: &&&File| {
            size += file.size;
            size <= INPUT
        };
        let fitting = small.iter().take(MOST_FILES).take_while(fits);
        Some(fitting.map(|file| (*file).clone()).collect())
    }
}

fn first_offset(file: &File) -> i64 {
    match file.bound("_offset") {
        Some(Bound::Integer(first, _)) => *first,
        _ => i64::MIN,
    }
}

impl Compaction {
    /// Writes the new file. Can be dropped or fail at any point: the table does not know of it.
    ///
    /// # Errors
    /// `Store` and `DataFile` for files that can't be read or written; `RowsDiffer` if a file
    /// does not hold the rows that the log says.
    pub async fn run(self) -> Result<Packed, LakeError> {
        let began = Instant::now();
        let values = self.files.first().map(|file| &file.partition_values);
        let values = values.cloned().unwrap_or_default();
        let mut encoder = self.writer.encoder(values, None)?;
        let schema = self.writer.schema().fields();
        let columns = self.writer.plain_columns().into_iter();
        let columns: Vec<&str> = columns
            .filter_map(|position| Some(schema.get(position)?.name().as_str()))
            .collect();
        let mut rows = 0;
        for file in &self.files {
            let copied;
            (encoder, copied) = self
                .copy(file, &columns, encoder)
                .await
                .inspect_err(|error| self.remember(file, error))?;
            rows += copied;
        }
        let (written, bytes) = self.log.share.spawn(|| encoder.finish()).await??;
        self.check_rows(&written.path, written.rows, rows)?;
        let written = self.writer.put(written, bytes).await?;
        let (files, size) = (self.files.len(), written.size);
        let took = began.elapsed();
        tracing::debug!(table = %self.log.table, files, rows, size, ?took, "packed small files");
        Ok(Packed {
            log: self.log,
            files: self.files,
            written: File {
                data_change: false,
                ..written
            },
        })
    }

    async fn copy(
        &self,
        file: &File,
        columns: &[&str],
        encoder: Encoder,
    ) -> Result<(Encoder, i64), LakeError> {
        let opened = self.reader.open(file, Some(columns)).await?;
        let (encoder, copied) = self.log.share.spawn(|| copy(opened, encoder)).await??;
        self.check_rows(&file.path, file.rows, copied)?;
        Ok((encoder, copied))
    }

    /// A damaged file is not tried again, or it would be in the way of all that can be packed.
    fn remember(&self, file: &File, error: &LakeError) {
        let damaged = match error {
            LakeError::Store { source, .. } => {
                let source = source.downcast_ref::<StoreError>();
                matches!(source, Some(StoreError::NotFound { .. }))
            }
            LakeError::DataFile { .. } | LakeError::RowsDiffer { .. } => true,
            _ => false,
        };
        if damaged {
            let mut damaged = self.damaged.lock().unwrap_or_else(PoisonError::into_inner);
            damaged.insert(file.path.clone());
        }
    }

    fn check_rows(&self, path: &str, noted: Option<i64>, found: i64) -> Result<(), LakeError> {
        match noted {
            Some(noted) if noted != found => Err(LakeError::RowsDiffer {
                path: format!("{}/{path}", self.log.table),
                noted,
                found,
            }),
            _ => Ok(()),
        }
    }
}

/// Copies a file's rows, and counts them.
fn copy(opened: Opened, mut encoder: Encoder) -> Result<(Encoder, i64), LakeError> {
    let mut copied = 0;
    opened.each(|rows| {
        copied += i64::try_from(rows.num_rows()).unwrap_or(i64::MAX);
        encoder.push(&rows)
    })?;
    Ok((encoder, copied))
}

impl Packed {
    /// Has the table hold the new file instead of the old ones. `None`: it has moved on, so that
    /// this is of no use any more, and the new file is gone.
    ///
    /// # Errors
    /// What the lake says. Where it is not known whether the commit is durable the new file stays.
    pub async fn commit(self, table: &mut Table) -> Result<Option<Replaced>, LakeError> {
        let commit = Commit {
            adds: vec![self.written.clone()],
            removes: self.files,
            operation: "OPTIMIZE",
            batch_id: uuid::Uuid::new_v4().to_string(),
            ..Commit::default()
        };
        fault::point_of(table.path(), "packed")?;
        match table.commit(&commit).await {
            Ok(committed) => {
                // What others did is for the table's writer to look at.
                table.seen = committed.seen;
                // There may be more to pack.
                table.looked = table.version() - LOOK_EVERY;
                let old = commit.removes.into_iter().map(|file| file.path);
                Ok(Some(Replaced {
                    old: old.collect(),
                    new: self.written,
                }))
            }
            Err(CommitError::Lake(error) | CommitError::Unsettled { source: error, .. }) => {
                Err(error)
            }
            Err(error) => {
                tracing::debug!(table = table.path(), %error, "packed in vain");
                remove(&self.log, &self.written.path).await;
                Ok(None)
            }
        }
    }
}

/// Removes a file that no table knows. One that stays behind does no harm.
async fn remove(log: &Log, path: &str) {
    let Ok(location) = Path::parse(path) else {
        return;
    };
    if let Err(error) = log.objects().delete(&location).await {
        tracing::debug!(path, %error, "a file that nobody sees stays behind");
    }
}
