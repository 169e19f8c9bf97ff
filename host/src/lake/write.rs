//! Writing rows to data files that nobody sees until they are committed.
//!
//! One file for each partition that the rows touch. Splitting, encoding and compressing run on a
//! blocking thread, so that the thread that commits never waits for the processor.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array, new_null_array};
use arrow::compute;
use arrow::datatypes::{Field, SchemaRef};
use arrow::row::{RowConverter, SortField};
use bytes::Bytes;
use deltalake::Path;
use deltalake::logstore::object_store::{ObjectStore, ObjectStoreExt as _};
use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::log::Log;
use super::state::State;
use super::{
    File, LakeError, PartitionValues, columns, fault, partition_value_fits, partition_value_of,
};
use crate::processor::{Share, give_way};

/// How many files are put at once.
const PUTS: usize = 8;

/// How files are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Packing {
    /// Snappy: quick to write and to read by all engines. For typed columns, and for whatever is
    /// soon packed again with what comes after it.
    #[default]
    Quick,
    /// Zstandard at its first level: for raw payloads that stay, which it packs to half of what
    /// Snappy does.
    Dense,
}

/// Writes files of one table. A clone writes to the same table.
#[derive(Clone)]
pub struct FileWriter {
    objects: Arc<dyn ObjectStore>,
    pub(super) table: Arc<str>,
    pub(super) schema: SchemaRef,
    pub(super) partition_by: Arc<[String]>,
    pub(super) packing: Packing,
    share: Share,
}

impl FileWriter {
    pub(super) fn new(log: &Log, state: &State) -> Self {
        Self {
            objects: log.objects(),
            table: Arc::clone(&log.table),
            schema: Arc::clone(&state.schema),
            partition_by: state.metadata.partition_columns.clone().into(),
            packing: Packing::default(),
            share: log.share.clone(),
        }
    }

    /// Writes under a schema that the commit of these files brings about.
    #[must_use]
    pub fn with_schema(mut self, schema: SchemaRef) -> Self {
        self.schema = schema;
        self
    }

    #[must_use]
    pub fn with_packing(mut self, packing: Packing) -> Self {
        self.packing = packing;
        self
    }

    /// The schema that files are written under.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Writes rows, one file a partition; none for no rows. Columns are found by name; those that
    /// `rows` lacks become null.
    ///
    /// # Errors
    /// `NoColumn` for a column that the table lacks, `ColumnType` for one of another type,
    /// `PartitionValue` for a value that can't be a partition. Files that were put before an
    /// error stay behind unseen.
    pub async fn write(&self, rows: &RecordBatch) -> Result<Vec<File>, LakeError> {
        self.write_some(rows, None).await
    }

