//! What silver got and a gold table has not taken in yet: rows, and once there are many of them the
//! states that they fold into.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::compute::concat_batches;
use arrow::record_batch::RecordBatch;

use super::tenant::TenantError;
use crate::lake::Lake;
use crate::medallion::cut::Range;
use crate::medallion::gold::{Gold, States, by_rule_set, columns_read, fold};
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

    /// When the next commit is due: at once where the last one was long ago.
    pub fn due(&self) -> Option<Instant> {
        let since = self.since?;
        let rested = self
            .last
            .map(|(began, took)| began + self.every.max(took * SHARE));
        Some(rested.map_or(since, |rested| rested.max(since)))
    }

    pub fn is_due(&self) -> bool {
        let bytes: usize = self.states.iter().map(States::bytes).sum();
        bytes >= self.most_bytes || self.due().is_some_and(|due| due <= Instant::now())
    }

    /// Takes what was gathered into the table. `judging` is the rule set of now, for where nothing
    /// was gathered that says another. False: nothing was, and nothing was committed.
    pub async fn commit(
        &mut self,
        registry: &mut Registry,
        judging: RuleSetNumber,
    ) -> Result<bool, TenantError> {
        if self.ranges.is_empty() {
            self.since = None;
            return Ok(false);
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
                self.gold.put(&ranges, &rules, rule, states).await?;
            }
            None => self.gold.pass_over(&ranges).await?,
        }
        self.forget();
        self.last = Some((began, began.elapsed()));
        Ok(true)
    }

    /// Drops what was gathered; it is read from silver again.
    pub fn forget(&mut self) {
        self.ranges.clear();
        self.rows.clear();
        self.states.clear();
        self.latest = None;
        self.since = None;
    }
}
