//! What a host knows of its tenants, for whoever asks: the server, the page, monitors.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::super::change::Changes;
use super::super::config::Config;
use super::super::meter::Meter;
use crate::control::audit::{Act, Actor, Audit, Scope, Unaudited};
use crate::lake::Lake;
use crate::names::Tenant;
use crate::plugin::Sandbox;
use crate::ruleset::RuleSetError;
use crate::trust::Trust;

/// Where a tenant is on this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It runs, or is about to.
    Running,
    /// It commits what it took in, then it is paused, let go of, or ended with the host.
    Stopping,
    /// Somebody paused it, on every host.
    Paused { by: String, why: String },
    /// Its tables were deleted.
    Deleted { by: String },
    /// A person must act.
    Stopped { reason: String },
    /// What there was at the start is in gold.
    Ended,
}

impl State {
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Paused { .. } => "paused",
            Self::Deleted { .. } => "deleted",
            Self::Stopped { .. } => "stopped",
            Self::Ended => "ended",
        }
    }
}

/// A tenant of this host.
#[derive(Clone)]
pub struct Known {
    pub pipeline: PathBuf,
    pub lake: Lake,
    pub meter: Arc<Meter>,
    /// Whose signatures count.
    pub trust: Trust,
    pub state: State,
    pub(super) kept: Arc<Mutex<Kept>>,
}

/// What reads a tenant's tables on from where whoever worked on its rules last left them.
#[derive(Default)]
pub(super) struct Kept {
    /// Its tables may go, or come anew: nothing is kept of them, however a change ends that is under way.
    closed: bool,
    rules: Option<Changes>,
    audit: Option<Audit>,
}

impl Known {
    /// Its rule sets as they are now, for one piece of work on them. `None`: it has none yet. Opening
    /// them reads every change that there ever was; ones that were kept are read on from where they
    /// were.
    ///
    /// # Errors
    /// A lake that can't be reached or written, or a set that this version can't read.
    pub async fn rules(
        &self,
        tenant: &Tenant,
        sandbox: &Arc<Sandbox>,
    ) -> Result<Option<Changes>, RuleSetError> {
        let kept = self.kept().rules.take();
        if let Some(mut changes) = kept
            && changes.registry.refresh().await.is_ok()
        {
            return Ok(Some(changes));
        }
        let table = format!("{tenant}/rulesets");
        if self.lake.open_table(&table).await?.is_none() {
            return Ok(None);
        }
        let opened = Changes::open(&self.lake, tenant, sandbox.clone()).await?;
        Ok(Some(opened))
    }

    /// Keeps rule sets for the next piece of work, but where tables may go, or come anew.
    pub fn keep_rules(&self, mut changes: Changes) {
        changes.registry.let_go();
        let mut kept = self.kept();
        if !kept.closed {
            kept.rules = Some(changes);
        }
    }

    /// Makes a change of it, and notes in its audit how that ended.
    ///
    /// # Errors
    /// As [`audited`](crate::control::audit::audited).
    pub async fn audited<T, E: fmt::Display>(
        &self,
        tenant: &Tenant,
        actor: &Actor,
        act: Act,
        change: impl Future<Output = Result<T, E>>,
    ) -> Result<Result<T, E>, Unaudited> {
        let ended = change.await;
        // Taken only now: the tables may have gone meanwhile, and what was kept of them with them.
        let kept = self.kept().audit.take();
        let mut audit = kept.unwrap_or_else(|| Audit::new(&self.lake, Scope::Tenant(tenant)));
        audit.note_end(actor, act, &ended).await?;
        let mut kept = self.kept();
        if !kept.closed {
            kept.audit = Some(audit);
        }
        drop(kept);
        Ok(ended)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the quota of its TOML count. Answers whether it is another than before.
    pub(super) fn take_quota(&self, config: &Config) -> bool {
        let quota = config.quota.quota();
        self.lake.share().weigh(quota.cpu_share);
        self.meter.set_quota(quota) != quota
    }
}

/// The tenants of this host. Cheap to clone; clones show the same.
#[derive(Clone, Default)]
pub struct Roster {
    known: Arc<Mutex<BTreeMap<Tenant, Known>>>,
    /// Each pipeline that there was at the start has been seen to.
    complete: Arc<AtomicBool>,
    changed: Arc<Notify>,
}

impl Roster {
    /// A roster of one tenant, which others run.
    pub fn of(config: &Config, lake: &Lake, meter: &Arc<Meter>) -> Self {
        let roster = Self::default();
        let known = Known {
            pipeline: config.path.clone(),
            lake: lake.clone(),
            meter: meter.clone(),
            trust: config.trust.clone(),
            state: State::Running,
            kept: Arc::default(),
        };
        known.take_quota(config);
        roster.put(&config.tenant, known);
        roster.completed();
        roster
    }

    pub fn all(&self) -> Vec<(Tenant, Known)> {
        let known = self.lock();
        let all = known.iter();
        all.map(|(tenant, known)| (tenant.clone(), known.clone()))
            .collect()
    }

    pub fn get(&self, tenant: &Tenant) -> Option<Known> {
        self.lock().get(tenant).cloned()
    }

    /// Whether each pipeline that there was at the start has been seen to. Before, a tenant may be
    /// missing.
    pub fn is_complete(&self) -> bool {
        self.complete.load(Ordering::Acquire)
    }

    pub(super) fn completed(&self) {
        self.complete.store(true, Ordering::Release);
    }

    /// Has the host look at once at what the lake says about its tenants.
    pub fn look(&self) {
        self.changed.notify_one();
    }

    /// Until somebody wants the host to look.
    pub(super) async fn wanted(&self) {
        self.changed.notified().await;
    }

    pub(super) fn put(&self, tenant: &Tenant, known: Known) {
        self.lock().insert(tenant.clone(), known);
    }

    pub(super) fn set(&self, tenant: &Tenant, state: State) {
        if let Some(known) = self.lock().get_mut(tenant) {
            let closed = state != State::Running;
            known.state = state;
            *known.kept() = Kept {
                closed,
                ..Kept::default()
            };
        }
    }

    pub(super) fn remove(&self, tenant: &Tenant) {
        self.lock().remove(tenant);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Tenant, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::TOML;
    use super::*;

    #[tokio::test]
    async fn nothing_is_kept_of_tables_that_went_while_a_change_was_under_way() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("north.toml");
        std::fs::write(&path, TOML).unwrap();
        let config = Config::read(&path).unwrap();
        let lake = Lake::open("memory:///").unwrap();
        let roster = Roster::of(&config, &lake, &Arc::new(Meter::default()));
        let (north, actor) = (config.tenant.clone(), Actor::here());
        let act = || Act::new("rules promote", "rule set 3", "a test");
        let known = roster.get(&north).unwrap();
        let change = async { Ok::<_, String>(()) };
        let done = known.audited(&north, &actor, act(), change).await;
        assert_eq!(done.unwrap(), Ok(()));
        assert!(known.kept().audit.is_some());
        let deleted = async {
            let by = "ann".to_owned();
            roster.set(&north, State::Deleted { by });
            Ok::<_, String>(())
        };
        let done = known.audited(&north, &actor, act(), deleted).await;
        assert_eq!(done.unwrap(), Ok(()));
        assert!(known.kept().audit.is_none());
    }
}
