//! Columns that cross into a component and back, and answers that nobody wrote.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Decimal128Array, Float64Array, Int64Array, StringArray,
};

use bolero::TypeGenerator;
use serde::{Deserialize, Serialize};

use super::bindings::assay::rules::types as wit;
use super::lend::Lent;
use super::take::{Room, take};
use super::{Field, Kind};
use crate::edits::Tried;
use crate::kept::Kept;

fn field(kind: Kind) -> Field {
    Field {
        name: "column".into(),
        kind,
        required: false,
    }
}

/// What a component would answer with that gives a column back as it came.
fn echo(column: &wit::ColumnParam<'_>) -> wit::ColumnResult {
    let text = |text: &wit::TextParam<'_>| wit::TextResult {
        offsets: text.offsets.to_vec(),
        bytes: text.bytes.to_vec(),
    };
    let values = match &column.values {
        wit::ValuesParam::Booleans(values) => wit::ValuesResult::Booleans(values.to_vec()),
        wit::ValuesParam::Integers(values) => wit::ValuesResult::Integers(values.to_vec()),
        wit::ValuesParam::Floats(values) => wit::ValuesResult::Floats(values.to_vec()),
        wit::ValuesParam::Decimals(decimal) => wit::ValuesResult::Decimals(wit::DecimalResult {
            scale: decimal.scale,
            units: decimal.units.to_vec(),
        }),
        wit::ValuesParam::Text(lent) => wit::ValuesResult::Text(text(lent)),
        wit::ValuesParam::Binary(lent) => wit::ValuesResult::Binary(text(lent)),
        wit::ValuesParam::Timestamps(values) => wit::ValuesResult::Timestamps(values.to_vec()),
        wit::ValuesParam::Dates(values) => wit::ValuesResult::Dates(values.to_vec()),
    };
    wit::ColumnResult {
        values,
        valid: column.valid.map(<[u8]>::to_vec),
    }
}

/// A row of every kind that is tried.
#[derive(Clone, Debug, TypeGenerator, Serialize, Deserialize)]
struct Row {
    integer: Option<i64>,
    boolean: Option<bool>,
    text: Option<String>,
}

/// `count` rows from `from` on, as far as there are so many.
#[derive(Clone, Debug, TypeGenerator, Serialize, Deserialize)]
struct Slice {
    rows: Vec<Row>,
    from: u8,
    count: u8,
}

fn check_slice(Slice { rows, from, count }: &Slice) {
    let from = usize::from(*from) % (rows.len() + 1);
    let count = usize::from(*count) % (rows.len() - from + 1);
    let integers = || rows.iter().map(|row| row.integer);
    let floats = integers().map(|n| n.map(|n| n as f64));
    let units: Decimal128Array = integers()
        .map(|units| units.map(|units| i128::from(units % 1_000_000_000_000_000_000)))
        .collect();
    let units = units.with_precision_and_scale(18, 2).unwrap();
    let booleans = rows.iter().map(|row| row.boolean);
    let texts = rows.iter().map(|row| row.text.as_deref());
    let columns: [(Kind, ArrayRef); 5] = [
        (Kind::Integer, Arc::new(integers().collect::<Int64Array>())),
        (Kind::Float, Arc::new(floats.collect::<Float64Array>())),
        (Kind::Boolean, Arc::new(booleans.collect::<BooleanArray>())),
        (Kind::Text, Arc::new(texts.collect::<StringArray>())),
        (Kind::Decimal(2), Arc::new(units)),
    ];
    for (kind, column) in columns {
        let column = column.slice(from, count);
        let lent = Lent::new(Some(&column), kind, count).unwrap();
        let answer = vec![echo(&lent.param())];
        let taken = take(answer, &[field(kind)], count, Room::Row).unwrap();
        assert_eq!(taken.outside.len(), 0);
        assert_eq!(*taken.columns[0], *column);
    }
}

