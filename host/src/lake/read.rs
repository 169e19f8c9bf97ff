//! Reading data files: what a file holds, with what the table says about it filled in.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, RecordBatch, RecordBatchOptions, StringArray, UInt32Array, new_null_array,
};
use arrow::compute::{self, CastOptions};
use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use arrow::error::ArrowError;
use bytes::Bytes;
use deltalake::Path;
use deltalake::logstore::object_store::{GetResultPayload, ObjectStore, ObjectStoreExt as _};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::reader::ChunkReader;
use parquet::file::statistics::Statistics;

use super::log::Log;
use super::state::State;
use super::{File, LakeError, PartitionValues};
use crate::processor::{Share, give_way};

/// Rows a batch, unless it is said: what one call of a component takes.
const BATCH: usize = 8_192;

/// Reads files of one table. A clone reads from the same table.
#[derive(Clone)]
pub struct FileReader {
    objects: Arc<dyn ObjectStore>,
    table: Arc<str>,
    schema: SchemaRef,
    share: Share,
    batch: usize,
}

/// A file that is open and not decoded yet.
pub(super) struct Opened {
    held: Held,
    wanted: Wanted,
    name: String,
}

/// What is asked of a file.
struct Wanted {
    values: PartitionValues,
    schema: SchemaRef,
    within: Option<(String, Range<i64>)>,
    batch: usize,
}

enum Held {
    /// On a local disk only the chunks of the columns asked for are read.
    OnDisk(std::fs::File),
    Fetched(Bytes),
}

impl FileReader {
    pub(super) fn new(log: &Log, state: &State) -> Self {
        Self {
            objects: log.objects(),
            table: Arc::clone(&log.table),
            schema: Arc::clone(&state.schema),
            share: log.share.clone(),
            batch: BATCH,
        }
    }

    /// Has rows come so many at a time at most: what is decoded at once takes memory.
    #[must_use]
    pub fn with_batch(mut self, rows: usize) -> Self {
        self.batch = rows;
        self
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
        let opened = self.open(file, columns).await?;
        let read = self.share.spawn(move || {
            let mut all = Vec::new();
            opened.each(|rows| {
                all.push(rows);
                Ok(())
            })?;
            Ok(all)
        });
        read.await?
    }

    /// Has `add` gather a file's rows in `held`, some at a time, so that what is not kept takes no
    /// memory. Rows come in large groups; of those without a value of the integer column `within`
    /// its range none come. What is asked is else as for `read`.
    ///
    /// # Errors
    /// As `read`.
    pub async fn gather<T: Send + 'static>(
        &self,
        file: &File,
        columns: Option<&[&str]>,
        within: (&str, Range<i64>),
        mut held: T,
        add: impl Fn(&mut T, &RecordBatch) -> Result<(), ArrowError> + Send + 'static,
    ) -> Result<T, LakeError> {
        let mut opened = self.open(file, columns).await?;
        opened.wanted.within = Some((within.0.to_owned(), within.1));
        let read = self.share.spawn(move || {
            let name = opened.name.clone();
            opened.each(|rows| {
                add(&mut held, &rows).map_err(|error| LakeError::data("read", &name, error))
            })?;
            Ok(held)
        });
        read.await?
    }

    /// Opens a file whose rows are then taken batch by batch; what is asked is as for `read`.
    pub(super) async fn open(
        &self,
        file: &File,
        columns: Option<&[&str]>,
    ) -> Result<Opened, LakeError> {
        let schema = self.asked(columns)?;
        let name = format!("{}/{}", self.table, file.path);
        let failed = |error| LakeError::store("read", &name, error);
        let path = Path::parse(&file.path).map_err(|error| failed(error.into()))?;
        let found = self.objects.get(&path).await.map_err(failed)?;
        let held = match found.payload {
            GetResultPayload::File(open, _) => Held::OnDisk(open),
            GetResultPayload::Stream(_) => Held::Fetched(found.bytes().await.map_err(failed)?),
        };
        Ok(Opened {
            held,
            wanted: Wanted {
                values: file.partition_values.clone(),
                schema,
                within: None,
                batch: self.batch,
            },
            name,
        })
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

impl Opened {
    /// Hands on the rows in order, some at a time. Holds its thread until all are decoded.
    ///
    /// # Errors
    /// `DataFile` for a file that can't be decoded; then what `take` says.
    pub(super) fn each(
        self,
        mut take: impl FnMut(RecordBatch) -> Result<(), LakeError>,
    ) -> Result<(), LakeError> {
        let Self { held, wanted, name } = self;
        let failed = |error| LakeError::data("decode", &name, error);
        let batches = match held {
            Held::OnDisk(file) => wanted.batches(file),
            Held::Fetched(bytes) => wanted.batches(bytes),
        };
        for rows in batches.map_err(failed)? {
            give_way();
            take(rows.and_then(|rows| wanted.fill(&rows)).map_err(failed)?)?;
        }
        Ok(())
    }
}

impl Wanted {
    fn batches(
        &self,
        bytes: impl ChunkReader + 'static,
    ) -> Result<ParquetRecordBatchReader, ArrowError> {
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(bytes, options)?;
        let held = builder.schema();
        let stands = |field: &&FieldRef| {
            !self.values.contains_key(field.name()) && held.field_with_name(field.name()).is_ok()
        };
        let names = self
            .schema
            .fields()
            .iter()
            .filter(stands)
            .map(|field| field.name().as_str());
        let mask = ProjectionMask::columns(builder.parquet_schema(), names.collect::<Vec<_>>());
        let groups = builder.metadata().row_groups().iter().enumerate();
        let groups = groups.filter(|(_, group)| self.may_lie_in(group));
        let groups = groups.map(|(number, _)| number).collect();
        Ok(builder
            .with_row_groups(groups)
            .with_projection(mask)
            .with_batch_size(self.batch)
            .build()?)
    }

    /// Whether a group may hold rows that are asked for, as far as its statistics tell.
    fn may_lie_in(&self, group: &RowGroupMetaData) -> bool {
        let Some((name, range)) = &self.within else {
            return true;
        };
        let mut columns = group.columns().iter();
        let column = columns.find(|column| column.column_path().parts() == [name.as_str()]);
        let bounds = match column.and_then(|column| column.statistics()) {
            Some(Statistics::Int64(bounds)) => bounds.min_opt().zip(bounds.max_opt()),
            _ => None,
        };
        bounds.is_none_or(|(low, high)| *low < range.end && *high >= range.start)
    }

    /// The rows with the columns asked for.
    fn fill(&self, rows: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let count = rows.num_rows();
        let columns = self.schema.fields().iter().map(|field| {
            if let Some(value) = self.values.get(field.name()) {
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
