//! What can go wrong with a source, and what to do then.

use std::path::PathBuf;

use crate::names::{Offset, Partition};

/// Why a source can't be read, or not any more.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    #[error(
        "{partition}: the tables stand at offset {progress}, but the oldest that the source still has is {begin}: what lay between has expired; to go on without it, say `assay source accept-gap` with `--to {begin}`"
    )]
    Expired {
        partition: Partition,
        progress: Offset,
        begin: Offset,
    },
    #[error(
        "{partition}: the tables stand at offset {progress}, but the source ends at {end}: it was cut off, or is another one; to go on from its end, say `assay source accept-gap` with `--to {end}`"
    )]
    Truncated {
        partition: Partition,
        progress: Offset,
        end: Offset,
    },
    #[error("there is no topic {topic:?} at {brokers}: create it, or correct `topics` in the TOML")]
    NoSuchTopic { topic: String, brokers: String },
    #[error("{brokers} did not answer: {reason}; check `brokers` in the TOML and the network")]
    Unreachable { brokers: String, reason: String },
    #[error("{brokers} refused: {reason}; check the credentials and rights in [source.properties]")]
    Refused { brokers: String, reason: String },
    #[error(
        "another host reads as {instance:?} in this consumer group: give each its own `group.instance.id` in [source.properties]"
    )]
    InstanceTaken { instance: String },
    #[error(
        "the group still has a member of the name {instance:?}: if it was killed its session ends by itself, after what the broker allows for that (`group.consumer.session.timeout.ms`, 45 s by default); if it lives, give this host another `group.instance.id` in [source.properties]"
    )]
    InstanceHeld { instance: String },
    #[error(
        "the wall clock was set back by {by} s, and librdkafka waits by it: its client is made anew"
    )]
    ClockSetBack { by: u64 },
    /// Without the value, which may be a secret.
    #[error("[source.properties] {name}: {reason}")]
    Property { name: String, reason: String },
    #[error("these properties do not go together: {reason}; check [source.properties] in the TOML")]
    Properties { reason: String },
    #[error(
        "topic {topic} was deleted and made again (it was {before}, it is {now}): if that is meant, say `assay source new-generation`"
    )]
    TopicReplaced {
        topic: String,
        before: String,
        now: String,
    },
    #[error("{brokers} did not take a message: {reason}")]
    Undelivered { brokers: String, reason: String },
    #[error("the broker in the process failed: {reason}")]
    Broker { reason: String },
    #[error("the Kafka client at {brokers} failed for good: {reason}; start the host again")]
    Fatal { brokers: String, reason: String },
    #[error("{}: {source}; check `path` in the TOML and its rights", path.display())]
    File {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error(
        "{}: there is nothing to read: give a file, or a folder of .ndjson, .jsonl or .json files", path.display()
    )]
    NoFiles { path: PathBuf },
    #[error(
        "{}: its first line is not the one that was there before: it is another file; give it another name", path.display()
    )]
    FileReplaced { path: PathBuf },
    #[error(
        "{}: the line at byte {offset} does not end within {limit} bytes: one event a line is read, so this is no such file", path.display()
    )]
    LineTooLong {
        path: PathBuf,
        offset: Offset,
        limit: usize,
    },
    #[error("the thread that reads the source could not start: {0}")]
    Thread(std::io::Error),
    #[error("{partition}: records could not be put into columns: {source}")]
    Columns {
        partition: Partition,
        source: arrow::error::ArrowError,
    },
}

impl SourceError {
    /// Whether the same request may succeed later without anybody acting.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }
}
