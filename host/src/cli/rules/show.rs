//! What there was and what there is.

use anyhow::Context as _;
use chrono::{DateTime, SecondsFormat};
use serde_json::json;

use crate::names::RuleSetNumber;
use crate::ruleset::Registry;

/// Prints every change, the oldest first, with where its rule set stands now.
pub fn history(registry: &Registry, as_json: bool) -> anyhow::Result<()> {
    let changes = registry.history().iter().map(|change| {
        let at = DateTime::from_timestamp_micros(change.at).unwrap_or_default();
        let set = registry.set(change.number).ok();
        (change, at, set)
    });
    if as_json {
        let changes: Vec<_> = changes
            .map(|(change, at, set)| {
                json!({
                    "number": change.number, "at": at.to_rfc3339_opts(SecondsFormat::Micros, true),
                    "by": change.who.by, "why": change.who.why, "what": change.what,
                    "state": set.map(|set| registry.state(set).as_str()),
                    "failed": set.and_then(|set| set.failed.as_deref()),
                })
            })
            .collect();
        println!("{}", json!(changes));
        return Ok(());
    }
    for (change, at, set) in changes {
        let at = at.format("%Y-%m-%d %H:%M:%SZ");
        let state = set.map_or("", |set| registry.state(set).as_str());
        println!(
            "{at}  {state:<7}  {}  by {} ({})",
            change.what, change.who.by, change.who.why
        );
    }
    Ok(())
}

/// Prints what a rule set is made of; the active one without a number.
pub fn set(
    registry: &Registry,
    number: Option<RuleSetNumber>,
    as_json: bool,
) -> anyhow::Result<()> {
    let number = number.or(registry.active());
    let number = number.context("no rule set is active; see `assay rules history`")?;
    let set = registry.set(number)?;
    let state = registry.state(set).as_str();
    if as_json {
        println!(
            "{}",
            json!({ "number": number, "state": state, "failed": set.failed, "definition": set.definition })
        );
        return Ok(());
    }
    println!("rule set {number}, {state}:");
    if let Some(reason) = &set.failed {
        println!("it failed: {reason}");
    }
    println!("{}", serde_json::to_string_pretty(&set.definition)?);
    Ok(())
}