#[test]
fn a_slice_of_a_column_crosses_and_comes_back_as_it_was() {
    let kept = Kept::of("columns");
    kept.replay(|json| {
        check_slice(&serde_json::from_slice(json).unwrap());
        true
    });
    bolero::check!().with_type::<Slice>().for_each(|slice| {
        kept.try_one(|| serde_json::to_vec(slice).unwrap(), || check_slice(slice));
    });
}

/// What an answer is made of.
#[derive(Clone, Debug, TypeGenerator, Serialize, Deserialize)]
struct Answer {
    /// As they are: else they are made to be of the right lengths, so that what lies behind those
    /// checks is reached.
    raw: bool,
    kind: u8,
    scale: u8,
    /// Rows of the batch that is answered.
    rows: u8,
    /// What all kinds but text and binary are made of. Of floats these are the bits.
    numbers: Vec<i64>,
    offsets: Vec<u32>,
    bytes: Vec<u8>,
    valid: Option<Vec<u8>>,
}

fn answer(made: &Answer) -> (Kind, usize, wit::ColumnResult) {
    let Answer {
        mut numbers,
        mut offsets,
        bytes,
        mut valid,
        ..
    } = made.clone();
    let rows = usize::from(made.rows) % 40;
    if !made.raw {
        numbers.resize(rows, i64::MIN);
        let most = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        offsets.iter_mut().for_each(|offset| *offset %= most + 1);
        offsets.resize(rows + 1, most);
        offsets.sort_unstable();
        offsets[0] = 0;
        offsets[rows] = most;
        if let Some(valid) = &mut valid {
            valid.resize(rows.div_ceil(8), 0xff);
        }
    }
    let scale = made.scale % 20;
    let text = || wit::TextResult {
        offsets: offsets.clone(),
        bytes: bytes.clone(),
    };
    let small = |number: &i64| (*number % 4_000_000_000) as i32;
    let (kind, values) = match made.kind % 8 {
        0 => {
            let truths = numbers
                .iter()
                .map(|number| u8::from(number & 3 == 3) * (1 + u8::from(number & 0x3c == 0)));
            (Kind::Boolean, wit::ValuesResult::Booleans(truths.collect()))
        }
        1 => (Kind::Integer, wit::ValuesResult::Integers(numbers)),
        2 => {
            let floats = numbers.iter().map(|bits| f64::from_bits(*bits as u64));
            (Kind::Float, wit::ValuesResult::Floats(floats.collect()))
        }
        3 => (
            Kind::Decimal(scale),
            wit::ValuesResult::Decimals(wit::DecimalResult {
                scale,
                units: numbers,
            }),
        ),
        4 => (Kind::Text, wit::ValuesResult::Text(text())),
        5 => (Kind::Binary, wit::ValuesResult::Binary(text())),
        6 => (Kind::Timestamp, wit::ValuesResult::Timestamps(numbers)),
        _ => (
            Kind::Date,
            wit::ValuesResult::Dates(numbers.iter().map(small).collect()),
        ),
    };
    (kind, rows, wit::ColumnResult { values, valid })
}

/// In how many kinds of room it was taken, of those that there are.
fn check_answer(made: &Answer) -> [bool; 2] {
    [Room::Row, Room::Sum].map(|room| {
        let (kind, rows, column) = answer(made);
        let Ok(taken) = take(vec![column], &[field(kind)], rows, room) else {
            return false;
        };
        let array = &taken.columns[0];
        assert_eq!((array.len(), array.data_type()), (rows, &room.arrow(kind)));
        array.to_data().validate_full().unwrap();
        for row in taken.outside.keys() {
            assert!(array.is_null(*row));
        }
        true
    })
}

#[test]
fn an_answer_of_chance_is_refused_or_becomes_a_sound_array() {
    let kept = Kept::of("answers");
    kept.replay(|json| check_answer(&serde_json::from_slice(json).unwrap()).contains(&true));
    let tried = Tried::new("answers");
    bolero::check!().with_type::<Answer>().for_each(|made| {
        kept.try_one(
            || serde_json::to_vec(made).unwrap(),
            || {
                check_answer(made)
                    .into_iter()
                    .for_each(|taken| tried.one(taken));
            },
        );
    });
    tried.end();
}
