//! What a component made of rows, as lines of JSON that people read and compare.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float64Type, Int64Type, TimestampMicrosecondType,
};
use arrow::temporal_conversions::date32_to_datetime;
use chrono::{DateTime, SecondsFormat};
use serde_json::Value;

use super::Rows;
use super::rows::index;
use crate::medallion::rules::{GoldRule, RowRule};
use crate::plugin::{Cause, Judged};

/// What became of one row, or of one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The row's number, counted from 0, unless it is a group.
    pub row: Option<usize>,
    /// Which row (counted from 1), or which group by its keys: a JSON object.
    pub of: String,
    /// A JSON object.
    pub json: String,
    /// The rules that the row broke.
    pub broken: Vec<String>,
    /// Why the component could not be got over the row.
    pub failed: Option<Cause>,
    /// In which of its functions that was, the innermost first, where they have names.
    pub backtrace: Vec<String>,
}

impl Line {
    /// `json`, and where in the component it failed.
    pub fn told(&self) -> String {
        match self.json.strip_suffix('}') {
            Some(open) if !self.backtrace.is_empty() => {
                let backtrace = Value::from(self.backtrace.clone());
                format!("{open},\"backtrace\":{backtrace}}}")
            }
            _ => self.json.clone(),
        }
    }
}

/// `{"row":1,"writes":{…},"verdicts":["quarantine price_zero: unit_price is 0"]}`.
pub(super) fn of_rows(rule: &RowRule, rows: &Rows, answer: &Judged) -> Vec<Line> {
    let mut verdicts: Vec<Vec<Value>> = vec![Vec::new(); rows.len()];
    let mut broken: Vec<Vec<String>> = vec![Vec::new(); rows.len()];
    for verdict in &answer.verdicts {
        let known = rule.description.rules.get(usize::from(verdict.rule));
        if let (Some(said), Some(known)) = (verdicts.get_mut(index(verdict.row)), known) {
            if let Some(broken) = broken.get_mut(index(verdict.row)) {
                broken.push(known.name.clone());
            }
            let (action, name) = (known.action.as_str(), &known.name);
            said.push(match verdict.reason.as_str() {
                "" => format!("{action} {name}").into(),
                reason => format!("{action} {name}: {reason}").into(),
            });
        }
    }
    let mut failures = vec![None; rows.len()];
    for guilty in &answer.guilty {
        if let Some(failure) = failures.get_mut(index(guilty.row)) {
            let text = format!("{}: {}", guilty.cause, guilty.text);
            *failure = Some((text, guilty.cause, guilty.trace.clone()));
        }
    }
    let said = verdicts.into_iter().zip(broken).zip(failures);
    said.enumerate()
        .map(|(row, ((verdicts, broken), failure))| {
            let place = rows.numbers.get(row).copied().unwrap_or(row);
            let number = (place + 1).to_string();
            let failed = failure.as_ref().map(|(_, cause, _)| *cause);
            let mut parts = vec![match rows.places.get(row) {
                Some(at) => ("at", Value::from(at.as_str()).to_string()),
                None => ("row", number.clone()),
            }];
            let mut backtrace = Vec::new();
            if let Some((failure, _, trace)) = failure {
                parts.push(("failed", Value::from(failure).to_string()));
                backtrace = trace;
            } else if !rule.description.writes.is_empty() {
                let names = rule.description.writes.iter().map(|f| f.name.as_str());
                let values = answer.columns.iter().map(|column| cell(column, row));
                parts.push(("writes", object(names.zip(values))));
            }
            if !verdicts.is_empty() {
                parts.push(("verdicts", Value::from(verdicts).to_string()));
            }
            Line {
                row: Some(place),
                of: object(std::iter::once(("row", number))),
                json: object(parts.into_iter()),
                broken,
                failed,
                backtrace,
            }
        })
        .collect()
}

/// Keys, then measures, sorted by the keys. State is the component's own business.
pub(super) fn of_groups(rule: &GoldRule, table: &RecordBatch) -> Vec<Line> {
    let keys: Vec<&str> = rule.description.keys.iter().map(String::as_str).collect();
    let measures = rule.description.measures.iter().map(|f| f.name.as_str());
    let names: Vec<&str> = keys.iter().copied().chain(measures).collect();
    let values = |names: &[&str], row| {
        let cells = names.iter().map(|name| match table.column_by_name(name) {
            Some(column) => cell(column, row),
            None => "null".to_owned(),
        });
        object(names.iter().copied().zip(cells))
    };
    let mut lines: Vec<Line> = (0..table.num_rows())
        .map(|row| Line {
            row: None,
            of: values(&keys, row),
            json: values(&names, row),
            broken: Vec::new(),
            failed: None,
            backtrace: Vec::new(),
        })
        .collect();
    lines.sort_by(|a, b| a.json.cmp(&b.json));
    lines
}

fn object<'a>(fields: impl Iterator<Item = (&'a str, String)>) -> String {
    let fields: Vec<String> = fields
        .map(|(name, value)| format!("{}:{value}", Value::from(name)))
        .collect();
    format!("{{{}}}", fields.join(","))
}

/// A value as JSON. What JSON has no exact word for is text: decimals, moments, dates, binary.
fn cell(column: &ArrayRef, row: usize) -> String {
    if row >= column.len() || column.is_null(row) {
        return "null".to_owned();
    }
    let value = match column.data_type() {
        DataType::Boolean => column.as_boolean().value(row).into(),
        DataType::Int64 => column.as_primitive::<Int64Type>().value(row).into(),
        DataType::Float64 => {
            let float = column.as_primitive::<Float64Type>().value(row);
            serde_json::Number::from_f64(float)
                .map_or_else(|| float.to_string().into(), Value::Number)
        }
        DataType::Decimal128(..) => column
            .as_primitive::<Decimal128Type>()
            .value_as_string(row)
            .into(),
        DataType::Utf8 => column.as_string::<i32>().value(row).into(),
        DataType::Binary => hex(column.as_binary::<i32>().value(row)).into(),
        DataType::Timestamp(..) => {
            let micros = column.as_primitive::<TimestampMicrosecondType>().value(row);
            let moment = DateTime::from_timestamp_micros(micros);
            moment
                .map(|moment| moment.to_rfc3339_opts(SecondsFormat::AutoSi, true))
                .into()
        }
        DataType::Date32 => {
            let days = column.as_primitive::<Date32Type>().value(row);
            date32_to_datetime(days)
                .map(|day| day.date().to_string())
                .into()
        }
        other => format!("a {other}").into(),
    };
    value.to_string()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
