//! Golden cases: folders beside a plugin's source with rows that go in and what must come out.
//!
//! `cases/<name>/` holds `rows.ndjson`, and `expected.ndjson`; where the component is to refuse its
//! params or fail, `error.txt` instead. `params.json` and a file for each dimension may stand there;
//! a dimension's file in `cases/` itself is for all cases.

mod difference;
mod expected;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use tracing::subscriber::{NoSubscriber, with_default};

use self::difference::difference;
use self::expected::Expected;
use super::trial::{Generated, Line, Property, Setting, Trial, TrialError};
use crate::plugin::{Cause, Component, Limits, PluginError};

const ROWS: &str = "rows.ndjson";
const PARAMS: &str = "params.json";

/// Why a case could not be run, whatever the component does.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CaseError {
    #[error("{action} {}", path.display())]
    File {
        action: &'static str,
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{}:{line}: {problem}", path.display())]
    Wrong {
        path: PathBuf,
        line: usize,
        problem: String,
    },
    #[error("{}: {source}", case.display())]
    Trial {
        case: PathBuf,
        source: Box<TrialError>,
    },
}

/// What came of a case.
#[derive(Debug)]
pub struct Outcome {
    pub name: String,
    pub rows: usize,
    /// What differs from what is expected, for people. Empty: nothing.
    pub difference: Vec<String>,
    pub properties: Vec<Property>,
    /// What was tried over rows that nobody wrote.
    pub generated: Generated,
    pub notes: Vec<String>,
    /// The expectation was written anew.
    pub blessed: bool,
    /// The answer is another one than was expected, and may be the right one.
    pub may_be_right: bool,
    /// Why the component failed on rows, where it did.
    pub causes: BTreeSet<Cause>,
}

impl Outcome {
    /// Of a case that can't be read, and why.
    pub fn unread(case: &Path, why: String) -> Self {
        Self {
            difference: vec![why],
            ..Self::of(case)
        }
    }

    fn of(case: &Path) -> Self {
        let name = case.file_name().unwrap_or_default().to_string_lossy();
        Self {
            name: name.into_owned(),
            rows: 0,
            difference: Vec::new(),
            properties: Vec::new(),
            generated: Generated::default(),
            notes: Vec::new(),
            blessed: false,
            may_be_right: false,
            causes: BTreeSet::new(),
        }
    }

    pub fn is_good(&self) -> bool {
        self.difference.is_empty() && self.holds()
    }

    /// Whether all holds that must, whatever the rule.
    pub fn holds(&self) -> bool {
        self.properties.iter().all(|p| p.broken.is_none()) && self.generated.found.is_none()
    }
}

/// The cases of a plugin, sorted.
///
/// # Errors
/// A folder that can't be read.
pub fn find(plugin: &Path) -> Result<Vec<PathBuf>, CaseError> {
    let folder = plugin.join("cases");
    let failed = |source| CaseError::File {
        action: "read folder",
        path: folder.clone(),
        source,
    };
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut cases = Vec::new();
    for entry in fs::read_dir(&folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_dir() {
            cases.push(path);
        }
    }
    cases.sort();
    Ok(cases)
}

/// How cases are run.
#[derive(Clone, Copy, Debug)]
pub struct How {
    /// What comes out is what is expected from now on.
    pub bless: bool,
    /// What the rows that nobody wrote come of.
    pub seed: u64,
    /// How many of these there are for each case.
    pub generate: usize,
}

/// Runs a case.
///
/// # Errors
/// Files that are missing or can't be read.
pub fn run(
    component: &Component,
    limits: &Limits,
    case: &Path,
    how: How,
) -> Result<Outcome, CaseError> {
    let mut outcome = Outcome::of(case);
    let found = attempt(component, limits, case, how, &mut outcome)?;
    if how.bless {
        outcome.blessed = found.write(case)?;
        return Ok(outcome);
    }
    let expected = Expected::read(case, &found.fields)?;
    outcome.difference = match (expected, &found.made) {
        (Some(expected), _) => difference(&expected, &found),
        (None, Ok(_)) => vec![
            "nothing is expected yet: `--bless` writes expected.ndjson; then read it".to_owned(),
        ],
        (None, Err(failure)) => vec![
            format!("+ {}", failure.problem),
            "nothing is expected yet: if that is to be, write a part of it into error.txt"
                .to_owned(),
        ],
    };
    outcome.may_be_right = found.made.is_ok() && !outcome.difference.is_empty();
    Ok(outcome)
}

/// What a case's rows become, or why they become nothing.
struct Found {
    /// The rows as they were written.
    texts: Vec<String>,
    made: Result<Vec<Line>, Failure>,
    /// The fields that a line may have; empty where that is not known.
    fields: Vec<String>,
}

/// Why nothing came out.
struct Failure {
    problem: String,
    /// The first row, counted from 0, that brings it about alone.
    row: Option<usize>,
}

fn attempt(
    component: &Component,
    limits: &Limits,
    case: &Path,
    how: How,
    outcome: &mut Outcome,
) -> Result<Found, CaseError> {
    let rows = read(&case.join(ROWS))?;
    let params = case.join(PARAMS);
    let params = match params.is_file() {
        true => String::from_utf8_lossy(&read(&params)?).into_owned(),
        false => "{}".to_owned(),
    };
    let failed = |problem: String| {
        Ok(Found {
            texts: Vec::new(),
            made: Err(Failure { problem, row: None }),
            fields: Vec::new(),
        })
    };
    let configured = match component.configure(&params, limits) {
        Ok(configured) => configured,
        // In the component's own words, as far as they are its own.
        Err(PluginError::Params { problem }) => return failed(problem),
        Err(error) => return failed(error.to_string()),
    };
    let wrong = |source| match source {
        TrialError::Row { line, problem } => CaseError::Wrong {
            path: case.join(ROWS),
            line,
            problem,
        },
        source => CaseError::Trial {
            case: case.to_owned(),
            source: Box::new(source),
        },
    };
    let shared = case.parent().unwrap_or(case);
    let setting = Setting::of_component(&configured.description, &[case, shared]).map_err(wrong)?;
    let trial = Trial::new(&outcome.name, configured, setting).map_err(wrong)?;
    let rows = trial.read(&rows).map_err(wrong)?;
    outcome.rows = rows.len();
    outcome.notes = trial.notes().to_vec();
    let made = match trial.run(&rows) {
        Ok(lines) => {
            outcome
                .causes
                .extend(lines.iter().filter_map(|line| line.failed));
            // What it logs about these rows was said above.
            with_default(NoSubscriber::default(), || {
                outcome.properties = trial.properties(&rows)?;
                outcome.generated = trial.generated(&rows, how.seed, how.generate)?;
                Ok(())
            })
            .map_err(wrong)?;
            Ok(lines)
        }
        Err(TrialError::Group {
            problem,
            row,
            cause,
        }) => {
            outcome.causes.extend(cause);
            Err(Failure { problem, row })
        }
        Err(error) => return Err(wrong(error)),
    };
    Ok(Found {
        texts: rows.texts,
        made,
        fields: trial.fields(),
    })
}

fn read(path: &Path) -> Result<Vec<u8>, CaseError> {
    fs::read(path).map_err(|source| CaseError::File {
        action: "read",
        path: path.to_owned(),
        source,
    })
}
