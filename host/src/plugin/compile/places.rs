//! How many compile at the same time.

use std::sync::{Condvar, Mutex, PoisonError};

/// Compilers that run at once. More would multiply what hostile components together may take of the
/// machine; with one, a single one of them would hold everybody up.
const PLACES: usize = 2;

/// Places for compilers. Who gets none waits.
pub(super) struct Places {
    free: Mutex<usize>,
    freed: Condvar,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            free: Mutex::new(PLACES),
            freed: Condvar::new(),
        }
    }
}

/// A place, which is free again when this goes.
pub(super) struct Place<'a>(&'a Places);

impl Places {
    pub(super) fn take(&self) -> Place<'_> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.freed.wait_while(free, |free| *free == 0);
        *waited.unwrap_or_else(PoisonError::into_inner) -= 1;
        Place(self)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let Place(places) = self;
        *places.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        places.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;
    use std::time::Duration;

    use super::*;

    #[test]
    fn no_more_compile_at_once_than_there_are_places_and_all_get_their_turn() {
        let (places, now, most, done) = (
            Places::default(),
            AtomicUsize::new(0),
            AtomicUsize::new(0),
            AtomicUsize::new(0),
        );
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let _place = places.take();
                    let here = now.fetch_add(1, Ordering::SeqCst) + 1;
                    most.fetch_max(here, Ordering::SeqCst);
                    thread::sleep(Duration::from_millis(5));
                    now.fetch_sub(1, Ordering::SeqCst);
                    done.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        assert_eq!(done.into_inner(), 8);
        assert_eq!(most.into_inner(), PLACES);
    }
}
