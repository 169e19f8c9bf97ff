//! A batch: messages of some partitions, from progress to progress, judged by one rule set.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryArray, Int32Array, Int64Array, StringArray, TimestampMicrosecondArray,
};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

use super::rules::{identity_fields, timestamp_type};
use crate::names::{Offset, Partition};

/// What a batch covers of one partition: the messages from `from` on, before `to`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    pub partition: Partition,
    pub from: Offset,
    pub to: Offset,
}

/// The messages of a batch, as they came.
#[derive(Clone, Debug)]
pub struct Cut {
    pub ranges: Vec<Range>,
    /// One row a message: the columns of [`message_schema`].
    pub messages: RecordBatch,
}

/// `_topic _source _partition _offset _timestamp _ingested_at _key _headers _raw`.
pub fn message_schema() -> SchemaRef {
    let mut fields = identity_fields();
    fields.extend([
        Field::new("_timestamp", timestamp_type(), true),
        Field::new("_ingested_at", timestamp_type(), false),
        Field::new("_key", DataType::Binary, true),
        Field::new("_headers", DataType::Utf8, true),
        Field::new("_raw", DataType::Binary, true),
    ]);
    Arc::new(Schema::new(fields))
}

impl Cut {
    /// A batch of what a source delivered. `parts` are the records of each partition in order,
    /// `ingested_at` is in microseconds.
    ///
    /// # Errors
    /// A source whose columns are not those of its contract.
    pub fn of_records(
        parts: &[(Range, Vec<RecordBatch>)],
        ingested_at: i64,
    ) -> Result<Self, ArrowError> {
        let schema = message_schema();
        let mut batches = Vec::new();
        for (range, records) in parts {
            for rows in records {
                batches.push(with_identity(&schema, &range.partition, rows, ingested_at)?);
            }
        }
        Ok(Self {
            ranges: parts.iter().map(|(range, _)| range.clone()).collect(),
            messages: concat_batches(&schema, &batches)?,
        })
    }

    pub fn len(&self) -> usize {
        self.messages.num_rows()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn column(&self, name: &str) -> ArrayRef {
        match self.messages.column_by_name(name) {
            Some(column) => column.clone(),
            None => arrow::array::new_null_array(&DataType::Null, self.len()),
        }
    }

    pub fn raw(&self) -> BinaryArray {
        let column = self.column("_raw");
        match column.as_any().downcast_ref::<BinaryArray>() {
            Some(raw) => raw.clone(),
            None => BinaryArray::new_null(self.len()),
        }
    }

    /// Which message a row is, for people.
    pub fn place(&self, message: usize) -> String {
        let partition = self.column("_partition");
        let offset = self.column("_offset");
        let topic = self.column("_topic");
        let (Some(topic), Some(partition), Some(offset)) = (
            topic.as_any().downcast_ref::<StringArray>(),
            partition.as_any().downcast_ref::<Int32Array>(),
            offset.as_any().downcast_ref::<Int64Array>(),
        ) else {
            return String::new();
        };
        if message >= self.len() {
            return String::new();
        }
        format!(
            "{}/{} offset {}",
            topic.value(message),
            partition.value(message),
            offset.value(message)
        )
    }
}

fn with_identity(
    schema: &SchemaRef,
    partition: &Partition,
    rows: &RecordBatch,
    ingested_at: i64,
) -> Result<RecordBatch, ArrowError> {
    let n = rows.num_rows();
    let taken = |name: &str| {
        rows.column_by_name(name)
            .cloned()
            .ok_or_else(|| ArrowError::SchemaError(format!("the source gave no column {name}")))
    };
    RecordBatch::try_new(
        schema.clone(),
        vec![
            repeated(&partition.topic, n),
            repeated(&partition.source, n),
            Arc::new(Int32Array::from_value(partition.number, n)),
            taken("_offset")?,
            taken("_timestamp")?,
            Arc::new(TimestampMicrosecondArray::from_value(ingested_at, n).with_timezone("UTC")),
            taken("_key")?,
            taken("_headers")?,
            taken("_raw")?,
        ],
    )
}

/// The same text in every row.
pub fn repeated(text: &str, rows: usize) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(std::iter::repeat_n(
        text, rows,
    )))
}
