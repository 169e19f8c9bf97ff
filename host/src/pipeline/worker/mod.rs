//! The loop of one tenant: gathers messages into batches, lands them, and starts again from the
//! tables after every setback.

mod assign;
mod end;
mod error;
mod intake;
mod pending;
mod rules;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use self::end::Ending;
pub use self::error::WorkerError;
use self::intake::Intake;
use self::pending::{Limits, Pending};
use self::rules::LOOK_AT_RULES;
use super::again::{TRIES_BEFORE_THE_END, pause_after};
use super::batch::Batch;
use super::config::{Config, SourceConfig, StartConfig};
use super::coordinate::{Coordinator, Layer, Layers, Problem, Setback};
use super::meter::Meter;
use super::packing::Packing;
use super::tenant::{TenantError, TenantLayers};
use crate::lake::{LakeError, Packed, fault};
use crate::medallion::cut::Range;
use crate::names::{Offset, Partition, Tenant};
use crate::source::{Event, Records, Source};

/// How long a run that is to end waits for a source that does not answer.
const PATIENCE_BEFORE_THE_END: Duration = Duration::from_secs(60);

/// A batch that is cut and not yet in bronze.
struct Cutting {
    batch: Batch,
    /// Where it ends in each of its partitions.
    ends: Vec<(Partition, Offset)>,
}

/// The loop of one tenant.
pub struct Worker<S: Source> {
    tenant: Tenant,
    start: StartConfig,
    limits: Limits,
    intake: Intake,
    until_caught_up: bool,
    ending: Ending,
    coordinator: Coordinator<TenantLayers>,
    source: S,
    meter: Arc<Meter>,
    shutdown: watch::Receiver<bool>,
    epoch: u64,
    /// The partitions that are this loop's to read.
    held: Vec<Partition>,
    /// The source was told to begin again: what still comes of before is not taken, for it lies
    /// behind a batch that did not land.
    begins_again: bool,
    pending: Pending,
    /// Being judged, while the batch before it lands and the one behind it gathers.
    ahead: Option<Cutting>,
    /// Setbacks in a row, without a batch that landed.
    tries: u32,
    /// Since when the source has not answered.
    silent_since: Option<Instant>,
    packing: Packing,
    /// When the rule sets are looked at next.
    rules_due: Instant,
}

/// What the loop does next.
enum Next {
    GoOn,
    /// Everything that was there at the start is in gold.
    End,
}

impl<S: Source> Worker<S> {
    /// A loop over a source into a tenant's tables. It ends when `shutdown` says true, or, where
    /// asked for, when what was there at the start is in gold.
    pub fn new(
        config: &Config,
        layers: TenantLayers,
        source: S,
        meter: Arc<Meter>,
        until_caught_up: bool,
        shutdown: watch::Receiver<bool>,
    ) -> Self {
        Self {
            tenant: config.tenant.clone(),
            start: match &config.source {
                SourceConfig::Kafka { start, .. } => *start,
                SourceConfig::File { .. } => StartConfig::Earliest,
            },
            limits: Limits::of(config),
            intake: Intake::new(),
            until_caught_up,
            ending: Ending::default(),
            coordinator: Coordinator::new(layers),
            source,
            meter,
            shutdown,
            epoch: 0,
            held: Vec::new(),
            begins_again: false,
            pending: Pending::default(),
            ahead: None,
            tries: 0,
            silent_since: None,
            packing: Packing::default(),
            rules_due: Instant::now() + LOOK_AT_RULES,
        }
    }

    /// Runs the loop, and closes the source however it ends.
    ///
    /// # Errors
    /// What a person must act on. Nothing that is in bronze is lost by it.
    pub async fn run(mut self) -> Result<(), WorkerError> {
        let ended = self.turn().await;
        let landed = match ended {
            Ok(()) => self.finish().await,
            Err(error) => Err(error),
        };
        self.coordinator.layers.end().await;
        self.source.close().await;
        landed
    }

