//! What of a tenant's history a process holds: the last changes, and of earlier sets those that still
//! count. The table has them all, and what is asked for is read from there again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::entry::{Cause, Entry, Repin, Stored, Who};
use super::history::{Change, RuleSet, State, told};
use crate::medallion::definition::Definition;
use crate::names::RuleSetNumber;

/// How many of the last changes are held, and as many more before any is let go of.
pub(super) const CHANGES_HELD: usize = 64;

/// How many earlier sets that were asked for stay at hand, each with those that follow it: whoever
/// judges old rows again comes to these next.
const ASKED_HELD: usize = 8;

/// How many of the last sets are looked at for the same definition.
const DEFINITIONS_SHARED: usize = 16;

/// What the changes add up to.
#[derive(Default)]
pub(super) struct Held {
    pub sets: BTreeMap<RuleSetNumber, RuleSet>,
    pub active: Option<RuleSetNumber>,
    /// The set that the TOML of a host's last start said.
    pub toml: Option<RuleSetNumber>,
    /// The staged set that was last told to judge beside the active one.
    pub shadow: Option<RuleSetNumber>,
    pub repins: Vec<Repin>,
    pub history: Vec<Change>,
    /// Of what is older than this change, only what counts is held. `None`: all is.
    pub since: Option<RuleSetNumber>,
    /// Earlier sets that were asked for, the last one last.
    pub asked: VecDeque<RuleSetNumber>,
}

impl Held {
    /// Takes up the change after those that were taken up.
    pub fn take(&mut self, stored: Stored) {
        let Stored {
            version,
            at,
            who,
            entry,
        } = stored;
        let number = RuleSetNumber(version);
        let what = told(number, &entry);
        match entry {
            Entry::Stage { definition, base } => {
                let set = RuleSet {
                    base,
                    ..self.set(number, at, definition)
                };
                self.sets.insert(number, set);
            }
            Entry::Activate { definition, cause } => {
                self.caused(number, cause, &who);
                let set = RuleSet {
                    cause: Some(cause),
                    ..self.set(number, at, definition)
                };
                self.sets.insert(number, set);
                self.active = Some(number);
            }
            Entry::Shadow { of, begins: true } => self.shadow = Some(of),
            Entry::Shadow { of, begins: false } => {
                self.shadow.take_if(|shadow| *shadow == of);
            }
            Entry::Fail { number } => self.failed(number, &who),
            Entry::Toml { of } => self.toml = Some(of),
            Entry::Repin(repin) => self.repins.push(repin),
        }
        self.history.push(Change {
            number,
            at,
            who,
            what,
        });
    }

    fn set(&self, number: RuleSetNumber, at: i64, definition: Arc<Definition>) -> RuleSet {
        RuleSet {
            number,
            at,
            definition: self.shared(definition),
            cause: None,
            base: None,
            promoted: None,
            failed: None,
        }
    }

    fn caused(&mut self, number: RuleSetNumber, cause: Cause, who: &Who) {
        match cause {
            Cause::Toml => self.toml = Some(number),
            Cause::Promotion { of } => {
                if let Some(staged) = self.sets.get_mut(&of) {
                    staged.promoted = Some(number);
                }
            }
            Cause::Failure { failed, .. } => self.failed(failed, who),
            Cause::Rollback { .. } | Cause::Dimension => {}
        }
    }

    fn failed(&mut self, number: RuleSetNumber, who: &Who) {
        if let Some(set) = self.sets.get_mut(&number) {
            set.failed = Some(who.why.clone());
        }
    }

    /// Swaps go to and fro between a few definitions, each of which is held once.
    fn shared(&self, definition: Arc<Definition>) -> Arc<Definition> {
        let last = self.sets.values().rev().take(DEFINITIONS_SHARED);
        let mut same = last.filter(|set| set.definition == definition);
        same.next().map_or(definition, |set| set.definition.clone())
    }

