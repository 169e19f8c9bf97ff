//! What silver got and a gold table has not folded yet.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::record_batch::RecordBatch;

use super::tenant::TenantError;
use crate::lake::Lake;
use crate::medallion::cut::Range;
use crate::medallion::gold::{Gold, by_rule_set, columns_read, fold};
use crate::medallion::layer::LayerError;
use crate::medallion::rules::{GoldRule, Rules};
use crate::names::{Offset, Partition, RuleSetNumber, Tenant};
use crate::ruleset::Registry;

/// More gathered rows than this are folded without waiting for the trigger: they are memory.
const MOST_ROWS: usize = 262_144;

/// A gold table with the rows that it has not folded yet.
pub struct Gathered {
    pub gold: Gold,
    every: Duration,
    /// From which silver progress to which, by partition.
    ranges: BTreeMap<Partition, (Offset, Offset)>,
    /// The columns that the table is made from, by the rule set that made them.
    rows: Vec<(RuleSetNumber, RecordBatch)>,
    since: Option<Instant>,
}

impl Gathered {
    pub async fn open(
        lake: &Lake,
        tenant: &Tenant,
        rules: &Rules,
        rule: &GoldRule,
        every: Duration,
    ) -> Result<Self, LayerError> {
        Ok(Self {
            gold: Gold::open(lake, tenant, rules, rule).await?,
            every,
            ranges: BTreeMap::new(),
            rows: Vec::new(),
            since: None,
        })
    }

    /// Adds what a batch brought to silver.
    pub fn gather(
        &mut self,
        ranges: &[Range],
        rules: &Rules,
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
            self.rows.push((rules.number, rows.project(&columns)?));
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
                self.gather(&[], &rules, &rows)?;
            }
        }
        self.since.get_or_insert_with(Instant::now);
        self.ranges.insert(range.partition, (range.from, range.to));
        Ok(())
    }

    pub fn due(&self) -> Option<Instant> {
        self.since.map(|since| since + self.every)
    }

    pub fn is_due(&self) -> bool {
        let rows: usize = self.rows.iter().map(|(_, rows)| rows.num_rows()).sum();
        rows >= MOST_ROWS || self.due().is_some_and(|due| due <= Instant::now())
    }

    /// Folds what was gathered into the table.
    pub async fn commit(&mut self, registry: &mut Registry) -> Result<(), TenantError> {
        if self.ranges.is_empty() {
            self.since = None;
            return Ok(());
        }
        let mut states = Vec::new();
        let mut latest: Option<Arc<Rules>> = None;
        for (number, rows) in &self.rows {
            let rules = registry.rules(*number).await?;
            let rule = rules.gold.iter().find(|rule| rule.table == self.gold.name);
            if let Some(rule) = rule {
                states.extend(tokio::task::block_in_place(|| fold(rule, rows))?);
                if latest
                    .as_ref()
                    .is_none_or(|latest| latest.number < rules.number)
                {
                    latest = Some(rules);
                }
            }
        }
        let ranges: Vec<Range> = self
            .ranges
            .iter()
            .map(|(partition, (from, to))| Range {
                partition: partition.clone(),
                from: *from,
                to: *to,
            })
            .collect();
        let rules = match latest {
            Some(rules) => rules,
            None => {
                let active = registry.active().ok_or(TenantError::NoRuleSet)?;
                registry.rules(active).await?
            }
        };
        match rules.gold.iter().find(|rule| rule.table == self.gold.name) {
            Some(rule) => self.gold.put(&ranges, &rules, rule, &states).await?,
            None => self.gold.pass_over(&ranges).await?,
        }
        self.forget();
        Ok(())
    }

    /// Drops what was gathered; it is read from silver again.
    pub fn forget(&mut self) {
        self.ranges.clear();
        self.rows.clear();
        self.since = None;
    }
}
