//! What becomes of the rows of a batch: refused by a rule, or a candidate for silver. A pure
//! function of the batch and its rule set; nothing here looks at a table or a clock.

mod host;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, TimestampMicrosecondArray};
use arrow::compute::{FilterBuilder, max};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

use self::host::host_rule;
use super::cut::Cut;
use super::decode::Decoded;
use super::key::KeyHash;
use super::rules::{RowRule, Rules, SALE_DATE};
use super::verdict::keep;
pub use super::verdict::{Candidates, Judged, Refusal, Verdict};
use crate::plugin::{Action, CallError, Cause, Judged as Answer};

/// Rows that cross into a component at once: enough to make the call's cost vanish, few enough
/// that their columns stay in the processor's cache.
const ROWS_A_CALL: usize = 8_192;

/// Why a batch could not be judged. None of them convicts a row.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JudgeError {
    #[error(
        "{step} rule {rule} says fail at {place}: {reason}; mend the rules and re-pin with `assay rules re-pin`"
    )]
    Fail {
        step: &'static str,
        rule: String,
        place: String,
        reason: String,
    },
    #[error("{step} component {name}: {source}")]
    Call {
        step: &'static str,
        name: String,
        source: CallError,
    },
    #[error("putting columns together: {0}")]
    Arrow(#[from] ArrowError),
}

/// Judges the rows of a batch. `width` multiplies the limits that may convict a row.
///
/// # Errors
/// A `fail` verdict, a component that ran past its wall-clock deadline, or the host's own want.
pub fn judge(
    rules: &Rules,
    cut: &Cut,
    decoded: &Decoded,
    width: u32,
) -> Result<Judged, JudgeError> {
    let mut work = Work::new(cut, decoded)?;
    work.refuse_malformed(decoded)?;
    for rule in &rules.cleanse {
        work.apply(rules, rule, width)?;
    }
    work.refuse_without_key_or_date(rules)?;
    for rule in rules.validate.iter().chain(&rules.enrich) {
        work.apply(rules, rule, width)?;
    }
    work.refuse_bad_partition_values(rules)?;
    Ok(work.finish(rules))
}

/// The rows that are still in question.
struct Work<'a> {
    cut: &'a Cut,
    columns: BTreeMap<String, ArrayRef>,
    message: Vec<u32>,
    line: Vec<i32>,
    content: Vec<[u8; 16]>,
    key: Vec<KeyHash>,
    warnings: Vec<Vec<String>>,
    refusals: Vec<Refusal>,
}

/// Why one row leaves, before its place is known.
struct Leave {
    row: usize,
    step: &'static str,
    rule: String,
    reason: String,
    rules: Vec<String>,
    action: Verdict,
}

impl<'a> Work<'a> {
    fn new(cut: &'a Cut, decoded: &Decoded) -> Result<Self, JudgeError> {
        let mut columns: BTreeMap<String, ArrayRef> = BTreeMap::new();
        let schema = decoded.rows.schema();
        for (field, column) in schema.fields().iter().zip(decoded.rows.columns()) {
            columns.insert(field.name().clone(), column.clone());
        }
        let exploded = decoded.message.len() != cut.len();
        let of_message = |column: ArrayRef| -> Result<ArrayRef, ArrowError> {
            if exploded {
                let rows = arrow::array::UInt32Array::from(decoded.message.clone());
                return arrow::compute::take(&column, &rows, None);
            }
            Ok(column)
        };
        let ingested_at = of_message(cut.column("_ingested_at"))?;
        let timestamp = of_message(cut.column("_timestamp"))?;
        columns.insert("_now".into(), later(&ingested_at, &timestamp));
        columns.insert("_ingested_at".into(), ingested_at);
        Ok(Self {
            cut,
            columns,
            message: decoded.message.clone(),
            line: decoded.line.clone(),
            content: decoded.content.clone(),
            key: Vec::new(),
            warnings: vec![Vec::new(); decoded.message.len()],
            refusals: Vec::new(),
        })
    }

    fn rows(&self) -> usize {
        self.message.len()
    }

