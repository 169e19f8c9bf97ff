//! A tenant's rule sets, made ready as they are needed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::task::JoinHandle;

use super::entry::{Cause, Entry, Repin, Stored, Who};
use super::history::{Change, RuleSet, State, told};
use super::ready::lock;
use super::store::{RuleSetError, Store};
use crate::lake::Lake;
use crate::medallion::definition::Definition;
use crate::medallion::rules::{Rules, RulesError, Workshop};
use crate::names::{Digest, Offset, Partition, RuleSetNumber, Tenant};
use crate::plugin::{HostLimits, Sandbox};
use crate::trust::Trust;

/// How many of the last sets are looked at for the same definition.
const DEFINITIONS_SHARED: usize = 16;

/// Follows the `rulesets` table of one tenant.
pub struct Registry {
    pub(super) store: Store,
    pub(super) sets: BTreeMap<RuleSetNumber, RuleSet>,
    pub(super) active: Option<RuleSetNumber>,
    /// The set that the TOML of a host's last start said.
    toml: Option<RuleSetNumber>,
    /// The staged set that was last told to judge beside the active one.
    pub(super) shadow: Option<RuleSetNumber>,
    repins: Vec<Repin>,
    history: Vec<Change>,
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
            sets: BTreeMap::new(),
            active: None,
            toml: None,
            shadow: None,
            repins: Vec::new(),
            history: Vec::new(),
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

    /// The rule set that judges what comes now.
    pub fn active(&self) -> Option<RuleSetNumber> {
        self.active
    }

    /// The definition of the rule set that judges what comes now.
    pub fn active_definition(&self) -> Option<&Definition> {
        self.definition(self.active?)
    }

    pub fn definition(&self, number: RuleSetNumber) -> Option<&Definition> {
        self.sets.get(&number).map(|set| &*set.definition)
    }

    /// What the TOML of a host's last start said.
    pub fn toml(&self) -> Option<&Definition> {
        self.definition(self.toml?)
    }

    /// Every set, by number.
    pub fn sets(&self) -> impl DoubleEndedIterator<Item = &RuleSet> {
        self.sets.values()
    }

    /// A set by its number.
    ///
    /// # Errors
    /// `NoSuch`.
    pub fn set(&self, number: RuleSetNumber) -> Result<&RuleSet, RuleSetError> {
        let set = self.sets.get(&number);
        set.ok_or(RuleSetError::NoSuch { number })
    }

    /// Where a set stands. A staged one stands where its last activation stands.
    pub fn state(&self, set: &RuleSet) -> State {
        if set.failed.is_some() {
            return State::Failed;
        }
        if self.active == Some(set.number) {
            return State::Active;
        }
        match (set.cause, set.promoted.and_then(|by| self.sets.get(&by))) {
            (Some(_), _) => State::Retired,
            (None, Some(promoted)) => self.state(promoted),
            (None, None) if self.shadow == Some(set.number) => State::Shadow,
            (None, None) => State::Staged,
        }
    }

    /// The set that judged before the active one, if it was another.
    pub fn before_active(&self) -> Option<RuleSetNumber> {
        let active = self.active_definition()?;
        let mut earlier = self.sets.values().rev().filter(|set| {
            set.cause.is_some() && set.failed.is_none() && *set.definition != *active
        });
        earlier.next().map(|set| set.number)
    }

    pub fn history(&self) -> &[Change] {
        &self.history
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
            definition: Box::new(definition.clone()),
            base: self.active,
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
            definition: Box::new(definition.clone()),
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

    /// Notes that `failed` can't be taken up here, and has the set before it judge again, on every
    /// host and under a new number: what was pinned to `failed` elsewhere stays pinned to it.
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
        let mut earlier = self.sets.range(..failed).rev();
        let before = earlier.find(|(_, set)| set.cause.is_some() && set.failed.is_none());
        let Some((of, before)) = before else {
            return Err(RuleSetError::NothingBefore { failed });
        };
        let cause = Cause::Failure { failed, of: *of };
        let definition = Definition::clone(&before.definition);
        let who = Who {
            by: by.to_owned(),
            why: reason.to_owned(),
        };
        // Where another host was first, its word counts.
        self.activate(&definition, cause, &who, at)
            .await
            .map(|_| ())
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
    /// A rule set that there is not, or a lake that can't be written.
    pub async fn repin(&mut self, repin: &Repin, who: &Who, at: i64) -> Result<(), RuleSetError> {
        self.set(repin.number)?;
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
            self.repins
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
        !self.repins.is_empty()
    }

    /// The number that the next change will have, unless another is quicker.
    pub fn next(&self) -> RuleSetNumber {
        RuleSetNumber(self.last().0 + 1)
    }

    fn last(&self) -> RuleSetNumber {
        let last = self.history.last();
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
        for Stored {
            version,
            at,
            who,
            entry,
        } in self.store.take()
        {
            let number = RuleSetNumber(version);
            let what = told(number, &entry);
            match entry {
                Entry::Stage { definition, base } => {
                    let definition = self.shared(*definition);
                    self.sets.insert(
                        number,
                        RuleSet {
                            number,
                            definition,
                            cause: None,
                            base,
                            promoted: None,
                            failed: None,
                        },
                    );
                }
                Entry::Activate { definition, cause } => {
                    self.activated(number, *definition, cause, &who);
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
    }

    fn activated(
        &mut self,
        number: RuleSetNumber,
        definition: Definition,
        cause: Cause,
        who: &Who,
    ) {
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
        let definition = self.shared(definition);
        self.sets.insert(
            number,
            RuleSet {
                number,
                definition,
                cause: Some(cause),
                base: None,
                promoted: None,
                failed: None,
            },
        );
        self.active = Some(number);
    }

    /// Swaps go to and fro between a few definitions, each of which is held once.
    fn shared(&self, definition: Definition) -> Arc<Definition> {
        let last = self.sets.values().rev().take(DEFINITIONS_SHARED);
        let mut same = last.filter(|set| *set.definition == definition);
        match same.next() {
            Some(set) => set.definition.clone(),
            None => Arc::new(definition),
        }
    }

    fn failed(&mut self, number: RuleSetNumber, who: &Who) {
        if let Some(set) = self.sets.get_mut(&number) {
            set.failed = Some(who.why.clone());
        }
    }
}
