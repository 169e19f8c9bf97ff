//! Folding rows into groups, joining states, publishing measures. A group that the component can't
//! do convicts nobody, but is named: ranges of groups that fail are halved until it stands alone.

use std::ops::Range;

use arrow::array::{Array, ArrayRef, UInt32Array};
use arrow::compute::take as take_rows;

use super::bindings::assay::rules::types as wit;
use super::call::{Fault, GroupAnswer, Session};
use super::engine::Configured;
use super::judge::{call_error, join};
use super::lend::{Lent, Unlent};
use super::limits::Budget;
use super::take::{Room, Taken, take};
use super::{CallError, Cause, Field, GroupDescription, Kind, trace};

/// How much wider the limits are for a group that can't be made smaller. Groups grow by no fault of
/// any row's, so the plain limits only say when to halve.
const WIDE: u32 = 16;

/// Bytes of state that are as much work as a row, for which a call may use fuel: a group's state may
/// hold what each of a million rows left there.
const BYTES_A_ROW: usize = 64;

/// One of the component's three functions over a range of groups.
trait Function {
    const NAME: &'static str;
    /// What its answer is made of.
    fn fields(description: &GroupDescription) -> &[Field];
    fn call(&self, with: &Configured, groups: Range<usize>, width: u32) -> Result<Burnt, Fault>;
}

/// What a call answered, and the fuel that it burnt.
type Burnt = (GroupAnswer, u64);

impl Configured {
    /// Folds rows into one state for each group. `columns` stand in the order of `reads`, `None` is
    /// absent in every row; `group[i]` is the group of row i, below `groups`. Answers with the fuel
    /// that it took, too.
    ///
    /// # Errors
    /// `Guest` names the first group that failed; nothing of the answer is kept then.
    pub fn fold(
        &self,
        rows: usize,
        columns: &[Option<ArrayRef>],
        group: &[u32],
        groups: u32,
    ) -> Result<(Vec<ArrayRef>, u64), CallError> {
        let description = self.group_description(Fold::NAME)?;
        let host = |problem| {
            Err(CallError::Host {
                function: Fold::NAME,
                problem,
            })
        };
        let (found, wanted) = (columns.len(), description.reads.len());
        if found != wanted {
            return host(format!("{wanted} columns are wanted, not {found}"));
        }
        let even = columns.iter().flatten().all(|column| column.len() == rows);
        if !even || group.len() != rows || group.iter().any(|group| *group >= groups) {
            return host(format!(
                "columns and groups must have {rows} rows, and groups be below {groups}"
            ));
        }
        let function = Fold {
            description,
            rows,
            columns,
            group,
        };
        self.by_groups(&function, description, size(groups))
    }

    /// Joins two states of the same groups, row by row. Both have the columns of `state`.
    ///
    /// # Errors
    /// As `fold`.
    pub fn merge(&self, left: &[ArrayRef], right: &[ArrayRef]) -> Result<Vec<ArrayRef>, CallError> {
        let description = self.group_description(Merge::NAME)?;
        let groups = even_length(Merge::NAME, left.iter().chain(right))?;
        self.by_groups(
            &Merge {
                description,
                left,
                right,
            },
            description,
            groups,
        )
        .map(|(state, _)| state)
    }

    /// Makes measures of states, row by row.
    ///
    /// # Errors
    /// As `fold`.
    pub fn finish(&self, state: &[ArrayRef]) -> Result<Vec<ArrayRef>, CallError> {
        let description = self.group_description(Finish::NAME)?;
        let groups = even_length(Finish::NAME, state.iter())?;
        let finished = self.by_groups(&Finish { description, state }, description, groups);
        finished.map(|(measures, _)| measures)
    }

    fn group_description(&self, function: &'static str) -> Result<&GroupDescription, CallError> {
        let world = self.step().world();
        self.groups()
            .ok_or(CallError::OtherStep { function, world })
    }