    /// Takes the rows out that leave; `leaving` is in row order, a row at most once.
    fn leave(&mut self, leaving: Vec<Leave>) -> Result<(), JudgeError> {
        if leaving.is_empty() {
            return Ok(());
        }
        let mut stays = vec![true; self.rows()];
        for leave in leaving {
            if let Some(stay) = stays.get_mut(leave.row) {
                *stay = false;
            }
            self.refusals.push(Refusal {
                message: self.message.get(leave.row).copied().unwrap_or_default(),
                line: self.line.get(leave.row).copied().unwrap_or_default(),
                step: leave.step,
                rule: leave.rule,
                reason: leave.reason,
                rules: leave.rules,
                action: leave.action,
            });
        }
        let mask = BooleanArray::from(stays.clone());
        // Where the rows lie that stay is worked out once for all columns.
        let filter = FilterBuilder::new(&mask).optimize().build();
        for column in self.columns.values_mut() {
            *column = filter.filter(column)?;
        }
        keep(&mut self.message, &stays);
        keep(&mut self.line, &stays);
        keep(&mut self.content, &stays);
        keep(&mut self.key, &stays);
        keep(&mut self.warnings, &stays);
        Ok(())
    }

    /// Lets one component judge all rows, and acts on its verdicts.
    fn apply(&mut self, rules: &Rules, rule: &RowRule, width: u32) -> Result<(), JudgeError> {
        let rows = self.rows();
        if rows == 0 {
            for field in &rule.description.writes {
                let empty = arrow::array::new_empty_array(&field.kind.arrow());
                self.write(rules, &field.name, empty);
            }
            return Ok(());
        }
        let inputs = self.inputs(rules, rule)?;
        let mut written: Vec<Vec<ArrayRef>> = vec![Vec::new(); rule.description.writes.len()];
        let mut leaving = Vec::new();
        for from in (0..rows).step_by(ROWS_A_CALL) {
            let count = ROWS_A_CALL.min(rows - from);
            let slices: Vec<Option<ArrayRef>> = inputs
                .iter()
                .map(|column| column.as_ref().map(|column| column.slice(from, count)))
                .collect();
            let answer = call(rule, count, &slices, width)?;
            for (parts, column) in written.iter_mut().zip(&answer.columns) {
                parts.push(column.clone());
            }
            self.act(rule, from, &answer, &mut leaving)?;
        }
        for (field, parts) in rule.description.writes.iter().zip(&written) {
            let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
            let column = arrow::compute::concat(&parts)?;
            self.write(rules, &field.name, column);
        }
        self.leave(leaving)
    }

    fn write(&mut self, rules: &Rules, name: &str, column: ArrayRef) {
        let held = rules
            .silver
            .field_with_name(name)
            .map(|f| f.data_type().clone());
        let column = match held {
            Ok(held) => relabel(column, &held),
            Err(_) => column,
        };
        self.columns.insert(name.to_owned(), column);
    }

