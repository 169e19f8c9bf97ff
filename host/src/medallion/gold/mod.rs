//! Gold: a fold of silver. Rows become states of groups, states merge with those in the table, and
//! the files of the touched partitions are replaced in the commit that carries the progress.

mod states;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use arrow::row::OwnedRow;

use self::states::{KeyRows, finish, merge, stored_states};
pub use self::states::{States, fold, fold_metered, groups, merge_all};
use super::cut::Range;
use super::layer::{self, LayerError, Put, commit_of, evolved, moves, put, retention};
use super::rules::{GoldRule, Rules};
use crate::lake::{Commit, Lake, PartitionValues, Table, TableSpec, partition_value_of};
use crate::names::{Offset, Partition, Tenant};

/// How often a commit is merged anew because another writer touched its partitions.
const MOST_TRIES: usize = 100;
/// Marks a column of the table that is state and no measure.
const STATE_PREFIX: &str = "_state_";

/// One gold table of a tenant.
pub struct Gold {
    pub table: Table,
    pub name: String,
    tenant: Tenant,
}

impl Gold {
    /// Opens the table, or makes it.
    ///
    /// # Errors
    /// A lake that can't be reached or written, or a table that is not ours to write.
    pub async fn open(
        lake: &Lake,
        tenant: &Tenant,
        rules: &Rules,
        rule: &GoldRule,
    ) -> Result<Self, LayerError> {
        let spec = TableSpec {
            schema: schema(rules, rule),
            partition_by: rule.partition_by.clone(),
            description: format!("Sums of silver, made by {}", rule.name),
            properties: retention(),
        };
        let path = format!("{tenant}/gold/{}", rule.table);
        let table = lake.create_table(&path, &spec).await?;
        if table.partition_by() != rule.partition_by {
            return Err(LayerError::Refused {
                table: path,
                detail: format!(
                    "it is partitioned by {:?}, the pipeline wants {:?}; give the table another name",
                    table.partition_by(),
                    rule.partition_by
                ),
            });
        }
        Ok(Self {
            table,
            name: rule.table.clone(),
            tenant: tenant.clone(),
        })
    }

    pub fn progress(&self, partition: &Partition) -> Option<Offset> {
        layer::progress(&self.table, &self.tenant, partition, "")
    }

    /// Merges states into the table and moves its progress over `ranges`.
    ///
    /// # Errors
    /// `Fenced` or `Changed` where another writer was here, a component's error with its group,
    /// or what the lake says.
    pub async fn put(
        &mut self,
        ranges: &[Range],
        rules: &Rules,
        rule: &GoldRule,
        states: Vec<States>,
    ) -> Result<(), LayerError> {
        let share = self.table.share().clone();
        let added = share.here(|| merge_all(rule, states)).await?;
        for _ in 0..MOST_TRIES {
            self.table.refresh().await?;
            let mut commit = Commit {
                transactions: moves(&self.table, &self.tenant, ranges, ""),
                ..commit_of("WRITE")
            };
            if let Some(added) = &added {
                self.replace(rules, rule, added, &mut commit).await?;
            }
            if let Put::Done = put(&mut self.table, &commit).await? {
                return Ok(());
            }
        }
        Err(LayerError::Refused {
            table: self.table.path().to_owned(),
            detail: format!(
                "other writers touched its partitions {MOST_TRIES} times in a row; stop them"
            ),
        })
    }

    /// Moves the table's progress over ranges in which nothing is to be folded.
    ///
    /// # Errors
    /// `Fenced` or `Changed` where another writer was here; else what the lake says.
    pub async fn pass_over(&mut self, ranges: &[Range]) -> Result<(), LayerError> {
        let commit = Commit {
            transactions: moves(&self.table, &self.tenant, ranges, ""),
            ..commit_of("WRITE")
        };
        put(&mut self.table, &commit).await.map(|_| ())
    }

    /// Fills in the files that a commit replaces and those that it adds.
    async fn replace(
        &self,
        rules: &Rules,
        rule: &GoldRule,
        added: &States,
        commit: &mut Commit,
    ) -> Result<(), LayerError> {
        let schema = schema(rules, rule);
        let touched = self.partitions_of(rule, added)?;
        let mut stored = Vec::new();
        let reader = self.table.reader();
        for file in self.table.files() {
            if touched.contains(&file.partition_values) {
                commit.removes.push(file.clone());
            }
        }
        for file in &commit.removes {
            stored.extend(reader.read(file, None).await?);
        }
        commit.watched = touched.into_iter().collect();
        commit.schema = evolved(&self.table, &schema)?;
        let held = commit
            .schema
            .as_ref()
            .unwrap_or(self.table.schema())
            .clone();
        let merged = || match stored.first() {
            None => finish(rule, added, &schema),
            Some(first) => {
                let stored = concat_batches(&first.schema(), &stored)?;
                self.joined(rule, &stored, added, &schema)
            }
        };
        let rows = self.table.share().here(merged).await?;
        let writer = self.table.writer().with_schema(held);
        commit.adds = writer.write(&rows).await?;
        Ok(())
    }

