//! What can be wrong with a dimension, in words for who made the file.

use std::path::PathBuf;

use arrow::datatypes::DataType;
use arrow::error::ArrowError;

use crate::schema::FieldType;

/// Why a dimension can't be read or asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DimensionError {
    #[error("{}: can't be read: {source}", path.display())]
    Unreadable {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{}: a dimension is a file that ends in .csv, .ndjson, .jsonl or .json (one object a line)", path.display())]
    UnknownFormat { path: PathBuf },
    #[error("{}:{line}: {problem}", path.display())]
    BadLine {
        path: PathBuf,
        line: u64,
        problem: String,
    },
    #[error("{}: dimension {dimension} has no column {column:?}, which is in its key; its columns are {found:?}", path.display())]
    NoKeyColumn {
        path: PathBuf,
        dimension: String,
        column: String,
        found: Vec<String>,
    },
    #[error("{}:{line}: key column {column} is empty; every row of dimension {dimension} needs it", path.display())]
    NoKey {
        path: PathBuf,
        line: u64,
        dimension: String,
        column: String,
    },
    #[error("{}:{line}: key {key}: {value:?} in column {column} is no {wanted}", path.display())]
    BadValue {
        path: PathBuf,
        line: u64,
        key: String,
        column: String,
        value: String,
        wanted: FieldType,
    },
    #[error("{}:{second}: key {key} stands in line {first} already; {}", path.display(), remedy(*versioned))]
    Duplicate {
        path: PathBuf,
        key: String,
        first: u64,
        second: u64,
        versioned: bool,
    },
    #[error("{}:{line}: key {key}: valid_to is not after valid_from, so the row never holds", path.display())]
    NeverValid {
        path: PathBuf,
        line: u64,
        key: String,
    },
    #[error("dimension {dimension}: {problem}")]
    BadSpec { dimension: String, problem: String },
    #[error(
        "dimension {dimension} was loaded with {column} as {held}, and the pipeline says {wanted}; load it again"
    )]
    Stale {
        dimension: String,
        column: String,
        held: DataType,
        wanted: DataType,
    },
    #[error(
        "dimension {dimension}: the rows as loaded don't fit its key: {problem}; load it again"
    )]
    Unfit { dimension: String, problem: String },
    #[error(
        "dimension {dimension} has {column} as {held}, which can't be asked for as {asked}; set its type under [dimension.{dimension}] columns and load it again"
    )]
    WrongType {
        dimension: String,
        column: String,
        held: DataType,
        asked: DataType,
    },
    #[error(
        "dimension {dimension} has rows that hold for a time, and no timestamp was given to look them up as of"
    )]
    NoMoment { dimension: String },
    #[error("dimension {dimension}: {source}")]
    Arrow {
        dimension: String,
        source: ArrowError,
    },
}

fn remedy(versioned: bool) -> &'static str {
    if versioned {
        "rows of one key must not hold at the same moment: mend their valid_from and valid_to"
    } else {
        "keep one of them, or give both valid_from and valid_to"
    }
}
