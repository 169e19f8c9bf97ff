//! A data file's statistics, as the log holds them: what lets readers skip the file.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::compute;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, DecimalType as _, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, Schema, TimeUnit, TimestampMicrosecondType,
};
use chrono::DateTime;

use super::path::date_text;

/// How many columns get statistics. What Delta's own writers do by default.
const COLUMNS: usize = 32;

/// Longer texts are bounded by this many characters.
const LONGEST: usize = 32;

/// The statistics of rows that become one file, gathered batch by batch.
pub(super) struct Statistics {
    rows: usize,
    columns: Vec<Column>,
}

struct Column {
    /// Where it stands among the columns of a batch.
    position: usize,
    name: String,
    data_type: DataType,
    /// Whether it gets a smallest and a largest value. A text that is not the host's own does not:
    /// rows are not sorted by it, so no file could be skipped for it, and comparing texts costs
    /// more than writing them.
    bounded: bool,
    nulls: usize,
    span: Option<Span>,
}

/// The smallest and the largest value so far, whole: what is shortened can't be compared.
enum Span {
    Integers(i64, i64),
    Units(i128, i128),
    Floats(f64, f64),
    Texts(String, String),
}

impl Statistics {
    /// Of rows with these columns.
    pub(super) fn new(schema: &Schema) -> Self {
        let fields = schema.fields().iter().enumerate().take(COLUMNS);
        let columns = fields
            .filter(|(_, field)| !matches!(field.data_type(), DataType::List(_)))
            .map(|(position, field)| Column {
                position,
                name: field.name().clone(),
                data_type: field.data_type().clone(),
                bounded: field.data_type() != &DataType::Utf8 || field.name().starts_with('_'),
                nulls: 0,
                span: None,
            });
        Self {
            rows: 0,
            columns: columns.collect(),
        }
    }

    pub(super) fn add(&mut self, rows: &RecordBatch) {
        self.rows += rows.num_rows();
        for column in &mut self.columns {
            let Some(values) = rows.columns().get(column.position) else {
                continue;
            };
            column.nulls += values.null_count();
            if !column.bounded {
                continue;
            }
            column.span = match (column.span.take(), Span::of(values)) {
                (Some(held), Some(further)) => Some(held.join(further)),
                (held, further) => held.or(further),
            };
        }
    }

    pub(super) fn text(&self) -> String {
        let mut smallest = Vec::new();
        let mut largest = Vec::new();
        let mut nulls = Vec::new();
        for column in &self.columns {
            let name = quoted(&column.name);
            nulls.push(format!("{name}:{}", column.nulls));
            let span = column.span.as_ref();
            if let Some((low, high)) = span.and_then(|span| span.spell(&column.data_type)) {
                smallest.push(format!("{name}:{low}"));
                largest.push(format!("{name}:{high}"));
            }
        }
        format!(
            r#"{{"numRecords":{},"minValues":{{{}}},"maxValues":{{{}}},"nullCount":{{{}}}}}"#,
            self.rows,
            smallest.join(","),
            largest.join(","),
            nulls.join(","),
        )
    }
}

/// The text that stands in every row, as a topic's name does: seen in one comparison of the bytes
/// with themselves, a row further on, and not in one a row.
fn the_same(column: &StringArray) -> Option<&str> {
    if column.is_empty() || column.null_count() > 0 {
        return None;
    }
    let offsets = column.value_offsets();
    let (first, second) = (*offsets.first()?, *offsets.get(1)?);
    let length = second - first;
    let even = offsets.windows(2).all(|pair| match pair {
        [from, to] => to - from == length,
        _ => true,
    });
    let last = usize::try_from(*offsets.last()?).ok()?;
    let bytes = column
        .value_data()
        .get(usize::try_from(first).ok()?..last)?;
    let length = usize::try_from(length).ok()?;
    let repeats = even && bytes.get(length..)? == bytes.get(..bytes.len() - length)?;
    repeats.then(|| column.value(0))
}

impl Span {
    /// `None`: there is no value, or the type has no order that all readers share.
    fn of(column: &ArrayRef) -> Option<Self> {
        macro_rules! of {
            ($kind:ty) => {{
                let column = column.as_primitive::<$kind>();
                (compute::min(column)?, compute::max(column)?)
            }};
        }
        macro_rules! integers {
            ($kind:ty) => {{
                let (low, high) = of!($kind);
                Self::Integers(low.into(), high.into())
            }};
        }
        Some(match column.data_type() {
            DataType::Int8 => integers!(Int8Type),
            DataType::Int16 => integers!(Int16Type),
            DataType::Int32 => integers!(Int32Type),
            DataType::Int64 => integers!(Int64Type),
            DataType::Date32 => integers!(Date32Type),
            DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => {
                integers!(TimestampMicrosecondType)
            }
            DataType::Float64 => {
                let (low, high) = of!(Float64Type);
                Self::Floats(low, high)
            }
            DataType::Decimal128(..) => {
                let (low, high) = of!(Decimal128Type);
                Self::Units(low, high)
            }
            DataType::Utf8 => {
                let column = column.as_string::<i32>();
                let (low, high) = match the_same(column) {
                    Some(text) => (text, text),
                    None => (compute::min_string(column)?, compute::max_string(column)?),
                };
                Self::Texts(low.to_owned(), high.to_owned())
            }
            _ => return None,
        })
    }

