//! Cleansing, validating, enriching a batch. Where a call fails, the rows that cause it are found
//! by halving, each half in a fresh instance: the guilty stand alone at the end, the rest goes on.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, new_empty_array, new_null_array};
use arrow::compute::{concat, nullif};
use arrow::datatypes::DataType;

use super::bindings::assay::rules::types as wit;
use super::call::{Fault, LONGEST_TEXT, Session};
use super::engine::{Configured, Setup};
use super::lend::{Lent, Unlent};
use super::log::one_line;
use super::take::{Room, Taken, take};
use super::{CallError, Cause, Kind, RowDescription};

/// What a component made of a batch.
#[derive(Clone, Debug)]
pub struct Judged {
    /// The columns of `writes`, of the kinds' types. Null in guilty rows.
    pub columns: Vec<ArrayRef>,
    /// By row, then by rule; a rule at most once a row.
    pub verdicts: Vec<Verdict>,
    /// By row. No verdict is of a guilty row.
    pub guilty: Vec<Guilty>,
    /// What all calls burnt, those too that failed.
    pub fuel: u64,
}

/// One row that broke one rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Counted from 0 within the batch.
    pub row: u32,
    /// A place in the description's `rules`.
    pub rule: u16,
    /// Without control characters, at most 1 KiB.
    pub reason: String,
}

/// One row that the component can't be got over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guilty {
    pub row: u32,
    pub cause: Cause,
    pub text: String,
    /// The component's functions that it trapped in, the innermost first, where they have names.
    pub trace: Vec<String>,
}

impl Configured {
    /// Judges a batch. `columns` stand in the order of `reads`, then each look-up's fields and its
    /// `found`; `None` is a column that is absent in every row. `width` multiplies the limits that
    /// may convict a row.
    ///
    /// For one guilty row among n, the component is called at most 2·ceil(log2 n) + 1 times.
    ///
    /// # Errors
    /// None of them says anything about a row: the deadline, too many guilty rows, the host's own.
    pub fn judge(
        &self,
        rows: usize,
        columns: &[Option<ArrayRef>],
        width: u32,
    ) -> Result<Judged, CallError> {
        let mut search = self.search(rows, columns, width)?;
        search.run()?;
        search.finish()
    }

    fn search<'a>(
        &'a self,
        rows: usize,
        columns: &'a [Option<ArrayRef>],
        width: u32,
    ) -> Result<Search<'a>, CallError> {
        let function = self.step().as_str();
        let Some(description) = self.rows() else {
            let world = self.step().world();
            return Err(CallError::OtherStep {
                function: "judge",
                world,
            });
        };
        check_lengths(function, rows, columns, description)?;
        Ok(Search {
            setup: &self.inner,
            description,
            kinds: description.kinds(),
            function,
            columns,
            rows,
            width,
            burnt: 0,
            fuel: 0,
            calls: 0,
            parts: vec![Vec::new(); description.writes.len()],
            verdicts: Vec::new(),
            guilty: Vec::new(),
        })
    }
}

/// What was wrong with a range of rows, and what it cost to learn it.
struct Failed {
    fault: Fault,
    burnt: u64,
}

struct Search<'a> {
    setup: &'a Arc<Setup>,
    description: &'a RowDescription,
    kinds: Vec<Kind>,
    function: &'static str,
    columns: &'a [Option<ArrayRef>],
    rows: usize,
    width: u32,
    /// Fuel of the calls that failed.
    burnt: u64,
    /// Fuel of all calls.
    fuel: u64,
    calls: usize,
    /// For each column written, its parts in the order of the rows.
    parts: Vec<Vec<ArrayRef>>,
    verdicts: Vec<Verdict>,
    guilty: Vec<Guilty>,
}

