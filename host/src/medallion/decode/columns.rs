//! Columns as they fill: each knows which values are of its type, and refuses the others.
//!
//! They are plain vectors with the places of their nulls beside them, not Arrow's builders:
//! nearly every value is there, and then costs one push.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, ArrowPrimitiveType, BooleanArray, BooleanBufferBuilder, PrimitiveArray, StringArray,
    new_null_array,
};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer};
use arrow::datatypes::{
    ArrowNativeType, DataType, Date32Type, Decimal128Type, Int64Type, TimeUnit,
    TimestampMicrosecondType,
};

use super::number::scaled;
use super::time;
use super::value::Value;
use crate::schema::FieldType;

/// A column that is being filled, row after row. Rows that are left out are null.
#[derive(Debug)]
pub struct Column {
    data_type: DataType,
    values: Values,
}

#[derive(Debug)]
enum Values {
    Text(Texts),
    Json(Texts),
    Integer(Cells<i64>),
    Decimal(Cells<i128>, Limits),
    Boolean(Cells<bool>),
    Timestamp(Cells<i64>),
    Date(Cells<i32>),
    /// No value is of this type.
    Other,
}

/// What fits in a decimal column.
#[derive(Clone, Copy, Debug)]
struct Limits {
    scale: u8,
    /// The lowest number of units that has a digit too many.
    end: i128,
}

impl Column {
    /// An empty column for a declared field.
    pub fn new(field_type: FieldType, rows: usize) -> Self {
        let mut column = Self::of_type(&field_type.arrow(), rows);
        if field_type == FieldType::Json {
            column.values = Values::Json(Texts::default());
        }
        column
    }

    /// An empty column of a type that a table has.
    pub fn of_type(data_type: &DataType, rows: usize) -> Self {
        let values = match data_type {
            DataType::Utf8 => Values::Text(Texts::with_capacity(rows)),
            DataType::Int64 => Values::Integer(Cells::with_capacity(rows)),
            DataType::Boolean => Values::Boolean(Cells::with_capacity(rows)),
            DataType::Date32 => Values::Date(Cells::with_capacity(rows)),
            DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => {
                Values::Timestamp(Cells::with_capacity(rows))
            }
            DataType::Decimal128(precision, scale) => match Limits::new(*precision, *scale) {
                Some(limits) => Values::Decimal(Cells::with_capacity(rows), limits),
                None => Values::Other,
            },
            _ => Values::Other,
        };
        Self {
            data_type: data_type.clone(),
            values,
        }
    }

    /// Puts a value in a row, which no value before it had or came after. False where it is not
    /// of the column's type: the row stays null.
    pub fn put(&mut self, row: usize, value: &Value<'_>) -> bool {
        match (&mut self.values, value) {
            (_, Value::Null) => true,
            (Values::Text(to), Value::Text(text)) => to.put(row, text),
            (Values::Json(to), value) => to.put(row, &value.json()),
            (Values::Integer(to), Value::Number(text)) => {
                let integer = scaled(text, 0).and_then(|units| i64::try_from(units).ok());
                to.put(row, integer)
            }
            (Values::Decimal(to, limits), Value::Number(text)) => {
                let units = scaled(text, limits.scale);
                to.put(row, units.filter(|units| units.abs() < limits.end))
            }
            (Values::Boolean(to), Value::Boolean(yes)) => to.put(row, Some(*yes)),
            (Values::Timestamp(to), Value::Text(text)) => to.put(row, time::timestamp(text)),
            (Values::Date(to), Value::Text(text)) => to.put(row, time::date(text)),
            _ => false,
        }
    }

    /// The column with `rows` rows; those after the last value are null.
    pub fn finish(self, rows: usize) -> ArrayRef {
        match self.values {
            Values::Text(to) | Values::Json(to) => Arc::new(to.finish(rows)),
            Values::Integer(to) => to.primitive::<Int64Type>(rows, self.data_type),
            Values::Decimal(to, _) => to.primitive::<Decimal128Type>(rows, self.data_type),
            Values::Timestamp(to) => to.primitive::<TimestampMicrosecondType>(rows, self.data_type),
            Values::Date(to) => to.primitive::<Date32Type>(rows, self.data_type),
            Values::Boolean(to) => {
                let (values, nulls) = to.finish(rows);
                Arc::new(BooleanArray::new(values.into(), nulls))
            }
            Values::Other => new_null_array(&self.data_type, rows),
        }
    }
}

