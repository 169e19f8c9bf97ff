//! librdkafka waits by the wall clock: where that is set back by a day, what waits for a moment that
//! was near waits for a day. Nothing can wake all of it, so the client is to be made anew.

use std::time::{Duration, Instant, SystemTime};

/// What a wait may last longer without anyone noticing.
const NEAR: Duration = Duration::from_secs(2);

/// The wall clock beside the one that only counts, when they were looked at last.
pub struct Clock {
    counted: Instant,
    wall: SystemTime,
}

impl Clock {
    pub fn now() -> Self {
        Self {
            counted: Instant::now(),
            wall: SystemTime::now(),
        }
    }

    /// By how much the wall clock was set back since the last look, where that matters.
    pub fn set_back(&mut self) -> Option<Duration> {
        let before = std::mem::replace(self, Self::now());
        self.behind(&before).filter(|by| *by > NEAR)
    }

    fn behind(&self, before: &Self) -> Option<Duration> {
        let passed = self.counted.saturating_duration_since(before.counted);
        (before.wall + passed).duration_since(self.wall).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clock_that_was_set_back_by_more_than_a_moment_counts() {
        let day = Duration::from_secs(24 * 60 * 60);
        let mut clock = Clock::now();
        assert_eq!(clock.set_back(), None);
        clock.wall -= day;
        assert_eq!(clock.set_back(), None, "set forward");
        clock.wall += NEAR / 2;
        assert_eq!(clock.set_back(), None);
        clock.wall += day;
        let by = clock.set_back().unwrap();
        assert!(by > day - NEAR && by < day + NEAR, "{by:?}");
        assert_eq!(clock.set_back(), None, "said once");
    }
}
