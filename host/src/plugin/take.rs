//! Columns on their way out of a component: nothing is believed. Each promise of the contract is
//! checked here, and only then do the component's bytes become Arrow arrays. A value that no table
//! can hold is its own row's fault, and says nothing about the rest of the answer.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, ArrowPrimitiveType, BinaryArray, BooleanArray, Decimal128Array, PrimitiveArray,
    StringArray,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Date32Type, Float64Type, Int64Type, TimestampMicrosecondType};

use super::bindings::assay::rules::types as wit;
use super::{Field, Kind};

/// Units of a row's decimal end before this: 18 digits.
const DECIMAL_END: u64 = 1_000_000_000_000_000_000;

/// The years 1 to 9999, which every reader of the tables can hold.
const TIMESTAMPS: RangeInclusive<i64> = -62_135_596_800_000_000..=253_402_300_799_999_999;
const DATES: RangeInclusive<i32> = -719_162..=2_932_896;

/// What the values are of, which says how much room the tables have for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// Silver's rows, whose decimals have 18 digits.
    Row,
    /// Gold's sums, which have more digits than the contract's 64 bits.
    Sum,
}

impl Room {
    pub(super) fn arrow(self, kind: Kind) -> DataType {
        match self {
            Self::Row => kind.arrow(),
            Self::Sum => kind.summed(),
        }
    }
}

/// An answer's columns.
#[derive(Debug)]
pub(super) struct Taken {
    pub columns: Vec<ArrayRef>,
    /// Rows with a value that no table can hold, by row, each once, and what it is. The value itself
    /// is null.
    pub outside: BTreeMap<usize, String>,
}

impl Taken {
    /// The columns, where every value must be one that the tables can hold.
    ///
    /// # Errors
    /// The first that is not, and where.
    pub(super) fn whole(self) -> Result<Vec<ArrayRef>, String> {
        match self.outside.into_iter().next() {
            None => Ok(self.columns),
            Some((row, text)) => Err(format!("row {row} of its answer: {text}")),
        }
    }
}

/// Takes the columns of an answer, which must be those of `fields` with `rows` rows each.
///
/// # Errors
/// What of the contract the answer breaks, and in which column.
pub(super) fn take(
    columns: Vec<wit::ColumnResult>,
    fields: &[Field],
    rows: usize,
    room: Room,
) -> Result<Taken, String> {
    if columns.len() != fields.len() {
        let (found, wanted) = (columns.len(), fields.len());
        return Err(format!(
            "it answered with {found} columns, not the {wanted} it described"
        ));
    }
    let mut taken = Taken {
        columns: Vec::with_capacity(columns.len()),
        outside: BTreeMap::new(),
    };
    for (column, field) in columns.into_iter().zip(fields) {
        let place = |problem| format!("in its column {}: {problem}", field.name);
        let mut outside = Vec::new();
        let array = take_column(column, field.kind, rows, room, &mut outside).map_err(place)?;
        for (row, text) in outside {
            taken.outside.entry(row).or_insert_with(|| place(text));
        }
        taken.columns.push(array);
    }
    Ok(taken)
}

fn take_column(
    column: wit::ColumnResult,
    kind: Kind,
    rows: usize,
    room: Room,
    outside: &mut Vec<(usize, String)>,
) -> Result<ArrayRef, String> {
    let nulls = take_validity(column.valid, rows)?;
    let found = kind_of(&column.values);
    if found != kind {
        return Err(format!(
            "values of kind {found}, not {kind} as it described"
        ));
    }
    Ok(match column.values {
        wit::ValuesResult::Booleans(values) => Arc::new(take_booleans(&values, nulls, rows)?),
        wit::ValuesResult::Integers(values) => {
            Arc::new(take_numbers::<Int64Type>(values, nulls, rows)?)
        }
        wit::ValuesResult::Floats(values) => {
            Arc::new(take_numbers::<Float64Type>(values, nulls, rows)?)
        }
        wit::ValuesResult::Decimals(decimal) => {
            Arc::new(take_decimals(decimal, nulls, rows, room, outside)?)
        }
        wit::ValuesResult::Text(text) => {
            let (offsets, bytes) = take_bytes(text, rows)?;
            let array = StringArray::try_new(offsets, bytes, nulls);
            Arc::new(array.map_err(|error| format!("its text is not UTF-8: {error}"))?)
        }
        wit::ValuesResult::Binary(text) => {
            let (offsets, bytes) = take_bytes(text, rows)?;
            Arc::new(BinaryArray::try_new(offsets, bytes, nulls).map_err(|e| e.to_string())?)
        }
        wit::ValuesResult::Timestamps(values) => {
            let array = take_numbers::<TimestampMicrosecondType>(values, nulls, rows)?;
            let what = "timestamp in the years 1 to 9999";
            Arc::new(in_range(array, &TIMESTAMPS, what, outside).with_timezone("UTC"))
        }
        wit::ValuesResult::Dates(values) => {
            let array = take_numbers::<Date32Type>(values, nulls, rows)?;
            let what = "date in the years 1 to 9999";
            Arc::new(in_range(array, &DATES, what, outside))
        }
    })
}

