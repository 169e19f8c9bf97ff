//! The thread that a rule set judges on beside the active one: it comes last for the processor, it
//! keeps to its share of one core, and nobody ever waits for it.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::Coverage;
use crate::medallion::compare::{CompareError, Compared, Comparer, MESSAGES_AT_ONCE};
use crate::medallion::cut::Cut;
use crate::medallion::judge::JudgeError;
use crate::medallion::layer::LayerError;
use crate::plugin::CallError;
use crate::processor::{come_last, thread_time};

/// Batches that wait for the thread beside the one that it has: what they hold of memory is theirs.
const WAITING: usize = 2;
/// How long it waits for a batch before it says what it has.
const IDLE: Duration = Duration::from_secs(1);
/// How often it says what it has, at most.
const SAY: Duration = Duration::from_secs(5);
/// The longest nap before it looks whether it is to end.
const NAP: Duration = Duration::from_millis(20);
/// Calls in a row that ran past their wall-clock deadline before it gives up: this thread comes last
/// on a busy machine, so one alone says nothing.
const MOST_LATE: u32 = 3;

/// What is done with what was compared.
pub(super) trait Purpose: Send {
    /// Looks at rows that were just compared. It may have seen enough.
    ///
    /// # Errors
    /// Why it is over.
    fn compared(
        &mut self,
        compared: Compared,
        comparer: &mut Comparer,
    ) -> Result<ControlFlow<()>, String>;

    /// Says what there is so far.
    ///
    /// # Errors
    /// Why it is over.
    fn say(&mut self, comparer: &mut Comparer, coverage: Coverage) -> Result<(), String>;
}

/// A thread that runs, as the tenant's loop sees it.
pub(super) struct Beside {
    batches: SyncSender<Arc<Cut>>,
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    ends: AtomicBool,
    batches_left_out: AtomicU64,
    messages_left_out: AtomicU64,
    over: Mutex<Option<String>>,
}

impl Beside {
    /// Starts comparing. `share` is of one core.
    ///
    /// # Errors
    /// No thread to be had.
    pub fn start(
        name: &str,
        comparer: Comparer,
        purpose: Box<dyn Purpose>,
        share: f64,
    ) -> std::io::Result<Self> {
        let (batches, offered) = sync_channel(WAITING);
        let shared = Arc::new(Shared::default());
        let mut work = Work {
            comparer,
            purpose,
            share,
            shared: shared.clone(),
            batches: 0,
            late: 0,
        };
        let span = tracing::Span::current();
        let thread = thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                let _entered = span.enter();
                if let Err(error) = come_last() {
                    tracing::warn!(%error, "what judges beside has the priority of all others");
                }
                if let Err(reason) = work.run(&offered) {
                    *lock(&work.shared.over) = Some(reason);
                }
            })?;
        Ok(Self {
            batches,
            shared,
            thread,
        })
    }

    /// Offers a batch, which is left out if there is no time for it.
    pub fn offer(&self, cut: &Arc<Cut>) {
        if let Err(TrySendError::Full(cut)) = self.batches.try_send(cut.clone()) {
            self.shared.leave_out(cut.len());
        }
    }

    /// Why it is over, if it is.
    pub fn over(&self) -> Option<String> {
        lock(&self.shared.over).clone()
    }

    /// Has it end, with a last word.
    pub fn end(self) -> JoinHandle<()> {
        self.shared.ends.store(true, Ordering::Relaxed);
        self.thread
    }
}

impl Shared {
    fn leave_out(&self, messages: usize) {
        self.batches_left_out.fetch_add(1, Ordering::Relaxed);
        let messages = messages as u64;
        self.messages_left_out
            .fetch_add(messages, Ordering::Relaxed);
    }
}

struct Work {
    comparer: Comparer,
    purpose: Box<dyn Purpose>,
    share: f64,
    shared: Arc<Shared>,
    batches: u64,
    late: u32,
}

