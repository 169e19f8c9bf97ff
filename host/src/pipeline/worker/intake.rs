//! How quickly this loop may take messages in, and whether it may at all: the tenant's quotas.
//!
//! A tenant that comes too fast is slowed: nothing is taken from its source for a moment, which backs
//! up to where the messages come from. Where that moment is long, or the tables are too large, the
//! loop rests: its source is told to read nothing, and whatever else it says is heard at once.

use std::time::{Duration, Instant};

use super::super::coordinate::{Layers as _, Problem as _, Setback};
use super::super::meter::Over;
use super::{Worker, WorkerError};
use crate::pipeline::config::Quota;
use crate::source::Source;

/// A pause that is longer is rested through: until it is over, a source that is not listened to
/// could not have its partitions given to others.
const LONG: Duration = Duration::from_secs(3);

/// How long a tenant keeps within its rate before it is said again that it does not.
const SAY_AGAIN: Duration = Duration::from_secs(60);

/// How often the tables are looked at for what others removed, while they are too large.
const LOOK_AT_TABLES: Duration = Duration::from_secs(10);

/// Rows that may be taken in, as time brings them. What is taken at once may go below nothing; then
/// there is nothing to take until that is made up for.
pub(super) struct Bucket {
    /// Rows a second; `None` is no limit.
    rate: Option<u64>,
    rows: f64,
    at: Instant,
}

impl Bucket {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            rate: None,
            rows: 0.0,
            at: now,
        }
    }

    fn set(&mut self, rate: Option<u64>, now: Instant) {
        if self.rate != rate {
            self.fill(now);
            self.rate = rate;
            // What was owed at another rate is forgiven.
            self.rows = self.rows.max(0.0);
        }
    }

    /// Time brings rows, those of one second at most.
    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = now;
        let most = self.rate.unwrap_or_default() as f64;
        self.rows = (self.rows + passed * most).min(most);
    }

    fn take(&mut self, rows: usize, now: Instant) {
        if self.rate.is_some() {
            self.fill(now);
            self.rows -= rows as f64;
        }
    }

    /// How long there is nothing to take.
    fn pause(&mut self, now: Instant) -> Duration {
        let Some(rate) = self.rate else {
            return Duration::ZERO;
        };
        self.fill(now);
        match self.rows < 0.0 {
            true => Duration::try_from_secs_f64(-self.rows / rate as f64).unwrap_or(Duration::MAX),
            false => Duration::ZERO,
        }
    }
}

/// What the quotas allow this loop.
pub(super) struct Intake {
    bucket: Bucket,
    /// Until when nothing is taken from the source.
    pub(super) until: Option<Instant>,
    /// Since when that is so, as far as it is not noted.
    since: Option<Instant>,
    /// The source is told to read nothing.
    pub(super) rests: bool,
    looked: Instant,
}

impl Intake {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self {
            bucket: Bucket::new(now),
            until: None,
            since: None,
            rests: false,
            looked: now,
        }
    }

    pub(super) fn took(&mut self, rows: usize) {
        self.bucket.take(rows, Instant::now());
    }

    /// Whether the source is listened to.
    pub(super) fn listens(&self) -> bool {
        self.rests || self.until.is_none()
    }
}

impl<S: Source> Worker<S> {
    /// Holds the loop to the tenant's quotas of now.
    ///
    /// # Errors
    /// The tables are too large, and the run is to end: it never would.
    pub(super) async fn keep_quota(&mut self) -> Result<(), WorkerError> {
        let (now, quota) = (Instant::now(), self.meter.quota());
        self.intake.bucket.set(quota.rows_per_second, now);
        let pause = self.intake.bucket.pause(now);
        if let Some(since) = self.intake.since.take() {
            let before = self.meter.slowed(now.saturating_duration_since(since));
            if before.is_none_or(|before| before.elapsed() > SAY_AGAIN) {
                tracing::warn!(
                    "more comes than [quota] rows_per_second allows: what is above it waits where it comes from, and nothing is lost"
                );
            }
        }
        self.intake.until = (!pause.is_zero()).then(|| now + pause);
        self.intake.since = self.intake.until.map(|_| now);
        let over = self.over_lake_bytes(quota).await;
        if let (true, Some(over)) = (self.until_caught_up, &over) {
            return Err(WorkerError::OverQuota {
                tenant: self.tenant.clone(),
                over: *over,
            });
        }
        self.note_over(over);
        // One that is to end would take a source that reads nothing for one that has nothing.
        let long = pause > LONG && !self.until_caught_up;
        let rests = over.is_some() || long || (self.intake.rests && !pause.is_zero());
        if rests == self.intake.rests {
            return Ok(());
        }
        if rests && !self.flush().await? {
            // It begins again from the tables, and comes back here.
            return Ok(());
        }
        self.intake.rests = rests;
        self.begin_again();
        Ok(())
    }

    /// By how much the tables are too large, if they are.
    async fn over_lake_bytes(&mut self, quota: Quota) -> Option<Over> {
        let limit = quota.lake_bytes?;
        let layers = &mut self.coordinator.layers;
        if self.intake.rests && self.intake.looked.elapsed() > LOOK_AT_TABLES {
            self.intake.looked = Instant::now();
            if let Err(error) = layers.refresh().await
                && error.setback() != Setback::Again
            {
                tracing::warn!(%error, "whether the tables are smaller can't be seen; looking again");
            }
        }
        let bytes = layers.lake_bytes();
        (bytes > limit).then_some(Over { bytes, limit })
    }

    fn note_over(&mut self, over: Option<Over>) {
        let before = self.meter.over(over);
        match (before, over) {
            (None, Some(over)) => tracing::error!("{over}"),
            (Some(_), None) => {
                tracing::info!("its tables are within [quota] lake_bytes: it takes in again");
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn over_time_no_more_is_taken_than_the_rate_brings_however_it_comes() {
        let begun = Instant::now();
        for chunk in [1, 700, 8_192] {
            let (mut bucket, mut now, mut taken) = (Bucket::new(begun), begun, 0);
            bucket.set(Some(1_000), now);
            while now < begun + SECOND * 100 {
                let pause = bucket.pause(now);
                if pause.is_zero() {
                    bucket.take(chunk, now);
                    taken += chunk;
                    now += Duration::from_micros(10);
                } else {
                    now += pause;
                }
            }
            let wanted = 100_000 - chunk..=101_000 + chunk * 2;
            assert!(wanted.contains(&taken), "{taken} in chunks of {chunk}");
        }
    }

    #[test]
    fn who_keeps_below_the_rate_never_waits_and_a_raised_rate_counts_at_once() {
        let mut now = Instant::now();
        let mut bucket = Bucket::new(now);
        bucket.take(1_000_000, now);
        assert_eq!(bucket.pause(now), Duration::ZERO, "there is no limit");
        bucket.set(Some(1_000), now);
        for _ in 0..1_000 {
            now += SECOND / 2;
            bucket.take(490, now);
            assert_eq!(bucket.pause(now), Duration::ZERO);
        }
        bucket.take(100_000, now);
        assert!(bucket.pause(now) > SECOND * 90);
        bucket.set(Some(5_000), now);
        assert_eq!(bucket.pause(now), Duration::ZERO);
    }
}