fn kind_of(values: &wit::ValuesResult) -> Kind {
    match values {
        wit::ValuesResult::Booleans(_) => Kind::Boolean,
        wit::ValuesResult::Integers(_) => Kind::Integer,
        wit::ValuesResult::Floats(_) => Kind::Float,
        wit::ValuesResult::Decimals(decimal) => Kind::Decimal(decimal.scale),
        wit::ValuesResult::Text(_) => Kind::Text,
        wit::ValuesResult::Binary(_) => Kind::Binary,
        wit::ValuesResult::Timestamps(_) => Kind::Timestamp,
        wit::ValuesResult::Dates(_) => Kind::Date,
    }
}

fn take_validity(valid: Option<Vec<u8>>, rows: usize) -> Result<Option<NullBuffer>, String> {
    let Some(bits) = valid else { return Ok(None) };
    let wanted = rows.div_ceil(8);
    if bits.len() != wanted {
        let found = bits.len();
        return Err(format!(
            "its `valid` has {found} bytes, not {wanted} for {rows} rows"
        ));
    }
    let nulls = NullBuffer::new(BooleanBuffer::new(Buffer::from_vec(bits), 0, rows));
    Ok((nulls.null_count() > 0).then_some(nulls))
}

fn right_length(found: usize, rows: usize) -> Result<(), String> {
    if found == rows {
        return Ok(());
    }
    Err(format!("{found} values for {rows} rows"))
}

fn take_booleans(
    values: &[u8],
    nulls: Option<NullBuffer>,
    rows: usize,
) -> Result<BooleanArray, String> {
    right_length(values.len(), rows)?;
    if let Some((row, value)) = values.iter().enumerate().find(|(_, value)| **value > 1) {
        return Err(format!("row {row} is {value}, which is neither 0 nor 1"));
    }
    let values: BooleanBuffer = values.iter().map(|value| *value == 1).collect();
    Ok(BooleanArray::new(values, nulls))
}

fn take_numbers<T: ArrowPrimitiveType>(
    values: Vec<T::Native>,
    nulls: Option<NullBuffer>,
    rows: usize,
) -> Result<PrimitiveArray<T>, String> {
    right_length(values.len(), rows)?;
    PrimitiveArray::try_new(values.into(), nulls).map_err(|error| error.to_string())
}

fn take_decimals(
    decimal: wit::DecimalResult,
    nulls: Option<NullBuffer>,
    rows: usize,
    room: Room,
    outside: &mut Vec<(usize, String)>,
) -> Result<Decimal128Array, String> {
    right_length(decimal.units.len(), rows)?;
    let fits = |value: i64| room == Room::Sum || value.unsigned_abs() < DECIMAL_END;
    let too_long = |value: &i64| !fits(*value);
    let what = |value: &i64| format!("{value} units have more than 18 digits");
    let nulls = without(&decimal.units, nulls, too_long, what, outside);
    let units = decimal.units.into_iter();
    let units: Vec<i128> = units
        .map(|value| if fits(value) { i128::from(value) } else { 0 })
        .collect();
    let array = Decimal128Array::try_new(units.into(), nulls).map_err(|e| e.to_string())?;
    Ok(array.with_data_type(room.arrow(Kind::Decimal(decimal.scale))))
}

