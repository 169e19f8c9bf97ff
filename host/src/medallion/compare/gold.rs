//! What rows would add to a gold table, by both rule sets. States are kept and merged as the table's
//! are, so that a measure that is no sum, as a count of distinct values, is right too.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Decimal128Array, Int64Array, new_null_array};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::record_batch::RecordBatch;
use arrow::util::display::array_value_to_string;

use super::comparison::{GoldChange, Side};
use crate::amount::Amount;
use crate::medallion::gold::{States, columns_read, fold_metered, merge_all, recomputed};
use crate::medallion::layer::LayerError;
use crate::medallion::rules::{GoldRule, Rules};
use crate::medallion::verdict::Candidates;

/// More states than this, in bytes, become sums: distinct values are then counted apart.
const MOST_BYTES: usize = 16 << 20;

/// The states of one gold table by one rule set.
#[derive(Default)]
pub(super) struct Held(Vec<States>);

impl Held {
    pub fn add(&mut self, states: Vec<States>) {
        self.0.extend(states);
    }

    pub fn is_large(&self) -> bool {
        self.0.iter().map(States::bytes).sum::<usize>() > MOST_BYTES
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Adds what the states come to.
    pub fn publish(
        &mut self,
        rules: &Rules,
        rule: &GoldRule,
        side: Side,
        into: &mut GoldChange,
    ) -> Result<(), LayerError> {
        let Some(merged) = merge_all(rule, std::mem::take(&mut self.0))? else {
            return Ok(());
        };
        let rows = recomputed(rules, rule, &merged)?;
        self.0.push(merged);
        sum(rule, &rows, side, into);
        Ok(())
    }
}

/// Folds candidates for silver. Answers with the fuel that it took, too.
pub(super) fn fold(
    rules: &Rules,
    rule: &GoldRule,
    candidates: &Candidates,
) -> Result<(Vec<States>, u64), LayerError> {
    let rows = candidates.message.len();
    if rows == 0 {
        return Ok((Vec::new(), 0));
    }
    let (mut fields, mut columns): (Vec<Field>, Vec<ArrayRef>) = (Vec::new(), Vec::new());
    for name in columns_read(rule) {
        let Ok(field) = rules.silver.field_with_name(name) else {
            continue;
        };
        let column = candidates.columns.get(name).cloned();
        columns.push(column.unwrap_or_else(|| new_null_array(field.data_type(), rows)));
        fields.push(field.clone().with_nullable(true));
    }
    let rows = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?;
    fold_metered(rule, &rows)
}

fn sum(rule: &GoldRule, rows: &RecordBatch, side: Side, into: &mut GoldChange) {
    let groups: Vec<String> = (0..rows.num_rows())
        .map(|row| group(rule, rows, row))
        .collect();
    let mut part = GoldChange::default();
    for measure in &rule.description.measures {
        let Some(column) = rows.column_by_name(&measure.name) else {
            continue;
        };
        let money = matches!(column.data_type(), DataType::Decimal128(..));
        if !money && column.data_type() != &DataType::Int64 {
            continue;
        }
        let total = part.measures.entry(measure.name.clone()).or_default();
        total.money = money;
        for (row, group) in groups.iter().enumerate() {
            let Some(amount) = amount(column, row) else {
                continue;
            };
            let held = total.sums.side(side);
            *held = held.plus(amount);
            let of_group = part.groups.entry(group.clone()).or_default();
            let held = of_group.entry(measure.name.clone()).or_default().side(side);
            *held = held.plus(amount);
        }
    }
    into.merge(part);
}

fn amount(column: &ArrayRef, row: usize) -> Option<Amount> {
    if column.is_null(row) {
        return None;
    }
    if let Some(integers) = column.as_any().downcast_ref::<Int64Array>() {
        return Some(Amount::new(i128::from(integers.value(row)), 0));
    }
    let decimals = column.as_any().downcast_ref::<Decimal128Array>()?;
    let scale = u8::try_from(decimals.scale()).ok()?;
    Some(Amount::new(decimals.value(row), scale))
}

/// The partition of a row of gold, as its folder is called.
fn group(rule: &GoldRule, rows: &RecordBatch, row: usize) -> String {
    let named = rule.partition_by.iter().map(|name| {
        let value = rows
            .column_by_name(name)
            .and_then(|column| array_value_to_string(column, row).ok());
        format!("{name}={}", value.unwrap_or_default())
    });
    named.collect::<Vec<_>>().join("/")
}

/// The states of every table of both rule sets.
pub(super) type Tables = BTreeMap<String, [Held; 2]>;
