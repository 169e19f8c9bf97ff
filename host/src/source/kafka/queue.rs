//! A queue of librdkafka's, which wakes the thread that polls it.

use std::ffi::c_void;
use std::ptr::{self, NonNull};
use std::sync::OnceLock;
use std::thread::Thread;

use rdkafka::bindings as rd;

use super::native::Happened;

/// A reference to a queue, given back when it is dropped.
pub struct Queue {
    queue: NonNull<rd::rd_kafka_queue_t>,
    /// In a place of its own, which librdkafka knows.
    woken: OnceLock<Box<Thread>>,
}

// SAFETY: librdkafka's queues may be used from any thread at once; this one is freed only in `drop`.
unsafe impl Send for Queue {}
// SAFETY: as above.
unsafe impl Sync for Queue {}

impl Queue {
    /// A reference that was handed out; `None` where none was.
    ///
    /// # Safety
    /// The reference is the caller's to give away, and its client outlives this.
    pub unsafe fn of(queue: *mut rd::rd_kafka_queue_t) -> Option<Self> {
        NonNull::new(queue).map(|queue| Self {
            queue,
            woken: OnceLock::new(),
        })
    }

    pub fn ptr(&self) -> *mut rd::rd_kafka_queue_t {
        self.queue.as_ptr()
    }

    /// What came next, if anything did.
    pub fn poll(&self) -> Option<Happened<'_>> {
        // SAFETY: the queue is alive as long as `self`. The event belongs to whom polled it.
        unsafe {
            let event = rd::rd_kafka_queue_poll(self.ptr(), 0);
            NonNull::new(event).map(|event| Happened::of(event))
        }
    }

    /// Has a thread that is parked go on when something comes into the queue while it is empty.
    /// Only the first call counts.
    pub fn wakes(&self, thread: Thread) {
        let woken = self.woken.get_or_init(|| Box::new(thread));
        let woken = ptr::from_ref::<Thread>(woken).cast_mut().cast();
        // SAFETY: the queue is alive, and the box stays where it is until `drop` has ended this.
        unsafe { rd::rd_kafka_queue_cb_event_enable(self.ptr(), Some(wake), woken) }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: the reference is given back once. Whoever is within `wake` holds the queue's lock,
        // which the first call waits for; none comes after it.
        unsafe {
            if self.woken.get().is_some() {
                rd::rd_kafka_queue_cb_event_enable(self.ptr(), None, ptr::null_mut());
            }
            rd::rd_kafka_queue_destroy(self.ptr());
        }
    }
}

/// # Safety
/// `thread` is what [`Queue::wakes`] gave, and alive.
unsafe extern "C" fn wake(_: *mut rd::rd_kafka_t, thread: *mut c_void) {
    // SAFETY: promised by the caller.
    unsafe { &*thread.cast::<Thread>() }.unpark();
}
