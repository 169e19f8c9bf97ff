//! What silver got and a gold table has not taken in yet: rows, and once there are many of them the
//! states that they fold into.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::compute::concat_batches;
use arrow::record_batch::RecordBatch;

use tokio::task::{JoinError, JoinSet};
use tracing::Instrument as _;

use super::tenant::TenantError;
use crate::lake::{Lake, LakeError};
use crate::medallion::cut::Range;
use crate::medallion::gold::{Gold, Merged, States, by_rule_set, columns_read, fold};
use crate::medallion::layer::LayerError;
use crate::medallion::rules::{GoldRule, Rules};
use crate::names::{Offset, Partition, RuleSetNumber, Tenant};
use crate::ruleset::Registry;

/// Gathered rows are folded once they are so many: states take less memory than rows.
const MOST_ROWS: usize = 131_072;
/// A table is committed at most for one part in so many of the time. Where a commit takes long, as
/// when old sales of all dates come at once, `every` gives way.
const SHARE: u32 = 5;

/// A gold table with what it has not taken in yet.
pub struct Gathered {
    pub gold: Gold,
    every: Duration,
    /// More gathered states than this, in bytes, are committed without waiting for the trigger.
    most_bytes: usize,
    /// From which silver progress to which, by partition.
    ranges: BTreeMap<Partition, (Offset, Offset)>,
    /// The columns that the table is made from, by the rule set that made them.
    rows: Vec<(Arc<Rules>, RecordBatch)>,
    /// What earlier rows folded into.
    states: Vec<States>,
    /// The newest rule set among those that made them.
    latest: Option<Arc<Rules>>,
    since: Option<Instant>,
    /// When the last commit began, and what it took.
    last: Option<(Instant, Duration)>,
    underway: Option<Underway>,
}

/// A commit that is being made. What it needs of the table is merged beside the loop, so that batches
/// land meanwhile; dropped, it ends, and nobody sees what it wrote.
struct Underway {
    ranges: Vec<Range>,
    began: Instant,
    work: JoinSet<Result<Merged, LayerError>>,
    merged: Option<Result<Merged, LayerError>>,
}

impl Gathered {
    pub async fn open(
        lake: &Lake,
        tenant: &Tenant,
        rules: &Rules,
        rule: &GoldRule,
        every: Duration,
        most_bytes: usize,
    ) -> Result<Self, LayerError> {
        Ok(Self {
            gold: Gold::open(lake, tenant, rules, rule).await?,
            every,
            most_bytes,
            ranges: BTreeMap::new(),
            rows: Vec::new(),
            states: Vec::new(),
            latest: None,
            since: None,
            last: None,
            underway: None,
        })
    }

    /// Adds what a batch brought to silver.
    ///
    /// # Errors
    /// The component's own, where the rows are folded.
    pub async fn gather(
        &mut self,
        ranges: &[Range],
        rules: &Arc<Rules>,
        rows: &RecordBatch,
    ) -> Result<(), LayerError> {
        self.since.get_or_insert_with(Instant::now);
        for range in ranges {
            let known = self.ranges.entry(range.partition.clone());
            known.or_insert((range.from, range.to)).1 = range.to;
        }
        let Some(rule) = rules.gold.iter().find(|rule| rule.table == self.gold.name) else {
            return Ok(());
        };
        if rows.num_rows() > 0 {
            let schema = rows.schema();
            let wanted = columns_read(rule);
            let columns: Vec<usize> = wanted
                .iter()
                .filter_map(|name| schema.index_of(name).ok())
                .collect();
            self.rows.push((rules.clone(), rows.project(&columns)?));
        }
        let gathered: usize = self.rows.iter().map(|(_, rows)| rows.num_rows()).sum();
        if gathered >= MOST_ROWS {
            return self.fold().await;
        }
        Ok(())
    }

    /// Adds rows that were read back from silver.
    pub async fn gather_back(
        &mut self,
        partition: &Partition,
        from: Offset,
        to: Offset,
        registry: &mut Registry,
        rows: &[RecordBatch],
    ) -> Result<(), TenantError> {
        let range = Range {
            partition: partition.clone(),
            from,
            to,
        };
        for rows in rows {
            for (number, rows) in by_rule_set(rows)? {
                let rules = registry.rules(RuleSetNumber(number)).await?;
                self.gather(&[], &rules, &rows).await?;
            }
        }
        self.since.get_or_insert_with(Instant::now);
        self.ranges.insert(range.partition, (range.from, range.to));
        Ok(())
    }

    /// Folds the rows, those of a rule set together.
    async fn fold(&mut self) -> Result<(), LayerError> {
        let rows = std::mem::take(&mut self.rows);
        for run in rows.chunk_by(|(one, _), (next, _)| one.number == next.number) {
            let Some((rules, first)) = run.first() else {
                continue;
            };
            let rule = rules.gold.iter().find(|rule| rule.table == self.gold.name);
            if let Some(rule) = rule {
                let rows = concat_batches(&first.schema(), run.iter().map(|(_, rows)| rows))?;
                let share = self.gold.table.share();
                let states = share.here(|| fold(rule, &rows)).await?;
                self.states.extend(states);
                let newer = |latest: &Arc<Rules>| latest.number < rules.number;
                if self.latest.as_ref().is_none_or(newer) {
                    self.latest = Some(rules.clone());
                }
            }
        }
        Ok(())
    }

