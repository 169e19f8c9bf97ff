//! Columns from JSON, and JSON from columns.

use std::borrow::Cow;

use serde_json::Value;

use super::Object;
use crate::bindings::wire;
use crate::column::{Binary, Boolean, Builder, Float, Integer, Kind, Text};
use crate::decimal::parse_units;
use crate::time::{Date, Timestamp, days_of};

/// Rows that are written as a JSON array of objects.
///
/// # Errors
/// A value that does not fit its column, or a column that nothing reads (a typo, most likely).
pub fn batch(
    reads: &[wire::Field],
    look_ups: &[wire::LookUp],
    rows: &str,
) -> Result<wire::Batch, String> {
    let rows: Vec<Object> = serde_json::from_str(rows).map_err(|error| error.to_string())?;
    refuse_unknown(reads, look_ups, &rows)?;
    let mut columns = Vec::new();
    for field in reads {
        columns.push(column(field, rows.iter().map(|row| row.get(&field.name)))?);
    }
    for look_up in look_ups {
        let dimension = |row: &'_ Object| row.get(&look_up.dimension).cloned();
        let found: Vec<Option<Value>> = rows.iter().map(dimension).collect();
        for field in &look_up.fields {
            let values = found
                .iter()
                .map(|row| row.as_ref().and_then(|row| row.get(&field.name)));
            columns.push(column(field, values)?);
        }
        let mut builder = Builder::<Boolean>::default();
        found
            .iter()
            .for_each(|row| builder.push(Some(row.is_some())));
        columns.push(builder.close());
    }
    Ok(wire::Batch {
        rows: u32::try_from(rows.len()).map_err(|error| error.to_string())?,
        columns,
    })
}

fn refuse_unknown(
    reads: &[wire::Field],
    look_ups: &[wire::LookUp],
    rows: &[Object],
) -> Result<(), String> {
    let known = |name: &str| {
        reads.iter().any(|field| field.name == name)
            || look_ups.iter().any(|look_up| look_up.dimension == name)
    };
    match rows
        .iter()
        .flat_map(|row| row.keys())
        .find(|name| !known(name))
    {
        Some(name) => Err(format!("the component does not read {name:?}")),
        None => Ok(()),
    }
}

fn column<'v>(
    field: &wire::Field,
    values: impl Iterator<Item = Option<&'v Value>>,
) -> Result<wire::Column, String> {
    let bad = |value: &Value| format!("{}: {value} is no {:?}", field.name, field.kind);
    match field.kind {
        wire::Kind::Boolean => fill::<Boolean>(values, Value::as_bool, bad),
        wire::Kind::Integer => fill::<Integer>(values, Value::as_i64, bad),
        wire::Kind::Float => fill::<Float>(values, Value::as_f64, bad),
        wire::Kind::Text => fill::<Text>(values, |value| value.as_str().map(Cow::Borrowed), bad),
        wire::Kind::Binary => fill::<Binary>(
            values,
            |value| value.as_str().map(|v| Cow::Borrowed(v.as_bytes())),
            bad,
        ),
        wire::Kind::Timestamp => fill::<Timestamp>(values, timestamp, bad),
        wire::Kind::Date => fill::<Date>(values, |value| date(value.as_str()?), bad),
        wire::Kind::Decimal(scale) => {
            let mut column = fill::<Integer>(values, |value| decimal(value, scale), bad)?;
            if let wire::Values::Integers(units) = &mut column.values {
                let units = std::mem::take(units);
                column.values = wire::Values::Decimals(wire::Decimal { scale, units });
            }
            Ok(column)
        }
    }
}

fn fill<'v, K: Kind>(
    values: impl Iterator<Item = Option<&'v Value>>,
    read: impl Fn(&'v Value) -> Option<K::Out<'v>>,
    bad: impl Fn(&Value) -> String,
) -> Result<wire::Column, String> {
    let mut builder = Builder::<K>::default();
    for value in values {
        match value.filter(|value| !value.is_null()) {
            Some(value) => builder.push(Some(read(value).ok_or_else(|| bad(value))?)),
            None => builder.push(None),
        }
    }
    Ok(builder.close())
}

fn decimal(value: &Value, scale: u8) -> Option<i64> {
    match value {
        Value::String(text) => parse_units(text, scale),
        Value::Number(number) => parse_units(&number.to_string(), scale),
        _ => None,
    }
}

/// `YYYY-MM-DD`.
fn date(text: &str) -> Option<Date> {
    let mut parts = text.splitn(3, '-').map(|part| part.parse::<i64>().ok());
    let days = days_of(parts.next()??, parts.next()??, parts.next()??);
    i32::try_from(days).ok().map(Date::of_days)
}

/// `YYYY-MM-DDThh:mm:ssZ`.
fn timestamp(value: &Value) -> Option<Timestamp> {
    let (day, time) = value.as_str()?.strip_suffix('Z')?.split_once('T')?;
    let mut parts = time.splitn(3, ':').map(|part| part.parse::<i64>().ok());
    let seconds = parts.next()?? * 3600 + parts.next()?? * 60 + parts.next()??;
    let days = i64::from(date(day)?.days());
    Some(Timestamp::of_micros((days * 86_400 + seconds) * 1_000_000))
}

/// Columns as rows. Decimals, timestamps, dates and binary become text; an absent value is null.
pub fn of_columns(fields: &[wire::Field], columns: &[wire::Column], rows: u32) -> Vec<Object> {
    let rows = 0..rows as usize;
    let row = |row| {
        let value = |(field, column): (&wire::Field, _)| (field.name.clone(), value(column, row));
        fields.iter().zip(columns).map(value).collect()
    };
    rows.map(row).collect()
}

fn value(column: &wire::Column, row: usize) -> Value {
    fn read<K: Kind>(column: &wire::Column, row: usize) -> Option<K::Value<'_>> {
        let (_, rows) = K::open(&column.values)?;
        crate::column::Slot::<K>::open(column, rows, "")
            .ok()?
            .get(row)
    }
    let value = match &column.values {
        wire::Values::Booleans(_) => read::<Boolean>(column, row).map(Value::from),
        wire::Values::Integers(_) => read::<Integer>(column, row).map(Value::from),
        wire::Values::Floats(_) => read::<Float>(column, row).map(Value::from),
        wire::Values::Text(_) => read::<Text>(column, row).map(Value::from),
        wire::Values::Binary(_) => read::<Binary>(column, row)
            .map(|bytes| Value::from(String::from_utf8_lossy(bytes).into_owned())),
        wire::Values::Timestamps(_) => read::<Timestamp>(column, row).map(|v| v.to_string().into()),
        wire::Values::Dates(_) => read::<Date>(column, row).map(|v| v.to_string().into()),
        wire::Values::Decimals(decimals) => decimal_text(column, decimals, row),
    };
    value.unwrap_or(Value::Null)
}

fn decimal_text(column: &wire::Column, decimals: &wire::Decimal, row: usize) -> Option<Value> {
    let valid = column.valid.as_ref();
    if valid.is_some_and(|bits| {
        bits.get(row / 8)
            .is_none_or(|byte| byte >> (row % 8) & 1 == 0)
    }) {
        return None;
    }
    let units = i128::from(*decimals.units.get(row)?);
    let one = 10_i128.pow(u32::from(decimals.scale));
    let sign = if units < 0 { "-" } else { "" };
    let (whole, rest) = (units.abs() / one, units.abs() % one);
    Some(match decimals.scale {
        0 => format!("{sign}{whole}").into(),
        scale => format!("{sign}{whole}.{rest:0>width$}", width = usize::from(scale)).into(),
    })
}
