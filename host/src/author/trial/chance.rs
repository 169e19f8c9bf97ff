//! Rows that nobody wrote: the author's own with some of their fields changed, and rows of the columns
//! that the component reads. What comes is settled by the seed.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use serde_json::{Map, Value, json};

use super::rows::{MOMENTS, Rows};
use super::{Subject, Trial};
use crate::schema::{FieldType, NamedType};

/// A row as JSON.
pub(super) type Object = Map<String, Value>;

/// Numbers in units that no sum of a few dozen rows brings past 64 bits, nor one of their products with
/// a usual number: a sum that overflows in one order and not in another is no fault of the component.
const LARGE: i64 = 1_000_000_000_000;

/// Where rows come from.
pub(super) struct Chance<'a> {
    random: ChaCha8Rng,
    authors: Vec<Object>,
    fields: Vec<&'a NamedType>,
    /// The fields that groups are made by: these seldom change, so that rows meet.
    keys: &'a [String],
    /// The event's time, where the host lets no row pass without.
    always: Option<&'a str>,
    /// Rows are judged each alone, so that numbers may be as large as they can.
    alone: bool,
}

impl<'a> Chance<'a> {
    pub(super) fn new(trial: &'a Trial, authors: &Rows, seed: u64) -> Self {
        let parsed = authors.texts.iter();
        let parsed = parsed.filter_map(|text| serde_json::from_str(text).ok());
        let (keys, alone, cleanses) = match &trial.only {
            Subject::Rows(rule) => (&[][..], true, rule.step == "cleanse"),
            Subject::Groups(rule) => (rule.description.keys.as_slice(), false, false),
        };
        let fields = trial.schema.event.fields.iter();
        Self {
            random: ChaCha8Rng::seed_from_u64(seed),
            authors: parsed.collect(),
            fields: fields
                .filter(|field| !MOMENTS.contains(&field.name.as_str()))
                .collect(),
            keys,
            always: (!cleanses).then_some(trial.rules.definition.time.as_str()),
            alone,
        }
    }

    pub(super) fn rows(&mut self, count: usize) -> Vec<Object> {
        let mut rows: Vec<Object> = Vec::with_capacity(count);
        for _ in 0..count {
            let mut row = match self.below(8) {
                0 => self.fresh(),
                1..4 => self.one_of(&rows).unwrap_or_default(),
                _ => self.author().unwrap_or_default(),
            };
            if row.is_empty() {
                row = self.fresh();
            }
            for _ in 0..=self.below(3) {
                self.change(&mut row);
            }
            rows.push(row);
        }
        rows
    }

    fn fresh(&mut self) -> Object {
        let mut row = Object::new();
        for field in self.fields.clone() {
            self.set(&mut row, field);
        }
        row
    }

    fn change(&mut self, row: &mut Object) {
        let Some(field) = self.one_of(&self.fields.clone()) else {
            return;
        };
        if !self.keys.contains(&field.name) || self.below(4) == 0 {
            self.set(row, field);
        }
    }

    fn set(&mut self, row: &mut Object, field: &NamedType) {
        let always = self.always == Some(field.name.as_str());
        match self.below(8) {
            0 if !always => {
                row.remove(&field.name);
            }
            1 => {
                if let Some(Value::Number(number)) = row.get(&field.name) {
                    let turned = number.as_i64().and_then(i64::checked_neg);
                    let turned = turned.map(Value::from);
                    let turned = turned.or(number.as_f64().map(|number| json!(-number)));
                    row.insert(field.name.clone(), turned.unwrap_or_default());
                }
            }
            2..5 => {
                let author = self.author();
                if let Some(value) = author.and_then(|author| author.get(&field.name).cloned()) {
                    row.insert(field.name.clone(), value);
                }
            }
            _ => {
                let value = self.value(field.field_type);
                row.insert(field.name.clone(), value);
            }
        }
    }

    fn value(&mut self, field_type: FieldType) -> Value {
        let usual = i64::try_from(self.below(2_000)).unwrap_or_default() - 500;
        match field_type {
            FieldType::Boolean => (usual % 2 == 0).into(),
            FieldType::Integer => {
                let (least, most) = match self.alone {
                    true => (i64::MIN, i64::MAX),
                    false => (-LARGE, LARGE),
                };
                self.of(&[0, 1, -1, 3, usual / 100, usual, least, most])
                    .into()
            }
            FieldType::Decimal { precision, scale } => {
                let most = match self.alone {
                    true => 10_i64.saturating_pow(u32::from(precision)) - 1,
                    false => LARGE,
                };
                decimal(
                    self.of(&[0, 1, -1, usual, usual * 10, usual * 100, most, -most]),
                    scale,
                )
                .into()
            }
            FieldType::Json => {
                let eighths = usual as f64 / 8.0;
                self.of(&[eighths, usual as f64 / 10.0, 0.0, -0.0]).into()
            }
            FieldType::String => {
                let long = "long ".repeat(60);
                self.of(&["A", "B", "a", "", " ", "0", "Ä é 😀", "null", &long])
                    .into()
            }
            FieldType::Timestamp => self
                .of(&[
                    "2025-03-01T00:00:00Z",
                    "2025-03-01T10:00:00.000001Z",
                    "2025-03-01T23:59:59.999999Z",
                    "2025-03-02T12:00:00Z",
                    "2024-02-29T12:00:00Z",
                    "1970-01-01T00:00:00Z",
                    "2100-12-31T23:59:59Z",
                ])
                .into(),
            FieldType::Date => self
                .of(&[
                    "2025-03-01",
                    "2025-03-02",
                    "2024-02-29",
                    "1970-01-01",
                    "2100-12-31",
                ])
                .into(),
        }
    }

    fn author(&mut self) -> Option<Object> {
        let place = self.below(self.authors.len());
        self.authors.get(place).cloned()
    }

    fn one_of<T: Clone>(&mut self, of: &[T]) -> Option<T> {
        of.get(self.below(of.len())).cloned()
    }

    fn of<T: Copy + Default>(&mut self, values: &[T]) -> T {
        values
            .get(self.below(values.len()))
            .copied()
            .unwrap_or_default()
    }

    /// A number below `end`; 0 where there is none.
    fn below(&mut self, end: usize) -> usize {
        let random = usize::try_from(self.random.next_u32()).unwrap_or_default();
        random.checked_rem(end).unwrap_or_default()
    }
}

/// Units as text, which is exact.
fn decimal(units: i64, scale: u8) -> String {
    let (sign, digits) = (if units < 0 { "-" } else { "" }, units.unsigned_abs());
    let end = 10_u64.saturating_pow(u32::from(scale));
    match scale {
        0 => format!("{sign}{digits}"),
        scale => format!(
            "{sign}{}.{:0width$}",
            digits / end,
            digits % end,
            width = usize::from(scale)
        ),
    }
}
