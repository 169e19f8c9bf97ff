//! Turns: what takes long is done in one, and there are as many at a time as cores.
//!
//! ```text
//! Share::spawn ──► waits, as the other tenants do ──► a blocking thread works, and every few
//!                  milliseconds gives way, in the middle of it, to a tenant that has had less
//! ```
//!
//! What must not wait (talking to Kafka and the lake, answering requests) needs no turn.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::task::{JoinError, block_in_place, spawn_blocking};

use super::account::Queue;
use super::slice::Long;
use super::thread_time;

type Waits = Queue<oneshot::Sender<()>>;

/// A turn that took more of the processor is long work.
const LONG_AFTER: Duration = Duration::from_millis(5);

thread_local! {
    /// The turn that this thread works in.
    static CURRENT: RefCell<Option<Current>> = const { RefCell::new(None) };
    /// CPU time that this thread has counted as used in turns.
    static COUNTED: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// The turns of a process. Clones are the same.
#[derive(Clone)]
pub struct Turns(Arc<Gate>);

/// A tenant's place among those who want turns. Clones are the same place.
#[derive(Clone)]
pub struct Share(Arc<Place>);

struct Gate {
    queue: Mutex<Waits>,
    /// How many wait, for those who only want to know whether anybody does.
    waiting: AtomicUsize,
}

struct Place {
    gate: Arc<Gate>,
    number: u64,
    used: AtomicU64,
    waited: AtomicU64,
}

impl Turns {
    /// So many turns at a time.
    pub fn new(turns: usize) -> Self {
        Self(Arc::new(Gate {
            queue: Mutex::new(Queue::new(turns)),
            waiting: AtomicUsize::new(0),
        }))
    }

    /// As many as this machine has cores.
    pub fn of_this_machine() -> Self {
        Self::new(std::thread::available_parallelism().map_or(1, usize::from))
    }

    /// A place of its own, of the usual weight.
    pub fn share(&self) -> Share {
        Share(Arc::new(Place {
            number: self.0.change(Queue::open),
            gate: self.0.clone(),
            used: AtomicU64::new(0),
            waited: AtomicU64::new(0),
        }))
    }
}

impl Gate {
    fn change<T>(&self, change: impl FnOnce(&mut Waits) -> T) -> T {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = change(&mut queue);
        self.waiting.store(queue.waiting(), Ordering::Relaxed);
        changed
    }
}

/// Wakes who has a turn now. Where nobody waits there any more, the next has it.
fn wake(queue: &mut Waits, mut next: Option<(u64, oneshot::Sender<()>)>) {
    while let Some((number, wake)) = next {
        next = match wake.send(()) {
            Ok(()) => None,
            Err(()) => queue.give_back(number),
        };
    }
}

impl Default for Share {
    /// That of one who is alone, and never waits.
    fn default() -> Self {
        Turns::new(usize::MAX).share()
    }
}

impl Share {
    /// Says what its time counts beside others': with twice the weight it has twice the time, where
    /// all want more than there is.
    pub fn weigh(&self, weight: u32) {
        let Place { gate, number, .. } = &*self.0;
        gate.change(|queue| queue.weigh(*number, weight));
    }

    /// The CPU time that it had: in its turns, and in what is [metered](Self::metered).
    pub fn used(&self) -> Duration {
        Duration::from_nanos(self.0.used.load(Ordering::Relaxed))
    }

    /// How long its work has waited for turns, all together.
    pub fn waited(&self) -> Duration {
        Duration::from_nanos(self.0.waited.load(Ordering::Relaxed))
    }

    /// Works on a blocking thread, in a turn.
    ///
    /// # Errors
    /// The work panicked, or the runtime is ending.
    ///
    /// # Cancellation
    /// What has begun goes on to its end; what waits does not begin.
    pub async fn spawn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        let turn = self.turn().await;
        spawn_blocking(move || turn.work(work)).await
    }

    /// Works on this thread, in a turn; the runtime goes on with its others meanwhile.
    pub async fn here<T>(&self, work: impl FnOnce() -> T) -> T {
        let turn = self.turn().await;
        block_in_place(|| turn.work(work))
    }

    /// Has the CPU time count that a future takes outside of turns.
    pub async fn metered<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        poll_fn(|context| {
            let (begun, counted) = (thread_time(), COUNTED.get());
            let polled = future.as_mut().poll(context);
            let took = thread_time().saturating_sub(begun);
            let in_turns = COUNTED.get().saturating_sub(counted);
            self.0.note_used(took.saturating_sub(in_turns));
            polled
        })
        .await
    }

    async fn turn(&self) -> Turn {
        let place = &self.0;
        let granted = place.gate.change(|queue| match queue.take(place.number) {
            true => None,
            false => {
                let (wake, granted) = oneshot::channel();
                queue.wait(place.number, wake);
                Some(granted)
            }
        });
        if granted.is_some() {
            let begun = Instant::now();
            let place = place.clone();
            Waiting { place, granted }.granted().await;
            self.0.note_wait(begun);
        }
        Turn(place.clone())
    }
}

