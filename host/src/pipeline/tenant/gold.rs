//! When a tenant's gold tables are merged and committed, one after the other.

use std::time::Instant;

use super::super::gathered::Gathered;
use super::{TenantError, TenantLayers};

impl TenantLayers {
    /// When the next gold table wants its commit, unless one is being made.
    pub fn gold_due(&self) -> Option<Instant> {
        if self.gold.iter().any(Gathered::is_underway) {
            return None;
        }
        self.gold.iter().filter_map(Gathered::due).min()
    }

    /// Until a gold table's commit is made and is to be put, or for ever.
    ///
    /// # Cancellation
    /// Safe.
    pub async fn gold_merged(&mut self) {
        let mut gold = self.gold.iter_mut();
        match gold.find(|gathered| gathered.is_underway()) {
            Some(gathered) => gathered.merged().await,
            None => std::future::pending().await,
        }
    }

    /// Puts the commits that are made, and has the next one made; or all of them, at once.
    pub(super) async fn commit_gold(&mut self, all: bool) -> Result<(), TenantError> {
        for gathered in &mut self.gold {
            let took = if all {
                gathered.commit(&mut self.registry, self.judging).await?
            } else if gathered.is_merged() || gathered.is_full() {
                gathered.settle().await?
            } else {
                None
            };
            if let Some(took) = took {
                let name = &gathered.gold.name;
                self.meter.put(&format!("gold/{name}"), took);
                self.meter.gold(name);
            }
        }
        // One after the other: what comes in wants the processor, too.
        let free = !self.gold.iter().any(Gathered::is_underway);
        let due = self.gold.iter_mut().find(|gathered| gathered.is_due());
        if let Some(due) = due
            && (free || due.is_full())
        {
            due.begin(&mut self.registry, self.judging).await?;
        }
        Ok(())
    }
}
