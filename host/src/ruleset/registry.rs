//! A tenant's rule sets, made ready as they are needed.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::task::JoinHandle;

use super::entry::{Cause, Entry as Row, Repin, Stored, Who};
use super::store::{RuleSetError, Store};
use crate::lake::Lake;
use crate::medallion::definition::Definition;
use crate::medallion::rules::{Rules, RulesError, Workshop};
use crate::names::{Digest, Offset, Partition, RuleSetNumber, Tenant};
use crate::plugin::Sandbox;

/// Rule sets that are kept ready: the one that judges, those of rows that are still being caught up
/// or summed, and the one to go back to.
const MOST_READY: usize = 8;

/// Where a rule set stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It waits for its promotion.
    Staged,
    /// It judges what comes now.
    Active,
    /// It judged once.
    Retired,
    /// It could not be taken up.
    Failed,
}

impl State {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Staged => "staged",
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
    pub definition: Definition,
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

/// Follows the `rulesets` table of one tenant.
pub struct Registry {
    store: Store,
    sets: BTreeMap<RuleSetNumber, RuleSet>,
    active: Option<RuleSetNumber>,
    /// The set that the TOML of a host's last start said.
    toml: Option<RuleSetNumber>,
    repins: Vec<Repin>,
    history: Vec<Change>,
    ready: BTreeMap<RuleSetNumber, Arc<Rules>>,
    workshop: Arc<Mutex<Workshop>>,
    /// A staged set whose components are being compiled, so that its promotion need not wait.
    warming: Option<(RuleSetNumber, JoinHandle<Result<Rules, RulesError>>)>,
    /// Staged sets up to this one were warmed; the last of them is held, and its components with it.
    warmed: RuleSetNumber,
    warm: Option<Rules>,
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
        let (store, stored) = Store::open(lake, tenant).await?;
        let mut registry = Self {
            store,
            sets: BTreeMap::new(),
            active: None,
            toml: None,
            repins: Vec::new(),
            history: Vec::new(),
            ready: BTreeMap::new(),
            workshop: Arc::new(Mutex::new(Workshop::new(sandbox))),
            warming: None,
            warmed: RuleSetNumber(0),
            warm: None,
        };
        registry.take_up(stored);
        Ok(registry)
    }

