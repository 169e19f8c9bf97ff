//! Changes of a tenant's rule sets: staging, promoting, going back. Each works on the lake alone,
//! whether hosts run or not; those that do take it up with their next batch.

mod error;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use bytes::Bytes;

pub use self::error::ChangeError;
use super::config::Config;
use super::fit::Declared;
use super::plan::{Plan, PlanError};
use super::shadow::check_gate;
pub use crate::environment::{now, user};
use crate::lake::{Commit, Lake, TableSpec};
use crate::medallion::definition::{Definition, DimensionUse};
use crate::medallion::layer::{LayerError, Put, commit_of, evolved, put};
use crate::medallion::parquet_blob;
use crate::medallion::rules::Rules;
use crate::names::{Digest, RuleSetNumber, Tenant};
use crate::plugin::Sandbox;
use crate::ruleset::{Cause, Difference, Registry, RuleSetError, State, Who, diff};

/// How often a change is made anew because another came between.
const MOST_TRIES: u32 = 20;

/// What came of staging.
pub struct Staged {
    pub number: RuleSetNumber,
    /// What was active then.
    pub active: Option<RuleSetNumber>,
    /// What it would change.
    pub differences: Vec<Difference>,
    /// The same was staged before, and nothing was written.
    pub already: bool,
}

/// What came of an activation.
pub struct Activated {
    pub number: RuleSetNumber,
    /// The set that was staged, or gone back to.
    pub of: RuleSetNumber,
    pub before: Option<RuleSetNumber>,
    /// What it changes.
    pub differences: Vec<Difference>,
}

/// A tenant's rule sets, to be changed.
pub struct Changes {
    lake: Lake,
    tenant: Tenant,
    pub registry: Registry,
    declared: Declared,
}

impl Changes {
    /// Opens a tenant's rule sets, or makes their table.
    ///
    /// # Errors
    /// A lake that can't be reached or written, or a set that this version can't read.
    pub async fn open(
        lake: &Lake,
        tenant: &Tenant,
        sandbox: Arc<Sandbox>,
    ) -> Result<Self, RuleSetError> {
        Ok(Self {
            lake: lake.clone(),
            tenant: tenant.clone(),
            registry: Registry::open(lake, tenant, sandbox).await?,
            declared: Declared::default(),
        })
    }

    /// Stages what a pipeline's TOML says, once it is checked against its components, dimensions
    /// and the tables. Nothing judges by it yet.
    ///
    /// # Errors
    /// `ActiveAlready` where nothing differs, what does not fit, or a lake that can't be written.
    pub async fn stage(&mut self, config: &Config, who: &Who) -> Result<Staged, ChangeError> {
        let active = self.registry.active();
        let plan = Plan::of(config, self.registry.active_definition()).await?;
        if let Some(number) = active
            && self.registry.definition(number) == Some(&plan.definition)
        {
            return Err(ChangeError::ActiveAlready { number });
        }
        let differences = self
            .differences(active, &plan.definition, &plan.blobs)
            .await;
        let waiting = self.registry.sets().rev().find(|set| {
            *set.definition == plan.definition
                && set.base == active
                && self.registry.state(set).waits()
        });
        if let Some(set) = waiting {
            return Ok(Staged {
                number: set.number,
                active,
                differences,
                already: true,
            });
        }
        self.check(&plan).await?;
        self.keep(&plan).await?;
        let number = self.registry.stage(&plan.definition, who, now()).await?;
        Ok(Staged {
            number,
            active,
            differences,
            already: false,
        })
    }

    /// Has a staged set judge from the next batch on. Dimensions that it was staged with as they
    /// were keep the rows of now: what was loaded since is not undone.
    ///
    /// # Errors
    /// A set that is not staged; `Gated`, where it does not show what the active one's `[promotion]`
    /// asks for; or `Unfit`, which marks it failed; a lake that can't be written.
    pub async fn promote(
        &mut self,
        number: RuleSetNumber,
        who: &Who,
    ) -> Result<Activated, ChangeError> {
        self.promoted(number, who, true).await
    }

    /// As [`Self::promote`], whatever the active set's `[promotion]` asks for. The history says so.
    ///
    /// # Errors
    /// As [`Self::promote`], but for `Gated`.
    pub async fn promote_despite_gates(
        &mut self,
        number: RuleSetNumber,
        who: &Who,
    ) -> Result<Activated, ChangeError> {
        let who = Who {
            by: who.by.clone(),
            why: format!("despite the gates: {}", who.why),
        };
        self.promoted(number, &who, false).await
    }

