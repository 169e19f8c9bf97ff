//! The `rulesets` table and its blobs. A rule set's number is the version of the commit that
//! activates it, so no two activations can share one.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;
use bytes::Bytes;

use crate::lake::{Commit, CommitError, File, Lake, LakeError, Table, TableSpec};
use crate::medallion::definition::Definition;
use crate::medallion::layer::commit_of;
use crate::medallion::rules::{RulesError, timestamp_type};
use crate::names::{Digest, Offset, Partition, RuleSetNumber, Tenant};

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
    #[error("rule set {number} in {table} can't be read by this version of assay: {detail}")]
    Unreadable {
        number: i64,
        table: String,
        detail: String,
    },
    #[error("putting columns together: {0}")]
    Arrow(#[from] ArrowError),
}

/// Who changed something, and why: for the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    pub by: String,
    pub why: String,
}

/// One change that the table holds.
#[derive(Clone, Debug)]
pub(super) enum Entry {
    Activate(Box<Definition>),
    Repin {
        partition: Partition,
        from: Offset,
        to: Offset,
        number: RuleSetNumber,
    },
}

/// A change with its number, moment (µs) and author.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub version: i64,
    pub at: i64,
    pub who: Who,
    pub entry: Entry,
}

pub(super) struct Store {
    lake: Lake,
    tenant: Tenant,
    table: Table,
}

fn schema() -> Schema {
    Schema::new(vec![
        Field::new("number", DataType::Int64, false),
        Field::new("kind", DataType::Utf8, false),
        Field::new("at", timestamp_type(), false),
        Field::new("by", DataType::Utf8, false),
        Field::new("why", DataType::Utf8, true),
        Field::new("definition", DataType::Utf8, true),
        Field::new("topic", DataType::Utf8, true),
        Field::new("source", DataType::Utf8, true),
        Field::new("partition", DataType::Int32, true),
        Field::new("from_offset", DataType::Int64, true),
        Field::new("to_offset", DataType::Int64, true),
        Field::new("ruleset", DataType::Int64, true),
    ])
}

impl Store {
    pub async fn open(lake: &Lake, tenant: &Tenant) -> Result<(Self, Vec<Stored>), RuleSetError> {
        let spec = TableSpec {
            schema: Arc::new(schema()),
            partition_by: Vec::new(),
            description: "Which rule set judges, since when, and what each of them is".into(),
            properties: BTreeMap::new(),
        };
        let table = lake
            .create_table(&format!("{tenant}/rulesets"), &spec)
            .await?;
        let store = Self {
            lake: lake.clone(),
            tenant: tenant.clone(),
            table,
        };
        let files: Vec<File> = store.table.files().cloned().collect();
        let stored = store.read(&files).await?;
        Ok((store, stored))
    }

    /// What was changed since the last look.
    pub async fn refresh(&mut self) -> Result<Vec<Stored>, RuleSetError> {
        let seen = self.table.refresh().await?;
        let files: Vec<File> = seen.into_iter().flat_map(|seen| seen.added).collect();
        self.read(&files).await
    }

