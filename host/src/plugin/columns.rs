//! Columns across the boundary: lent to a component without a copy where Arrow's layout is the
//! contract's, and taken back only after every promise of the contract was checked.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BinaryArray, BooleanArray, Decimal128Array,
    GenericByteArray, PrimitiveArray, StringArray,
};
use arrow::buffer::{BooleanBuffer, Buffer, MutableBuffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    ByteArrayType, Date32Type, Decimal128Type, Float64Type, Int64Type, TimestampMicrosecondType,
};

use super::bindings::assay::rules::types as wit;
use super::{Field, Kind};

/// Units of a decimal end before this: 18 digits.
const DECIMAL_END: u64 = 1_000_000_000_000_000_000;

/// The years 1 to 9999, which every reader of the tables can hold.
const TIMESTAMPS: std::ops::RangeInclusive<i64> = -62_135_596_800_000_000..=253_402_300_799_999_999;
const DATES: std::ops::RangeInclusive<i32> = -719_162..=2_932_896;

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
    Booleans(Vec<u8>),
    Integers(ScalarBuffer<i64>),
    Floats(ScalarBuffer<f64>),
    Decimals { scale: u8, units: Vec<i64> },
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
                valid: Some(MutableBuffer::new_null(rows).into()),
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
            offsets: vec![0; rows + 1].into(),
            bytes: Buffer::default(),
        };
        match kind {
            Kind::Boolean => Self::Booleans(vec![0; rows]),
            Kind::Integer => Self::Integers(vec![0; rows].into()),
            Kind::Float => Self::Floats(vec![0.0; rows].into()),
            Kind::Decimal(scale) => Self::Decimals {
                scale,
                units: vec![0; rows],
            },
            Kind::Text => Self::Text(no_bytes()),
            Kind::Binary => Self::Binary(no_bytes()),
            Kind::Timestamp => Self::Timestamps(vec![0; rows].into()),
            Kind::Date => Self::Dates(vec![0; rows].into()),
        }
    }

    /// The column's type was checked against `kind`.
    fn of(column: &ArrayRef, kind: Kind) -> Result<Self, Unlent> {
        Ok(match kind {
            Kind::Boolean => {
                Self::Booleans(column.as_boolean().values().iter().map(u8::from).collect())
            }
            Kind::Integer => Self::Integers(column.as_primitive::<Int64Type>().values().clone()),
            Kind::Float => Self::Floats(column.as_primitive::<Float64Type>().values().clone()),
            Kind::Decimal(scale) => Self::Decimals {
                scale,
                units: units(column, scale)?,
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

/// Takes the columns of an answer, which must be those of `fields` with `rows` rows each.
///
/// # Errors
/// What of the contract the answer breaks, and in which column.
pub(super) fn take(
    columns: Vec<wit::ColumnResult>,
    fields: &[Field],
    rows: usize,
) -> Result<Vec<ArrayRef>, String> {
    if columns.len() != fields.len() {
        let (found, wanted) = (columns.len(), fields.len());
        return Err(format!(
            "it answered with {found} columns, not the {wanted} it described"
        ));
    }
    let pairs = columns.into_iter().zip(fields);
    pairs
        .map(|(column, field)| {
            take_column(column, field.kind, rows)
                .map_err(|problem| format!("in its column {}: {problem}", field.name))
        })
        .collect()
}

fn take_column(column: wit::ColumnResult, kind: Kind, rows: usize) -> Result<ArrayRef, String> {
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
        wit::ValuesResult::Decimals(decimal) => Arc::new(take_decimals(decimal, nulls, rows)?),
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
            in_range(&array, &TIMESTAMPS, "a timestamp in the years 1 to 9999")?;
            Arc::new(array.with_timezone("UTC"))
        }
        wit::ValuesResult::Dates(values) => {
            let array = take_numbers::<Date32Type>(values, nulls, rows)?;
            in_range(&array, &DATES, "a date in the years 1 to 9999")?;
            Arc::new(array)
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
) -> Result<Decimal128Array, String> {
    right_length(decimal.units.len(), rows)?;
    let present = |row: usize| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row));
    let mut units = Vec::with_capacity(rows);
    for (row, value) in decimal.units.into_iter().enumerate() {
        let fits = value.unsigned_abs() < DECIMAL_END;
        if !fits && present(row) {
            return Err(format!(
                "row {row} is {value} units, which has more than 18 digits"
            ));
        }
        units.push(if fits { i128::from(value) } else { 0 });
    }
    let array = Decimal128Array::try_new(units.into(), nulls).map_err(|e| e.to_string())?;
    let kind = Kind::Decimal(decimal.scale).arrow();
    Ok(array.with_data_type(kind))
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
    array: &PrimitiveArray<T>,
    range: &std::ops::RangeInclusive<T::Native>,
    what: &str,
) -> Result<(), String>
where
    T::Native: std::fmt::Display,
{
    let outside =
        |(row, value): &(usize, &T::Native)| !range.contains(value) && array.is_valid(*row);
    match array.values().iter().enumerate().find(outside) {
        None => Ok(()),
        Some((row, value)) => Err(format!("row {row} is {value}, which is no {what}")),
    }
}