    async fn promoted(
        &mut self,
        number: RuleSetNumber,
        who: &Who,
        gated: bool,
    ) -> Result<Activated, ChangeError> {
        for _ in 0..MOST_TRIES {
            self.registry.refresh().await?;
            self.registry.reach(number).await?;
            let set = self.registry.set(number)?;
            if set.cause.is_some() {
                return Err(ChangeError::NotStaged { number });
            }
            let state = self.registry.state(set);
            if let Some(reason) = &set.failed {
                let reason = reason.clone();
                return Err(ChangeError::Failed { number, reason });
            }
            if state == State::Active {
                return Err(ChangeError::ActiveAlready { number });
            }
            if gated {
                let next = self.registry.next();
                check_gate(&self.lake, &self.tenant, &mut self.registry, number).await?;
                if self.registry.next() != next {
                    // The gate may have been that of a set which judges no more.
                    continue;
                }
            }
            let definition = self.registry.as_activated(number)?;
            let cause = Cause::Promotion { of: number };
            match self.switch(definition, cause, number, who).await {
                Ok(Some(activated)) => return Ok(activated),
                Ok(None) => {}
                Err(error) => return Err(self.failed(number, who, error).await?),
            }
        }
        Err(ChangeError::Contended { tries: MOST_TRIES })
    }

    /// Has a staged set judge live batches beside the active one, for a report, in the place of any
    /// other that does; or, with `begins` false, no more.
    ///
    /// # Errors
    /// A set that is not staged, or a lake that can't be written.
    pub async fn shadow(
        &mut self,
        number: RuleSetNumber,
        begins: bool,
        who: &Who,
    ) -> Result<(), ChangeError> {
        self.registry.refresh().await?;
        self.registry.reach(number).await?;
        let set = self.registry.set(number)?;
        if let Some(reason) = set.failed.clone() {
            return Err(ChangeError::Failed { number, reason });
        }
        let state = self.registry.state(set);
        match (state, begins) {
            (State::Shadow, true) | (State::Staged, false) => return Ok(()),
            (State::Shadow, false) => {}
            (State::Staged, true) => self.registry.check_trust_in(number)?,
            _ => {
                let state = state.as_str();
                return Err(ChangeError::NoShadow { number, state });
            }
        }
        let noted = self.registry.note_shadow(number, begins, who, now());
        Ok(noted.await?)
    }

    /// Has a set that judged before judge again, from the next batch on and under a new number.
    /// Without `to` it is the one before the active one. Dimensions have the rows that it had, or
    /// with `keep_dimensions` those of now.
    ///
    /// # Errors
    /// A set that never judged, or does not fit any more; a lake that can't be written.
    pub async fn rollback(
        &mut self,
        to: Option<RuleSetNumber>,
        keep_dimensions: bool,
        who: &Who,
    ) -> Result<Activated, ChangeError> {
        for _ in 0..MOST_TRIES {
            self.registry.refresh().await?;
            let number = match to {
                Some(number) => number,
                None => self
                    .registry
                    .before_active()
                    .await?
                    .ok_or(ChangeError::NothingEarlier)?,
            };
            self.registry.reach(number).await?;
            let set = self.registry.set(number)?;
            if set.cause.is_none() && set.promoted.is_none() {
                return Err(ChangeError::NeverActive { number });
            }
            // A staged set judged as its activation says.
            let judged = set.promoted.unwrap_or(number);
            self.registry.reach(judged).await?;
            let mut definition = Definition::clone(&self.registry.set(judged)?.definition);
            if keep_dimensions {
                keep_rows(&mut definition, self.registry.active_definition());
            }
            if Some(&definition) == self.registry.active_definition() {
                return Err(ChangeError::ActiveAlready { number });
            }
            let cause = Cause::Rollback { of: judged };
            if let Some(activated) = self.switch(definition, cause, judged, who).await? {
                return Ok(activated);
            }
        }
        Err(ChangeError::Contended { tries: MOST_TRIES })
    }

    async fn switch(
        &mut self,
        definition: Definition,
        cause: Cause,
        of: RuleSetNumber,
        who: &Who,
    ) -> Result<Option<Activated>, ChangeError> {
        let before = self.registry.active();
        let plan = Plan::unchanged(&definition);
        let differences = self
            .differences(before, &plan.definition, &plan.blobs)
            .await;
        let number = self.activate(&plan, cause, who).await?;
        Ok(number.map(|number| Activated {
            number,
            of,
            before,
            differences,
        }))
    }

    /// Marks a staged set failed, where the fault is its own, and says so.
    async fn failed(
        &mut self,
        number: RuleSetNumber,
        who: &Who,
        error: ChangeError,
    ) -> Result<ChangeError, ChangeError> {
        let Some(reason) = error.fault() else {
            return Ok(error);
        };
        let why = Who {
            by: who.by.clone(),
            why: reason.clone(),
        };
        self.registry.fail(number, &why, now()).await?;
        let active = self.registry.active();
        Ok(ChangeError::Unfit {
            number,
            reason,
            active: active.map_or("none".to_owned(), |active| active.to_string()),
        })
    }

