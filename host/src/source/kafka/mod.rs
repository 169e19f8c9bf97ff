//! Kafka: a member of a consumer group whose progress is kept elsewhere.
//!
//! A thread of its own polls ([`reader`]); this side receives what it cut, and asks the cluster.
//! The one thing to know: whatever a rebalance does, the reader sees only `Revoked` with all that
//! it had, and `Assigned` with all that it has, so eager and cooperative groups look the same.

mod assignment;

mod clock;

mod flow;

mod native;

mod properties;

mod reader;

mod starts;

mod topics;

mod trouble;

use std::collections::BTreeMap;
use std::sync::{Arc, mpsc as std_mpsc};
use std::time::{Duration, Instant};

use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;

use self::clock::Clock;
use self::native::{Client, What, list};
use self::reader::{Command, Reader};
use super::{Event, Source, SourceError};
use crate::names::{Offset, Partition};

pub use self::topics::NO_ID;

pub(super) use self::native::log;
pub(super) use self::properties::{plain as client_properties, refused as properties_refused};

/// How many events may wait for the reader: with chunks of a few MiB, what memory bears, and enough
/// that neither side waits for the other while a batch is committed.
const WAITING: usize = 8;
/// How long one request to the cluster may take before it counts as unanswered.
const REQUEST: Duration = Duration::from_secs(5);
/// How long [`Source::source_of`] tries: a broker that restarts is back within it.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often the wall clock is looked at while nothing happens.
const LOOK_AT_CLOCK: Duration = Duration::from_secs(1);
/// How long [`Source::close`] waits for librdkafka, which hangs where brokers are away.
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
    /// (KIP-848) do without.
    pub instance: String,
    /// Any of librdkafka's properties. An own `group.instance.id` wins over `instance`.
    pub properties: BTreeMap<String, String>,
    /// Say [`Event::CaughtUp`] when what was there at the start has been delivered.
    pub until_caught_up: bool,
}

/// A member of a Kafka consumer group.
pub struct KafkaSource {
    client: Option<Arc<Client>>,
    brokers: String,
    topics: Vec<String>,
    events: mpsc::Receiver<Event>,
    commands: std_mpsc::Sender<Command>,
    finished: oneshot::Receiver<()>,
    clock: Clock,
}

impl KafkaSource {
    /// Starts to connect. What the cluster has to say comes as events.
    ///
    /// # Errors
    /// Properties that can't be, or no thread to be had. The cluster is not asked yet.
    pub fn new(options: KafkaOptions) -> Result<Self, SourceError> {
        let config = properties::member(&options)?;
        let client = Arc::new(Client::new(&config).map_err(properties::refused)?);
        let (event_sender, events) = mpsc::channel(WAITING);
        let (commands, command_receiver) = std_mpsc::channel();
        let (finish, finished) = oneshot::channel();
        let (brokers, topics) = (options.brokers.clone(), options.topics.clone());
        let reader = Reader::new(client.clone(), options, command_receiver, event_sender);
        std::thread::Builder::new()
            .name("kafka".to_owned())
            .spawn(move || {
                // The client is dropped with the reader, before the end is told.
                reader.run();
                let _ = finish.send(());
            })
            .map_err(SourceError::Thread)?;
        Ok(Self {
            client: Some(client),
            brokers,
            topics,
            events,
            commands,
            finished,
            clock: Clock::now(),
        })
    }

    /// Fails where the wall clock was set back.
    fn check_clock(&mut self) -> Result<(), SourceError> {
        match self.clock.set_back() {
            Some(by) => Err(SourceError::ClockSetBack { by: by.as_secs() }),
            None => Ok(()),
        }
    }

    fn command(&self, command: Command) {
        // A thread that has ended needs no command.
        let _ = self.commands.send(command);
        if let Some(client) = &self.client {
            client.wake();
        }
    }
}

