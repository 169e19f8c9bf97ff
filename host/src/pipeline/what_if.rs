//! What another rule set would have made of messages that are in bronze. It works on the lake alone,
//! whether hosts run or not, and writes nothing.

mod scope;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Int32Array, Int64Array, StringArray};
use arrow::compute::filter_record_batch;
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use serde_json::{Value, json};
use tokio::task::block_in_place;

pub use self::scope::{Scope, ScopeError, Written};
use crate::lake::{File, Lake, LakeError, Table};
use crate::medallion::compare::{CompareError, Comparer, Comparison};
use crate::medallion::cut::message_schema;
use crate::medallion::gold::by_rule_set;
use crate::medallion::layer::{LayerError, column};
use crate::medallion::rules::Rules;
use crate::names::{Offset, Partition, RuleSetNumber, Tenant};
use crate::ruleset::{Registry, RuleSetError};

/// Why it can't be told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WhatIfError {
    #[error(transparent)]
    Lake(#[from] LakeError),
    #[error(transparent)]
    RuleSet(#[from] RuleSetError),
    #[error("{0}; with it, the tenant would stop there: mend it and stage it again")]
    Compare(#[source] Box<CompareError>),
    #[error(transparent)]
    Layer(#[from] LayerError),
    #[error("no rule set is active; see `assay rules history`")]
    NoActive,
    #[error("tenant {tenant} has no bronze table in this lake; name the lake with --lake")]
    NoBronze { tenant: Tenant },
    #[error(transparent)]
    Scope(#[from] ScopeError),
    #[error("{text:?} is no rule set: give its number, or `pinned` for each row's own")]
    Against { text: String },
    #[error("there are more than {most} messages in that range")]
    TooMany { most: u64 },
}

impl From<CompareError> for WhatIfError {
    fn from(error: CompareError) -> Self {
        Self::Compare(Box::new(error))
    }
}

/// What the rule set is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Against {
    Set(RuleSetNumber),
    /// For each row, the set that judged it.
    Pinned,
}

impl Against {
    /// Reads a rule set's number or `pinned`; without either it is the active one.
    ///
    /// # Errors
    /// What is neither, a number that there is not, and a lake that can't be read.
    pub async fn of(text: Option<&str>, registry: &mut Registry) -> Result<Self, WhatIfError> {
        let Some(text) = text else {
            return registry
                .active()
                .map(Self::Set)
                .ok_or(WhatIfError::NoActive);
        };
        if text == "pinned" {
            return Ok(Self::Pinned);
        }
        let number = text.parse().map(RuleSetNumber);
        let number = number.map_err(|_| WhatIfError::Against {
            text: text.to_owned(),
        })?;
        registry.reach(number).await?;
        registry.set(number)?;
        Ok(Self::Set(number))
    }
}

impl std::fmt::Display for Against {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Set(number) => write!(f, "{number}"),
            Self::Pinned => f.write_str("each row's own"),
        }
    }
}

/// What was found, as JSON: for scripts and for the server.
pub fn answer(
    tenant: &Tenant,
    number: RuleSetNumber,
    against: Against,
    found: &Comparison,
) -> Value {
    json!({
        "tenant": tenant, "number": number, "against": against.to_string(), "comparison": found,
    })
}

/// How far it is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    pub files: usize,
    pub of_files: usize,
    pub messages: u64,
}

/// Compares what `number` would have made of messages in bronze with what `against` makes of them.
///
/// # Errors
/// A rule set that there is not or that can't judge the messages, more of them than the scope
/// allows, or a lake that can't be read.
pub async fn what_if(
    lake: &Lake,
    tenant: &Tenant,
    registry: &mut Registry,
    number: RuleSetNumber,
    against: Against,
    scope: &Scope,
    mut progress: impl FnMut(Progress),
) -> Result<Comparison, WhatIfError> {
    let bronze = lake.open_table(&format!("{tenant}/bronze")).await?;
    let bronze = bronze.ok_or_else(|| WhatIfError::NoBronze {
        tenant: tenant.clone(),
    })?;
    let files: Vec<File> = bronze
        .files()
        .filter(|file| scope.may_lie_in(file))
        .cloned()
        .collect();
    let too_many = WhatIfError::TooMany { most: scope.most };
    if files.iter().map(|file| scope.least_in(file)).sum::<u64>() > scope.most {
        return Err(too_many);
    }
    let ready = registry.begin(number).await?.await;
    let after = ready.map_err(|_| RuleSetError::Interrupted)?;
    let after = after.map_err(|source| RuleSetError::Rules { number, source })?;
    let mut asked = Asked {
        registry,
        against,
        after: Arc::new(after),
        comparers: BTreeMap::new(),
    };
    let mut done = Progress {
        files: 0,
        of_files: files.len(),
        messages: 0,
    };
    for file in &files {
        let mut rows = stream(&bronze, file);
        while let Some(rows) = rows.next().await? {
            let rows = filter_record_batch(&rows, &scope.holds(&rows)).map_err(LayerError::from)?;
            done.messages += rows.num_rows() as u64;
            if done.messages > scope.most {
                return Err(too_many);
            }
            asked.compare(&rows).await?;
            progress(done);
        }
        done.files += 1;
    }
    progress(done);
    let mut all = Comparison::default();
    for comparer in asked.comparers.values_mut() {
        all.merge(block_in_place(|| comparer.comparison())?);
    }
    Ok(all)
}

