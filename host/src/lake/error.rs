//! What can go wrong in the lake. Each message says which table or path, and what to do.

use std::error::Error;
use std::io::{self, ErrorKind};

use arrow::datatypes::DataType;
use deltalake::logstore::object_store::Error as StoreError;

type Source = Box<dyn Error + Send + Sync>;

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
    /// Whether it may be over without anybody acting: a store that does not answer, a disk that is
    /// full or fails. Not where the store turns away who asks, or has no such place.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Store { source, .. } | Self::DataFile { source, .. } => {
                !is_refusal(source.as_ref())
            }
            Self::Task(_) => true,
            _ => false,
        }
    }

    /// Why a folder on a disk can't be a lake.
    pub(super) fn folder(uri: &str, error: io::Error) -> Self {
        match refuses(&error) {
            true => Self::Location {
                uri: uri.to_owned(),
                reason: error.to_string(),
            },
            false => Self::store("open the lake", uri, error),
        }
    }

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

/// Whether an error comes from a refusal.
fn is_refusal(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(cause) = next {
        let store = cause.downcast_ref::<StoreError>();
        let refused = store.is_some_and(|error| {
            matches!(
                error,
                StoreError::NotFound { .. }
                    | StoreError::PermissionDenied { .. }
                    | StoreError::Unauthenticated { .. }
                    | StoreError::InvalidPath { .. }
                    | StoreError::NotSupported { .. }
                    | StoreError::NotImplemented { .. }
            )
        });
        if refused || cause.downcast_ref::<io::Error>().is_some_and(refuses) {
            return true;
        }
        next = cause.source();
    }
    false
}

/// Whether a file system says that it will not, rather than that it can't just now.
fn refuses(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::NotFound
            | ErrorKind::PermissionDenied
            | ErrorKind::AlreadyExists
            | ErrorKind::NotADirectory
            | ErrorKind::IsADirectory
            | ErrorKind::InvalidInput
            | ErrorKind::InvalidFilename
            | ErrorKind::Unsupported
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_fails_may_pass_and_a_refusal_does_not() {
        const EIO: i32 = 5;
        let wrapped = |error: io::Error| StoreError::Generic {
            store: "local disk",
            source: Box::new(error),
        };
        let full = io::Error::from(ErrorKind::StorageFull);
        let denied = io::Error::from(ErrorKind::PermissionDenied);
        let error = |source: StoreError| LakeError::store("write", "a/b", source);
        assert!(error(wrapped(full)).may_pass());
        assert!(error(wrapped(io::Error::from_raw_os_error(EIO))).may_pass());
        assert!(!error(wrapped(denied)).may_pass());
        let forbidden = StoreError::PermissionDenied {
            path: "a/b".to_owned(),
            source: "403".into(),
        };
        assert!(!error(forbidden).may_pass());
        let torn = LakeError::TornLog {
            table: "a".to_owned(),
            version: 1,
            reason: "it is empty".to_owned(),
        };
        assert!(!torn.may_pass());
    }

    #[test]
    fn a_folder_that_fails_is_no_wrong_folder() {
        let read_only = io::Error::from(ErrorKind::ReadOnlyFilesystem);
        assert!(LakeError::folder("./lake", read_only).may_pass());
        let denied = io::Error::from(ErrorKind::PermissionDenied);
        let said = LakeError::folder("./lake", denied).to_string();
        assert!(said.contains("that this user can write to"), "{said}");
    }
}