impl Source for KafkaSource {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Err(reason) = self.check_clock() {
                return Some(Event::Stopped {
                    partition: None,
                    reason,
                });
            }
            tokio::select! {
                biased;
                event = self.events.recv() => return event,
                () = tokio::time::sleep(LOOK_AT_CLOCK) => {}
            }
        }
    }

    async fn source_of(&mut self, topic: &str) -> Result<Arc<str>, SourceError> {
        let until = Instant::now() + PATIENCE;
        loop {
            let client = self.client.clone();
            let (brokers, name) = (self.brokers.clone(), topic.to_owned());
            let asked = spawn_blocking(move || {
                let client = client.as_ref()?;
                Some(client.describe(&brokers, &[&name]))
            });
            let brokers = self.brokers.clone();
            let unanswered = |reason: String| SourceError::Unreachable {
                brokers: brokers.clone(),
                reason,
            };
            // It may wait by a clock that was set back.
            let answer = match tokio::time::timeout(REQUEST * 3, asked).await {
                Ok(Ok(Some(answer))) => answer,
                Ok(Ok(None)) => Err(unanswered("the source is closed".to_owned())),
                Ok(Err(error)) => Err(unanswered(error.to_string())),
                Err(_) => Err(unanswered("no answer in time".to_owned())),
            };
            if answer.is_err() {
                self.check_clock()?;
            }
            match answer {
                Err(error) if error.is_transient() && Instant::now() < until => {
                    tracing::warn!(topic, %error, "the topic's id could not be read again; trying on");
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
                Err(error) => return Err(error),
                Ok(found) => {
                    let found = found.into_iter().find(|found| found.topic == topic);
                    return found.map(|found| found.id).ok_or_else(|| {
                        unanswered(format!("the answer said nothing of topic {topic:?}"))
                    });
                }
            }
        }
    }

    fn restart(&mut self) {
        self.command(Command::Restart);
    }

    async fn lag(&mut self, progress: &[(Partition, Offset)]) -> Vec<(Partition, Offset)> {
        let Some(client) = &self.client else {
            return Vec::new();
        };
        let known = progress.iter().filter_map(|(partition, at)| {
            let end = client.known_end(&partition.topic, partition.number)?;
            Some((partition.clone(), (end - at).max(0)))
        });
        known.collect()
    }

    async fn ends(&mut self) -> Result<Vec<(Partition, Offset)>, SourceError> {
        let Some(client) = self.client.clone() else {
            return Ok(Vec::new());
        };
        let (brokers, topics) = (self.brokers.clone(), self.topics.clone());
        asked(move || {
            let mut ends = Vec::new();
            for topic in &topics {
                let described = client.describe(&brokers, &[topic])?;
                let bounds = bounds_of(&client, &brokers, topic, &described)?;
                ends.extend(
                    bounds
                        .into_iter()
                        .map(|(partition, _, end)| (partition, end)),
                );
            }
            Ok(ends)
        })
        .await
    }

    async fn commit_for_monitors(&mut self, progress: &[(Partition, Offset)]) {
        let Some(client) = &self.client else { return };
        let places: Vec<_> = progress
            .iter()
            .map(|(partition, at)| ((partition.topic.to_string(), partition.number), *at))
            .collect();
        let list = list(places.iter().map(|(place, at)| (place, Some(*at))));
        if let Err(error) = client.consumer().commit(&list, CommitMode::Async) {
            tracing::debug!(%error, "could not tell lag monitors of the progress");
        }
    }

    async fn close(mut self) {
        self.command(Command::Close);
        self.client = None;
        // Nobody takes events any more, so the thread must not wait to put one.
        self.events.close();
        while self.events.try_recv().is_ok() {}
        if tokio::time::timeout(FAREWELL, &mut self.finished)
            .await
            .is_err()
        {
            tracing::warn!(brokers = %self.brokers, "Kafka did not let go in time; the group takes its partitions back by itself");
        }
    }
}

impl Drop for KafkaSource {
    fn drop(&mut self) {
        self.command(Command::Close);
    }
}

/// How many partitions each of these topics has.
///
/// # Errors
/// Properties that can't be, a topic that there is not, or a cluster that refuses or is away.
pub async fn partitions_of(
    brokers: &str,
    topics: &[String],
    properties: &BTreeMap<String, String>,
) -> Result<Vec<(String, usize)>, SourceError> {
    let (brokers, topics, properties) = (brokers.to_owned(), topics.to_vec(), properties.clone());
    asked(move || {
        let client = asker(&brokers, &properties)?;
        let names: Vec<&str> = topics.iter().map(String::as_str).collect();
        let found = ask_for(&client, &brokers, &names)?;
        Ok(found
            .into_iter()
            .map(|found| (found.topic, found.partitions))
            .collect())
    })
    .await
}

