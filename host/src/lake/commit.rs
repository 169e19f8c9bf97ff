//! The committer: puts the next version if it is absent, and settles who won where it is not.
//!
//! The promise: a commit is made only if every application id stands where the commit says it
//! does, every file that it removes is live, and nothing was added to a partition that it watches
//! since the tail was last handed out. A version is ours only if it carries our batch's id, so a
//! lost reply, a put that was tried twice, or a kill in its midst all end in one truth. And only if
//! it was put soon after the log was read to its end: what a process puts that was frozen meanwhile
//! may lie where others have been and cleaned up, where nobody finds it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::action::{self, Add, Body, Metadata, Remove, Txn};
use super::log::Put;
use super::table::ReadAt;
use super::{File, LakeError, PartitionValues, Seen, Table, columns, fault, path};

/// Who wrote, in the log.
pub(super) const ENGINE: &str = concat!("assay/", env!("CARGO_PKG_VERSION"));

/// How often one version is put before the commit is given up, where the store does not say
/// whether it took it.
const PUTS: u32 = 6;

/// The first pause between puts of one version; each next one is twice as long.
const PAUSE: Duration = Duration::from_millis(10);

/// What is to become visible at once.
#[derive(Clone, Debug, Default)]
pub struct Commit {
    pub adds: Vec<File>,
    pub removes: Vec<File>,
    pub transactions: Vec<Move>,
    /// The table's columns from this commit on: all that it has, and further nullable ones.
    pub schema: Option<SchemaRef>,
    /// What the table's history calls it: `WRITE`, `MERGE`, `OPTIMIZE` …
    pub operation: &'static str,
    /// True if what is added does not depend on what was read of the table.
    pub blind_append: bool,
    /// A fresh id, a UUID, by which this commit is known again.
    pub batch_id: String,
    /// Partitions in which nothing may have been added by others. Each matches all files that
    /// have its values.
    pub watched: Vec<PartitionValues>,
    /// Further entries for the table's history.
    pub info: BTreeMap<String, String>,
}

/// An application's progress, from where it must stand to where it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    pub app_id: String,
    /// `None`: the table knows no such application yet.
    pub from: Option<i64>,
    pub to: i64,
}

/// A commit that is durable.
#[derive(Debug)]
pub struct Committed {
    pub version: i64,
    /// What others committed before it, and was not handed out yet. None of it was in the way.
    pub seen: Vec<Seen>,
}

/// Why nothing was committed. The tail may have read on: call `Table::refresh` and look at what it
/// hands out before the next attempt, which is checked against all that was not handed out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    #[error(
        "{app_id} stands at {found:?}, past {expected:?}: another host has taken over; start again from the table's progress"
    )]
    Fenced {
        app_id: String,
        expected: Option<i64>,
        found: Option<i64>,
    },

    #[error(
        "{app_id} stands at {found:?}, before {expected:?}: rows between are missing; start again from the table's progress"
    )]
    Gap {
        app_id: String,
        expected: Option<i64>,
        found: Option<i64>,
    },

    #[error(
        "the table's columns or properties were changed by another; make the batch's files anew"
    )]
    MetadataChanged,

    #[error("{path} is no longer a file of the table; read its partition again")]
    FileGone { path: String },

    #[error("{} files were added by others to a partition that this commit relies on; read them first", files.len())]
    PartitionTouched { files: Vec<File> },

    #[error(
        "it is not known whether version {version} was written, and the log can't be read ({source}); nothing is put until it can"
    )]
    Unsettled { version: i64, source: LakeError },

    #[error("the commit is not allowed: {0}")]
    Refused(String),

    #[error(transparent)]
    Lake(#[from] LakeError),
}

/// What one attempt at a version came to.
enum Turn {
    Won,
    /// Another's version stands there and was read; the next one can be tried.
    Overtaken,
}

impl Table {
    /// Commits, or says why not. Costs one put as long as no other commits to the table.
    ///
    /// # Errors
    /// See `CommitError`. Whatever the error, the commit did not happen and, unless it is
    /// `Unsettled` or a `Lake` error of the store, never will.
    ///
    /// # Cancellation
    /// Dropping the future leaves the tail usable. If the put had gone out the next commit finds
    /// it, and is fenced by it.
    pub async fn commit(&mut self, commit: &Commit) -> Result<Committed, CommitError> {
        self.freshen().await?;
        check_form(commit)?;
        loop {
            self.check(commit)?;
            let bytes = self.spell(commit)?;
            if let Turn::Won = self.put_next(commit, bytes).await? {
                break;
            }
        }
        Ok(Committed {
            version: self.state.version,
            seen: std::mem::take(&mut self.seen),
        })
    }

