//! Runs a component natively, over rows that are written as JSON. What runs is all of it but the
//! boundary: params, description, columns, rules.
//!
//! A row is an object of the columns that the component reads. A timestamp is RFC 3339 in UTC, a
//! date `YYYY-MM-DD`, a decimal a number or a text; binary is text. A look-up that was found is an
//! object under the dimension's name; where there is none, nothing was found.

mod columns;

pub use columns::{batch, of_columns};

use serde_json::{Map, Value};

use crate::bindings::wire;
use crate::rule::{RuleSet, names};
use crate::{Aggregate, Cleanse, Enrich, Validate, aggregate, cleanse, enrich, validate};

/// A row, or what was written for it.
pub type Object = Map<String, Value>;

/// Configures a component as the host does.
///
/// # Errors
/// As the component's `configure`.
pub fn validator<V: Validate>(params: &str) -> Result<V, String> {
    let component: V = crate::params::read(params)?;
    component.check().map(|()| component)
}

/// Configures a component as the host does.
///
/// # Errors
/// As the component's `configure`.
pub fn cleanser<C: Cleanse>(params: &str) -> Result<C, String> {
    let component: C = crate::params::read(params)?;
    component.check().map(|()| component)
}

/// Configures a component as the host does.
///
/// # Errors
/// As the component's `configure`.
pub fn enricher<E: Enrich>(params: &str) -> Result<E, String> {
    let component: E = crate::params::read(params)?;
    component.check().map(|()| component)
}

/// Configures a component as the host does.
///
/// # Errors
/// As the component's `configure`.
pub fn aggregator<A: Aggregate>(params: &str) -> Result<A, String> {
    let component: A = crate::params::read(params)?;
    component.check().map(|()| component)
}

/// Validates rows: the broken rules, each with its row.
///
/// # Errors
/// As the component's; or rows that can't be read.
pub fn validate<V: Validate>(
    component: &V,
    rows: &str,
) -> Result<Vec<(u32, &'static str)>, String> {
    let description = validate::describe(component);
    let batch = batch(&description.reads, &description.look_ups, rows)?;
    let verdicts = validate::batch(component, &batch)?;
    Ok(with_rows::<V::Rule>(&verdicts))
}

/// Cleanses rows: what was written, and the broken rules.
///
/// # Errors
/// As the component's; or rows that can't be read.
#[expect(clippy::type_complexity, reason = "two lists, both named by the doc")]
pub fn cleanse<C: Cleanse>(
    component: &C,
    rows: &str,
) -> Result<(Vec<Object>, Vec<(u32, &'static str)>), String> {
    let description = cleanse::describe(component);
    let batch = batch(&description.reads, &description.look_ups, rows)?;
    let judged = cleanse::batch(component, &batch)?;
    let written = of_columns(&description.writes, &judged.columns, batch.rows);
    Ok((written, with_rows::<C::Rule>(&judged.verdicts)))
}

/// Enriches rows: what was written, and the broken rules.
///
/// # Errors
/// As the component's; or rows that can't be read.
#[expect(clippy::type_complexity, reason = "two lists, both named by the doc")]
pub fn enrich<E: Enrich>(
    component: &E,
    rows: &str,
) -> Result<(Vec<Object>, Vec<(u32, &'static str)>), String> {
    let description = enrich::describe(component);
    let batch = batch(&description.reads, &description.look_ups, rows)?;
    let judged = enrich::batch(component, &batch)?;
    let written = of_columns(&description.writes, &judged.columns, batch.rows);
    Ok((written, with_rows::<E::Rule>(&judged.verdicts)))
}

fn with_rows<R: RuleSet>(verdicts: &[wire::Verdict]) -> Vec<(u32, &'static str)> {
    verdicts
        .iter()
        .map(|verdict| verdict.row)
        .zip(names::<R>(verdicts))
        .collect()
}

/// Folds rows that are all of one group, and finishes: the group's measures. The rows are cut into
/// parts at `cuts`, folded part by part, and merged in that order.
///
/// # Errors
/// As the component's; or rows that can't be read.
pub fn aggregate<A: Aggregate>(
    component: &A,
    rows: &str,
    cuts: &[usize],
) -> Result<Object, String> {
    let rows: Vec<Value> = serde_json::from_str(rows).map_err(|error| error.to_string())?;
    let mut cuts = cuts.to_vec();
    cuts.push(rows.len());
    let mut from = 0;
    let mut state = None;
    for to in cuts {
        let part = rows
            .get(from..to)
            .ok_or("cuts must rise, and lie within the rows")?;
        let folded = state_of(component, part)?;
        state = Some(match state.take() {
            Some(earlier) => aggregate::merge(component, &earlier, &folded)?,
            None => folded,
        });
        from = to;
    }
    measures(component, &state.ok_or("no rows")?)
}

/// The state of one group.
///
/// # Errors
/// As the component's; or rows that can't be read.
pub fn state_of<A: Aggregate>(component: &A, rows: &[Value]) -> Result<wire::Batch, String> {
    let text = serde_json::to_string(rows).map_err(|error| error.to_string())?;
    let batch = batch(&aggregate::describe(component).reads, &[], &text)?;
    aggregate::fold(component, &batch, &vec![0; rows.len()], 1)
}

/// The measures of the one group of a state.
///
/// # Errors
/// As the component's.
pub fn measures<A: Aggregate>(component: &A, state: &wire::Batch) -> Result<Object, String> {
    let finished = aggregate::finish(component, state)?;
    let fields = aggregate::describe(component).measures;
    let objects = of_columns(&fields, &finished.columns, finished.rows);
    objects
        .into_iter()
        .next()
        .ok_or_else(|| "finish answered with no row".to_owned())
}