/// The partitions that a topic has now, each with the first offset that is still there.
///
/// # Errors
/// As [`partitions_of`].
pub async fn beginnings(
    brokers: &str,
    topic: &str,
    properties: &BTreeMap<String, String>,
) -> Result<Vec<(Partition, Offset)>, SourceError> {
    let found = bounds(brokers, topic, properties).await?;
    Ok(found
        .into_iter()
        .map(|(partition, begin, _)| (partition, begin))
        .collect())
}

/// The partitions that a topic has now, each with its first offset and the one after its last.
///
/// # Errors
/// As [`partitions_of`].
pub async fn bounds(
    brokers: &str,
    topic: &str,
    properties: &BTreeMap<String, String>,
) -> Result<Vec<(Partition, Offset, Offset)>, SourceError> {
    let (brokers, topic, properties) = (brokers.to_owned(), topic.to_owned(), properties.clone());
    asked(move || {
        let client = asker(&brokers, &properties)?;
        let described = ask_for(&client, &brokers, &[&topic])?;
        bounds_of(&client, &brokers, &topic, &described)
    })
    .await
}

/// The partitions of a topic that was described, each with its bounds. Blocks.
fn bounds_of(
    client: &Client,
    brokers: &str,
    topic: &str,
    described: &[topics::Described],
) -> Result<Vec<(Partition, Offset, Offset)>, SourceError> {
    let mut found = Vec::new();
    for described in described {
        for number in 0..i32::try_from(described.partitions).unwrap_or(i32::MAX) {
            let (begin, end) = starts::bounds(client.consumer(), brokers, topic, number)?;
            let partition = Partition {
                topic: topic.into(),
                source: described.id.clone(),
                number,
            };
            found.push((partition, begin, end));
        }
    }
    Ok(found)
}

/// A client that asks, and is in no group.
fn asker(brokers: &str, properties: &BTreeMap<String, String>) -> Result<Client, SourceError> {
    let mut config = properties::plain(brokers, properties)?;
    for grouped in [
        "group.instance.id",
        "group.protocol",
        "group.remote.assignor",
    ] {
        config.remove(grouped);
    }
    Client::new(&config).map_err(properties::refused)
}

/// Asks for topics. Where there is no answer, what the client heard meanwhile says why.
fn ask_for(
    client: &Client,
    brokers: &str,
    names: &[&str],
) -> Result<Vec<topics::Described>, SourceError> {
    let found = client.describe(brokers, names);
    found.map_err(|error| match error.is_transient() {
        true => why_unanswered(client, brokers).unwrap_or(error),
        false => error,
    })
}

/// The last that a client heard of its brokers; a refusal counts most.
fn why_unanswered(client: &Client, brokers: &str) -> Option<SourceError> {
    let mut why = None;
    while let Some(happened) = client.poll(Duration::ZERO) {
        let What::Failure(failure) = happened.what() else {
            continue;
        };
        let (brokers, reason) = (brokers.to_owned(), failure.text);
        if topics::is_refusal(failure.code) {
            return Some(SourceError::Refused { brokers, reason });
        }
        // That all brokers are down follows from what was said of each of them.
        if failure.code != RDKafkaErrorCode::AllBrokersDown {
            why = Some(SourceError::Unreachable { brokers, reason });
        }
    }
    why
}

async fn asked<T: Send + 'static>(
    ask: impl FnOnce() -> Result<T, SourceError> + Send + 'static,
) -> Result<T, SourceError> {
    match spawn_blocking(ask).await {
        Ok(answer) => answer,
        Err(error) => Err(SourceError::Thread(std::io::Error::other(error))),
    }
}

/// A failed request about a topic, in our words.
fn request_failed(error: &KafkaError, topic: &str, brokers: &str) -> SourceError {
    match error.rdkafka_error_code() {
        Some(code) => topics::failed(code, "", topic, brokers),
        None => SourceError::Unreachable {
            brokers: brokers.to_owned(),
            reason: error.to_string(),
        },
    }
}

#[cfg(test)]
mod tests;
