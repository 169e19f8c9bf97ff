//! A component on the author's own rows: decoded, looked up, judged and folded by the code that a
//! tenant's batches go through. Nothing is written anywhere.

mod chance;
mod difference;
mod generated;
mod lines;
mod properties;
mod rows;
mod setting;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{Field, Schema};

pub use generated::{Found, Generated};
pub use lines::Line;
pub use properties::{Broken, Property};
pub use rows::{Malformed, Rows};
pub use setting::Setting;

use crate::medallion::dimension::DimensionError;
use crate::medallion::gold::{self, States};
use crate::medallion::judge::{JudgeError, ask, inputs};
use crate::medallion::layer::LayerError;
use crate::medallion::rules::{GoldRule, Only, RowRule, Rules, RulesError};
use crate::plugin::{CallError, Cause, Configured, Cost, Description, Load};

/// Why a component could not be tried on some rows.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrialError {
    #[error("read {}", path.display())]
    File {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("line {line}: {problem}")]
    Row { line: usize, problem: String },
    #[error(transparent)]
    Unfit(#[from] RulesError),
    #[error(transparent)]
    Dimension(#[from] DimensionError),
    #[error(transparent)]
    Call(#[from] CallError),
    #[error(transparent)]
    Judge(#[from] JudgeError),
    /// Folding, merging or finishing failed.
    #[error("{problem}")]
    Group {
        problem: String,
        /// The number of the first row that fails also alone, counted from 0.
        row: Option<usize>,
        /// What of the component it was, if it was its doing.
        cause: Option<Cause>,
    },
    #[error("the rows of a dimension can't be read: {0}")]
    Blob(#[from] parquet::errors::ParquetError),
    #[error("putting columns together: {0}")]
    Arrow(#[from] arrow::error::ArrowError),
}

/// A configured component in its setting.
pub struct Trial {
    only: Subject,
    rules: Rules,
    schema: rows::RowSchema,
}

enum Subject {
    Rows(RowRule),
    Groups(GoldRule),
}

impl Trial {
    /// Binds a component to what is around it.
    ///
    /// # Errors
    /// What the component reads and can't have, as a tenant's pipeline would be told.
    pub fn new(name: &str, configured: Configured, setting: Setting) -> Result<Self, TrialError> {
        let step = configured.step().as_str();
        let name = name.to_owned();
        let only = match configured.description.clone() {
            Description::Rows(description) => Subject::Rows(RowRule {
                name,
                step,
                configured,
                description,
            }),
            Description::Groups(description) => Subject::Groups(GoldRule {
                table: name.clone(),
                partition_by: Vec::new(),
                name,
                configured,
                description,
            }),
        };
        let (schema, given) = rows::RowSchema::of(&only, &setting);
        let (definition, dimensions) = setting.into_parts();
        let bound = match &only {
            Subject::Rows(rule) => Only::Rows(rule),
            Subject::Groups(rule) => Only::Groups(rule),
        };
        let rules = Rules::alone(definition, dimensions, &given, &bound)?;
        Ok(Self {
            only,
            rules,
            schema,
        })
    }

    /// What is not an error, but may surprise: a dimension without rows, a field that it lacks.
    pub fn notes(&self) -> &[String] {
        &self.rules.notes
    }

    /// The fields that a line of [`Trial::run`] can have.
    pub fn fields(&self) -> Vec<String> {
        match &self.only {
            Subject::Rows(rule) => {
                let writes = (!rule.description.writes.is_empty()).then_some("writes");
                let fields = ["row"].into_iter().chain(writes);
                let fields = fields.chain(["verdicts", "failed"]);
                fields.map(str::to_owned).collect()
            }
            Subject::Groups(rule) => {
                let measures = rule.description.measures.iter().map(|field| &field.name);
                rule.description
                    .keys
                    .iter()
                    .chain(measures)
                    .cloned()
                    .collect()
            }
        }
    }

    /// Reads rows from NDJSON, as the host reads messages.
    ///
    /// # Errors
    /// A line that is no JSON object.
    pub fn read(&self, ndjson: &[u8]) -> Result<Rows, TrialError> {
        let (rows, malformed) = self.read_well_formed(ndjson)?;
        match malformed.into_iter().next() {
            None => Ok(rows),
            Some(Malformed { line, problem, .. }) => Err(TrialError::Row { line, problem }),
        }
    }

    /// Reads rows from NDJSON, and apart from them the lines that are malformed: the host puts these
    /// into quarantine, and no component sees them.
    ///
    /// # Errors
    /// What is not the rows' doing.
    pub fn read_well_formed(&self, ndjson: &[u8]) -> Result<(Rows, Vec<Malformed>), TrialError> {
        self.read_messages(&rows::Messages::of_ndjson(ndjson))
    }

    /// Reads rows of a tenant's bronze table, and apart from them those that are malformed.
    ///
    /// # Errors
    /// Columns that are not bronze's.
    pub fn read_bronze(&self, bronze: &RecordBatch) -> Result<(Rows, Vec<Malformed>), TrialError> {
        self.read_messages(&rows::Messages::of_bronze(bronze)?)
    }

    fn read_messages(
        &self,
        messages: &rows::Messages,
    ) -> Result<(Rows, Vec<Malformed>), TrialError> {
        let decoded = self.schema.decode(messages);
        let all = self.schema.rows(&self.rules, messages, &decoded)?;
        if decoded.malformed.is_empty() {
            return Ok((all, Vec::new()));
        }
        let mut malformed = Vec::with_capacity(decoded.malformed.len());
        let mut bad = BTreeSet::new();
        for (row, problem) in decoded.malformed {
            let message = decoded.message.get(rows::index(row)).copied();
            bad.insert(row);
            malformed.push(Malformed {
                row: rows::index(row),
                line: message.map_or(0, |message| messages.line(message)),
                problem,
                text: all.text(rows::index(row)).unwrap_or_default().to_owned(),
            });
        }
        let rows = u32::try_from(all.len()).unwrap_or(u32::MAX);
        let good: Vec<u32> = (0..rows).filter(|row| !bad.contains(row)).collect();
        Ok((all.picked(&good)?, malformed))
    }

    /// What the component makes of rows: a line for each row, or for each group by its keys.
    ///
    /// # Errors
    /// What can't be said about any one row.
    pub fn run(&self, rows: &Rows) -> Result<Vec<Line>, TrialError> {
        match &self.only {
            Subject::Rows(rule) => {
                let answer = ask(&self.rules, rule, &rows.columns, rows.len(), 1)?;
                Ok(lines::of_rows(rule, rows, &answer))
            }
            Subject::Groups(rule) => {
                let told = |error| self.told(rule, rows, &error);
                match self.folded(rule, rows).map_err(told)? {
                    Some(states) => self.finished(rule, &states).map_err(told),
                    None => Ok(Vec::new()),
                }
            }
        }
    }

    /// What one call over the rows costs.
    ///
    /// # Errors
    /// A row that the component fails on.
    pub fn measure(&self, rows: &Rows) -> Result<Cost, TrialError> {
        let (configured, inputs, group, groups) = match &self.only {
            Subject::Rows(rule) => {
                let inputs = inputs(&self.rules, rule, &rows.columns, rows.len())?;
                (&rule.configured, inputs, Vec::new(), 0)
            }
            Subject::Groups(rule) => {
                let column = |name: &String| rows.columns.get(name).cloned();
                let reads = rule.description.reads.iter();
                let inputs = reads.map(|field| column(&field.name)).collect();
                let keys: Vec<ArrayRef> = rule.description.keys.iter().filter_map(column).collect();
                let (group, first) = gold::groups(&keys).map_err(|e| self.told(rule, rows, &e))?;
                let groups = u32::try_from(first.len()).unwrap_or(u32::MAX);
                (&rule.configured, inputs, group, groups)
            }
        };
        let load = Load {
            rows: rows.len(),
            columns: &inputs,
            group: &group,
            groups,
        };
        Ok(configured.measure(&load)?)
    }

    fn folded(&self, rule: &GoldRule, rows: &Rows) -> Result<Option<States>, LayerError> {
        gold::merge_all(rule, gold::fold(rule, &batch(rule, &rows.columns)?)?)
    }

    fn finished(&self, rule: &GoldRule, states: &States) -> Result<Vec<Line>, LayerError> {
        let table = gold::recomputed(&self.rules, rule, states)?;
        Ok(lines::of_groups(rule, &table))
    }

    /// What went wrong, and the first row that brings it about alone.
    fn told(&self, rule: &GoldRule, rows: &Rows, error: &LayerError) -> TrialError {
        let problem = match error {
            LayerError::Gold { source, .. } => source.to_string(),
            other => other.to_string(),
        };
        let fails = |row: &usize| {
            let alone = self.folded(rule, &rows.slice(*row, 1));
            let finished = alone.map(|states| states.map(|s| self.finished(rule, &s)));
            !matches!(finished, Ok(None | Some(Ok(_))))
        };
        let cause = match error {
            LayerError::Gold {
                source: CallError::Guest { cause, .. },
                ..
            } => Some(*cause),
            _ => None,
        };
        TrialError::Group {
            problem,
            cause,
            row: (0..rows.len())
                .find(fails)
                .and_then(|place| rows.numbers.get(place).copied()),
        }
    }
}

/// Rows as silver has them, as far as a component reads them.
fn batch(
    rule: &GoldRule,
    columns: &BTreeMap<String, ArrayRef>,
) -> Result<RecordBatch, arrow::error::ArrowError> {
    let (mut fields, mut arrays) = (Vec::new(), Vec::new());
    for field in &rule.description.reads {
        if let Some(column) = columns.get(&field.name) {
            fields.push(Field::new(&field.name, column.data_type().clone(), true));
            arrays.push(column.clone());
        }
    }
    RecordBatch::try_new(std::sync::Arc::new(Schema::new(fields)), arrays)
}
