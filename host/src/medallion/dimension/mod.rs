//! Dimensions: what is known of a tenant's products, stores, customers, and the joining of it to
//! rows. A dimension with `valid_from` and `valid_to` says what was known as of a moment.

mod error;
mod file;
mod keys;
mod order;
mod table;
#[cfg(test)]
mod tests;

use std::hash::BuildHasher as _;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::{CastOptions, cast, cast_with_options, take, take_record_batch};
use arrow::datatypes::{DataType, TimestampMicrosecondType};
use arrow::error::ArrowError;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

pub use error::DimensionError;
pub use table::read_file;

use keys::Keys;
use order::{Periods, VALID_FROM, VALID_TO, key_columns, order, periods};

use crate::schema::{FieldType, NamedType};

/// What a dimension looks like.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DimensionSpec {
    pub name: String,
    /// The columns that name a row.
    pub key: Vec<String>,
    /// The types of columns. What is not named is text, but for `valid_from` and `valid_to`,
    /// which are timestamps: a row holds from the first to just before the second, and without
    /// one of them without that limit.
    pub columns: Vec<NamedType>,
}

impl DimensionSpec {
    /// The type of a column.
    pub fn type_of(&self, name: &str) -> FieldType {
        let named = self.columns.iter().find(|column| column.name == name);
        match named {
            Some(column) => column.field_type,
            None if name == VALID_FROM || name == VALID_TO => FieldType::Timestamp,
            None => FieldType::String,
        }
    }

    fn check(&self) -> Result<(), DimensionError> {
        let bad = |problem: String| DimensionError::BadSpec {
            dimension: self.name.clone(),
            problem,
        };
        if self.key.is_empty() {
            return Err(bad("its key is empty: name at least one column".into()));
        }
        for name in [VALID_FROM, VALID_TO] {
            if self.type_of(name) != FieldType::Timestamp {
                return Err(bad(format!("column {name} must be a timestamp")));
            }
        }
        Ok(())
    }

    fn arrow(&self, source: ArrowError) -> DimensionError {
        DimensionError::Arrow {
            dimension: self.name.clone(),
            source,
        }
    }
}

/// Whether a key that is held as one type can be asked for by a column of another.
pub fn can_ask(asked: &DataType, held: &DataType) -> bool {
    asked == held || matches!((asked, held), (DataType::Int64, DataType::Utf8))
}

/// Where the rows of each key begin, and how many there are. The keys themselves are in the rows
/// alone: a host has the dimensions of many tenants.
#[derive(Debug)]
struct Index {
    places: HashTable<(u32, u32)>,
    hasher: foldhash::fast::RandomState,
}

/// A dimension's rows, ready to be looked up.
#[derive(Debug)]
pub struct Dimension {
    spec: DimensionSpec,
    rows: RecordBatch,
    index: Index,
    /// When each row holds, where that differs.
    periods: Option<Periods>,
}

/// What was found for some rows.
#[derive(Clone, Debug)]
pub struct LookedUp {
    /// In the order in which they were asked for. `None`: the dimension has no such column. Null
    /// where nothing was found.
    pub fields: Vec<Option<ArrayRef>>,
    /// Which rows the dimension knows.
    pub found: BooleanArray,
}

impl Dimension {
    /// Makes rows ready, as [`read_file`] gives them or a table holds them.
    ///
    /// # Errors
    /// Where the rows are not of the spec's types, or their keys are not theirs alone.
    pub fn new(spec: &DimensionSpec, rows: RecordBatch) -> Result<Self, DimensionError> {
        spec.check()?;
        check_types(spec, &rows)?;
        let unfit = |problem: String| DimensionError::Unfit {
            dimension: spec.name.clone(),
            problem,
        };
        let columns = key_columns(&rows, &spec.key)
            .map_err(|column| unfit(format!("there is no column {column}")))?;
        let no_type = || unfit("a key column is of a type that no key has".into());
        let keys = Keys::new(&columns).ok_or_else(no_type)?;
        let order = order(&keys, rows.num_rows(), periods(&rows).as_ref())
            .map_err(|clash| unfit(format!("{clash:?}")))?;
        let rows = take_record_batch(&rows, &UInt32Array::from(order))
            .map_err(|error| spec.arrow(error))?;
        let columns = key_columns(&rows, &spec.key).map_err(|_| no_type())?;
        let keys = Keys::new(&columns).ok_or_else(no_type)?;
        Ok(Self {
            index: Index::of(&keys, rows.num_rows()),
            periods: periods(&rows),
            spec: spec.clone(),
            rows,
        })
    }

