//! What hosts found of a shadow: one object for each host and each time that it began there, beside
//! the `rulesets` table, in a folder that readers of Delta tables pass over.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::lake::{Lake, LakeError};
use crate::medallion::compare::Comparison;
use crate::names::{RuleSetNumber, Tenant};
use crate::ruleset::{Registry, RuleSetError};

/// What one host found since the shadow began there.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    pub number: RuleSetNumber,
    /// The set that judged meanwhile.
    pub against: RuleSetNumber,
    /// Microseconds since 1970.
    pub since: i64,
    pub until: i64,
    pub coverage: Coverage,
    pub comparison: Comparison,
}

/// How much of what came in was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    pub batches: u64,
    /// Batches, and their messages, that were left out: there was no time for them, or the set that
    /// judges could not judge them.
    pub batches_left_out: u64,
    pub messages_left_out: u64,
    /// CPU time of the thread, in milliseconds.
    pub cpu_millis: u64,
}

/// What all hosts found.
#[derive(Clone, Debug, Serialize)]
pub struct Merged {
    pub number: RuleSetNumber,
    /// The sets that judged meanwhile: their rules are the same, and rows of dimensions may differ.
    pub against: BTreeSet<RuleSetNumber>,
    /// How often a host began.
    pub starts: u64,
    pub since: i64,
    pub until: i64,
    pub coverage: Coverage,
    pub comparison: Comparison,
}

/// Where the reports of all sets are, each in a folder of its number.
pub(super) fn reports(tenant: &Tenant) -> String {
    format!("{tenant}/rulesets/_shadow")
}

pub(super) fn folder(tenant: &Tenant, number: RuleSetNumber) -> String {
    format!("{}/{number}", reports(tenant))
}

impl Report {
    /// Writes it in the place of what it was. `id` is the host's and the start's own.
    ///
    /// # Errors
    /// A lake that can't be written.
    pub async fn write(&self, lake: &Lake, tenant: &Tenant, id: &str) -> Result<(), LakeError> {
        let path = format!("{}/{id}.json", folder(tenant, self.number));
        // Nothing in it has no JSON.
        let text = serde_json::to_vec(self).unwrap_or_default();
        lake.replace_object(&path, text.into()).await
    }
}

/// Every report of a set. One that can't be read, as of another version of assay, is passed over.
///
/// # Errors
/// A lake that can't be read.
async fn read(
    lake: &Lake,
    tenant: &Tenant,
    number: RuleSetNumber,
) -> Result<Vec<Report>, LakeError> {
    let mut reports = Vec::new();
    for path in lake.list_objects(&folder(tenant, number)).await? {
        let Some(bytes) = lake.get_blob(&path).await? else {
            continue;
        };
        match serde_json::from_slice(&bytes) {
            Ok(report) => reports.push(report),
            Err(error) => tracing::warn!(path, %error, "a shadow's report can't be read"),
        }
    }
    Ok(reports)
}

/// What all hosts found of a set beside `against`, or without it, beside the last set that it was a
/// shadow of. `None`: nothing yet.
///
/// # Errors
/// A lake that can't be read.
pub async fn merged(
    lake: &Lake,
    tenant: &Tenant,
    registry: &mut Registry,
    number: RuleSetNumber,
    against: Option<RuleSetNumber>,
) -> Result<Option<Merged>, RuleSetError> {
    let mut reports = read(lake, tenant, number).await?;
    let last = reports.iter().map(|report| report.against).max();
    let Some(against) = against.or(last) else {
        return Ok(None);
    };
    for report in &reports {
        registry.reach(report.against).await?;
    }
    reports
        .retain(|report| report.against == against || registry.are_alike(report.against, against));
    Ok(reports.into_iter().fold(None, |all, report| {
        let mut all = all.unwrap_or_else(|| Merged {
            number,
            against: BTreeSet::new(),
            starts: 0,
            since: report.since,
            until: report.until,
            coverage: Coverage::default(),
            comparison: Comparison::default(),
        });
        all.add(report);
        Some(all)
    }))
}

impl Merged {
    fn add(&mut self, report: Report) {
        self.against.insert(report.against);
        self.starts += 1;
        self.since = self.since.min(report.since);
        self.until = self.until.max(report.until);
        self.coverage.batches += report.coverage.batches;
        self.coverage.batches_left_out += report.coverage.batches_left_out;
        self.coverage.messages_left_out += report.coverage.messages_left_out;
        self.coverage.cpu_millis += report.coverage.cpu_millis;
        self.comparison.merge(report.comparison);
    }
}
