//! What a set has to show as a shadow before it is promoted.

use super::report::merged;
use crate::lake::Lake;
use crate::medallion::compare::exceeded;
use crate::names::{RuleSetNumber, Tenant};
use crate::pipeline::change::ChangeError;
use crate::ruleset::Registry;

/// Holds a set's reports against the active set's `[promotion]`.
///
/// # Errors
/// `Gated` with all that is missing, or a lake that can't be read.
pub async fn check_gate(
    lake: &Lake,
    tenant: &Tenant,
    registry: &mut Registry,
    number: RuleSetNumber,
) -> Result<(), ChangeError> {
    let Some(active) = registry.active() else {
        return Ok(());
    };
    let definition = registry.definition(active);
    let Some(gate) = definition.and_then(|active| active.promotion.clone()) else {
        return Ok(());
    };
    let report = merged(lake, tenant, registry, number, Some(active)).await?;
    let rows = report.as_ref().map_or(0, |report| report.comparison.rows);
    let mut missing = Vec::new();
    if rows < gate.rows {
        missing.push(format!(
            "{rows} of {} rows were compared (`assay rules shadow {tenant} {number}` compares them)",
            gate.rows
        ));
    }
    if let Some(report) = &report {
        missing.extend(exceeded(&gate, &report.comparison));
    }
    match missing.is_empty() {
        true => Ok(()),
        false => Err(ChangeError::Gated {
            number,
            active,
            missing: missing.join("; "),
        }),
    }
}
