//! A reader's side of a client: receives what the thread cut, and asks the cluster.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use rdkafka::consumer::{CommitMode, Consumer as _};
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;

use super::clock::Clock;
use super::cluster::{asked, bounds_of};
use super::hub::{Command, Hub, KafkaClients, Waiting};
use super::native::list;
use super::topics::Described;
use super::{FAREWELL, KafkaOptions, LOOK_AT_CLOCK, PATIENCE, REQUEST, size};
use crate::names::{Offset, Partition};
use crate::source::{Event, Source, SourceError};

/// Some topics, read through a member of a Kafka consumer group that others may share.
pub struct KafkaSource {
    pub(super) hub: Arc<Hub>,
    id: u64,
    topics: Vec<String>,
    events: mpsc::Receiver<Event>,
    waiting: Waiting,
    finished: oneshot::Receiver<()>,
    clock: Clock,
    has_left: bool,
}

impl KafkaSource {
    /// Starts to connect, by a client of its own. What the cluster has to say comes as events.
    ///
    /// # Errors
    /// As [`KafkaClients::source`].
    pub fn new(options: KafkaOptions) -> Result<Self, SourceError> {
        KafkaClients::default().source(&options)
    }

    pub(super) fn of(
        hub: Arc<Hub>,
        id: u64,
        topics: Vec<String>,
        events: mpsc::Receiver<Event>,
        waiting: Waiting,
        finished: oneshot::Receiver<()>,
    ) -> Self {
        Self {
            hub,
            id,
            topics,
            events,
            waiting,
            finished,
            clock: Clock::now(),
            has_left: false,
        }
    }

    /// Fails where the wall clock was set back: the client is no good any more, for nobody.
    fn check_clock(&mut self) -> Result<(), SourceError> {
        let Some(by) = self.clock.set_back() else {
            return Ok(());
        };
        let by = by.as_secs();
        self.hub.end();
        self.hub.command(Command::Forsake(by));
        Err(SourceError::ClockSetBack { by })
    }

    fn leave(&mut self) {
        if !std::mem::replace(&mut self.has_left, true) {
            self.hub.leave(self.id, &self.topics);
        }
    }

    fn unanswered(&self, reason: impl Into<String>) -> SourceError {
        SourceError::Unreachable {
            brokers: self.hub.settings.brokers.clone(),
            reason: reason.into(),
        }
    }

    /// Asks for a topic once.
    async fn describe(&self, topic: &str) -> Result<Vec<Described>, SourceError> {
        let (hub, name) = (self.hub.clone(), topic.to_owned());
        let question = async {
            // Held by the question, which may outlast who asked it.
            let turn = hub.questions.clone().acquire_owned().await;
            let asked = spawn_blocking({
                let hub = hub.clone();
                move || {
                    let answer = hub.client()?.describe(&hub.settings.brokers, &[&name]);
                    drop(turn);
                    Some(answer)
                }
            });
            asked.await
        };
        // It may wait by a clock that was set back.
        match tokio::time::timeout(REQUEST * 3, question).await {
            Ok(Ok(Some(answer))) => answer,
            Ok(Ok(None)) => Err(self.unanswered("the source is closed")),
            Ok(Err(error)) => Err(self.unanswered(error.to_string())),
            Err(_) => Err(self.unanswered("no answer in time")),
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
                event = self.events.recv() => {
                    let size = event.as_ref().map_or(0, size);
                    self.waiting.fetch_sub(size, Ordering::Relaxed);
                    return event;
                }
                () = tokio::time::sleep(LOOK_AT_CLOCK) => {}
            }
        }
    }

    async fn source_of(&mut self, topic: &str) -> Result<Arc<str>, SourceError> {
        let until = Instant::now() + PATIENCE;
        loop {
            let answer = self.describe(topic).await;
            if answer.is_err() {
                self.check_clock()?;
            }
            match answer {
                Err(error) if error.is_transient() && Instant::now() < until => {
                    tracing::warn!(topic, %error, "the topic's id could not be read again; trying on");
                    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
                }
                Err(error) => return Err(error),
                Ok(found) => {
                    let found = found.into_iter().find(|found| found.topic == topic);
                    return found.map(|found| found.id).ok_or_else(|| {
                        self.unanswered(format!("the answer said nothing of topic {topic:?}"))
                    });
                }
            }
        }
    }

    fn restart(&mut self) {
        self.hub.command(Command::Restart(self.id));
    }

    async fn lag(&mut self, progress: &[(Partition, Offset)]) -> Vec<(Partition, Offset)> {
        let Some(client) = self.hub.client() else {
            return Vec::new();
        };
        let known = progress.iter().filter_map(|(partition, at)| {
            let end = client.known_end(&partition.topic, partition.number)?;
            Some((partition.clone(), (end - at).max(0)))
        });
        known.collect()
    }

    async fn ends(&mut self) -> Result<Vec<(Partition, Offset)>, SourceError> {
        let (hub, topics) = (self.hub.clone(), self.topics.clone());
        asked(move || {
            let Some(client) = hub.client() else {
                return Ok(Vec::new());
            };
            let (brokers, mut ends) = (&hub.settings.brokers, Vec::new());
            for topic in &topics {
                let described = client.describe(brokers, &[topic])?;
                let bounds = bounds_of(&client, brokers, topic, &described)?;
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
        let Some(client) = self.hub.client() else {
            return;
        };
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
        self.leave();
        // Nobody takes events any more.
        self.events.close();
        while self.events.try_recv().is_ok() {}
        let finished = tokio::time::timeout(FAREWELL, &mut self.finished);
        if finished.await.is_err() {
            tracing::warn!(brokers = %self.hub.settings.brokers, "Kafka did not let go in time; the group takes its partitions back by itself");
        }
    }
}

impl Drop for KafkaSource {
    fn drop(&mut self) {
        self.leave();
    }
}
