//! What there was and what there is.

use anyhow::Context as _;
use chrono::DateTime;

use crate::cli::out::say;
use crate::names::RuleSetNumber;
use crate::pipeline::answers;
use crate::ruleset::Registry;
use crate::told::plain;

/// Prints every change, the oldest first, with where its rule set stands now.
pub fn history(registry: &Registry, as_json: bool) -> anyhow::Result<()> {
    let changes = registry.history().iter().map(|change| {
        let at = DateTime::from_timestamp_micros(change.at).unwrap_or_default();
        let set = registry.set(change.number).ok();
        (change, at, set)
    });
    if as_json {
        say!("{}", answers::history(registry));
        return Ok(());
    }
    for (change, at, set) in changes {
        let at = at.format("%Y-%m-%d %H:%M:%SZ");
        let state = set.map_or("", |set| registry.state(set).as_str());
        say!(
            "{at}  {state:<7}  {}  by {} ({})",
            plain(&change.what),
            plain(&change.who.by),
            plain(&change.who.why)
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
    if as_json {
        say!("{}", answers::set(registry, number)?);
        return Ok(());
    }
    let set = registry.set(number)?;
    let state = registry.state(set).as_str();
    say!("rule set {number}, {state}:");
    if let Some(reason) = &set.failed {
        say!("it failed: {}", plain(reason));
    }
    say!("{}", serde_json::to_string_pretty(&*set.definition)?);
    Ok(())
}
