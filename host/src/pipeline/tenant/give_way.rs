//! What becomes of a batch on which the rule set fails too often to be right: with
//! `[breaker] then = "fall-back"` the set before judges it, and what comes after it.

use super::super::change::{now, user};
use super::super::config::Then;
use super::{TenantError, TenantLayers};
use crate::medallion::cut::Range;
use crate::medallion::judge::JudgeError;
use crate::medallion::layer::LayerError;
use crate::names::RuleSetNumber;
use crate::plugin::CallError;
use crate::ruleset::{Cause, Repin, RuleSetError, Who};

impl TenantLayers {
    /// What a batch that is in bronze and no further asks for, after `error`: to be read again, where
    /// another set judges it now, or what the error says.
    pub(super) async fn give_way(
        &mut self,
        ranges: &[Range],
        failed: RuleSetNumber,
        error: TenantError,
    ) -> TenantError {
        if self.config.breaker.then != Then::FallBack || !error.is_too_many() {
            return error;
        }
        match self.fall_back(ranges, failed, &error.to_string()).await {
            Ok(Some(number)) => {
                let gave_way = TenantError::GaveWay { failed, number };
                tracing::error!(
                    ruleset = failed.0,
                    "{gave_way}: {error}; mend it, then stage and promote it again"
                );
                self.meter.trouble(&gave_way.to_string());
                gave_way
            }
            Ok(None) => error,
            Err(unanswered) => unanswered.into(),
        }
    }

    /// Re-pins the ranges to the set that judges from now on. `None`: there is none to fall back to.
    async fn fall_back(
        &mut self,
        ranges: &[Range],
        failed: RuleSetNumber,
        reason: &str,
    ) -> Result<Option<RuleSetNumber>, RuleSetError> {
        let by = format!("host of {}", user());
        self.registry.refresh().await?;
        if self.registry.active() == Some(failed) {
            // Where the set before fails as well, the rows are wrong, or what both rest upon.
            if matches!(
                self.registry.set(failed)?.cause,
                Some(Cause::Failure { .. })
            ) {
                return Ok(None);
            }
            match self.registry.fall_back(failed, reason, &by, now()).await {
                Err(RuleSetError::NothingBefore { .. }) => return Ok(None),
                done => done?,
            }
        }
        let Some(number) = self.registry.active().filter(|active| *active != failed) else {
            return Ok(None);
        };
        let who = Who {
            by,
            why: reason.to_owned(),
        };
        for range in ranges {
            let repin = Repin {
                partition: range.partition.clone(),
                from: range.from,
                to: range.to,
                number,
            };
            self.registry.repin(&repin, &who, now()).await?;
        }
        Ok(Some(number))
    }
}

impl TenantError {
    /// Whether components fail on more rows than rows alone can be to blame for.
    fn is_too_many(&self) -> bool {
        match self {
            Self::Breaker(_) => true,
            Self::Layer(LayerError::Judge(JudgeError::Call { source, .. })) => {
                matches!(source, CallError::TooManyGuilty { .. })
            }
            _ => false,
        }
    }
}