    /// The columns that a component reads, then those of its look-ups.
    fn inputs(&self, rules: &Rules, rule: &RowRule) -> Result<Vec<Option<ArrayRef>>, JudgeError> {
        let mut inputs: Vec<Option<ArrayRef>> = rule
            .description
            .reads
            .iter()
            .map(|field| self.columns.get(&field.name).cloned())
            .collect();
        let mut joined: BTreeMap<String, ArrayRef> = BTreeMap::new();
        for look_up in &rule.description.look_ups {
            let Some(dimension) = rules.dimensions.get(&look_up.dimension) else {
                inputs.extend(look_up.fields.iter().map(|_| None));
                inputs.push(Some(Arc::new(BooleanArray::from(vec![false; self.rows()]))));
                continue;
            };
            let column = |name: &String| joined.get(name).or_else(|| self.columns.get(name));
            let on: Vec<(ArrayRef, &str)> = look_up
                .on
                .iter()
                .filter_map(|(name, key)| Some((column(name)?.clone(), key.as_str())))
                .collect();
            let as_of = self
                .columns
                .get(look_up.as_of.as_ref().unwrap_or(&rules.definition.time));
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

    /// Turns verdicts and guilty rows of one call into warnings and leaves.
    fn act(
        &mut self,
        rule: &RowRule,
        from: usize,
        answer: &Answer,
        leaving: &mut Vec<Leave>,
    ) -> Result<(), JudgeError> {
        let mut by_row: BTreeMap<usize, Leave> = BTreeMap::new();
        for verdicts in answer.verdicts.chunk_by(|a, b| a.row == b.row) {
            let Some(first) = verdicts.first() else {
                continue;
            };
            let row = from + first.row as usize;
            // The strongest action first, then the order of the rules.
            let mut broken: Vec<_> = verdicts
                .iter()
                .filter_map(|v| Some((rule.description.rules.get(usize::from(v.rule))?, v)))
                .collect();
            broken.sort_by_key(|(known, v)| (std::cmp::Reverse(strength(known.action)), v.rule));
            let Some((known, verdict)) = broken.first() else {
                continue;
            };
            let mut names: Vec<String> = Vec::new();
            for (rule, _) in &broken {
                if !names.contains(&rule.name) {
                    names.push(rule.name.clone());
                }
            }
            let action = match known.action {
                Action::Warn => {
                    if let Some(warnings) = self.warnings.get_mut(row) {
                        warnings.extend(names);
                    }
                    continue;
                }
                Action::Drop => Verdict::Drop,
                Action::Quarantine => Verdict::Quarantine,
                Action::Fail => {
                    let message = self.message.get(row).copied().unwrap_or_default();
                    return Err(JudgeError::Fail {
                        step: rule.step,
                        rule: known.name.clone(),
                        place: self.cut.place(message as usize),
                        reason: verdict.reason.clone(),
                    });
                }
            };
            by_row.insert(
                row,
                Leave {
                    row,
                    step: rule.step,
                    rule: known.name.clone(),
                    reason: verdict.reason.clone(),
                    rules: names,
                    action,
                },
            );
        }
        for guilty in &answer.guilty {
            let row = from + guilty.row as usize;
            let cause = Cause::as_str(&guilty.cause);
            let reason = format!("{}: {}", rule.name, guilty.text);
            by_row.insert(row, host_rule(row, rule.step, cause, reason));
        }
        leaving.extend(by_row.into_values());
        Ok(())
    }

    fn finish(mut self, rules: &Rules) -> Judged {
        let date = self.columns.get(SALE_DATE).map_or_else(Vec::new, |column| {
            column
                .as_any()
                .downcast_ref::<arrow::array::Date32Array>()
                .map_or_else(Vec::new, |dates| dates.values().to_vec())
        });
        self.columns
            .retain(|name, _| rules.silver.field_with_name(name).is_ok());
        self.refusals
            .sort_by_key(|refusal| (refusal.message, refusal.line));
        Judged {
            candidates: Candidates {
                columns: self.columns,
                message: self.message,
                line: self.line,
                content: self.content,
                key: self.key,
                date,
                warnings: self.warnings,
            },
            refusals: self.refusals,
        }
    }
}

fn strength(action: Action) -> u8 {
    match action {
        Action::Warn => 0,
        Action::Drop => 1,
        Action::Quarantine => 2,
        Action::Fail => 3,
    }
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

/// The later of two moments, row by row, for what rules may call now.
fn later(ingested_at: &ArrayRef, timestamp: &ArrayRef) -> ArrayRef {
    let (Some(a), Some(b)) = (
        ingested_at
            .as_any()
            .downcast_ref::<TimestampMicrosecondArray>(),
        timestamp
            .as_any()
            .downcast_ref::<TimestampMicrosecondArray>(),
    ) else {
        return ingested_at.clone();
    };
    if max(b).is_none_or(|latest| a.values().iter().all(|a| *a >= latest)) {
        return ingested_at.clone();
    }
    let moments = a
        .values()
        .iter()
        .zip(b)
        .map(|(a, b)| (*a).max(b.unwrap_or(*a)));
    Arc::new(TimestampMicrosecondArray::from_iter_values(moments).with_timezone("UTC"))
}

/// A decimal column under the precision that silver declares; units stay as they are.
fn relabel(column: ArrayRef, held: &DataType) -> ArrayRef {
    let (DataType::Decimal128(precision, scale), Some(decimals)) = (
        held,
        column
            .as_any()
            .downcast_ref::<arrow::array::Decimal128Array>(),
    ) else {
        return column;
    };
    match decimals
        .clone()
        .with_precision_and_scale(*precision, *scale)
    {
        Ok(decimals) => Arc::new(decimals),
        Err(_) => column,
    }
}

/// Rows of a batch as a table's rows, by column name; what is missing is null.
///
/// # Errors
/// A column of another type than the schema says.
pub fn to_schema(
    columns: &BTreeMap<String, ArrayRef>,
    schema: &arrow::datatypes::SchemaRef,
    rows: usize,
) -> Result<RecordBatch, ArrowError> {
    let arrays = schema
        .fields()
        .iter()
        .map(|field| match columns.get(field.name()) {
            Some(column) => column.clone(),
            None => arrow::array::new_null_array(field.data_type(), rows),
        })
        .collect();
    RecordBatch::try_new(schema.clone(), arrays)
}
