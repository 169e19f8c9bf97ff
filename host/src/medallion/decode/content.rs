//! What an event says, as 16 bytes: the same however its fields are ordered, spaced, escaped or
//! its numbers spelled, and whatever the tenant's schema makes of it.
//!
//! The hash is BLAKE3 over the values, sorted by their fields' names, and keyed with the hash of
//! those names. Events of one kind have the same names, which are hashed and sorted once. A null
//! says as much as an absent field.

use std::borrow::Borrow;
use std::collections::HashMap;

use super::names::{Name, Names};
use super::number::canonical;
use super::value::Value;

/// How many combinations of names are remembered.
const MOST_SHAPES: usize = 1024;

/// Lengths below this stand in the same byte as the kind.
const SHORT: usize = 63;

/// Hashes events.
#[derive(Debug, Default)]
pub struct Contents {
    shapes: Vec<Shape>,
    known: HashMap<Vec<Name>, usize>,
    current: usize,
    names: Vec<Name>,
    places: Vec<usize>,
    bytes: Vec<u8>,
}

/// What is the same for all events that bring the same names in the same order.
#[derive(Debug)]
struct Shape {
    names: Vec<Name>,
    /// The places of the names, in their sorted order.
    sorted: Vec<usize>,
    key: [u8; blake3::KEY_LEN],
}

impl Contents {
    /// The hash of an event's fields, each name at most once.
    pub fn hash<'j, F>(&mut self, names: &Names, fields: &[F]) -> [u8; 16]
    where
        F: Borrow<(Name, Value<'j>)>,
    {
        self.names.clear();
        self.places.clear();
        for (place, field) in fields.iter().enumerate() {
            let (name, value) = field.borrow();
            if *value != Value::Null {
                self.names.push(*name);
                self.places.push(place);
            }
        }
        self.choose_shape(names);
        self.bytes.clear();
        let Some(shape) = self.shapes.get(self.current) else {
            return [0; 16];
        };
        for nth in &shape.sorted {
            let place = self.places.get(*nth).copied().unwrap_or_default();
            if let Some(field) = fields.get(place) {
                write(&mut self.bytes, &field.borrow().1);
            }
        }
        let hash = blake3::keyed_hash(&shape.key, &self.bytes);
        let mut half = [0; 16];
        half.copy_from_slice(hash.as_bytes().split_at(16).0);
        half
    }

    fn choose_shape(&mut self, names: &Names) {
        let current = self.shapes.get(self.current);
        if current.is_some_and(|shape| shape.names == self.names) {
            return;
        }
        if let Some(known) = self.known.get(&self.names) {
            self.current = *known;
            return;
        }
        if self.shapes.len() >= MOST_SHAPES {
            self.shapes.clear();
            self.known.clear();
        }
        self.current = self.shapes.len();
        self.known.insert(self.names.clone(), self.current);
        self.shapes.push(Shape::new(names, &self.names));
    }
}

impl Shape {
    fn new(texts: &Names, names: &[Name]) -> Self {
        let mut sorted: Vec<(&str, usize)> = names
            .iter()
            .enumerate()
            .map(|(place, name)| (texts.text(*name), place))
            .collect();
        sorted.sort_unstable();
        let mut hasher = blake3::Hasher::new();
        for (text, _) in &sorted {
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        }
        Self {
            names: names.to_vec(),
            sorted: sorted.into_iter().map(|(_, place)| place).collect(),
            key: hasher.finalize().into(),
        }
    }
}

/// Writes a value so that no two different rows of values can look alike: kind, length, bytes.
fn write(bytes: &mut Vec<u8>, value: &Value<'_>) {
    match value {
        Value::Null => {}
        Value::Boolean(yes) => part(bytes, 0, &[u8::from(*yes)]),
        Value::Number(text) => part(bytes, 1, canonical(text).as_bytes()),
        Value::Text(text) => part(bytes, 2, text.as_bytes()),
        Value::Nested(json) => part(bytes, 3, json.as_bytes()),
    }
}

fn part(bytes: &mut Vec<u8>, kind: u8, part: &[u8]) {
    match u8::try_from(part.len()) {
        Ok(length) if usize::from(length) < SHORT => bytes.push(kind << 6 | length),
        _ => {
            bytes.push(kind << 6 | 63);
            bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
        }
    }
    bytes.extend_from_slice(part);
}
