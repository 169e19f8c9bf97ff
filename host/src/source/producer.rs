//! A Kafka producer for made-up events: idempotent, and it waits where the broker is slower.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};

use super::SourceError;
use super::kafka;

/// How long a message may wait for the broker before its delivery counts as failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// What became of the messages so far.
#[derive(Default)]
struct Deliveries {
    delivered: AtomicU64,
    failed: std::sync::Mutex<Option<String>>,
}

struct Context(Arc<Deliveries>);

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        kafka::log(level, facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "producer");
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        match result {
            Ok(_) => {
                self.0.delivered.fetch_add(1, Ordering::Relaxed);
            }
            Err((error, _)) => {
                let mut failed = self
                    .0
                    .failed
                    .lock()
                    .unwrap_or_else(|poison| poison.into_inner());
                failed.get_or_insert_with(|| error.to_string());
            }
        }
    }
}

/// A producer to one cluster. Messages of one key arrive in order and once each.
pub struct Producer {
    producer: BaseProducer<Context>,
    deliveries: Arc<Deliveries>,
    brokers: String,
    sent: u64,
}

impl Producer {
    /// Starts to connect; the cluster is not asked yet.
    ///
    /// # Errors
    /// Properties that can't be.
    pub fn new(brokers: &str, properties: &BTreeMap<String, String>) -> Result<Self, SourceError> {
        let mut config = kafka::client_properties(brokers, properties)?;
        config.set("enable.idempotence", "true");
        for (name, value) in [
            ("linger.ms", "5"),
            ("compression.type", "zstd"),
            ("message.timeout.ms", "60000"),
        ] {
            if !properties.contains_key(name) {
                config.set(name, value);
            }
        }
        let deliveries = Arc::new(Deliveries::default());
        let producer = config
            .create_with_context(Context(deliveries.clone()))
            .map_err(kafka::properties_refused)?;
        Ok(Self {
            producer,
            deliveries,
            brokers: brokers.to_owned(),
            sent: 0,
        })
    }

    /// Sends a message, and waits while too many are under way. Blocks.
    ///
    /// # Errors
    /// One that was sent before could not be delivered, or this one can't be (too large).
    pub fn send(
        &mut self,
        topic: &str,
        key: Option<&[u8]>,
        payload: Option<&[u8]>,
    ) -> Result<(), SourceError> {
        self.send_to(topic, None, key, payload)
    }

    /// As [`Producer::send`], to a partition of one's choice.
    ///
    /// # Errors
    /// As [`Producer::send`].
    pub fn send_to(
        &mut self,
        topic: &str,
        partition: Option<i32>,
        key: Option<&[u8]>,
        payload: Option<&[u8]>,
    ) -> Result<(), SourceError> {
        let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(topic);
        record.partition = partition;
        record.key = key;
        record.payload = payload;
        loop {
            match self.producer.send(record) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    record = back;
                    self.producer.poll(Duration::from_millis(20));
                    self.check()?;
                }
                Err((error, _)) => return Err(self.undelivered(&error.to_string())),
            }
        }
        self.sent += 1;
        if self.sent.is_multiple_of(256) {
            self.producer.poll(Duration::ZERO);
            self.check()?;
        }
        Ok(())
    }

    /// How many messages the broker has taken for good.
    pub fn delivered(&self) -> u64 {
        self.deliveries.delivered.load(Ordering::Relaxed)
    }

    /// Waits until every message is delivered. Blocks.
    ///
    /// # Errors
    /// Some message could not be.
    pub fn flush(&mut self) -> Result<(), SourceError> {
        let until = Instant::now() + PATIENCE;
        while self.delivered() < self.sent {
            self.producer.poll(Duration::from_millis(10));
            self.check()?;
            if Instant::now() > until {
                let left = self.sent - self.delivered();
                return Err(self.undelivered(&format!("{left} messages are still under way")));
            }
        }
        Ok(())
    }

    fn check(&self) -> Result<(), SourceError> {
        let failed = self
            .deliveries
            .failed
            .lock()
            .unwrap_or_else(|poison| poison.into_inner());
        failed
            .as_ref()
            .map_or(Ok(()), |reason| Err(self.undelivered(reason)))
    }

    fn undelivered(&self, reason: &str) -> SourceError {
        SourceError::Undelivered {
            brokers: self.brokers.clone(),
            reason: reason.to_owned(),
        }
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        // What is under way and was not flushed is given up; waiting for a broker that is away
        // would hang the drop.
        self.producer
            .purge(rdkafka::producer::PurgeConfig::default().queue().inflight());
    }
}