    fn by_groups<F: Function>(
        &self,
        function: &F,
        description: &GroupDescription,
        groups: usize,
    ) -> Result<(Vec<ArrayRef>, u64), CallError> {
        let fields = F::fields(description);
        let mut fuel = 0;
        let mut parts: Vec<Vec<ArrayRef>> = vec![Vec::new(); fields.len()];
        let mut ranges = vec![(0..groups, 1)];
        while let Some((range, width)) = ranges.pop() {
            if range.is_empty() {
                continue;
            }
            let (from, count) = (range.start, range.len());
            let fault = match self.one_range(function, fields, range, width) {
                Ok((columns, burnt)) => {
                    fuel += burnt;
                    parts
                        .iter_mut()
                        .zip(columns)
                        .for_each(|(parts, column)| parts.push(column));
                    continue;
                }
                Err(fault) => fault,
            };
            let (cause, text, trace) = call_error(F::NAME, fault)?;
            let limited = matches!(cause, Cause::Fuel | Cause::Memory | Cause::Output);
            if count > 1 {
                let middle = from + count / 2;
                ranges.push((middle..from + count, 1));
                ranges.push((from..middle, 1));
            } else if limited && width < WIDE {
                ranges.push((from..from + 1, WIDE));
            } else {
                let group = u32::try_from(from).unwrap_or(u32::MAX);
                return Err(CallError::Guest {
                    function: F::NAME,
                    group,
                    cause,
                    text: trace::told(text, &trace),
                });
            }
        }
        let joined = parts
            .iter()
            .zip(fields)
            .map(|(parts, field)| join(parts, &field.kind.summed()));
        let joined = joined.collect::<Result<_, _>>();
        let joined = joined.map_err(|problem| CallError::Host {
            function: F::NAME,
            problem,
        })?;
        Ok((joined, fuel))
    }

    fn one_range<F: Function>(
        &self,
        function: &F,
        fields: &[Field],
        range: Range<usize>,
        width: u32,
    ) -> Result<(Vec<ArrayRef>, u64), Fault> {
        let count = range.len();
        let (answer, burnt) = function.call(self, range, width)?;
        let batch = answer.map_err(|text| Fault::answer(&text))?;
        if size(batch.rows) != count {
            let found = batch.rows;
            return Err(Fault::answer(&format!(
                "it answered with {found} rows for {count} groups"
            )));
        }
        let taken = take(batch.columns, fields, count, Room::Sum).and_then(Taken::whole);
        Ok((taken.map_err(|text| Fault::answer(&text))?, burnt))
    }
}

struct Fold<'a> {
    description: &'a GroupDescription,
    rows: usize,
    columns: &'a [Option<ArrayRef>],
    group: &'a [u32],
}

impl Function for Fold<'_> {
    const NAME: &'static str = "fold";

    fn fields(description: &GroupDescription) -> &[Field] {
        &description.state
    }

    fn call(&self, with: &Configured, groups: Range<usize>, width: u32) -> Result<Burnt, Fault> {
        let chosen: Vec<u32> = (0..self.rows)
            .zip(self.group)
            .filter(|(_, group)| groups.contains(&size(**group)))
            .filter_map(|(row, _)| u32::try_from(row).ok())
            .collect();
        if chosen.len() == self.rows {
            return self.over(with, self.columns, self.group, &groups, width);
        }
        let rows = UInt32Array::from(chosen);
        let pick = |column: &ArrayRef| {
            take_rows(column, &rows, None).map_err(|e| Fault::Host(e.to_string()))
        };
        let columns: Vec<Option<ArrayRef>> = self
            .columns
            .iter()
            .map(|column| column.as_ref().map(pick).transpose())
            .collect::<Result<_, _>>()?;
        let group: Vec<u32> = rows
            .values()
            .iter()
            .filter_map(|row| self.group.get(size(*row)))
            .copied()
            .collect();
        self.over(with, &columns, &group, &groups, width)
    }
}

impl Fold<'_> {
    /// `group` are the groups of the rows in `columns`, all of them in `groups`.
    fn over(
        &self,
        with: &Configured,
        columns: &[Option<ArrayRef>],
        group: &[u32],
        groups: &Range<usize>,
        width: u32,
    ) -> Result<Burnt, Fault> {
        let first = u32::try_from(groups.start).unwrap_or(u32::MAX);
        let count = u32::try_from(groups.len()).unwrap_or(u32::MAX);
        let shifted: Vec<u32> = group
            .iter()
            .map(|group| group.saturating_sub(first))
            .collect();
        let kinds = self.description.reads.iter().map(|field| field.kind);
        let columns = columns.iter().map(Option::as_ref);
        let lent = lend(columns.zip(kinds), group.len())?;
        let mut session = ready(with, group.len().max(groups.len()), width)?;
        let params: Vec<_> = lent.iter().map(Lent::param).collect();
        let answer = session.fold(&batch(&params, group.len()), &shifted, count)?;
        Ok((answer, session.burnt()))
    }
}

