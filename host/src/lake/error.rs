//! What can go wrong in the lake. Each message says which table or path, and what to do.

use arrow::datatypes::DataType;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why the lake could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LakeError {
    #[error(
        "the lake {uri} can't be used: {reason}; give a folder that this user can write to, or a URL like abfss://container@account.dfs.core.windows.net/lake, s3://bucket/lake or gs://bucket/lake"
    )]
    Location { uri: String, reason: String },

    #[error("[lake.options] {name}: {reason}")]
    Option { name: String, reason: String },

    #[error(
        "the lake {uri} can't be used: its store put an object where there was one already, though it was told not to; hosts would overwrite each other's commits: use a store with conditional puts (If-None-Match)"
    )]
    Overwrites { uri: String },

    #[error(
        "{table:?} can't be a table's path: use names parted by single slashes, without `.` and `..`"
    )]
    TablePath { table: String },

    #[error("could not {verb} {path}: {source}")]
    Store {
        verb: &'static str,
        path: String,
        source: Source,
    },

    #[error(
        "version {version} of the log of {table} is torn ({reason}); nothing is committed until that is healed: `assay table repair` says whether it can be, else restore that file"
    )]
    TornLog {
        table: String,
        version: i64,
        reason: String,
    },

    #[error(
        "the log of {table} has no version {missing}, and no checkpoint covers it; restore the file or the checkpoint"
    )]
    HoleInLog { table: String, missing: i64 },

    #[error(
        "the checkpoint {path} can't be read: {reason}; restore it, or the versions that it stands for"
    )]
    Checkpoint { path: String, reason: String },

    #[error("{table} can't be worked with safely: {reason}")]
    Refused { table: String, reason: String },

    #[error(
        "{table} is partitioned by {found:?}, not by {wanted:?}; move the table away or change the configuration"
    )]
    PartitionColumns {
        table: String,
        wanted: Vec<String>,
        found: Vec<String>,
    },

    #[error("column {column} of {table} is {found}, not {wanted}")]
    ColumnType {
        table: String,
        column: String,
        wanted: DataType,
        found: DataType,
    },

    #[error("{table} has no column {column}")]
    NoColumn { table: String, column: String },

    #[error("column {column} of type {data_type} can't be kept in a Delta table here")]
    UnsupportedType { column: String, data_type: String },

    #[error("{column} = {value:?} can't be a partition of {table}: {reason}")]
    PartitionValue {
        table: String,
        column: String,
        value: String,
        reason: &'static str,
    },

    #[error("could not {verb} the data file {path}: {source}")]
    DataFile {
        verb: &'static str,
        path: String,
        source: Source,
    },

    #[error(
        "{path} holds {found} rows, but its log says {noted}; nothing was packed, its statistics or the file are damaged"
    )]
    RowsDiffer {
        path: String,
        noted: i64,
        found: i64,
    },

    #[error("a task of the lake was stopped: {0}")]
    Task(#[from] tokio::task::JoinError),
}

impl LakeError {
    pub(super) fn store(
        verb: &'static str,
        path: impl ToString,
        source: impl Into<Source>,
    ) -> Self {
        Self::Store {
            verb,
            path: path.to_string(),
            source: source.into(),
        }
    }

    pub(super) fn data(verb: &'static str, path: &str, source: impl Into<Source>) -> Self {
        Self::DataFile {
            verb,
            path: path.to_owned(),
            source: source.into(),
        }
    }
}
