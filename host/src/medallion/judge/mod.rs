//! What becomes of the rows of a batch: refused by a rule, or a candidate for silver. A pure
//! function of the batch and its rule set: nothing here looks at a table, nor at a clock but to say
//! what the components took.

mod ask;
mod host;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, TimestampMicrosecondArray};
use arrow::compute::{FilterBuilder, max};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

pub use self::ask::{ask, inputs};
use self::host::host_rule;
use super::cut::Cut;
use super::decode::Decoded;
use super::key::KeyHash;
use super::rules::{RowRule, Rules, SALE_DATE};
use super::verdict::keep;
pub use super::verdict::{Candidates, Judged, Refusal, Spent, Verdict};
use crate::plugin::{Action, CallError, Cause, Judged as Answer};
use crate::processor::thread_time;

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
    guilty: usize,
    spent: Vec<Spent>,
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
            guilty: 0,
            spent: Vec::new(),
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
        let begun = thread_time();
        let mut answer = ask(rules, rule, &self.columns, self.rows(), width)?;
        self.spent.push(Spent {
            step: rule.step,
            name: rule.name.clone(),
            rows: self.rows(),
            time: thread_time().saturating_sub(begun),
            fuel: answer.fuel,
        });
        for (field, column) in rule.description.writes.iter().zip(answer.columns.drain(..)) {
            self.write(rules, &field.name, column);
        }
        self.guilty += answer.guilty.len();
        let leaving = self.act(rule, &answer)?;
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

    /// Turns verdicts and guilty rows into warnings and leaves, which are in row order.
    fn act(&mut self, rule: &RowRule, answer: &Answer) -> Result<Vec<Leave>, JudgeError> {
        let mut by_row: BTreeMap<usize, Leave> = BTreeMap::new();
        for verdicts in answer.verdicts.chunk_by(|a, b| a.row == b.row) {
            let Some(first) = verdicts.first() else {
                continue;
            };
            let row = first.row as usize;
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
            let row = guilty.row as usize;
            let cause = Cause::as_str(&guilty.cause);
            let reason = format!("{}: {}", rule.name, guilty.text);
            by_row.insert(row, host_rule(row, rule.step, cause, reason));
        }
        Ok(by_row.into_values().collect())
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
            guilty: self.guilty,
            spent: self.spent,
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

/// The later of two moments, row by row: what rules may call now, of when a message was taken in and
/// when it was sent.
pub fn later(ingested_at: &ArrayRef, timestamp: &ArrayRef) -> ArrayRef {
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
