//! States of groups, and what the component makes of them: rows fold into states, states merge, and
//! finished states are a table's rows.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use arrow::array::{Array, ArrayRef, UInt32Array};
use arrow::compute::{cast, concat, concat_batches, take};
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use arrow::row::{OwnedRow, RowConverter, SortField};

use super::state_only;
use crate::medallion::layer::LayerError;
use crate::medallion::rules::GoldRule;
use crate::plugin::CallError;

/// Rows folded in one call: their columns and states fit well within a component's memory.
const ROWS_A_FOLD: usize = 131_072;
/// Bytes of state that cross in one call, on each side.
const STATE_BYTES_A_CALL: usize = 4 << 20;

/// Groups with their states: the keys' columns, then the state's.
#[derive(Clone)]
pub struct States {
    pub(super) keys: Vec<ArrayRef>,
    pub(super) state: Vec<ArrayRef>,
}

impl States {
    pub(super) fn take(&self, rows: &UInt32Array) -> Result<Self, LayerError> {
        let taken = |columns: &[ArrayRef]| {
            columns
                .iter()
                .map(|column| take(column, rows, None))
                .collect::<Result<Vec<_>, _>>()
        };
        Ok(Self {
            keys: taken(&self.keys)?,
            state: taken(&self.state)?,
        })
    }

    fn slice(&self, from: usize, count: usize) -> Self {
        let slice = |columns: &[ArrayRef]| columns.iter().map(|c| c.slice(from, count)).collect();
        Self {
            keys: slice(&self.keys),
            state: slice(&self.state),
        }
    }

    /// The memory that they take, in bytes.
    pub fn bytes(&self) -> usize {
        let columns = self.keys.iter().chain(&self.state);
        columns.map(|column| column.get_array_memory_size()).sum()
    }

    pub fn len(&self) -> usize {
        self.keys.first().map_or(0, |keys| keys.len())
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn concat(parts: &[Self]) -> Result<Self, LayerError> {
        let joined = |columns: &dyn Fn(&Self) -> &Vec<ArrayRef>| {
            let count = parts.first().map_or(0, |part| columns(part).len());
            (0..count)
                .map(|column| {
                    let arrays: Vec<&dyn Array> = parts
                        .iter()
                        .filter_map(|part| columns(part).get(column).map(AsRef::as_ref))
                        .collect();
                    concat(&arrays)
                })
                .collect::<Result<Vec<_>, _>>()
        };
        Ok(Self {
            keys: joined(&|part| &part.keys)?,
            state: joined(&|part| &part.state)?,
        })
    }

    /// Slices of rows whose state is small enough to cross at once.
    fn portions(&self) -> Vec<(usize, usize)> {
        let bytes: usize = self.state.iter().map(|c| c.get_array_memory_size()).sum();
        let portions = 1 + bytes / STATE_BYTES_A_CALL;
        let rows = self.len().div_ceil(portions).max(1);
        (0..self.len())
            .step_by(rows)
            .map(|from| (from, rows.min(self.len() - from)))
            .collect()
    }
}

/// Rows of some key columns as comparable values.
pub(super) struct KeyRows(RowConverter);

impl KeyRows {
    pub(super) fn new(keys: &[ArrayRef]) -> Result<Self, LayerError> {
        let fields = keys
            .iter()
            .map(|key| SortField::new(key.data_type().clone()));
        Ok(Self(RowConverter::new(fields.collect())?))
    }

