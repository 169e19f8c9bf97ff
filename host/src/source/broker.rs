//! A broker in the process, for the demo and for tests: librdkafka's mock cluster, which speaks
//! Kafka's own protocol.
//!
//! The one thing to know: it keeps at most 5 MiB or 100,000 batches a partition and forgets the
//! oldest, so a producer must not run ahead of the consumer.

use rdkafka::bindings as rd;
use rdkafka::config::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, DefaultProducerContext, Producer as _};

use super::SourceError;

/// How long a group waits for further members before its first assignment, in milliseconds. There
/// is one member; Kafka's own three seconds would be most of the demo's start.
const JOIN_DELAY: i32 = 50;

/// A cluster of one broker on a free port, which is gone when this is dropped.
pub struct Broker {
    /// The cluster lives in a client that is used for nothing else.
    owner: BaseProducer,
}

impl Broker {
    /// Starts it.
    ///
    /// # Errors
    /// No port to be had.
    pub fn start() -> Result<Self, SourceError> {
        let owner: Result<BaseProducer, _> = ClientConfig::new()
            .set("test.mock.num.brokers", "1")
            .create();
        let broker = Self {
            owner: owner.map_err(|error| failed(error.to_string()))?,
        };
        broker.cluster()?;
        let client = broker.owner.client().native_ptr();
        // SAFETY: both take a handle that is alive as long as `owner`; a client without a cluster
        // gave an error above.
        unsafe {
            let cluster = rd::rd_kafka_handle_mock_cluster(client);
            rd::rd_kafka_mock_group_initial_rebalance_delay_ms(cluster, JOIN_DELAY);
        }
        Ok(broker)
    }

    fn cluster(&self) -> Result<MockCluster<'_, DefaultProducerContext>, SourceError> {
        let cluster = self.owner.client().mock_cluster();
        cluster.ok_or_else(|| failed("it did not start".to_owned()))
    }

    /// Where clients find it: host:port.
    ///
    /// # Errors
    /// It is gone.
    pub fn bootstrap_servers(&self) -> Result<String, SourceError> {
        Ok(self.cluster()?.bootstrap_servers())
    }

    /// Makes a topic of this many partitions.
    ///
    /// # Errors
    /// It exists already.
    pub fn create_topic(&self, topic: &str, partitions: i32) -> Result<(), SourceError> {
        let created = self.cluster()?.create_topic(topic, partitions, 1);
        created.map_err(|error| failed(format!("topic {topic:?}: {error}")))
    }
}

fn failed(reason: String) -> SourceError {
    SourceError::Broker { reason }
}
