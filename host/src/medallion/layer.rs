//! What the layers share: progress in a table's transactions, and what can come of a commit.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::Array;
use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

use super::cut::Range;
use super::dedup::IndexFull;
use super::judge::JudgeError;
use crate::lake::{Commit, CommitError, LakeError, Move, Table};
use crate::names::{Offset, Partition, Tenant};
use crate::plugin::CallError;

/// The app id's ending under which a table keeps where a partition began.
pub const START: &str = "/start";
/// The app id's ending under which quarantine keeps how far duplicates were noted.
pub const DUPLICATES: &str = "/duplicates";

/// Why a batch did not land in a layer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LayerError {
    /// Another host holds the partition: what it did is read, and the batch dropped.
    #[error("{table}: progress moved under us ({detail})")]
    Fenced { table: String, detail: String },
    /// The table's columns changed: the batch is decoded again.
    #[error("{table}: its metadata changed")]
    Changed { table: String },
    /// The lake did not do what it was asked to: it may next time.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// It is not known whether a commit came true: the log says so once it can be read.
    #[error("{table}: {detail}")]
    Unsettled { table: String, detail: String },
    /// A person must decide.
    #[error("{table}: {detail}")]
    Refused { table: String, detail: String },
    #[error(
        "{table}: column {column} is {held} in the table but {wanted} by the rule set; give it another name in the pipeline, or have the old type back"
    )]
    Clash {
        table: String,
        column: String,
        held: String,
        wanted: String,
    },
    #[error(transparent)]
    Judge(#[from] JudgeError),
    #[error("gold table {table}: {source}")]
    Gold { table: String, source: CallError },
    #[error(transparent)]
    Index(#[from] IndexFull),
    #[error("putting columns together: {0}")]
    Arrow(#[from] ArrowError),
    #[error(
        "{row} was refused by {rule} under rule set {ruleset}, but is not in quarantine, which covers it; the rule set does not give the same answer twice: nothing was written, re-pin the range with `assay rules re-pin`"
    )]
    Unrepeatable {
        row: String,
        rule: String,
        ruleset: i64,
    },
}

impl LayerError {
    /// What of a table's columns or partitions a rule set does not fit, in words; `None` for what is
    /// no fault of the rule set.
    pub fn fault(&self) -> Option<String> {
        match self {
            Self::Clash { .. } | Self::Refused { .. } => Some(self.to_string()),
            Self::Lake(LakeError::ColumnType { .. } | LakeError::PartitionColumns { .. }) => {
                Some(self.to_string())
            }
            _ => None,
        }
    }
}

/// How long files that were packed or replaced are kept: an hour is enough for a reader that began
/// before. Not longer, since each commit leaves some behind, and every checkpoint names them all.
pub fn retention() -> BTreeMap<String, String> {
    BTreeMap::from([(
        "delta.deletedFileRetentionDuration".to_owned(),
        "interval 1 hours".to_owned(),
    )])
}

/// How far a table is in a partition.
pub fn progress(
    table: &Table,
    tenant: &Tenant,
    partition: &Partition,
    ending: &str,
) -> Option<Offset> {
    let app_id = format!("{}{ending}", partition.app_id(tenant));
    table.transactions().get(&app_id).map(|txn| txn.version)
}

/// The moves of a commit that covers `ranges`. The first for a partition notes where it began.
pub fn moves(table: &Table, tenant: &Tenant, ranges: &[Range], ending: &str) -> Vec<Move> {
    let mut moves = Vec::new();
    for range in ranges {
        let app_id = range.partition.app_id(tenant);
        let begun = progress(table, tenant, &range.partition, ending).is_some();
        if ending.is_empty() && !begun {
            let start = format!("{app_id}{START}");
            if !table.transactions().contains_key(&start) {
                moves.push(Move {
                    app_id: start,
                    from: None,
                    to: range.from,
                });
            }
        }
        moves.push(Move {
            app_id: format!("{app_id}{ending}"),
            from: begun.then_some(range.from),
            to: range.to,
        });
    }
    moves
}

/// A commit of its own identity, by which its writer knows it again.
pub fn commit_of(operation: &'static str) -> Commit {
    Commit {
        operation,
        batch_id: uuid::Uuid::new_v4().to_string(),
        ..Commit::default()
    }
}

/// What came of a commit that did not fail for good.
pub enum Put {
    Done,
    /// A file that it replaces is gone, or one was added where it writes: look again.
    Touched,
}

/// Commits, and sorts what can come of it.
///
/// # Errors
/// Everything but a touched partition, which is the caller's to look at.
pub async fn put(table: &mut Table, commit: &Commit) -> Result<Put, LayerError> {
    let path = table.path().to_owned();
    match table.commit(commit).await {
        Ok(_) => Ok(Put::Done),
        Err(CommitError::PartitionTouched { .. } | CommitError::FileGone { .. }) => {
            Ok(Put::Touched)
        }
        Err(CommitError::MetadataChanged) => Err(LayerError::Changed { table: path }),
        Err(error @ (CommitError::Fenced { .. } | CommitError::Gap { .. })) => {
            Err(LayerError::Fenced {
                table: path,
                detail: error.to_string(),
            })
        }
        Err(CommitError::Lake(error)) => Err(error.into()),
        Err(error @ CommitError::Unsettled { .. }) => Err(LayerError::Unsettled {
            table: path,
            detail: error.to_string(),
        }),
        Err(error) => Err(LayerError::Refused {
            table: path,
            detail: error.to_string(),
        }),
    }
}

/// The schema that holds a table's columns and those that are wanted. `None`: it has them all.
///
/// # Errors
/// `Clash` where a column is there with another type.
pub fn evolved(table: &Table, wanted: &Schema) -> Result<Option<SchemaRef>, LayerError> {
    let held = table.schema();
    let mut fields: Vec<Arc<Field>> = held.fields().iter().cloned().collect();
    for field in wanted.fields() {
        match held.field_with_name(field.name()) {
            Ok(known) if known.data_type() == field.data_type() => {}
            Ok(known) => {
                return Err(LayerError::Clash {
                    table: table.path().to_owned(),
                    column: field.name().clone(),
                    held: known.data_type().to_string(),
                    wanted: field.data_type().to_string(),
                });
            }
            Err(_) => fields.push(Arc::new(field.as_ref().clone().with_nullable(true))),
        }
    }
    Ok((fields.len() > held.fields().len()).then(|| Arc::new(Schema::new(fields))))
}

/// A column by name and type.
pub fn column<'a, A: Array + 'static>(rows: &'a RecordBatch, name: &str) -> Option<&'a A> {
    rows.column_by_name(name)?.as_any().downcast_ref()
}