    pub(super) fn rows(&mut self, keys: &[ArrayRef]) -> Result<Vec<OwnedRow>, LayerError> {
        let rows = self.0.convert_columns(keys)?;
        Ok(rows.iter().map(|row| row.owned()).collect())
    }
}

fn called(rule: &GoldRule) -> impl Fn(CallError) -> LayerError {
    let table = rule.table.clone();
    move |source| LayerError::Gold {
        table: table.clone(),
        source,
    }
}

/// Folds silver's rows into states of groups.
///
/// # Errors
/// The component's own error, or a column that silver lacks.
pub fn fold(rule: &GoldRule, rows: &RecordBatch) -> Result<Vec<States>, LayerError> {
    fold_metered(rule, rows).map(|(states, _)| states)
}

/// As [`fold`], and says what fuel it took.
///
/// # Errors
/// As [`fold`].
pub fn fold_metered(rule: &GoldRule, rows: &RecordBatch) -> Result<(Vec<States>, u64), LayerError> {
    let (mut states, mut fuel) = (Vec::new(), 0);
    for from in (0..rows.num_rows()).step_by(ROWS_A_FOLD) {
        let rows = rows.slice(from, ROWS_A_FOLD.min(rows.num_rows() - from));
        let keys: Vec<ArrayRef> = rule
            .description
            .keys
            .iter()
            .filter_map(|key| rows.column_by_name(key).cloned())
            .collect();
        let (group, first) = groups(&keys)?;
        let columns: Vec<Option<ArrayRef>> = rule
            .description
            .reads
            .iter()
            .map(|field| rows.column_by_name(&field.name).cloned())
            .collect();
        let count = u32::try_from(first.len()).unwrap_or(u32::MAX);
        let (state, burnt) = rule
            .configured
            .fold(rows.num_rows(), &columns, &group, count)
            .map_err(called(rule))?;
        fuel += burnt;
        let first = UInt32Array::from(first);
        let keys = keys
            .iter()
            .map(|key| take(key, &first, None))
            .collect::<Result<Vec<_>, _>>()?;
        states.push(States { keys, state });
    }
    Ok((states, fuel))
}

/// The group of each row, and the first row of each group.
///
/// # Errors
/// Keys of a type that can't be compared.
pub fn groups(keys: &[ArrayRef]) -> Result<(Vec<u32>, Vec<u32>), LayerError> {
    let fields = keys
        .iter()
        .map(|key| SortField::new(key.data_type().clone()));
    let rows = RowConverter::new(fields.collect())?.convert_columns(keys)?;
    let mut known = HashMap::with_hasher(foldhash::fast::RandomState::default());
    let (mut group, mut first) = (Vec::with_capacity(rows.num_rows()), Vec::new());
    for (row, key) in rows.iter().enumerate() {
        let next = u32::try_from(known.len()).unwrap_or(u32::MAX);
        let number = *known.entry(key).or_insert_with(|| {
            first.push(u32::try_from(row).unwrap_or(u32::MAX));
            next
        });
        group.push(number);
    }
    Ok((group, first))
}

/// Merges states pairwise, like a tournament, so that none is merged more often than needed.
///
/// # Errors
/// The component's own error.
pub fn merge_all(rule: &GoldRule, mut states: Vec<States>) -> Result<Option<States>, LayerError> {
    while states.len() > 1 {
        let mut next = Vec::with_capacity(states.len().div_ceil(2));
        for pair in states.chunks(2) {
            match pair {
                [left, right] => next.push(merge(rule, left, right)?),
                [last] => next.push(last.clone()),
                _ => {}
            }
        }
        states = next;
    }
    Ok(states.pop().filter(|states| !states.is_empty()))
}

/// The states of all groups of both sides.
pub(super) fn merge(rule: &GoldRule, left: &States, right: &States) -> Result<States, LayerError> {
    let mut keys = KeyRows::new(&left.keys)?;
    let places: BTreeMap<OwnedRow, u32> = keys.rows(&left.keys)?.into_iter().zip(0..).collect();
    let (mut both, mut met, mut alone) = (Vec::new(), BTreeSet::new(), Vec::new());
    let mut at = Vec::new();
    for (key, row) in keys.rows(&right.keys)?.iter().zip(0_u32..) {
        match places.get(key) {
            Some(place) => {
                at.push(*place);
                met.insert(*place);
                both.push(row);
            }
            None => alone.push(row),
        }
    }
    let only_left: Vec<u32> = places
        .values()
        .copied()
        .filter(|p| !met.contains(p))
        .collect();
    let mut parts = vec![
        left.take(&UInt32Array::from(only_left))?,
        right.take(&UInt32Array::from(alone))?,
    ];
    let (a, b) = (
        left.take(&UInt32Array::from(at))?,
        right.take(&UInt32Array::from(both))?,
    );
    let portions = if a.portions().len() > b.portions().len() {
        a.portions()
    } else {
        b.portions()
    };
    for (from, count) in portions {
        let (a, b) = (a.slice(from, count), b.slice(from, count));
        let state = rule
            .configured
            .merge(&a.state, &b.state)
            .map_err(called(rule))?;
        parts.push(States {
            keys: a.keys,
            state,
        });
    }
    States::concat(&parts)
}

/// Groups as the table's rows.
///
/// # Errors
/// The component's own error.
pub fn finish(
    rule: &GoldRule,
    states: &States,
    schema: &SchemaRef,
) -> Result<RecordBatch, LayerError> {
    let mut parts = Vec::new();
    for (from, count) in states.portions() {
        let states = states.slice(from, count);
        let measures = rule
            .configured
            .finish(&states.state)
            .map_err(called(rule))?;
        let mut columns: BTreeMap<String, ArrayRef> = BTreeMap::new();
        for (name, column) in rule.description.keys.iter().zip(&states.keys) {
            columns.insert(name.clone(), column.clone());
        }
        for (field, column) in rule.description.measures.iter().zip(&measures) {
            columns.insert(field.name.clone(), column.clone());
        }
        for (field, column) in rule.description.state.iter().zip(&states.state) {
            if let Some(name) = state_only(rule, field) {
                columns.insert(name, column.clone());
            }
        }
        let columns = schema
            .fields()
            .iter()
            .map(|field| match columns.get(field.name()) {
                Some(column) => cast(column, field.data_type()),
                None => Ok(arrow::array::new_null_array(field.data_type(), count)),
            })
            .collect::<Result<Vec<_>, _>>()?;
        parts.push(RecordBatch::try_new(schema.clone(), columns)?);
    }
    Ok(concat_batches(schema, &parts)?)
}

/// The states that a table's rows hold.
pub(super) fn stored_states(rule: &GoldRule, rows: &RecordBatch) -> Result<States, LayerError> {
    let keys = rule.description.keys.iter();
    let keys = keys
        .filter_map(|key| rows.column_by_name(key).cloned())
        .collect();
    let mut state = Vec::new();
    for field in &rule.description.state {
        let name = state_only(rule, field).unwrap_or_else(|| field.name.clone());
        let wanted = field.kind.summed();
        state.push(match rows.column_by_name(&name) {
            Some(column) => cast(column, &wanted)?,
            None => arrow::array::new_null_array(&wanted, rows.num_rows()),
        });
    }
    Ok(States { keys, state })
}
