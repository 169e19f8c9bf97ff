//! Kafka: members of consumer groups whose progress is kept elsewhere.
//!
//! ```text
//! KafkaSource ──┐                        ┌── member: phases, flow, lane
//! KafkaSource ──┼── hub ── the thread ───┼── member: …
//! KafkaSource ──┘           that polls   └── the group: subscription, rebalances
//! ```
//!
//! Pipelines with the same settings share a client, and a thread of its own polls it ([`reader`]).
//! The one thing to know: whatever a rebalance does, a reader sees only `Revoked` with all that it
//! had, and `Assigned` with all that it has, so eager and cooperative groups look the same; and of
//! what happens to other members it sees nothing.

mod asks;

mod clock;

mod cluster;

mod flow;

mod group;

mod hub;

mod lane;

mod member;

mod native;

mod phase;

mod properties;

mod queue;

mod reader;

mod source;

mod starts;

mod topics;

mod trouble;

use std::collections::BTreeMap;
use std::time::Duration;

use super::Event;

pub use self::cluster::{beginnings, bounds, partitions_of};
pub use self::hub::KafkaClients;
pub use self::source::KafkaSource;
pub use self::topics::NO_ID;

pub(super) use self::native::log;
pub(super) use self::properties::{plain as client_properties, refused as properties_refused};

/// How many events may wait for a reader: with chunks of a few MiB, what memory bears, and enough
/// that neither side waits for the other while a batch is committed.
const WAITING: usize = 8;
/// How many bytes of records may wait for the readers of one client, in bytes, each of which has an
/// equal share; one event may wait for each in any case.
const WAITING_BYTES: usize = 256 << 20;
/// How long one request to the cluster may take before it counts as unanswered.
const REQUEST: Duration = Duration::from_secs(5);
/// How long [`Source::source_of`](super::Source::source_of) tries: a broker that restarts is back
/// within it.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often the wall clock is looked at while nothing happens.
const LOOK_AT_CLOCK: Duration = Duration::from_secs(1);
/// How long [`Source::close`](super::Source::close) waits for librdkafka, which hangs where brokers
/// are away.
const FAREWELL: Duration = Duration::from_secs(5);

/// Which topics to read, and as whom.
#[derive(Clone, Debug)]
pub struct KafkaOptions {
    /// host:port, comma-separated.
    pub brokers: String,
    pub topics: Vec<String>,
    /// The consumer group. Its members share the partitions.
    pub group: String,
    /// The name of this member (`group.instance.id`), by which it gets its partitions back at once
    /// after a restart. No two living members may have the same. Groups of the protocol `consumer`
    /// (KIP-848) do without. Who joins a client goes by the name that this has already.
    pub instance: String,
    /// Any of librdkafka's properties. An own `group.instance.id` wins over `instance`.
    pub properties: BTreeMap<String, String>,
    /// Say [`Event::CaughtUp`] when what was there at the start has been delivered.
    pub until_caught_up: bool,
}

/// What a client is made with: everything but the topics.
#[derive(Clone, Debug)]
struct Settings {
    brokers: String,
    group: String,
    instance: String,
    properties: BTreeMap<String, String>,
    until_caught_up: bool,
}

impl Settings {
    fn of(options: &KafkaOptions) -> Self {
        Self {
            brokers: options.brokers.clone(),
            group: options.group.clone(),
            instance: options.instance.clone(),
            properties: options.properties.clone(),
            until_caught_up: options.until_caught_up,
        }
    }

    /// Whether one client does for both. The member's name is whatever the first gave it.
    fn are_of(&self, options: &KafkaOptions) -> bool {
        self.brokers == options.brokers
            && self.group == options.group
            && self.properties == options.properties
            && self.until_caught_up == options.until_caught_up
    }

    /// Whether the member keeps its partitions while it is away. A group of the protocol `consumer`
    /// compares what a member that comes back subscribes to, others do not.
    fn is_static(&self) -> bool {
        let protocol = self.properties.get("group.protocol");
        protocol.is_none_or(|protocol| protocol != "consumer")
    }
}

/// The memory that an event's records take, in bytes.
fn size(event: &Event) -> usize {
    match event {
        Event::Records(records) => records.rows.get_array_memory_size(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests;