    /// The stored rows with the added states merged in.
    fn joined(
        &self,
        rule: &GoldRule,
        stored: &RecordBatch,
        added: &States,
        schema: &SchemaRef,
    ) -> Result<RecordBatch, LayerError> {
        let held = stored_states(rule, stored)?;
        let mut keys = KeyRows::new(&held.keys)?;
        let changed = keys.rows(&added.keys)?;
        let changed: BTreeSet<OwnedRow> = changed.into_iter().collect();
        let rows = keys.rows(&held.keys)?;
        let (mut same, mut old) = (Vec::new(), Vec::new());
        for (row, key) in rows.iter().enumerate() {
            let row = u32::try_from(row).unwrap_or(u32::MAX);
            match changed.contains(key) {
                true => old.push(row),
                false => same.push(row),
            }
        }
        let old = held.take(&UInt32Array::from(old))?;
        let merged = merge(rule, &old, added)?;
        let fresh = finish(rule, &merged, schema)?;
        if same.is_empty() {
            return Ok(fresh);
        }
        let same = take_record_batch(stored, &UInt32Array::from(same))?;
        let columns: Vec<ArrayRef> = schema
            .fields()
            .iter()
            .map(|field| match same.column_by_name(field.name()) {
                Some(column) => column.clone(),
                None => arrow::array::new_null_array(field.data_type(), same.num_rows()),
            })
            .collect();
        let same = RecordBatch::try_new(schema.clone(), columns)?;
        Ok(concat_batches(schema, [&same, &fresh])?)
    }

    /// The partitions that some groups are in, as the log writes them.
    fn partitions_of(
        &self,
        rule: &GoldRule,
        states: &States,
    ) -> Result<BTreeSet<PartitionValues>, LayerError> {
        let mut names = Vec::new();
        for column in self.table.partition_by() {
            let key = rule.description.keys.iter().position(|key| key == column);
            if let Some(values) = key.and_then(|key| states.keys.get(key)) {
                let texts: Vec<_> = (0..values.len())
                    .map(|row| partition_value_of(values, row))
                    .collect();
                names.push((column, texts));
            }
        }
        let rows = states.keys.first().map_or(0, |keys| keys.len());
        Ok((0..rows)
            .map(|row| {
                names
                    .iter()
                    .map(|(name, texts)| ((*name).clone(), texts.get(row).cloned().flatten()))
                    .collect()
            })
            .collect())
    }
}

/// A gold table's columns: keys, measures, then the state that is no measure.
pub fn schema(rules: &Rules, rule: &GoldRule) -> SchemaRef {
    let known = |name: &str| {
        let field = rules.silver.field_with_name(name);
        field.map_or(DataType::Utf8, |field| field.data_type().clone())
    };
    let keys = rule.description.keys.iter();
    let mut fields: Vec<Field> = keys.map(|key| Field::new(key, known(key), true)).collect();
    for measure in &rule.description.measures {
        fields.push(Field::new(
            &measure.name,
            widened(measure.kind.arrow()),
            true,
        ));
    }
    for state in &rule.description.state {
        if let Some(name) = state_only(rule, state) {
            fields.push(Field::new(name, widened(state.kind.arrow()), true));
        }
    }
    Arc::new(Schema::new(fields))
}

/// The column of a state field that is not also a measure.
fn state_only(rule: &GoldRule, state: &crate::plugin::Field) -> Option<String> {
    let measures = &rule.description.measures;
    let both = measures
        .iter()
        .any(|m| m.name == state.name && m.kind == state.kind);
    (!both).then(|| format!("{STATE_PREFIX}{}", state.name))
}

/// Decimals with room for any sum.
fn widened(held: DataType) -> DataType {
    match held {
        DataType::Decimal128(_, scale) => DataType::Decimal128(38, scale),
        other => other,
    }
}

/// The gold rows of states: what `verify` holds the table to.
///
/// # Errors
/// The component's own error.
pub fn recomputed(
    rules: &Rules,
    rule: &GoldRule,
    states: &States,
) -> Result<RecordBatch, LayerError> {
    finish(rule, states, &schema(rules, rule))
}

/// The columns of silver that a gold table is made from.
pub fn columns_read(rule: &GoldRule) -> Vec<&str> {
    let mut names: Vec<&str> = rule.description.keys.iter().map(String::as_str).collect();
    for field in &rule.description.reads {
        if !names.contains(&field.name.as_str()) {
            names.push(&field.name);
        }
    }
    names
}

/// Rows by the rule set that made them, in the order of the numbers.
///
/// # Errors
/// Rows without `_ruleset`.
pub fn by_rule_set(rows: &RecordBatch) -> Result<BTreeMap<i64, RecordBatch>, LayerError> {
    let mut places: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
    if let Some(numbers) = layer::column::<Int64Array>(rows, "_ruleset") {
        for (number, row) in numbers.values().iter().zip(0_u32..) {
            places.entry(*number).or_default().push(row);
        }
    }
    if places.len() == 1 {
        return Ok(places
            .into_keys()
            .map(|number| (number, rows.clone()))
            .collect());
    }
    let parts = places.into_iter().map(|(number, rows_of_set)| {
        let taken = take_record_batch(rows, &UInt32Array::from(rows_of_set))?;
        Ok((number, taken))
    });
    parts.collect()
}
