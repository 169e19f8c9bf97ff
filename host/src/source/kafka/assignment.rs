//! What the group gives and takes, told to the reader as `Revoked` and `Assigned`.
//!
//! ```text
//! Checking ──► Steady ──► Releasing ──► Naming ──► Starting ──► Resolving ──► Steady
//!   topics      flows      reader lands   topic ids  reader says   offsets      flows
//! ```
//!
//! Each state waits for one thing, and the thread polls on meanwhile.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use tokio::sync::oneshot;

use super::native::{Place, list};
use super::reader::Reader;
use super::{NO_ID, REQUEST, starts, topics};
use crate::names::Partition;
use crate::source::records::Chunk;
use crate::source::{Event, SourceError, Start};

/// How long to wait before a request that was not answered is made again.
const AGAIN: Duration = Duration::from_secs(1);

/// What the group wants done.
pub enum Rebalance {
    Assign(Vec<Place>),
    Revoke(Vec<Place>),
}

/// What the thread is waiting for.
pub enum Phase {
    /// That the topics turn out to exist.
    Checking { again: Instant },
    /// Messages and rebalances.
    Steady,
    /// That the reader has landed what it holds.
    Releasing {
        done: oneshot::Receiver<()>,
        rebalance: Rebalance,
    },
    /// That the topics' ids are known.
    Naming { again: Instant },
    /// That the reader says where to start.
    Starting {
        starts: oneshot::Receiver<Vec<(Partition, Start)>>,
    },
    /// That those starts are known as offsets.
    Resolving {
        starts: Vec<(Partition, Start)>,
        again: Instant,
    },
    /// The end: a person must act.
    Stopped,
}

impl Reader {
    /// Goes a step on in whatever is being waited for.
    pub(super) fn advance(&mut self) {
        let now = Instant::now();
        match std::mem::replace(&mut self.phase, Phase::Steady) {
            Phase::Checking { again } if now >= again => self.check(),
            Phase::Steady => self.steady(),
            Phase::Releasing {
                mut done,
                rebalance,
            } => match done.try_recv() {
                Err(oneshot::error::TryRecvError::Empty) => {
                    self.phase = Phase::Releasing { done, rebalance };
                }
                Ok(()) | Err(oneshot::error::TryRecvError::Closed) => self.apply(rebalance),
            },
            Phase::Naming { again } if now >= again => self.name(),
            Phase::Starting { mut starts } => match starts.try_recv() {
                Ok(starts) => self.phase = Phase::Resolving { starts, again: now },
                Err(oneshot::error::TryRecvError::Empty) => self.phase = Phase::Starting { starts },
                // The reader is on its way out: nothing is read.
                Err(oneshot::error::TryRecvError::Closed) => self.phase = Phase::Stopped,
            },
            Phase::Resolving { starts, again } if now >= again => self.resolve(starts),
            waiting => self.phase = waiting,
        }
    }

    /// What a request that failed means: try again (the answer is when), or stop.
    fn retry(&mut self, error: SourceError) -> Option<Instant> {
        if error.is_transient() {
            let event = self.trouble.degraded(error.to_string());
            self.tell(event);
            return Some(Instant::now() + AGAIN);
        }
        self.stop(None, error);
        None
    }

    fn describe(&self, names: &[&str]) -> Result<Vec<topics::Described>, SourceError> {
        self.client.describe(&self.options.brokers, names)
    }

    /// A topic that there is not is said at once, and not waited for.
    fn check(&mut self) {
        let names: Vec<&str> = self.options.topics.iter().map(String::as_str).collect();
        let found = self.describe(&names);
        let subscribed = found.and_then(|_| {
            let subscribed = self.client.consumer().subscribe(&names);
            subscribed.map_err(|error| SourceError::Properties {
                reason: error.to_string(),
            })
        });
        if let Err(error) = subscribed
            && let Some(again) = self.retry(error)
        {
            self.phase = Phase::Checking { again };
        }
    }

    fn steady(&mut self) {
        if let Some(rebalance) = self.rebalances.pop_front() {
            self.rebalance(rebalance);
        } else if std::mem::take(&mut self.restart) && !self.held.is_empty() {
            self.halt();
            self.phase = Phase::Naming {
                again: Instant::now(),
            };
        }
    }

    /// Nothing flows any more, and what was read and not handed out is dropped.
    pub(super) fn halt(&mut self) {
        self.flow.stop();
        self.throttled = false;
        self.pause();
    }

    fn rebalance(&mut self, rebalance: Rebalance) {
        if let Rebalance::Assign(places) = &rebalance
            && places.is_empty()
            && !self.held.is_empty()
            && self.client.is_cooperative()
        {
            // Others moved, we did not.
            let kept = self.client.consumer().incremental_assign(&list([]));
            self.done("keep the partitions", kept);
            return;
        }
        self.halt();
        if self.told.is_empty() {
            self.apply(rebalance);
            return;
        }
        let (sender, done) = oneshot::channel();
        self.outbox.push_back(Event::Revoked {
            epoch: self.epoch,
            partitions: std::mem::take(&mut self.told),
            done: sender,
        });
        self.phase = Phase::Releasing { done, rebalance };
    }

    fn apply(&mut self, rebalance: Rebalance) {
        match rebalance {
            Rebalance::Assign(places) => {
                self.held.extend(places);
                self.unanswered = true;
            }
            Rebalance::Revoke(places) => self.give_back(&places),
        }
        if self.held.is_empty() && self.unanswered {
            // This member is one too many; it may get something later.
            self.epoch += 1;
            self.caught_up = false;
            self.idle = Instant::now();
            self.flow(&[]);
        } else if !self.held.is_empty() {
            self.phase = Phase::Naming {
                again: Instant::now(),
            };
        }
    }

