//! Reading data files: what a file holds, with what the table says about it filled in.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, RecordBatch, RecordBatchOptions, StringArray, UInt32Array, new_null_array,
};
use arrow::compute::{self, CastOptions};
use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use arrow::error::ArrowError;
use deltalake::Path;
use deltalake::logstore::object_store::{GetResultPayload, ObjectStore, ObjectStoreExt as _};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::file::reader::ChunkReader;

use super::log::Log;
use super::state::State;
use super::{File, LakeError};

/// Rows a batch: what one call of a component takes.
const BATCH: usize = 8_192;

/// Reads files of one table. A clone reads from the same table.
#[derive(Clone)]
pub struct FileReader {
    objects: Arc<dyn ObjectStore>,
    table: Arc<str>,
    schema: SchemaRef,
}

/// What is asked of a file.
struct Wanted<'a> {
    file: &'a File,
    schema: SchemaRef,
}

impl FileReader {
    pub(super) fn new(log: &Log, state: &State) -> Self {
        Self {
            objects: log.objects(),
            table: Arc::clone(&log.table),
            schema: Arc::clone(&state.schema),
        }
    }

    /// Reads a file's rows in order: the columns asked for, in the order asked for, or all of the
    /// table's. Partition columns are filled in, and columns that the file lacks are null.
    ///
    /// # Errors
    /// `NoColumn` for a column that the table lacks; `Store` and `DataFile` for a file that can't
    /// be read, which may also mean that it was removed long ago.
    pub async fn read(
        &self,
        file: &File,
        columns: Option<&[&str]>,
    ) -> Result<Vec<RecordBatch>, LakeError> {
        let schema = self.asked(columns)?;
        let name = format!("{}/{}", self.table, file.path);
        let failed = |error| LakeError::store("read", &name, error);
        let path = Path::parse(&file.path).map_err(|error| failed(error.into()))?;
        let found = self.objects.get(&path).await.map_err(failed)?;
        // On a local disk only the chunks of the columns asked for are read.
        match found.payload {
            GetResultPayload::File(open, _) => decode(open, file, schema, name).await,
            GetResultPayload::Stream(_) => {
                let bytes = found.bytes().await.map_err(failed)?;
                decode(bytes, file, schema, name).await
            }
        }
    }

    fn asked(&self, columns: Option<&[&str]>) -> Result<SchemaRef, LakeError> {
        let Some(columns) = columns else {
            return Ok(Arc::clone(&self.schema));
        };
        let field = |column: &&str| -> Result<FieldRef, LakeError> {
            let found = self.schema.fields().find(column);
            found
                .map(|(_, field)| Arc::clone(field))
                .ok_or_else(|| LakeError::NoColumn {
                    table: self.table.to_string(),
                    column: (*column).to_owned(),
                })
        };
        let fields = columns.iter().map(field).collect::<Result<Vec<_>, _>>()?;
        Ok(Arc::new(Schema::new(fields)))
    }
}

async fn decode(
    bytes: impl ChunkReader + 'static,
    file: &File,
    schema: SchemaRef,
    name: String,
) -> Result<Vec<RecordBatch>, LakeError> {
    let file = file.clone();
    let task = tokio::task::spawn_blocking(move || {
        let wanted = Wanted {
            file: &file,
            schema,
        };
        wanted
            .decode(bytes)
            .map_err(|error| LakeError::data("decode", &name, error))
    });
    task.await?
}

impl Wanted<'_> {
    fn decode(&self, bytes: impl ChunkReader + 'static) -> Result<Vec<RecordBatch>, ArrowError> {
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(bytes, options)?;
        let held = builder.schema();
        let stands = |field: &&FieldRef| {
            !self.file.partition_values.contains_key(field.name())
                && held.field_with_name(field.name()).is_ok()
        };
        let names = self
            .schema
            .fields()
            .iter()
            .filter(stands)
            .map(|field| field.name().as_str());
        let mask = ProjectionMask::columns(builder.parquet_schema(), names.collect::<Vec<_>>());
        let reader = builder
            .with_projection(mask)
            .with_batch_size(BATCH)
            .build()?;
        reader.map(|rows| self.fill(&rows?)).collect()
    }

    /// The rows with the columns asked for.
    fn fill(&self, rows: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let count = rows.num_rows();
        let columns = self.schema.fields().iter().map(|field| {
            if let Some(value) = self.file.partition_values.get(field.name()) {
                return repeated(field, value.as_deref(), count);
            }
            match rows.column_by_name(field.name()) {
                None => Ok(new_null_array(field.data_type(), count)),
                Some(found) if found.data_type() == field.data_type() => Ok(Arc::clone(found)),
                Some(found) => cast(found, field),
            }
        });
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)
    }
}

/// A partition's value, as a column.
fn repeated(field: &FieldRef, value: Option<&str>, count: usize) -> Result<ArrayRef, ArrowError> {
    // Delta reads an empty text as null.
    let Some(value) = value.filter(|value| !value.is_empty()) else {
        return Ok(new_null_array(field.data_type(), count));
    };
    let one: ArrayRef = Arc::new(StringArray::from(vec![value]));
    let one = cast(&one, field)?;
    compute::take(&one, &UInt32Array::from_value(0, count), None)
}

fn cast(array: &ArrayRef, field: &FieldRef) -> Result<ArrayRef, ArrowError> {
    // A value that does not fit is an error, never a null.
    let options = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    compute::cast_with_options(array, field.data_type(), &options)
}
