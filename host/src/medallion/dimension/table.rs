//! From a file's cells to typed columns, sorted and checked.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{Field, Schema};
use arrow::error::ArrowError;
use serde::de::IgnoredAny;

use super::file::{Cells, Row, read};
use super::keys::Keys;
use super::order::{Clash, key_columns, order, periods};
use super::{DimensionError, DimensionSpec};
use crate::medallion::decode::columns::Column;
use crate::medallion::decode::value::Value;
use crate::schema::FieldType;

/// Reads a dimension's rows from a CSV file with a header, or from a file of one JSON object a
/// line. The key's columns come first; the rows are sorted by key. An empty CSV cell is null.
///
/// # Errors
/// What is wrong, with the file's line and the row's key: a cell that is not of its column's
/// type, an empty key, a key that stands twice (for the same moment).
pub fn read_file(spec: &DimensionSpec, path: &Path) -> Result<RecordBatch, DimensionError> {
    spec.check()?;
    let cells = read(spec, path)?;
    let mut columns = Vec::new();
    for column in &spec.key {
        let place = cells.columns.iter().position(|name| name == column);
        columns.push(place.ok_or_else(|| DimensionError::NoKeyColumn {
            path: path.to_owned(),
            dimension: spec.name.clone(),
            column: column.clone(),
            found: cells.columns.clone(),
        })?);
    }
    check_keys(spec, path, &cells, &columns)?;
    let others = (0..cells.columns.len()).filter(|place| !columns.contains(place));
    let others: Vec<usize> = others.collect();
    columns.extend(others);
    let rows = typed(spec, path, &cells, &columns)?;
    sorted(spec, path, &cells, &rows)
}

fn check_keys(
    spec: &DimensionSpec,
    path: &Path,
    cells: &Cells,
    columns: &[usize],
) -> Result<(), DimensionError> {
    for row in &cells.rows {
        for (place, column) in columns.iter().zip(&spec.key) {
            if row.cell(*place).is_none() {
                return Err(DimensionError::NoKey {
                    path: path.to_owned(),
                    line: row.line,
                    dimension: spec.name.clone(),
                    column: column.clone(),
                });
            }
        }
    }
    Ok(())
}

fn typed(
    spec: &DimensionSpec,
    path: &Path,
    cells: &Cells,
    columns: &[usize],
) -> Result<RecordBatch, DimensionError> {
    let mut fields = Vec::new();
    let mut arrays = Vec::new();
    for place in columns {
        let Some(name) = cells.columns.get(*place) else {
            continue;
        };
        let field_type = spec.type_of(name);
        // JSON is kept as the text that it came as, once that is checked.
        let mut column = Column::of_type(&field_type.arrow(), cells.rows.len());
        for (number, row) in cells.rows.iter().enumerate() {
            let Some(cell) = row.cell(*place) else {
                continue;
            };
            let value = value(field_type, cell);
            if !value.is_some_and(|value| column.put(number, &value)) {
                return Err(DimensionError::BadValue {
                    path: path.to_owned(),
                    line: row.line,
                    key: spell_key(spec, cells, row),
                    column: name.clone(),
                    value: cell.to_owned(),
                    wanted: field_type,
                });
            }
        }
        fields.push(Field::new(name, field_type.arrow(), true));
        arrays.push(column.finish(cells.rows.len()));
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).map_err(|e| spec.arrow(e))
}

fn value(field_type: FieldType, cell: &str) -> Option<Value<'_>> {
    let trimmed = cell.trim();
    Some(match field_type {
        FieldType::String => Value::Text(cell.into()),
        FieldType::Integer | FieldType::Decimal { .. } => Value::Number(trimmed),
        FieldType::Boolean => Value::Boolean(trimmed.parse().ok()?),
        FieldType::Timestamp | FieldType::Date => Value::Text(trimmed.into()),
        FieldType::Json => {
            serde_json::from_str::<IgnoredAny>(cell).ok()?;
            Value::Text(cell.into())
        }
    })
}

fn spell_key(spec: &DimensionSpec, cells: &Cells, row: &Row) -> String {
    let parts = spec.key.iter().map(|column| {
        let place = cells.columns.iter().position(|name| name == column);
        let cell = place.and_then(|place| row.cell(place));
        format!("{:?}", cell.unwrap_or_default())
    });
    parts.collect::<Vec<_>>().join(", ")
}

fn sorted(
    spec: &DimensionSpec,
    path: &Path,
    cells: &Cells,
    rows: &RecordBatch,
) -> Result<RecordBatch, DimensionError> {
    let no_key = || spec.arrow(ArrowError::SchemaError("no key".into()));
    let columns = key_columns(rows, &spec.key).map_err(|_| no_key())?;
    let keys = Keys::new(&columns).ok_or_else(no_key)?;
    let periods = periods(rows);
    let line = |row: usize| cells.rows.get(row).map_or(0, |row| row.line);
    let path = path.to_owned();
    let order = order(&keys, rows.num_rows(), periods.as_ref()).map_err(|clash| match clash {
        Clash::Both { first, second } => DimensionError::Duplicate {
            path,
            key: keys.spell(second),
            first: line(first),
            second: line(second),
            versioned: periods.is_some(),
        },
        Clash::NeverValid { row } => DimensionError::NeverValid {
            path,
            line: line(row),
            key: keys.spell(row),
        },
        Clash::NullKey { row } => DimensionError::NoKey {
            path,
            line: line(row),
            dimension: spec.name.clone(),
            column: spec.key.join(", "),
        },
    })?;
    take_record_batch(rows, &UInt32Array::from(order)).map_err(|e| spec.arrow(e))
}

impl Row {
    fn cell(&self, place: usize) -> Option<&str> {
        self.cells.get(place)?.as_deref()
    }
}
