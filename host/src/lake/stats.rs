//! A data file's statistics, as the log holds them: what lets readers skip the file.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, DecimalType as _, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType,
};
use chrono::DateTime;

use super::path::date_text;

/// How many columns get statistics. What Delta's own writers do by default.
const COLUMNS: usize = 32;

/// Longer texts are bounded by this many characters.
const LONGEST: usize = 32;

/// The statistics of rows that become one file.
pub(super) fn of(rows: &RecordBatch) -> String {
    let mut smallest = Vec::new();
    let mut largest = Vec::new();
    let mut nulls = Vec::new();
    let schema = rows.schema_ref();
    for (field, column) in schema.fields().iter().zip(rows.columns()).take(COLUMNS) {
        if matches!(field.data_type(), DataType::List(_)) {
            continue;
        }
        let name = serde_json::Value::from(field.name().as_str());
        nulls.push(format!("{name}:{}", column.null_count()));
        if let Some((low, high)) = bounds(column) {
            smallest.push(format!("{name}:{low}"));
            largest.push(format!("{name}:{high}"));
        }
    }
    format!(
        r#"{{"numRecords":{},"minValues":{{{}}},"maxValues":{{{}}},"nullCount":{{{}}}}}"#,
        rows.num_rows(),
        smallest.join(","),
        largest.join(","),
        nulls.join(","),
    )
}

/// The smallest and the largest value, as JSON. `None`: there is none, or the type has no order
/// that all readers share. Decimals keep all their digits, so they are not built as JSON numbers.
fn bounds(column: &ArrayRef) -> Option<(String, String)> {
    macro_rules! of {
        ($kind:ty) => {{
            let column = column.as_primitive::<$kind>();
            (compute::min(column)?, compute::max(column)?)
        }};
    }
    macro_rules! numbers {
        ($kind:ty) => {{
            let (low, high) = of!($kind);
            (low.to_string(), high.to_string())
        }};
    }
    Some(match column.data_type() {
        DataType::Int8 => numbers!(Int8Type),
        DataType::Int16 => numbers!(Int16Type),
        DataType::Int32 => numbers!(Int32Type),
        DataType::Int64 => numbers!(Int64Type),
        DataType::Float64 => {
            let (low, high) = of!(Float64Type);
            // Infinite and not-a-number can't be spelled.
            let spell = |value: f64| serde_json::Number::from_f64(value).map(|n| n.to_string());
            (spell(low)?, spell(high)?)
        }
        DataType::Decimal128(precision, scale) => {
            let (low, high) = of!(Decimal128Type);
            let spell = |units| Decimal128Type::format_decimal(units, *precision, *scale);
            (spell(low), spell(high))
        }
        DataType::Date32 => {
            let (low, high) = of!(Date32Type);
            (quoted(&date_text(low)?), quoted(&date_text(high)?))
        }
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => {
            let (low, high) = of!(TimestampMicrosecondType);
            (quoted(&time_text(low)?), quoted(&time_text(high)?))
        }
        DataType::Utf8 => {
            let column = column.as_string::<i32>();
            let (low, high) = (compute::min_string(column)?, compute::max_string(column)?);
            (quoted(start(low)), quoted(&bounded_above(high)?))
        }
        _ => return None,
    })
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// To the microsecond, so that a bound is exact; `None` beyond the years that have four digits.
fn time_text(micros: i64) -> Option<String> {
    let text = DateTime::from_timestamp_micros(micros)?
        .format("%Y-%m-%dT%H:%M:%S%.6fZ")
        .to_string();
    (text.len() == "1970-01-01T00:00:00.000000Z".len()).then_some(text)
}

/// The first characters of a text, which are not larger than it.
fn start(text: &str) -> &str {
    text.char_indices()
        .nth(LONGEST)
        .and_then(|(end, _)| text.get(..end))
        .unwrap_or(text)
}

/// A short text that is not smaller than `text`: itself, or its start with the last character
/// that has a next one raised to that.
fn bounded_above(text: &str) -> Option<String> {
    let start = start(text);
    if start.len() == text.len() {
        return Some(text.to_owned());
    }
    let mut raised = start.to_owned();
    while let Some(last) = raised.pop() {
        // Past the surrogates, which are no characters.
        let next = if last == '\u{d7ff}' {
            Some('\u{e000}')
        } else {
            char::from_u32(u32::from(last) + 1)
        };
        if let Some(next) = next {
            raised.push(next);
            return Some(raised);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        Decimal128Array, Float64Array, Int64Array, ListArray, StringArray,
        TimestampMicrosecondArray,
    };
    use arrow::datatypes::Int32Type as Item;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn statistics_hold_the_bounds_exactly() {
        let units = Decimal128Array::from(vec![Some(-5), Some(12_345_678_901_234_567_890), None]);
        let rows = RecordBatch::try_from_iter([
            (
                "_offset",
                Arc::new(Int64Array::from(vec![3, 1, 2])) as ArrayRef,
            ),
            (
                "price",
                Arc::new(units.with_precision_and_scale(38, 2).unwrap()) as ArrayRef,
            ),
            (
                "at",
                Arc::new(TimestampMicrosecondArray::from(vec![1, 2, 3]).with_timezone("UTC")),
            ),
            (
                "name",
                Arc::new(StringArray::from(vec![Some("b\""), None, Some("a")])),
            ),
            (
                "rate",
                Arc::new(Float64Array::from(vec![f64::NAN, 1.0, 2.0])),
            ),
            (
                "list",
                Arc::new(ListArray::from_iter_primitive::<Item, _, _>(vec![
                    Some(vec![Some(1)]),
                    None,
                    None,
                ])),
            ),
        ])
        .unwrap();
        let text = of(&rows);
        assert!(text.contains(r#""price":123456789012345678.90"#), "{text}");
        let stats: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(stats["numRecords"], 3);
        assert_eq!(stats["minValues"]["_offset"], 1);
        assert_eq!(stats["maxValues"]["at"], "1970-01-01T00:00:00.000003Z");
        assert_eq!(stats["maxValues"]["name"], "b\"");
        assert_eq!(
            stats["nullCount"],
            json!({"_offset":0,"price":1,"at":0,"name":1,"rate":0})
        );
    }

    #[test]
    fn a_long_text_is_bounded_from_both_sides() {
        let long = "é".repeat(40);
        let above = bounded_above(&long).unwrap();
        assert!(start(&long) <= long.as_str() && above > long && above.chars().count() <= LONGEST);
        let end = char::MAX.to_string().repeat(40);
        assert_eq!(bounded_above(&end), None);
        assert_eq!(bounded_above("short").as_deref(), Some("short"));
    }
}