struct Merge<'a> {
    description: &'a GroupDescription,
    left: &'a [ArrayRef],
    right: &'a [ArrayRef],
}

impl Function for Merge<'_> {
    const NAME: &'static str = "merge";

    fn fields(description: &GroupDescription) -> &[Field] {
        &description.state
    }

    fn call(&self, with: &Configured, groups: Range<usize>, width: u32) -> Result<Burnt, Fault> {
        let (left, bytes) = lend_state(self.description, self.left, &groups)?;
        let (right, more) = lend_state(self.description, self.right, &groups)?;
        let mut session = ready_for_states(with, groups.len(), bytes + more, width)?;
        let left: Vec<_> = left.iter().map(Lent::param).collect();
        let right: Vec<_> = right.iter().map(Lent::param).collect();
        let answer = session.merge(&batch(&left, groups.len()), &batch(&right, groups.len()))?;
        Ok((answer, session.burnt()))
    }
}

struct Finish<'a> {
    description: &'a GroupDescription,
    state: &'a [ArrayRef],
}

impl Function for Finish<'_> {
    const NAME: &'static str = "finish";

    fn fields(description: &GroupDescription) -> &[Field] {
        &description.measures
    }

    fn call(&self, with: &Configured, groups: Range<usize>, width: u32) -> Result<Burnt, Fault> {
        let (state, bytes) = lend_state(self.description, self.state, &groups)?;
        let mut session = ready_for_states(with, groups.len(), bytes, width)?;
        let state: Vec<_> = state.iter().map(Lent::param).collect();
        let answer = session.finish(&batch(&state, groups.len()))?;
        Ok((answer, session.burnt()))
    }
}

/// The states of some groups, and how many bytes they have.
fn lend_state(
    description: &GroupDescription,
    state: &[ArrayRef],
    groups: &Range<usize>,
) -> Result<(Vec<Lent>, usize), Fault> {
    let (found, wanted) = (state.len(), description.state.len());
    if found != wanted {
        return Err(Fault::Host(format!(
            "a state of {wanted} columns is wanted, not of {found}"
        )));
    }
    let slices: Vec<ArrayRef> = state
        .iter()
        .map(|column| column.slice(groups.start, groups.len()))
        .collect();
    let bytes = slices.iter().map(|column| {
        let size = column.to_data().get_slice_memory_size();
        size.map_err(|error| Fault::Host(error.to_string()))
    });
    let bytes = bytes.sum::<Result<usize, Fault>>()?;
    let kinds = description.state.iter().map(|field| field.kind);
    let lent = lend(slices.iter().map(Some).zip(kinds), groups.len())?;
    Ok((lent, bytes))
}

/// How many groups there are, if every column agrees.
fn even_length<'a>(
    function: &'static str,
    mut columns: impl Iterator<Item = &'a ArrayRef>,
) -> Result<usize, CallError> {
    let groups = columns.next().map_or(0, |column| column.len());
    match columns.find(|column| column.len() != groups) {
        None => Ok(groups),
        Some(column) => Err(CallError::Host {
            function,
            problem: format!("a column has {} rows, the first {groups}", column.len()),
        }),
    }
}

fn lend<'a>(
    columns: impl Iterator<Item = (Option<&'a ArrayRef>, Kind)>,
    rows: usize,
) -> Result<Vec<Lent>, Fault> {
    let lent = columns.map(|(column, kind)| {
        Lent::new(column, kind, rows).map_err(|unlent| match unlent {
            Unlent::Value { text } => Fault::guest(Cause::Input, text),
            Unlent::Column { text } => Fault::Host(text),
        })
    });
    lent.collect()
}

fn ready(with: &Configured, rows: usize, width: u32) -> Result<Session, Fault> {
    Session::ready(&with.inner, &with.inner.limits.budget(rows, width), false)
}

/// Ready for states, which may take fuel by their size, too.
fn ready_for_states(
    with: &Configured,
    groups: usize,
    bytes: usize,
    width: u32,
) -> Result<Session, Fault> {
    let limits = &with.inner.limits;
    let budget = Budget {
        fuel: limits.budget(groups + bytes / BYTES_A_ROW, width).fuel,
        ..limits.budget(groups, width)
    };
    Session::ready(&with.inner, &budget, false)
}

fn batch<'a>(columns: &'a [wit::ColumnParam<'a>], rows: usize) -> wit::BatchParam<'a> {
    wit::BatchParam {
        rows: u32::try_from(rows).unwrap_or(u32::MAX),
        columns,
    }
}

fn size(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}
