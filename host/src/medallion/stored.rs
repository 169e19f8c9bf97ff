//! Reading one partition's rows back from a layer's table. A packed file holds many batches of
//! many partitions, so what is read is bounded by rows, not by files.

use std::collections::BTreeSet;

use arrow::array::{BooleanArray, Int32Array, Int64Array, StringArray};
use arrow::compute::filter_record_batch;
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

use super::layer::{LayerError, column};
use crate::lake::{Bound, File, Table};
use crate::names::{Offset, Partition};

/// The columns that say which row of which message a row is.
pub const IDENTITY: [&str; 5] = ["_topic", "_source", "_partition", "_offset", "_line"];

/// Rows of one partition, from an offset on.
pub struct Stored {
    partition: Partition,
    from: Offset,
    /// The rows are all that there are before this.
    pub end: Offset,
    /// In no order.
    pub rows: Vec<RecordBatch>,
    count: usize,
    most_rows: usize,
    last: Offset,
}

impl Stored {
    /// Reads rows from `from` on, before `to`, or before an earlier end if there are many more
    /// than `most_rows`. A message's rows are never parted. `names` must hold the columns that say
    /// whose a row is.
    ///
    /// # Errors
    /// A lake that can't be read.
    pub async fn read(
        table: &Table,
        partition: &Partition,
        (from, to): (Offset, Offset),
        names: Option<&[&str]>,
        most_rows: usize,
    ) -> Result<Self, LayerError> {
        let mut stored = Self {
            partition: partition.clone(),
            from,
            end: to,
            rows: Vec::new(),
            count: 0,
            most_rows,
            last: from,
        };
        let reader = table.reader();
        for (first, file) in files_of(table, partition, from, to) {
            // Later files begin later still, so there is all that lies before this one.
            if stored.count >= most_rows && first > stored.last {
                stored.end = stored.end.min(first);
            }
            if first >= stored.end {
                break;
            }
            let within = ("_offset", from..stored.end);
            stored = reader
                .gather(&file, names, within, stored, Self::add)
                .await?;
        }
        Ok(stored)
    }

    fn add(&mut self, rows: &RecordBatch) -> Result<(), ArrowError> {
        let rows = filter_record_batch(rows, &self.ours(rows))?;
        let offsets = column::<Int64Array>(&rows, "_offset").map(Int64Array::values);
        let Some(last) = offsets.and_then(|offsets| offsets.iter().max()) else {
            return Ok(());
        };
        self.last = self.last.max(*last);
        self.count += rows.num_rows();
        self.rows.push(rows);
        if self.count / 2 >= self.most_rows {
            self.shorten()?;
        }
        Ok(())
    }

    /// Which rows are the partition's, and lie before the end.
    fn ours(&self, rows: &RecordBatch) -> BooleanArray {
        let (Some(topic), Some(source), Some(number), Some(offset)) = (
            column::<StringArray>(rows, "_topic"),
            column::<StringArray>(rows, "_source"),
            column::<Int32Array>(rows, "_partition"),
            column::<Int64Array>(rows, "_offset"),
        ) else {
            return BooleanArray::from(vec![false; rows.num_rows()]);
        };
        let ours = (0..rows.num_rows()).map(|row| {
            (self.from..self.end).contains(&offset.value(row))
                && number.value(row) == self.partition.number
                && topic.value(row) == &*self.partition.topic
                && source.value(row) == &*self.partition.source
        });
        BooleanArray::from(ours.collect::<Vec<_>>())
    }

    /// Ends earlier, with the first rows only.
    fn shorten(&mut self) -> Result<(), ArrowError> {
        let offsets = self.rows.iter().filter_map(|rows| column(rows, "_offset"));
        let offsets = offsets.flat_map(|offsets: &Int64Array| offsets.values().iter().copied());
        let mut offsets: Vec<Offset> = offsets.collect();
        offsets.sort_unstable();
        let (Some(first), Some(end)) = (offsets.first(), offsets.get(self.most_rows)) else {
            return Ok(());
        };
        // At least one message, however many its rows.
        self.end = (*end).max(first + 1);
        for rows in std::mem::take(&mut self.rows) {
            let rows = filter_record_batch(&rows, &self.ours(&rows))?;
            self.rows.push(rows);
        }
        self.count = self.rows.iter().map(RecordBatch::num_rows).sum();
        self.last = self.end - 1;
        Ok(())
    }

    /// The (offset, line) of the rows that `counts` is true of.
    pub fn identities(
        &self,
        counts: impl Fn(&RecordBatch, usize) -> bool,
    ) -> BTreeSet<(Offset, i32)> {
        let mut found = BTreeSet::new();
        for rows in &self.rows {
            if let (Some(offset), Some(line)) = (
                column::<Int64Array>(rows, "_offset"),
                column::<Int32Array>(rows, "_line"),
            ) {
                let rows = (0..rows.num_rows()).filter(|row| counts(rows, *row));
                found.extend(rows.map(|row| (offset.value(row), line.value(row))));
            }
        }
        found
    }
}

