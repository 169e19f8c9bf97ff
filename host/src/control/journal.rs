//! A table of changes: each row is one, and its number is the version of its commit.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;
use futures::future::try_join_all;

use crate::lake::{Commit, CommitError, File, Lake, LakeError, Table, TableSpec};
use crate::medallion::layer::{column, commit_of, retention};
use crate::medallion::rules::timestamp_type;

/// Files that are read at once: most hold one row.
const READS: usize = 16;

/// Why a journal can't be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    #[error(transparent)]
    Lake(#[from] LakeError),
    #[error("{table}: {detail}")]
    Refused { table: String, detail: String },
    #[error("putting columns together: {0}")]
    Arrow(#[from] ArrowError),
}

/// What a journal's rows are made of, beside their `number` and the moment `at`.
#[derive(Clone, Copy, Debug)]
pub struct Columns {
    pub texts: &'static [&'static str],
    /// Moments in UTC, in microseconds since 1970.
    pub moments: &'static [&'static str],
    /// What the table is for, as its metadata says.
    pub description: &'static str,
}

/// One change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    pub number: i64,
    /// Microseconds since 1970.
    pub at: i64,
    pub texts: BTreeMap<&'static str, String>,
    pub moments: BTreeMap<&'static str, i64>,
}

impl Row {
    pub fn text(&self, name: &str) -> &str {
        self.texts.get(name).map_or("", String::as_str)
    }
}

/// A table of changes. It is made with its first row.
pub struct Journal {
    lake: Lake,
    path: String,
    columns: Columns,
    table: Option<Table>,
    /// The version whose rows were handed out last.
    read: Option<i64>,
}

impl Journal {
    pub fn new(lake: &Lake, path: &str, columns: Columns) -> Self {
        Self {
            lake: lake.clone(),
            path: path.to_owned(),
            columns,
            table: None,
            read: None,
        }
    }

    /// All rows, the oldest first; `None` where there are none since the last call.
    ///
    /// # Errors
    /// A lake that can't be read.
    pub async fn news(&mut self) -> Result<Option<Vec<Row>>, JournalError> {
        match &mut self.table {
            Some(table) => {
                table.refresh().await?;
            }
            None => self.table = self.lake.open_table(&self.path).await?,
        }
        let version = self.table.as_ref().map_or(-1, Table::version);
        if self.read == Some(version) {
            return Ok(None);
        }
        let rows = self.rows().await?;
        self.read = Some(version);
        Ok(Some(rows))
    }

    async fn rows(&self) -> Result<Vec<Row>, JournalError> {
        let mut rows = Vec::new();
        if let Some(table) = &self.table {
            let reader = table.reader();
            let files: Vec<&File> = table.files().collect();
            for some in files.chunks(READS) {
                let mut reads = Vec::with_capacity(some.len());
                for file in some {
                    reads.push(reader.read(file, None));
                }
                for batch in try_join_all(reads).await?.iter().flatten() {
                    rows.extend((0..batch.num_rows()).map(|row| self.columns.read(batch, row)));
                }
            }
        }
        rows.sort_by_key(|row| row.number);
        Ok(rows)
    }

    /// Adds a row; its number is given here. Answers with it.
    ///
    /// # Errors
    /// A lake that can't be written, or a table of that name that is none of ours.
    pub async fn add(&mut self, row: &Row) -> Result<i64, JournalError> {
        let mut kept = self.table.take();
        // One that can't be followed any more, as where somebody restored it, may well be opened.
        if let Some(table) = &mut kept
            && table.refresh().await.is_err()
        {
            kept = None;
        }
        let mut table = match kept {
            Some(table) => table,
            None => self.make().await?,
        };
        let added = self.columns.add(&mut table, row).await;
        self.lake.keep_house_of(&mut table).await;
        self.table = Some(table);
        added
    }

    /// Forgets which files hold the rows, for one who adds some and reads none: what it keeps does not
    /// grow with the rows that there are.
    pub fn forget_rows(&mut self) {
        if let Some(table) = &mut self.table {
            table.forget_files();
        }
    }

    async fn make(&self) -> Result<Table, LakeError> {
        let spec = TableSpec {
            schema: Arc::new(self.columns.schema()),
            partition_by: Vec::new(),
            description: self.columns.description.to_owned(),
            properties: retention(),
        };
        self.lake.create_table(&self.path, &spec).await
    }
}

