//! A staged rule set that judges live batches beside the active one, for a report.
//!
//! It writes no rows, and the tenant's loop never waits for it: batches that are in bronze are
//! offered to a thread of its own, and those that it has no time for are left out and counted. What
//! goes wrong with it ends the shadow, and nothing else.

mod report;
mod thread;

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;

pub use self::report::{Coverage, Merged, Report, merged};
use self::thread::{Beside, Purpose};
use super::breaker::{self, Breaker};
use super::change::{now, user};
use super::config::{BreakerConfig, Config};
use crate::lake::{Lake, LakeError};
use crate::medallion::compare::{Compared, Comparer};
use crate::medallion::cut::Cut;
use crate::medallion::rules::{Rules, RulesError};
use crate::names::{RuleSetNumber, Tenant};
use crate::ruleset::{Registry, RuleSetError, Who};

/// How long the end of a host waits for the last word of a shadow.
const LAST_WORD: Duration = Duration::from_secs(2);

/// The shadow of one tenant on this host.
pub struct Shadow {
    lake: Lake,
    tenant: Tenant,
    share: f64,
    breaker: BreakerConfig,
    /// Which set is the shadow of which.
    pair: Option<(RuleSetNumber, RuleSetNumber)>,
    stage: Stage,
}

enum Stage {
    None,
    /// Its components are being compiled.
    Preparing(JoinHandle<Result<Rules, RulesError>>),
    Running(Beside),
    /// It ended by itself, and that is not in the `rulesets` table yet.
    Failed(String),
}

impl Shadow {
    pub fn new(lake: &Lake, config: &Config) -> Self {
        Self {
            lake: lake.clone(),
            tenant: config.tenant.clone(),
            share: *config.shadow.cpu.get_ref(),
            breaker: config.breaker.clone(),
            pair: None,
            stage: Stage::None,
        }
    }

    /// Takes up what the rule sets say of shadows. What does not work out is said, and never the
    /// active set's business.
    pub async fn follow(&mut self, registry: &mut Registry, active: &Arc<Rules>) {
        let pair = registry.shadow().map(|set| (set, active.number));
        if pair != self.pair {
            self.leave();
            if let Some((set, _)) = pair {
                self.stage = match registry.begin(set).await {
                    Ok(task) => Stage::Preparing(task),
                    Err(RuleSetError::Rules { source, .. }) => Stage::Failed(source.to_string()),
                    Err(error) => {
                        tracing::warn!(shadow = set.0, %error, "a shadow can't be taken up yet");
                        return;
                    }
                };
            }
            self.pair = pair;
        }
        let Some((set, against)) = pair else { return };
        self.stage = match std::mem::replace(&mut self.stage, Stage::None) {
            Stage::Preparing(task) if task.is_finished() => match task.await {
                Ok(Ok(rules)) => self.start(active.clone(), Arc::new(rules)),
                Ok(Err(error)) => Stage::Failed(error.to_string()),
                Err(_) => Stage::None,
            },
            Stage::Running(beside) => match beside.over() {
                Some(reason) => Stage::Failed(reason),
                None => Stage::Running(beside),
            },
            other => other,
        };
        if let Stage::Failed(reason) = &self.stage {
            tracing::error!(
                shadow = set.0,
                "rule set {set} failed beside rule set {against}, which goes on judging: {reason}; mend it and stage it again"
            );
            let who = Who {
                by: format!("host of {}", user()),
                why: format!("as a shadow of {against}: {reason}"),
            };
            match registry.fail(set, &who, now()).await {
                Ok(()) => self.stage = Stage::None,
                Err(error) => tracing::warn!(%error, "which can't be noted yet"),
            }
        }
    }

    fn start(&self, before: Arc<Rules>, after: Arc<Rules>) -> Stage {
        let (set, against) = (after.number, before.number);
        let reporter = Reporter {
            lake: self.lake.clone(),
            tenant: self.tenant.clone(),
            id: uuid::Uuid::new_v4().to_string(),
            number: set,
            against,
            since: now(),
            breaker: Breaker::new(&self.breaker),
            runtime: Handle::current(),
        };
        let comparer = Comparer::new(before, after);
        match Beside::start("assay-shadow", comparer, Box::new(reporter), self.share) {
            Ok(beside) => {
                tracing::info!(shadow = set.0, "rule set {set} judges beside {against}");
                Stage::Running(beside)
            }
            Err(error) => {
                tracing::warn!(shadow = set.0, %error, "no thread for a shadow");
                Stage::None
            }
        }
    }

    /// Offers a batch that is in bronze, pinned to a rule set.
    pub fn offer(&self, cut: &Arc<Cut>, pinned: RuleSetNumber) {
        if let Stage::Running(beside) = &self.stage
            && self.pair.is_some_and(|(_, against)| against == pinned)
        {
            beside.offer(cut);
        }
    }

    fn leave(&mut self) -> Option<std::thread::JoinHandle<()>> {
        self.pair = None;
        match std::mem::replace(&mut self.stage, Stage::None) {
            Stage::Running(beside) => Some(beside.end()),
            _ => None,
        }
    }

    /// Ends what runs, with its last word. Another host's start, or this one's, goes on with it.
    pub async fn end(&mut self) {
        let Some(thread) = self.leave() else { return };
        let ended = async {
            while !thread.is_finished() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        if tokio::time::timeout(LAST_WORD, ended).await.is_err() {
            tracing::warn!("a shadow's last rows are not in its report");
        }
    }
}

impl Drop for Shadow {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Writes what is found into the shadow's report, and ends it where the tenant would stop.
struct Reporter {
    lake: Lake,
    tenant: Tenant,
    id: String,
    number: RuleSetNumber,
    against: RuleSetNumber,
    since: i64,
    breaker: Breaker,
    runtime: Handle,
}

impl Purpose for Reporter {
    fn compared(&mut self, compared: Compared) -> Result<(), String> {
        let batch = breaker::Batch {
            rows: compared.rows,
            guilty: compared.after.trapped,
        };
        let checked = self.breaker.check(self.number, batch);
        checked.map_err(|tripped| {
            let breaker::Tripped {
                guilty,
                rows,
                allowed,
                ..
            } = tripped;
            format!(
                "its components fail on {guilty} of the last {rows} rows, where [breaker] allows {allowed}"
            )
        })?;
        self.breaker.landed(self.number, batch);
        Ok(())
    }

    fn say(&mut self, comparer: &mut Comparer, coverage: Coverage) -> Result<(), String> {
        let comparison = comparer.comparison().map_err(|error| error.to_string())?;
        let report = Report {
            number: self.number,
            against: self.against,
            since: self.since,
            until: now(),
            coverage,
            comparison,
        };
        let written: Result<(), LakeError> =
            self.runtime
                .block_on(report.write(&self.lake, &self.tenant, &self.id));
        if let Err(error) = written {
            tracing::warn!(%error, "a shadow's report can't be written; it is tried again");
        }
        Ok(())
    }
}
