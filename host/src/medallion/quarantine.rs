//! Quarantine: rows that stayed out of silver, each with the rule, the reason and what was done.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryArray, Int32Array, Int64Array, ListBuilder, StringArray, StringBuilder,
    UInt32Array,
};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Schema};

use super::bronze::ingest_date;
use super::cut::{Cut, Range};
use super::judge::{Refusal, Verdict, to_schema};
use super::layer::{self, DUPLICATES, LayerError, column, commit_of, moves, put, retention};
use super::rules::{identity_fields, text_list, timestamp_type};
use super::stored::{IDENTITY, Stored};
use crate::lake::{Commit, File, Lake, Table, TableSpec};
use crate::names::{Offset, Partition, RuleSetNumber, Tenant};

/// A tenant's quarantine table.
pub struct Quarantine {
    pub table: Table,
    tenant: Tenant,
}

/// Which rows a commit brings: those that rules refused, or those that were there before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Refused,
    Duplicates,
}

impl Kind {
    fn ending(self) -> &'static str {
        match self {
            Self::Refused => "",
            Self::Duplicates => DUPLICATES,
        }
    }
}

fn schema() -> Schema {
    let mut fields = identity_fields();
    fields.extend([
        Field::new("_line", DataType::Int32, false),
        Field::new("_ruleset", DataType::Int64, false),
        Field::new("_ingested_at", timestamp_type(), false),
        Field::new("_ingest_date", DataType::Date32, false),
        Field::new("_raw", DataType::Binary, true),
        Field::new("step", DataType::Utf8, false),
        Field::new("rule", DataType::Utf8, false),
        Field::new("reason", DataType::Utf8, true),
        Field::new("rules", text_list(), true),
        Field::new("action", DataType::Utf8, false),
    ]);
    Schema::new(fields)
}

impl Quarantine {
    /// Opens the table, or makes it.
    ///
    /// # Errors
    /// A lake that can't be reached or written, or a table that is not ours to write.
    pub async fn open(lake: &Lake, tenant: &Tenant) -> Result<Self, LayerError> {
        let spec = TableSpec {
            schema: Arc::new(schema()),
            partition_by: vec!["_ingest_date".into()],
            description: "Rows that stayed out of silver, and why".into(),
            properties: retention(),
        };
        let table = lake
            .create_table(&format!("{tenant}/quarantine"), &spec)
            .await?;
        let tenant = tenant.clone();
        Ok(Self { table, tenant })
    }

    pub fn progress(&self, partition: &Partition, kind: Kind) -> Option<Offset> {
        layer::progress(&self.table, &self.tenant, partition, kind.ending())
    }

    /// Writes the rows of a batch that stay out of silver; nobody sees them before the commit.
    ///
    /// # Errors
    /// A lake that can't be written.
    pub async fn write(
        &self,
        cut: &Cut,
        refusals: &[Refusal],
        number: RuleSetNumber,
    ) -> Result<Vec<File>, LayerError> {
        if refusals.is_empty() {
            return Ok(Vec::new());
        }
        let columns = columns(cut, refusals, number)?;
        let rows = to_schema(&columns, self.table.schema(), refusals.len())?;
        let writer = self.table.writer();
        Ok(writer.write(&rows).await?)
    }

    /// Makes files part of the table, with the progress of their kind.
    ///
    /// # Errors
    /// `Fenced` or `Changed` where another writer was here; else what the lake says.
    pub async fn commit(
        &mut self,
        kind: Kind,
        ranges: &[Range],
        files: Vec<File>,
    ) -> Result<(), LayerError> {
        let commit = Commit {
            transactions: moves(&self.table, &self.tenant, ranges, kind.ending()),
            adds: files,
            blind_append: true,
            ..commit_of("WRITE")
        };
        put(&mut self.table, &commit).await.map(|_| ())
    }

    /// The (offset, line) of rows that rules refused in a partition, from `from` on, before `to`.
    ///
    /// # Errors
    /// A lake that can't be read.
    pub async fn refused(
        &self,
        partition: &Partition,
        from: Offset,
        to: Offset,
    ) -> Result<BTreeSet<(Offset, i32)>, LayerError> {
        let names = [&IDENTITY[..], &["step"]].concat();
        let range = (from, to);
        let stored = Stored::read(&self.table, partition, range, Some(&names), usize::MAX).await?;
        Ok(stored.identities(|rows, row| {
            column::<StringArray>(rows, "step").is_some_and(|step| step.value(row) != "dedup")
        }))
    }
}

fn columns(
    cut: &Cut,
    refusals: &[Refusal],
    number: RuleSetNumber,
) -> Result<BTreeMap<String, ArrayRef>, LayerError> {
    let messages = UInt32Array::from_iter_values(refusals.iter().map(|r| r.message));
    let mut columns: BTreeMap<String, ArrayRef> = BTreeMap::new();
    for name in ["_topic", "_source", "_partition", "_offset", "_ingested_at"] {
        columns.insert(name.into(), take(&cut.column(name), &messages, None)?);
    }
    columns.insert(
        "_ingest_date".into(),
        take(&ingest_date(cut), &messages, None)?,
    );
    let lines = refusals.iter().map(|r| r.line);
    columns.insert(
        "_line".into(),
        Arc::new(Int32Array::from_iter_values(lines)),
    );
    let number = Int64Array::from_value(number.0, refusals.len());
    columns.insert("_ruleset".into(), Arc::new(number));
    let raw = cut.raw();
    let payloads = refusals.iter().map(|r| {
        let row = r.message as usize;
        (r.action == Verdict::Quarantine && raw.is_valid(row)).then(|| raw.value(row))
    });
    columns.insert("_raw".into(), Arc::new(BinaryArray::from_iter(payloads)));
    let mut text = |name: &str, value: &dyn Fn(&Refusal) -> String| {
        let values = refusals.iter().map(value);
        columns.insert(name.into(), Arc::new(StringArray::from_iter_values(values)));
    };
    text("step", &|r| r.step.to_owned());
    text("rule", &|r| r.rule.clone());
    text("reason", &|r| r.reason.clone());
    text("action", &|r| r.action.as_str().to_owned());
    let rules = texts(refusals.iter().map(|r| r.rules.as_slice()));
    columns.insert("rules".into(), rules);
    Ok(columns)
}

/// Lists of texts as a column.
pub fn texts<'a>(lists: impl Iterator<Item = &'a [String]>) -> ArrayRef {
    let element = Field::new_list_field(DataType::Utf8, true);
    let mut builder = ListBuilder::new(StringBuilder::new()).with_field(element);
    for list in lists {
        for text in list {
            builder.values().append_value(text);
        }
        builder.append(true);
    }
    Arc::new(builder.finish())
}
