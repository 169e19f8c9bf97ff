//! Gold: a fold of silver. Rows become states of groups, states merge with those in the table, and
//! the files of the touched partitions are replaced in the commit that carries the progress.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array, UInt32Array};
use arrow::compute::{cast, concat, concat_batches, take, take_record_batch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use arrow::row::{OwnedRow, RowConverter, SortField};
use tokio::task::block_in_place;

use super::cut::Range;
use super::layer::{self, LayerError, Put, commit_of, evolved, moves, put, retention};
use super::rules::{GoldRule, Rules};
use crate::lake::{Commit, Lake, PartitionValues, Table, TableSpec, partition_value_of};
use crate::names::{Offset, Partition, Tenant};
use crate::plugin::CallError;

/// How often a commit is merged anew because another writer touched its partitions.
const MOST_TRIES: usize = 100;
/// Rows folded in one call: their columns and states fit well within a component's memory.
const ROWS_A_FOLD: usize = 131_072;
/// Bytes of state that cross in one call, on each side.
const STATE_BYTES_A_CALL: usize = 4 << 20;
/// Marks a column of the table that is state and no measure.
const STATE_PREFIX: &str = "_state_";

/// One gold table of a tenant.
pub struct Gold {
    pub table: Table,
    pub name: String,
    tenant: Tenant,
}

/// Groups with their states: the keys' columns, then the state's.
#[derive(Clone)]
pub struct States {
    keys: Vec<ArrayRef>,
    state: Vec<ArrayRef>,
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

    /// Merges states into the table and moves its progress over `ranges`.
    ///
    /// # Errors
    /// `Fenced` or `Changed` where another writer was here, a component's error with its group,
    /// or what the lake says.
    pub async fn put(
        &mut self,
        ranges: &[Range],
        rules: &Rules,
        rule: &GoldRule,
        states: Vec<States>,
    ) -> Result<(), LayerError> {
        let added = block_in_place(|| merge_all(rule, states))?;
        for _ in 0..MOST_TRIES {
            self.table.refresh().await?;
            let mut commit = Commit {
                transactions: moves(&self.table, &self.tenant, ranges, ""),
                ..commit_of("WRITE")
            };
            if let Some(added) = &added {
                self.replace(rules, rule, added, &mut commit).await?;
            }
            if let Put::Done = put(&mut self.table, &commit).await? {
                return Ok(());
            }
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

    /// Fills in the files that a commit replaces and those that it adds.
    async fn replace(
        &self,
        rules: &Rules,
        rule: &GoldRule,
        added: &States,
        commit: &mut Commit,
    ) -> Result<(), LayerError> {
        let schema = schema(rules, rule);
        let touched = self.partitions_of(rule, added)?;
        let mut stored = Vec::new();
        let reader = self.table.reader();
        for file in self.table.files() {
            if touched.contains(&file.partition_values) {
                commit.removes.push(file.clone());
            }
        }
        for file in &commit.removes {
            stored.extend(reader.read(file, None).await?);
        }
        commit.watched = touched.into_iter().collect();
        commit.schema = evolved(&self.table, &schema)?;
        let held = commit
            .schema
            .as_ref()
            .unwrap_or(self.table.schema())
            .clone();
        let rows = match stored.first() {
            None => finish(rule, added, &schema)?,
            Some(first) => {
                let stored = concat_batches(&first.schema(), &stored)?;
                self.joined(rule, &stored, added, &schema)?
            }
        };
        let writer = self.table.writer().with_schema(held);
        commit.adds = writer.write(&rows).await?;
        Ok(())
    }

    /// The stored rows with the added states merged in.
    fn joined(
        &self,
        rule: &GoldRule,
        stored: &RecordBatch,
        added: &States,
        schema: &SchemaRef,
    ) -> Result<RecordBatch, LayerError> {
        let held = stored_states(rule, stored)?;
        let mut keys = KeyRows::new(&held.keys)?;
        let changed = keys.rows(&added.keys)?;
        let changed: BTreeSet<OwnedRow> = changed.into_iter().collect();
        let rows = keys.rows(&held.keys)?;
        let (mut same, mut old) = (Vec::new(), Vec::new());
        for (row, key) in rows.iter().enumerate() {
            let row = u32::try_from(row).unwrap_or(u32::MAX);
            match changed.contains(key) {
                true => old.push(row),
                false => same.push(row),
            }
        }
        let old = held.take(&UInt32Array::from(old))?;
        let merged = merge(rule, &old, added)?;
        let fresh = finish(rule, &merged, schema)?;
        if same.is_empty() {
            return Ok(fresh);
        }
        let same = take_record_batch(stored, &UInt32Array::from(same))?;
        let columns: Vec<ArrayRef> = schema
            .fields()
            .iter()
            .map(|field| match same.column_by_name(field.name()) {
                Some(column) => column.clone(),
                None => arrow::array::new_null_array(field.data_type(), same.num_rows()),
            })
            .collect();
        let same = RecordBatch::try_new(schema.clone(), columns)?;
        Ok(concat_batches(schema, [&same, &fresh])?)
    }

    /// The partitions that some groups are in, as the log writes them.
    fn partitions_of(
        &self,
        rule: &GoldRule,
        states: &States,
    ) -> Result<BTreeSet<PartitionValues>, LayerError> {
        let mut names = Vec::new();
        for column in self.table.partition_by() {
            let key = rule.description.keys.iter().position(|key| key == column);
            if let Some(values) = key.and_then(|key| states.keys.get(key)) {
                let texts: Vec<_> = (0..values.len())
                    .map(|row| partition_value_of(values, row))
                    .collect();
                names.push((column, texts));
            }
        }
        let rows = states.keys.first().map_or(0, |keys| keys.len());
        Ok((0..rows)
            .map(|row| {
                names
                    .iter()
                    .map(|(name, texts)| ((*name).clone(), texts.get(row).cloned().flatten()))
                    .collect()
            })
            .collect())
    }
}

impl States {
    fn take(&self, rows: &UInt32Array) -> Result<Self, LayerError> {
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
struct KeyRows(RowConverter);

impl KeyRows {
    fn new(keys: &[ArrayRef]) -> Result<Self, LayerError> {
        let fields = keys
            .iter()
            .map(|key| SortField::new(key.data_type().clone()));
        Ok(Self(RowConverter::new(fields.collect())?))
    }

    fn rows(&mut self, keys: &[ArrayRef]) -> Result<Vec<OwnedRow>, LayerError> {
        let rows = self.0.convert_columns(keys)?;
        Ok(rows.iter().map(|row| row.owned()).collect())
    }
}

/// A gold table's columns: keys, measures, then the state that is no measure.
fn schema(rules: &Rules, rule: &GoldRule) -> SchemaRef {
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
    let mut states = Vec::new();
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
        let state = rule
            .configured
            .fold(rows.num_rows(), &columns, &group, count)
            .map_err(called(rule))?;
        let first = UInt32Array::from(first);
        let keys = keys
            .iter()
            .map(|key| take(key, &first, None))
            .collect::<Result<Vec<_>, _>>()?;
        states.push(States { keys, state });
    }
    Ok(states)
}

/// The group of each row, and the first row of each group.
fn groups(keys: &[ArrayRef]) -> Result<(Vec<u32>, Vec<u32>), LayerError> {
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
fn merge(rule: &GoldRule, left: &States, right: &States) -> Result<States, LayerError> {
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
fn stored_states(rule: &GoldRule, rows: &RecordBatch) -> Result<States, LayerError> {
    let keys = rule.description.keys.iter();
    let keys = keys
        .filter_map(|key| rows.column_by_name(key).cloned())
        .collect();
    let mut state = Vec::new();
    for field in &rule.description.state {
        let name = state_only(rule, field).unwrap_or_else(|| field.name.clone());
        let wanted = field.kind.arrow();
        state.push(match rows.column_by_name(&name) {
            Some(column) => cast(column, &wanted)?,
            None => arrow::array::new_null_array(&wanted, rows.num_rows()),
        });
    }
    Ok(States { keys, state })
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