    /// Activates a plan once it is checked, and shows the dimensions that it changes to readers.
    /// `None`: another set was activated meanwhile, and nothing was done.
    ///
    /// # Errors
    /// What does not fit, or a lake that can't be written.
    pub async fn activate(
        &mut self,
        plan: &Plan,
        cause: Cause,
        who: &Who,
    ) -> Result<Option<RuleSetNumber>, ChangeError> {
        self.check(plan).await?;
        self.keep(plan).await?;
        let before = self.registry.active_definition().cloned();
        let definition = &plan.definition;
        let number = self
            .registry
            .activate(definition, cause, who, now())
            .await?;
        if let Some(number) = number {
            for (name, dimension) in &definition.dimensions {
                let held = before.as_ref().and_then(|b| b.dimensions.get(name));
                let Some(digest) = dimension.rows else {
                    continue;
                };
                if held.and_then(|held| held.rows) == Some(digest) {
                    continue;
                }
                let bytes = self.bytes(number, digest, &plan.blobs).await?;
                let rows = parquet_blob::read(&bytes).map_err(|source| PlanError::Blob {
                    name: name.clone(),
                    source,
                })?;
                publish(&self.lake, &self.tenant, name, &rows).await?;
            }
        }
        Ok(number)
    }

    async fn check(&mut self, plan: &Plan) -> Result<Rules, ChangeError> {
        let number = self.registry.next();
        self.registry.check_trust(number, &plan.definition)?;
        for digest in plan.definition.blobs() {
            self.bytes(number, digest, &plan.blobs).await?;
        }
        let checked = self.registry.check(number, &plan.definition, &plan.blobs);
        let rules = checked.await?;
        self.declared.fits(&self.lake, &self.tenant, &rules).await?;
        Ok(rules)
    }

    async fn keep(&self, plan: &Plan) -> Result<(), ChangeError> {
        for bytes in plan.blobs.values() {
            self.registry.put_blob(bytes.clone()).await?;
        }
        Ok(())
    }

    async fn bytes(
        &self,
        number: RuleSetNumber,
        digest: Digest,
        blobs: &BTreeMap<Digest, Bytes>,
    ) -> Result<Bytes, RuleSetError> {
        match blobs.get(&digest) {
            Some(bytes) => Ok(bytes.clone()),
            None => self.registry.blob(number, digest).await,
        }
    }

    /// What differs between a set and a definition.
    async fn differences(
        &self,
        from: Option<RuleSetNumber>,
        to: &Definition,
        blobs: &BTreeMap<Digest, Bytes>,
    ) -> Vec<Difference> {
        let Some(from) = from.and_then(|from| self.registry.definition(from)) else {
            return Vec::new();
        };
        self.compare(from, to, blobs).await
    }

    /// What differs between two definitions. Rows of dimensions are taken from `blobs`, or else
    /// from the lake; where they are gone, they are only said to be others.
    pub async fn compare(
        &self,
        from: &Definition,
        to: &Definition,
        blobs: &BTreeMap<Digest, Bytes>,
    ) -> Vec<Difference> {
        let mut rows: BTreeMap<Digest, RecordBatch> = BTreeMap::new();
        let uses = from.dimensions.values().chain(to.dimensions.values());
        for digest in uses.filter_map(|used| used.rows) {
            if rows.contains_key(&digest) {
                continue;
            }
            let bytes = self.bytes(self.registry.next(), digest, blobs).await.ok();
            if let Some(read) = bytes.and_then(|bytes| parquet_blob::read(&bytes).ok()) {
                rows.insert(digest, read);
            }
        }
        diff(from, to, |used: &DimensionUse| {
            rows.get(&used.rows?).cloned()
        })
    }
}

/// Dimensions take the rows of now.
fn keep_rows(definition: &mut Definition, active: Option<&Definition>) {
    let Some(active) = active else { return };
    for (name, used) in &mut definition.dimensions {
        if let Some(held) = active.dimensions.get(name) {
            used.rows = held.rows;
        }
    }
}

/// Replaces the rows of a dimension's table. Readers use it; rules read the blob.
async fn publish(
    lake: &Lake,
    tenant: &Tenant,
    name: &str,
    rows: &RecordBatch,
) -> Result<(), LayerError> {
    let spec = TableSpec {
        schema: rows.schema(),
        partition_by: Vec::new(),
        description: format!("Dimension {name} as it was loaded last"),
        properties: BTreeMap::new(),
    };
    let mut table = lake
        .create_table(&format!("{tenant}/dimension/{name}"), &spec)
        .await?;
    loop {
        table.refresh().await?;
        let schema = evolved(&table, &rows.schema())?;
        let held = schema.as_ref().unwrap_or(table.schema()).clone();
        let commit = Commit {
            adds: table.writer().with_schema(held).write(rows).await?,
            removes: table.files().cloned().collect(),
            schema,
            watched: vec![BTreeMap::new()],
            ..commit_of("WRITE")
        };
        if let Put::Done = put(&mut table, &commit).await? {
            return Ok(());
        }
    }
}
