//! When a host gives free memory back to the system.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::allocator::{give_back, resident};

/// How often, whatever was taken since; and how often for as long after a tenant began: what it needs to
/// begin is more than it needs to run.
const TIDY: Duration = Duration::from_secs(60);
const TIDY_AT_FIRST: Duration = Duration::from_secs(10);
/// How often at most.
const REST: Duration = Duration::from_secs(1);
/// How much more memory than was left the last time has it given back as soon as may be, in bytes. While
/// a backlog is caught up each batch leaves some that the next has no use for: 520 MiB became 442, and the
/// time that it took stayed what it was.
const MUCH: u64 = 32 << 20;

pub(super) struct Tidy {
    tidied: Instant,
    /// When a tenant last began.
    begun: Instant,
    /// What was left, in bytes; none while memory is being given back.
    left: Arc<AtomicU64>,
}

impl Tidy {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self {
            tidied: now,
            begun: now,
            left: Arc::new(resident().into()),
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
        let rested = self.tidied.elapsed();
        let left = self.left.load(Ordering::Relaxed);
        let is_much = || resident() > left.saturating_add(MUCH);
        if rested >= every || (rested >= REST && is_much()) {
            self.tidied = Instant::now();
            let left = self.left.clone();
            left.store(u64::MAX, Ordering::Relaxed);
            tokio::task::spawn_blocking(move || {
                give_back();
                left.store(resident(), Ordering::Relaxed);
            });
        }
    }
}
