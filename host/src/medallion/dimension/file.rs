//! A dimension's file, CSV or NDJSON, as rows of cells with the line that each stands in.

use std::collections::HashMap;
use std::path::Path;

use super::{DimensionError, DimensionSpec};
use crate::medallion::decode::further::is_legal;
use crate::medallion::decode::message::{Message, Reader};
use crate::medallion::decode::value::Value;
use crate::schema::FieldType;

/// What a file holds, before its cells are given types.
#[derive(Debug, Default)]
pub struct Cells {
    /// In the order in which the file brings them.
    pub columns: Vec<String>,
    pub rows: Vec<Row>,
}

/// One row of a file.
#[derive(Debug)]
pub struct Row {
    /// Counted from 1.
    pub line: u64,
    /// As many as there are columns, or fewer: the rest is absent.
    pub cells: Vec<Option<String>>,
}

/// Reads a file by its ending.
///
/// # Errors
/// The first line that is not what it should be.
pub fn read(spec: &DimensionSpec, path: &Path) -> Result<Cells, DimensionError> {
    let ending = path.extension().and_then(|ending| ending.to_str());
    let ending = ending.map(str::to_ascii_lowercase);
    match ending.as_deref() {
        Some("csv") => csv(path, &contents(path)?),
        Some("ndjson" | "jsonl" | "json") => ndjson(spec, path, &contents(path)?),
        _ => Err(DimensionError::UnknownFormat {
            path: path.to_owned(),
        }),
    }
}

fn contents(path: &Path) -> Result<Vec<u8>, DimensionError> {
    std::fs::read(path).map_err(|source| DimensionError::Unreadable {
        path: path.to_owned(),
        source,
    })
}

fn csv(path: &Path, bytes: &[u8]) -> Result<Cells, DimensionError> {
    let mut reader = csv::Reader::from_reader(bytes);
    let wrong = |error: csv::Error| bad_line(path, line_of(&error), error.to_string());
    let header = reader.headers().map_err(wrong)?.clone();
    let mut cells = Cells::default();
    for name in &header {
        add_column(&mut cells.columns, name.trim())
            .map_err(|problem| bad_line(path, 1, problem))?;
    }
    for record in reader.records() {
        let record = record.map_err(wrong)?;
        let filled = record.iter().map(|cell| match cell {
            "" => None,
            cell => Some(cell.to_owned()),
        });
        cells.rows.push(Row {
            line: record.position().map_or(0, csv::Position::line),
            cells: filled.collect(),
        });
    }
    Ok(cells)
}

fn line_of(error: &csv::Error) -> u64 {
    let at = match error.kind() {
        csv::ErrorKind::Utf8 { pos, .. } | csv::ErrorKind::UnequalLengths { pos, .. } => pos,
        _ => return 1,
    };
    at.as_ref().map_or(1, csv::Position::line)
}

fn ndjson(spec: &DimensionSpec, path: &Path, bytes: &[u8]) -> Result<Cells, DimensionError> {
    let mut reader = Reader::new(None);
    let mut message = Message::default();
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut cells = Cells::default();
    for (line, bytes) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
        let bytes = bytes.trim_ascii();
        if bytes.is_empty() {
            continue;
        }
        reader
            .read(bytes, &mut message)
            .map_err(|malformed| bad_line(path, line, malformed.to_string()))?;
        let mut row = vec![None; cells.columns.len()];
        for (name, value) in &message.fields {
            let name = reader.names.text(*name);
            let place = match places.get(name) {
                Some(place) => *place,
                None => {
                    add_column(&mut cells.columns, name)
                        .map_err(|problem| bad_line(path, line, problem))?;
                    row.push(None);
                    places.insert(name.to_owned(), cells.columns.len() - 1);
                    cells.columns.len() - 1
                }
            };
            if let Some(cell) = row.get_mut(place) {
                *cell = spell(spec.type_of(name), value);
            }
        }
        cells.rows.push(Row { line, cells: row });
    }
    Ok(cells)
}

/// A value as a CSV file would have it.
fn spell(field_type: FieldType, value: &Value<'_>) -> Option<String> {
    match value {
        Value::Null => None,
        Value::Text(text) if field_type != FieldType::Json => Some(text.as_ref())
            .filter(|text| !text.is_empty())
            .map(str::to_owned),
        value => Some(value.json().into_owned()),
    }
}

fn add_column(columns: &mut Vec<String>, name: &str) -> Result<(), String> {
    if !is_legal(name) {
        return Err(format!(
            "{name:?} can't be a column's name: use letters, digits, `_` and `-`, and no `_` in front"
        ));
    }
    let same = |other: &&String| other.to_lowercase() == name.to_lowercase();
    if let Some(other) = columns.iter().find(same) {
        return Err(format!(
            "columns {other:?} and {name:?} differ by case at most; rename one"
        ));
    }
    columns.push(name.to_owned());
    Ok(())
}

fn bad_line(path: &Path, line: u64, problem: String) -> DimensionError {
    DimensionError::BadLine {
        path: path.to_owned(),
        line,
        problem,
    }
}
