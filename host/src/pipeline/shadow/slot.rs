//! What judges beside the active rule set, from being compiled to its end.

use std::sync::Arc;

use tokio::task::JoinHandle;

use super::thread::Beside;
use crate::medallion::cut::Cut;
use crate::medallion::rules::{Rules, RulesError};
use crate::names::RuleSetNumber;
use crate::ruleset::{Registry, RuleSetError};

/// A rule set, and the active one that it is beside.
pub(super) type Pair = (RuleSetNumber, RuleSetNumber);

/// A place for one rule set beside the active one.
pub(super) struct Slot {
    pair: Option<Pair>,
    stage: Stage,
}

pub(super) enum Stage {
    None,
    /// Its components are being compiled.
    Preparing(JoinHandle<Result<Rules, RulesError>>),
    Running(Beside),
    /// It is over, and that is not dealt with yet.
    Over(String),
}

impl Slot {
    pub fn new() -> Self {
        Self {
            pair: None,
            stage: Stage::None,
        }
    }

    /// Has the set of the pair be there and no other. Answers with why it is over, until
    /// [`Self::settle`] is called.
    pub async fn follow(
        &mut self,
        registry: &Registry,
        pair: Option<Pair>,
        start: impl FnOnce(Rules) -> Stage,
    ) -> Option<String> {
        if pair != self.pair {
            self.leave();
            if let Some((set, _)) = pair {
                // It would wait for what is compiled now, and the tenant's loop with it.
                if registry.is_warming() {
                    return None;
                }
                self.stage = match registry.begin(set).await {
                    Ok(task) => Stage::Preparing(task),
                    Err(RuleSetError::Rules { source, .. }) => Stage::Over(source.to_string()),
                    Err(error) => {
                        tracing::warn!(beside = set.0, %error, "a rule set can't be read yet");
                        return None;
                    }
                };
            }
            self.pair = pair;
        }
        self.stage = match std::mem::replace(&mut self.stage, Stage::None) {
            Stage::Preparing(task) if task.is_finished() => match task.await {
                Ok(Ok(rules)) => start(rules),
                Ok(Err(error)) => Stage::Over(error.to_string()),
                Err(_) => Stage::None,
            },
            Stage::Running(beside) => match beside.over() {
                Some(reason) => Stage::Over(reason),
                None => Stage::Running(beside),
            },
            other => other,
        };
        match &self.stage {
            Stage::Over(reason) => Some(reason.clone()),
            _ => None,
        }
    }

    /// What is over is dealt with.
    pub fn settle(&mut self) {
        self.stage = Stage::None;
    }

    /// Offers a batch that is in bronze, pinned to a rule set.
    pub fn offer(&self, cut: &Arc<Cut>, pinned: RuleSetNumber) {
        if let Stage::Running(beside) = &self.stage
            && self.pair.is_some_and(|(_, active)| active == pinned)
        {
            beside.offer(cut);
        }
    }

    /// Ends what runs. It still says its last word.
    pub fn leave(&mut self) -> Option<std::thread::JoinHandle<()>> {
        self.pair = None;
        match std::mem::replace(&mut self.stage, Stage::None) {
            Stage::Running(beside) => Some(beside.end()),
            _ => None,
        }
    }
}
