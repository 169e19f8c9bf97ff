//! A tenant's rule sets, made ready as they are needed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::task::JoinHandle;

use super::entry::{Cause, Entry, Repin, Stored, Who};
use super::held::Held;
use super::history::{Change, RuleSet, State};
use super::ready::lock;
use super::store::{RuleSetError, Store};
use crate::lake::Lake;
use crate::medallion::definition::Definition;
use crate::medallion::rules::{Rules, RulesError, Workshop};
use crate::names::{Digest, Offset, Partition, RuleSetNumber, Tenant};
use crate::plugin::{HostLimits, Sandbox};
use crate::trust::Trust;

/// Follows the `rulesets` table of one tenant.
pub struct Registry {
    pub(super) store: Store,
    pub(super) held: Held,
    pub(super) ready: BTreeMap<RuleSetNumber, Arc<Rules>>,
    pub(super) workshop: Arc<Mutex<Workshop>>,
    /// A staged set whose components are being compiled, so that its promotion need not wait.
    pub(super) warming: Option<(RuleSetNumber, JoinHandle<Result<Rules, RulesError>>)>,
    /// Staged sets up to this one were warmed; the last of them is held, and its components with it.
    pub(super) warmed: RuleSetNumber,
    pub(super) warm: Option<Rules>,
    pub(super) trust: Trust,
}

impl Registry {
    /// Opens the table, or makes it.
    ///
    /// # Errors
    /// A lake that can't be reached or written, or an entry that this version can't read.
    pub async fn open(
        lake: &Lake,
        tenant: &Tenant,
        sandbox: Arc<Sandbox>,
    ) -> Result<Self, RuleSetError> {
        let store = Store::open(lake, tenant).await?;
        let mut registry = Self {
            store,
            held: Held::default(),
            ready: BTreeMap::new(),
            workshop: Arc::new(Mutex::new(Workshop::new(sandbox))),
            warming: None,
            warmed: RuleSetNumber(0),
            warm: None,
            trust: Trust::default(),
        };
        registry.take_up();
        Ok(registry)
    }

    /// Sets what the host allows components that are made ready from now on.
    pub fn set_host_limits(&mut self, limits: HostLimits) {
        lock(&self.workshop).set_host_limits(limits);
    }

    pub fn host_limits(&self) -> HostLimits {
        lock(&self.workshop).host_limits()
    }

    /// Takes up what was changed since the last look.
    ///
    /// # Errors
    /// A lake that can't be read.
    pub async fn refresh(&mut self) -> Result<(), RuleSetError> {
        let refreshed = self.store.refresh().await;
        self.take_up();
        refreshed
    }

    /// Has a set at hand that somebody names: an earlier one may have to be read again.
    ///
    /// # Errors
    /// A lake that can't be read.
    pub async fn reach(&mut self, number: RuleSetNumber) -> Result<(), RuleSetError> {
        match self.held.ask(number) {
            true => Ok(()),
            false => self.reach_all().await,
        }
    }

    /// Has every set and change at hand.
    ///
    /// # Errors
    /// A lake that can't be read.
    pub async fn reach_all(&mut self) -> Result<(), RuleSetError> {
        if self.held.since.is_none() {
            return Ok(());
        }
        self.store = self.store.anew().await?;
        self.held = Held {
            asked: std::mem::take(&mut self.held.asked),
            ..Held::default()
        };
        self.take_up();
        Ok(())
    }

    /// Lets go of changes and sets that are neither of late nor count any more, for one who stays:
    /// what it holds does not grow with the changes that there were.
    pub fn let_go(&mut self) {
        self.held.let_go();
    }

    /// The rule set that judges what comes now.
    pub fn active(&self) -> Option<RuleSetNumber> {
        self.held.active
    }

    /// The definition of the rule set that judges what comes now.
    pub fn active_definition(&self) -> Option<&Definition> {
        self.definition(self.held.active?)
    }

    pub fn definition(&self, number: RuleSetNumber) -> Option<&Definition> {
        self.held.sets.get(&number).map(|set| &*set.definition)
    }

    /// What the TOML of a host's last start said.
    pub fn toml(&self) -> Option<&Definition> {
        self.definition(self.held.toml?)
    }