    fn join(self, further: Self) -> Self {
        match (self, further) {
            (Self::Integers(low, high), Self::Integers(l, h)) => {
                Self::Integers(low.min(l), high.max(h))
            }
            (Self::Units(low, high), Self::Units(l, h)) => Self::Units(low.min(l), high.max(h)),
            (Self::Floats(low, high), Self::Floats(l, h)) => {
                // The order in which Arrow finds the ends of one batch.
                let low = std::cmp::min_by(low, l, f64::total_cmp);
                Self::Floats(low, std::cmp::max_by(high, h, f64::total_cmp))
            }
            (Self::Texts(low, high), Self::Texts(l, h)) => Self::Texts(low.min(l), high.max(h)),
            // A column has one type.
            (held, _) => held,
        }
    }

    /// Both ends as JSON. `None`: one can't be spelled. Decimals keep all their digits, so they
    /// are not built as JSON numbers.
    fn spell(&self, data_type: &DataType) -> Option<(String, String)> {
        match (self, data_type) {
            (Self::Integers(low, high), DataType::Date32) => {
                let spell = |days: i64| Some(quoted(&date_text(i32::try_from(days).ok()?)?));
                Some((spell(*low)?, spell(*high)?))
            }
            (Self::Integers(low, high), DataType::Timestamp(..)) => {
                Some((quoted(&time_text(*low)?), quoted(&time_text(*high)?)))
            }
            (Self::Integers(low, high), _) => Some((low.to_string(), high.to_string())),
            (Self::Units(low, high), DataType::Decimal128(precision, scale)) => {
                let spell = |units| Decimal128Type::format_decimal(units, *precision, *scale);
                Some((spell(*low), spell(*high)))
            }
            (Self::Units(..), _) => None,
            (Self::Floats(low, high), _) => {
                // Infinite and not-a-number can't be spelled.
                let spell = |value| serde_json::Number::from_f64(value).map(|n| n.to_string());
                Some((spell(*low)?, spell(*high)?))
            }
            (Self::Texts(low, high), _) => {
                Some((quoted(start(low)), quoted(&bounded_above(high)?)))
            }
        }
    }
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

    fn of(batches: &[RecordBatch]) -> String {
        let mut statistics = Statistics::new(batches[0].schema_ref());
        batches.iter().for_each(|rows| statistics.add(rows));
        statistics.text()
    }

    #[test]
    fn texts_that_only_look_the_same_are_told_apart() {
        for texts in [
            &["north", "north", "north"][..],
            &["ab", "ba", "ab"],
            &["aa", "a", "aaa"],
            &["", "", ""],
            &["a", "b"],
            &["one"],
        ] {
            let column = StringArray::from(texts.to_vec());
            let whole = StringArray::from([&["zz"], texts, &["0"]].concat());
            for column in [column, whole.slice(1, texts.len())] {
                let rows = RecordBatch::try_from_iter([("_topic", Arc::new(column) as ArrayRef)]);
                let told: Value = serde_json::from_str(&of(&[rows.unwrap()])).unwrap();
                assert_eq!(told["minValues"]["_topic"], *texts.iter().min().unwrap());
                assert_eq!(told["maxValues"]["_topic"], *texts.iter().max().unwrap());
            }
        }
    }

    fn sample() -> RecordBatch {
        let units = Decimal128Array::from(vec![Some(-5), Some(12_345_678_901_234_567_890), None]);
        RecordBatch::try_from_iter([
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
                "_name",
                Arc::new(StringArray::from(vec![Some("b\""), None, Some("a")])),
            ),
            (
                "colour",
                Arc::new(StringArray::from(vec![Some("red"), None, None])),
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
        .unwrap()
    }

    #[test]
    fn statistics_hold_the_bounds_exactly() {
        let text = of(&[sample()]);
        assert!(text.contains(r#""price":123456789012345678.90"#), "{text}");
        let stats: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(stats["numRecords"], 3);
        assert_eq!(stats["minValues"]["_offset"], 1);
        assert_eq!(stats["maxValues"]["at"], "1970-01-01T00:00:00.000003Z");
        assert_eq!(stats["maxValues"]["_name"], "b\"");
        assert_eq!(stats["maxValues"]["colour"], Value::Null);
        assert_eq!(
            stats["nullCount"],
            json!({"_offset":0,"price":1,"at":0,"_name":1,"colour":2,"rate":0})
        );
    }

    #[test]
    fn rows_in_parts_have_the_statistics_of_the_whole() {
        let rows = sample();
        let whole = of(std::slice::from_ref(&rows));
        for first in 0..=rows.num_rows() {
            let parts = [
                rows.slice(0, first),
                rows.slice(first, rows.num_rows() - first),
            ];
            assert_eq!(of(&parts), whole, "cut at {first}");
        }
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
