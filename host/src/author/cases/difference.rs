//! How what was found differs from what was expected, for people.

use serde_json::Value;

use super::expected::Expected;
use super::{Failure, Found};
use crate::author::trial::Line;

/// Lines that tell the difference; none where there is none. How JSON is spaced, and the order of
/// an object's fields, make none.
pub(super) fn difference(expected: &Expected, found: &Found) -> Vec<String> {
    match (expected, &found.made) {
        (Expected::Error(wanted), Err(failure)) if failure.problem.contains(wanted.as_str()) => {
            Vec::new()
        }
        (Expected::Error(wanted), Err(failure)) => {
            let mut told = vec![format!("- {wanted}")];
            told.extend(of_failure(failure, &found.texts));
            told
        }
        (Expected::Error(wanted), Ok(lines)) => vec![
            format!("- {wanted}"),
            format!("+ no error: {} lines came out", lines.len()),
        ],
        (Expected::Lines(_), Err(failure)) => of_failure(failure, &found.texts),
        (Expected::Lines(wanted), Ok(lines)) => of_lines(wanted, lines, &found.texts),
    }
}

fn of_failure(failure: &Failure, rows: &[String]) -> Vec<String> {
    let mut told = vec![format!("+ {}", failure.problem)];
    if let Some((row, text)) = failure.row.and_then(|row| Some((row, rows.get(row)?))) {
        told.push(format!("  row {} alone brings it about: {text}", row + 1));
    }
    told
}

fn of_lines(wanted: &[(Value, String)], found: &[Line], rows: &[String]) -> Vec<String> {
    let mut told = Vec::new();
    let mut left: Vec<&(Value, String)> = wanted.iter().collect();
    for line in found {
        let place = left.iter().position(|(wanted, _)| is_of(wanted, line));
        let wanted = place.map(|place| left.remove(place));
        let value: Value = serde_json::from_str(&line.json).unwrap_or_default();
        if wanted.is_some_and(|(wanted, _)| *wanted == value) {
            continue;
        }
        told.push(match line.row.and_then(|row| Some((row, rows.get(row)?))) {
            Some((row, text)) => format!("row {}: {text}", row + 1),
            None => format!("group {}", line.of),
        });
        told.extend(wanted.map(|(_, wanted)| format!("  - {wanted}")));
        told.push(format!("  + {}", line.told()));
    }
    for (_, wanted) in left {
        told.push(format!("- {wanted}"));
    }
    told
}

/// Whether an expected line is about the row, or the group, of a line that was found.
fn is_of(wanted: &Value, line: &Line) -> bool {
    let of: Value = serde_json::from_str(&line.of).unwrap_or_default();
    let mut keys = of.as_object().into_iter().flatten();
    keys.all(|(name, value)| wanted.get(name) == Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(store: &str, json: &str) -> Line {
        Line {
            row: None,
            of: format!(r#"{{"store_id":"{store}"}}"#),
            json: json.to_owned(),
            broken: Vec::new(),
            failed: None,
            backtrace: Vec::new(),
        }
    }

    fn expected(lines: &[&str]) -> Expected {
        let lines = lines.iter();
        let read = lines.map(|line| (serde_json::from_str(line).unwrap(), (*line).to_owned()));
        Expected::Lines(read.collect())
    }

    fn found(made: Vec<Line>) -> Found {
        Found {
            texts: Vec::new(),
            made: Ok(made),
            fields: Vec::new(),
        }
    }

    #[test]
    fn spacing_and_the_order_of_fields_make_no_difference() {
        let wanted = expected(&[r#"{ "lines": 1, "store_id": "S1" }"#]);
        let found = found(vec![group("S1", r#"{"store_id":"S1","lines":1}"#)]);
        assert!(difference(&wanted, &found).is_empty());
    }

    #[test]
    fn a_group_is_held_against_its_own_line_and_what_is_left_over_is_told() {
        let one = r#"{"store_id":"S1","lines":1}"#;
        let two = r#"{"store_id":"S2","lines":2}"#;
        let three = r#"{"store_id":"S3","lines":3}"#;
        let wanted = expected(&[two, one]);
        let changed = r#"{"store_id":"S1","lines":9}"#;
        let found = found(vec![group("S1", changed), group("S3", three)]);
        let told = difference(&wanted, &found);
        assert_eq!(
            told,
            [
                r#"group {"store_id":"S1"}"#,
                &format!("  - {one}"),
                &format!("  + {changed}"),
                r#"group {"store_id":"S3"}"#,
                &format!("  + {three}"),
                &format!("- {two}"),
            ]
        );
    }

    #[test]
    fn an_error_must_say_what_is_expected_and_shows_the_row() {
        let failed = Found {
            texts: vec!["{}".to_owned(), r#"{"price":1}"#.to_owned()],
            made: Err(Failure {
                problem: "finish failed: past 64 bits".to_owned(),
                row: Some(1),
            }),
            fields: Vec::new(),
        };
        let wanted = Expected::Error("past 64 bits".to_owned());
        assert!(difference(&wanted, &failed).is_empty());
        let told = difference(&Expected::Error("no floor".to_owned()), &failed);
        assert_eq!(told[0], "- no floor");
        assert!(
            told[2].ends_with(r#"row 2 alone brings it about: {"price":1}"#.trim_start()),
            "{told:?}"
        );
    }
}