impl Place {
    fn note_used(&self, time: Duration) {
        self.used.fetch_add(nanos(time), Ordering::Relaxed);
    }

    fn note_wait(&self, begun: Instant) {
        let waited = nanos(begun.elapsed());
        self.waited.fetch_add(waited, Ordering::Relaxed);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.gate.change(|queue| queue.close(self.number));
    }
}

/// One who waits for a turn. Where it is dropped, a turn that it got meanwhile is not lost.
struct Waiting {
    place: Arc<Place>,
    granted: Option<oneshot::Receiver<()>>,
}

impl Waiting {
    async fn granted(mut self) {
        if let Some(granted) = &mut self.granted {
            // Who wakes holds the other end until it has.
            let _ = granted.await;
        }
        self.granted = None;
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(granted) = &mut self.granted {
            granted.close();
            if granted.try_recv().is_ok() {
                drop(Turn(self.place.clone()));
            }
        }
    }
}

/// A turn, which is given back when this is dropped.
struct Turn(Arc<Place>);

impl Turn {
    fn work<T>(self, work: impl FnOnce() -> T) -> T {
        let begun = thread_time();
        CURRENT.set(Some(Current {
            turn: self,
            begun,
            paid: begun,
            long: None,
        }));
        let _until = Until;
        work()
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Place { gate, number, .. } = &*self.0;
        gate.change(|queue| {
            let next = queue.give_back(*number);
            wake(queue, next);
        });
    }
}

/// Ends the thread's turn, also where what is done in it panics.
struct Until;

impl Drop for Until {
    fn drop(&mut self) {
        if let Some(mut current) = CURRENT.take() {
            current.pay();
        }
    }
}

/// A turn that a thread works in.
struct Current {
    turn: Turn,
    /// The thread's CPU time as it began.
    begun: Duration,
    /// The thread's CPU time up to which it was paid for.
    paid: Duration,
    /// Once it has lasted.
    long: Option<Long>,
}

impl Current {
    fn pay(&mut self) {
        let now = thread_time();
        let time = now.saturating_sub(self.paid);
        self.paid = now;
        COUNTED.set(COUNTED.get() + time);
        let place = &*self.turn.0;
        place.note_used(time);
        place.gate.change(|queue| queue.pay(place.number, time));
    }

    fn give_way(&mut self) {
        if self.long.is_none() && thread_time().saturating_sub(self.begun) > LONG_AFTER {
            self.long = Some(Long::begin());
        }
        if self.turn.0.gate.waiting.load(Ordering::Relaxed) == 0 {
            return;
        }
        self.pay();
        let place = &*self.turn.0;
        let mut again = None;
        place.gate.change(|queue| {
            let next = queue.pass_on(place.number, || {
                let (wake, granted) = oneshot::channel();
                again = Some(granted);
                wake
            });
            wake(queue, next);
        });
        if let Some(granted) = again {
            let begun = Instant::now();
            // As in `Waiting`. Turns are worked in on threads that may block.
            let _ = granted.blocking_recv();
            place.note_wait(begun);
        }
    }
}

