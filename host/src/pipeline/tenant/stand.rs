//! What a tenant's meter is told of its tables and rules.

use super::super::coordinate::{Layer, Layers as _};
use super::TenantLayers;
use crate::lake::Table;
use crate::medallion::rules::Rules;
use crate::names::{Offset, Partition};

/// The layers that keep progress.
const LAYERS: [Layer; 4] = [
    Layer::Bronze,
    Layer::Quarantine,
    Layer::Silver,
    Layer::Duplicates,
];

/// Partitions that are told apart: a folder may hold more files than a monitor wants to know of.
const MOST_PARTITIONS: usize = 256;

/// Changes of rule sets that are shown.
const CHANGES_SHOWN: usize = 10;

impl TenantLayers {
    /// Adds up what the components of a rule set used.
    pub(super) fn note_usage(&self, rules: &Rules) {
        let steps = [&rules.cleanse, &rules.validate, &rules.enrich];
        for rule in steps.into_iter().flatten() {
            let usage = rule.configured.take_usage();
            self.meter.used(rule.step, &rule.name, usage);
        }
        for rule in &rules.gold {
            let usage = rule.configured.take_usage();
            self.meter.used("gold", &rule.name, usage);
        }
    }

    /// How far bronze is in some partitions.
    pub fn positions(&self, partitions: &[Partition]) -> Vec<(Partition, Offset)> {
        let positions = partitions.iter().take(MOST_PARTITIONS);
        let positions = positions
            .filter_map(|partition| Some((partition.clone(), self.bronze.progress(partition)?)));
        positions.collect()
    }

    /// Bytes of the live files of all tables.
    pub fn lake_bytes(&mut self) -> u64 {
        self.tables().map(Table::live_bytes).sum()
    }

    /// How far all of the tables are in a partition, gold among them. `None`: bronze does not know it.
    pub fn reached(&self, partition: &Partition) -> Option<Offset> {
        let bronze = self.bronze.progress(partition)?;
        let start = self.start(partition).unwrap_or(bronze);
        let later = [Layer::Quarantine, Layer::Silver, Layer::Duplicates];
        let later = later.map(|layer| self.progress(layer, partition));
        let gold = self.gold.iter();
        let gold = gold.map(|gathered| gathered.gold.progress(partition));
        let later = later.into_iter().chain(gold);
        let later = later.map(|progress| progress.unwrap_or(start)).min();
        Some(later.map_or(bronze, |later| later.min(bronze)))
    }

    /// Says where the tenant stands in the partitions that it reads, and how far its source is.
    pub fn note_standing(&mut self, partitions: &[Partition], lag: Vec<(Partition, Offset)>) {
        let lake_bytes = self.lake_bytes();
        let mut progress = Vec::new();
        for partition in partitions.iter().take(MOST_PARTITIONS) {
            for layer in LAYERS {
                if let Some(at) = self.progress(layer, partition) {
                    progress.push((partition.clone(), layer, at));
                }
            }
        }
        let history = self.registry.history();
        let history = history
            .get(history.len().saturating_sub(CHANGES_SHOWN)..)
            .unwrap_or_default();
        self.meter.stands(|standing| {
            standing.ruleset = Some(self.judging.0);
            standing.progress = progress;
            standing.lag = lag;
            standing.lake_bytes = lake_bytes;
            standing.dedup_bytes = self.silver.index_bytes();
            standing.breaker = self.breaker.fill();
            let newest = |changes: &[crate::ruleset::Change]| changes.last().map(|c| c.number);
            if newest(&standing.history) != newest(history) {
                standing.history = history.to_vec();
            }
        });
    }
}
