//! The circuit breaker of one tenant: too many rows that a component can't be got over are the
//! component's fault and not the rows'. Then nothing more goes to quarantine until a person has
//! looked; what is in bronze waits there.

use std::collections::VecDeque;

use super::config::BreakerConfig;
use crate::names::RuleSetNumber;

/// Too many guilty rows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "circuit breaker: rule set {number} has components that fail on {guilty} of the last {rows} rows, where [breaker] allows {allowed}; nothing is lost, the rows wait in bronze: mend the component, start again, and have it judge them with `assay rules re-pin`"
)]
pub struct Tripped {
    pub number: RuleSetNumber,
    pub guilty: u64,
    pub rows: u64,
    pub allowed: u64,
}

/// What a breaker has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Fill {
    pub rows: u64,
    pub guilty: u64,
    /// The share of guilty rows past which it trips.
    pub share: f64,
}

/// Counts the rows of the batches that landed last. It begins anew with each rule set.
pub struct Breaker {
    share: f64,
    window: u64,
    number: RuleSetNumber,
    seen: VecDeque<Batch>,
}

/// The rows of a batch, and the guilty ones among them.
#[derive(Clone, Copy)]
pub struct Batch {
    pub rows: u64,
    pub guilty: u64,
}

impl Breaker {
    pub fn new(config: &BreakerConfig) -> Self {
        Self {
            share: *config.share.get_ref(),
            window: *config.window.get_ref(),
            number: RuleSetNumber(0),
            seen: VecDeque::new(),
        }
    }

    /// Whether a batch may land.
    ///
    /// # Errors
    /// With it, more rows are guilty than the window allows.
    pub fn check(&self, number: RuleSetNumber, batch: Batch) -> Result<(), Tripped> {
        let before = self.seen.iter().filter(|_| number == self.number);
        let (mut rows, mut guilty) = (batch.rows, batch.guilty);
        for one in before {
            rows += one.rows;
            guilty += one.guilty;
        }
        // A tenant that has few rows yet is measured by a full window.
        let allowed = (self.share * rows.max(self.window) as f64) as u64;
        match guilty <= allowed {
            true => Ok(()),
            false => Err(Tripped {
                number,
                guilty,
                rows,
                allowed,
            }),
        }
    }

    /// Notes a batch that landed.
    pub fn landed(&mut self, number: RuleSetNumber, batch: Batch) {
        if number != self.number {
            self.number = number;
            self.seen.clear();
        }
        self.seen.push_back(batch);
        // The oldest stay only as far as they are needed to fill the window.
        while let Some(oldest) = self.seen.front()
            && self.rows() - oldest.rows >= self.window
        {
            self.seen.pop_front();
        }
    }

    pub fn fill(&self) -> Fill {
        Fill {
            rows: self.rows(),
            guilty: self.seen.iter().map(|batch| batch.guilty).sum(),
            share: self.share,
        }
    }

    fn rows(&self) -> u64 {
        self.seen.iter().map(|batch| batch.rows).sum()
    }
}

#[cfg(test)]
mod tests {
    use toml::Spanned;

    use super::*;

    fn breaker(share: f64, window: u64) -> Breaker {
        Breaker::new(&BreakerConfig {
            share: Spanned::new(0..0, share),
            window: Spanned::new(0..0, window),
            ..BreakerConfig::default()
        })
    }

    fn pass(breaker: &mut Breaker, number: i64, rows: u64, guilty: u64) -> Result<(), Tripped> {
        let (number, batch) = (RuleSetNumber(number), Batch { rows, guilty });
        breaker.check(number, batch)?;
        breaker.landed(number, batch);
        Ok(())
    }

    #[test]
    fn a_few_guilty_rows_pass_and_one_too_many_does_not() {
        let mut breaker = breaker(0.1, 1_000);
        pass(&mut breaker, 7, 60, 60).unwrap();
        pass(&mut breaker, 7, 600, 40).unwrap();
        let tripped = pass(&mut breaker, 7, 10, 1).unwrap_err();
        let Tripped {
            guilty,
            rows,
            allowed,
            ..
        } = tripped;
        assert_eq!((guilty, rows, allowed), (101, 670, 100));
        // It did not land, so it does not count.
        pass(&mut breaker, 7, 10, 0).unwrap();
    }

    #[test]
    fn rows_before_the_window_are_forgotten() {
        let mut breaker = breaker(0.1, 1_000);
        for _ in 0..50 {
            pass(&mut breaker, 7, 500, 50).unwrap();
        }
        assert!(breaker.seen.len() <= 3);
        pass(&mut breaker, 7, 1_000, 0).unwrap();
        pass(&mut breaker, 7, 10, 100).unwrap();
    }

    #[test]
    fn a_batch_larger_than_the_window_is_measured_by_its_own_rows() {
        let mut breaker = breaker(0.1, 1_000);
        pass(&mut breaker, 7, 30_000, 3_000).unwrap();
        assert!(pass(&mut breaker, 8, 30_000, 3_001).is_err());
    }

    #[test]
    fn another_rule_set_begins_anew_and_a_share_of_1_lets_everything_pass() {
        let mut narrow = breaker(0.1, 1_000);
        pass(&mut narrow, 7, 100, 100).unwrap();
        assert!(pass(&mut narrow, 7, 1, 1).is_err());
        pass(&mut narrow, 8, 100, 100).unwrap();
        let mut off = breaker(1.0, 1);
        pass(&mut off, 7, 5_000, 5_000).unwrap();
    }
}