    /// Puts the version after the tail's own, until it is known whose it is.
    async fn put_next(&mut self, commit: &Commit, bytes: Bytes) -> Result<Turn, CommitError> {
        let version = self.state.version + 1;
        let mut pause = PAUSE;
        let mut failure = None;
        for _ in 0..PUTS {
            self.check_pace(version)?;
            let read_at = ReadAt::now();
            self.unsettled = true;
            fault::point_of(self.path(), "put")?;
            match self.log.put(version, bytes.clone(), self.read_at).await {
                Ok(Put::Done) => {
                    fault::point_of(self.path(), "done")?;
                    self.check_pace(version)?;
                    return self.win(&bytes, read_at);
                }
                Ok(Put::Exists) => {}
                Err(error) => failure = Some(error),
            }
            let found = self.log.read(version).await;
            self.check_pace(version)?;
            match found.map_err(|source| CommitError::Unsettled { version, source })? {
                Some(found) => {
                    let settled = self.log.settle(version).await;
                    settled.map_err(|source| CommitError::Unsettled { version, source })?;
                    return self.lose_or_win(commit, version, &found, read_at);
                }
                // The put may be on its way yet. The same version again: only one can come true.
                None => tokio::time::sleep(pause).await,
            }
            pause *= 2;
        }
        let failure = failure.unwrap_or_else(|| {
            let lost = format!("version {version} is said to be there, but can't be found");
            LakeError::store("write", self.path(), lost)
        });
        Err(failure.into())
    }

    /// Holds the process to its pace. Where it stood still since the tail was last known to be at
    /// the log's end, the version may be one that others put and cleaned away meanwhile: what was
    /// put there lies in a hole, and what is read there may. The table is read anew before its next
    /// commit, and says what counts.
    fn check_pace(&self, version: i64) -> Result<(), LakeError> {
        if !self.read_at.is_stale() {
            return Ok(());
        }
        let held_up =
            format!("version {version} was held up until the log was old; it is read anew");
        Err(LakeError::store("write", self.path(), held_up))
    }

    fn lose_or_win(
        &mut self,
        commit: &Commit,
        version: i64,
        found: &[u8],
        read_at: ReadAt,
    ) -> Result<Turn, CommitError> {
        let actions = action::parse(&self.log.table, version, found)?;
        let seen = self.state.apply(&self.log.table, actions)?;
        self.unsettled = false;
        if seen.batch_id.as_ref() == Some(&commit.batch_id) {
            self.read_at = read_at;
            return Ok(Turn::Won);
        }
        self.seen.push(seen);
        Ok(Turn::Overtaken)
    }

    fn win(&mut self, bytes: &[u8], read_at: ReadAt) -> Result<Turn, CommitError> {
        let actions = action::parse(&self.log.table, self.state.version + 1, bytes)?;
        self.state.apply(&self.log.table, actions)?;
        self.unsettled = false;
        self.read_at = read_at;
        Ok(Turn::Won)
    }

    /// Checks the commit against the table as the tail knows it, and against all that was read
    /// but not handed out: what the caller can't have known.
    fn check(&self, commit: &Commit) -> Result<(), CommitError> {
        self.go_on()
            .map_err(|error| CommitError::Refused(error.to_string()))?;
        if !commit.removes.is_empty() && self.is_append_only() {
            let reason = format!(
                "{} is append-only, but files are to be removed",
                self.path()
            );
            return Err(CommitError::Refused(reason));
        }
        // That another has taken over says more than what it did meanwhile.
        self.check_transactions(commit)?;
        if self.seen.iter().any(|seen| seen.metadata_changed) {
            return Err(CommitError::MetadataChanged);
        }
        self.check_removes(commit)?;
        let touched = |file: &&File| {
            file.data_change
                && commit
                    .watched
                    .iter()
                    .any(|partition| file.lies_in(partition))
        };
        let added = self.seen.iter().flat_map(|seen| &seen.added);
        let files: Vec<File> = added.filter(touched).cloned().collect();
        if !files.is_empty() {
            return Err(CommitError::PartitionTouched { files });
        }
        self.check_columns(commit)
    }

    pub(super) fn is_append_only(&self) -> bool {
        let set = self.properties().get("delta.appendOnly");
        set.is_some_and(|set| set == "true")
    }

