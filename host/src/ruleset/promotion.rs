//! What a staged set would be if it were promoted now.

use super::entry::Cause;
use super::history::State;
use super::registry::Registry;
use super::store::RuleSetError;
use crate::medallion::definition::Definition;
use crate::medallion::gate::Gate;
use crate::names::RuleSetNumber;

/// How long after it took over a set is guarded at most, in microseconds. A host that starts later
/// would hold it against rows of another day.
const GUARDED_FOR: i64 = 3_600_000_000;

impl Registry {
    /// What having a set judge from now on would activate: a staged set with the rows of now in
    /// dimensions that it has as they were when it was staged, any other as it judged.
    ///
    /// # Errors
    /// `NoSuch`.
    pub fn as_activated(&self, number: RuleSetNumber) -> Result<Definition, RuleSetError> {
        let set = self.set(number)?;
        let mut definition = Definition::clone(&set.definition);
        if set.cause.is_none() {
            let base = set.base.and_then(|base| self.definition(base));
            carry_on(&mut definition, base, self.active_definition());
        }
        Ok(definition)
    }

    /// Whether two sets have the same rules, whatever rows their dimensions have.
    pub fn are_alike(&self, one: RuleSetNumber, other: RuleSetNumber) -> bool {
        match (self.definition(one), self.definition(other)) {
            (Some(one), Some(other)) => one.has_rules_of(other),
            _ => false,
        }
    }

    /// The set whose `[rollback]` guards the active one, with its limits: the one before it, where the
    /// active one took over of late by a promotion or a TOML. `now` is in microseconds since 1970.
    pub fn guarded(&self, now: i64) -> Option<(RuleSetNumber, Gate)> {
        let active = self.set(self.active()?).ok()?;
        if !matches!(active.cause, Some(Cause::Promotion { .. } | Cause::Toml)) {
            return None;
        }
        if now.saturating_sub(active.at) > GUARDED_FOR {
            return None;
        }
        let before = self.held.earlier().next()?;
        let gate = before.definition.rollback.clone()?;
        Some((before.number, gate))
    }

    /// The staged set that judges beside the active one.
    pub fn shadow(&self) -> Option<RuleSetNumber> {
        let set = self.set(self.held.shadow?).ok()?;
        (self.state(set) == State::Shadow).then_some(set.number)
    }
}

/// Dimensions that a staged set has as its base had them take the rows of now.
fn carry_on(staged: &mut Definition, base: Option<&Definition>, active: Option<&Definition>) {
    let Some(active) = active else { return };
    for (name, used) in &mut staged.dimensions {
        let based = base.and_then(|base| base.dimensions.get(name));
        let unchanged = based.is_some_and(|based| based.rows == used.rows);
        if let Some(held) = active.dimensions.get(name)
            && (unchanged || used.rows.is_none())
        {
            used.rows = held.rows;
        }
    }
}
