//! What judging makes of a batch: rows that stay out of silver, each with its reason, and the
//! candidates that no rule refused.

use std::collections::BTreeMap;
use std::time::Duration;

use arrow::array::{ArrayRef, BooleanArray};
use arrow::compute::filter;
use arrow::error::ArrowError;

use super::key::KeyHash;

/// A row that stays out of silver, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The row of the batch's messages that it came from.
    pub message: u32,
    pub line: i32,
    pub step: &'static str,
    pub rule: String,
    pub reason: String,
    /// Every rule that the row broke in that step.
    pub rules: Vec<String>,
    pub action: Verdict,
}

/// What is done with a row that stays out of silver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Quarantine,
    Drop,
    Duplicate,
}

impl Verdict {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Quarantine => "quarantine",
            Self::Drop => "drop",
            Self::Duplicate => "duplicate",
        }
    }
}

/// Rows that no rule refused.
#[derive(Clone, Debug)]
pub struct Candidates {
    /// The event's fields and what was written, then `sale_date`.
    pub columns: BTreeMap<String, ArrayRef>,
    /// Where each row came from in the batch's messages.
    pub message: Vec<u32>,
    pub line: Vec<i32>,
    pub content: Vec<[u8; 16]>,
    pub key: Vec<KeyHash>,
    /// Days since 1970.
    pub date: Vec<i32>,
    pub warnings: Vec<Vec<String>>,
}

impl Candidates {
    /// Leaves out the rows that do not stay.
    ///
    /// # Errors
    /// Columns of different lengths.
    pub fn keep(&mut self, stays: &[bool]) -> Result<(), ArrowError> {
        if stays.iter().all(|stay| *stay) {
            return Ok(());
        }
        let mask = BooleanArray::from(stays.to_vec());
        for column in self.columns.values_mut() {
            *column = filter(column, &mask)?;
        }
        keep(&mut self.message, stays);
        keep(&mut self.line, stays);
        keep(&mut self.content, stays);
        keep(&mut self.key, stays);
        keep(&mut self.date, stays);
        keep(&mut self.warnings, stays);
        Ok(())
    }
}

/// A batch, judged.
#[derive(Clone, Debug)]
pub struct Judged {
    pub candidates: Candidates,
    /// In the order of the batch.
    pub refusals: Vec<Refusal>,
    /// How many of the refusals are rows that a component could not be got over.
    pub guilty: usize,
    /// What each component took, in the order of the calls.
    pub spent: Vec<Spent>,
}

/// What a component took of a batch, its look-ups included.
#[derive(Clone, Debug)]
pub struct Spent {
    pub step: &'static str,
    pub name: String,
    pub rows: usize,
    /// Of the processor.
    pub time: Duration,
    pub fuel: u64,
}

/// Leaves out the values that do not stay.
pub(super) fn keep<T>(values: &mut Vec<T>, stays: &[bool]) {
    let mut stay = stays.iter();
    values.retain(|_| stay.next().copied().unwrap_or(true));
}
