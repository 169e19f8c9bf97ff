//! A histogram with fixed bounds: what Prometheus takes quantiles of.

/// Upper bounds of the buckets, in microseconds; what is longer is in one more. They reach from a
/// commit on a local disk to a backlog of an hour.
pub const BOUNDS: [i64; 17] = [
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    30_000_000,
    60_000_000,
    600_000_000,
    3_600_000_000,
];

/// How often something took how long.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    counts: [u64; BOUNDS.len() + 1],
    micros: u64,
}

impl Histogram {
    /// Notes one that took so many microseconds. Below zero counts as zero: clocks differ.
    pub fn add(&mut self, micros: i64) {
        let bucket = BOUNDS.partition_point(|bound| *bound < micros);
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += 1;
        }
        self.micros += u64::try_from(micros).unwrap_or_default();
    }

    /// How many were noted.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// What all took together, in seconds.
    pub fn seconds(&self) -> f64 {
        self.micros as f64 / 1e6
    }

    /// The bound of each bucket in seconds, and how many are in it and in none before. The last
    /// bound is the largest number that there is.
    pub fn buckets(&self) -> Vec<(f64, u64)> {
        let bounds = BOUNDS.iter().map(|bound| *bound as f64 / 1e6);
        let bounds = bounds.chain([f64::MAX]);
        bounds.zip(self.counts.iter().copied()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_in_the_first_bucket_that_holds_it() {
        let mut histogram = Histogram::default();
        for micros in [-5, 0, 1_000, 1_001, i64::MAX / 4] {
            histogram.add(micros);
        }
        let filled: Vec<(f64, u64)> = histogram.buckets();
        assert_eq!(filled[0], (0.001, 3));
        assert_eq!(filled[1], (0.0025, 1));
        assert_eq!(filled.last(), Some(&(f64::MAX, 1)));
        assert_eq!(histogram.count(), 5);
    }
}
