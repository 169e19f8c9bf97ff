//! How soon a thread that wakes has a core, where all of them are taken.
//!
//! Linux lets a thread that wakes go before one that runs, where the slice it asks for is the shorter
//! one; over time both have the same all the same (EEVDF; threads have slices of their own since 6.12).
//! Who talks to Kafka and the lake works for moments, and waits in between, a hundred times a batch:
//! that is not to be a hundred times the rest of the slice of a rule that loops. Such a rule asks for a
//! longer slice than anybody, so a broker on the same machine goes before it, too.

use std::cell::Cell;
use std::io;

/// The shortest slice that Linux gives, in nanoseconds.
pub(super) const SHORT: u64 = 100_000;
/// The slice of who works at length, in nanoseconds: longer than the usual one, which is 3 ms at most.
const LONG: u64 = 10_000_000;
/// The slice that Linux gives to who asks for none.
const USUAL: u64 = 0;

thread_local! {
    /// What this thread asked for, where it did.
    static SOON: Cell<Option<libc::sched_attr>> = const { Cell::new(None) };
}

/// Has the calling thread go before others whenever it wakes, until it works at [length](Long). Where
/// the system knows no such thing, nothing changes.
///
/// # Errors
/// What the system says.
pub fn come_soon() -> io::Result<()> {
    SOON.set(ask(SHORT)?);
    Ok(())
}

/// Has the calling thread no more of that. Where it is refused, so was what it undoes.
pub fn come_as_others() {
    SOON.set(None);
    let _ = ask(USUAL);
}

/// Long work on a thread that otherwise comes soon: while this is there, others that wake go before it.
pub struct Long(());

impl Long {
    pub fn begin() -> Self {
        change(LONG);
        Self(())
    }
}

impl Drop for Long {
    fn drop(&mut self) {
        change(SHORT);
    }
}

/// What was granted once is not refused later; and if it were, work would only wait as it did before.
fn change(slice: u64) {
    if let Some(mut asked) = SOON.get() {
        asked.sched_runtime = slice;
        let _ = set(&asked);
    }
}

/// `None` for a thread that somebody put under rules of another kind, which stay.
fn ask(slice: u64) -> io::Result<Option<libc::sched_attr>> {
    let mut asked = read()?;
    let policy = libc::c_int::try_from(asked.sched_policy);
    if !matches!(policy, Ok(libc::SCHED_OTHER | libc::SCHED_BATCH)) {
        return Ok(None);
    }
    asked.sched_runtime = slice;
    set(&asked)?;
    Ok(Some(asked))
}

/// The calling thread's own. libc has no function for either.
fn read() -> io::Result<libc::sched_attr> {
    // SAFETY: a struct of numbers, for which zero is a value.
    let mut found: libc::sched_attr = unsafe { std::mem::zeroed() };
    let size = size_of::<libc::sched_attr>();
    // SAFETY: it writes at most `size` bytes to `found`; 0 is the calling thread.
    let said = unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut found, size, 0) };
    match said {
        0 => Ok(found),
        _ => Err(io::Error::last_os_error()),
    }
}

fn set(asked: &libc::sched_attr) -> io::Result<()> {
    // SAFETY: it reads as many bytes of `asked` as that says it has; 0 is the calling thread.
    match unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const *asked, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The calling thread's slice, in nanoseconds.
#[cfg(test)]
pub(crate) fn own_slice() -> u64 {
    read().unwrap().sched_runtime
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn a_thread_comes_soon_but_in_its_long_work_and_keeps_its_priority() {
        let own = || read().unwrap();
        let others = own();
        thread::spawn(move || {
            drop(Long::begin());
            assert_eq!(own().sched_runtime, others.sched_runtime, "it never asked");
            come_soon().unwrap();
            let soon = own();
            assert_eq!(
                (soon.sched_policy, soon.sched_nice),
                (others.sched_policy, others.sched_nice)
            );
            if soon.sched_runtime == others.sched_runtime {
                return eprintln!("this Linux has no slices of a thread's own");
            }
            assert_eq!(soon.sched_runtime, SHORT);
            let long = Long::begin();
            assert_eq!(own().sched_runtime, LONG);
            drop(long);
            assert_eq!(own().sched_runtime, SHORT);
            let theirs = thread::spawn(move || {
                let at_first = own().sched_runtime;
                come_as_others();
                drop(Long::begin());
                (at_first, own().sched_runtime)
            });
            // Who makes a thread hands this on.
            assert_eq!(theirs.join().unwrap(), (SHORT, others.sched_runtime));
        })
        .join()
        .unwrap();
    }
}
