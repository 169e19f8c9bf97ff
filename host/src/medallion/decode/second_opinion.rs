//! Thousands of generated messages, decoded here and by `serde_json`, which knows nothing of our
//! ways to be quick.

use std::collections::HashMap;

use arrow::array::{Array, AsArray, BinaryArray, RecordBatch};
use arrow::datatypes::{Decimal128Type, Int64Type};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use serde_json::{Map, Value};

use super::tests::schema;
use super::{Decoder, Unknown};

struct Dice(ChaCha8Rng);

impl Dice {
    fn below(&mut self, n: u32) -> u32 {
        self.0.next_u32() % n
    }

    fn of<'a, T: ?Sized>(&mut self, all: &[&'a T]) -> &'a T {
        all[self.below(all.len() as u32) as usize]
    }

    fn space(&mut self) -> &'static str {
        self.of(&["", "", "", "", " ", "\t", "\r\n "])
    }

    fn value(&mut self, depth: u32) -> String {
        match self.below(if depth > 3 { 7 } else { 9 }) {
            0 => self.of(&["null", "true", "false"]).to_owned(),
            1 => format!("{}", self.0.next_u32() as i32),
            2 => format!("{}.{:02}", self.below(100_000), self.below(100)),
            3 => self
                .of(&["-0", "0.50", "1e2", "25E-1", "-7.0", "12.125"])
                .to_owned(),
            4..=6 => {
                let parts = [
                    "a",
                    "é",
                    "\\n",
                    "\\u00e9",
                    "\\\"",
                    "\\\\",
                    " ",
                    "😀",
                    "\\ud83d\\ude00",
                    "/",
                ];
                let length = self.below(6);
                let text: String = (0..length).map(|_| self.of(&parts)).collect();
                format!("\"{text}\"")
            }
            7 => {
                let count = self.below(4);
                let items: Vec<String> = (0..count).map(|_| self.value(depth + 1)).collect();
                format!("[{}{}]", self.space(), items.join(","))
            }
            _ => self.object(&["a", "b", "c", "a\\n"], depth + 1),
        }
    }

    fn object(&mut self, names: &[&str], depth: u32) -> String {
        let mut names: Vec<&str> = names.to_vec();
        let count = self.below(names.len() as u32 + 1);
        let mut fields = Vec::new();
        for _ in 0..count {
            let place = self.below(names.len() as u32) as usize;
            let name = names.swap_remove(place);
            let (a, b, c) = (self.space(), self.space(), self.space());
            fields.push(format!("{a}\"{name}\"{b}:{}{c}", self.value(depth)));
        }
        format!("{{{}{}}}{}", fields.join(","), self.space(), self.space())
    }
}

const NAMES: [&str; 7] = ["id", "quantity", "price", "gift", "\\u0069d2", "more", "_x"];

#[test]
fn generated_events_decode_as_serde_json_reads_them() {
    let fields = [
        ("id", "string"),
        ("quantity", "integer"),
        ("price", "decimal(12,2)"),
        ("gift", "boolean"),
        ("id2", "json"),
    ];
    let schema = schema(&fields, Unknown::Rescue);
    let mut dice = Dice(ChaCha8Rng::seed_from_u64(42));
    let mut decoder = Decoder::new(&schema, Vec::new());
    let mut contents: HashMap<String, [u8; 16]> = HashMap::new();
    for _ in 0..40 {
        let messages: Vec<String> = (0..200).map(|_| dice.object(&NAMES, 0)).collect();
        let decoded = decoder.decode(&BinaryArray::from_iter_values(&messages));
        assert_eq!(decoded.malformed, []);
        for (row, message) in messages.iter().enumerate() {
            let event: Map<String, Value> = serde_json::from_str(message).unwrap();
            check_row(&decoded.rows, row, &event, message);
            // Our content tells apart what serde_json's floats can't, never the other way about.
            let plain = spell(&event);
            let content = *contents.entry(plain).or_insert(decoded.content[row]);
            if !message.contains(['[', '{']) {
                assert_eq!(content, decoded.content[row], "{message}");
            }
        }
    }
}

fn spell(event: &Map<String, Value>) -> String {
    let fields = event.iter().filter(|(_, value)| !value.is_null());
    let fields = fields.map(|(name, value)| match value.as_f64() {
        Some(number) => format!("{name:?}={}", if number == 0.0 { 0.0 } else { number }),
        None => format!("{name:?}={value}"),
    });
    fields.collect::<Vec<_>>().join(";")
}

