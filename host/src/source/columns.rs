//! Records as Arrow columns while they arrive.

use std::sync::Arc;

use arrow::array::{
    BinaryBuilder, Int64Builder, RecordBatch, StringBuilder, TimestampMicrosecondBuilder,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;

use crate::names::Offset;

/// Columns of one partition's records.
pub struct Columns {
    offset: Int64Builder,
    timestamp: TimestampMicrosecondBuilder,
    key: BinaryBuilder,
    headers: StringBuilder,
    raw: BinaryBuilder,
    rows: usize,
    bytes: usize,
}

fn schema() -> SchemaRef {
    let moment = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        Field::new("_offset", DataType::Int64, false),
        Field::new("_timestamp", moment, true),
        Field::new("_key", DataType::Binary, true),
        Field::new("_headers", DataType::Utf8, true),
        Field::new("_raw", DataType::Binary, true),
    ]))
}

impl Default for Columns {
    fn default() -> Self {
        Self {
            offset: Int64Builder::new(),
            timestamp: TimestampMicrosecondBuilder::new().with_timezone("UTC"),
            key: BinaryBuilder::new(),
            headers: StringBuilder::new(),
            raw: BinaryBuilder::new(),
            rows: 0,
            bytes: 0,
        }
    }
}

impl Columns {
    pub fn push(
        &mut self,
        offset: Offset,
        timestamp: Option<i64>,
        key: Option<&[u8]>,
        headers: Option<&str>,
        raw: Option<&[u8]>,
    ) {
        self.offset.append_value(offset);
        self.timestamp.append_option(timestamp);
        self.key.append_option(key);
        self.headers.append_option(headers);
        self.raw.append_option(raw);
        self.rows += 1;
        self.bytes += raw.map_or(0, <[u8]>::len) + key.map_or(0, <[u8]>::len);
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn finish(&mut self) -> Result<RecordBatch, ArrowError> {
        self.rows = 0;
        self.bytes = 0;
        RecordBatch::try_new(
            schema(),
            vec![
                Arc::new(self.offset.finish()),
                Arc::new(self.timestamp.finish()),
                Arc::new(self.key.finish()),
                Arc::new(self.headers.finish()),
                Arc::new(self.raw.finish()),
            ],
        )
    }
}
