//! Why a tenant's batch did not land, and what that asks of the coordinator.

use super::super::breaker::Tripped;
use super::super::coordinate::{Problem, Setback};
use crate::lake::LakeError;
use crate::medallion::layer::LayerError;
use crate::names::RuleSetNumber;
use crate::ruleset::RuleSetError;

/// Why a tenant's batch did not land.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TenantError {
    #[error(transparent)]
    Layer(#[from] LayerError),
    #[error(transparent)]
    RuleSet(#[from] RuleSetError),
    #[error(transparent)]
    Breaker(#[from] Tripped),
    #[error("rule set {failed} failed on too many rows, and {number} judges in its place")]
    GaveWay {
        failed: RuleSetNumber,
        number: RuleSetNumber,
    },
    #[error("no rule set is active; run the tenant's pipeline once, or load a dimension")]
    NoRuleSet,
}

impl Problem for TenantError {
    fn setback(&self) -> Setback {
        match self {
            Self::Layer(LayerError::Fenced { .. } | LayerError::Changed { .. })
            | Self::GaveWay { .. } => Setback::Again,
            Self::Layer(LayerError::Unsettled { .. }) => Setback::Later,
            Self::Layer(LayerError::Lake(error)) | Self::RuleSet(RuleSetError::Lake(error)) => {
                lake_setback(error)
            }
            _ => Setback::Stop,
        }
    }
}

fn lake_setback(error: &LakeError) -> Setback {
    match error {
        LakeError::Store { .. } | LakeError::DataFile { .. } | LakeError::Task(_) => Setback::Later,
        _ => Setback::Stop,
    }
}
