//! The tables of one tenant as the coordinator's layers.

mod error;
mod follow;
mod give_way;
mod gold;
mod stand;
mod upkeep;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{Array, Int64Array};

pub use self::error::TenantError;
use super::batch::{Batch, decode};
use super::breaker::{self, Breaker};
use super::config::Config;
use super::coordinate::{Layer, Layers};
use super::gathered::Gathered;
use super::meter::Meter;
use super::shadow::{Guard, Shadow};
use crate::lake::{Lake, Packing, fault};
use crate::medallion::bronze::Bronze;
use crate::medallion::cut::Cut;
use crate::medallion::judge::{self, Refusal};
use crate::medallion::layer::LayerError;
use crate::medallion::quarantine::{Kind, Quarantine};
use crate::medallion::rules::Rules;
use crate::medallion::silver::Silver;
use crate::names::{Offset, Partition, RuleSetNumber, Tenant};
use crate::ruleset::Registry;

/// Rows read back from bronze at once.
const ROWS_READ_BACK: usize = 65_536;
/// How often a batch is written anew because bronze's columns changed under it.
const MOST_TRIES: usize = 20;
/// The limits of rules are this much wider where quarantine covers a batch, and convict nobody.
const WIDE: u32 = 16;

/// What the rules made of a batch, and the duplicates once they are known.
pub struct Judged {
    judged: judge::Judged,
    duplicates: Vec<Refusal>,
}

/// One tenant's tables.
pub struct TenantLayers {
    lake: Lake,
    tenant: Tenant,
    config: Config,
    registry: Registry,
    /// The rule set that new batches are pinned to.
    judging: RuleSetNumber,
    /// The rule set that the last batch was pinned to by this process.
    pinned: Option<RuleSetNumber>,
    bronze: Bronze,
    quarantine: Quarantine,
    silver: Silver,
    gold: Vec<Gathered>,
    meter: Arc<Meter>,
    breaker: Breaker,
    shadow: Shadow,
    guard: Guard,
    /// The tables whose small files are packed; who had its turn last stands last. Gold's
    /// partitions are replaced as a whole.
    packed: [(Layer, Packing); 3],
}

impl TenantLayers {
    /// Opens the tables of a tenant that has an active rule set, or makes them.
    ///
    /// # Errors
    /// No rule set, one that can't be made ready, or a lake that can't be used.
    pub async fn open(
        lake: &Lake,
        config: &Config,
        mut registry: Registry,
        meter: Arc<Meter>,
    ) -> Result<Self, TenantError> {
        let tenant = &config.tenant;
        let active = registry.active().ok_or(TenantError::NoRuleSet)?;
        registry.check_trust_in(active)?;
        let rules = registry.rules(active).await?;
        let mut layers = Self {
            bronze: Bronze::open(lake, tenant, &rules).await?,
            quarantine: Quarantine::open(lake, tenant).await?,
            silver: Silver::open(lake, tenant, &rules, config.memory().dedup).await?,
            gold: Vec::new(),
            lake: lake.clone(),
            tenant: tenant.clone(),
            config: config.clone(),
            registry,
            judging: active,
            pinned: None,
            breaker: Breaker::new(&config.breaker),
            shadow: Shadow::new(lake, config, meter.clone()),
            meter,
            guard: Guard::new(*config.shadow.cpu.get_ref()),
            packed: [
                (Layer::Bronze, Packing::Dense),
                (Layer::Quarantine, Packing::Dense),
                (Layer::Silver, Packing::Quick),
            ],
        };
        layers.open_gold(&rules).await?;
        Ok(layers)
    }

    /// Progress of every partition that bronze knows.
    pub fn known(&self) -> Vec<(Partition, Offset)> {
        let transactions = self.bronze.table.transactions().iter();
        transactions
            .filter_map(|(app_id, txn)| {
                Some((Partition::of_app_id(&self.tenant, app_id)?, txn.version))
            })
            .collect()
    }