    /// When the next commit is due: at once where the last one was long ago, and not before the one
    /// that is under way has ended.
    pub fn due(&self) -> Option<Instant> {
        if self.underway.is_some() {
            return None;
        }
        let since = self.since?;
        let rested = self
            .last
            .map(|(began, took)| began + self.every.max(took * SHARE));
        Some(rested.map_or(since, |rested| rested.max(since)))
    }

    /// So much is gathered that no more may be.
    pub fn is_full(&self) -> bool {
        let bytes: usize = self.states.iter().map(States::bytes).sum();
        bytes >= self.most_bytes
    }

    pub fn is_due(&self) -> bool {
        let due = self.due().is_some_and(|due| due <= Instant::now());
        due || (self.is_full() && self.underway.is_none())
    }

    /// Takes all that was gathered into the table. `judging` is the rule set of now, for where nothing
    /// was gathered that says another. Answers with how long that took; `None`: there was nothing.
    ///
    /// # Errors
    /// What the component or the lake says; what was gathered is to be forgotten.
    pub async fn commit(
        &mut self,
        registry: &mut Registry,
        judging: RuleSetNumber,
    ) -> Result<Option<Duration>, TenantError> {
        let before = self.settle().await?;
        self.begin(registry, judging).await?;
        Ok(self.settle().await?.or(before))
    }

    /// Begins to merge what was gathered into the table's partitions, beside whatever else goes on. More
    /// may be gathered meanwhile. Nothing is committed before [`Self::settle`].
    ///
    /// # Errors
    /// As of [`Self::commit`].
    pub async fn begin(
        &mut self,
        registry: &mut Registry,
        judging: RuleSetNumber,
    ) -> Result<(), TenantError> {
        if self.ranges.is_empty() {
            self.since = None;
            return Ok(());
        }
        let began = Instant::now();
        self.fold().await?;
        let ranges: Vec<Range> = self
            .ranges
            .iter()
            .map(|(partition, (from, to))| Range {
                partition: partition.clone(),
                from: *from,
                to: *to,
            })
            .collect();
        let rules = match self.latest.clone() {
            Some(rules) => rules,
            None => registry.rules(judging).await?,
        };
        match rules.gold.iter().find(|rule| rule.table == self.gold.name) {
            Some(rule) => {
                let states = std::mem::take(&mut self.states);
                let merging = self.gold.merging(&rules, rule, states).await?;
                let share = self.gold.table.share().clone();
                let mut work = JoinSet::new();
                let merged = async move { share.metered(merging.run()).await };
                work.spawn(merged.in_current_span());
                self.underway = Some(Underway {
                    ranges,
                    began,
                    work,
                    merged: None,
                });
            }
            None => self.gold.pass_over(&ranges).await?,
        }
        self.clear();
        Ok(())
    }

    /// Until what is under way is merged, or for ever.
    ///
    /// # Cancellation
    /// Safe.
    pub async fn merged(&mut self) {
        let Some(underway) = &mut self.underway else {
            return std::future::pending().await;
        };
        underway.merged().await;
    }

    /// Whether what is under way waits for its commit by now.
    pub fn is_merged(&mut self) -> bool {
        let Some(underway) = &mut self.underway else {
            return false;
        };
        if let Some(done) = underway.work.try_join_next() {
            underway.note(done);
        }
        underway.merged.is_some()
    }

    pub fn is_underway(&self) -> bool {
        self.underway.is_some()
    }

    /// Commits what is under way, if anything is, once it is merged. Answers with how long it took.
    ///
    /// # Errors
    /// As of [`Self::commit`].
    pub async fn settle(&mut self) -> Result<Option<Duration>, TenantError> {
        let Some(mut underway) = self.underway.take() else {
            return Ok(None);
        };
        underway.merged().await;
        if let Some(merged) = underway.merged {
            self.gold.put(&underway.ranges, merged?).await?;
        }
        let took = underway.began.elapsed();
        self.last = Some((underway.began, took));
        Ok(Some(took))
    }

    /// Drops what was gathered, also what is under way; it is read from silver again.
    pub fn forget(&mut self) {
        self.underway = None;
        self.clear();
    }

    fn clear(&mut self) {
        self.ranges.clear();
        self.rows.clear();
        self.states.clear();
        self.latest = None;
        self.since = None;
    }
}

impl Underway {
    async fn merged(&mut self) {
        if self.merged.is_some() {
            return;
        }
        if let Some(done) = self.work.join_next().await {
            self.note(done);
        }
    }

    fn note(&mut self, done: Result<Result<Merged, LayerError>, JoinError>) {
        let done = done.map_err(|error| LayerError::from(LakeError::from(error)));
        self.merged = Some(done.flatten());
    }
}
