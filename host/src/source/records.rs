//! From records to columns: the rows that every source delivers, and where a chunk of them is cut.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use arrow::array::{
    Array as _, ArrayRef, BinaryBuilder, Int64Array, StringBuilder, TimestampMicrosecondArray,
};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::record_batch::RecordBatch;

use super::{Records, SourceError};
use crate::names::{Offset, Partition};

/// A chunk is cut at this many rows: what one call into a rule is measured with, and few enough
/// that a batch can be gathered to the row that its trigger names.
pub const CHUNK_ROWS: usize = 8_192;
/// A chunk is cut at this many bytes of payload, in bytes: several make up a batch, and a few dozen
/// may wait in queues without being felt in memory.
pub const CHUNK_BYTES: usize = 4 << 20;
/// A chunk is cut this long after its first row: far below any commit interval, and long enough
/// that a trickle does not become a chunk a row.
pub const CHUNK_AGE: Duration = Duration::from_millis(20);

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        Field::new("_offset", DataType::Int64, false),
        Field::new("_timestamp", utc, true),
        Field::new("_key", DataType::Binary, true),
        Field::new("_headers", DataType::Utf8, true),
        Field::new("_raw", DataType::Binary, true),
    ]))
});

/// The columns of every [`Records`]: `_offset`, `_timestamp` (when the source says the record was
/// made), `_key`, `_headers` and `_raw`, the payload as it came (null: a record without one).
///
/// `_headers` is JSON text: `[["name","value"],…]` in the order they came, null where there are
/// none. A value that is no UTF-8 stands as `{"hex":"…"}`, a missing one as `null`.
pub fn schema() -> SchemaRef {
    SCHEMA.clone()
}

/// One record, borrowed from where it was received.
#[derive(Clone, Copy, Debug, Default)]
pub struct Record<'a> {
    pub offset: Offset,
    /// In microseconds since 1970 UTC.
    pub timestamp: Option<i64>,
    pub key: Option<&'a [u8]>,
    pub headers: Option<&'a str>,
    pub raw: Option<&'a [u8]>,
}

/// A partition's records on their way into columns.
pub struct Chunk {
    epoch: u64,
    partition: Partition,
    from: Offset,
    to: Offset,
    offsets: Vec<i64>,
    timestamps: Vec<i64>,
    timestamped: Vec<bool>,
    keys: BinaryBuilder,
    headers: StringBuilder,
    raw: BinaryBuilder,
    bytes: usize,
    since: Option<Instant>,
}

impl Chunk {
    /// Nothing yet of `partition`, which is read from `start`.
    pub fn new(epoch: u64, partition: Partition, start: Offset) -> Self {
        Self {
            epoch,
            partition,
            from: start,
            to: start,
            offsets: Vec::new(),
            timestamps: Vec::new(),
            timestamped: Vec::new(),
            keys: BinaryBuilder::new(),
            headers: StringBuilder::new(),
            raw: BinaryBuilder::new(),
            bytes: 0,
            since: None,
        }
    }

    pub fn partition(&self) -> &Partition {
        &self.partition
    }

    /// The position after the last record.
    pub fn to(&self) -> Offset {
        self.to
    }

    /// Adds a record; `next` is the position behind it. One that lies before the position was
    /// delivered twice, and is left out.
    pub fn push(&mut self, record: &Record<'_>, next: Offset) {
        if record.offset < self.to {
            return;
        }
        self.offsets.push(record.offset);
        self.timestamps.push(record.timestamp.unwrap_or_default());
        self.timestamped.push(record.timestamp.is_some());
        self.keys.append_option(record.key);
        self.headers.append_option(record.headers);
        self.raw.append_option(record.raw);
        self.bytes += record.raw.map_or(0, <[u8]>::len)
            + record.key.map_or(0, <[u8]>::len)
            + record.headers.map_or(0, str::len);
        self.to = next;
    }

    /// Moves the position over offsets that have no record.
    pub fn skip(&mut self, to: Offset) {
        self.to = self.to.max(to);
    }

    /// Whether it is to be cut at once.
    pub fn is_full(&self) -> bool {
        self.offsets.len() >= CHUNK_ROWS || self.bytes >= CHUNK_BYTES
    }

    /// Whether it is to be cut because of its age. The age counts from the first time this is
    /// asked while there is something in it, which spares a look at the clock for each record.
    pub fn is_due(&mut self, now: Instant) -> bool {
        if self.to == self.from {
            return false;
        }
        now.duration_since(*self.since.get_or_insert(now)) >= CHUNK_AGE
    }

    /// Whether nothing was consumed since the last cut.
    pub fn is_empty(&self) -> bool {
        self.to == self.from
    }

    /// Hands out what there is, and goes on behind it.
    ///
    /// # Errors
    /// The columns do not fit each other, which no input can bring about.
    pub fn cut(&mut self) -> Result<Records, SourceError> {
        let timestamped = std::mem::take(&mut self.timestamped);
        let timestamps = TimestampMicrosecondArray::new(
            std::mem::take(&mut self.timestamps).into(),
            Some(NullBuffer::from(timestamped)).filter(|nulls| nulls.null_count() > 0),
        );
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(std::mem::take(&mut self.offsets))),
            Arc::new(timestamps.with_timezone("UTC")),
            Arc::new(self.keys.finish()),
            Arc::new(self.headers.finish()),
            Arc::new(self.raw.finish()),
        ];
        // The next chunk is likely to be as large, and growing into it would copy it once more.
        let rows = columns.first().map_or(0, |column| column.len());
        self.offsets = Vec::with_capacity(rows);
        self.timestamps = Vec::with_capacity(rows);
        self.timestamped = Vec::with_capacity(rows);
        self.raw = BinaryBuilder::with_capacity(rows, self.bytes);
        let rows =
            RecordBatch::try_new(schema(), columns).map_err(|source| SourceError::Columns {
                partition: self.partition.clone(),
                source,
            })?;
        let from = std::mem::replace(&mut self.from, self.to);
        self.bytes = 0;
        self.since = None;
        Ok(Records {
            epoch: self.epoch,
            partition: self.partition.clone(),
            from,
            to: self.to,
            rows,
        })
    }
}
