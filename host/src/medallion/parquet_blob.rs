//! Rows as the bytes of one Parquet file: how a dimension's contents are kept as a blob.

use arrow::compute::concat_batches;
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::errors::ParquetError;

/// Reads a blob.
///
/// # Errors
/// Bytes that are no Parquet file.
pub fn read(bytes: &Bytes) -> Result<RecordBatch, ParquetError> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes.clone())?;
    let schema = builder.schema().clone();
    let batches = builder.build()?.collect::<Result<Vec<_>, _>>()?;
    Ok(concat_batches(&schema, &batches)?)
}

/// Writes a blob. The same rows give the same bytes.
///
/// # Errors
/// A type that Parquet has not.
pub fn write(rows: &RecordBatch) -> Result<Bytes, ParquetError> {
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, rows.schema(), None)?;
    writer.write(rows)?;
    writer.close()?;
    Ok(bytes.into())
}
