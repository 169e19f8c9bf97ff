//! Columns that cross into a component and back, and answers that nobody wrote.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Decimal128Array, Float64Array, Int64Array, StringArray,
};

use super::bindings::assay::rules::types as wit;
use super::lend::Lent;
use super::take::{Room, take};
use super::{Field, Kind};
use crate::edits::Tried;

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

type Row = (Option<i64>, Option<bool>, Option<String>);

#[test]
fn a_slice_of_a_column_crosses_and_comes_back_as_it_was() {
    bolero::check!()
        .with_type::<(Vec<Row>, u8, u8)>()
        .for_each(|(rows, from, count)| {
            let from = usize::from(*from) % (rows.len() + 1);
            let count = usize::from(*count) % (rows.len() - from + 1);
            let integers = || rows.iter().map(|row| row.0);
            let units: Decimal128Array = integers()
                .map(|units| units.map(|units| i128::from(units % 1_000_000_000_000_000_000)))
                .collect();
            let columns: [(Kind, ArrayRef); 5] = [
                (Kind::Integer, Arc::new(integers().collect::<Int64Array>())),
                (
                    Kind::Float,
                    Arc::new(
                        integers()
                            .map(|n| n.map(|n| n as f64))
                            .collect::<Float64Array>(),
                    ),
                ),
                (
                    Kind::Boolean,
                    Arc::new(rows.iter().map(|row| row.1).collect::<BooleanArray>()),
                ),
                (
                    Kind::Text,
                    Arc::new(
                        rows.iter()
                            .map(|row| row.2.as_deref())
                            .collect::<StringArray>(),
                    ),
                ),
                (
                    Kind::Decimal(2),
                    Arc::new(units.with_precision_and_scale(18, 2).unwrap()),
                ),
            ];
            for (kind, column) in columns {
                let column = column.slice(from, count);
                let lent = Lent::new(Some(&column), kind, count).unwrap();
                let answer = vec![echo(&lent.param())];
                let taken = take(answer, &[field(kind)], count, Room::Row).unwrap();
                assert_eq!(taken.outside.len(), 0);
                assert_eq!(*taken.columns[0], *column);
            }
        });
}

type Answer = (u8, u8, Vec<i64>, Vec<u32>, Vec<u8>, Option<Vec<u8>>);

/// An answer out of what came by chance. Half of them are made to be of the right lengths, so that
/// what lies behind those checks is reached.
fn answer(
    (kind, rows, numbers, offsets, bytes, valid): &Answer,
) -> (Kind, usize, wit::ColumnResult) {
    let rows = usize::from(*rows) % 40;
    let (mut numbers, mut offsets, mut valid) = (numbers.clone(), offsets.clone(), valid.clone());
    if kind & 0x80 == 0 {
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
    let scale = kind / 8 % 20;
    let text = || wit::TextResult {
        offsets: offsets.clone(),
        bytes: bytes.clone(),
    };
    let small = |number: &i64| (*number % 4_000_000_000) as i32;
    let (kind, values) = match kind % 8 {
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

#[test]
fn an_answer_of_chance_is_refused_or_becomes_a_sound_array() {
    let tried = Tried::new("answers");
    bolero::check!().with_type::<Answer>().for_each(|made| {
        for room in [Room::Row, Room::Sum] {
            let (kind, rows, column) = answer(made);
            let taken = take(vec![column], &[field(kind)], rows, room);
            tried.one(taken.is_ok());
            let Ok(taken) = taken else { continue };
            let array = &taken.columns[0];
            assert_eq!((array.len(), array.data_type()), (rows, &room.arrow(kind)));
            array.to_data().validate_full().unwrap();
            for row in taken.outside.keys() {
                assert!(array.is_null(*row));
            }
        }
    });
    tried.end();
}