/// Live files that may hold rows of a partition's offsets from `from` on, before `to`, by the
/// first offset that they may hold.
fn files_of(table: &Table, partition: &Partition, from: Offset, to: Offset) -> Vec<(Offset, File)> {
    let number = i64::from(partition.number);
    let mut files: Vec<(Offset, File)> = Vec::new();
    for file in table.files() {
        let offsets = integers(file, "_offset");
        let numbers = integers(file, "_partition");
        if offsets.is_none_or(|(low, high)| low < to && high >= from)
            && numbers.is_none_or(|(low, high)| low <= number && high >= number)
        {
            files.push((offsets.map_or(from, |(low, _)| low), file.clone()));
        }
    }
    files.sort_by_key(|(first, _)| *first);
    files
}

/// The least and the greatest value of a column in a file, where its statistics say.
fn integers(file: &File, column: &str) -> Option<(i64, i64)> {
    match file.bound(column) {
        Some(Bound::Integer(least, most)) => Some((*least, *most)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use arrow::array::ArrayRef;
    use arrow::datatypes::{DataType, Field, Schema};

    use super::*;
    use crate::lake::{Lake, Packing, TableSpec};
    use crate::medallion::layer::commit_of;
    use crate::medallion::rules::identity_fields;

    type Row = (i32, Offset, i32);

    /// Rows of two partitions by batch: one is far ahead of the other, whose messages have several
    /// lines. The last message has more of them than are read at once.
    fn batches() -> Vec<Vec<Row>> {
        let mut batches: Vec<Vec<Row>> = (0..64)
            .map(|batch| {
                let ahead = (0..10).map(|row| (0, 1_000 + batch * 10 + row, 0));
                let behind = (0..15).map(|row| (1, batch * 5 + i64::from(row / 3), row % 3));
                ahead.chain(behind).collect()
            })
            .collect();
        batches.push((0..100).map(|line| (1, 320, line)).collect());
        batches
    }

    async fn table() -> Table {
        let lake = Lake::open("memory:///").unwrap();
        let mut fields = identity_fields();
        fields.push(Field::new("_line", DataType::Int32, false));
        let schema = Arc::new(Schema::new(fields));
        let spec = TableSpec {
            schema: schema.clone(),
            partition_by: Vec::new(),
            description: String::new(),
            properties: BTreeMap::new(),
        };
        let mut table = lake.create_table("north/silver", &spec).await.unwrap();
        for rows in batches() {
            let columns = schema.fields().iter().map(|field| -> ArrayRef {
                let rows = rows.iter();
                match field.name().as_str() {
                    "_partition" => Arc::new(Int32Array::from_iter_values(rows.map(|r| r.0))),
                    "_offset" => Arc::new(Int64Array::from_iter_values(rows.map(|r| r.1))),
                    "_line" => Arc::new(Int32Array::from_iter_values(rows.map(|r| r.2))),
                    name => Arc::new(StringArray::from(vec![name; rows.len()])),
                }
            });
            let rows = RecordBatch::try_new(schema.clone(), columns.collect()).unwrap();
            let mut commit = commit_of("WRITE");
            commit.adds = table.writer().write(&rows).await.unwrap();
            table.commit(&commit).await.unwrap();
        }
        table
    }

    async fn read_all(table: &Table, number: i32) -> (Vec<(Offset, i32)>, usize) {
        let partition = Partition {
            topic: "_topic".into(),
            source: "_source".into(),
            number,
        };
        let (mut from, to, mut steps, mut all) = (0, 2_000, 0, Vec::new());
        while from < to {
            let range = (from, to);
            let stored = Stored::read(table, &partition, range, Some(&IDENTITY), 20).await;
            let stored = stored.unwrap();
            let found = stored.identities(|_, _| true);
            assert!(stored.end > from && found.len() <= 100, "{range:?}");
            assert!(
                found
                    .iter()
                    .all(|(offset, _)| (from..stored.end).contains(offset))
            );
            all.extend(found);
            (from, steps) = (stored.end, steps + 1);
        }
        (all, steps)
    }

    #[tokio::test]
    async fn each_row_comes_back_once_in_steps_of_some_rows_also_from_a_packed_file() {
        let mut table = table().await;
        let mut packed = false;
        loop {
            for number in [0, 1] {
                let rows = batches().into_iter().flatten();
                let wanted = rows.filter(|row| row.0 == number).map(|row| (row.1, row.2));
                let (found, steps) = read_all(&table, number).await;
                assert_eq!(found, wanted.collect::<Vec<_>>());
                assert!(steps < 100, "{steps}");
            }
            if packed {
                break;
            }
            let due = table.compaction(Packing::Quick).unwrap().run().await;
            due.unwrap().commit(&mut table).await.unwrap().unwrap();
            assert_eq!(table.files().count(), 1);
            packed = true;
        }
    }
}
