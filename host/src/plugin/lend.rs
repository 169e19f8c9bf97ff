//! Columns on their way into a component: lent without a copy where Arrow's layout is the
//! contract's.

use std::sync::LazyLock;

use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, GenericByteArray};
use arrow::buffer::{Buffer, MutableBuffer, ScalarBuffer};
use arrow::datatypes::{
    ArrowNativeType, ByteArrayType, Date32Type, Decimal128Type, Float64Type, Int64Type,
    TimestampMicrosecondType,
};

use super::Kind;
use super::bindings::assay::rules::types as wit;

/// Why a column can't be lent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unlent {
    /// A value that the contract can't carry: the row's fault.
    Value { text: String },
    /// The caller's mistake.
    Column { text: String },
}

/// A column in the shape of the contract, as long as a call lasts.
pub(super) struct Lent {
    values: LentValues,
    valid: Option<Buffer>,
    rows: usize,
}

enum LentValues {
    Booleans(Buffer),
    Integers(ScalarBuffer<i64>),
    Floats(ScalarBuffer<f64>),
    Decimals { scale: u8, units: ScalarBuffer<i64> },
    Text(LentBytes),
    Binary(LentBytes),
    Timestamps(ScalarBuffer<i64>),
    Dates(ScalarBuffer<i32>),
}

struct LentBytes {
    offsets: ScalarBuffer<u32>,
    bytes: Buffer,
}

impl Lent {
    /// `None` stands for a column that is absent in every row.
    pub(super) fn new(column: Option<&ArrayRef>, kind: Kind, rows: usize) -> Result<Self, Unlent> {
        let Some(column) = column else {
            return Ok(Self {
                values: LentValues::nothing(kind, rows),
                valid: Some(zeros(rows.div_ceil(8))),
                rows,
            });
        };
        if !kind.accepts(column.data_type()) || column.len() != rows {
            let (held, len) = (column.data_type(), column.len());
            let text = format!("a column of {rows} rows of {kind} is wanted, not {len} of {held}");
            return Err(Unlent::Column { text });
        }
        let nulls = column.nulls().filter(|nulls| nulls.null_count() > 0);
        Ok(Self {
            values: LentValues::of(column, kind)?,
            valid: nulls.map(|nulls| nulls.inner().sliced()),
            rows,
        })
    }

    pub(super) fn param(&self) -> wit::ColumnParam<'_> {
        let values = match &self.values {
            LentValues::Booleans(values) => wit::ValuesParam::Booleans(values),
            LentValues::Integers(values) => wit::ValuesParam::Integers(values),
            LentValues::Floats(values) => wit::ValuesParam::Floats(values),
            LentValues::Decimals { scale, units } => {
                wit::ValuesParam::Decimals(wit::DecimalParam {
                    scale: *scale,
                    units,
                })
            }
            LentValues::Text(lent) => wit::ValuesParam::Text(lent.param()),
            LentValues::Binary(lent) => wit::ValuesParam::Binary(lent.param()),
            LentValues::Timestamps(values) => wit::ValuesParam::Timestamps(values),
            LentValues::Dates(values) => wit::ValuesParam::Dates(values),
        };
        let bitmap = self.rows.div_ceil(8);
        let valid = self
            .valid
            .as_ref()
            .map(|bits| bits.get(..bitmap).unwrap_or(bits));
        wit::ColumnParam { values, valid }
    }
}

impl LentValues {
    fn nothing(kind: Kind, rows: usize) -> Self {
        let no_bytes = || LentBytes {
            offsets: numbers(rows + 1),
            bytes: Buffer::default(),
        };
        match kind {
            Kind::Boolean => Self::Booleans(zeros(rows)),
            Kind::Integer => Self::Integers(numbers(rows)),
            Kind::Float => Self::Floats(numbers(rows)),
            Kind::Decimal(scale) => Self::Decimals {
                scale,
                units: numbers(rows),
            },
            Kind::Text => Self::Text(no_bytes()),
            Kind::Binary => Self::Binary(no_bytes()),
            Kind::Timestamp => Self::Timestamps(numbers(rows)),
            Kind::Date => Self::Dates(numbers(rows)),
        }
    }