    /// All rows, sorted by key.
    pub fn rows(&self) -> &RecordBatch {
        &self.rows
    }

    /// Looks rows up. `on` pairs the rows' columns with the key's; a row of which a part of the
    /// key is null or missing is not found. `as_of` is the rows' moment, for a dimension whose
    /// rows hold for a time; at a null moment nothing holds. Integers are found among text keys.
    ///
    /// # Errors
    /// Columns of types that can't be compared, or fields that can't be had as what is asked for.
    pub fn look_up(
        &self,
        on: &[(ArrayRef, &str)],
        as_of: Option<&ArrayRef>,
        fields: &[(&str, DataType)],
    ) -> Result<LookedUp, DimensionError> {
        let asked = on.first().map(|(column, _)| column).or(as_of);
        let rows = asked.map_or(0, |column| column.len());
        let places = match self.comparable(on)? {
            Some(columns) => self.places(&columns, as_of, rows)?,
            None => UInt32Array::new_null(rows),
        };
        let found = (0..rows).map(|row| Some(places.is_valid(row)));
        let mut looked_up = LookedUp {
            found: found.collect(),
            fields: Vec::new(),
        };
        for (name, data_type) in fields {
            let column = self.rows.column_by_name(name);
            let field = column.map(|column| self.field(name, column, &places, data_type));
            looked_up.fields.push(field.transpose()?);
        }
        Ok(looked_up)
    }

    /// The key's columns of the rows that ask, in the key's types; `None` if one is missing.
    fn comparable(&self, on: &[(ArrayRef, &str)]) -> Result<Option<Vec<ArrayRef>>, DimensionError> {
        let mut columns = Vec::new();
        for key in &self.spec.key {
            let Some((column, _)) = on.iter().find(|(_, name)| name == key) else {
                return Ok(None);
            };
            let schema = self.rows.schema();
            let held = schema
                .field_with_name(key)
                .map_err(|e| self.spec.arrow(e))?;
            let (asked, held) = (column.data_type(), held.data_type());
            columns.push(if asked == held {
                column.clone()
            } else if can_ask(asked, held) {
                cast(column, held).map_err(|e| self.spec.arrow(e))?
            } else {
                return Err(self.wrong_type(key, held, asked));
            });
        }
        Ok(Some(columns))
    }

    /// Where each row is found.
    fn places(
        &self,
        columns: &[ArrayRef],
        as_of: Option<&ArrayRef>,
        rows: usize,
    ) -> Result<UInt32Array, DimensionError> {
        let no_moment = || DimensionError::NoMoment {
            dimension: self.spec.name.clone(),
        };
        let moments = match (&self.periods, as_of) {
            (None, _) => None,
            (Some(periods), Some(moments)) => {
                let moments = moments.as_primitive_opt::<TimestampMicrosecondType>();
                Some((periods, moments.ok_or_else(no_moment)?))
            }
            (Some(_), None) => return Err(no_moment()),
        };
        let held = |column: &ArrayRef| column.len() == rows;
        let (Some(keys), true) = (Keys::new(columns), columns.iter().all(held)) else {
            return Ok(UInt32Array::new_null(rows));
        };
        let known = key_columns(&self.rows, &self.spec.key).unwrap_or_default();
        let Some(known) = Keys::new(&known) else {
            return Ok(UInt32Array::new_null(rows));
        };
        let (mut buffer, mut other) = (Vec::new(), Vec::new());
        Ok((0..rows)
            .map(|row| {
                let key = keys.bytes(row, &mut buffer)?;
                let (start, count) = self.index.get(key, &known, &mut other)?;
                match &moments {
                    None => Some(start),
                    Some((_, moments)) if moments.is_null(row) => None,
                    Some((periods, moments)) => holding(periods, start, count, moments.value(row)),
                }
            })
            .collect())
    }

