//! The types that an event's fields and a dimension's columns can have, as the TOML spells them.

use std::fmt;
use std::str::FromStr;

use arrow::datatypes::{DataType, TimeUnit};
use serde::{Deserialize, Serialize};

/// The type of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum FieldType {
    /// `string`: UTF-8 text.
    String,
    /// `integer`: 64 bits, signed.
    Integer,
    /// `decimal(precision,scale)`: exact, read from the number's own text. At most 18 digits, so
    /// that its units fit in 64 bits inside rules.
    Decimal { precision: u8, scale: u8 },
    /// `boolean`.
    Boolean,
    /// `timestamp`: RFC 3339 text, kept in microseconds UTC.
    Timestamp,
    /// `date`: `YYYY-MM-DD`.
    Date,
    /// `json`: any value, kept as JSON text.
    Json,
}

/// A type that the TOML spells in a way that there is not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no type: use string, integer, decimal(p,s) with p up to 18 and s up to p, boolean, timestamp, date or json"
)]
pub struct BadType(String);

impl FieldType {
    /// How a column of this type is held in memory and in the tables.
    pub fn arrow(self) -> DataType {
        match self {
            Self::String | Self::Json => DataType::Utf8,
            Self::Integer => DataType::Int64,
            Self::Decimal { precision, scale } => {
                DataType::Decimal128(precision, i8::try_from(scale).unwrap_or(i8::MAX))
            }
            Self::Boolean => DataType::Boolean,
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::Date => DataType::Date32,
        }
    }
}

impl FromStr for FieldType {
    type Err = BadType;

    fn from_str(text: &str) -> Result<Self, BadType> {
        let bad = || BadType(text.to_owned());
        Ok(match text.trim() {
            "string" => Self::String,
            "integer" => Self::Integer,
            "boolean" => Self::Boolean,
            "timestamp" => Self::Timestamp,
            "date" => Self::Date,
            "json" => Self::Json,
            other => {
                let (precision, scale) = other
                    .strip_prefix("decimal(")
                    .and_then(|rest| rest.strip_suffix(')'))
                    .and_then(|rest| rest.split_once(','))
                    .ok_or_else(bad)?;
                let precision: u8 = precision.trim().parse().map_err(|_| bad())?;
                let scale: u8 = scale.trim().parse().map_err(|_| bad())?;
                if !(1..=18).contains(&precision) || scale > precision {
                    return Err(bad());
                }
                Self::Decimal { precision, scale }
            }
        })
    }
}

impl TryFrom<String> for FieldType {
    type Error = BadType;

    fn try_from(text: String) -> Result<Self, BadType> {
        text.parse()
    }
}

impl From<FieldType> for String {
    fn from(field_type: FieldType) -> Self {
        field_type.to_string()
    }
}

impl fmt::Display for FieldType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::String => "string",
            Self::Integer => "integer",
            Self::Decimal { precision, scale } => return write!(f, "decimal({precision},{scale})"),
            Self::Boolean => "boolean",
            Self::Timestamp => "timestamp",
            Self::Date => "date",
            Self::Json => "json",
        })
    }
}

/// A named field and its type.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NamedType {
    pub name: String,
    #[serde(rename = "type")]
    pub field_type: FieldType,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_spelled_back_as_it_was_read() {
        for text in [
            "string",
            "integer",
            "decimal(18,4)",
            "boolean",
            "timestamp",
            "date",
            "json",
        ] {
            assert_eq!(text.parse::<FieldType>().unwrap().to_string(), text);
        }
        for bad in [
            "decimal",
            "decimal(19,2)",
            "decimal(2,3)",
            "float",
            "String",
            "decimal(0,0)",
        ] {
            assert!(bad.parse::<FieldType>().is_err(), "{bad}");
        }
    }
}