impl Columns {
    fn schema(&self) -> Schema {
        let texts = self.texts.iter();
        let texts = texts.map(|name| Field::new(*name, DataType::Utf8, true));
        let moments = self.moments.iter();
        let moments = moments.map(|name| Field::new(*name, timestamp_type(), true));
        let first = [
            Field::new("number", DataType::Int64, false),
            Field::new("at", timestamp_type(), false),
        ];
        Schema::new(
            first
                .into_iter()
                .chain(texts)
                .chain(moments)
                .collect::<Vec<_>>(),
        )
    }

    /// Adds a row to a table that was just read to its end.
    async fn add(&self, table: &mut Table, row: &Row) -> Result<i64, JournalError> {
        loop {
            let number = table.version() + 1;
            let commit = Commit {
                adds: table.writer().write(&self.batch(row, number)?).await?,
                // Any other row in between would take the number that this one names.
                watched: vec![BTreeMap::new()],
                ..commit_of("WRITE")
            };
            match table.commit(&commit).await {
                Ok(_) => return Ok(number),
                Err(CommitError::PartitionTouched { .. } | CommitError::MetadataChanged) => {
                    table.refresh().await?;
                }
                Err(CommitError::Lake(error) | CommitError::Unsettled { source: error, .. }) => {
                    return Err(error.into());
                }
                Err(error) => {
                    return Err(JournalError::Refused {
                        table: table.path().to_owned(),
                        detail: error.to_string(),
                    });
                }
            }
        }
    }

    fn batch(&self, row: &Row, number: i64) -> Result<RecordBatch, ArrowError> {
        let moment = |moment: Option<i64>| -> ArrayRef {
            Arc::new(TimestampMicrosecondArray::from(vec![moment]).with_timezone("UTC"))
        };
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(vec![number])),
            moment(Some(row.at)),
        ];
        for name in self.texts {
            let text = row.texts.get(name).map(String::as_str);
            columns.push(Arc::new(StringArray::from(vec![text])));
        }
        for name in self.moments {
            columns.push(moment(row.moments.get(name).copied()));
        }
        RecordBatch::try_new(Arc::new(self.schema()), columns)
    }

    fn read(&self, rows: &RecordBatch, row: usize) -> Row {
        let moment = |name: &str| {
            let column = column::<TimestampMicrosecondArray>(rows, name)?;
            column.is_valid(row).then(|| column.value(row))
        };
        let text = |name: &str| {
            let column = column::<StringArray>(rows, name)?;
            column.is_valid(row).then(|| column.value(row).to_owned())
        };
        let number = column::<Int64Array>(rows, "number");
        Row {
            number: number.map_or(0, |column| column.value(row)),
            at: moment("at").unwrap_or_default(),
            texts: self
                .texts
                .iter()
                .filter_map(|name| Some((*name, text(name)?)))
                .collect(),
            moments: self
                .moments
                .iter()
                .filter_map(|name| Some((*name, moment(name)?)))
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: Columns = Columns {
        texts: &["what", "why"],
        moments: &["until"],
        description: "a test",
    };

    fn row(what: &str, until: Option<i64>) -> Row {
        Row {
            number: 0,
            at: 7,
            texts: BTreeMap::from([("what", what.to_owned())]),
            moments: until.map(|until| ("until", until)).into_iter().collect(),
        }
    }

    #[tokio::test]
    async fn rows_come_back_in_the_order_of_their_numbers_and_only_when_there_are_more() {
        let lake = Lake::open("memory:///").unwrap();
        let mut reader = Journal::new(&lake, "_assay/test", COLUMNS);
        assert_eq!(reader.news().await.unwrap(), Some(Vec::new()));
        assert_eq!(reader.news().await.unwrap(), None);
        let (mut one, mut other) = (
            Journal::new(&lake, "_assay/test", COLUMNS),
            Journal::new(&lake, "_assay/test", COLUMNS),
        );
        let first = one.add(&row("a", Some(9))).await.unwrap();
        let second = other.add(&row("b", None)).await.unwrap();
        let third = one.add(&row("c", None)).await.unwrap();
        assert!(first < second && second < third);
        let rows = reader.news().await.unwrap().unwrap();
        let whats: Vec<&str> = rows.iter().map(|row| row.text("what")).collect();
        assert_eq!(whats, ["a", "b", "c"]);
        assert_eq!(rows[0].moments.get("until"), Some(&9));
        assert_eq!(rows[1].moments.get("until"), None);
        assert_eq!(rows[2].number, third);
        assert_eq!(reader.news().await.unwrap(), None);
    }
}