    fn field(
        &self,
        name: &str,
        column: &ArrayRef,
        places: &UInt32Array,
        asked: &DataType,
    ) -> Result<ArrayRef, DimensionError> {
        let found = take(column, places, None).map_err(|e| self.spec.arrow(e))?;
        match (found.data_type(), asked) {
            (held, asked) if held == asked => Ok(found),
            (DataType::Decimal128(_, has), DataType::Decimal128(_, wants)) if has <= wants => {
                let strict = CastOptions {
                    safe: false,
                    ..CastOptions::default()
                };
                cast_with_options(&found, asked, &strict).map_err(|e| self.spec.arrow(e))
            }
            (held, asked) => Err(self.wrong_type(name, held, asked)),
        }
    }

    fn wrong_type(&self, column: &str, held: &DataType, asked: &DataType) -> DimensionError {
        DimensionError::WrongType {
            dimension: self.spec.name.clone(),
            column: column.to_owned(),
            held: held.clone(),
            asked: asked.clone(),
        }
    }
}

fn check_types(spec: &DimensionSpec, rows: &RecordBatch) -> Result<(), DimensionError> {
    for field in rows.schema().fields() {
        let wanted = spec.type_of(field.name()).arrow();
        if *field.data_type() != wanted {
            return Err(DimensionError::Stale {
                dimension: spec.name.clone(),
                column: field.name().clone(),
                held: field.data_type().clone(),
                wanted,
            });
        }
    }
    Ok(())
}

impl Index {
    /// An index of sorted rows.
    fn of(keys: &Keys<'_>, rows: usize) -> Self {
        let hasher = foldhash::fast::RandomState::default();
        let mut places = HashTable::with_capacity(rows);
        let [mut buffer, mut other] = [Vec::new(), Vec::new()];
        for (row, place) in (0..rows).zip(0_u32..) {
            let Some(key) = keys.bytes(row, &mut buffer) else {
                continue;
            };
            let same = |(start, _): &(u32, u32)| is(keys, *start, key, &mut other);
            // There is room for all of them.
            let again = |(start, _): &(u32, u32)| {
                let mut buffer = Vec::new();
                let key = keys.bytes(*start as usize, &mut buffer);
                hasher.hash_one(key.unwrap_or_default())
            };
            match places.entry(hasher.hash_one(key), same, again) {
                Entry::Occupied(mut held) => held.get_mut().1 += 1,
                Entry::Vacant(free) => {
                    free.insert((place, 1));
                }
            }
        }
        Self { places, hasher }
    }

    /// Where a key's rows begin, and how many there are; `keys` are those of the dimension's rows.
    fn get(&self, key: &[u8], keys: &Keys<'_>, buffer: &mut Vec<u8>) -> Option<(u32, u32)> {
        let hash = self.hasher.hash_one(key);
        let found = self.places.find(hash, |(at, _)| is(keys, *at, key, buffer));
        found.copied()
    }
}

/// Whether a row has this key.
fn is(keys: &Keys<'_>, row: u32, key: &[u8], buffer: &mut Vec<u8>) -> bool {
    keys.bytes(row as usize, buffer) == Some(key)
}

/// The row that holds at a moment, of `count` rows from `start` on that are sorted by when they
/// begin and don't overlap.
fn holding(periods: &Periods, start: u32, count: u32, moment: i64) -> Option<u32> {
    let first = usize::try_from(start).ok()?;
    let all = periods.get(first..first.checked_add(usize::try_from(count).ok()?)?)?;
    let begun = all.partition_point(|(from, _)| *from <= moment);
    let last = begun.checked_sub(1)?;
    let (_, to) = all.get(last)?;
    (moment < *to).then(|| u32::try_from(first + last).ok())?
}
