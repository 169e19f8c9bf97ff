//! What a call costs, part by part: for authors. The calls are those of a tenant's batches; nothing
//! is made of their answers.

use std::time::{Duration, Instant};

use arrow::array::ArrayRef;

use super::bindings::assay::rules::types as wit;
use super::call::{Fault, Session};
use super::engine::Configured;
use super::judge::call_error;
use super::lend::{Lent, Unlent};
use super::take::{Room, Taken, take};
use super::{CallError, Cause, Description, trace};

/// What one call took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    /// A fresh instance, configured.
    pub start: Duration,
    /// Getting the columns ready and copying them into the instance.
    pub lend: Duration,
    /// The component's own work, with lifting its answer.
    pub work: Duration,
    /// Checking the answer, and making columns of it.
    pub take: Duration,
    /// Of the component's own work and of taking the columns in.
    pub fuel: u64,
    /// Bytes of the instance's memory after the call.
    pub memory: usize,
}

/// Rows for a call: the columns that the component is given, and for one that aggregates, each
/// row's group.
pub struct Load<'a> {
    pub rows: usize,
    pub columns: &'a [Option<ArrayRef>],
    pub group: &'a [u32],
    pub groups: u32,
}

impl Configured {
    /// Calls the component once over rows, once more with the same columns but a count of no rows,
    /// which costs what handing them over does, and says what each part took.
    ///
    /// # Errors
    /// What the component fails with, which is not searched for here.
    pub fn measure(&self, load: &Load<'_>) -> Result<Cost, CallError> {
        let function = self.step().as_str();
        let failed = |fault| match call_error(function, fault) {
            Ok((cause, text, trace)) => CallError::Measured {
                function,
                cause,
                text: trace::told(text, &trace),
            },
            Err(error) => error,
        };
        let (empty, _) = self.once(load, 0).map_err(failed)?;
        let (cost, answer) = self.once(load, load.rows).map_err(failed)?;
        let (fields, room) = match &self.description {
            Description::Rows(rows) => (&rows.writes, Room::Row),
            Description::Groups(groups) => (&groups.state, Room::Sum),
        };
        let begun = Instant::now();
        let (columns, rows) = answer.map_err(|text| failed(Fault::answer(&text)))?;
        let taken = take(columns, fields, rows, room).and_then(Taken::whole);
        taken.map_err(|text| failed(Fault::answer(&text)))?;
        Ok(Cost {
            take: begun.elapsed(),
            lend: cost.lend + empty.work,
            work: cost.work.saturating_sub(empty.work),
            ..cost
        })
    }

    /// One call with `count` rows said to be in the columns. What it answers is the columns, and how
    /// many rows they must have.
    #[expect(clippy::type_complexity, reason = "the answer of one call, used once")]
    fn once(
        &self,
        load: &Load<'_>,
        count: usize,
    ) -> Result<(Cost, Result<(Vec<wit::ColumnResult>, usize), String>), Fault> {
        let kinds = match &self.description {
            Description::Rows(rows) => rows.kinds(),
            Description::Groups(groups) => groups.reads.iter().map(|f| f.kind).collect(),
        };
        let begun = Instant::now();
        let lent = load.columns.iter().zip(kinds).map(|(column, kind)| {
            Lent::new(column.as_ref(), kind, load.rows).map_err(|unlent| match unlent {
                Unlent::Value { text } => Fault::guest(Cause::Input, text),
                Unlent::Column { text } => Fault::Host(text),
            })
        });
        let lent = lent.collect::<Result<Vec<_>, _>>()?;
        let params: Vec<_> = lent.iter().map(Lent::param).collect();
        let lend = begun.elapsed();
        let budget = self.inner.limits.budget(load.rows, 1);
        let begun = Instant::now();
        let mut session = Session::ready(&self.inner, &budget, true)?;
        let start = begun.elapsed();
        let batch = wit::BatchParam {
            rows: u32::try_from(count).unwrap_or(u32::MAX),
            columns: &params,
        };
        let begun = Instant::now();
        let answer = match &self.description {
            Description::Rows(_) => session.judge(&batch)?.map(|judged| (judged.columns, count)),
            Description::Groups(_) => session.fold(&batch, load.group, load.groups)?.map(|state| {
                (
                    state.columns,
                    usize::try_from(load.groups).unwrap_or(usize::MAX),
                )
            }),
        };
        let cost = Cost {
            start,
            lend,
            work: begun.elapsed(),
            take: Duration::ZERO,
            fuel: session.worked(),
            memory: session.memory(),
        };
        Ok((cost, answer))
    }
}