fn take_bytes(text: wit::TextResult, rows: usize) -> Result<(OffsetBuffer<i32>, Buffer), String> {
    let wit::TextResult { offsets, bytes } = text;
    if offsets.len() != rows + 1 {
        return Err(format!(
            "{} offsets for {rows} rows; one more than rows is right",
            offsets.len()
        ));
    }
    if i32::try_from(bytes.len()).is_err() {
        return Err(format!("{} bytes are too many for a column", bytes.len()));
    }
    let ends = (offsets.first().copied(), offsets.last().copied());
    let last = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    if ends != (Some(0), Some(last)) {
        return Err(format!(
            "its offsets do not begin at 0 and end at {last}, where its bytes end"
        ));
    }
    if !offsets.is_sorted() {
        return Err("an offset is lower than the one before".into());
    }
    // Sorted, and the last fits in 31 bits: the same bits are the same numbers.
    let count = offsets.len();
    let offsets = ScalarBuffer::<i32>::new(Buffer::from_vec(offsets), 0, count);
    Ok((OffsetBuffer::new(offsets), Buffer::from_vec(bytes)))
}

fn in_range<T: ArrowPrimitiveType>(
    array: PrimitiveArray<T>,
    range: &RangeInclusive<T::Native>,
    what: &str,
    outside: &mut Vec<(usize, String)>,
) -> PrimitiveArray<T>
where
    T::Native: fmt::Display,
{
    let (_, values, nulls) = array.into_parts();
    let is_outside = |value: &T::Native| !range.contains(value);
    let what = |value: &T::Native| format!("{value} is no {what}");
    let nulls = without(&values, nulls, is_outside, what, outside);
    PrimitiveArray::new(values, nulls)
}

