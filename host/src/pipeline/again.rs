//! What failed and may work later is tried again: which errors of a tenant's start are such, and how
//! soon and how often that is done.

use std::time::Duration;

use super::change::ChangeError;
use super::coordinate::{Problem, Setback};
use super::plan::PlanError;
use super::start::StartError;
use super::tenant::TenantError;
use crate::lake::LakeError;
use crate::medallion::layer::LayerError;
use crate::oci::OciError;
use crate::ruleset::RuleSetError;

/// Tries in a row before a run that is to end gives up.
pub(super) const TRIES_BEFORE_THE_END: u32 = 5;
/// The first pause between tries; each next one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest pause between tries while the lake does not answer.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How long to wait after so many tries in a row.
pub(super) fn pause_after(tries: u32) -> Duration {
    (FIRST_PAUSE * 2_u32.saturating_pow(tries.min(10))).min(LONGEST_PAUSE)
}

/// A start fails for good where a person must act, also where the lake turns away who asks: what is
/// configured is then likely to be wrong. One that ran before waits for that too.
impl Problem for StartError {
    fn setback(&self) -> Setback {
        match self {
            Self::Lake(error) => of_lake(error),
            Self::Plan(error) => of_plan(error),
            Self::RuleSet(error) | Self::Tenant(TenantError::RuleSet(error)) => of_rule_set(error),
            Self::Tenant(TenantError::Layer(error)) => of_layer(error),
            Self::Tenant(error) => error.setback(),
            Self::Change(error) => match error {
                ChangeError::Plan(error) => of_plan(error),
                ChangeError::RuleSet(error) => of_rule_set(error),
                ChangeError::Layer(error) => of_layer(error),
                ChangeError::Contended { .. } => Setback::Again,
                _ => Setback::Stop,
            },
            Self::NoDimension { .. } | Self::SourceInLake { .. } => Setback::Stop,
        }
    }
}

pub(super) fn of_lake(error: &LakeError) -> Setback {
    match error.may_pass() {
        true => Setback::Later,
        false => Setback::Stop,
    }
}

fn of_plan(error: &PlanError) -> Setback {
    let away = |error: &OciError| matches!(error, OciError::Http { .. });
    match error {
        PlanError::Registry { source, .. } if away(source) => Setback::Later,
        _ => Setback::Stop,
    }
}

fn of_rule_set(error: &RuleSetError) -> Setback {
    match error {
        RuleSetError::Lake(error) => of_lake(error),
        _ => Setback::Stop,
    }
}

fn of_layer(error: &LayerError) -> Setback {
    match error {
        LayerError::Fenced { .. } | LayerError::Changed { .. } => Setback::Again,
        LayerError::Unsettled { .. } => Setback::Later,
        LayerError::Lake(error) => of_lake(error),
        _ => Setback::Stop,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_the_longest() {
        let pauses: Vec<_> = [1, 2, 3, 7, 40].map(pause_after).into();
        let millis: Vec<_> = pauses.iter().map(Duration::as_millis).collect();
        assert_eq!(millis, [500, 1_000, 2_000, 30_000, 30_000]);
    }
}
