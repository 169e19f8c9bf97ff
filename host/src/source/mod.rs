//! Where events come from: Kafka, files, memory. The only place that names rdkafka.
//!
//! ```text
//!            Assigned ──► the reader answers where each partition starts
//! Source ──► Records  ──► Arrow rows of one partition, in offset order
//!            Revoked  ──► the reader lands what it holds, then says so
//! ```
//!
//! The one thing to know: a source keeps no progress. The tables do, and each assignment asks for
//! it, so a source may be dropped at any moment without losing or doubling a record.

mod error;

pub mod records;

pub mod file;

pub mod memory;

pub mod kafka;

pub mod producer;

pub mod broker;

use std::future::Future;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use tokio::sync::oneshot;

pub use broker::Broker;
pub use error::SourceError;
pub use file::FileSource;
pub use kafka::{KafkaClients, KafkaOptions, KafkaSource, beginnings, bounds, partitions_of};
pub use memory::MemorySource;
pub use producer::Producer;
pub use records::schema;

use crate::names::{Offset, Partition};

/// Records of one partition, in offset order.
#[derive(Clone, Debug)]
pub struct Records {
    /// The assignment that they were read under.
    pub epoch: u64,
    pub partition: Partition,
    /// The first position that these records cover: where the ones before ended.
    pub from: Offset,
    /// The position to read on from. Offsets between that no row has are holes, and consumed.
    pub to: Offset,
    /// The columns of [`schema`]. No rows where only a start is being told, or a hole.
    pub rows: RecordBatch,
}

/// Where a partition is read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// The first record that there is.
    Earliest,
    /// Only what comes after now.
    Latest,
    /// The first record at or after this moment, in microseconds since 1970 UTC.
    Time(i64),
    /// This offset, which must still be there.
    At(Offset),
}

/// What a source says next.
#[derive(Debug)]
pub enum Event {
    /// From now on these partitions, and no others, are this reader's: all that it has, also those
    /// it had before. Nothing of them is read until `starts` was answered; one that the answer
    /// leaves out is not read. Epochs rise.
    ///
    /// For each start other than [`Start::At`], records without rows follow at once, from and to
    /// the offset that the start was resolved to.
    Assigned {
        epoch: u64,
        partitions: Vec<Partition>,
        starts: oneshot::Sender<Vec<(Partition, Start)>>,
    },
    /// Everything of this epoch is about to go, or to be assigned anew. The source waits for
    /// `done`, for a few seconds at most where other readers would wait with it: the tables turn
    /// away what another has taken up by then. No records follow until the next `Assigned`.
    Revoked {
        epoch: u64,
        partitions: Vec<Partition>,
        done: oneshot::Sender<()>,
    },
    Records(Records),
    /// Everything that was there when the source was opened has been delivered. Said once an
    /// epoch, and only by a source that was opened with `until_caught_up`.
    CaughtUp,
    /// A person must act; nothing more comes of this partition, or of any where it is `None`.
    Stopped {
        partition: Option<Partition>,
        reason: SourceError,
    },
    /// Something to know about: the source goes on trying.
    Degraded {
        text: String,
    },
}

/// A stream of partitions' records.
pub trait Source: Send {
    /// The next event; `None` when there will be no more.
    ///
    /// # Cancellation
    /// Safe: an event is taken out only by the call that returns it.
    fn next(&mut self) -> impl Future<Output = Option<Event>> + Send;

    /// Which topic of that name there is now (see [`Partition::source`]).
    ///
    /// # Errors
    /// No such topic, or one that can't be asked for in the time given: then
    /// [`SourceError::is_transient`].
    fn source_of(
        &mut self,
        topic: &str,
    ) -> impl Future<Output = Result<Arc<str>, SourceError>> + Send;

    /// Drops what was read and asks anew where to start: an `Assigned` with a higher epoch
    /// follows, unless nothing is assigned.
    fn restart(&mut self);

    /// How many positions each partition's end lies past this progress, as far as known without
    /// asking; partitions that nothing is known of are left out.
    fn lag(
        &mut self,
        progress: &[(Partition, Offset)],
    ) -> impl Future<Output = Vec<(Partition, Offset)>> + Send;

    /// Where each partition ends just now, also those that other readers have; none where there can
    /// be no others.
    ///
    /// # Errors
    /// As [`Source::source_of`].
    fn ends(
        &mut self,
    ) -> impl Future<Output = Result<Vec<(Partition, Offset)>, SourceError>> + Send;

    /// Tells the progress to where lag monitors look. Best effort: nothing ever reads it back.
    fn commit_for_monitors(
        &mut self,
        progress: &[(Partition, Offset)],
    ) -> impl Future<Output = ()> + Send;

    /// Ends the source in bounded time, also where nobody answers any more.
    fn close(self) -> impl Future<Output = ()> + Send;
}