    /// As [`Self::write`], those rows alone that `chosen` names, in its order; all without it. So
    /// rows are copied once, to where their partition is, and not first to be among the chosen.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub async fn write_some(
        &self,
        rows: &RecordBatch,
        chosen: Option<Vec<u32>>,
    ) -> Result<Vec<File>, LakeError> {
        let (writer, rows) = (self.clone(), rows.clone());
        let encode = move || writer.encode_all(&rows, chosen);
        let encoded = self.share.spawn(encode).await??;
        stream::iter(encoded)
            .map(|(file, bytes)| self.put(file, bytes))
            .buffered(PUTS)
            .try_collect()
            .await
    }

    pub(super) async fn put(&self, file: File, bytes: Bytes) -> Result<File, LakeError> {
        let failed = |path: &str| format!("{}/{path}", self.table);
        let path = Path::parse(&file.path)
            .map_err(|error| LakeError::store("write", failed(&file.path), error))?;
        let put = self.objects.put(&path, bytes.into()).await;
        put.map_err(|error| LakeError::store("write", failed(&file.path), error))?;
        fault::point_of(&self.table, "file")?;
        Ok(file)
    }

    fn encode_all(
        &self,
        rows: &RecordBatch,
        chosen: Option<Vec<u32>>,
    ) -> Result<Vec<(File, Bytes)>, LakeError> {
        if rows.num_rows() == 0 {
            return Ok(Vec::new());
        }
        let rows = self.conform(rows)?;
        let all = chosen.is_none();
        let chosen = match chosen {
            Some(chosen) => chosen,
            None => (0..u32::try_from(rows.num_rows())
                .map_err(|error| LakeError::data("split", &self.table, error))?)
                .collect(),
        };
        let split = self.split(&rows, chosen)?;
        let whole = all && split.len() == 1;
        let plain = self.plain_columns();
        split
            .into_iter()
            .map(|part| {
                give_way();
                let values = self.values_of(&rows, part.first().copied().unwrap_or_default())?;
                let taken = rows.project(&plain).and_then(|rows| {
                    if whole {
                        return Ok(rows);
                    }
                    compute::take_record_batch(&rows, &UInt32Array::from(part))
                });
                let taken = taken.map_err(|error| LakeError::data("split", &self.table, error))?;
                let mut encoder = self.encoder(values, Some(taken.num_rows()))?;
                encoder.push(&taken)?;
                encoder.finish()
            })
            .collect()
    }

    /// The rows with exactly the table's columns.
    fn conform(&self, rows: &RecordBatch) -> Result<RecordBatch, LakeError> {
        let table = || self.table.to_string();
        for field in rows.schema_ref().fields() {
            if self.schema.field_with_name(field.name()).is_err() {
                return Err(LakeError::NoColumn {
                    table: table(),
                    column: field.name().clone(),
                });
            }
        }
        let column = |field: &Arc<Field>| match rows.column_by_name(field.name()) {
            None => Ok(new_null_array(field.data_type(), rows.num_rows())),
            Some(found) if found.data_type() == field.data_type() => Ok(Arc::clone(found)),
            Some(found) if columns::same_type(found.data_type(), field.data_type()) => {
                compute::cast(found, field.data_type())
                    .map_err(|error| LakeError::data("shape the rows of", &self.table, error))
            }
            Some(found) => Err(LakeError::ColumnType {
                table: table(),
                column: field.name().clone(),
                wanted: field.data_type().clone(),
                found: found.data_type().clone(),
            }),
        };
        let fields = self.schema.fields().iter();
        let found: Vec<ArrayRef> = fields.map(column).collect::<Result<_, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), found, &options)
            .map_err(|error| LakeError::data("shape the rows of", &self.table, error))
    }

    /// The chosen rows of each partition, partitions by their first row.
    fn split(&self, rows: &RecordBatch, chosen: Vec<u32>) -> Result<Vec<Vec<u32>>, LakeError> {
        let keys: Vec<ArrayRef> = self
            .partition_by
            .iter()
            .filter_map(|column| rows.column_by_name(column).cloned())
            .collect();
        if keys.is_empty() {
            return Ok(vec![chosen]);
        }
        let failed = |error| LakeError::data("split", &self.table, error);
        let kinds = keys
            .iter()
            .map(|key| SortField::new(key.data_type().clone()))
            .collect();
        let converter = RowConverter::new(kinds).map_err(failed)?;
        let keys = converter.convert_columns(&keys).map_err(failed)?;
        let mut parts: Vec<Vec<u32>> = Vec::new();
        let mut known = HashMap::with_hasher(foldhash::fast::RandomState::default());
        let mut last = None;
        for row in chosen {
            let key = keys.row(row as usize);
            // Rows mostly come in runs of one partition.
            let part = match last {
                Some((same, part)) if same == key => part,
                _ => *known.entry(key).or_insert_with(|| {
                    parts.push(Vec::new());
                    parts.len() - 1
                }),
            };
            last = Some((key, part));
            if let Some(part) = parts.get_mut(part) {
                part.push(row);
            }
        }
        Ok(parts)
    }

    fn values_of(&self, rows: &RecordBatch, row: u32) -> Result<PartitionValues, LakeError> {
        let mut values = BTreeMap::new();
        for column in self.partition_by.iter() {
            let Some(array) = rows.column_by_name(column) else {
                continue;
            };
            let row = row as usize;
            let value = partition_value_of(array, row);
            let bad = |value: String, reason| LakeError::PartitionValue {
                table: self.table.to_string(),
                column: column.clone(),
                value,
                reason,
            };
            match &value {
                None if array.is_valid(row) => {
                    return Err(bad(
                        String::new(),
                        "values of its type have no place in a path",
                    ));
                }
                Some(text) if !partition_value_fits(column, text) => {
                    let text = text.chars().take(64).collect();
                    return Err(bad(
                        text,
                        "an empty text means null, and a path's part ends at 255 bytes",
                    ));
                }
                _ => {}
            }
            values.insert(column.clone(), value);
        }
        Ok(values)
    }

    /// The positions of the columns that stand in files: those of partitions stand in the log.
    pub(super) fn plain_columns(&self) -> Vec<usize> {
        let fields = self.schema.fields().iter().enumerate();
        fields
            .filter(|(_, field)| !self.partition_by.contains(field.name()))
            .map(|(position, _)| position)
            .collect()
    }
}