fn check_row(rows: &RecordBatch, row: usize, event: &Map<String, Value>, message: &str) {
    let rescued = rows.column_by_name("_rescued").unwrap().as_string::<i32>();
    let rescued: Map<String, Value> = match rescued.is_valid(row) {
        true => serde_json::from_str(rescued.value(row)).unwrap(),
        false => Map::new(),
    };
    let mut expected = event.clone();
    expected.retain(|_, value| !value.is_null());
    let id = rows.column(0).as_string::<i32>();
    let id = id.is_valid(row).then(|| id.value(row));
    assert_eq!(
        id,
        take(&mut expected, "id", |v| v.as_str().map(str::to_owned)).as_deref(),
        "{message}"
    );
    let quantity = rows.column(1).as_primitive::<Int64Type>();
    let whole = |v: &Value| v.as_f64().filter(|n| n.fract() == 0.0).map(|n| n as i64);
    assert_eq!(
        value(quantity, row),
        take(&mut expected, "quantity", whole),
        "{message}"
    );
    let price = rows.column(2).as_primitive::<Decimal128Type>();
    let cents = |v: &Value| {
        let cents = v.as_f64()? * 100.0;
        ((cents - cents.round()).abs() < 1e-4).then_some(cents.round() as i128)
    };
    assert_eq!(
        value(price, row),
        take(&mut expected, "price", cents),
        "{message}"
    );
    let gift = rows.column(3).as_boolean();
    let gift = gift.is_valid(row).then(|| gift.value(row));
    assert_eq!(
        gift,
        take(&mut expected, "gift", Value::as_bool),
        "{message}"
    );
    let json = rows.column(4).as_string::<i32>();
    let json = json
        .is_valid(row)
        .then(|| serde_json::from_str::<Value>(json.value(row)).unwrap());
    assert_eq!(
        json,
        take(&mut expected, "id2", |v| Some(v.clone())),
        "{message}"
    );
    assert_eq!(rescued, expected, "{message}");
}

fn value<T: arrow::datatypes::ArrowPrimitiveType>(
    column: &arrow::array::PrimitiveArray<T>,
    row: usize,
) -> Option<T::Native> {
    column.is_valid(row).then(|| column.value(row))
}

/// Takes a field out of an event if it is of its type; else it stays, to be rescued.
fn take<T>(
    event: &mut Map<String, Value>,
    name: &str,
    read: impl Fn(&Value) -> Option<T>,
) -> Option<T> {
    let value = read(event.get(name)?)?;
    event.remove(name);
    Some(value)
}

#[test]
fn broken_bytes_are_malformed_where_serde_json_says_so_and_nothing_panics() {
    let schema = schema(
        &[("id", "string"), ("quantity", "integer")],
        Unknown::Columns { max: 200 },
    );
    let mut dice = Dice(ChaCha8Rng::seed_from_u64(7));
    let mut decoder = Decoder::new(&schema, Vec::new());
    let mut broken = 0;
    for _ in 0..100 {
        let messages: Vec<Vec<u8>> = (0..100)
            .map(|_| {
                let mut bytes = dice.object(&NAMES, 0).into_bytes();
                let place = dice.below(bytes.len() as u32) as usize;
                match dice.below(4) {
                    0 => bytes.truncate(place),
                    1 => bytes[place] = dice.below(256) as u8,
                    2 => bytes.insert(
                        place,
                        *dice
                            .of(&[b"\"", b"{", b"]", b"\\", b",", b"0", b"-", b"e"])
                            .first()
                            .unwrap(),
                    ),
                    _ => {
                        bytes.remove(place);
                    }
                }
                bytes
            })
            .collect();
        let decoded = decoder.decode(&BinaryArray::from_iter_values(&messages));
        let malformed: HashMap<u32, String> = decoded.malformed.into_iter().collect();
        for (row, message) in (0_u32..).zip(&messages) {
            let said = malformed.get(&row).map(String::as_str);
            // The one thing that serde_json lets pass: the last of two equal names wins.
            if said.is_some_and(|said| said.contains("twice")) {
                continue;
            }
            let other = serde_json::from_slice::<Map<String, Value>>(message);
            if other
                .as_ref()
                .is_err_and(|error| error.to_string().contains("out of range"))
            {
                continue;
            }
            broken += usize::from(said.is_some());
            let text = String::from_utf8_lossy(message);
            assert_eq!(
                said.is_some(),
                other.is_err(),
                "{text}: {said:?}, {other:?}"
            );
        }
    }
    assert!(broken > 3000, "{broken}");
}
