//! Rule sets that judge live batches beside the active one: a staged one for a report (its shadow),
//! and after a promotion the one before, to guard the first rows.
//!
//! They write no rows, and the tenant's loop never waits for them: batches that are in bronze are
//! offered to a thread of their own, and those that it has no time for are left out and counted.
//! What goes wrong with a shadow ends the shadow, and nothing else.

mod gates;
mod guard;
mod report;
mod slot;
mod thread;
mod tidy;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tracing::Instrument as _;

pub use self::gates::check_gate;
pub use self::guard::{Guard, Undo};
pub use self::report::{Coverage, Merged, Report, merged};
use self::slot::{Slot, Stage};
use self::thread::{Beside, Purpose};
use self::tidy::{Over, tidy};
use super::breaker::{self, Breaker};
use super::change::{now, user};
use super::config::{BreakerConfig, Config};
use super::meter::{Meter, Seen};
use crate::lake::Lake;
use crate::medallion::compare::{CompareError, Compared, Comparer};
use crate::medallion::cut::Cut;
use crate::medallion::rules::Rules;
use crate::names::{RuleSetNumber, Tenant};
use crate::ruleset::{Registry, Who};

/// How long the end of a host waits for the last word of a shadow.
const LAST_WORD: Duration = Duration::from_secs(2);

/// The shadow of one tenant on this host.
pub struct Shadow {
    lake: Lake,
    tenant: Tenant,
    share: f64,
    breaker: BreakerConfig,
    meter: Arc<Meter>,
    slot: Slot,
}

impl Shadow {
    pub fn new(lake: &Lake, config: &Config, meter: Arc<Meter>) -> Self {
        Self {
            lake: lake.clone(),
            tenant: config.tenant.clone(),
            share: *config.shadow.cpu.get_ref(),
            breaker: config.breaker.clone(),
            meter,
            slot: Slot::new(),
        }
    }

    /// Takes up what the rule sets say of shadows. What does not work out is said, and never the
    /// active set's business.
    pub async fn follow(&mut self, registry: &mut Registry, active: &Arc<Rules>) {
        let pair = registry.shadow().map(|set| (set, active.number));
        let Self {
            lake,
            tenant,
            share,
            breaker,
            meter,
            slot,
        } = self;
        let is_over = |seen: &mut Seen| Some((seen.number, seen.against)) != pair;
        meter.stands(|standing| drop(standing.shadow.take_if(is_over)));
        let ended = Over::of(registry);
        let start = |staged: Rules| {
            tokio::spawn(tidy(lake.clone(), tenant.clone(), ended).in_current_span());
            let reporter = Reporter {
                lake: lake.clone(),
                tenant: tenant.clone(),
                id: uuid::Uuid::new_v4().to_string(),
                number: staged.number,
                against: active.number,
                since: now(),
                breaker: Breaker::new(breaker),
                meter: meter.clone(),
                runtime: Handle::current(),
            };
            begin(reporter, active.clone(), staged, *share)
        };
        let trusted = pair.map_or(Ok(()), |(set, _)| registry.check_trust_in(set));
        let over = match trusted {
            Ok(()) => slot.follow(registry, pair, start).await,
            Err(error) => Some(error.to_string()),
        };
        let (Some(reason), Some((set, against))) = (over, pair) else {
            return;
        };
        tracing::error!(
            shadow = set.0,
            "rule set {set} failed beside rule set {against}, which goes on judging: {reason}; mend it and stage it again"
        );
        let who = Who {
            by: format!("host of {}", user()),
            why: format!("as a shadow of {against}: {reason}"),
        };
        match registry.fail(set, &who, now()).await {
            Ok(()) => slot.settle(),
            Err(error) => tracing::warn!(%error, "which can't be noted yet"),
        }
    }

    /// Offers a batch that is in bronze, pinned to a rule set.
    pub fn offer(&self, cut: &Arc<Cut>, pinned: RuleSetNumber) {
        self.slot.offer(cut, pinned);
    }

    /// Ends what runs, with its last word. The next start goes on with it.
    pub async fn end(&mut self) {
        let Some(thread) = self.slot.leave() else {
            return;
        };
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
        self.slot.leave();
    }
}

fn begin(reporter: Reporter, before: Arc<Rules>, after: Rules, share: f64) -> Stage {
    let (set, against) = (after.number, before.number);
    let comparer = Comparer::new(before, Arc::new(after));
    match Beside::start("assay-shadow", comparer, Box::new(reporter), share) {
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

/// Writes what is found into the shadow's report, and ends it where the tenant would stop.
struct Reporter {
    lake: Lake,
    tenant: Tenant,
    id: String,
    number: RuleSetNumber,
    against: RuleSetNumber,
    since: i64,
    breaker: Breaker,
    meter: Arc<Meter>,
    runtime: Handle,
}

impl Purpose for Reporter {
    fn compared(
        &mut self,
        compared: Compared,
        _: &mut Comparer,
    ) -> Result<ControlFlow<()>, String> {
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
        Ok(ControlFlow::Continue(()))
    }

    fn say(&mut self, comparer: &mut Comparer, coverage: Coverage) -> Result<(), String> {
        let comparison = match comparer.comparison() {
            Ok(comparison) => comparison,
            Err(error @ CompareError::After { .. }) => return Err(error.to_string()),
            Err(error) => {
                tracing::warn!(%error, "a shadow's report can't be made");
                return Ok(());
            }
        };
        self.meter.stands(|standing| {
            standing.shadow = Some(Seen {
                number: self.number,
                against: self.against,
                rows: comparison.rows,
                changed: comparison.changed,
                messages_left_out: coverage.messages_left_out,
                money: comparison.money().collect(),
            });
        });
        let report = Report {
            number: self.number,
            against: self.against,
            since: self.since,
            until: now(),
            coverage,
            comparison,
        };
        let writing = report.write(&self.lake, &self.tenant, &self.id);
        if let Err(error) = self.runtime.block_on(writing) {
            tracing::warn!(%error, "a shadow's report can't be written; it is tried again");
        }
        Ok(())
    }
}