    /// Where a set stands. A staged one stands where its last activation stands.
    pub fn state(&self, set: &RuleSet) -> State {
        if set.failed.is_some() {
            return State::Failed;
        }
        if self.active == Some(set.number) {
            return State::Active;
        }
        match (set.cause, set.promoted) {
            (Some(_), _) => State::Retired,
            (None, Some(promoted)) => match self.sets.get(&promoted) {
                Some(promoted) => self.state(promoted),
                // The active one is always held.
                None => State::Retired,
            },
            (None, None) if self.shadow == Some(set.number) => State::Shadow,
            (None, None) => State::Staged,
        }
    }

    /// Sets that judged before the active one, the last one first.
    pub fn earlier(&self) -> impl Iterator<Item = &RuleSet> {
        let active = self.active.unwrap_or(RuleSetNumber(0));
        let earlier = self.sets.range(..active).rev().map(|(_, set)| set);
        earlier.filter(|set| set.cause.is_some() && set.failed.is_none())
    }

    /// The set that judged before the active one, if it was another.
    pub fn before_active(&self) -> Option<&RuleSet> {
        let active = self.sets.get(&self.active?)?;
        let mut others = self
            .earlier()
            .filter(|set| set.definition != active.definition);
        others.next()
    }

    /// Whether nothing is let go of from there on.
    pub fn is_of_late(&self, number: RuleSetNumber) -> bool {
        self.since.is_none_or(|since| number >= since)
    }

    /// Notes that an earlier set is wanted. `false`: it has to be read again.
    pub fn ask(&mut self, number: RuleSetNumber) -> bool {
        if self.is_of_late(number) || number.0 < 1 {
            return true;
        }
        if !self.asked.iter().any(|asked| near(*asked, number)) {
            if self.asked.len() == ASKED_HELD {
                self.asked.pop_front();
            }
            self.asked.push_back(number);
        }
        self.sets.contains_key(&number)
    }

    /// Lets go of what is neither of late nor counts, once that is much.
    pub fn let_go(&mut self) {
        let gone = self.history.len().saturating_sub(CHANGES_HELD);
        if gone <= CHANGES_HELD {
            return;
        }
        self.history.drain(..gone);
        self.history.shrink_to(2 * CHANGES_HELD);
        self.since = self.history.first().map(|change| change.number);
        let counting = self.counting();
        self.sets.retain(|number, _| counting.contains(number));
    }

    fn counting(&self) -> BTreeSet<RuleSetNumber> {
        let fixed = [self.active, self.toml, self.shadow];
        let before = [self.earlier().next(), self.before_active()];
        let before = before.into_iter().flatten().map(|set| set.number);
        let others = self.sets.values().filter(|set| {
            self.is_of_late(set.number)
                || self.state(set).waits()
                || self.asked.iter().any(|asked| near(*asked, set.number))
        });
        let others = others.map(|set| set.number);
        let fixed = fixed.into_iter().flatten();
        let mut counting: BTreeSet<_> = fixed.chain(before).chain(others).collect();
        let of_all = |numbers: &BTreeSet<_>, of: fn(&RuleSet) -> Option<RuleSetNumber>| {
            let sets = numbers.iter().filter_map(|number| self.sets.get(number));
            sets.filter_map(of).collect::<Vec<_>>()
        };
        // A staged set stands where its activation stands, and is told by what was active before.
        let staged = of_all(&counting, |set| match set.cause {
            Some(Cause::Promotion { of }) => Some(of),
            _ => None,
        });
        counting.extend(staged);
        counting.extend(of_all(&counting, |set| set.promoted));
        counting.extend(of_all(&counting, |set| set.base));
        counting
    }
}

/// Whether a set is one that was asked for, or of those that follow it.
fn near(asked: RuleSetNumber, number: RuleSetNumber) -> bool {
    let after = number.0.checked_sub(asked.0);
    after
        .and_then(|after| usize::try_from(after).ok())
        .is_some_and(|after| after < CHANGES_HELD)
}