    /// Adds a change, unless `obsolete` says that what others changed meanwhile does away with it.
    /// Answers with the changes of others and, last, our own.
    pub async fn add(
        &mut self,
        at: i64,
        who: &Who,
        entry: &Entry,
        obsolete: impl Fn(&[Stored]) -> bool,
    ) -> Result<Vec<Stored>, RuleSetError> {
        let mut others = self.refresh().await?;
        loop {
            if obsolete(&others) {
                return Ok(others);
            }
            let version = self.table.version() + 1;
            let stored = Stored {
                version,
                at,
                who: who.clone(),
                entry: entry.clone(),
            };
            let adds = self.table.writer().write(&row(&stored)?).await?;
            let commit = Commit {
                adds,
                // Any other change in between would take the number that the row names.
                watched: vec![BTreeMap::new()],
                ..commit_of("WRITE")
            };
            match self.table.commit(&commit).await {
                Ok(_) => {
                    others.push(stored);
                    return Ok(others);
                }
                Err(CommitError::PartitionTouched { .. }) => others.extend(self.refresh().await?),
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

    pub fn table(&self) -> &str {
        self.table.path()
    }

    pub async fn put_blob(&self, bytes: Bytes) -> Result<Digest, RuleSetError> {
        let digest = Digest::of(&bytes);
        self.lake.put_blob(&self.blob_path(digest), bytes).await?;
        Ok(digest)
    }

    pub async fn blob(&self, digest: Digest) -> Result<Bytes, RuleSetError> {
        let missing = || RulesError::MissingBlob { digest };
        let bytes = self.lake.get_blob(&self.blob_path(digest)).await?;
        let bytes = bytes.filter(|bytes| Digest::of(bytes) == digest);
        bytes.ok_or_else(|| RuleSetError::Rules {
            number: RuleSetNumber(self.table.version()),
            source: missing(),
        })
    }

    fn blob_path(&self, digest: Digest) -> String {
        format!("{}/blobs/{digest}", self.tenant)
    }

    async fn read(&self, files: &[File]) -> Result<Vec<Stored>, RuleSetError> {
        let reader = self.table.reader();
        let mut stored = Vec::new();
        for file in files {
            for rows in reader.read(file, None).await? {
                for row in 0..rows.num_rows() {
                    stored.extend(self.entry(&rows, row)?);
                }
            }
        }
        stored.sort_by_key(|stored| stored.version);
        Ok(stored)
    }

    fn entry(&self, rows: &RecordBatch, row: usize) -> Result<Option<Stored>, RuleSetError> {
        let text = |name: &str| {
            let column = rows.column_by_name(name)?.as_any();
            let column = column.downcast_ref::<StringArray>()?;
            column.is_valid(row).then(|| column.value(row).to_owned())
        };
        let number = |name: &str| {
            let column = rows.column_by_name(name)?.as_any();
            let column = column.downcast_ref::<Int64Array>()?;
            column.is_valid(row).then(|| column.value(row))
        };
        let version = number("number").unwrap_or_default();
        let entry = match text("kind").as_deref() {
            Some("activate") => {
                let definition = text("definition").unwrap_or_default();
                let definition = serde_json::from_str(&definition).map_err(|error| {
                    RuleSetError::Unreadable {
                        number: version,
                        table: self.table.path().to_owned(),
                        detail: error.to_string(),
                    }
                })?;
                Entry::Activate(Box::new(definition))
            }
            Some("re-pin") => {
                let partition = rows
                    .column_by_name("partition")
                    .and_then(|column| column.as_any().downcast_ref::<Int32Array>());
                Entry::Repin {
                    partition: Partition {
                        topic: text("topic").unwrap_or_default().into(),
                        source: text("source").unwrap_or_default().into(),
                        number: partition.map_or(0, |column| column.value(row)),
                    },
                    from: number("from_offset").unwrap_or_default(),
                    to: number("to_offset").unwrap_or_default(),
                    number: RuleSetNumber(number("ruleset").unwrap_or_default()),
                }
            }
            _ => return Ok(None),
        };
        let at = rows
            .column_by_name("at")
            .and_then(|column| column.as_any().downcast_ref::<TimestampMicrosecondArray>());
        Ok(Some(Stored {
            version,
            at: at.map_or(0, |column| column.value(row)),
            who: Who {
                by: text("by").unwrap_or_default(),
                why: text("why").unwrap_or_default(),
            },
            entry,
        }))
    }
}

fn row(stored: &Stored) -> Result<RecordBatch, RuleSetError> {
    let (kind, definition, repin) = match &stored.entry {
        Entry::Activate(definition) => {
            let text = serde_json::to_string(definition)
                .map_err(|error| ArrowError::ExternalError(Box::new(error)))?;
            ("activate", Some(text), None)
        }
        Entry::Repin {
            partition,
            from,
            to,
            number,
        } => ("re-pin", None, Some((partition, *from, *to, number.0))),
    };
    let place = repin.map(|(partition, ..)| partition);
    Ok(RecordBatch::try_new(
        Arc::new(schema()),
        vec![
            Arc::new(Int64Array::from(vec![stored.version])),
            Arc::new(StringArray::from(vec![kind])),
            Arc::new(TimestampMicrosecondArray::from(vec![stored.at]).with_timezone("UTC")),
            Arc::new(StringArray::from(vec![stored.who.by.as_str()])),
            Arc::new(StringArray::from(vec![stored.who.why.as_str()])),
            Arc::new(StringArray::from(vec![definition])),
            Arc::new(StringArray::from(vec![place.map(|p| p.topic.to_string())])),
            Arc::new(StringArray::from(vec![place.map(|p| p.source.to_string())])),
            Arc::new(Int32Array::from(vec![place.map(|p| p.number)])),
            Arc::new(Int64Array::from(vec![repin.map(|r| r.1)])),
            Arc::new(Int64Array::from(vec![repin.map(|r| r.2)])),
            Arc::new(Int64Array::from(vec![repin.map(|r| r.3)])),
        ],
    )?)
}
