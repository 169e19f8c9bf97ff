//! When a host gives free memory back to the system.

use std::time::{Duration, Instant};

use crate::allocator::give_back;

/// How often, and how often for as long after a tenant began: what it needs to begin is more than it
/// needs to run.
const TIDY: Duration = Duration::from_secs(60);
const TIDY_AT_FIRST: Duration = Duration::from_secs(10);

pub(super) struct Tidy {
    tidied: Instant,
    /// When a tenant last began.
    begun: Instant,
}

impl Tidy {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self {
            tidied: now,
            begun: now,
        }
    }

    pub(super) fn begun(&mut self) {
        self.begun = Instant::now();
    }

    /// Gives memory back, on a thread of its own, if that is due.
    pub(super) fn look(&mut self) {
        let every = match self.begun.elapsed() < TIDY {
            true => TIDY_AT_FIRST,
            false => TIDY,
        };
        if self.tidied.elapsed() >= every {
            self.tidied = Instant::now();
            tokio::task::spawn_blocking(give_back);
        }
    }
}