    /// Takes up what was changed since the last look.
    ///
    /// # Errors
    /// A lake that can't be read.
    pub async fn refresh(&mut self) -> Result<(), RuleSetError> {
        let stored = self.store.refresh().await?;
        self.take_up(stored);
        Ok(())
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
        self.sets.get(&number).map(|set| &set.definition)
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
            (None, None) => State::Staged,
        }
    }

    /// The set that judged before the active one, if it was another.
    pub fn before_active(&self) -> Option<RuleSetNumber> {
        let active = self.active_definition()?;
        let mut earlier =
            self.sets.values().rev().filter(|set| {
                set.cause.is_some() && set.failed.is_none() && set.definition != *active
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
        let entry = Row::Stage {
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
        let entry = Row::Activate {
            definition: Box::new(definition.clone()),
            cause,
        };
        let overtaken = |others: &[Stored]| {
            others
                .iter()
                .any(|other| matches!(other.entry, Row::Activate { .. }))
        };
        let (stored, number) = self.store.add(at, who, &entry, overtaken).await?;
        self.take_up(stored);
        Ok(number)
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
        let definition = before.definition.clone();
        let who = Who {
            by: by.to_owned(),
            why: reason.to_owned(),
        };
        // Where another host was first, its word counts.
        self.activate(&definition, cause, &who, at)
            .await
            .map(|_| ())
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
        let entry = Row::Fail { number };
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
        self.add(who, at, &Row::Toml { of }).await.map(|_| ())
    }

    /// Has another rule set judge rows that are not in quarantine's progress yet.
    ///
    /// # Errors
    /// A rule set that there is not, or a lake that can't be written.
    pub async fn repin(&mut self, repin: &Repin, who: &Who, at: i64) -> Result<(), RuleSetError> {
        self.set(repin.number)?;
        self.add(who, at, &Row::Repin(repin.clone()))
            .await
            .map(|_| ())
    }

    async fn add(
        &mut self,
        who: &Who,
        at: i64,
        entry: &Row,
    ) -> Result<RuleSetNumber, RuleSetError> {
        let (stored, number) = self.store.add(at, who, entry, |_| false).await?;
        self.take_up(stored);
        // Nothing does away with it, so it has one.
        Ok(number.unwrap_or_else(|| self.last()))
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

    /// A rule set, made ready.
    ///
    /// # Errors
    /// A number that there is not, a blob that is gone, or a definition that does not fit.
    pub async fn rules(&mut self, number: RuleSetNumber) -> Result<Arc<Rules>, RuleSetError> {
        if let Some(rules) = self.ready.get(&number) {
            return Ok(rules.clone());
        }
        let Some(definition) = self.definition(number).cloned() else {
            return Err(RuleSetError::Unknown {
                number: number.0,
                table: self.store.table().to_owned(),
            });
        };
        let rules = self
            .prepare(number, definition, BTreeMap::new())
            .await?
            .await
            .map_err(|_| RuleSetError::Interrupted)?
            .map_err(|source| RuleSetError::Rules { number, source })?;
        for note in &rules.notes {
            tracing::warn!(ruleset = number.0, "{note}");
        }
        let rules = Arc::new(rules);
        self.ready.insert(number, rules.clone());
        self.make_room(number);
        Ok(rules)
    }

    /// Lets go of the oldest sets that nobody else holds.
    fn make_room(&mut self, newest: RuleSetNumber) {
        while self.ready.len() > MOST_READY {
            let idle = self.ready.iter().find(|(number, rules)| {
                **number != newest && Some(**number) != self.active && Arc::strong_count(rules) == 1
            });
            let Some(number) = idle.map(|(number, _)| *number) else {
                return;
            };
            self.ready.remove(&number);
        }
    }

    /// Begins to make a definition ready, on a thread of its own. Blobs that are neither known to
    /// the workshop nor in `blobs` are fetched.
    async fn prepare(
        &self,
        number: RuleSetNumber,
        definition: Definition,
        mut blobs: BTreeMap<Digest, Bytes>,
    ) -> Result<JoinHandle<Result<Rules, RulesError>>, RuleSetError> {
        let wanted = {
            let mut workshop = lock(&self.workshop);
            // What a set that is being warmed counts on must not go meanwhile.
            if self.warming.is_none() {
                workshop.tidy();
            }
            workshop.wants(&definition)
        };
        for digest in wanted {
            if let Entry::Vacant(absent) = blobs.entry(digest) {
                absent.insert(self.blob(number, digest).await?);
            }
        }
        let workshop = self.workshop.clone();
        Ok(tokio::task::spawn_blocking(move || {
            lock(&workshop).prepare(number, &definition, &blobs)
        }))
    }

    /// Compiles the components of staged sets ahead, beside whatever else goes on: their promotion
    /// then finds them ready. What is wrong with one is said in the log, and again if it is
    /// promoted all the same.
    pub async fn warm(&mut self) {
        if let Some((number, task)) = self.warming.take() {
            if !task.is_finished() {
                self.warming = Some((number, task));
                return;
            }
            match task.await {
                Ok(Ok(rules)) => {
                    tracing::info!(staged = number.0, "staged rule set is ready");
                    self.warm = Some(rules);
                }
                Ok(Err(error)) => {
                    tracing::warn!(staged = number.0, %error, "staged rule set does not fit")
                }
                Err(_) => {}
            }
        }
        let after = self.warmed.max(self.active.unwrap_or(RuleSetNumber(0)));
        let mut staged = self.sets.values().filter(|set| set.number > after);
        let Some(set) = staged.find(|set| self.state(set) == State::Staged) else {
            return;
        };
        let (number, definition) = (set.number, set.definition.clone());
        match self.prepare(number, definition, BTreeMap::new()).await {
            Ok(task) => self.warming = Some((number, task)),
            Err(error) => {
                tracing::warn!(staged = number.0, %error, "staged rule set can't be made ready yet")
            }
        }
        self.warmed = number;
    }

    /// Tries whether a definition can be made ready, with blobs that need not be stored.
    ///
    /// # Errors
    /// What does not fit.
    pub async fn check(
        &self,
        number: RuleSetNumber,
        definition: &Definition,
        blobs: &BTreeMap<Digest, Bytes>,
    ) -> Result<Rules, RuleSetError> {
        let task = self
            .prepare(number, definition.clone(), blobs.clone())
            .await?;
        task.await
            .map_err(|_| RuleSetError::Interrupted)?
            .map_err(|source| RuleSetError::Rules { number, source })
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

    fn take_up(&mut self, stored: Vec<Stored>) {
        for Stored {
            version,
            at,
            who,
            entry,
        } in stored
        {
            let number = RuleSetNumber(version);
            let what = told(number, &entry);
            match entry {
                Row::Stage { definition, base } => {
                    self.sets.insert(
                        number,
                        RuleSet {
                            number,
                            definition: *definition,
                            cause: None,
                            base,
                            promoted: None,
                            failed: None,
                        },
                    );
                }
                Row::Activate { definition, cause } => {
                    self.activated(number, *definition, cause, &who);
                }
                Row::Fail { number } => self.failed(number, &who),
                Row::Toml { of } => self.toml = Some(of),
                Row::Repin(repin) => self.repins.push(repin),
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

    fn failed(&mut self, number: RuleSetNumber, who: &Who) {
        if let Some(set) = self.sets.get_mut(&number) {
            set.failed = Some(who.why.clone());
        }
    }
}

fn lock(workshop: &Mutex<Workshop>) -> std::sync::MutexGuard<'_, Workshop> {
    workshop.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A change in a person's words.
fn told(number: RuleSetNumber, entry: &Row) -> String {
    match entry {
        Row::Stage {
            base: Some(base), ..
        } => {
            format!("rule set {number} staged while {base} was active")
        }
        Row::Stage { base: None, .. } => format!("rule set {number} staged"),
        Row::Activate { cause, .. } => {
            let how = match cause {
                Cause::Toml => String::new(),
                Cause::Promotion { of } => format!(": promotion of {of}"),
                Cause::Rollback { of } => format!(": rollback to {of}"),
                Cause::Dimension => ": a dimension was loaded".to_owned(),
                Cause::Failure { failed, of } => {
                    format!(": {failed} failed, {of} judges again")
                }
            };
            format!("rule set {number} activated{how}")
        }
        Row::Fail { number } => format!("rule set {number} failed"),
        Row::Toml { of } => format!("the TOML at a host's start is that of rule set {of}"),
        Row::Repin(Repin {
            partition,
            from,
            to,
            number,
        }) => format!("{partition} offsets {from} to {to} re-pinned to rule set {number}"),
    }
}
