//! One data file on its way: rows go in batch by batch, its bytes and its statistics come out.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, RecordBatch, UInt32Array};
use arrow::compute;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use super::file::Names;
use super::stats::Statistics;
use super::{File, FileWriter, LakeError, Packing, PartitionValues, path};

/// Rows a row group: what is encoded waits in memory until its group is full, and a reader that
/// wants few rows passes over whole groups.
const ROW_GROUP: usize = 131_072;

/// Rows that are looked at to tell whether a column repeats its values.
const SAMPLE: usize = 128;

/// A file of one partition that is being encoded. Each call holds its thread.
pub(super) struct Encoder {
    target: FileWriter,
    values: PartitionValues,
    schema: SchemaRef,
    /// There are so few rows that their columns are written as they are.
    few: bool,
    /// From the first rows on: how they are best encoded shows in them.
    writer: Option<ArrowWriter<Vec<u8>>>,
    statistics: Statistics,
}

impl FileWriter {
    /// Begins a file of the partition with these values, of so many rows where that is known.
    ///
    /// # Errors
    /// `DataFile` for columns that Parquet can't hold.
    pub(super) fn encoder(
        &self,
        values: PartitionValues,
        rows: Option<usize>,
    ) -> Result<Encoder, LakeError> {
        let plain = self.schema.project(&self.plain_columns());
        let plain = plain.map_err(|error| LakeError::data("encode", &self.table, error))?;
        let plain = Arc::new(plain);
        Ok(Encoder {
            target: self.clone(),
            values,
            statistics: Statistics::new(&plain),
            schema: plain,
            few: rows.is_some_and(|rows| rows < SAMPLE),
            writer: None,
        })
    }

    fn properties(&self, rows: &RecordBatch, few: bool) -> Result<WriterProperties, ArrowError> {
        let compression = match self.packing {
            Packing::Quick => Compression::SNAPPY,
            Packing::Dense => Compression::ZSTD(ZstdLevel::try_new(1).unwrap_or_default()),
        };
        let mut properties = WriterProperties::builder()
            .set_compression(compression)
            .set_created_by(super::commit::ENGINE.to_owned())
            .set_max_row_group_row_count(Some(ROW_GROUP))
            // The names that Parquet's specification gives to the parts of lists.
            .set_coerce_types(true)
            .set_statistics_enabled(EnabledStatistics::Chunk);
        if few {
            // A page of dictionary beside one of data takes longer than it saves.
            properties = properties.set_dictionary_enabled(false);
        }
        for (field, values) in rows.schema_ref().fields().iter().zip(rows.columns()) {
            let column = || ColumnPath::from(field.name().as_str());
            if matches!(field.data_type(), DataType::Utf8 | DataType::Binary) {
                // The log has a file's bounds. Rows are not sorted, so those of its groups would
                // spare no reader anything.
                properties =
                    properties.set_column_statistics_enabled(column(), EnabledStatistics::None);
            }
            if few || repeats(values)? {
                continue;
            }
            properties = properties.set_column_dictionary_enabled(column(), false);
            if matches!(
                field.data_type(),
                DataType::Int32 | DataType::Int64 | DataType::Timestamp(..)
            ) {
                properties =
                    properties.set_column_encoding(column(), Encoding::DELTA_BINARY_PACKED);
            }
        }
        Ok(properties.build())
    }

    fn fresh_path(&self, values: &PartitionValues) -> String {
        let mut text = String::new();
        for column in self.partition_by.iter() {
            let value = values.get(column).and_then(Option::as_deref);
            text.push_str(&path::directory(column, value));
            text.push('/');
        }
        let name = match self.packing {
            Packing::Quick => "snappy",
            Packing::Dense => "zstd",
        };
        text.push_str(&format!(
            "part-00000-{}-c000.{name}.parquet",
            uuid::Uuid::new_v4()
        ));
        text
    }
}

impl Encoder {
    /// Adds rows: the table's columns without those of partitions.
    ///
    /// # Errors
    /// `DataFile` for rows with other columns.
    pub(super) fn push(&mut self, rows: &RecordBatch) -> Result<(), LakeError> {
        let table = self.target.table.clone();
        let written = self.writer(rows)?.write(rows);
        written.map_err(|error| LakeError::data("encode", &table, error))?;
        self.statistics.add(rows);
        Ok(())
    }

    /// The writer, begun as these rows are best encoded.
    fn writer(&mut self, rows: &RecordBatch) -> Result<&mut ArrowWriter<Vec<u8>>, LakeError> {
        let table = &self.target.table;
        let writer = match self.writer.take() {
            Some(writer) => writer,
            None => {
                let properties = self.target.properties(rows, self.few);
                let properties =
                    properties.map_err(|error| LakeError::data("encode", table, error))?;
                let options = ArrowWriterOptions::new()
                    .with_properties(properties)
                    .with_skip_arrow_metadata(true);
                ArrowWriter::try_new_with_options(Vec::new(), self.schema.clone(), options)
                    .map_err(|error| LakeError::data("encode", table, error))?
            }
        };
        Ok(self.writer.insert(writer))
    }

    /// Ends the file: what the log will say of it, and its bytes.
    ///
    /// # Errors
    /// `DataFile` if it can't be encoded.
    pub(super) fn finish(mut self) -> Result<(File, Bytes), LakeError> {
        let table = self.target.table.clone();
        let none = RecordBatch::new_empty(self.schema.clone());
        let writer = self.writer(&none)?;
        // Its groups are copied into the file: once, if there is room.
        let size = writer.in_progress_size();
        writer.inner_mut().reserve(size);
        let finished = writer.finish();
        finished.map_err(|error| LakeError::data("encode", &table, error))?;
        let bytes = std::mem::take(writer.inner_mut());
        let stats = self.statistics.text();
        let kept = Names::default().keep(Some(&stats));
        let file = File {
            path: self.target.fresh_path(&self.values),
            size: i64::try_from(bytes.len()).unwrap_or(i64::MAX),
            partition_values: self.values,
            rows: kept.rows,
            data_change: true,
            modified: chrono::Utc::now().timestamp_millis(),
            bounds: kept.bounds,
            stats: Some(stats),
            schema: Some(self.target.schema),
        };
        Ok((file, bytes.into()))
    }
}

/// Whether a dictionary of a column's values pays: one that hardly repeats them, as ids, payloads
/// and digests do, would have it built only to be dropped.
fn repeats(values: &ArrayRef) -> Result<bool, ArrowError> {
    if values.data_type() == &DataType::Binary {
        return Ok(false);
    }
    if values.data_type().is_nested() || values.len() < SAMPLE {
        return Ok(true);
    }
    let stride = values.len() / SAMPLE;
    let rows = (0..SAMPLE).map(|row| u32::try_from(row * stride).unwrap_or_default());
    let sample = compute::take(values, &UInt32Array::from_iter_values(rows), None)?;
    let converter = RowConverter::new(vec![SortField::new(sample.data_type().clone())])?;
    let keys = converter.convert_columns(&[sample])?;
    let distinct: HashSet<_> = keys.iter().collect();
    // So a column of up to about 200 values has a dictionary.
    Ok(distinct.len() * 4 < SAMPLE * 3)
}
