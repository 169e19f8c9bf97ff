//! How partition values become paths, and paths become text in the log.
//!
//! Two codings lie on top of each other. A directory is named `column=value` with everything but
//! plain letters escaped, so that any store and any engine can hold it. The log then holds the
//! whole path as a URI, in which the escapes' own `%` is escaped once more.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Int8Type, Int16Type, Int32Type, Int64Type, TimeUnit,
    TimestampMicrosecondType,
};
use chrono::{DateTime, Days, NaiveDate};

/// The longest name that file systems hold, in bytes.
const LONGEST_NAME: usize = 255;

/// The directory of rows without a value, as Hive named it.
const NULL_DIRECTORY: &str = "__HIVE_DEFAULT_PARTITION__";

/// Whether rows with this value can be kept in a table that is partitioned by `column`. Delta
/// reads an empty text as null, and a path has an end: such rows belong in quarantine.
pub fn partition_value_fits(column: &str, value: &str) -> bool {
    // An escaped byte is three.
    let longest = 3 * column.len() + "=".len() + 3 * value.len();
    !value.is_empty()
        && (longest <= LONGEST_NAME || directory(column, Some(value)).len() <= LONGEST_NAME)
}

/// The value of a row as the log spells partition values. `None` for null, and for values that
/// have no such spelling.
pub fn partition_value_of(array: &ArrayRef, row: usize) -> Option<String> {
    if array.is_null(row) {
        return None;
    }
    Some(match array.data_type() {
        DataType::Utf8 => array.as_string::<i32>().value(row).to_owned(),
        DataType::Boolean => array.as_boolean().value(row).to_string(),
        DataType::Int8 => array.as_primitive::<Int8Type>().value(row).to_string(),
        DataType::Int16 => array.as_primitive::<Int16Type>().value(row).to_string(),
        DataType::Int32 => array.as_primitive::<Int32Type>().value(row).to_string(),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(row).to_string(),
        DataType::Decimal128(..) => array.as_primitive::<Decimal128Type>().value_as_string(row),
        DataType::Date32 => date_text(array.as_primitive::<Date32Type>().value(row))?,
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => {
            let micros = array.as_primitive::<TimestampMicrosecondType>().value(row);
            let time = DateTime::from_timestamp_micros(micros)?;
            time.format("%Y-%m-%d %H:%M:%S%.6f").to_string()
        }
        _ => return None,
    })
}

/// `YYYY-MM-DD`; `None` beyond the years 0 to 9999, which other readers can't spell.
pub(super) fn date_text(days: i32) -> Option<String> {
    let epoch = NaiveDate::from_ymd_opt(1970, 1, 1)?;
    let distance = Days::new(u64::from(days.unsigned_abs()));
    let date = if days < 0 {
        epoch.checked_sub_days(distance)?
    } else {
        epoch.checked_add_days(distance)?
    };
    let text = date.format("%Y-%m-%d").to_string();
    (text.len() == "YYYY-MM-DD".len()).then_some(text)
}

/// `column=value`, with everything but plain letters escaped.
pub(super) fn directory(column: &str, value: Option<&str>) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    let column = escape(column, plain);
    match value {
        Some(value) => format!("{column}={}", escape(value, plain)),
        None => format!("{column}={NULL_DIRECTORY}"),
    }
}

/// A path within the table as the log spells it.
pub(super) fn to_uri(path: &str) -> String {
    escape(path, |byte| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'~' | b'/' | b'=')
    })
}

/// A path of the log as the store spells it. `None`: it leads out of the table, or is no URI.
pub(super) fn from_uri(uri: &str) -> Option<String> {
    if uri.contains("://") || uri.starts_with('/') {
        return None;
    }
    let mut bytes = Vec::with_capacity(uri.len());
    let mut rest = uri.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
        let value = digit(rest.next())? * 16 + digit(rest.next())?;
        bytes.push(u8::try_from(value).ok()?);
    }
    let path = String::from_utf8(bytes).ok()?;
    (!path.split('/').any(|part| part == "..")).then_some(path)
}

fn escape(text: &str, plain: impl Fn(u8) -> bool) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if plain(byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_odd_value_becomes_a_plain_directory_and_a_uri_that_is_read_back() {
        for value in ["a b", "ü", "x=y", "%", "/", "..", "a%20b", "日本"] {
            let directory = directory("store_id", Some(value));
            assert!(
                directory.is_ascii() && !directory.contains('/'),
                "{directory}"
            );
            let uri = to_uri(&directory);
            assert_eq!(from_uri(&uri).as_deref(), Some(&*directory), "{value}");
        }
        assert_eq!(to_uri(&directory("s", Some("a b"))), "s=a%2520b");
    }

    #[test]
    fn a_value_that_no_path_can_hold_does_not_fit() {
        assert!(!partition_value_fits("store_id", ""));
        assert!(!partition_value_fits("store_id", &"x".repeat(300)));
        assert!(!partition_value_fits("store_id", &"ü".repeat(60)));
        assert!(partition_value_fits("store_id", &"x".repeat(200)));
    }

    #[test]
    fn a_path_out_of_the_table_is_none() {
        for bad in ["s3://b/f", "/f", "a/../../f", "%zz", "%2"] {
            assert_eq!(from_uri(bad), None, "{bad}");
        }
    }

    #[test]
    fn dates_are_spelled_within_four_digits_of_years() {
        assert_eq!(date_text(0).as_deref(), Some("1970-01-01"));
        assert_eq!(date_text(-1).as_deref(), Some("1969-12-31"));
        assert_eq!(date_text(i32::MAX), None);
    }
}
