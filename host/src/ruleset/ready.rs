//! Making rule sets ready to judge: when rows need one, and ahead for those that are staged.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::task::JoinHandle;

use super::registry::Registry;
use super::store::RuleSetError;
use crate::medallion::definition::Definition;
use crate::medallion::rules::{Rules, RulesError, Workshop};
use crate::names::{Digest, RuleSetNumber};
use crate::plugin::Sandbox;

/// Rule sets that are kept ready: the one that judges, those of rows that are still being caught up
/// or summed, and the one to go back to.
const MOST_READY: usize = 8;

impl Registry {
    /// A rule set, made ready.
    ///
    /// # Errors
    /// A number that there is not, a blob that is gone, or a definition that does not fit.
    pub async fn rules(&mut self, number: RuleSetNumber) -> Result<Arc<Rules>, RuleSetError> {
        if let Some(rules) = self.ready.get(&number) {
            return Ok(rules.clone());
        }
        self.reach(number).await?;
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
                **number != newest
                    && Some(**number) != self.held.active
                    && Arc::strong_count(rules) == 1
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
        let after = self
            .warmed
            .max(self.held.active.unwrap_or(RuleSetNumber(0)));
        let mut staged = self.held.sets.values().filter(|set| set.number > after);
        let Some(set) = staged.find(|set| self.state(set).waits()) else {
            return;
        };
        let (number, definition) = (set.number, Definition::clone(&set.definition));
        match self.prepare(number, definition, BTreeMap::new()).await {
            Ok(task) => self.warming = Some((number, task)),
            Err(error) => {
                tracing::warn!(staged = number.0, %error, "staged rule set can't be made ready yet")
            }
        }
        self.warmed = number;
    }

    /// The sandbox that the sets' components run in.
    pub fn sandbox(&self) -> Arc<Sandbox> {
        lock(&self.workshop).sandbox()
    }

    /// Begins to make ready, beside whatever else goes on, what activating a set would activate.
    ///
    /// # Errors
    /// A number that there is not, or a blob that is gone.
    pub async fn begin(
        &self,
        number: RuleSetNumber,
    ) -> Result<JoinHandle<Result<Rules, RulesError>>, RuleSetError> {
        let definition = self.as_activated(number)?;
        self.prepare(number, definition, BTreeMap::new()).await
    }

    /// Whether a staged set is being compiled.
    pub fn is_warming(&self) -> bool {
        let task = self.warming.as_ref();
        task.is_some_and(|(_, task)| !task.is_finished())
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
}

pub(super) fn lock(workshop: &Mutex<Workshop>) -> MutexGuard<'_, Workshop> {
    workshop.lock().unwrap_or_else(PoisonError::into_inner)
}
