//! One data file on its way: rows go in batch by batch, its bytes and its statistics come out.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Schema};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use super::file::Names;
use super::stats::Statistics;
use super::{File, FileWriter, LakeError, Packing, PartitionValues, path};

/// Rows a row group: what is encoded waits in memory until its group is full, and a reader that
/// wants few rows passes over whole groups.
const ROW_GROUP: usize = 131_072;

/// A file of one partition that is being encoded. Each call holds its thread.
pub(super) struct Encoder {
    target: FileWriter,
    values: PartitionValues,
    writer: ArrowWriter<Vec<u8>>,
    statistics: Statistics,
}

impl FileWriter {
    /// Begins a file of the partition with these values.
    ///
    /// # Errors
    /// `DataFile` for columns that Parquet can't hold.
    pub(super) fn encoder(&self, values: PartitionValues) -> Result<Encoder, LakeError> {
        let failed = |error| LakeError::data("encode", &self.table, error);
        let plain = self.schema.project(&self.plain_columns());
        let plain = Arc::new(plain.map_err(|error| failed(error.into()))?);
        let options = ArrowWriterOptions::new()
            .with_properties(self.properties(&plain))
            .with_skip_arrow_metadata(true);
        let statistics = Statistics::new(&plain);
        let writer = ArrowWriter::try_new_with_options(Vec::new(), plain, options);
        Ok(Encoder {
            target: self.clone(),
            values,
            writer: writer.map_err(failed)?,
            statistics,
        })
    }

    fn properties(&self, schema: &Schema) -> WriterProperties {
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
        for field in schema.fields() {
            // Payloads and digests hardly repeat: a dictionary of them is built only to be dropped.
            if field.data_type() == &DataType::Binary {
                let column = ColumnPath::from(field.name().as_str());
                properties = properties.set_column_dictionary_enabled(column, false);
            }
        }
        properties.build()
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
        let written = self.writer.write(rows);
        written.map_err(|error| LakeError::data("encode", &self.target.table, error))?;
        self.statistics.add(rows);
        Ok(())
    }

    /// Ends the file: what the log will say of it, and its bytes.
    ///
    /// # Errors
    /// `DataFile` if it can't be encoded.
    pub(super) fn finish(mut self) -> Result<(File, Bytes), LakeError> {
        let finished = self.writer.finish();
        finished.map_err(|error| LakeError::data("encode", &self.target.table, error))?;
        let bytes = std::mem::take(self.writer.inner_mut());
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