impl Limits {
    fn new(precision: u8, scale: i8) -> Option<Self> {
        Some(Self {
            scale: u8::try_from(scale)
                .ok()
                .filter(|scale| *scale <= precision)?,
            end: 10_i128.checked_pow(u32::from(precision))?,
        })
    }
}

/// Which rows were left out, as (first, how many).
type Gaps = Vec<(usize, usize)>;

/// `None` where no row was left out.
fn nulls(gaps: &Gaps, rows: usize) -> Option<NullBuffer> {
    if gaps.is_empty() {
        return None;
    }
    let mut bits = BooleanBufferBuilder::new(rows);
    for (first, count) in gaps {
        bits.append_n(first.saturating_sub(bits.len()), true);
        bits.append_n(*count, false);
    }
    bits.append_n(rows.saturating_sub(bits.len()), true);
    Some(NullBuffer::new(bits.finish()))
}

/// Values of a fixed size.
#[derive(Debug)]
struct Cells<T> {
    values: Vec<T>,
    gaps: Gaps,
}

impl<T: Copy + Default> Cells<T> {
    fn with_capacity(rows: usize) -> Self {
        Self {
            values: Vec::with_capacity(rows),
            gaps: Gaps::new(),
        }
    }

    fn put(&mut self, row: usize, value: Option<T>) -> bool {
        let Some(value) = value else { return false };
        self.leave_out(row);
        self.values.push(value);
        true
    }

    /// Leaves all rows before `row` out that are not there yet.
    fn leave_out(&mut self, row: usize) {
        let next = self.values.len();
        if next < row {
            self.gaps.push((next, row - next));
            self.values.resize(row, T::default());
        }
    }

    fn finish(mut self, rows: usize) -> (Vec<T>, Option<NullBuffer>) {
        self.leave_out(rows);
        let nulls = nulls(&self.gaps, rows);
        (self.values, nulls)
    }
}

impl<T: ArrowNativeType> Cells<T> {
    fn primitive<P>(self, rows: usize, data_type: DataType) -> ArrayRef
    where
        P: ArrowPrimitiveType<Native = T>,
    {
        let (values, nulls) = self.finish(rows);
        let array = PrimitiveArray::<P>::new(values.into(), nulls);
        Arc::new(array.with_data_type(data_type))
    }
}

/// Texts, one after the other.
#[derive(Debug, Default)]
pub struct Texts {
    bytes: Vec<u8>,
    /// Where each text ends.
    ends: Vec<i32>,
    gaps: Gaps,
}

impl Texts {
    fn with_capacity(rows: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(rows.saturating_mul(8)),
            ends: Vec::with_capacity(rows),
            gaps: Gaps::new(),
        }
    }

    /// Puts a text in a row, no earlier than any before it. False where the column is full: Arrow
    /// counts its bytes in 31 bits.
    pub fn put(&mut self, row: usize, text: &str) -> bool {
        let end = self.bytes.len().saturating_add(text.len());
        let Ok(end) = i32::try_from(end) else {
            return false;
        };
        self.leave_out(row);
        self.bytes.extend_from_slice(text.as_bytes());
        self.ends.push(end);
        true
    }

    fn leave_out(&mut self, row: usize) {
        let next = self.ends.len();
        if next < row {
            self.gaps.push((next, row - next));
            self.ends
                .resize(row, self.ends.last().copied().unwrap_or_default());
        }
    }

    /// The column with `rows` rows; those after the last text are null.
    pub fn finish(mut self, rows: usize) -> StringArray {
        self.leave_out(rows);
        let mut offsets = Vec::with_capacity(self.ends.len() + 1);
        offsets.push(0);
        offsets.extend_from_slice(&self.ends);
        StringArray::new(
            OffsetBuffer::new(offsets.into()),
            Buffer::from_vec(self.bytes),
            nulls(&self.gaps, rows),
        )
    }
}
