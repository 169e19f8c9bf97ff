//! Reading a checkpoint: a Parquet file that stands for all versions up to its own.
//!
//! Only the columns that the tail keeps are decoded. Checkpoints of the second kind, with sidecars,
//! belong to a table feature that is refused.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray, RecordBatch, StructArray};
use arrow::datatypes::{DataType, Int32Type, Int64Type};
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};

use super::LakeError;
use super::action::{Action, Add, Format, Metadata, Protocol, Remove, Txn};

/// What is decoded, by the names of Parquet's columns.
const COLUMNS: &[&str] = &[
    "txn",
    "metaData",
    "protocol",
    "add.path",
    "add.partitionValues",
    "add.size",
    "add.modificationTime",
    "add.dataChange",
    "add.stats",
    "add.deletionVector",
    "remove.path",
    "remove.deletionTimestamp",
];

/// Reads one file of a checkpoint. Blocks, for as long as decoding takes.
///
/// # Errors
/// `Checkpoint` for a file that is no Parquet, or lacks what Delta's protocol demands.
pub(super) fn read(path: &str, bytes: Bytes) -> Result<Vec<Action>, LakeError> {
    let failed = |error: &dyn std::fmt::Display| LakeError::Checkpoint {
        path: path.to_owned(),
        reason: error.to_string(),
    };
    // The Arrow schema that a writer may have left there could ask for other kinds of text.
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(bytes, options)
        .map_err(|error| failed(&error))?;
    let mask = ProjectionMask::columns(builder.parquet_schema(), COLUMNS.iter().copied());
    let reader = builder
        .with_projection(mask)
        .build()
        .map_err(|error| failed(&error))?;
    let mut actions = Vec::new();
    for batch in reader {
        let batch = batch.map_err(|error| failed(&error))?;
        take_actions(&batch, &mut actions).ok_or_else(|| failed(&"a column is missing"))?;
    }
    Ok(actions)
}

/// Appends the actions of a batch. `None`: a column that must be there is not, or is of another
/// type.
fn take_actions(batch: &RecordBatch, actions: &mut Vec<Action>) -> Option<()> {
    let part = |name: &str| {
        let column = batch.column_by_name(name)?;
        Some(Part(column.as_struct_opt()?))
    };
    if let Some(protocol) = part("protocol") {
        for row in protocol.rows() {
            actions.push(Action::Protocol(Protocol {
                min_reader_version: protocol.integer("minReaderVersion", row)?,
                min_writer_version: protocol.integer("minWriterVersion", row)?,
                reader_features: protocol.texts("readerFeatures", row),
                writer_features: protocol.texts("writerFeatures", row),
            }));
        }
    }
    if let Some(metadata) = part("metaData") {
        for row in metadata.rows() {
            actions.push(Action::Metadata(metadata_at(&metadata, row)?));
        }
    }
    if let Some(txn) = part("txn") {
        for row in txn.rows() {
            actions.push(Action::Txn(Txn {
                app_id: txn.text("appId", row)?,
                version: txn.long("version", row)?,
                last_updated: txn.long("lastUpdated", row),
            }));
        }
    }
    if let Some(add) = part("add") {
        for row in add.rows() {
            actions.push(Action::Add(add_at(&add, row)?));
        }
    }
    if let Some(remove) = part("remove") {
        for row in remove.rows() {
            actions.push(Action::Remove(Remove {
                path: remove.text("path", row)?,
                deletion_timestamp: remove.long("deletionTimestamp", row),
                data_change: false,
                extended_file_metadata: None,
                partition_values: None,
                size: None,
            }));
        }
    }
    Some(())
}

fn metadata_at(metadata: &Part<'_>, row: usize) -> Option<Metadata> {
    let provider = metadata
        .child("format")
        .and_then(|format| Part(format.as_struct_opt()?).text("provider", row));
    Some(Metadata {
        id: metadata.text("id", row)?,
        name: metadata.text("name", row),
        description: metadata.text("description", row),
        format: Format {
            provider: provider.unwrap_or_else(|| "parquet".to_owned()),
            options: BTreeMap::new(),
        },
        schema_string: metadata.text("schemaString", row)?,
        partition_columns: metadata.texts("partitionColumns", row).unwrap_or_default(),
        configuration: metadata
            .map("configuration", row)
            .unwrap_or_default()
            .into_iter()
            .filter_map(|(key, value)| Some((key, value?)))
            .collect(),
        created_time: metadata.long("createdTime", row),
    })
}

fn add_at(add: &Part<'_>, row: usize) -> Option<Add> {
    let vector = add
        .child("deletionVector")
        .is_some_and(|vector| vector.is_valid(row));
    Some(Add {
        path: add.text("path", row)?,
        partition_values: add.map("partitionValues", row).unwrap_or_default(),
        size: add.long("size", row)?,
        modification_time: add.long("modificationTime", row)?,
        data_change: add.boolean("dataChange", row).unwrap_or(false),
        stats: add.text("stats", row),
        deletion_vector: vector.then_some(serde_json::Value::Bool(true)),
    })
}

/// The column of one kind of action.
struct Part<'a>(&'a StructArray);

impl<'a> Part<'a> {
    fn rows(&self) -> impl Iterator<Item = usize> + 'a {
        let part = self.0;
        (0..part.len()).filter(move |row| part.is_valid(*row))
    }

    fn child(&self, name: &str) -> Option<&'a dyn Array> {
        self.0.column_by_name(name).map(|column| &**column)
    }

    fn text(&self, name: &str, row: usize) -> Option<String> {
        text_at(self.child(name)?, row)
    }

    fn integer(&self, name: &str, row: usize) -> Option<i32> {
        let column = self.child(name)?.as_primitive_opt::<Int32Type>()?;
        column.is_valid(row).then(|| column.value(row))
    }

    fn long(&self, name: &str, row: usize) -> Option<i64> {
        let column = self.child(name)?.as_primitive_opt::<Int64Type>()?;
        column.is_valid(row).then(|| column.value(row))
    }

    fn boolean(&self, name: &str, row: usize) -> Option<bool> {
        let column = self.child(name)?.as_boolean_opt()?;
        column.is_valid(row).then(|| column.value(row))
    }

    fn texts(&self, name: &str, row: usize) -> Option<Vec<String>> {
        let column = self.child(name)?.as_list_opt::<i32>()?;
        if column.is_null(row) {
            return None;
        }
        let values = column.value(row);
        (0..values.len())
            .map(|item| text_at(&values, item))
            .collect()
    }

    fn map(&self, name: &str, row: usize) -> Option<BTreeMap<String, Option<String>>> {
        let column = self.child(name)?.as_map_opt()?;
        if column.is_null(row) {
            return None;
        }
        let entries = column.value(row);
        let (keys, values) = (entries.columns().first()?, entries.columns().get(1)?);
        (0..entries.len())
            .map(|item| Some((text_at(keys, item)?, text_at(values, item))))
            .collect()
    }
}

fn text_at(column: &dyn Array, row: usize) -> Option<String> {
    if column.is_null(row) {
        return None;
    }
    Some(match column.data_type() {
        DataType::Utf8 => column.as_string::<i32>().value(row).to_owned(),
        DataType::LargeUtf8 => column.as_string::<i64>().value(row).to_owned(),
        _ => return None,
    })
}