impl Work {
    fn run(&mut self, offered: &Receiver<Arc<Cut>>) -> Result<(), String> {
        let mut said = (Instant::now(), self.coverage());
        loop {
            let idle = match offered.recv_timeout(IDLE) {
                Ok(cut) => {
                    if self.batch(&cut)?.is_break() {
                        return Ok(());
                    }
                    false
                }
                Err(RecvTimeoutError::Timeout) => true,
                Err(RecvTimeoutError::Disconnected) => return self.say(),
            };
            if self.ends() {
                return self.say();
            }
            if (idle || said.0.elapsed() >= SAY) && said.1.is_before(self.coverage()) {
                said = (Instant::now(), self.coverage());
                let begun = Moment::now();
                self.say()?;
                self.rest(&begun);
            }
        }
    }

    fn batch(&mut self, cut: &Cut) -> Result<ControlFlow<()>, String> {
        for from in (0..cut.len()).step_by(MESSAGES_AT_ONCE) {
            if self.ends() {
                return Ok(ControlFlow::Continue(()));
            }
            let begun = Moment::now();
            let count = MESSAGES_AT_ONCE.min(cut.len() - from);
            match self.comparer.compare(&cut.messages.slice(from, count)) {
                Ok(compared) => {
                    self.late = 0;
                    if self
                        .purpose
                        .compared(compared, &mut self.comparer)?
                        .is_break()
                    {
                        return Ok(ControlFlow::Break(()));
                    }
                }
                Err(error) => {
                    self.not_compared(&error)?;
                    self.shared.leave_out(cut.len() - from);
                    return Ok(ControlFlow::Continue(()));
                }
            }
            self.rest(&begun);
        }
        self.batches += 1;
        Ok(ControlFlow::Continue(()))
    }

    /// Whose fault it is that messages were not compared, and whether that ends it.
    fn not_compared(&mut self, error: &CompareError) -> Result<(), String> {
        let CompareError::After { source, .. } = error else {
            tracing::warn!(%error, "a batch is not compared: the set that it is compared with can't judge it");
            return Ok(());
        };
        if let LayerError::Judge(JudgeError::Call { source: why, .. }) = source
            && matches!(why, CallError::Deadline { .. })
        {
            self.late += 1;
            if self.late < MOST_LATE {
                return Ok(());
            }
        }
        Err(source.to_string())
    }

    fn say(&mut self) -> Result<(), String> {
        let coverage = self.coverage();
        self.purpose.say(&mut self.comparer, coverage)
    }

    fn coverage(&self) -> Coverage {
        Coverage {
            batches: self.batches,
            batches_left_out: self.shared.batches_left_out.load(Ordering::Relaxed),
            messages_left_out: self.shared.messages_left_out.load(Ordering::Relaxed),
            cpu_millis: u64::try_from(thread_time().as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// Rests until what was done since took no more than the thread's share.
    fn rest(&self, begun: &Moment) {
        let worked = thread_time().saturating_sub(begun.cpu);
        let until = begun.wall + worked.div_f64(self.share);
        while !self.ends()
            && let Some(left) = until.checked_duration_since(Instant::now())
            && !left.is_zero()
        {
            thread::sleep(left.min(NAP));
        }
    }

    fn ends(&self) -> bool {
        self.shared.ends.load(Ordering::Relaxed)
    }
}

impl Coverage {
    fn is_before(self, other: Self) -> bool {
        let seen = |one: Self| (one.batches, one.batches_left_out);
        seen(self) != seen(other)
    }
}

struct Moment {
    wall: Instant,
    cpu: Duration,
}

impl Moment {
    fn now() -> Self {
        Self {
            wall: Instant::now(),
            cpu: thread_time(),
        }
    }
}

fn lock(over: &Mutex<Option<String>>) -> std::sync::MutexGuard<'_, Option<String>> {
    over.lock().unwrap_or_else(PoisonError::into_inner)
}