/// Where this thread works in a turn, and a tenant waits that has had less: has that one come
/// first, and waits until it may go on. To be called every few milliseconds.
pub fn give_way() {
    CURRENT.with_borrow_mut(|current| {
        if let Some(current) = current {
            current.give_way();
        }
    });
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;

    /// Works for so long on this thread, giving way as it should.
    fn work(time: Duration) {
        let begun = thread_time();
        while thread_time() - begun < time {
            give_way();
        }
    }

    const MOMENT: Duration = Duration::from_millis(1);

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn one_who_loops_and_one_who_floods_have_their_shares_and_no_more() {
        let turns = Turns::new(2);
        let [loops, floods, good] = [turns.share(), turns.share(), turns.share()];
        let stop = Arc::new(AtomicBool::new(false));
        let forever = |share: &Share| {
            let (share, stop) = (share.clone(), stop.clone());
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let stop = stop.clone();
                    let on = move || {
                        while !stop.load(Ordering::Relaxed) {
                            work(MOMENT);
                        }
                    };
                    share.spawn(on).await.unwrap();
                }
            })
        };
        // More than there are turns, each of which would go on for ever.
        let bad = [&loops, &loops, &floods, &floods, &floods, &floods].map(forever);
        for _ in 0..50 {
            good.here(|| work(MOMENT)).await;
        }
        stop.store(true, Ordering::Relaxed);
        for bad in bad {
            bad.await.unwrap();
        }
        assert!(good.used() >= MOMENT * 50, "{:?}", good.used());
        // What each of the bad had beside the other is theirs by halves, whatever the machine does.
        let (one, other) = (loops.used().as_secs_f64(), floods.used().as_secs_f64());
        assert!((0.5..2.0).contains(&(one / other)), "{one} {other}");
        assert_eq!(turns.0.waiting.load(Ordering::Relaxed), 0);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_turn_survives_who_gave_up_waiting_for_it_and_who_panicked_in_it() {
        let turns = Turns::new(1);
        let [one, other] = [turns.share(), turns.share()];
        let (begun, started) = oneshot::channel();
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let long = {
            let one = one.clone();
            tokio::spawn(async move {
                one.spawn(move || {
                    begun.send(()).unwrap();
                    ended.recv().unwrap();
                })
                .await
            })
        };
        started.await.unwrap();
        for _ in 0..3 {
            let waits = tokio::time::timeout(MOMENT, other.spawn(|| ()));
            assert!(waits.await.is_err(), "the only turn is taken");
        }
        end.send(()).unwrap();
        long.await.unwrap().unwrap();
        assert!(other.spawn(|| panic!("as a test")).await.is_err());
        one.spawn(|| ()).await.unwrap();
        assert!(other.waited() >= Duration::ZERO && one.waited() < Duration::from_secs(1));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_is_done_between_turns_counts_once() {
        let share = Share::default();
        let (inside, outside) = (MOMENT * 30, MOMENT * 20);
        share
            .metered(async {
                share.here(|| work(inside)).await;
                tokio::task::yield_now().await;
                work(outside);
            })
            .await;
        let used = share.used();
        assert!(used >= inside + outside, "{used:?}");
        assert!(used < (inside + outside) * 3 / 2, "{used:?}");
    }

    #[test]
    fn a_turn_lets_others_go_first_once_it_has_lasted_and_only_then() {
        use super::super::slice::{self, own_slice};

        let share = Share::default();
        let slices = std::thread::spawn(move || {
            slice::come_soon().unwrap();
            let before = own_slice();
            let during = |time: Duration| {
                let place = share.0.clone();
                assert!(place.gate.change(|queue| queue.take(place.number)));
                Turn(place).work(|| {
                    work(time);
                    own_slice()
                })
            };
            let (short, long) = (during(Duration::ZERO), during(LONG_AFTER * 2));
            (before, short, long, own_slice())
        });
        let (before, short, long, after) = slices.join().unwrap();
        assert_eq!((short, after), (before, before));
        // Below Linux 6.12 all are the same.
        assert!(long > before || before != slice::SHORT, "{long} {before}");
    }
}