    /// The column's type was checked against `kind`.
    fn of(column: &ArrayRef, kind: Kind) -> Result<Self, Unlent> {
        Ok(match kind {
            Kind::Boolean => {
                let values = column.as_boolean().values().iter().map(u8::from);
                Self::Booleans(Buffer::from_vec(values.collect()))
            }
            Kind::Integer => Self::Integers(column.as_primitive::<Int64Type>().values().clone()),
            Kind::Float => Self::Floats(column.as_primitive::<Float64Type>().values().clone()),
            Kind::Decimal(scale) => Self::Decimals {
                scale,
                units: units(column, scale)?.into(),
            },
            Kind::Text => Self::Text(LentBytes::of(column.as_string::<i32>())),
            Kind::Binary => Self::Binary(LentBytes::of(column.as_binary::<i32>())),
            Kind::Timestamp => Self::Timestamps(
                column
                    .as_primitive::<TimestampMicrosecondType>()
                    .values()
                    .clone(),
            ),
            Kind::Date => Self::Dates(column.as_primitive::<Date32Type>().values().clone()),
        })
    }
}

/// For the columns that are absent in every row, as optional ones often are: never written, so all
/// calls share them.
static ZEROS: LazyLock<Buffer> = LazyLock::new(|| MutableBuffer::from_len_zeroed(1 << 17).into());

fn zeros(bytes: usize) -> Buffer {
    match bytes <= ZEROS.len() {
        true => ZEROS.slice_with_length(0, bytes),
        false => MutableBuffer::from_len_zeroed(bytes).into(),
    }
}

/// As many zeros of a type.
fn numbers<T: ArrowNativeType>(count: usize) -> ScalarBuffer<T> {
    ScalarBuffer::new(zeros(count * size_of::<T>()), 0, count)
}

impl LentBytes {
    fn of<T: ByteArrayType<Offset = i32>>(array: &GenericByteArray<T>) -> Self {
        let held = array.offsets();
        let first = held.first().copied().unwrap_or_default();
        let last = held.last().copied().unwrap_or_default();
        let size = |offset: i32| usize::try_from(offset).unwrap_or_default();
        let offsets = if first == 0 {
            // Offsets are never negative, so the same bits are the same numbers.
            let held = held.inner();
            ScalarBuffer::new(held.inner().clone(), 0, held.len())
        } else {
            let from_first = |offset: &i32| (offset - first).unsigned_abs();
            held.iter().map(from_first).collect()
        };
        Self {
            offsets,
            bytes: array
                .values()
                .slice_with_length(size(first), size(last - first)),
        }
    }

    fn param(&self) -> wit::TextParam<'_> {
        wit::TextParam {
            offsets: &self.offsets,
            bytes: &self.bytes,
        }
    }
}

/// A decimal column's units at `scale`, which is not lower than the column's own.
fn units(column: &ArrayRef, scale: u8) -> Result<Vec<i64>, Unlent> {
    let array = column.as_primitive::<Decimal128Type>();
    let held = u8::try_from(array.scale()).unwrap_or_default();
    let factor = 10_i128.pow(u32::from(scale.saturating_sub(held)));
    match small(array.values(), factor) {
        Some(units) => Ok(units),
        None => each(array, factor, scale),
    }
}

/// Where all values fit, as nearly always: one pass without a branch.
fn small(values: &[i128], factor: i128) -> Option<Vec<i64>> {
    let factor = i64::try_from(factor).ok()?;
    let most = i64::MAX / factor;
    let mut fit = true;
    let units = values.iter().map(|value| {
        let unit = *value as i64;
        fit &= i128::from(unit) == *value && (-most..=most).contains(&unit);
        unit.wrapping_mul(factor)
    });
    let units = units.collect();
    fit.then_some(units)
}

