//! What a case is to come to, as its files say.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::{CaseError, Found, read};

const LINES: &str = "expected.ndjson";
const ERROR: &str = "error.txt";

/// What is expected of a case.
pub(super) enum Expected {
    /// A JSON object a line, with the line as it was written.
    Lines(Vec<(Value, String)>),
    /// Text that the error must contain.
    Error(String),
}

impl Expected {
    /// `None`: the case says nothing yet. A line may have these `fields`, and no others.
    pub(super) fn read(case: &Path, fields: &[String]) -> Result<Option<Self>, CaseError> {
        let error = case.join(ERROR);
        if error.is_file() {
            let text = String::from_utf8_lossy(&read(&error)?).trim().to_owned();
            // Every error contains an empty text.
            return Ok((!text.is_empty()).then_some(Self::Error(text)));
        }
        let path = case.join(LINES);
        if !path.is_file() {
            return Ok(None);
        }
        let text = String::from_utf8_lossy(&read(&path)?).into_owned();
        let mut lines = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() {
                continue;
            }
            let wrong = |problem| CaseError::Wrong {
                path: path.clone(),
                line: number,
                problem,
            };
            let value = serde_json::from_str(line).map_err(|error| wrong(error.to_string()))?;
            check_fields(&value, fields).map_err(wrong)?;
            lines.push((value, line.to_owned()));
        }
        Ok(Some(Self::Lines(lines)))
    }
}

/// # Errors
/// A field that no line has, with those that there are.
fn check_fields(line: &Value, fields: &[String]) -> Result<(), String> {
    let Some(line) = line.as_object() else {
        return Err("a line is a JSON object".to_owned());
    };
    let known = |name: &&String| fields.is_empty() || fields.contains(name);
    let Some(unknown) = line.keys().find(|name| !known(name)) else {
        return Ok(());
    };
    let mut near: Vec<(f64, &String)> = fields
        .iter()
        .map(|field| (strsim::jaro(unknown, field), field))
        .filter(|(likeness, _)| *likeness > 0.7)
        .collect();
    near.sort_by(|one, other| other.0.total_cmp(&one.0));
    let near = near
        .first()
        .map(|(_, field)| format!("did you mean `{field}`? "));
    Err(format!(
        "no line has a field `{unknown}`; {}there are {}",
        near.unwrap_or_default(),
        fields.join(", ")
    ))
}

impl Found {
    /// Makes what was found what is expected. Whether that is something else than before.
    pub(super) fn write(&self, case: &Path) -> Result<bool, CaseError> {
        let (name, other, mut text) = match &self.made {
            Ok(lines) => {
                let lines: Vec<&str> = lines.iter().map(|line| line.json.as_str()).collect();
                (LINES, ERROR, lines.join("\n"))
            }
            Err(failure) => (ERROR, LINES, failure.problem.clone()),
        };
        if !text.is_empty() {
            text.push('\n');
        }
        let path = case.join(name);
        let unchanged = fs::read(&path).is_ok_and(|held| held == text.as_bytes());
        let failed = |action, path: &Path| {
            let path = path.to_owned();
            move |source| CaseError::File {
                action,
                path,
                source,
            }
        };
        if !unchanged {
            fs::write(&path, text).map_err(failed("write", &path))?;
        }
        let other = case.join(other);
        if other.exists() {
            fs::remove_file(&other).map_err(failed("remove", &other))?;
            return Ok(true);
        }
        Ok(!unchanged)
    }
}
