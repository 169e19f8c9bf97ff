//! A batch: messages of some partitions, from progress to progress, judged by one rule set.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryArray, Int32Array, Int64Array, StringArray, TimestampMicrosecondArray,
};
use arrow::buffer::{Buffer, OffsetBuffer};
use arrow::compute::concat;
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
        let records: Vec<&RecordBatch> = parts.iter().flat_map(|(_, records)| records).collect();
        let rows = records.iter().map(|rows| rows.num_rows()).sum();
        let joined = |name: &str| {
            let columns: Option<Vec<&dyn Array>> = records
                .iter()
                .map(|rows| rows.column_by_name(name).map(AsRef::as_ref))
                .collect();
            let columns = columns.ok_or_else(|| {
                ArrowError::SchemaError(format!("the source gave no column {name}"))
            })?;
            concat(&columns)
        };
        let taken = TimestampMicrosecondArray::from_value(ingested_at, rows).with_timezone("UTC");
        if rows == 0 {
            return Ok(Self {
                ranges: parts.iter().map(|(range, _)| range.clone()).collect(),
                messages: RecordBatch::new_empty(message_schema()),
            });
        }
        let columns: Vec<ArrayRef> = vec![
            Arc::new(by_part(parts, |partition| &partition.topic)),
            Arc::new(by_part(parts, |partition| &partition.source)),
            Arc::new(numbers(parts)),
            joined("_offset")?,
            joined("_timestamp")?,
            Arc::new(taken),
            joined("_key")?,
            joined("_headers")?,
            joined("_raw")?,
        ];
        Ok(Self {
            ranges: parts.iter().map(|(range, _)| range.clone()).collect(),
            messages: RecordBatch::try_new(message_schema(), columns)?,
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

    /// The topic and the source of all messages, if they share them.
    pub fn only_topic(&self) -> Option<(&str, &str)> {
        let mut partitions = self.ranges.iter().map(|range| &range.partition);
        let first = partitions.next()?;
        let same = |other: &Partition| other.topic == first.topic && other.source == first.source;
        partitions
            .all(same)
            .then_some((&*first.topic, &*first.source))
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

type Part = (Range, Vec<RecordBatch>);

fn rows_of(part: &Part) -> usize {
    part.1.iter().map(RecordBatch::num_rows).sum()
}

/// A text of each part's partition, in each of its rows.
fn by_part<'a>(parts: &'a [Part], text: impl Fn(&'a Partition) -> &'a str) -> StringArray {
    let runs = parts
        .iter()
        .map(|part| (text(&part.0.partition), rows_of(part)));
    of_runs(runs)
}

/// The same text in every row.
pub fn repeated(text: &str, rows: usize) -> ArrayRef {
    Arc::new(of_runs(std::iter::once((text, rows))))
}

fn of_runs<'a>(runs: impl Iterator<Item = (&'a str, usize)>) -> StringArray {
    let mut bytes = String::new();
    let mut lengths = Vec::new();
    for (text, rows) in runs {
        bytes.push_str(&text.repeat(rows));
        lengths.extend(std::iter::repeat_n(text.len(), rows));
    }
    let offsets = OffsetBuffer::from_lengths(lengths);
    StringArray::new(offsets, Buffer::from_vec(bytes.into_bytes()), None)
}

fn numbers(parts: &[Part]) -> Int32Array {
    let runs = parts
        .iter()
        .map(|part| std::iter::repeat_n(part.0.partition.number, rows_of(part)));
    Int32Array::from_iter_values(runs.flatten())
}
