//! A broker in the process, for the demo and for tests: librdkafka's mock cluster, which speaks
//! Kafka's own protocol.
//!
//! The one thing to know: it keeps at most 5 MiB or 100,000 batches a partition and forgets the
//! oldest, so a producer must not run ahead of the consumer.

use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;

use super::SourceError;

/// A cluster of one broker on a free port, which is gone when this is dropped.
pub struct Broker {
    cluster: MockCluster<'static, DefaultProducerContext>,
}

impl Broker {
    /// Starts it.
    ///
    /// # Errors
    /// No port to be had.
    pub fn start() -> Result<Self, SourceError> {
        let cluster = MockCluster::new(1).map_err(|error| SourceError::Broker {
            reason: error.to_string(),
        })?;
        Ok(Self { cluster })
    }

    /// Where clients find it: host:port.
    pub fn bootstrap_servers(&self) -> String {
        self.cluster.bootstrap_servers()
    }

    /// Makes a topic of this many partitions.
    ///
    /// # Errors
    /// It exists already.
    pub fn create_topic(&self, topic: &str, partitions: i32) -> Result<(), SourceError> {
        let created = self.cluster.create_topic(topic, partitions, 1);
        created.map_err(|error| SourceError::Broker {
            reason: format!("topic {topic:?}: {error}"),
        })
    }
}