    /// Ends what runs beside the loop, at the host's end.
    pub async fn end(&mut self) {
        self.shadow.end().await;
    }

    async fn open_gold(&mut self, rules: &Arc<Rules>) -> Result<(), TenantError> {
        let most_bytes = self.config.memory().sums / rules.gold.len().max(1);
        for rule in &rules.gold {
            if self
                .gold
                .iter()
                .any(|gathered| gathered.gold.name == rule.table)
            {
                continue;
            }
            let every = self
                .config
                .gold
                .iter()
                .find(|gold| *gold.name.get_ref() == rule.table);
            let every = every.map_or(super::config::GOLD_EVERY, |gold| gold.every);
            let (lake, tenant) = (&self.lake, &self.tenant);
            let gathered = Gathered::open(lake, tenant, rules, rule, every, most_bytes).await?;
            self.gold.push(gathered);
        }
        Ok(())
    }

    async fn rules(&mut self, number: RuleSetNumber) -> Result<Arc<Rules>, TenantError> {
        let rules = self.registry.rules(number).await?;
        self.open_gold(&rules).await?;
        Ok(rules)
    }

    /// A batch of what a source delivered. Where it can be told yet which rule set will judge it,
    /// that begins at once.
    pub async fn batch(&mut self, cut: Cut) -> Batch {
        match self.rules(self.judging).await {
            Ok(rules) => {
                let extra = self.bronze.extra_columns(&rules);
                Batch::ahead(cut, rules, extra, self.lake.share())
            }
            // Pinning the batch will say the same.
            Err(_) => Batch::new(cut, None),
        }
    }

