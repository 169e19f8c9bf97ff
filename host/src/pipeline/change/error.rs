//! Why rules were not changed.

use super::super::plan::PlanError;
use crate::medallion::layer::LayerError;
use crate::names::RuleSetNumber;
use crate::ruleset::RuleSetError;

/// Why rules were not changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeError {
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error(transparent)]
    RuleSet(#[from] RuleSetError),
    #[error(transparent)]
    Layer(#[from] LayerError),
    #[error("rule set {number} judges already")]
    ActiveAlready { number: RuleSetNumber },
    #[error(
        "rule set {number} was activated and never staged, so it can't be promoted; `assay rules rollback` with --to {number} has it judge again"
    )]
    NotStaged { number: RuleSetNumber },
    #[error("rule set {number} never judged; `assay rules promote` has it judge")]
    NeverActive { number: RuleSetNumber },
    #[error("rule set {number} failed: {reason}; mend that and stage it again")]
    Failed {
        number: RuleSetNumber,
        reason: String,
    },
    #[error(
        "rule set {number} is {state}, and only a staged one can be a shadow; `assay rules what-if` compares it over what is in bronze"
    )]
    NoShadow {
        number: RuleSetNumber,
        state: &'static str,
    },
    #[error(
        "rule set {number} is not promoted: rule set {active} asks for more under [promotion]: {missing}; `assay rules report` shows what there is, and --despite-gates promotes it all the same"
    )]
    Gated {
        number: RuleSetNumber,
        active: RuleSetNumber,
        missing: String,
    },
    #[error("there is no earlier rule set to go back to")]
    NothingEarlier,
    #[error(
        "rule set {number} can't be promoted and is marked failed: {reason}; rule set {active} goes on judging"
    )]
    Unfit {
        number: RuleSetNumber,
        reason: String,
        active: String,
    },
    #[error("others changed the rules {tries} times meanwhile; try again")]
    Contended { tries: u32 },
}

impl ChangeError {
    /// What is wrong with a rule set itself; `None` where it is something else that went wrong.
    pub fn fault(&self) -> Option<String> {
        match self {
            Self::RuleSet(RuleSetError::Rules { source, .. }) => Some(source.to_string()),
            Self::Layer(error) => error.fault(),
            _ => None,
        }
    }
}
