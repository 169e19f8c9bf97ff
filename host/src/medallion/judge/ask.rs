//! One component over many rows: its columns and look-ups are put together, then it is called a
//! portion at a time.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, new_empty_array};
use arrow::compute::concat;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;

use super::JudgeError;
use crate::medallion::rules::{RowRule, Rules};
use crate::plugin::{CallError, Judged as Answer};
use crate::processor::give_way;

/// Rows that cross into a component at once: enough to make the call's cost vanish, few enough
/// that their columns stay in the processor's cache.
const ROWS_A_CALL: usize = 8_192;

/// What a component says about rows, which it is given as the columns that it reads and what
/// `rules` has in its dimensions for them. `width` multiplies the limits that may convict a row.
///
/// # Errors
/// A component that ran past its wall-clock deadline, or the host's own want.
pub fn ask(
    rules: &Rules,
    rule: &RowRule,
    columns: &BTreeMap<String, ArrayRef>,
    rows: usize,
    width: u32,
) -> Result<Answer, JudgeError> {
    let inputs = inputs(rules, rule, columns, rows)?;
    let mut parts: Vec<Vec<ArrayRef>> = vec![Vec::new(); rule.description.writes.len()];
    let (mut verdicts, mut guilty, mut fuel) = (Vec::new(), Vec::new(), 0);
    for from in (0..rows).step_by(ROWS_A_CALL) {
        let count = ROWS_A_CALL.min(rows - from);
        let slices: Vec<Option<ArrayRef>> = inputs
            .iter()
            .map(|column| column.as_ref().map(|column| column.slice(from, count)))
            .collect();
        give_way();
        let mut answer = call(rule, count, &slices, width)?;
        for (parts, column) in parts.iter_mut().zip(answer.columns) {
            parts.push(column);
        }
        let before = u32::try_from(from).unwrap_or(u32::MAX);
        answer.verdicts.iter_mut().for_each(|v| v.row += before);
        answer.guilty.iter_mut().for_each(|g| g.row += before);
        verdicts.append(&mut answer.verdicts);
        guilty.append(&mut answer.guilty);
        fuel += answer.fuel;
    }
    let written = rule.description.writes.iter().zip(&parts);
    let columns = written.map(|(field, parts)| {
        let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
        match parts.is_empty() {
            true => Ok(new_empty_array(&field.kind.arrow())),
            false => concat(&parts),
        }
    });
    Ok(Answer {
        columns: columns.collect::<Result<_, _>>()?,
        verdicts,
        guilty,
        fuel,
    })
}

/// The columns that a component is given: those that it reads, then those of its look-ups.
///
/// # Errors
/// Columns that the dimension can't be asked by.
pub fn inputs(
    rules: &Rules,
    rule: &RowRule,
    columns: &BTreeMap<String, ArrayRef>,
    rows: usize,
) -> Result<Vec<Option<ArrayRef>>, JudgeError> {
    let reads = rule.description.reads.iter();
    let mut inputs: Vec<Option<ArrayRef>> = reads
        .map(|field| columns.get(&field.name).cloned())
        .collect();
    let mut joined: BTreeMap<String, ArrayRef> = BTreeMap::new();
    for look_up in &rule.description.look_ups {
        let Some(dimension) = rules.dimensions.get(&look_up.dimension) else {
            inputs.extend(look_up.fields.iter().map(|_| None));
            inputs.push(Some(Arc::new(BooleanArray::from(vec![false; rows]))));
            continue;
        };
        let column = |name: &String| joined.get(name).or_else(|| columns.get(name));
        let on: Vec<(ArrayRef, &str)> = look_up
            .on
            .iter()
            .filter_map(|(name, key)| Some((column(name)?.clone(), key.as_str())))
            .collect();
        let as_of = columns.get(look_up.as_of.as_ref().unwrap_or(&rules.definition.time));
        let fields: Vec<(&str, DataType)> = look_up
            .fields
            .iter()
            .map(|field| (field.name.as_str(), field.kind.arrow()))
            .collect();
        let found = dimension
            .look_up(&on, as_of, &fields)
            .map_err(|error| ArrowError::ComputeError(error.to_string()))?;
        for (field, column) in look_up.fields.iter().zip(found.fields) {
            if let Some(column) = &column {
                joined.insert(
                    format!("{}.{}", look_up.dimension, field.name),
                    column.clone(),
                );
            }
            inputs.push(column);
        }
        inputs.push(Some(Arc::new(found.found)));
    }
    Ok(inputs)
}

/// A deadline says more of the machine than of the rows: it is given one more try.
fn call(
    rule: &RowRule,
    rows: usize,
    columns: &[Option<ArrayRef>],
    width: u32,
) -> Result<Answer, JudgeError> {
    let span = tracing::info_span!("component", step = rule.step, name = %rule.name);
    let _entered = span.enter();
    let mut answer = rule.configured.judge(rows, columns, width);
    if matches!(answer, Err(CallError::Deadline { .. })) {
        answer = rule.configured.judge(rows, columns, width);
    }
    answer.map_err(|source| JudgeError::Call {
        step: rule.step,
        name: rule.name.clone(),
        source,
    })
}
