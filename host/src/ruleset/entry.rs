//! One row of the `rulesets` table: a change, who made it, when and why.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{
    Array, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;

use super::RuleSetError;
use crate::medallion::definition::Definition;
use crate::medallion::layer::column;
use crate::medallion::rules::timestamp_type;
use crate::names::{Digest, Offset, Partition, RuleSetNumber};

/// Who changed something, and why: for the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    pub by: String,
    pub why: String,
}

/// Rows of a partition that another rule set judges than the one that they were pinned to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repin {
    pub partition: Partition,
    pub from: Offset,
    pub to: Offset,
    pub number: RuleSetNumber,
}

/// What made a rule set the active one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A pipeline's TOML at a host's start.
    Toml,
    /// Somebody had a staged set take over.
    Promotion { of: RuleSetNumber },
    /// Somebody had an earlier set take over again.
    Rollback { of: RuleSetNumber },
    /// New rows of a dimension; the rules are those of before.
    Dimension,
    /// A host could not take the set `failed` up, so the one before it judges again.
    Failure {
        failed: RuleSetNumber,
        of: RuleSetNumber,
    },
}

/// One change that the table holds.
#[derive(Clone, Debug)]
pub(super) enum Entry {
    /// A set that waits for its promotion, made while `base` was active.
    Stage {
        definition: Arc<Definition>,
        base: Option<RuleSetNumber>,
    },
    Activate {
        definition: Arc<Definition>,
        cause: Cause,
    },
    /// A staged set begins to judge beside the active one, or ends to. There is one at a time.
    Shadow {
        of: RuleSetNumber,
        begins: bool,
    },
    /// A staged set that can't be promoted; why is the reason.
    Fail {
        number: RuleSetNumber,
    },
    /// The TOML at a host's start said what this set is, and nothing was to be activated for it.
    Toml {
        of: RuleSetNumber,
    },
    Repin(Repin),
}

/// Definitions that were read, each of which many rows may say.
#[derive(Clone, Default)]
pub(super) struct Definitions(Arc<Mutex<HashMap<Digest, Arc<Definition>>>>);

impl Definitions {
    fn read(&self, text: &str) -> serde_json::Result<Arc<Definition>> {
        let digest = Digest::of(text.as_bytes());
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.get(&digest) {
            return Ok(known.clone());
        }
        let definition: Arc<Definition> = Arc::new(serde_json::from_str(text)?);
        known.insert(digest, definition.clone());
        Ok(definition)
    }
}

/// A change with its number, moment (µs) and author.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub version: i64,
    pub at: i64,
    pub who: Who,
    pub entry: Entry,
}

/// The table's columns. An older table lacks the last ones until something is added to it. All
/// activations are of one `kind`, so that a host of an older version follows every one of them.
pub(super) fn schema() -> Schema {
    Schema::new(vec![
        Field::new("number", DataType::Int64, false),
        Field::new("kind", DataType::Utf8, false),
        Field::new("at", timestamp_type(), false),
        Field::new("by", DataType::Utf8, false),
        Field::new("why", DataType::Utf8, true),
        Field::new("definition", DataType::Utf8, true),
        Field::new("topic", DataType::Utf8, true),
        Field::new("source", DataType::Utf8, true),
        Field::new("partition", DataType::Int32, true),
        Field::new("from_offset", DataType::Int64, true),
        Field::new("to_offset", DataType::Int64, true),
        Field::new("ruleset", DataType::Int64, true),
        Field::new("cause", DataType::Utf8, true),
        Field::new("failed", DataType::Int64, true),
        Field::new("digest", DataType::Utf8, true),
    ])
}

/// What of a row depends on the kind of its change.
#[derive(Default)]
struct Row<'a> {
    kind: &'static str,
    definition: Option<&'a Definition>,
    ruleset: Option<RuleSetNumber>,
    cause: Option<&'static str>,
    failed: Option<RuleSetNumber>,
    repin: Option<&'a Repin>,
}

impl Entry {
    fn row(&self) -> Row<'_> {
        match self {
            Self::Stage { definition, base } => Row {
                kind: "stage",
                definition: Some(definition),
                ruleset: *base,
                ..Row::default()
            },
            Self::Activate { definition, cause } => {
                let (name, of, failed) = match cause {
                    Cause::Toml => ("toml", None, None),
                    Cause::Promotion { of } => ("promotion", Some(*of), None),
                    Cause::Rollback { of } => ("rollback", Some(*of), None),
                    Cause::Dimension => ("dimension", None, None),
                    Cause::Failure { failed, of } => ("failure", Some(*of), Some(*failed)),
                };
                Row {
                    kind: "activate",
                    definition: Some(definition),
                    ruleset: of,
                    cause: Some(name),
                    failed,
                    ..Row::default()
                }
            }
            Self::Shadow { of, begins } => Row {
                kind: match begins {
                    true => "shadow",
                    false => "shadow-end",
                },
                ruleset: Some(*of),
                ..Row::default()
            },
            Self::Fail { number } => Row {
                kind: "fail",
                failed: Some(*number),
                ..Row::default()
            },
            Self::Toml { of } => Row {
                kind: "toml",
                ruleset: Some(*of),
                ..Row::default()
            },
            Self::Repin(repin) => Row {
                kind: "re-pin",
                ruleset: Some(repin.number),
                repin: Some(repin),
                ..Row::default()
            },
        }
    }
}