    /// Checks that the files were written under columns that the table has.
    fn check_columns(&self, commit: &Commit) -> Result<(), CommitError> {
        let columns = commit.schema.as_ref().unwrap_or(&self.state.schema);
        let fits = |file: &File| {
            let Some(schema) = &file.schema else {
                return true;
            };
            Arc::ptr_eq(schema, columns)
                || schema.fields().iter().all(|field| {
                    columns.field_with_name(field.name()).is_ok_and(|column| {
                        columns::same_type(column.data_type(), field.data_type())
                    })
                })
        };
        if commit.adds.iter().all(fits) {
            return Ok(());
        }
        Err(CommitError::MetadataChanged)
    }

    fn check_transactions(&self, commit: &Commit) -> Result<(), CommitError> {
        for step in &commit.transactions {
            let found = self.transactions().get(&step.app_id).map(|txn| txn.version);
            let (app_id, expected) = (step.app_id.clone(), step.from);
            if found > expected {
                return Err(CommitError::Fenced {
                    app_id,
                    expected,
                    found,
                });
            }
            if found < expected {
                return Err(CommitError::Gap {
                    app_id,
                    expected,
                    found,
                });
            }
        }
        Ok(())
    }

    fn check_removes(&self, commit: &Commit) -> Result<(), CommitError> {
        let gone = |file: &&File| !self.state.live.files.contains_key(&file.path);
        match commit.removes.iter().find(gone) {
            Some(file) => Err(CommitError::FileGone {
                path: file.path.clone(),
            }),
            None => Ok(()),
        }
    }

    /// The bytes of the commit's version.
    fn spell(&self, commit: &Commit) -> Result<Bytes, CommitError> {
        let now = chrono::Utc::now().timestamp_millis();
        let unspelled = |error| LakeError::store("spell a commit to", self.path(), error);
        let mut body = Body::new();
        if let Some(metadata) = self.evolved(commit)? {
            body.push("metaData", &metadata).map_err(unspelled)?;
        }
        for step in &commit.transactions {
            let txn = Txn {
                app_id: step.app_id.clone(),
                version: step.to,
                last_updated: Some(now),
            };
            body.push("txn", &txn).map_err(unspelled)?;
        }
        for file in &commit.removes {
            let data_change = commit.adds.iter().all(|added| added.data_change);
            body.push("remove", &remove_of(file, now, data_change))
                .map_err(unspelled)?;
        }
        for file in &commit.adds {
            body.push("add", &add_of(file)).map_err(unspelled)?;
        }
        Ok(body.into_bytes(info_of(commit, now)).into())
    }

    /// The table's new metadata, if the commit brings further columns.
    fn evolved(&self, commit: &Commit) -> Result<Option<Metadata>, CommitError> {
        let Some(wanted) = &commit.schema else {
            return Ok(None);
        };
        let further = columns::further(&self.state.schema, wanted).map_err(CommitError::Refused)?;
        if further.is_empty() {
            return Ok(None);
        }
        let mut metadata = self.state.metadata.clone();
        metadata.schema_string = columns::with_columns(&metadata.schema_string, &further)?;
        Ok(Some(metadata))
    }
}

/// Checks what makes no sense whatever the table holds.
fn check_form(commit: &Commit) -> Result<(), CommitError> {
    let mut ids = BTreeSet::new();
    if let Some(twice) = commit
        .transactions
        .iter()
        .find(|step| !ids.insert(&step.app_id))
    {
        return Err(CommitError::Refused(format!(
            "{} moves twice in one commit",
            twice.app_id
        )));
    }
    if commit.batch_id.is_empty() {
        return Err(CommitError::Refused("it has no batch id".to_owned()));
    }
    Ok(())
}

fn info_of(commit: &Commit, now: i64) -> Map<String, Value> {
    let mut info: Map<String, Value> = commit
        .info
        .iter()
        .map(|(key, value)| (key.clone(), value.as_str().into()))
        .collect();
    info.insert("timestamp".to_owned(), now.into());
    info.insert("operation".to_owned(), commit.operation.into());
    info.insert("operationParameters".to_owned(), json!({}));
    info.insert("isBlindAppend".to_owned(), commit.blind_append.into());
    info.insert("engineInfo".to_owned(), ENGINE.into());
    info.insert("txnId".to_owned(), commit.batch_id.as_str().into());
    info
}

fn add_of(file: &File) -> Add {
    Add {
        path: path::to_uri(&file.path),
        partition_values: file.partition_values.clone(),
        size: file.size,
        modification_time: file.modified,
        data_change: file.data_change,
        stats: file.stats.clone(),
        deletion_vector: None,
    }
}

fn remove_of(file: &File, now: i64, data_change: bool) -> Remove {
    Remove {
        path: path::to_uri(&file.path),
        deletion_timestamp: Some(now),
        data_change,
        extended_file_metadata: Some(true),
        partition_values: Some(file.partition_values.clone()),
        size: Some(file.size),
    }
}
