//! A member's lane: what is fetched of its partitions comes into a queue of its own. Where it is
//! not taken out, librdkafka fetches nothing more of these partitions, and goes on with others'.

use std::ffi::CString;
use std::sync::Arc;

use rdkafka::bindings as rd;
use rdkafka::consumer::Consumer as _;

use super::super::SourceError;
use super::native::{Client, Happened, Place};
use super::queue::Queue;

/// A queue that some of a client's partitions are fetched into.
pub struct Lane {
    // Given back before the client is.
    queue: Queue,
    client: Arc<Client>,
}

impl Lane {
    /// An empty lane, which wakes this thread.
    ///
    /// # Errors
    /// `Fatal`: there is no memory for it.
    pub fn new(client: Arc<Client>, brokers: &str) -> Result<Self, SourceError> {
        let handle = client.consumer().client().native_ptr();
        // SAFETY: the handle is alive as long as the client, which stays with the queue.
        let queue = unsafe { Queue::of(rd::rd_kafka_queue_new(handle)) };
        let queue = queue.ok_or_else(|| SourceError::Fatal {
            brokers: brokers.to_owned(),
            reason: "there is no queue to be had".to_owned(),
        })?;
        queue.wakes(std::thread::current());
        Ok(Self { queue, client })
    }

    /// Has a partition's messages and errors come into this lane from now on.
    pub fn take(&self, place: &Place) {
        if let Some(own) = own_queue(&self.client, place) {
            // SAFETY: both queues are alive; librdkafka keeps the lane's for as long as it needs it.
            unsafe { rd::rd_kafka_queue_forward(own.ptr(), self.queue.ptr()) }
        }
    }

    /// What came next, if anything did.
    pub fn poll(&self) -> Option<Happened<'_>> {
        self.queue.poll()
    }
}

/// Makes partitions known to librdkafka for as long as the answer is kept: one that it does not
/// know can't be paused.
pub fn known(client: &Client, places: &[Place]) -> Vec<Queue> {
    let queues = places.iter().filter_map(|place| own_queue(client, place));
    queues.collect()
}

/// The queue that a partition has of its own.
fn own_queue(client: &Client, (topic, number): &Place) -> Option<Queue> {
    let topic = CString::new(topic.as_str()).ok()?;
    let handle = client.consumer().client().native_ptr();
    // SAFETY: the handle is alive, the name ends in a nul; what is handed out is a reference.
    unsafe {
        Queue::of(rd::rd_kafka_queue_get_partition(
            handle,
            topic.as_ptr(),
            *number,
        ))
    }
}
