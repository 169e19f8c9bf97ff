//! Columns as they fill: each knows which values are of its type, and refuses the others.

use std::sync::Arc;

use arrow::array::{
    ArrayBuilder, ArrayRef, ArrowPrimitiveType, BooleanBuilder, Date32Builder, Decimal128Builder,
    Int64Builder, PrimitiveBuilder, StringBuilder, TimestampMicrosecondBuilder, new_null_array,
};
use arrow::datatypes::{DataType, TimeUnit};

use super::number::scaled;
use super::time;
use super::value::Value;
use crate::schema::FieldType;

/// A column that is being filled, row after row. Rows that are left out are null.
#[derive(Debug)]
pub struct Column {
    builder: Builder,
}

#[derive(Debug)]
enum Builder {
    Text(StringBuilder),
    Json(StringBuilder),
    Integer(Int64Builder),
    Decimal(Decimal128Builder, Limits),
    Boolean(BooleanBuilder),
    Timestamp(TimestampMicrosecondBuilder),
    Date(Date32Builder),
    /// No value is of this type.
    Other(DataType),
}

/// What fits in a decimal column.
#[derive(Clone, Copy, Debug)]
struct Limits {
    scale: u8,
    /// The lowest number of units that has a digit too many.
    end: i128,
}

impl Column {
    pub fn new(field_type: FieldType, rows: usize) -> Self {
        match field_type {
            FieldType::Json => Self {
                builder: Builder::Json(StringBuilder::with_capacity(rows, 0)),
            },
            other => Self::of_type(&other.arrow(), rows),
        }
    }

    /// A column that a table has already.
    pub fn of_type(data_type: &DataType, rows: usize) -> Self {
        let builder = match data_type {
            DataType::Utf8 => Builder::Text(StringBuilder::with_capacity(rows, rows * 8)),
            DataType::Int64 => Builder::Integer(Int64Builder::with_capacity(rows)),
            DataType::Boolean => Builder::Boolean(BooleanBuilder::with_capacity(rows)),
            DataType::Date32 => Builder::Date(Date32Builder::with_capacity(rows)),
            DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => Builder::Timestamp(
                TimestampMicrosecondBuilder::with_capacity(rows).with_data_type(data_type.clone()),
            ),
            DataType::Decimal128(precision, scale) => decimal(*precision, *scale, rows),
            other => Builder::Other(other.clone()),
        };
        Self { builder }
    }

    /// Puts a value in a row, which no value before it had or came after. False where it is not
    /// of the column's type: the row stays null.
    pub fn put(&mut self, row: usize, value: &Value<'_>) -> bool {
        match (&mut self.builder, value) {
            (_, Value::Null) => true,
            (Builder::Text(to), Value::Text(text)) => set_text(to, row, text),
            (Builder::Json(to), value) => set_text(to, row, &value.json()),
            (Builder::Integer(to), Value::Number(text)) => {
                let integer = scaled(text, 0).and_then(|units| i64::try_from(units).ok());
                set(to, row, integer)
            }
            (Builder::Decimal(to, limits), Value::Number(text)) => {
                let units = scaled(text, limits.scale);
                set(to, row, units.filter(|units| units.abs() < limits.end))
            }
            (Builder::Boolean(to), Value::Boolean(yes)) => {
                let missing = row.saturating_sub(to.len());
                if missing > 0 {
                    to.append_nulls(missing);
                }
                to.append_value(*yes);
                true
            }
            (Builder::Timestamp(to), Value::Text(text)) => set(to, row, time::timestamp(text)),
            (Builder::Date(to), Value::Text(text)) => set(to, row, time::date(text)),
            _ => false,
        }
    }

    /// The column with `rows` rows; those after the last value are null.
    pub fn finish(self, rows: usize) -> ArrayRef {
        match self.builder {
            Builder::Text(mut to) | Builder::Json(mut to) => {
                pad_text(&mut to, rows);
                Arc::new(to.finish())
            }
            Builder::Boolean(mut to) => {
                let missing = rows.saturating_sub(to.len());
                if missing > 0 {
                    to.append_nulls(missing);
                }
                Arc::new(to.finish())
            }
            Builder::Integer(to) => finish(to, rows),
            Builder::Decimal(to, _) => finish(to, rows),
            Builder::Timestamp(to) => finish(to, rows),
            Builder::Date(to) => finish(to, rows),
            Builder::Other(data_type) => new_null_array(&data_type, rows),
        }
    }
}

fn decimal(precision: u8, scale: i8, rows: usize) -> Builder {
    let other = DataType::Decimal128(precision, scale);
    let builder = Decimal128Builder::with_capacity(rows).with_precision_and_scale(precision, scale);
    let end = 10_i128.checked_pow(u32::from(precision));
    match (builder, u8::try_from(scale), end) {
        (Ok(builder), Ok(scale), Some(end)) => Builder::Decimal(builder, Limits { scale, end }),
        _ => Builder::Other(other),
    }
}

/// Nulls up to `row`. A builder makes its bitmap at the first null, so it is not asked for none.
fn pad<T: ArrowPrimitiveType>(to: &mut PrimitiveBuilder<T>, row: usize) {
    let missing = row.saturating_sub(to.len());
    if missing > 0 {
        to.append_nulls(missing);
    }
}

fn set<T: ArrowPrimitiveType>(
    to: &mut PrimitiveBuilder<T>,
    row: usize,
    value: Option<T::Native>,
) -> bool {
    let Some(value) = value else { return false };
    pad(to, row);
    to.append_value(value);
    true
}

fn finish<T: ArrowPrimitiveType>(mut to: PrimitiveBuilder<T>, rows: usize) -> ArrayRef {
    pad(&mut to, rows);
    Arc::new(to.finish())
}

/// Puts a text in a row. False where the column is full.
pub fn set_text(to: &mut StringBuilder, row: usize, text: &str) -> bool {
    // Arrow counts a column's bytes in 31 bits, and panics past that.
    let size = to.values_slice().len().saturating_add(text.len());
    if i32::try_from(size).is_err() {
        return false;
    }
    pad_text(to, row);
    to.append_value(text);
    true
}

/// Nulls up to `row`.
pub fn pad_text(to: &mut StringBuilder, row: usize) {
    let missing = row.saturating_sub(to.len());
    if missing > 0 {
        to.append_nulls(missing);
    }
}