    async fn turn(&mut self) -> Result<(), WorkerError> {
        loop {
            if *self.shutdown.borrow() {
                return Ok(());
            }
            let now = Instant::now();
            let due = self.pending.due(&self.limits);
            if self.pending.is_full(&self.limits) || due.is_some_and(|due| due <= now) {
                self.cut().await?;
            }
            if self.rules_due <= now {
                self.follow_rules().await?;
                self.note_standing().await;
            }
            self.keep_quota().await?;
            self.gold(false).await?;
            self.keep_house();
            if self.ending.is_due(now) && self.is_over().await? {
                return Ok(());
            }
            // Asked here too, as gold is above: a source that always has something comes first below.
            if let Some(done) = self.packing.try_done() {
                self.pack(done).await;
            }
            let gold_due = self.coordinator.layers.gold_due();
            let rested = self.packing.rested();
            let rules_due = Some(self.rules_due);
            let pending_due = self.pending.due(&self.limits);
            let (over, slowed) = (self.ending.due(), self.intake.until);
            let wake = [pending_due, gold_due, rested, rules_due, over, slowed];
            let wake = wake.into_iter().flatten().min();
            let event = tokio::select! {
                // What the source has at hand comes first: the next batch is then judged while
                // this one lands.
                biased;
                event = self.source.next(), if self.intake.listens() => event,
                () = ready(&mut self.ahead) => {
                    self.land().await?;
                    continue;
                }
                () = self.coordinator.layers.gold_merged() => continue,
                () = sleep_until(wake) => continue,
                done = self.packing.done() => {
                    self.pack(done).await;
                    continue;
                }
                _ = self.shutdown.changed() => continue,
            };
            let Some(event) = event else { return Ok(()) };
            if let Next::End = self.handle(event).await? {
                return Ok(());
            }
        }
    }

    /// Lets due housekeeping run beside the loop.
    fn keep_house(&mut self) {
        for due in self.coordinator.layers.housekeeping() {
            tokio::spawn(async move {
                if let Err(error) = due.run().await {
                    tracing::warn!(%error, "housekeeping failed; nothing is lost, it is tried again later");
                }
            });
        }
        if self.packing.is_idle()
            && let Some((layer, due)) = self.coordinator.layers.compaction()
        {
            self.packing.begin(layer, due);
        }
    }

    /// Commits what was packed. Whatever fails, the small files are still there.
    async fn pack(&mut self, done: Result<(Layer, Packed), LakeError>) {
        let packed = match done {
            Ok((layer, packed)) => self.coordinator.layers.pack(layer, packed).await,
            Err(error) => Err(error),
        };
        if let Err(error) = packed {
            tracing::warn!(%error, "packing small files failed; nothing is lost, it is tried again later");
        }
    }

    /// Lands what was gathered, so that a restart has nothing to catch up.
    async fn finish(&mut self) -> Result<(), WorkerError> {
        let landed = self.flush().await? && self.gold(true).await?;
        if !landed {
            tracing::warn!("not everything that was taken in is committed; the next start does it");
        }
        Ok(())
    }

    async fn handle(&mut self, event: Event) -> Result<Next, WorkerError> {
        match event {
            Event::Assigned {
                epoch,
                partitions,
                starts,
            } => self.assigned(epoch, &partitions, starts).await?,
            Event::Revoked { done, .. } => {
                // What is in flight is finished while it is still ours; past that it is fenced.
                fault::pass("revoked");
                self.flush().await?;
                self.gold(true).await?;
                fault::pass("revoked.landed");
                self.coordinator.release();
                self.drop_all();
                self.ending.put_off();
                self.begins_again = false;
                self.hold(None);
                // The source may have been closed meanwhile, and then nobody waits.
                let _ = done.send(());
            }
            Event::Records(records) => self.records(records),
            Event::CaughtUp => {
                let landed = self.flush().await? && self.gold(true).await?;
                if self.until_caught_up && landed && !self.begins_again && self.is_over().await? {
                    return Ok(Next::End);
                }
            }
            Event::Stopped { partition, reason } => {
                return Err(WorkerError::Source {
                    tenant: self.tenant.clone(),
                    partition,
                    source: Box::new(reason),
                });
            }
            Event::Degraded { text } => {
                tracing::warn!("{text}");
                self.meter.trouble(&text);
                let since = *self.silent_since.get_or_insert_with(Instant::now);
                if self.until_caught_up && since.elapsed() > PATIENCE_BEFORE_THE_END {
                    return Err(WorkerError::NoAnswer {
                        tenant: self.tenant.clone(),
                        waited: since.elapsed().as_secs(),
                        text,
                    });
                }
            }
        }
        Ok(Next::GoOn)
    }

    fn records(&mut self, records: Records) {
        if records.epoch != self.epoch || self.begins_again {
            return;
        }
        self.silent_since = None;
        self.intake.took(records.rows.num_rows());
        self.coordinator
            .begin(records.partition.clone(), records.from);
        self.pending.push(records);
    }

    /// Lands everything that was taken in. False: it did not land, and is read again.
    async fn flush(&mut self) -> Result<bool, WorkerError> {
        Ok(self.cut().await? && self.land().await?)
    }

