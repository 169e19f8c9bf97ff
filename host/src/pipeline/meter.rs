//! What a tenant's pipeline has done since its process began, and where it stands: for people and
//! monitors to watch.

mod histogram;
mod over;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arrow::array::{Array, TimestampMicrosecondArray};

pub use self::histogram::Histogram;
pub use self::over::Over;
use super::breaker::Fill;
use super::config::Quota;
use super::coordinate::{Layer, Setback};
use crate::medallion::compare::Sums;
use crate::medallion::cut::Cut;
use crate::medallion::judge::Refusal;
use crate::names::{Offset, Partition, RuleSetNumber};
use crate::plugin::Usage;
use crate::ruleset::Change;

/// Counts since the start. Locked a few times a batch, never for a row.
pub struct Meter {
    counts: Mutex<Counts>,
}

/// What a meter shows.
#[derive(Clone, Debug)]
pub struct Counts {
    pub since: Instant,
    /// Messages in bronze, and their payloads' bytes.
    pub bronze: u64,
    pub bytes: u64,
    /// Batches, and their rows, in silver.
    pub batches: u64,
    pub silver: u64,
    /// Rows in quarantine by step and first rule.
    pub refused: BTreeMap<(String, String), u64>,
    /// Rows that a component trapped on, was starved by or answered nonsense about.
    pub guilty: u64,
    /// Commits of gold tables by name.
    pub gold: BTreeMap<String, u64>,
    /// From an event's arrival at the broker to its silver commit, in milliseconds, of late: the
    /// oldest of each batch.
    pub latencies: Vec<u64>,
    /// The same of every message.
    pub waits: Histogram,
    /// What writing and committing a batch took, by table.
    pub puts: BTreeMap<String, Histogram>,
    /// Batches that began again, by why.
    pub conflicts: u64,
    pub lake_failures: u64,
    /// What components used, by step and name.
    pub used: BTreeMap<(String, String), Usage>,
    /// How long nothing was taken in because more came than the quota allows.
    pub slowed: Duration,
    /// What the tenant may take of its host now.
    pub quota: Quota,
    pub standing: Standing,
    /// Why nothing moves, where nothing moves.
    pub trouble: Option<String>,
}

/// Where a tenant stands in this process.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// The rule set that judges what comes now.
    pub ruleset: Option<i64>,
    /// How often another rule set took over.
    pub takeovers: u64,
    /// The last changes of its rule sets, the oldest first.
    pub history: Vec<Change>,
    /// The partitions that this process reads; `None` before the source said.
    pub partitions: Option<usize>,
    /// How far each layer is in each of them.
    pub progress: Vec<(Partition, Layer, Offset)>,
    /// How many positions the source holds past bronze, where the source says.
    pub lag: Vec<(Partition, Offset)>,
    /// Bytes of the duplicates index.
    pub dedup_bytes: usize,
    /// What the circuit breaker has counted.
    pub breaker: Fill,
    /// What this process found of the rule set that judges beside the active one.
    pub shadow: Option<Seen>,
    /// Bytes of the live files of its tables.
    pub lake_bytes: u64,
    /// They are too many: nothing is taken in.
    pub over: Option<Over>,
    /// When more came last than the quota allows.
    pub slowed: Option<Instant>,
}

/// What was found of a shadow since it began here.
#[derive(Clone, Debug)]
pub struct Seen {
    pub number: RuleSetNumber,
    pub against: RuleSetNumber,
    /// Rows that were compared, and those whose end, step or rule is another.
    pub rows: u64,
    pub changed: u64,
    pub messages_left_out: u64,
    /// Measures of gold that are money, as `daily_sales.net_amount`.
    pub money: Vec<(String, Sums)>,
}

/// Latencies that are kept to take percentiles of.
const LATENCIES: usize = 4_096;
/// Rules and components that are told apart; further ones count under [`OTHERS`].
const MOST_NAMES: usize = 200;
/// The name of what is not told apart.
const OTHERS: &str = "others";

impl Default for Meter {
    fn default() -> Self {
        Self {
            counts: Mutex::new(Counts {
                since: Instant::now(),
                bronze: 0,
                bytes: 0,
                batches: 0,
                silver: 0,
                refused: BTreeMap::new(),
                guilty: 0,
                gold: BTreeMap::new(),
                latencies: Vec::new(),
                waits: Histogram::default(),
                puts: BTreeMap::new(),
                conflicts: 0,
                lake_failures: 0,
                used: BTreeMap::new(),
                slowed: Duration::ZERO,
                quota: Quota::default(),
                standing: Standing::default(),
                trouble: None,
            }),
        }
    }
}

