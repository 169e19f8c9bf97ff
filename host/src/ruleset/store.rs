//! The `rulesets` table and its blobs. A change's number is the version of its commit, so no two
//! activations can share one. Rows are never taken away, and so no blob that one of them names is.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use bytes::Bytes;
use futures::future::try_join_all;

use super::entry::{Definitions, Entry, Stored, Who, schema};
use crate::lake::{Commit, CommitError, File, Lake, LakeError, Table, TableSpec};
use crate::medallion::layer::{LayerError, commit_of, evolved, retention};
use crate::medallion::rules::RulesError;
use crate::names::{Digest, RuleSetNumber, Tenant};

/// Files that are read at once: most hold one row.
const READS: usize = 16;

/// Rows that are decoded at once: each may be a definition of kilobytes.
const BATCH: usize = 256;

/// Why a rule set can't be read, written or made ready.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RuleSetError {
    #[error(transparent)]
    Lake(#[from] LakeError),
    #[error("{table}: {detail}")]
    Refused { table: String, detail: String },
    #[error("rule set {number}: {source}")]
    Rules {
        number: RuleSetNumber,
        source: RulesError,
    },
    #[error(
        "rule set {number} is not in {table}; rows name it, so the table was damaged or replaced: restore it"
    )]
    Unknown { number: i64, table: String },
    #[error("rule set {number} failed: {reason}; name another, `assay rules history` lists them")]
    Failed {
        number: RuleSetNumber,
        reason: String,
    },
    #[error("{table} is gone; was the tenant deleted?")]
    Gone { table: String },
    #[error("there is no rule set {number}; `assay rules history` lists them")]
    NoSuch { number: RuleSetNumber },
    #[error(
        "rule set {failed} can't be taken up, and there is none before it that could go on in its place: none that has not failed itself and is trusted; stage and promote another"
    )]
    NothingBefore { failed: RuleSetNumber },
    #[error("rule set {number} in {table} can't be read by this version of assay: {detail}")]
    Unreadable {
        number: i64,
        table: String,
        detail: String,
    },
    #[error("putting columns together: {0}")]
    Arrow(#[from] ArrowError),
    #[error("making a rule set ready was cut short")]
    Interrupted,
}

pub(super) struct Store {
    lake: Lake,
    tenant: Tenant,
    table: Table,
    /// Files that the table told of, and that were not read yet.
    unread: Vec<File>,
    /// The last change that was read. A file may hold earlier ones too, where others packed the table.
    known: i64,
    /// What was read and not taken yet, in order. It stands here, since a step that fails or is given
    /// up in its middle must not lose what came before it: the table tells of each file once.
    news: Vec<Stored>,
}

impl Store {
    pub async fn open(lake: &Lake, tenant: &Tenant) -> Result<Self, RuleSetError> {
        let spec = TableSpec {
            schema: Arc::new(schema()),
            partition_by: Vec::new(),
            description: "Which rule set judges, since when, and what each of them is".into(),
            properties: retention(),
        };
        let table = lake
            .create_table(&format!("{tenant}/rulesets"), &spec)
            .await?;
        Self::read_from(lake, tenant, table).await
    }

    /// The same store, with all that there is to be taken once more.
    ///
    /// # Errors
    /// `Gone`, or a lake that can't be read.
    pub async fn anew(&self) -> Result<Self, RuleSetError> {
        let path = self.table.path();
        let table = self.lake.open_table(path).await?;
        let gone = || RuleSetError::Gone {
            table: path.to_owned(),
        };
        Self::read_from(&self.lake, &self.tenant, table.ok_or_else(gone)?).await
    }

    async fn read_from(lake: &Lake, tenant: &Tenant, table: Table) -> Result<Self, RuleSetError> {
        let unread = table.files().cloned().collect();
        let mut store = Self {
            lake: lake.clone(),
            tenant: tenant.clone(),
            table,
            unread,
            known: 0,
            news: Vec::new(),
        };
        store.read().await?;
        Ok(store)
    }

    /// Takes what was changed and read since the last time, the oldest first.
    pub fn take(&mut self) -> Vec<Stored> {
        std::mem::take(&mut self.news)
    }

    /// Reads what was changed since the last look.
    pub async fn refresh(&mut self) -> Result<(), RuleSetError> {
        for seen in self.table.refresh().await? {
            // Of versions that are read one by one, one that only packs rows has none that is new.
            let new = |file: &File| seen.reloaded || file.data_change;
            self.unread.extend(seen.added.into_iter().filter(new));
        }
        self.read().await
    }