    /// Cuts a batch of what is pending, and lands the one before it meanwhile. False: that one did
    /// not land, and both are read again.
    async fn cut(&mut self) -> Result<bool, WorkerError> {
        let pending = std::mem::take(&mut self.pending);
        if pending.parts.is_empty() {
            return Ok(true);
        }
        let now = chrono::Utc::now().timestamp_micros();
        let (cut, ends) = pending.cut(now).map_err(|source| WorkerError::Columns {
            tenant: self.tenant.clone(),
            source,
        })?;
        let batch = self.coordinator.layers.batch(cut).await;
        match self.ahead.replace(Cutting { batch, ends }) {
            Some(before) => self.land_one(before).await,
            None => Ok(true),
        }
    }

    /// Lands the batch that is ahead.
    async fn land(&mut self) -> Result<bool, WorkerError> {
        match self.ahead.take() {
            Some(cutting) => self.land_one(cutting).await,
            None => Ok(true),
        }
    }

    async fn land_one(&mut self, cutting: Cutting) -> Result<bool, WorkerError> {
        let Cutting { mut batch, ends } = cutting;
        if !self.check_sources(&batch.cut.ranges).await? {
            self.begin_again();
            return Ok(false);
        }
        match self.coordinator.land(&mut batch, ends.clone()).await {
            Ok(true) => {
                self.tries = 0;
                self.source.commit_for_monitors(&ends).await;
                Ok(true)
            }
            Ok(false) => {
                self.begin_again();
                Ok(false)
            }
            Err(error) => {
                self.pause(error).await?;
                self.begin_again();
                Ok(false)
            }
        }
    }

    /// A topic that was made again since the batch was read is another topic.
    /// False: the source can't be asked for now.
    async fn check_sources(&mut self, ranges: &[Range]) -> Result<bool, WorkerError> {
        let mut checked: BTreeMap<&str, ()> = BTreeMap::new();
        for Range { partition, .. } in ranges {
            if checked.insert(&partition.topic, ()).is_some() {
                continue;
            }
            match self.source.source_of(&partition.topic).await {
                Ok(now) if now == partition.source => {}
                Ok(now) => {
                    return Err(self.other_topic(&partition.topic, &partition.source, &now));
                }
                Err(source) if source.is_transient() => {
                    tracing::warn!(error = %source, "begins again from the tables");
                    self.meter.trouble(&source.to_string());
                    return Ok(false);
                }
                Err(source) => {
                    return Err(WorkerError::Source {
                        tenant: self.tenant.clone(),
                        partition: Some(partition.clone()),
                        source: Box::new(source),
                    });
                }
            }
        }
        Ok(true)
    }

    /// False: gold was not brought up to date, and is after the next assignment.
    async fn gold(&mut self, all: bool) -> Result<bool, WorkerError> {
        if let Err(error) = self.coordinator.layers.gold(all).await {
            self.pause(error).await?;
            self.begin_again();
            return Ok(false);
        }
        Ok(true)
    }

    /// Drops everything in flight and has the source assign its partitions anew.
    fn begin_again(&mut self) {
        self.begins_again = true;
        self.ending.put_off();
        self.drop_all();
        self.coordinator.release();
        self.source.restart();
    }

    fn drop_all(&mut self) {
        self.pending = Pending::default();
        self.ahead = None;
    }

    /// Waits as an error asks for, or gives it back.
    async fn pause(&mut self, error: TenantError) -> Result<(), WorkerError> {
        let tenant = self.tenant.clone();
        self.tries += 1;
        self.meter.set_back(error.setback());
        let pause = match error.setback() {
            Setback::Stop => {
                return Err(WorkerError::Tenant {
                    tenant,
                    source: Box::new(error),
                });
            }
            Setback::Again => {
                tracing::warn!(%error, "begins again from the tables");
                Duration::from_millis(10) * self.tries.min(100)
            }
            Setback::Later => {
                if self.until_caught_up && self.tries >= TRIES_BEFORE_THE_END {
                    return Err(WorkerError::GaveUp {
                        tenant,
                        tries: self.tries,
                        source: Box::new(error),
                    });
                }
                tracing::error!(%error, "the lake does not answer as it should; nothing is lost, trying again");
                self.meter.trouble(&error.to_string());
                pause_after(self.tries)
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = self.shutdown.changed() => {}
        }
        Ok(())
    }
}

/// Until the batch that is ahead is judged.
async fn ready(ahead: &mut Option<Cutting>) {
    match ahead {
        Some(cutting) => cutting.batch.ready().await,
        None => std::future::pending().await,
    }
}

async fn sleep_until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}
