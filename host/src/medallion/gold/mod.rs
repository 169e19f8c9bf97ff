//! Gold: a fold of silver. Rows become states of groups, states merge with those in the table, and
//! the files of the touched partitions are replaced in the commit that carries the progress.

mod merging;
mod states;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Int64Array, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;

pub use self::merging::{Merged, Merging};
use self::states::finish;
pub use self::states::{States, fold, fold_metered, groups, merge_all};
use super::cut::Range;
use super::layer::{self, LayerError, Put, commit_of, moves, put, retention};
use super::rules::{GoldRule, Rules};
use crate::lake::{Commit, Lake, Table, TableSpec};
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

    /// Makes what it takes to merge states into the table as it is now, to be run beside whoever goes
    /// on with it. The table is read on to its end first.
    ///
    /// # Errors
    /// A measure of another type than the table has, or what the lake says.
    pub async fn merging(
        &mut self,
        rules: &Arc<Rules>,
        rule: &GoldRule,
        states: Vec<States>,
    ) -> Result<Merging, LayerError> {
        self.table.refresh().await?;
        Merging::new(&self.table, rules, rule, states)
    }

    /// Commits what states became, and moves the table's progress over `ranges`.
    ///
    /// # Errors
    /// `Fenced` or `Changed` where another writer was here, a component's error with its group,
    /// or what the lake says.
    pub async fn put(&mut self, ranges: &[Range], mut merged: Merged) -> Result<(), LayerError> {
        for _ in 0..MOST_TRIES {
            merged.commit.transactions = moves(&self.table, &self.tenant, ranges, "");
            // Who read the table on meanwhile was told what others did to it, and a commit is not held
            // to that any more.
            if merged.as_of == self.table.version()
                && let Put::Done = put(&mut self.table, &merged.commit).await?
            {
                return Ok(());
            }
            let Merged { rules, states, .. } = merged;
            let rule = rules.gold.iter().find(|rule| rule.table == self.name);
            let Some(rule) = rule else {
                return self.pass_over(ranges).await;
            };
            let states = states.into_iter().collect();
            merged = self.merging(&rules, rule, states).await?.run().await?;
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

#[cfg(test)]
mod tests;
