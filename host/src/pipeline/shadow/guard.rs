//! Watches the first rows under a rule set that took over: the set before it judges them too, and
//! where they differ by more than its `[rollback]` allows, it is to judge again.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::Coverage;
use super::slot::{Slot, Stage};
use super::thread::{Beside, Purpose};
use crate::medallion::compare::{CompareError, Compared, Comparer, exceeded};
use crate::medallion::cut::Cut;
use crate::medallion::gate::Gate;
use crate::medallion::rules::Rules;
use crate::names::RuleSetNumber;
use crate::ruleset::Registry;

/// The guard of one tenant on this host.
pub struct Guard {
    share: f64,
    slot: Slot,
}

/// What has to be undone.
pub struct Undo {
    /// The set that took over.
    pub number: RuleSetNumber,
    /// The one before it.
    pub before: RuleSetNumber,
    pub reason: String,
}

impl Guard {
    /// `share` is of one core.
    pub fn new(share: f64) -> Self {
        Self {
            share,
            slot: Slot::new(),
        }
    }

    /// Begins where another set took over. Answers with what has to be undone, until
    /// [`Self::settle`] is called.
    pub async fn follow(
        &mut self,
        registry: &Registry,
        active: &Arc<Rules>,
        now: i64,
    ) -> Option<Undo> {
        let guarded = registry.guarded(now);
        let pair = guarded.as_ref().map(|(before, _)| (*before, active.number));
        let share = self.share;
        let start = |before: Rules| match guarded {
            Some((_, gate)) => begin(gate, before, active.clone(), share),
            None => Stage::None,
        };
        let reason = self.slot.follow(registry, pair, start).await?;
        let (before, number) = pair?;
        Some(Undo {
            number,
            before,
            reason,
        })
    }

    /// What had to be undone is.
    pub fn settle(&mut self) {
        self.slot.settle();
    }

    /// Offers a batch that is in bronze, pinned to a rule set.
    pub fn offer(&self, cut: &Arc<Cut>, pinned: RuleSetNumber) {
        self.slot.offer(cut, pinned);
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.slot.leave();
    }
}

fn begin(gate: Gate, before: Rules, after: Arc<Rules>, share: f64) -> Stage {
    let (number, rows) = (after.number, gate.rows);
    tracing::info!(
        ruleset = number.0,
        before = before.number.0,
        "the first {rows} rows are held against those of the rule set before"
    );
    let watch = Watch {
        number,
        gate,
        rows: 0,
        trapped: 0,
    };
    let comparer = Comparer::new(Arc::new(before), after);
    match Beside::start("assay-guard", comparer, Box::new(watch), share) {
        Ok(beside) => Stage::Running(beside),
        Err(error) => {
            tracing::warn!(ruleset = number.0, %error, "no thread to watch its first rows");
            Stage::None
        }
    }
}

struct Watch {
    number: RuleSetNumber,
    gate: Gate,
    rows: u64,
    trapped: u64,
}

impl Purpose for Watch {
    fn compared(
        &mut self,
        compared: Compared,
        comparer: &mut Comparer,
    ) -> Result<ControlFlow<()>, String> {
        self.rows += compared.rows;
        self.trapped += compared.after.trapped;
        // What can't get better any more need not be waited for.
        let hopeless = self.gate.trapped.is_some_and(|share| {
            self.trapped as f64 > share.about() * self.gate.rows.max(self.rows) as f64
        });
        if !hopeless && self.rows < self.gate.rows {
            return Ok(ControlFlow::Continue(()));
        }
        let found = match comparer.comparison() {
            Ok(found) => found,
            Err(error @ CompareError::After { .. }) => return Err(error.to_string()),
            Err(error) => {
                tracing::warn!(%error, "the first rows can't be held against those of before");
                return Ok(ControlFlow::Break(()));
            }
        };
        let said = exceeded(&self.gate, &found);
        if said.is_empty() {
            let rows = self.rows;
            tracing::info!(
                ruleset = self.number.0,
                "its first {rows} rows are as [rollback] allows"
            );
            return Ok(ControlFlow::Break(()));
        }
        Err(format!(
            "of its first {} rows, {}",
            self.rows,
            said.join("; ")
        ))
    }

    fn say(&mut self, _: &mut Comparer, _: Coverage) -> Result<(), String> {
        Ok(())
    }
}