impl Stored {
    /// As a row of the table.
    pub fn row(&self) -> Result<RecordBatch, ArrowError> {
        let row = self.entry.row();
        let definition = row.definition.map(serde_json::to_string).transpose();
        let definition = definition.map_err(|error| ArrowError::ExternalError(Box::new(error)))?;
        let digest = definition
            .as_ref()
            .map(|text| Digest::of(text.as_bytes()).to_string());
        let place = row.repin.map(|repin| &repin.partition);
        let text = |text: Option<&str>| Arc::new(StringArray::from(vec![text]));
        let number = |number: Option<i64>| Arc::new(Int64Array::from(vec![number]));
        RecordBatch::try_new(
            Arc::new(schema()),
            vec![
                number(Some(self.version)),
                text(Some(row.kind)),
                Arc::new(TimestampMicrosecondArray::from(vec![self.at]).with_timezone("UTC")),
                text(Some(&self.who.by)),
                text(Some(&self.who.why)),
                text(definition.as_deref()),
                text(place.map(|place| &*place.topic)),
                text(place.map(|place| &*place.source)),
                Arc::new(Int32Array::from(vec![place.map(|place| place.number)])),
                number(row.repin.map(|repin| repin.from)),
                number(row.repin.map(|repin| repin.to)),
                number(row.ruleset.map(|set| set.0)),
                text(row.cause),
                number(row.failed.map(|set| set.0)),
                text(digest.as_deref()),
            ],
        )
    }

    /// Reads a row. `None`: a kind that this version does not know, and need not.
    ///
    /// # Errors
    /// A definition that this version can't read.
    pub fn of(
        rows: &RecordBatch,
        row: usize,
        table: &str,
        definitions: &Definitions,
    ) -> Result<Option<Self>, RuleSetError> {
        let text = |name: &str| {
            let column = column::<StringArray>(rows, name)?;
            column.is_valid(row).then(|| column.value(row).to_owned())
        };
        let number = |name: &str| {
            let column = column::<Int64Array>(rows, name)?;
            column.is_valid(row).then(|| column.value(row))
        };
        let version = number("number").unwrap_or_default();
        let unreadable = |detail: String| RuleSetError::Unreadable {
            number: version,
            table: table.to_owned(),
            detail,
        };
        let definition = || {
            let read = definitions.read(&text("definition").unwrap_or_default());
            read.map_err(|error| unreadable(error.to_string()))
        };
        let set = |name: &str| number(name).map(RuleSetNumber);
        let of = set("ruleset");
        let named = of.unwrap_or(RuleSetNumber(0));
        let failed = set("failed").unwrap_or(RuleSetNumber(0));
        let entry = match text("kind").as_deref() {
            Some("stage") => Entry::Stage {
                definition: definition()?,
                base: of,
            },
            Some("activate") => Entry::Activate {
                definition: definition()?,
                cause: match text("cause").as_deref() {
                    // Tables of older versions say none: all their sets were taken from a TOML.
                    None | Some("toml") => Cause::Toml,
                    Some("promotion") => Cause::Promotion { of: named },
                    Some("rollback") => Cause::Rollback { of: named },
                    Some("dimension") => Cause::Dimension,
                    Some("failure") => Cause::Failure { failed, of: named },
                    Some(other) => {
                        return Err(unreadable(format!("its cause is {other:?}")));
                    }
                },
            },
            Some(kind @ ("shadow" | "shadow-end")) => Entry::Shadow {
                of: named,
                begins: kind == "shadow",
            },
            Some("fail") => Entry::Fail { number: failed },
            Some("toml") => Entry::Toml { of: named },
            Some("re-pin") => Entry::Repin(Repin {
                partition: Partition {
                    topic: text("topic").unwrap_or_default().into(),
                    source: text("source").unwrap_or_default().into(),
                    number: column::<Int32Array>(rows, "partition")
                        .map_or(0, |column| column.value(row)),
                },
                from: number("from_offset").unwrap_or_default(),
                to: number("to_offset").unwrap_or_default(),
                number: named,
            }),
            _ => return Ok(None),
        };
        let at = column::<TimestampMicrosecondArray>(rows, "at");
        Ok(Some(Self {
            version,
            at: at.map_or(0, |column| column.value(row)),
            who: Who {
                by: text("by").unwrap_or_default(),
                why: text("why").unwrap_or_default(),
            },
            entry,
        }))
    }
}