    fn give_back(&mut self, places: &[Place]) {
        let consumer = self.client.consumer();
        if self.client.is_cooperative() {
            let given = consumer.incremental_unassign(&list(places.iter().map(|p| (p, None))));
            for place in places {
                self.held.remove(place);
                self.assigned.remove(place);
            }
            self.done("give partitions back", given);
        } else {
            let given = consumer.unassign();
            self.held.clear();
            self.assigned.clear();
            self.done("give the partitions back", given);
        }
    }

    fn done(&mut self, what: &str, result: rdkafka::error::KafkaResult<()>) {
        if let Err(error) = result {
            let event = self.trouble.degraded(format!("could not {what}: {error}"));
            self.tell(event);
        }
    }

    /// Finds out which topics these are, and asks the reader where to start.
    fn name(&mut self) {
        let names: BTreeSet<&str> = self.held.iter().map(|(topic, _)| topic.as_str()).collect();
        let names: Vec<&str> = names.into_iter().collect();
        let found = match self.describe(&names) {
            Ok(found) => found,
            Err(error) => {
                if let Some(again) = self.retry(error) {
                    self.phase = Phase::Naming { again };
                }
                return;
            }
        };
        self.told.clear();
        for (topic, number) in &self.held {
            let id = found.iter().find(|found| found.topic == *topic);
            let id = id.map_or_else(|| NO_ID.into(), |found| found.id.clone());
            if &*id == NO_ID {
                tracing::warn!(%topic, "the broker has no topic ids: a topic that is deleted and made again will not be noticed");
            }
            self.told.push(Partition {
                topic: topic.as_str().into(),
                source: id,
                number: *number,
            });
        }
        self.epoch += 1;
        self.caught_up = false;
        let (sender, starts) = oneshot::channel();
        self.outbox.push_back(Event::Assigned {
            epoch: self.epoch,
            partitions: self.told.clone(),
            starts: sender,
        });
        self.phase = Phase::Starting { starts };
    }

    fn resolve(&mut self, starts: Vec<(Partition, Start)>) {
        let consumer = self.client.consumer();
        let resolved = match starts::resolve(consumer, &self.options.brokers, &starts) {
            Ok(resolved) => resolved,
            Err(error) => {
                if let Some(again) = self.retry(error) {
                    self.phase = Phase::Resolving { starts, again };
                }
                return;
            }
        };
        let mut positions = Vec::new();
        for (resolved, (partition, _)) in resolved.into_iter().zip(&starts) {
            match resolved {
                Ok(position) => positions.push(position),
                Err(reason) => self.stop(Some(partition.clone()), reason),
            }
        }
        if !self.flow(&positions) {
            self.phase = Phase::Resolving {
                starts,
                again: Instant::now() + AGAIN,
            };
        }
    }

    /// Lets messages flow from these positions; whether that could be done.
    fn flow(&mut self, positions: &[starts::Position]) -> bool {
        let place = |p: &starts::Position| (p.partition.topic.to_string(), p.partition.number);
        let places: Vec<_> = positions.iter().map(|p| (place(p), Some(p.from))).collect();
        // An eager group's list replaces the one before, so it names all there is.
        let anew = !self.client.is_cooperative() && self.unanswered_or_new(&places);
        let (kept, new): (Vec<_>, Vec<_>) = places
            .iter()
            .map(|(place, from)| (place, *from))
            .partition(|(place, _)| !anew && self.assigned.contains(*place));
        if let Err(text) = self.seek(kept) {
            let event = self.trouble.degraded(text);
            self.tell(event);
            return false;
        }
        if self.unanswered || !new.is_empty() {
            self.take(new);
        }
        self.assigned
            .extend(places.into_iter().map(|(place, _)| place));
        self.flow.start(self.epoch, positions);
        for position in positions.iter().filter(|position| !position.told) {
            let found = Chunk::new(self.epoch, position.partition.clone(), position.from).cut();
            match found {
                Ok(start) => self.outbox.push_back(Event::Records(start)),
                Err(reason) => self.stop(None, reason),
            }
        }
        true
    }

    fn unanswered_or_new(&self, places: &[(Place, Option<i64>)]) -> bool {
        self.unanswered
            || places
                .iter()
                .any(|(place, _)| !self.assigned.contains(place))
    }

    /// Has librdkafka read partitions that it did not read before.
    fn take(&mut self, new: Vec<(&Place, Option<i64>)>) {
        let consumer = self.client.consumer();
        // One that was paused, given back, and came again is still paused.
        let paused = list(new.iter().map(|(place, _)| (*place, None)));
        let resumed = consumer.resume(&paused);
        let new = list(new);
        let taken = if self.client.is_cooperative() {
            consumer.incremental_assign(&new)
        } else {
            consumer.assign(&new)
        };
        self.unanswered = false;
        self.done("take the partitions", resumed.and(taken));
    }

    /// Moves partitions that librdkafka reads already, which are paused, and lets them go on.
    fn seek(&self, kept: Vec<(&Place, Option<i64>)>) -> Result<(), String> {
        if kept.is_empty() {
            return Ok(());
        }
        let consumer = self.client.consumer();
        let places: Vec<&Place> = kept.iter().map(|(place, _)| *place).collect();
        let sought = consumer
            .seek_partitions(list(kept), REQUEST)
            .map_err(|error| format!("could not go back to the tables' progress: {error}"))?;
        for element in sought.elements() {
            element.error().map_err(|error| {
                let (topic, number) = (element.topic(), element.partition());
                format!("{topic}/{number}: could not go back to the tables' progress: {error}")
            })?;
        }
        consumer
            .resume(&list(places.into_iter().map(|place| (place, None))))
            .map_err(|error| format!("could not resume: {error}"))
    }
}