/// The rows that have a value, without those whose value is none that a table can hold. These are
/// noted.
fn without<T>(
    values: &[T],
    nulls: Option<NullBuffer>,
    is_outside: impl Fn(&T) -> bool,
    what: impl Fn(&T) -> String,
    outside: &mut Vec<(usize, String)>,
) -> Option<NullBuffer> {
    let present = |row: usize| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row));
    let noted = outside.len();
    let found = values.iter().enumerate();
    let found = found.filter(|(row, value)| is_outside(value) && present(*row));
    outside.extend(found.map(|(row, value)| (row, what(value))));
    if outside.len() == noted {
        return nulls;
    }
    let held = |(row, value)| present(row) && !is_outside(value);
    Some(
        values
            .iter()
            .enumerate()
            .map(held)
            .collect::<Vec<_>>()
            .into(),
    )
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array as _, AsArray};

    use super::*;

    fn text(offsets: &[u32], bytes: &[u8]) -> wit::ValuesResult {
        wit::ValuesResult::Text(wit::TextResult {
            offsets: offsets.to_vec(),
            bytes: bytes.to_vec(),
        })
    }

    fn column(values: wit::ValuesResult, valid: Option<&[u8]>) -> wit::ColumnResult {
        wit::ColumnResult {
            values,
            valid: valid.map(<[u8]>::to_vec),
        }
    }

    /// A column that breaks nothing, and the rows whose values are outside.
    fn taken(
        values: wit::ValuesResult,
        valid: Option<&[u8]>,
        kind: Kind,
        rows: usize,
        room: Room,
    ) -> Result<(ArrayRef, Vec<usize>), String> {
        let mut outside = Vec::new();
        let array = take_column(column(values, valid), kind, rows, room, &mut outside)?;
        Ok((array, outside.into_iter().map(|(row, _)| row).collect()))
    }

    fn problem(values: wit::ValuesResult, valid: Option<&[u8]>, kind: Kind, rows: usize) -> String {
        taken(values, valid, kind, rows, Room::Row).unwrap_err()
    }

    #[test]
    fn text_whose_offsets_lie_is_refused() {
        for (offsets, bytes) in [
            (&[0, 1, 2, 3][..], &b"abc"[..]), // one too many
            (&[0, 3], b"abc"),                // one too few
            (&[1, 2, 3], b"abc"),             // does not begin at 0
            (&[0, 1, 2], b"abc"),             // ends before the bytes do
            (&[0, 1, 4], b"abc"),             // ends past them
            (&[0, 4, 3], b"abc"),             // falls
            (&[0, u32::MAX, 3], b"abc"),
            (&[], b""),
        ] {
            let said = problem(text(offsets, bytes), None, Kind::Text, 2);
            assert!(said.contains("offset"), "{offsets:?}: {said}");
        }
    }

    #[test]
    fn text_that_is_not_utf8_is_refused_even_where_it_is_whole_together() {
        assert!(problem(text(&[0, 1], b"\xff"), None, Kind::Text, 1).contains("UTF-8"));
        let cut = problem(text(&[0, 1, 2], "ü".as_bytes()), None, Kind::Text, 2);
        assert!(cut.contains("UTF-8"), "{cut}");
    }

    #[test]
    fn a_bitmap_of_the_wrong_length_is_refused() {
        let values = || wit::ValuesResult::Integers(vec![0; 9]);
        for bits in [&[0xff][..], &[0xff; 3], &[]] {
            assert!(problem(values(), Some(bits), Kind::Integer, 9).contains("valid"));
        }
        assert!(taken(values(), Some(&[0xff, 1]), Kind::Integer, 9, Room::Row).is_ok());
    }

    #[test]
    fn too_few_or_too_many_values_are_refused() {
        for rows in [1, 3] {
            let values = wit::ValuesResult::Dates(vec![0; 2]);
            assert!(problem(values, None, Kind::Date, rows).contains("2 values"));
        }
    }

    #[test]
    fn another_kind_or_scale_than_described_is_refused() {
        let decimals = || {
            wit::ValuesResult::Decimals(wit::DecimalResult {
                scale: 3,
                units: vec![1],
            })
        };
        assert!(
            problem(decimals(), None, Kind::Decimal(2), 1).contains("decimal(3), not decimal(2)")
        );
        assert!(problem(text(&[0, 0], b""), None, Kind::Binary, 1).contains("text, not binary"));
    }

    #[test]
    fn a_boolean_that_is_neither_is_refused() {
        let values = wit::ValuesResult::Booleans(vec![2]);
        assert!(problem(values, None, Kind::Boolean, 1).contains("row 0 is 2"));
    }

    #[test]
    fn values_that_no_table_can_hold_are_their_own_rows_where_they_are_present() {
        let cases = [
            (
                wit::ValuesResult::Timestamps(vec![7, i64::MAX, i64::MAX]),
                Kind::Timestamp,
            ),
            (
                wit::ValuesResult::Dates(vec![7, i32::MIN, i32::MIN]),
                Kind::Date,
            ),
            (
                wit::ValuesResult::Decimals(wit::DecimalResult {
                    scale: 0,
                    units: vec![7, 1_000_000_000_000_000_000, i64::MIN],
                }),
                Kind::Decimal(0),
            ),
        ];
        for (values, kind) in cases {
            let (array, outside) = taken(values, Some(&[0b011]), kind, 3, Room::Row).unwrap();
            assert_eq!(outside, [1], "{kind}");
            let valid: Vec<bool> = (0..3).map(|row| array.is_valid(row)).collect();
            assert_eq!(valid, [true, false, false], "{kind}");
            assert_eq!(*array.data_type(), kind.arrow());
        }
    }

    #[test]
    fn a_sum_may_have_all_of_64_bits() {
        let units = vec![i64::MIN, i64::MAX];
        let values = wit::ValuesResult::Decimals(wit::DecimalResult { scale: 2, units });
        let (array, outside) = taken(values, None, Kind::Decimal(2), 2, Room::Sum).unwrap();
        assert!(outside.is_empty());
        let decimals = array.as_primitive::<arrow::datatypes::Decimal128Type>();
        assert_eq!(decimals.value_as_string(0), "-92233720368547758.08");
        assert_eq!(decimals.value_as_string(1), "92233720368547758.07");
        assert_eq!(*array.data_type(), Kind::Decimal(2).summed());
    }

    #[test]
    fn what_keeps_its_promises_becomes_an_array() {
        let values = text(&[0, 2, 2], "ü".as_bytes());
        let (array, _) = taken(values, Some(&[0b01]), Kind::Text, 2, Room::Row).unwrap();
        assert_eq!(array.as_string::<i32>().value(0), "ü");
        assert!(array.is_null(1));
        let values = wit::ValuesResult::Timestamps(vec![7]);
        let (array, _) = taken(values, None, Kind::Timestamp, 1, Room::Row).unwrap();
        assert_eq!(*array.data_type(), Kind::Timestamp.arrow());
    }

    #[test]
    fn an_answer_with_other_columns_than_described_is_refused() {
        let field = Field {
            name: "city".into(),
            kind: Kind::Text,
            required: false,
        };
        let said = take(Vec::new(), std::slice::from_ref(&field), 1, Room::Row).unwrap_err();
        assert_eq!(said, "it answered with 0 columns, not the 1 it described");
        let wrong = column(wit::ValuesResult::Floats(vec![0.0]), None);
        let said = take(vec![wrong], &[field], 1, Room::Row).unwrap_err();
        assert_eq!(
            said,
            "in its column city: values of kind float, not text as it described"
        );
    }
}
