//! How a running host follows its tenant's rule sets: which one the next batch is pinned to.

use std::sync::Arc;

use super::super::change::{ChangeError, Changes, now, user};
use super::super::fit;
use super::super::shadow::Undo;
use super::{TenantError, TenantLayers};
use crate::medallion::cut::Cut;
use crate::medallion::rules::Rules;
use crate::names::RuleSetNumber;
use crate::ruleset::{RuleSetError, Who};

impl TenantLayers {
    /// Takes up what was changed in the rule sets since the last look. A set that was activated and
    /// does not fit gives way, on every host, to the one before it.
    ///
    /// # Errors
    /// A lake that does not answer.
    pub async fn follow_rules(&mut self) -> Result<Arc<Rules>, TenantError> {
        self.registry.refresh().await?;
        self.registry.warm().await;
        let mut rules = self.follow_active().await?;
        if let Some(undo) = self.guard.follow(&self.registry, &rules, now()).await {
            self.undo(undo).await;
            self.registry.refresh().await?;
            rules = self.follow_active().await?;
        }
        self.shadow.follow(&mut self.registry, &rules).await;
        self.registry.let_go();
        self.note_usage(&rules);
        Ok(rules)
    }

    /// Has the set before judge again, unless others changed the rules meanwhile.
    async fn undo(&mut self, undo: Undo) {
        let Undo {
            number,
            before,
            reason,
        } = undo;
        let who = Who {
            by: format!("host of {}", user()),
            why: format!("rule set {number} was rolled back: {reason}"),
        };
        let (sandbox, limits) = (self.registry.sandbox(), self.registry.host_limits());
        let trust = self.registry.trust().clone();
        let rolled_back = async {
            let mut changes = Changes::open(&self.lake, &self.tenant, sandbox).await?;
            changes.registry.set_host_limits(limits);
            changes.registry.set_trust(trust);
            if changes.registry.active() != Some(number) {
                return Ok(());
            }
            changes.rollback(Some(before), false, &who).await.map(drop)
        };
        let trouble = match rolled_back.await {
            Ok(()) => format!(
                "rule set {number} is rolled back to {before}: {reason}; see what it does as a shadow before it is promoted again"
            ),
            Err(ChangeError::ActiveAlready { .. }) => return self.guard.settle(),
            Err(error) if error.fault().is_some() => format!(
                "rule set {number} should be rolled back ({reason}), but {before} can't judge in its place, so it goes on: {error}; stage and promote one that can"
            ),
            Err(error) => {
                return tracing::error!(
                    ruleset = number.0,
                    "rule set {number} could not be rolled back to {before} yet ({reason}): {error}; trying again"
                );
            }
        };
        tracing::error!(ruleset = number.0, "{trouble}");
        self.meter.trouble(&trouble);
        self.guard.settle();
    }

    async fn follow_active(&mut self) -> Result<Arc<Rules>, TenantError> {
        loop {
            let active = self.registry.active().ok_or(TenantError::NoRuleSet)?;
            if active == self.judging {
                return self.rules(active).await;
            }
            let error = match self.fitting(active).await {
                Ok(rules) => {
                    tracing::info!(
                        ruleset = active.0,
                        before = self.judging.0,
                        "rule set takes over with the next batch"
                    );
                    self.judging = active;
                    self.meter.stands(|standing| standing.takeovers += 1);
                    return Ok(rules);
                }
                Err(error) => error,
            };
            let Some(reason) = error.fault() else {
                return Err(error);
            };
            tracing::error!(
                ruleset = active.0,
                "rule set {active} can't be taken up, and the one before it goes on judging: {reason}; mend it, then stage and promote it again"
            );
            self.meter
                .trouble(&format!("rule set {active} failed: {reason}"));
            let by = format!("host of {}", user());
            self.registry.fall_back(active, &reason, &by, now()).await?;
        }
    }

    /// A rule set whose components are trusted, and whose rows the tables can hold.
    async fn fitting(&mut self, number: RuleSetNumber) -> Result<Arc<Rules>, TenantError> {
        self.registry.check_trust_in(number)?;
        let rules = self.registry.rules(number).await?;
        fit::fits_bronze(&self.bronze.table, &rules)?;
        fit::fits_silver(&self.silver.table, &rules)?;
        for rule in &rules.gold {
            let gold = self.gold.iter();
            let mut gold = gold.filter(|gathered| gathered.gold.name == rule.table);
            if let Some(gathered) = gold.next() {
                fit::fits_gold(&gathered.gold.table, &rules, rule)?;
            }
        }
        self.open_gold(&rules).await?;
        Ok(rules)
    }

    /// Says once from which offsets on a rule set judges.
    pub(super) fn note_cut_over(&mut self, cut: &Cut, number: RuleSetNumber) {
        if self
            .pinned
            .replace(number)
            .is_some_and(|before| before != number)
        {
            for range in &cut.ranges {
                tracing::info!(
                    ruleset = number.0,
                    "rule set judges {} from offset {} on",
                    range.partition,
                    range.from
                );
            }
        }
    }
}

impl TenantError {
    /// What is wrong with a rule set itself; `None` where it is the lake that does not answer.
    fn fault(&self) -> Option<String> {
        match self {
            Self::RuleSet(RuleSetError::Rules { source, .. }) => Some(source.to_string()),
            Self::Layer(error) => error.fault(),
            _ => None,
        }
    }
}
