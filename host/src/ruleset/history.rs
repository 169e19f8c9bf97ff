//! The words of the history: sets, where they stand, and what was changed.

use std::sync::Arc;

use super::entry::{Cause, Entry, Repin, Who};
use crate::medallion::definition::Definition;
use crate::names::RuleSetNumber;

/// Where a rule set stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It waits for its promotion.
    Staged,
    /// It waits, and judges beside the active one meanwhile, for a report.
    Shadow,
    /// It judges what comes now.
    Active,
    /// It judged once.
    Retired,
    /// It could not be taken up.
    Failed,
}

impl State {
    /// Whether it may be promoted.
    pub fn waits(self) -> bool {
        matches!(self, Self::Staged | Self::Shadow)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Staged => "staged",
            Self::Shadow => "shadow",
            Self::Active => "active",
            Self::Retired => "retired",
            Self::Failed => "failed",
        }
    }
}

/// A set that was staged or activated.
#[derive(Clone, Debug)]
pub struct RuleSet {
    pub number: RuleSetNumber,
    /// Microseconds since 1970.
    pub at: i64,
    /// Shared with the sets that say the same.
    pub definition: Arc<Definition>,
    /// What activated it; `None` for one that was staged, whose activations have their own numbers.
    pub cause: Option<Cause>,
    /// Of one that was staged: the set that was active then.
    pub base: Option<RuleSetNumber>,
    /// Of one that was staged: its last activation.
    pub promoted: Option<RuleSetNumber>,
    /// Why it could not be taken up.
    pub failed: Option<String>,
}

/// One line of the history.
#[derive(Clone, Debug)]
pub struct Change {
    pub number: RuleSetNumber,
    /// Microseconds since 1970.
    pub at: i64,
    pub who: Who,
    pub what: String,
}

/// A change in a person's words.
pub(super) fn told(number: RuleSetNumber, entry: &Entry) -> String {
    let signed = |definition: &Definition| {
        let signers: Vec<String> = definition.signers().into_iter().collect();
        match signers.is_empty() {
            true => String::new(),
            false => format!("; signed with {}", signers.join(", ")),
        }
    };
    match entry {
        Entry::Stage { base, definition } => {
            let meanwhile = base.map(|base| format!(" while {base} was active"));
            let meanwhile = meanwhile.unwrap_or_default();
            format!("rule set {number} staged{meanwhile}{}", signed(definition))
        }
        Entry::Activate { cause, definition } => {
            let how = match cause {
                Cause::Toml => String::new(),
                Cause::Promotion { of } => format!(": promotion of {of}"),
                Cause::Rollback { of } => format!(": rollback to {of}"),
                Cause::Dimension => ": a dimension was loaded".to_owned(),
                Cause::Failure { failed, of } => {
                    format!(": {failed} failed, {of} judges again")
                }
            };
            format!("rule set {number} activated{how}{}", signed(definition))
        }
        Entry::Shadow { of, begins: true } => {
            format!("rule set {of} judges beside the active one, for a report")
        }
        Entry::Shadow { of, begins: false } => {
            format!("rule set {of} does not judge beside the active one any more")
        }
        Entry::Fail { number } => format!("rule set {number} failed"),
        Entry::Toml { of } => format!("the TOML at a host's start is that of rule set {of}"),
        Entry::Repin(Repin {
            partition,
            from,
            to,
            number,
        }) => format!("{partition} offsets {from} to {to} re-pinned to rule set {number}"),
    }
}