impl Search<'_> {
    /// Goes through the rows from the first to the last, halving ranges that fail.
    fn run(&mut self) -> Result<(), CallError> {
        let mut ranges = vec![(0, self.rows)];
        while let Some((from, count)) = ranges.pop() {
            if count == 0 {
                continue;
            }
            let Err(failed) = self.attempt(from, count) else {
                continue;
            };
            self.burnt = self.burnt.saturating_add(failed.burnt);
            let (cause, text, trace) = call_error(self.function, failed.fault)?;
            if count == 1 {
                self.convict(from, cause, text.clone(), trace);
            } else {
                let half = count / 2;
                ranges.push((from + half, count - half));
                ranges.push((from, half));
            }
            let limit = self
                .setup
                .limits
                .search
                .saturating_mul(u64::from(self.width.max(1)));
            if self.burnt > limit {
                return Err(CallError::TooManyGuilty {
                    function: self.function,
                    guilty: self.guilty.len(),
                    seen: if count == 1 { from + 1 } else { from },
                    rows: self.rows,
                    cause,
                    text,
                });
            }
        }
        Ok(())
    }

    /// One call over some rows. What it answers is kept only if all of it holds, but for values that no
    /// table can hold: these convict their rows alone.
    fn attempt(&mut self, from: usize, count: usize) -> Result<(), Failed> {
        let free = |fault| Failed { fault, burnt: 0 };
        let lent = self.lend(from, count).map_err(free)?;
        let budget = self.setup.limits.budget(count, self.width);
        let quiet = self.calls > 0;
        self.calls += 1;
        let mut session = Session::ready(self.setup, &budget, quiet).map_err(free)?;
        let params: Vec<_> = lent.iter().map(Lent::param).collect();
        let batch = wit::BatchParam {
            rows: u32::try_from(count).unwrap_or(u32::MAX),
            columns: &params,
        };
        let said = session.judge(&batch);
        let burnt = session.burnt();
        self.fuel = self.fuel.saturating_add(burnt);
        let failed = |fault| Failed { fault, burnt };
        let said = said.map_err(failed)?;
        let judged = said.map_err(|text| failed(Fault::answer(&text)))?;
        self.keep(judged, from, count)
            .map_err(|text| failed(Fault::answer(&text)))
    }

    fn lend(&self, from: usize, count: usize) -> Result<Vec<Lent>, Fault> {
        let pairs = self.columns.iter().zip(&self.kinds);
        let lent = pairs.map(|(column, kind)| {
            let slice = column.as_ref().map(|column| column.slice(from, count));
            Lent::new(slice.as_ref(), *kind, count).map_err(|unlent| match unlent {
                Unlent::Value { text } => Fault::guest(Cause::Input, text),
                Unlent::Column { text } => Fault::Host(text),
            })
        });
        lent.collect()
    }

    fn keep(&mut self, judged: wit::Judged, from: usize, count: usize) -> Result<(), String> {
        let Taken {
            mut columns,
            outside,
        } = take(judged.columns, &self.description.writes, count, Room::Row)?;
        let rules = self.description.rules.len();
        let mut verdicts = Vec::with_capacity(judged.verdicts.len());
        for said in judged.verdicts {
            let row = usize::try_from(said.row).unwrap_or(usize::MAX);
            if row >= count {
                return Err(format!(
                    "a verdict is about row {row} of a batch of {count} rows"
                ));
            }
            if usize::from(said.rule) >= rules {
                return Err(format!(
                    "a verdict names rule {} of {rules} rules",
                    said.rule
                ));
            }
            verdicts.push(Verdict {
                row: position(from + row),
                rule: said.rule,
                reason: one_line(&said.reason, LONGEST_TEXT),
            });
        }
        verdicts.sort_by_key(|verdict| (verdict.row, verdict.rule));
        verdicts.dedup_by_key(|verdict| (verdict.row, verdict.rule));
        if !outside.is_empty() {
            let guilty = |row: usize| outside.contains_key(&row);
            let mask: BooleanArray = (0..count).map(|row| Some(guilty(row))).collect();
            for column in &mut columns {
                *column = nullif(column, &mask).map_err(|error| error.to_string())?;
            }
            verdicts.retain(|verdict| {
                let row = usize::try_from(verdict.row).unwrap_or(usize::MAX);
                !guilty(row.saturating_sub(from))
            });
            self.guilty
                .extend(outside.into_iter().map(|(row, text)| Guilty {
                    row: position(from + row),
                    cause: Cause::Answer,
                    text: one_line(&text, LONGEST_TEXT),
                    trace: Vec::new(),
                }));
        }
        self.verdicts.append(&mut verdicts);
        for (parts, column) in self.parts.iter_mut().zip(columns) {
            parts.push(column);
        }
        Ok(())
    }

    fn convict(&mut self, row: usize, cause: Cause, text: String, trace: Vec<String>) {
        for (parts, field) in self.parts.iter_mut().zip(&self.description.writes) {
            parts.push(new_null_array(&field.kind.arrow(), 1));
        }
        self.guilty.push(Guilty {
            row: position(row),
            cause,
            text,
            trace,
        });
    }

    fn finish(self) -> Result<Judged, CallError> {
        let mut columns = Vec::with_capacity(self.parts.len());
        for (parts, field) in self.parts.iter().zip(&self.description.writes) {
            let joined = join(parts, &field.kind.arrow());
            columns.push(joined.map_err(|problem| CallError::Host {
                function: self.function,
                problem,
            })?);
        }
        Ok(Judged {
            columns,
            verdicts: self.verdicts,
            guilty: self.guilty,
            fuel: self.fuel,
        })
    }
}