/// One by one, to say which does not fit.
fn each(array: &Decimal128Array, factor: i128, scale: u8) -> Result<Vec<i64>, Unlent> {
    let mut units = Vec::with_capacity(array.len());
    for (row, value) in array.values().iter().enumerate() {
        let wide = value
            .checked_mul(factor)
            .and_then(|wide| i64::try_from(wide).ok());
        match wide {
            Some(wide) => units.push(wide),
            None if array.is_null(row) => units.push(0),
            None => {
                let shown = array.value_as_string(row);
                let text = format!("{shown} with {scale} decimals is more than 64 bits can hold");
                return Err(Unlent::Value { text });
            }
        }
    }
    Ok(units)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{BooleanArray, Int64Array, StringArray};

    use super::*;

    fn decimals(values: Vec<Option<i128>>, precision: u8, scale: i8) -> ArrayRef {
        let array = Decimal128Array::from(values);
        Arc::new(array.with_precision_and_scale(precision, scale).unwrap())
    }

    #[test]
    fn numbers_are_lent_where_they_lie() {
        let array: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3, 4]));
        let slice = array.slice(1, 2);
        let lent = Lent::new(Some(&slice), Kind::Integer, 2).unwrap();
        let wit::ValuesParam::Integers(values) = lent.param().values else {
            panic!()
        };
        assert_eq!(values, [2, 3]);
        assert_eq!(
            values.as_ptr(),
            slice.as_primitive::<Int64Type>().values().as_ptr()
        );
    }

    #[test]
    fn the_offsets_of_a_slice_of_text_begin_at_zero() {
        let array: ArrayRef = Arc::new(StringArray::from(vec!["ab", "c", "", "def"]));
        let lent = Lent::new(Some(&array.slice(1, 3)), Kind::Text, 3).unwrap();
        let wit::ValuesParam::Text(text) = lent.param().values else {
            panic!()
        };
        assert_eq!(text.offsets, [0, 1, 1, 4]);
        assert_eq!(text.bytes, b"cdef");
    }

    #[test]
    fn the_bitmap_of_an_odd_slice_begins_at_its_first_row() {
        let present = |row| (row % 3 != 0).then_some(true);
        let array: ArrayRef = Arc::new((0..40).map(present).collect::<BooleanArray>());
        let lent = Lent::new(Some(&array.slice(5, 10)), Kind::Boolean, 10).unwrap();
        let valid = lent.param().valid.unwrap();
        assert_eq!(valid.len(), 2);
        for row in 0..10 {
            let bit = valid[row / 8] >> (row % 8) & 1 == 1;
            assert_eq!(bit, (row + 5) % 3 != 0, "row {row}");
        }
    }

    #[test]
    fn a_decimal_with_fewer_decimals_is_widened() {
        let lent = Lent::new(
            Some(&decimals(vec![Some(125), None], 10, 1)),
            Kind::Decimal(3),
            2,
        );
        let lent = lent.unwrap();
        let wit::ValuesParam::Decimals(decimal) = lent.param().values else {
            panic!()
        };
        assert_eq!((decimal.scale, decimal.units[0]), (3, 12_500));
        assert_eq!(lent.param().valid, Some(&[0b01][..]));
    }

    #[test]
    fn the_ends_of_64_bits_are_lent_and_what_an_absent_row_holds_is_not_looked_at() {
        let ends = [i64::MAX, i64::MIN, -i64::MAX];
        let mut values: Vec<_> = ends.map(|end| Some(i128::from(end))).to_vec();
        for past in [None, Some(i128::from(i64::MAX) + 1)] {
            let absent = past.is_some();
            values.extend(absent.then_some(past));
            let all: Vec<i128> = values.iter().map(|value| value.unwrap()).collect();
            let nulls = (0..all.len()).map(|row| row < 3).collect::<Vec<_>>().into();
            let array = Decimal128Array::new(all.into(), Some(nulls));
            let column: ArrayRef = Arc::new(array.with_precision_and_scale(38, 0).unwrap());
            let units = units(&column, 0).unwrap();
            assert_eq!(units[..3], ends);
            assert_eq!(units.get(3), absent.then_some(&0));
        }
    }

    #[test]
    fn a_decimal_past_64_bits_is_a_value_that_cannot_be_lent() {
        let column = decimals(vec![Some(10_i128.pow(20))], 38, 2);
        let Err(Unlent::Value { text }) = Lent::new(Some(&column), Kind::Decimal(2), 1) else {
            panic!()
        };
        assert!(text.starts_with("1000000000000000000.00 "), "{text}");
    }

    #[test]
    fn a_column_of_another_kind_or_length_is_the_callers_mistake() {
        let array: ArrayRef = Arc::new(Int64Array::from(vec![1]));
        for (kind, rows) in [(Kind::Text, 1), (Kind::Integer, 2)] {
            let lent = Lent::new(Some(&array), kind, rows);
            assert!(matches!(lent.err(), Some(Unlent::Column { .. })));
        }
    }
}