    /// Puts a batch into bronze, pinned to `rules`. What they make of it may not be known yet then.
    async fn put_bronze(
        &mut self,
        batch: &mut Batch,
        rules: &Arc<Rules>,
    ) -> Result<(), TenantError> {
        for _ in 0..MOST_TRIES {
            let extra = self.bronze.extra_columns(rules);
            let decoded = batch.pin(rules, extra, self.lake.share()).await;
            let (cut, began) = (&batch.cut, Instant::now());
            let written = self.bronze.write(cut, &decoded, rules).await?;
            match self.bronze.commit(&cut.ranges, written).await {
                Ok(()) => {
                    self.meter.put("bronze", began.elapsed());
                    return Ok(());
                }
                Err(LayerError::Changed { .. }) => {
                    self.bronze
                        .table
                        .refresh()
                        .await
                        .map_err(LayerError::from)?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(TenantError::Layer(LayerError::Changed {
            table: self.bronze.table.path().to_owned(),
        }))
    }

    /// Holds a verdict of now to what quarantine says: its rows are the refusals.
    async fn hold_to_quarantine(
        &self,
        cut: &Cut,
        rules: &Rules,
        judged: &mut judge::Judged,
    ) -> Result<(), TenantError> {
        let mut refused = BTreeSet::new();
        for range in &cut.ranges {
            refused.extend(
                self.quarantine
                    .refused(&range.partition, range.from, range.to)
                    .await?,
            );
        }
        let offsets = cut.column("_offset");
        let offset = |message: u32| {
            let offsets = offsets.as_any().downcast_ref::<Int64Array>()?;
            ((message as usize) < offsets.len()).then(|| offsets.value(message as usize))
        };
        for refusal in &judged.refusals {
            let there = offset(refusal.message).map(|at| refused.contains(&(at, refusal.line)));
            if there != Some(true) {
                return Err(TenantError::Layer(LayerError::Unrepeatable {
                    row: cut.place(refusal.message as usize),
                    rule: refusal.rule.clone(),
                    ruleset: rules.number.0,
                }));
            }
        }
        let rows = judged
            .candidates
            .message
            .iter()
            .zip(&judged.candidates.line);
        let stays: Vec<bool> = rows
            .map(|(message, line)| {
                offset(*message).is_none_or(|at| !refused.contains(&(at, *line)))
            })
            .collect();
        judged.candidates.keep(&stays).map_err(LayerError::from)?;
        Ok(())
    }

    fn rules_of(batch: &Batch) -> Result<Arc<Rules>, TenantError> {
        batch.rules.clone().ok_or(TenantError::NoRuleSet)
    }
}

/// What the circuit breaker counts of a batch.
fn counted(judged: &judge::Judged) -> breaker::Batch {
    breaker::Batch {
        rows: (judged.candidates.message.len() + judged.refusals.len()) as u64,
        guilty: judged.guilty as u64,
    }
}

impl Layers for TenantLayers {
    type Batch = Batch;
    type Judged = Judged;
    type Error = TenantError;

    async fn refresh(&mut self) -> Result<(), TenantError> {
        for table in self.tables() {
            table.refresh().await.map_err(LayerError::from)?;
        }
        self.follow_rules().await?;
        fault::point("catch-up.refreshed").map_err(LayerError::from)?;
        Ok(())
    }

    fn progress(&self, layer: Layer, partition: &Partition) -> Option<Offset> {
        match layer {
            Layer::Bronze => self.bronze.progress(partition),
            Layer::Quarantine => self.quarantine.progress(partition, Kind::Refused),
            Layer::Silver => self.silver.progress(partition),
            Layer::Duplicates => self.quarantine.progress(partition, Kind::Duplicates),
        }
    }

    fn start(&self, partition: &Partition) -> Option<Offset> {
        self.bronze.start(partition)
    }

    async fn take_in(&mut self, batch: &mut Batch) -> Result<Option<Judged>, TenantError> {
        let rules = self.follow_rules().await?;
        batch.fresh = true;
        self.put_bronze(batch, &rules).await?;
        self.meter.took_in(&batch.cut);
        self.shadow.offer(&batch.cut, rules.number);
        self.guard.offer(&batch.cut, rules.number);
        self.note_cut_over(&batch.cut, rules.number);
        let judged = batch.judged(&rules, self.lake.share()).await;
        let judged = judged.map_err(LayerError::from).map_err(TenantError::from);
        let judged = judged.and_then(|judged| {
            self.breaker.check(rules.number, counted(&judged))?;
            Ok(judged)
        });
        match judged {
            Ok(judged) => Ok(Some(Judged {
                judged,
                duplicates: Vec::new(),
            })),
            Err(error) => {
                tracing::warn!(%error, "batch is in bronze and could not be judged");
                Ok(None)
            }
        }
    }

    async fn read_back(
        &mut self,
        partition: &Partition,
        from: Offset,
        to: Offset,
    ) -> Result<(Batch, Offset), TenantError> {
        // Re-pinning may begin or end within the range: each side is a batch of its own.
        let (_, boundary) = self.registry.judging(partition, from, RuleSetNumber(0));
        let (cut, pinned, end) = self
            .bronze
            .read_back(partition, from, to.min(boundary), ROWS_READ_BACK)
            .await?;
        let pinned = pinned.unwrap_or(self.judging);
        let (number, _) = self.registry.judging(partition, from, pinned);
        let rules = Some(self.rules(number).await?);
        fault::point("catch-up.read-back").map_err(LayerError::from)?;
        Ok((Batch::new(cut, rules), end))
    }

    async fn judge(&mut self, batch: &Batch, covered: bool) -> Result<Judged, TenantError> {
        let rules = Self::rules_of(batch)?;
        let extra = self.bronze.extra_columns(&rules);
        let width = if covered { WIDE } else { 1 };
        let judge = || {
            let decoded = decode(&batch.cut, &rules, extra);
            judge::judge(&rules, &batch.cut, &decoded, width)
        };
        let judged = self.lake.share().here(judge).await;
        self.note_usage(&rules);
        let judged = judged.map_err(|error| TenantError::Layer(error.into()));
        let judged = judged.and_then(|judged| {
            if !covered {
                self.breaker.check(rules.number, counted(&judged))?;
            }
            Ok(judged)
        });
        let mut judged = match judged {
            Err(error) if !covered => {
                return Err(self.give_way(&batch.cut.ranges, rules.number, error).await);
            }
            judged => judged?,
        };
        fault::point("catch-up.judged").map_err(LayerError::from)?;
        if covered {
            self.hold_to_quarantine(&batch.cut, &rules, &mut judged)
                .await?;
        }
        Ok(Judged {
            judged,
            duplicates: Vec::new(),
        })
    }

    async fn quarantine(&mut self, batch: &Batch, judged: &Judged) -> Result<(), TenantError> {
        let rules = Self::rules_of(batch)?;
        let (refusals, began) = (&judged.judged.refusals, Instant::now());
        let files = self
            .quarantine
            .write(&batch.cut, refusals, rules.number)
            .await?;
        let ranges = &batch.cut.ranges;
        self.quarantine.commit(Kind::Refused, ranges, files).await?;
        self.breaker.landed(rules.number, counted(&judged.judged));
        self.meter.put("quarantine", began.elapsed());
        self.meter.refused(refusals);
        self.meter.guilty(judged.judged.guilty as u64);
        Ok(())
    }

    async fn silver(&mut self, batch: &Batch, judged: &mut Judged) -> Result<(), TenantError> {
        let rules = Self::rules_of(batch)?;
        let (candidates, began) = (&judged.judged.candidates, Instant::now());
        let landed = self.silver.put(&batch.cut, &rules, candidates).await?;
        self.meter.put("silver", began.elapsed());
        self.meter.landed(&batch.cut, landed.rows.num_rows());
        judged.duplicates = landed.duplicates;
        // What comes back from bronze is read from silver once that is up to date.
        if batch.fresh {
            for gathered in &mut self.gold {
                let ranges = &batch.cut.ranges;
                gathered.gather(ranges, &rules, &landed.rows).await?;
            }
        }
        Ok(())
    }

    async fn find_duplicates(
        &mut self,
        batch: &Batch,
        judged: &mut Judged,
    ) -> Result<(), TenantError> {
        let rules = Self::rules_of(batch)?;
        let candidates = &judged.judged.candidates;
        judged.duplicates = self
            .silver
            .duplicates_of(&batch.cut, &rules, candidates)
            .await?;
        Ok(())
    }

    async fn duplicates(&mut self, batch: &Batch, judged: &Judged) -> Result<(), TenantError> {
        let rules = Self::rules_of(batch)?;
        let rows = &judged.duplicates;
        let files = self
            .quarantine
            .write(&batch.cut, rows, rules.number)
            .await?;
        let ranges = &batch.cut.ranges;
        self.quarantine
            .commit(Kind::Duplicates, ranges, files)
            .await?;
        self.meter.refused(rows);
        Ok(())
    }

    async fn catch_gold_up(&mut self, partition: &Partition) -> Result<(), TenantError> {
        let Some(start) = self.bronze.start(partition) else {
            return Ok(());
        };
        let end = self.silver.progress(partition).unwrap_or(start);
        for gathered in &mut self.gold {
            gathered.forget();
            let mut at = gathered.gold.progress(partition).unwrap_or(start);
            while at < end {
                let (rows, to) = self
                    .silver
                    .read_on(partition, at, end, ROWS_READ_BACK * 4)
                    .await?;
                gathered
                    .gather_back(partition, at, to, &mut self.registry, &rows)
                    .await?;
                fault::point("catch-up.gold").map_err(LayerError::from)?;
                gathered.commit(&mut self.registry, self.judging).await?;
                at = to;
            }
        }
        Ok(())
    }

    async fn gold(&mut self, all: bool) -> Result<(), TenantError> {
        self.commit_gold(all).await
    }

    fn forget(&mut self) {
        self.silver.forget();
        for gathered in &mut self.gold {
            gathered.forget();
        }
    }
}