    /// The sets of late and those that still count, by number.
    pub fn sets(&self) -> impl DoubleEndedIterator<Item = &RuleSet> {
        self.held.sets.values()
    }

    /// A set by its number. An earlier one is there after [`Self::reach`].
    ///
    /// # Errors
    /// `NoSuch`.
    pub fn set(&self, number: RuleSetNumber) -> Result<&RuleSet, RuleSetError> {
        let set = self.held.sets.get(&number);
        set.ok_or(RuleSetError::NoSuch { number })
    }

    /// Where a set stands. A staged one stands where its last activation stands.
    pub fn state(&self, set: &RuleSet) -> State {
        self.held.state(set)
    }

    /// The set that judged before the active one, if it was another.
    ///
    /// # Errors
    /// A lake that can't be read.
    pub async fn before_active(&mut self) -> Result<Option<RuleSetNumber>, RuleSetError> {
        let before = |held: &Held| held.before_active().map(|set| set.number);
        if !before(&self.held).is_some_and(|before| self.held.is_of_late(before)) {
            // Since the active one took over from one that failed, it may be one that is not held.
            self.reach_all().await?;
        }
        Ok(before(&self.held))
    }

    /// The last changes, the oldest first; all of them after [`Self::reach_all`].
    pub fn history(&self) -> &[Change] {
        &self.held.history
    }

    /// Stages a definition, whose blobs must be stored.
    ///
    /// # Errors
    /// A lake that can't be written.
    pub async fn stage(
        &mut self,
        definition: &Definition,
        who: &Who,
        at: i64,
    ) -> Result<RuleSetNumber, RuleSetError> {
        let entry = Entry::Stage {
            definition: Arc::new(definition.clone()),
            base: self.held.active,
        };
        self.add(who, at, &entry).await
    }

    /// Activates a definition, whose blobs must be stored. `None`: another was activated since the
    /// last look, and nothing was done; look again.
    ///
    /// # Errors
    /// A lake that can't be written.
    pub async fn activate(
        &mut self,
        definition: &Definition,
        cause: Cause,
        who: &Who,
        at: i64,
    ) -> Result<Option<RuleSetNumber>, RuleSetError> {
        let entry = Entry::Activate {
            definition: Arc::new(definition.clone()),
            cause,
        };
        let overtaken = |others: &[Stored]| {
            others
                .iter()
                .any(|other| matches!(other.entry, Entry::Activate { .. }))
        };
        let added = self.store.add(at, who, &entry, overtaken).await;
        self.take_up();
        added
    }

    /// Notes that `failed` can't be taken up here, and has a set before it judge again, on every host
    /// and under a new number: what was pinned to `failed` elsewhere stays pinned to it. What failed
    /// before, whatever its number was, is passed over, and so is what the tenant does not trust.
    ///
    /// # Errors
    /// `NothingBefore`, or a lake that can't be written.
    pub async fn fall_back(
        &mut self,
        failed: RuleSetNumber,
        reason: &str,
        by: &str,
        at: i64,
    ) -> Result<(), RuleSetError> {
        self.reach_all().await?;
        if self.active() != Some(failed) {
            // Another host was first, and its word counts.
            return Ok(());
        }
        let Some(before) = self.fitting_before(failed) else {
            return Err(RuleSetError::NothingBefore { failed });
        };
        let cause = Cause::Failure {
            failed,
            of: before.number,
        };
        let definition = Definition::clone(&before.definition);
        let who = Who {
            by: by.to_owned(),
            why: reason.to_owned(),
        };
        self.activate(&definition, cause, &who, at)
            .await
            .map(|_| ())
    }

    fn fitting_before(&self, failed: RuleSetNumber) -> Option<&RuleSet> {
        let mut unfit = Vec::new();
        let activated = self.held.sets.range(..=failed).rev().map(|(_, set)| set);
        for set in activated.filter(|set| set.cause.is_some()) {
            if set.number == failed || set.failed.is_some() {
                unfit.push(&set.definition);
            } else if !unfit.contains(&&set.definition)
                && self.check_trust(set.number, &set.definition).is_ok()
            {
                return Some(set);
            }
        }
        None
    }

