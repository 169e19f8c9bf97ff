//! Keys as bytes: equal bytes for equal keys, whatever columns a key is made of.

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Date32Array, Decimal128Array, Int64Array, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Int64Type, TimeUnit, TimestampMicrosecondType,
};

/// The key columns of some rows.
pub struct Keys<'a> {
    columns: Vec<KeyColumn<'a>>,
}

enum KeyColumn<'a> {
    Text(&'a StringArray),
    Integer(&'a Int64Array),
    Decimal(&'a Decimal128Array),
    Boolean(&'a BooleanArray),
    Date(&'a Date32Array),
    Timestamp(&'a TimestampMicrosecondArray),
}

impl<'a> Keys<'a> {
    /// `None` where a column is of a type that no field has.
    pub fn new(columns: &'a [ArrayRef]) -> Option<Self> {
        let columns = columns.iter().map(|column| {
            Some(match column.data_type() {
                DataType::Utf8 => KeyColumn::Text(column.as_string_opt()?),
                DataType::Int64 => KeyColumn::Integer(column.as_primitive_opt::<Int64Type>()?),
                DataType::Decimal128(..) => {
                    KeyColumn::Decimal(column.as_primitive_opt::<Decimal128Type>()?)
                }
                DataType::Boolean => KeyColumn::Boolean(column.as_boolean_opt()?),
                DataType::Date32 => KeyColumn::Date(column.as_primitive_opt::<Date32Type>()?),
                DataType::Timestamp(TimeUnit::Microsecond, _) => {
                    KeyColumn::Timestamp(column.as_primitive_opt::<TimestampMicrosecondType>()?)
                }
                _ => return None,
            })
        });
        Some(Self {
            columns: columns.collect::<Option<_>>()?,
        })
    }

    /// The key of a row, which must be one of the columns'; `buffer` may hold it. `None` where a
    /// part of it is null.
    pub fn bytes<'b>(&'b self, row: usize, buffer: &'b mut Vec<u8>) -> Option<&'b [u8]> {
        // A key of one text, which most are, is its own bytes.
        if let [KeyColumn::Text(texts)] = self.columns.as_slice() {
            return texts.is_valid(row).then(|| texts.value(row).as_bytes());
        }
        buffer.clear();
        for column in &self.columns {
            column.write(row, buffer)?;
        }
        Some(buffer)
    }

    /// The key of a row for people.
    pub fn spell(&self, row: usize) -> String {
        let parts: Vec<String> = self.columns.iter().map(|c| c.spell(row)).collect();
        parts.join(", ")
    }
}

impl KeyColumn<'_> {
    fn write(&self, row: usize, bytes: &mut Vec<u8>) -> Option<()> {
        if !self.as_array().is_valid(row) {
            return None;
        }
        match self {
            Self::Text(texts) => {
                let text = texts.value(row);
                bytes.extend_from_slice(&(text.len() as u64).to_be_bytes());
                bytes.extend_from_slice(text.as_bytes());
            }
            Self::Integer(all) => bytes.extend_from_slice(&all.value(row).to_be_bytes()),
            Self::Decimal(all) => bytes.extend_from_slice(&all.value(row).to_be_bytes()),
            Self::Boolean(all) => bytes.push(u8::from(all.value(row))),
            Self::Date(all) => bytes.extend_from_slice(&all.value(row).to_be_bytes()),
            Self::Timestamp(all) => bytes.extend_from_slice(&all.value(row).to_be_bytes()),
        }
        Some(())
    }

    fn spell(&self, row: usize) -> String {
        match self {
            Self::Text(texts) if texts.is_valid(row) => format!("{:?}", texts.value(row)),
            other => arrow::util::display::array_value_to_string(other.as_array(), row)
                .unwrap_or_default(),
        }
    }

    fn as_array(&self) -> &dyn Array {
        match self {
            Self::Text(all) => all,
            Self::Integer(all) => all,
            Self::Decimal(all) => all,
            Self::Boolean(all) => all,
            Self::Date(all) => all,
            Self::Timestamp(all) => all,
        }
    }
}