struct Asked<'a> {
    registry: &'a mut Registry,
    against: Against,
    after: Arc<Rules>,
    /// By the set that they compare with.
    comparers: BTreeMap<RuleSetNumber, Comparer>,
}

impl Asked<'_> {
    async fn compare(&mut self, rows: &RecordBatch) -> Result<(), WhatIfError> {
        let parts = match self.against {
            Against::Set(set) => BTreeMap::from([(set.0, rows.clone())]),
            Against::Pinned => by_rule_set(&self.re_pinned(rows)?)?,
        };
        for (number, rows) in parts {
            if rows.num_rows() == 0 {
                continue;
            }
            let number = RuleSetNumber(number);
            if !self.comparers.contains_key(&number) {
                let before = self.registry.rules(number).await?;
                let comparer = Comparer::new(before, self.after.clone());
                self.comparers.insert(number, comparer);
            }
            if let Some(comparer) = self.comparers.get_mut(&number) {
                let messages = messages(&rows)?;
                block_in_place(|| comparer.compare(&messages))?;
            }
        }
        Ok(())
    }

    /// Rows whose `_ruleset` says which set judges them, after all.
    fn re_pinned(&self, rows: &RecordBatch) -> Result<RecordBatch, LayerError> {
        let pinned = column::<Int64Array>(rows, "_ruleset");
        let (Some(pinned), true) = (pinned, self.registry.has_repins()) else {
            return Ok(rows.clone());
        };
        let numbers = (0..rows.num_rows()).map(|row| {
            let number = RuleSetNumber(pinned.value(row));
            match place(rows, row) {
                Some((at, offset)) => self.registry.judging(&at, offset, number).0.0,
                None => number.0,
            }
        });
        let numbers = Int64Array::from_iter_values(numbers);
        let mut columns = rows.columns().to_vec();
        let at = rows.schema().index_of("_ruleset")?;
        if let Some(held) = columns.get_mut(at) {
            *held = Arc::new(numbers);
        }
        Ok(RecordBatch::try_new(rows.schema(), columns)?)
    }
}

fn place(rows: &RecordBatch, row: usize) -> Option<(Partition, Offset)> {
    let text = |name| column::<StringArray>(rows, name).map(|texts| texts.value(row));
    let partition = Partition {
        topic: text("_topic")?.into(),
        source: text("_source")?.into(),
        number: column::<Int32Array>(rows, "_partition")?.value(row),
    };
    Some((partition, column::<Int64Array>(rows, "_offset")?.value(row)))
}

fn messages(rows: &RecordBatch) -> Result<RecordBatch, LayerError> {
    let schema = message_schema();
    let fields = schema.fields().iter();
    let columns = fields.filter_map(|field| rows.column_by_name(field.name()).cloned());
    Ok(RecordBatch::try_new(schema.clone(), columns.collect())?)
}

/// A file's messages as they are read, some at a time: a packed file holds more than memory should.
struct Stream {
    rows: tokio::sync::mpsc::Receiver<RecordBatch>,
    reading: tokio::task::JoinHandle<Result<(), LakeError>>,
}

fn stream(bronze: &Table, file: &File) -> Stream {
    let (reader, file) = (bronze.reader(), file.clone());
    let (sender, rows) = tokio::sync::mpsc::channel(2);
    let reading = tokio::spawn(async move {
        let schema = message_schema();
        let mut names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
        names.push("_ruleset");
        let all = ("_offset", Offset::MIN..Offset::MAX);
        let send = |to: &mut tokio::sync::mpsc::Sender<RecordBatch>, rows: &RecordBatch| {
            to.blocking_send(rows.clone())
                .map_err(|error| ArrowError::ExternalError(Box::new(error)))
        };
        let read = reader.gather(&file, Some(&names), all, sender, send).await;
        read.map(drop)
    });
    Stream { rows, reading }
}

impl Stream {
    async fn next(&mut self) -> Result<Option<RecordBatch>, LakeError> {
        if let Some(rows) = self.rows.recv().await {
            return Ok(Some(rows));
        }
        (&mut self.reading).await?.map(|()| None)
    }
}
