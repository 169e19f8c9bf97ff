//! A thread's time of the processor, and its place among those who want it.

mod account;
mod slice;
mod turn;

use std::io;
use std::time::Duration;

pub use self::account::USUAL_WEIGHT;
pub use self::slice::come_soon;
#[cfg(test)]
pub(crate) use self::slice::own_slice;
pub use self::turn::{Share, Turns, give_way};

/// What the calling thread has had of the processor. Waiting, for it too, does not count.
pub fn thread_time() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: it writes to `time` alone, which is there until it returns.
    let said = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    if said != 0 {
        return Duration::ZERO;
    }
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// Has every other thread come before the calling one.
///
/// # Errors
/// What the system says.
pub fn come_last() -> io::Result<()> {
    const LAST: libc::c_int = 19;
    // SAFETY: it takes no pointers; 0 is the calling thread alone.
    match unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, LAST) } {
        0 => {
            slice::come_as_others();
            Ok(())
        }
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn a_thread_that_comes_last_leaves_the_others_as_they_were_and_counts_its_own_time() {
        // SAFETY: it takes no pointers.
        let nice = || unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) };
        let before = nice();
        let theirs = thread::spawn(move || {
            come_last().unwrap();
            let begun = thread_time();
            thread::sleep(Duration::from_millis(50));
            (nice(), thread_time() - begun)
        });
        let (nice_of_it, worked) = theirs.join().unwrap();
        assert_eq!((nice_of_it, nice()), (19, before));
        assert!(worked < Duration::from_millis(40), "{worked:?}");
    }
}
