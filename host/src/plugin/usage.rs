//! What calls of a component used, for meters.

use std::ops::AddAssign;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::processor::thread_time;

/// What some calls used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub calls: u64,
    pub fuel: u64,
    /// CPU time of their threads, with what copying columns in and checking answers took.
    pub cpu: Duration,
}

impl AddAssign for Usage {
    fn add_assign(&mut self, more: Self) {
        self.calls += more.calls;
        self.fuel += more.fuel;
        self.cpu += more.cpu;
    }
}

/// Sums of calls that run on many threads.
#[derive(Default)]
pub(super) struct Used {
    calls: AtomicU64,
    fuel: AtomicU64,
    nanos: AtomicU64,
}

impl Used {
    /// Hands the sums out, and begins anew.
    pub fn take(&self) -> Usage {
        Usage {
            calls: self.calls.swap(0, Ordering::Relaxed),
            fuel: self.fuel.swap(0, Ordering::Relaxed),
            cpu: Duration::from_nanos(self.nanos.swap(0, Ordering::Relaxed)),
        }
    }
}

/// A call that is under way, on this thread from its beginning to its end.
pub(super) struct Running {
    used: Arc<Used>,
    begun: Duration,
}

impl Running {
    pub fn begin(used: &Arc<Used>) -> Self {
        Self {
            used: used.clone(),
            begun: thread_time(),
        }
    }

    pub fn end(self, fuel: u64) {
        let took = thread_time().saturating_sub(self.begun).as_nanos();
        let nanos = u64::try_from(took).unwrap_or(u64::MAX);
        self.used.calls.fetch_add(1, Ordering::Relaxed);
        self.used.fuel.fetch_add(fuel, Ordering::Relaxed);
        self.used.nanos.fetch_add(nanos, Ordering::Relaxed);
    }
}