impl Meter {
    pub fn counts(&self) -> Counts {
        self.lock().clone()
    }

    pub fn took_in(&self, cut: &Cut) {
        let mut counts = self.lock();
        counts.bronze += cut.len() as u64;
        counts.bytes += cut.raw().value_data().len() as u64;
        counts.trouble = None;
    }

    pub fn refused(&self, refusals: &[Refusal]) {
        let mut counts = self.lock();
        for refusal in refusals {
            *named(&mut counts.refused, refusal.step, &refusal.rule) += 1;
        }
    }

    pub fn guilty(&self, rows: u64) {
        self.lock().guilty += rows;
    }

    /// Notes rows in silver, and how long the batch's messages took to get there.
    pub fn landed(&self, cut: &Cut, rows: usize) {
        let mut counts = self.lock();
        counts.batches += 1;
        counts.silver += rows as u64;
        let stamps = cut.column("_timestamp");
        let Some(stamps) = stamps.as_any().downcast_ref::<TimestampMicrosecondArray>() else {
            return;
        };
        let now = chrono::Utc::now().timestamp_micros();
        for stamp in stamps.iter().flatten() {
            counts.waits.add(now.saturating_sub(stamp));
        }
        if let Some(oldest) = arrow::compute::min(stamps) {
            let waited = now.saturating_sub(oldest);
            if counts.latencies.len() >= LATENCIES {
                counts.latencies.drain(..LATENCIES / 2);
            }
            counts
                .latencies
                .push(u64::try_from(waited / 1_000).unwrap_or_default());
        }
    }

    /// Notes what putting a batch into a table took.
    pub fn put(&self, table: &str, took: Duration) {
        let mut counts = self.lock();
        let puts = counts.puts.entry(table.to_owned()).or_default();
        puts.add(i64::try_from(took.as_micros()).unwrap_or(i64::MAX));
    }

    pub fn gold(&self, table: &str) {
        *self.lock().gold.entry(table.to_owned()).or_default() += 1;
    }

    /// Notes that a batch begins again from the tables.
    pub fn set_back(&self, why: Setback) {
        let mut counts = self.lock();
        match why {
            Setback::Again => counts.conflicts += 1,
            Setback::Later => counts.lake_failures += 1,
            Setback::Stop => {}
        }
    }

    /// Adds what a component used since it was last asked.
    pub fn used(&self, step: &str, name: &str, usage: Usage) {
        if usage.calls > 0 {
            *named(&mut self.lock().used, step, name) += usage;
        }
    }

    /// What the tenant may take of its host now.
    pub fn quota(&self) -> Quota {
        self.lock().quota
    }

    /// Has another quota count. Answers with the one before.
    pub fn set_quota(&self, quota: Quota) -> Quota {
        std::mem::replace(&mut self.lock().quota, quota)
    }

    /// Notes that nothing was taken in for so long, because more came than the quota allows. Answers
    /// with when that was so before.
    pub fn slowed(&self, time: Duration) -> Option<Instant> {
        let mut counts = self.lock();
        counts.slowed += time;
        counts.standing.slowed.replace(Instant::now())
    }

    /// Notes whether the tables are too large. Answers with what was so before.
    pub fn over(&self, over: Option<Over>) -> Option<Over> {
        std::mem::replace(&mut self.lock().standing.over, over)
    }

    /// Says where the tenant stands. `change` is handed what was said before.
    pub fn stands(&self, change: impl FnOnce(&mut Standing)) {
        change(&mut self.lock().standing);
    }

    pub fn trouble(&self, text: &str) {
        self.lock().trouble = Some(text.to_owned());
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The entry of a name that a tenant chose, or that of the others where it chose too many.
fn named<'a, V: Default>(
    entries: &'a mut BTreeMap<(String, String), V>,
    step: &str,
    name: &str,
) -> &'a mut V {
    let mut key = (step.to_owned(), name.to_owned());
    if entries.len() >= MOST_NAMES && !entries.contains_key(&key) {
        key = (OTHERS.to_owned(), OTHERS.to_owned());
    }
    entries.entry(key).or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_that_names_thousands_of_components_makes_no_thousands_of_series() {
        let meter = Meter::default();
        let usage = Usage {
            calls: 1,
            fuel: 10,
            cpu: Duration::from_millis(1),
        };
        for number in 0..5_000 {
            meter.used("validate", &format!("rule-{number}"), usage);
        }
        let used = meter.counts().used;
        assert_eq!(used.len(), MOST_NAMES + 1);
        assert_eq!(used.values().map(|used| used.fuel).sum::<u64>(), 50_000);
    }
}
