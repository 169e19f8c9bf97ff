//! Messages on their way from a source into a batch.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use arrow::array::Array as _;
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

use crate::medallion::cut::{Cut, Range};
use crate::names::{Offset, Partition};
use crate::pipeline::config::Config;
use crate::source::Records;

/// When a batch is cut: at whichever comes first.
pub(super) struct Limits {
    rows: usize,
    /// Of payload.
    bytes: usize,
    /// After its first message.
    every: Duration,
}

impl Limits {
    pub(super) fn of(config: &Config) -> Self {
        Self {
            rows: config.batch.rows,
            bytes: config.memory().batch,
            every: config.batch.every,
        }
    }
}

/// Messages that wait for their batch to be cut.
#[derive(Default)]
pub(super) struct Pending {
    pub(super) parts: BTreeMap<Partition, (Offset, Offset, Vec<RecordBatch>)>,
    rows: usize,
    bytes: usize,
    since: Option<Instant>,
}

impl Pending {
    pub(super) fn push(&mut self, records: Records) {
        self.rows += records.rows.num_rows();
        let raw = records.rows.column_by_name("_raw");
        self.bytes += raw.map_or(0, |raw| raw.get_array_memory_size());
        self.since.get_or_insert_with(Instant::now);
        let part =
            self.parts
                .entry(records.partition)
                .or_insert((records.from, records.from, Vec::new()));
        part.1 = records.to;
        part.2.push(records.rows);
    }

    pub(super) fn is_full(&self, limits: &Limits) -> bool {
        self.rows >= limits.rows || self.bytes >= limits.bytes
    }

    pub(super) fn due(&self, limits: &Limits) -> Option<Instant> {
        self.since.map(|since| since + limits.every)
    }

    /// A batch of these messages, and where it ends in each partition.
    pub(super) fn cut(self, now: i64) -> Result<(Cut, Vec<(Partition, Offset)>), ArrowError> {
        let mut parts = Vec::new();
        let mut ends = Vec::new();
        for (partition, (from, to, rows)) in self.parts {
            ends.push((partition.clone(), to));
            parts.push((
                Range {
                    partition,
                    from,
                    to,
                },
                rows,
            ));
        }
        Ok((Cut::of_records(&parts, now)?, ends))
    }
}
