//! A tenant's rule sets, made ready as they are needed.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::store::{Entry, RuleSetError, Store, Stored, Who};
use crate::lake::Lake;
use crate::medallion::definition::Definition;
use crate::medallion::rules::{Rules, Workshop};
use crate::names::{Digest, Offset, Partition, RuleSetNumber, Tenant};
use crate::plugin::Sandbox;

/// Rows of a partition that another rule set judges than the one that they were pinned to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repin {
    pub partition: Partition,
    pub from: Offset,
    pub to: Offset,
    pub number: RuleSetNumber,
}

/// One line of the history.
#[derive(Clone, Debug)]
pub struct HistoryLine {
    pub version: i64,
    /// Microseconds since 1970.
    pub at: i64,
    pub who: Who,
    pub what: String,
}

/// Follows the `rulesets` table of one tenant.
pub struct Registry {
    store: Store,
    definitions: BTreeMap<RuleSetNumber, Definition>,
    repins: Vec<Repin>,
    history: Vec<HistoryLine>,
    ready: BTreeMap<RuleSetNumber, Arc<Rules>>,
    workshop: Workshop,
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
            definitions: BTreeMap::new(),
            repins: Vec::new(),
            history: Vec::new(),
            ready: BTreeMap::new(),
            workshop: Workshop::new(sandbox),
        };
        registry.take_up(stored);
        Ok(registry)
    }

    /// Takes up what was activated or re-pinned since the last look.
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
        self.definitions.keys().next_back().copied()
    }

    pub fn definition(&self, number: RuleSetNumber) -> Option<&Definition> {
        self.definitions.get(&number)
    }

    pub fn history(&self) -> &[HistoryLine] {
        &self.history
    }

    /// Activates a definition, unless the active one is the same. Its blobs must be stored.
    ///
    /// # Errors
    /// A lake that can't be written.
    pub async fn activate(
        &mut self,
        definition: &Definition,
        who: &Who,
        at: i64,
    ) -> Result<RuleSetNumber, RuleSetError> {
        self.refresh().await?;
        let is_active = self
            .active()
            .and_then(|number| self.definitions.get(&number))
            == Some(definition);
        if !is_active {
            let entry = Entry::Activate(Box::new(definition.clone()));
            let wanted = definition.clone();
            let stored = self
                .store
                .add(at, who, &entry, move |others| {
                    let activated = others.iter().rev().find_map(|stored| match &stored.entry {
                        Entry::Activate(definition) => Some(definition),
                        Entry::Repin { .. } => None,
                    });
                    activated.is_some_and(|definition| **definition == wanted)
                })
                .await?;
            self.take_up(stored);
        }
        self.active().ok_or_else(|| self.unknown(0))
    }

    /// Has another rule set judge rows that are not in quarantine's progress yet.
    ///
    /// # Errors
    /// A rule set that there is not, or a lake that can't be written.
    pub async fn repin(&mut self, repin: &Repin, who: &Who, at: i64) -> Result<(), RuleSetError> {
        if !self.definitions.contains_key(&repin.number) {
            return Err(self.unknown(repin.number.0));
        }
        let entry = Entry::Repin {
            partition: repin.partition.clone(),
            from: repin.from,
            to: repin.to,
            number: repin.number,
        };
        let stored = self.store.add(at, who, &entry, |_| false).await?;
        self.take_up(stored);
        Ok(())
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
        let Some(definition) = self.definitions.get(&number).cloned() else {
            return Err(self.unknown(number.0));
        };
        let mut blobs: BTreeMap<Digest, Bytes> = BTreeMap::new();
        for digest in definition.blobs() {
            if let std::collections::btree_map::Entry::Vacant(e) = blobs.entry(digest) {
                e.insert(self.store.blob(digest).await?);
            }
        }
        let rules = self
            .workshop
            .prepare(number, &definition, &blobs)
            .map_err(|source| RuleSetError::Rules { number, source })?;
        for note in &rules.notes {
            tracing::warn!(ruleset = number.0, "{note}");
        }
        let rules = Arc::new(rules);
        self.ready.insert(number, rules.clone());
        Ok(rules)
    }

    /// Tries whether a definition can be made ready, with blobs that need not be stored.
    ///
    /// # Errors
    /// What does not fit.
    pub fn check(
        &mut self,
        definition: &Definition,
        blobs: &BTreeMap<Digest, Bytes>,
    ) -> Result<Rules, RuleSetError> {
        let number = RuleSetNumber(self.active().map_or(0, |number| number.0) + 1);
        self.workshop
            .prepare(number, definition, blobs)
            .map_err(|source| RuleSetError::Rules { number, source })
    }

    /// Keeps bytes under their digest.
    ///
    /// # Errors
    /// A lake that can't be written.
    pub async fn put_blob(&self, bytes: Bytes) -> Result<Digest, RuleSetError> {
        self.store.put_blob(bytes).await
    }

    /// Bytes that were kept.
    ///
    /// # Errors
    /// Bytes that are gone or damaged.
    pub async fn blob(&self, digest: Digest) -> Result<Bytes, RuleSetError> {
        self.store.blob(digest).await
    }

    fn unknown(&self, number: i64) -> RuleSetError {
        RuleSetError::Unknown {
            number,
            table: self.store.table().to_owned(),
        }
    }

    fn take_up(&mut self, stored: Vec<Stored>) {
        for Stored {
            version,
            at,
            who,
            entry,
        } in stored
        {
            let what = match entry {
                Entry::Activate(definition) => {
                    self.definitions.insert(RuleSetNumber(version), *definition);
                    format!("rule set {version} activated")
                }
                Entry::Repin {
                    partition,
                    from,
                    to,
                    number,
                } => {
                    let what = format!(
                        "{partition} offsets {from} to {to} re-pinned to rule set {number}"
                    );
                    self.repins.push(Repin {
                        partition,
                        from,
                        to,
                        number,
                    });
                    what
                }
            };
            self.history.push(HistoryLine {
                version,
                at,
                who,
                what,
            });
        }
    }
}
