//! Where two answers to the same rows differ, for people.

use serde_json::{Map, Value};

use super::{Line, Rows};

/// What came of rows: lines, or the component's own error.
pub(super) type Made = Result<Vec<Line>, String>;

/// Whether two answers are one. An error is one wherever it comes: it names a group of its call.
pub(super) fn same(one: &Made, other: &Made) -> bool {
    match (one, other) {
        (Ok(one), Ok(other)) => one == other,
        (one, other) => one.is_err() && other.is_err(),
    }
}

/// The first row, or group, about which two answers differ, and each of its fields that does. Each
/// answer has a name.
pub(super) fn difference(rows: &Rows, one: (&str, &Made), other: (&str, &Made)) -> Vec<String> {
    let ((one_name, one), (other_name, other)) = (one, other);
    let (Ok(one), Ok(other)) = (one, other) else {
        return vec![
            format!("{one_name}: {}", of(one)),
            format!("{other_name}: {}", of(other)),
        ];
    };
    let about = |lines: &'_ [Line], of: &str| lines.iter().find(|line| line.of == of).cloned();
    let differing = one.iter().chain(other).find_map(|line| {
        let pair = (about(one, &line.of), about(other, &line.of));
        (pair.0 != pair.1).then_some((line, pair))
    });
    let Some((line, (one, other))) = differing else {
        return vec!["the same lines, in another order".to_owned()];
    };
    let mut told = vec![
        match line.row.and_then(|row| Some((row, rows.text(row)?))) {
            Some((row, text)) => format!("row {}: {text}", row + 1),
            None => format!("group {}", line.of),
        },
    ];
    let (one, other) = (fields(one.as_ref()), fields(other.as_ref()));
    let mut names: Vec<&String> = one.keys().chain(other.keys()).collect();
    names.sort();
    names.dedup();
    for name in names {
        let said = |fields: &Map<String, Value>| {
            let value = fields.get(name);
            value.map_or("not there".to_owned(), Value::to_string)
        };
        if one.get(name) != other.get(name) {
            told.push(format!(
                "  {name}: {} {one_name}, {} {other_name}",
                said(&one),
                said(&other)
            ));
        }
    }
    told
}

fn of(made: &Made) -> String {
    match made {
        Ok(lines) => format!("{} lines, and no error", lines.len()),
        Err(problem) => problem.clone(),
    }
}

/// A line's fields; those that were written stand among them.
fn fields(line: Option<&Line>) -> Map<String, Value> {
    let value = line.map(|line| serde_json::from_str(&line.json).unwrap_or_default());
    let Some(Value::Object(mut fields)) = value else {
        return Map::new();
    };
    if let Some(Value::Object(written)) = fields.remove("writes") {
        fields.extend(written);
    }
    fields
}
