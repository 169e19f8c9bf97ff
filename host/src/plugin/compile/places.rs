//! How many compile at the same time, and that who takes long does not hold up who is soon done.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Compilers that run at once. More would multiply what hostile components together may take of the
/// machine.
const PLACES: usize = 2;

/// How long a component may hold one of them. An optimised build compiles a rule in Rust in a
/// hundredth of it, and one that brings an interpreter along in less than all of it.
pub(super) const SOON: Duration = Duration::from_secs(5);

/// Places for compilers: some for those that are soon done, and one for the others, so that hostile
/// components hold up each other for as long as they may take, and everybody else for a few seconds.
pub(super) struct Places {
    soon: Group,
    long: Group,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            soon: Group::of(PLACES),
            long: Group::of(1),
        }
    }
}

impl Places {
    /// A place for as long as `SOON`; waits for it.
    pub(super) fn soon(&self) -> Place<'_> {
        self.soon.take()
    }

    /// The place for who takes longer; waits for it.
    pub(super) fn long(&self) -> Place<'_> {
        self.long.take()
    }

    /// Whether who has a place may keep at it: where it is the one for who takes longer, or becomes
    /// it, since nobody has that.
    pub(super) fn stay<'a>(&'a self, place: &mut Place<'a>) -> bool {
        let Place(group) = place;
        if std::ptr::eq(*group, &raw const self.long) {
            return true;
        }
        let Some(long) = self.long.take_free() else {
            return false;
        };
        *place = long;
        true
    }
}

struct Group {
    free: Mutex<usize>,
    freed: Condvar,
}

/// A place, which is free again when this goes.
pub(super) struct Place<'a>(&'a Group);

impl Group {
    fn of(places: usize) -> Self {
        Self {
            free: Mutex::new(places),
            freed: Condvar::new(),
        }
    }

    fn take(&self) -> Place<'_> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.freed.wait_while(free, |free| *free == 0);
        *waited.unwrap_or_else(PoisonError::into_inner) -= 1;
        Place(self)
    }

    fn take_free(&self) -> Option<Place<'_>> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        *free = free.checked_sub(1)?;
        Some(Place(self))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let Place(group) = self;
        *group.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        group.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

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
                    let _place = places.soon();
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

    #[test]
    fn one_that_takes_long_stays_where_nobody_else_does_and_leaves_its_place_to_others() {
        let places = Places::default();
        let (mut first, mut second) = (places.soon(), places.soon());
        assert!(places.soon.take_free().is_none());
        assert!(places.stay(&mut first) && places.stay(&mut first));
        let third = places.soon.take_free().expect("the place that it had");
        assert!(!places.stay(&mut second), "one stays already");
        drop((first, third));
        assert!(places.stay(&mut second));
        drop(second);
        let both = (places.soon.take_free(), places.soon.take_free());
        assert!(both.0.is_some() && both.1.is_some());
    }
}
