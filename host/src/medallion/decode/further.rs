//! Where each field goes: its declared column, a further column of bronze, or `_rescued`; and
//! which new fields become columns.

use std::collections::{HashMap, HashSet};

use arrow::datatypes::{DataType, Field};

use super::columns::Column;
use super::names::{Name, Names};
use super::number::is_whole;
use super::value::Value;
use super::{EventSchema, Unknown};
use crate::schema::FieldType;

/// The longest name that becomes a column, in bytes.
const LONGEST_NAME: usize = 128;

/// A new column for numbers that are not whole.
const DECIMAL: FieldType = FieldType::Decimal {
    precision: 18,
    scale: 4,
};

/// Where a field goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A declared column, by its place.
    Declared(usize),
    /// A further column of bronze, by its place.
    Further(usize),
    /// No column yet: its first value may make one.
    Open,
    /// `_rescued`, always.
    Rescued,
}

/// Bronze's further columns, and where each name goes.
#[derive(Debug)]
pub struct Further {
    /// The columns that bronze has or will have beside the declared ones.
    pub columns: Vec<Field>,
    /// How many of them bronze had from the start.
    known: usize,
    /// How many columns there may be.
    most: usize,
    declared: HashMap<String, usize>,
    /// Lower-case names of all columns: two that differ by case only are one to many readers.
    taken: HashSet<String>,
    places: Vec<Place>,
}

impl Further {
    pub fn new(schema: &EventSchema, extra: Vec<Field>) -> Self {
        let mut declared = HashMap::new();
        for (place, field) in schema.fields.iter().enumerate() {
            declared.entry(field.name.clone()).or_insert(place);
        }
        let columns: Vec<Field> = extra
            .into_iter()
            .filter(|_| schema.unknown != Unknown::Rescue)
            .filter(|field| !declared.contains_key(field.name()))
            .map(|field| field.with_nullable(true))
            .collect();
        let known = declared.keys().chain(columns.iter().map(Field::name));
        Self {
            taken: known.map(|name| name.to_lowercase()).collect(),
            most: match schema.unknown {
                Unknown::Columns { max } => max.saturating_sub(declared.len()),
                Unknown::Rescue => 0,
            },
            known: columns.len(),
            columns,
            declared,
            places: Vec::new(),
        }
    }

    /// The columns that bronze did not have from the start.
    pub fn new_columns(&self) -> Vec<Field> {
        self.columns.iter().skip(self.known).cloned().collect()
    }

    /// Forgets what was worked out for names that mean nothing any more.
    pub fn forget_names(&mut self) {
        self.places.clear();
    }

    /// Where a field goes.
    pub fn place(&mut self, names: &Names, name: Name) -> Place {
        while self.places.len() <= name.index() && self.places.len() < names.len() {
            let place = self.find(names.nth(self.places.len()));
            self.places.push(place);
        }
        self.places
            .get(name.index())
            .copied()
            .unwrap_or(Place::Rescued)
    }

    fn find(&self, name: &str) -> Place {
        if let Some(place) = self.declared.get(name) {
            return Place::Declared(*place);
        }
        if let Some(place) = self.columns.iter().position(|field| field.name() == name) {
            return Place::Further(place);
        }
        match is_legal(name) {
            true => Place::Open,
            false => Place::Rescued,
        }
    }

    /// A new column for an open name, if its first value and the limits allow one.
    pub fn open(&mut self, names: &Names, name: Name, value: &Value<'_>) -> Option<usize> {
        let field_type = type_of(value)?;
        let text = names.text(name);
        let place = self.columns.len();
        if place >= self.most || !self.taken.insert(text.to_lowercase()) {
            self.set(name, Place::Rescued);
            return None;
        }
        self.columns
            .push(Field::new(text, field_type.arrow(), true));
        self.set(name, Place::Further(place));
        Some(place)
    }

    fn set(&mut self, name: Name, place: Place) {
        if let Some(known) = self.places.get_mut(name.index()) {
            *known = place;
        }
    }
}

/// The type of a column whose first value this is, if the value fits it.
fn type_of(value: &Value<'_>) -> Option<FieldType> {
    let field_type = match value {
        Value::Null | Value::Nested(_) => return None,
        Value::Boolean(_) => FieldType::Boolean,
        Value::Number(text) if is_whole(text) => FieldType::Integer,
        Value::Number(_) => DECIMAL,
        Value::Text(_) => FieldType::String,
    };
    let fits = Column::of_type(&field_type.arrow(), 1).put(0, value);
    fits.then_some(field_type)
}

/// Whether a name can be a column's in every table format and reader: letters, digits, `_` and
/// `-`, not too long, and not beginning with `_`, which is the host's.
pub fn is_legal(name: &str) -> bool {
    let good = |letter: char| letter.is_alphanumeric() || matches!(letter, '_' | '-');
    !name.is_empty()
        && name.len() <= LONGEST_NAME
        && !name.starts_with('_')
        && name.chars().all(good)
}

/// Bronze's further columns, empty.
pub fn empty_columns(columns: &[Field], rows: usize) -> Vec<Column> {
    let types = columns.iter().map(Field::data_type);
    types
        .map(|data_type: &DataType| Column::of_type(data_type, rows))
        .collect()
}
