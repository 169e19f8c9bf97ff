//! How a call goes on in time: looked at with every tick of the engine's clock. It gives way to other
//! tenants there, and ends at its deadline, by the time that it ran.

use std::time::{Duration, Instant};

use wasmtime::{Store, UpdateDeadline};

use crate::processor::give_way;

/// What a call has left of its time.
struct Pace {
    left: Duration,
    since: Instant,
}

/// Has what runs in a store keep pace from now on.
pub(super) fn keep<T>(store: &mut Store<T>, deadline: Duration) {
    let mut pace = Pace {
        left: deadline,
        since: Instant::now(),
    };
    store.epoch_deadline_callback(move |_| Ok(pace.tick()));
    store.set_epoch_deadline(1);
}

impl Pace {
    fn tick(&mut self) -> UpdateDeadline {
        self.left = self.left.saturating_sub(self.since.elapsed());
        if self.left.is_zero() {
            return UpdateDeadline::Interrupt;
        }
        // Waiting for others is no time of its own.
        give_way();
        self.since = Instant::now();
        UpdateDeadline::Continue(1)
    }
}