    /// Has a staged set judge beside the active one, in the place of any other that does, or ends
    /// that.
    ///
    /// # Errors
    /// A lake that can't be written.
    pub async fn note_shadow(
        &mut self,
        of: RuleSetNumber,
        begins: bool,
        who: &Who,
        at: i64,
    ) -> Result<(), RuleSetError> {
        let entry = Entry::Shadow { of, begins };
        self.add(who, at, &entry).await.map(|_| ())
    }

    /// Notes that a staged set can't be promoted.
    ///
    /// # Errors
    /// A lake that can't be written.
    pub async fn fail(
        &mut self,
        number: RuleSetNumber,
        who: &Who,
        at: i64,
    ) -> Result<(), RuleSetError> {
        let entry = Entry::Fail { number };
        self.add(who, at, &entry).await.map(|_| ())
    }

    /// Notes that the TOML of a host's start said what `of` is.
    ///
    /// # Errors
    /// A lake that can't be written.
    pub async fn note_toml(
        &mut self,
        of: RuleSetNumber,
        who: &Who,
        at: i64,
    ) -> Result<(), RuleSetError> {
        self.add(who, at, &Entry::Toml { of }).await.map(|_| ())
    }

    /// Has another rule set judge rows that are not in quarantine's progress yet.
    ///
    /// # Errors
    /// A rule set that there is not, or that failed; or a lake that can't be written.
    pub async fn repin(&mut self, repin: &Repin, who: &Who, at: i64) -> Result<(), RuleSetError> {
        self.reach(repin.number).await?;
        if let Some(reason) = self.set(repin.number)?.failed.clone() {
            let number = repin.number;
            return Err(RuleSetError::Failed { number, reason });
        }
        self.add(who, at, &Entry::Repin(repin.clone()))
            .await
            .map(|_| ())
    }

    async fn add(
        &mut self,
        who: &Who,
        at: i64,
        entry: &Entry,
    ) -> Result<RuleSetNumber, RuleSetError> {
        let added = self.store.add(at, who, entry, |_| false).await;
        self.take_up();
        // Nothing does away with it, so it has one.
        Ok(added?.unwrap_or_else(|| self.last()))
    }

    /// The rule set that judges a row which was pinned to `pinned`, and up to which offset that
    /// holds at most.
    pub fn judging(
        &self,
        partition: &Partition,
        offset: Offset,
        pinned: RuleSetNumber,
    ) -> (RuleSetNumber, Offset) {
        let ours = || {
            self.held
                .repins
                .iter()
                .filter(|repin| repin.partition == *partition)
        };
        let boundary = ours()
            .flat_map(|repin| [repin.from, repin.to])
            .filter(|at| *at > offset)
            .min()
            .unwrap_or(Offset::MAX);
        let latest = ours()
            .rev()
            .find(|repin| (repin.from..repin.to).contains(&offset));
        (latest.map_or(pinned, |repin| repin.number), boundary)
    }

    /// Whether any rows were re-pinned.
    pub fn has_repins(&self) -> bool {
        !self.held.repins.is_empty()
    }

    /// The number that the next change will have, unless another is quicker.
    pub fn next(&self) -> RuleSetNumber {
        RuleSetNumber(self.last().0 + 1)
    }

    fn last(&self) -> RuleSetNumber {
        let last = self.held.history.last();
        last.map_or(RuleSetNumber(0), |change| change.number)
    }

    /// Keeps bytes under their digest.
    ///
    /// # Errors
    /// A lake that can't be written.
    pub async fn put_blob(&self, bytes: Bytes) -> Result<Digest, RuleSetError> {
        self.store.put_blob(bytes).await
    }

    /// Bytes that were kept for a rule set.
    ///
    /// # Errors
    /// Bytes that are gone or damaged.
    pub async fn blob(&self, number: RuleSetNumber, digest: Digest) -> Result<Bytes, RuleSetError> {
        let found = self.store.blob(digest).await?;
        found.ok_or(RuleSetError::Rules {
            number,
            source: RulesError::MissingBlob { digest },
        })
    }

    fn take_up(&mut self) {
        for stored in self.store.take() {
            self.held.take(stored);
        }
    }
}