    /// Adds a change, unless `obsolete` says that what others changed, and nobody took yet, does away
    /// with it. Answers with its number.
    pub async fn add(
        &mut self,
        at: i64,
        who: &Who,
        entry: &Entry,
        obsolete: impl Fn(&[Stored]) -> bool,
    ) -> Result<Option<RuleSetNumber>, RuleSetError> {
        self.lake.keep_house_of(&mut self.table).await;
        self.refresh().await?;
        loop {
            if obsolete(&self.news) {
                return Ok(None);
            }
            let version = self.table.version() + 1;
            let stored = Stored {
                version,
                at,
                who: who.clone(),
                entry: entry.clone(),
            };
            // The table of an older version gets the columns that it lacks.
            let schema = evolved(&self.table, &schema()).map_err(|error| self.refused(&error))?;
            let mut writer = self.table.writer();
            if let Some(schema) = &schema {
                writer = writer.with_schema(schema.clone());
            }
            let commit = Commit {
                adds: writer.write(&stored.row()?).await?,
                schema,
                // Any other change in between would take the number that the row names.
                watched: vec![BTreeMap::new()],
                ..commit_of("WRITE")
            };
            match self.table.commit(&commit).await {
                Ok(_) => {
                    self.known = version;
                    self.news.push(stored);
                    return Ok(Some(RuleSetNumber(version)));
                }
                Err(CommitError::PartitionTouched { .. } | CommitError::MetadataChanged) => {
                    self.refresh().await?;
                }
                Err(CommitError::Lake(error) | CommitError::Unsettled { source: error, .. }) => {
                    return Err(error.into());
                }
                Err(error) => {
                    return Err(RuleSetError::Refused {
                        table: self.table.path().to_owned(),
                        detail: error.to_string(),
                    });
                }
            }
        }
    }

    fn refused(&self, error: &LayerError) -> RuleSetError {
        RuleSetError::Refused {
            table: self.table.path().to_owned(),
            detail: error.to_string(),
        }
    }

    pub fn table(&self) -> &str {
        self.table.path()
    }

    pub async fn put_blob(&self, bytes: Bytes) -> Result<Digest, RuleSetError> {
        let digest = Digest::of(&bytes);
        self.lake.put_blob(&self.blob_path(digest), bytes).await?;
        Ok(digest)
    }

    /// Bytes that were kept. `None`: they are gone, or others lie there now.
    pub async fn blob(&self, digest: Digest) -> Result<Option<Bytes>, RuleSetError> {
        let bytes = self.lake.get_blob(&self.blob_path(digest)).await?;
        Ok(bytes.filter(|bytes| Digest::of(bytes) == digest))
    }

    fn blob_path(&self, digest: Digest) -> String {
        format!("{}/blobs/{digest}", self.tenant)
    }

    /// Reads the files that were not read yet: all of them, since they need not be in order.
    async fn read(&mut self) -> Result<(), RuleSetError> {
        let reader = self.table.reader().with_batch(BATCH);
        let mut stored = Vec::with_capacity(self.unread.len());
        let definitions = Definitions::default();
        for some in self.unread.chunks(READS) {
            let reads = some.iter().map(|file| {
                let (table, definitions) = (self.table.path().to_owned(), definitions.clone());
                let add = move |all: &mut Result<Vec<Stored>, _>, rows: &RecordBatch| {
                    if let Ok(read) = all
                        && let Err(error) = add(read, rows, &table, &definitions)
                    {
                        *all = Err(error);
                    }
                    Ok(())
                };
                let new = ("number", self.known.saturating_add(1)..i64::MAX);
                reader.gather(file, None, new, Ok(Vec::new()), add)
            });
            for read in try_join_all(reads).await? {
                stored.append(&mut read?);
            }
        }
        self.unread.clear();
        // Each change is in memory now; that each is a file, too, need not be.
        self.table.forget_files();
        stored.retain(|stored| stored.version > self.known);
        stored.sort_by_key(|stored| stored.version);
        self.known = stored.last().map_or(self.known, |last| last.version);
        self.news.append(&mut stored);
        Ok(())
    }
}

fn add(
    all: &mut Vec<Stored>,
    rows: &RecordBatch,
    table: &str,
    definitions: &Definitions,
) -> Result<(), RuleSetError> {
    for row in 0..rows.num_rows() {
        all.extend(Stored::of(rows, row, table, definitions)?);
    }
    Ok(())
}