/// Splits off the faults that say nothing about rows or groups. The rest is a cause, what is said of
/// it, and the functions in which it happened.
pub(super) fn call_error(
    function: &'static str,
    fault: Fault,
) -> Result<(Cause, String, Vec<String>), CallError> {
    match fault {
        Fault::Guest { cause, text, trace } => Ok((cause, text, trace)),
        Fault::Deadline(after) => Err(CallError::Deadline { function, after }),
        Fault::Contract(problem) | Fault::Host(problem) => {
            Err(CallError::Host { function, problem })
        }
    }
}

/// One column out of its parts.
pub(super) fn join(parts: &[ArrayRef], of: &DataType) -> Result<ArrayRef, String> {
    match parts {
        [] => Ok(new_empty_array(of)),
        [whole] => Ok(whole.clone()),
        parts => {
            let parts: Vec<_> = parts.iter().map(AsRef::as_ref).collect();
            concat(&parts).map_err(|error| error.to_string())
        }
    }
}

fn check_lengths(
    function: &'static str,
    rows: usize,
    columns: &[Option<ArrayRef>],
    description: &RowDescription,
) -> Result<(), CallError> {
    let host = |problem| Err(CallError::Host { function, problem });
    if columns.len() != description.columns() {
        let (found, wanted) = (columns.len(), description.columns());
        return host(format!("{wanted} columns are wanted, not {found}"));
    }
    if u32::try_from(rows).is_err() {
        return host(format!("{rows} rows are too many for one call"));
    }
    match columns.iter().flatten().find(|column| column.len() != rows) {
        None => Ok(()),
        Some(column) => host(format!("a column has {} rows, not {rows}", column.len())),
    }
}

/// A row's number; a batch has fewer than 2^32.
fn position(row: usize) -> u32 {
    u32::try_from(row).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use arrow::array::{Decimal128Array, Int64Array};

    use super::*;
    use crate::plugin::tests::configured;
    use crate::plugin::tests::guests::{DECIMAL, ECHO, Guest, at_value, each_row};
    use crate::plugin::{Limits, Step};

    #[test]
    fn one_guilty_row_is_found_in_twice_the_logarithm_of_calls() {
        let trap = each_row(&at_value(13, "unreachable"));
        let rule = configured(&Guest::new(Step::Validate, &trap), &Limits::default());
        for (rows, guilty) in [
            (1, 0),
            (2, 1),
            (100, 99),
            (100, 0),
            (1_000, 618),
            (1_024, 511),
        ] {
            let mut values = vec![0; rows];
            values[guilty] = 13;
            let columns: [Option<ArrayRef>; 1] = [Some(Arc::new(Int64Array::from(values)))];
            let mut search = rule.search(rows, &columns, 1).unwrap();
            search.run().unwrap();
            let most = 2 * rows.next_power_of_two().ilog2() as usize + 1;
            assert!(
                search.calls <= most,
                "{} calls for {rows} rows",
                search.calls
            );
            let found: Vec<u32> = search.guilty.iter().map(|guilty| guilty.row).collect();
            assert_eq!(found, [position(guilty)]);
        }
    }

    #[test]
    fn rows_whose_values_no_table_can_hold_are_found_in_one_call() {
        let mut guest = Guest::new(Step::Enrich, ECHO);
        guest.reads = vec![("price", DECIMAL, 0, true)];
        guest.writes = guest.reads.clone();
        let rule = configured(&guest, &Limits::default());
        let prices = Decimal128Array::from(vec![i128::from(i64::MAX); 1_000]);
        let columns: [Option<ArrayRef>; 1] = [Some(Arc::new(
            prices.with_precision_and_scale(38, 0).unwrap(),
        ))];
        let mut search = rule.search(1_000, &columns, 1).unwrap();
        search.run().unwrap();
        assert_eq!((search.calls, search.guilty.len()), (1, 1_000));
    }
}
