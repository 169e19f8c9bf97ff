//! Bronze: every message as it came, with its offset and the rule set that judges it.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array, Int64Array, TimestampMicrosecondArray};
use arrow::compute::{concat_batches, sort_to_indices, take_record_batch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;

use super::cut::{Cut, Range, message_schema};
use super::decode::Decoded;
use super::judge::to_schema;
use super::layer::{self, LayerError, commit_of, evolved, moves, put, retention};
use super::rules::{Rules, identity_fields, timestamp_type};
use super::stored::Stored;
use crate::lake::{Commit, File, Lake, Table, TableSpec};
use crate::names::{Offset, Partition, RuleSetNumber, Tenant};

/// A tenant's bronze table.
pub struct Bronze {
    pub table: Table,
    tenant: Tenant,
}

/// Files of a batch that are written and not yet committed.
pub struct Written {
    files: Vec<File>,
    schema: Option<SchemaRef>,
}

/// Bronze's columns before the event's own.
fn fixed_fields() -> Vec<Field> {
    let mut fields = identity_fields();
    fields.extend([
        Field::new("_timestamp", timestamp_type(), true),
        Field::new("_ingested_at", timestamp_type(), false),
        Field::new("_ingest_date", DataType::Date32, false),
        Field::new("_ruleset", DataType::Int64, false),
        Field::new("_key", DataType::Binary, true),
        Field::new("_headers", DataType::Utf8, true),
        Field::new("_raw", DataType::Binary, true),
        Field::new("_rescued", DataType::Utf8, true),
    ]);
    fields
}

/// The columns that a rule set's declared fields make.
pub fn declared(rules: &Rules) -> Vec<Field> {
    let fields = rules.definition.fields.iter();
    fields
        .map(|field| Field::new(&field.name, field.field_type.arrow(), true))
        .collect()
}

impl Bronze {
    /// Opens the table, or makes it.
    ///
    /// # Errors
    /// A lake that can't be reached or written, or a table that is not ours to write.
    pub async fn open(lake: &Lake, tenant: &Tenant, rules: &Rules) -> Result<Self, LayerError> {
        let mut fields = fixed_fields();
        fields.extend(declared(rules));
        let spec = TableSpec {
            schema: Arc::new(Schema::new(fields)),
            partition_by: vec!["_ingest_date".into()],
            description: "Every message as it came, with its offset and its rule set".into(),
            properties: retention(),
        };
        let table = lake
            .create_table(&format!("{tenant}/bronze"), &spec)
            .await?;
        let tenant = tenant.clone();
        Ok(Self { table, tenant })
    }

    pub fn progress(&self, partition: &Partition) -> Option<Offset> {
        layer::progress(&self.table, &self.tenant, partition, "")
    }

    /// Where the partition began.
    pub fn start(&self, partition: &Partition) -> Option<Offset> {
        layer::progress(&self.table, &self.tenant, partition, layer::START)
    }

    /// Columns that events brought beside the declared ones.
    pub fn extra_columns(&self, rules: &Rules) -> Vec<Field> {
        let known: Vec<String> = fixed_fields()
            .into_iter()
            .chain(declared(rules))
            .map(|field| field.name().clone())
            .collect();
        let fields = self.table.schema().fields().iter();
        fields
            .filter(|field| !known.contains(field.name()))
            .map(|field| field.as_ref().clone())
            .collect()
    }

    /// Writes a batch's files; nobody sees them before [`Self::commit`].
    ///
    /// # Errors
    /// A lake that can't be written, or a declared type that clashes with the table's.
    pub async fn write(
        &self,
        cut: &Cut,
        decoded: &Decoded,
        rules: &Rules,
    ) -> Result<Written, LayerError> {
        let mut wanted = declared(rules);
        wanted.extend(decoded.new_columns.iter().cloned());
        let schema = evolved(&self.table, &Schema::new(wanted))?;
        let held = schema.as_ref().unwrap_or(self.table.schema());
        let rows = rows(cut, decoded, rules.number, held)?;
        let mut writer = self.table.writer();
        if let Some(schema) = &schema {
            writer = writer.with_schema(schema.clone());
        }
        let files = match rows.num_rows() {
            0 => Vec::new(),
            _ => writer.write(&rows).await?,
        };
        Ok(Written { files, schema })
    }

    /// Makes a batch's files part of the table, with its progress.
    ///
    /// # Errors
    /// `Fenced` or `Changed` where another writer was here; else what the lake says.
    pub async fn commit(&mut self, ranges: &[Range], written: Written) -> Result<(), LayerError> {
        let commit = Commit {
            transactions: moves(&self.table, &self.tenant, ranges, ""),
            adds: written.files,
            schema: written.schema,
            blind_append: true,
            ..commit_of("WRITE")
        };
        put(&mut self.table, &commit).await.map(|_| ())
    }

    /// The messages of one partition from `from` on, before `to`, in order, at most about
    /// `most_rows`, all under one `_ruleset`; with that, and how far it got.
    ///
    /// # Errors
    /// A lake that can't be read.
    pub async fn read_back(
        &self,
        partition: &Partition,
        from: Offset,
        to: Offset,
        most_rows: usize,
    ) -> Result<(Cut, Option<RuleSetNumber>, Offset), LayerError> {
        let (rows, to) = self.stored(partition, from, to, most_rows).await?;
        let offsets = layer::column::<Int64Array>(&rows, "_offset");
        let pinned = layer::column::<Int64Array>(&rows, "_ruleset");
        let (mut taken, mut number) = (0, None);
        if let (Some(offsets), Some(pinned)) = (offsets, pinned) {
            number = pinned.iter().next().flatten();
            taken = pinned
                .iter()
                .take(most_rows)
                .take_while(|pinned| *pinned == number)
                .count();
            debug_assert!(offsets.len() >= taken);
        }
        let reached = match offsets.filter(|offsets| taken < offsets.len()) {
            Some(offsets) => offsets.value(taken),
            None => to,
        };
        let schema = message_schema();
        let taken = rows.slice(0, taken);
        let columns = schema
            .fields()
            .iter()
            .filter_map(|field| taken.column_by_name(field.name()).cloned())
            .collect();
        let cut = Cut {
            ranges: vec![Range {
                partition: partition.clone(),
                from,
                to: reached,
            }],
            messages: RecordBatch::try_new(schema, columns)?,
        };
        Ok((cut, number.map(RuleSetNumber), reached))
    }

    async fn stored(
        &self,
        partition: &Partition,
        from: Offset,
        to: Offset,
        most_rows: usize,
    ) -> Result<(RecordBatch, Offset), LayerError> {
        let mut names: Vec<String> = message_schema()
            .fields()
            .iter()
            .map(|field| field.name().clone())
            .collect();
        names.push("_ruleset".into());
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let table = &self.table;
        let stored = Stored::read(table, partition, (from, to), Some(&names), most_rows).await?;
        let Some(first) = stored.rows.first() else {
            let schema = self.table.schema();
            let columns = names.iter().filter_map(|name| schema.index_of(name).ok());
            let none = RecordBatch::new_empty(schema.clone());
            let none = none.project(&columns.collect::<Vec<_>>())?;
            return Ok((none, stored.end));
        };
        let rows = concat_batches(&first.schema(), &stored.rows)?;
        let Some(offsets) = rows.column_by_name("_offset") else {
            return Ok((rows, stored.end));
        };
        let order = sort_to_indices(offsets, None, None)?;
        Ok((take_record_batch(&rows, &order)?, stored.end))
    }
}

/// A batch as bronze's rows.
fn rows(
    cut: &Cut,
    decoded: &Decoded,
    number: RuleSetNumber,
    schema: &SchemaRef,
) -> Result<RecordBatch, LayerError> {
    let n = cut.len();
    let mut columns: BTreeMap<String, ArrayRef> = BTreeMap::new();
    for rows in [&cut.messages, &decoded.messages] {
        for (field, column) in rows.schema().fields().iter().zip(rows.columns()) {
            columns.insert(field.name().clone(), column.clone());
        }
    }
    columns.insert("_ingest_date".into(), ingest_date(cut));
    columns.insert(
        "_ruleset".into(),
        Arc::new(Int64Array::from_value(number.0, n)),
    );
    Ok(to_schema(&columns, schema, n)?)
}

/// The UTC date on which each message was taken in.
pub fn ingest_date(cut: &Cut) -> ArrayRef {
    const MICROS_A_DAY: i64 = 86_400_000_000;
    let taken = cut.column("_ingested_at");
    let days = taken
        .as_any()
        .downcast_ref::<TimestampMicrosecondArray>()
        .map(|moments| {
            let days = moments.values().iter().map(|m| m.div_euclid(MICROS_A_DAY));
            Date32Array::from_iter_values(days.map(|day| i32::try_from(day).unwrap_or_default()))
        });
    Arc::new(days.unwrap_or_else(|| Date32Array::from_value(0, cut.len())))
}
