//! What a tenant's pipeline has done since it started: for people to watch.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use arrow::array::{Array, TimestampMicrosecondArray};

use crate::medallion::cut::Cut;
use crate::medallion::judge::Refusal;

/// Counts since the start. Locked once a batch, never for a row.
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
    pub silver: u64,
    /// Rows in quarantine by their first rule.
    pub refused: BTreeMap<String, u64>,
    /// Commits of gold tables by name.
    pub gold: BTreeMap<String, u64>,
    /// From an event's arrival at the broker to its silver commit, in milliseconds, of late.
    pub latencies: Vec<u64>,
    /// Why nothing moves, where nothing moves.
    pub trouble: Option<String>,
}

/// Latencies that are kept to take percentiles of.
const LATENCIES: usize = 4_096;

impl Default for Meter {
    fn default() -> Self {
        Self {
            counts: Mutex::new(Counts {
                since: Instant::now(),
                bronze: 0,
                bytes: 0,
                silver: 0,
                refused: BTreeMap::new(),
                gold: BTreeMap::new(),
                latencies: Vec::new(),
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
            *counts.refused.entry(refusal.rule.clone()).or_default() += 1;
        }
    }

    /// Notes rows in silver, and how long the batch's oldest message took to get there.
    pub fn landed(&self, cut: &Cut, rows: usize) {
        let mut counts = self.lock();
        counts.silver += rows as u64;
        let stamps = cut.column("_timestamp");
        let stamps = stamps.as_any().downcast_ref::<TimestampMicrosecondArray>();
        let oldest = stamps.and_then(arrow::compute::min);
        if let Some(oldest) = oldest {
            let waited = chrono::Utc::now().timestamp_micros().saturating_sub(oldest);
            if counts.latencies.len() >= LATENCIES {
                counts.latencies.drain(..LATENCIES / 2);
            }
            counts
                .latencies
                .push(u64::try_from(waited / 1_000).unwrap_or_default());
        }
    }

    pub fn gold(&self, table: &str) {
        *self.lock().gold.entry(table.to_owned()).or_default() += 1;
    }

    pub fn trouble(&self, text: &str) {
        self.lock().trouble = Some(text.to_owned());
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
