//! What a tenant's rule sets are and what a change of them came to, as JSON: for scripts and for
//! the server.

use chrono::{DateTime, SecondsFormat};
use serde_json::{Value, json};

use super::change::{Activated, Staged};
use super::shadow::Merged;
use crate::names::{RuleSetNumber, Tenant};
use crate::ruleset::{Change, Difference, Registry, RuleSetError, State};

/// A moment in microseconds since 1970, as RFC 3339.
pub fn moment(micros: i64) -> String {
    let at = DateTime::from_timestamp_micros(micros).unwrap_or_default();
    at.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// One change.
pub fn change(change: &Change) -> Value {
    json!({
        "number": change.number, "at": moment(change.at), "by": change.who.by,
        "why": change.who.why, "what": change.what,
    })
}

/// Every change, the oldest first, with where its rule set stands now.
pub fn history(registry: &Registry) -> Value {
    let changes = registry.history().iter().map(|one| {
        let set = registry.set(one.number).ok();
        let mut told = change(one);
        if let Value::Object(told) = &mut told {
            let state = set.map(|set| registry.state(set).as_str());
            told.insert("state".to_owned(), json!(state));
            let failed = set.and_then(|set| set.failed.as_deref());
            told.insert("failed".to_owned(), json!(failed));
        }
        told
    });
    changes.collect()
}

/// What a rule set is made of.
///
/// # Errors
/// `NoSuch`.
pub fn set(registry: &Registry, number: RuleSetNumber) -> Result<Value, RuleSetError> {
    let set = registry.set(number)?;
    let state = registry.state(set).as_str();
    Ok(json!({
        "number": number, "state": state, "failed": set.failed, "definition": *set.definition,
    }))
}

pub fn staged(tenant: &Tenant, staged: &Staged) -> Value {
    json!({
        "tenant": tenant, "number": staged.number, "state": "staged", "active": staged.active,
        "already": staged.already, "differences": staged.differences,
    })
}

pub fn activated(tenant: &Tenant, activated: &Activated) -> Value {
    json!({
        "tenant": tenant, "number": activated.number, "state": "active", "of": activated.of,
        "before": activated.before, "differences": activated.differences,
    })
}

/// Whether a staged set judges beside the active one from now on.
pub fn shadow(tenant: &Tenant, number: RuleSetNumber, begins: bool) -> Value {
    let state = if begins { State::Shadow } else { State::Staged };
    json!({ "tenant": tenant, "number": number, "state": state.as_str() })
}

/// What hosts found of a shadow.
///
/// # Errors
/// `NoSuch`.
pub fn report(
    tenant: &Tenant,
    registry: &Registry,
    report: &Merged,
) -> Result<Value, RuleSetError> {
    let state = registry.state(registry.set(report.number)?).as_str();
    let mut told = json!({ "tenant": tenant, "state": state });
    // Nothing in a report has no JSON.
    let found = serde_json::to_value(report).unwrap_or_default();
    if let (Value::Object(told), Value::Object(found)) = (&mut told, found) {
        told.extend(found);
    }
    Ok(told)
}

pub fn differences(from: RuleSetNumber, to: RuleSetNumber, found: &[Difference]) -> Value {
    json!({ "from": from, "to": to, "differences": found })
}
