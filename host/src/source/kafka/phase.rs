//! What a member waits for, from its topics' check to the flow of its messages. What the group gives
//! and takes it is told as `Revoked` and `Assigned`.
//!
//! ```text
//! Checking ──► Steady ──► Releasing ──► Naming ──► Starting ──► Resolving ──► Steady
//!   topics      flows      reader lands   topic ids  reader says   offsets      flows
//! ```
//!
//! Each phase waits for one thing, and the thread goes on meanwhile.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;
use tokio::sync::oneshot;

use super::asks::{Answer, Asks, Question, Ticket};
use super::member::Member;
use super::native::{Place, list};
use super::starts::Position;
use super::topics::Described;
use super::{NO_ID, REQUEST};
use crate::names::Partition;
use crate::source::records::Chunk;
use crate::source::{Event, SourceError, Start};

/// How long to wait before a request that was not answered is made again.
const AGAIN: Duration = Duration::from_secs(1);

type Starts = Vec<(Partition, Start)>;

/// What a member waits for.
pub enum Phase {
    /// That its topics turn out to exist.
    Checking(Wait),
    /// Messages and rebalances.
    Steady,
    /// That the reader has landed what it holds.
    Releasing {
        done: oneshot::Receiver<()>,
        /// What it was asked before, and may yet answer.
        starts: Option<oneshot::Receiver<Starts>>,
    },
    /// That its topics' ids are known.
    Naming(Wait),
    /// That the reader says where to start.
    Starting { starts: oneshot::Receiver<Starts> },
    /// That those starts are known as offsets.
    Resolving { starts: Starts, wait: Wait },
    /// The end: a person must act.
    Stopped,
}

/// For what a question waits.
pub enum Wait {
    /// The moment to ask.
    Until(Instant),
    /// The answer.
    For(Ticket),
}

impl Wait {
    fn now() -> Self {
        Self::Until(Instant::now())
    }

    fn is_over(&self) -> bool {
        matches!(self, Self::Until(moment) if *moment <= Instant::now())
    }

    fn is_for(&self, answered: Ticket) -> bool {
        matches!(self, Self::For(ticket) if *ticket == answered)
    }
}

impl Phase {
    /// The first of them.
    pub fn first() -> Self {
        Self::Checking(Wait::now())
    }
}

impl Member {
    /// Goes a step on in whatever is being waited for. `held_up`: the group is taking partitions
    /// away, and what is left is known only then.
    pub fn advance(&mut self, asks: &mut Asks, held_up: bool) {
        match std::mem::replace(&mut self.phase, Phase::Steady) {
            Phase::Checking(wait) if wait.is_over() => {
                let question = Question::Topics(self.topics.clone());
                self.phase = Phase::Checking(Wait::For(asks.ask(self.id, question)));
            }
            Phase::Steady => {
                if std::mem::take(&mut self.restart) && !self.held.is_empty() {
                    self.halt();
                    self.phase = Phase::Naming(Wait::now());
                }
            }
            Phase::Releasing { mut done, starts } => match done.try_recv() {
                Err(oneshot::error::TryRecvError::Empty) => {
                    self.phase = Phase::Releasing { done, starts };
                }
                Ok(()) | Err(oneshot::error::TryRecvError::Closed) => {
                    self.phase = Phase::Naming(Wait::now());
                }
            },
            Phase::Naming(wait) if wait.is_over() && !held_up => self.ask_for_names(asks),
            Phase::Starting { mut starts } => match starts.try_recv() {
                Ok(starts) => {
                    let wait = Wait::now();
                    self.phase = Phase::Resolving { starts, wait };
                }
                Err(oneshot::error::TryRecvError::Empty) => self.phase = Phase::Starting { starts },
                // The reader is on its way out: nothing is read.
                Err(oneshot::error::TryRecvError::Closed) => self.phase = Phase::Stopped,
            },
            Phase::Resolving { starts, wait } if wait.is_over() => {
                let wait = Wait::For(asks.ask(self.id, Question::Starts(starts.clone())));
                self.phase = Phase::Resolving { starts, wait };
            }
            waiting => self.phase = waiting,
        }
    }

    /// Takes an answer, unless it comes too late.
    pub fn answered(&mut self, ticket: Ticket, answer: Answer) {
        match (std::mem::replace(&mut self.phase, Phase::Steady), answer) {
            (Phase::Checking(wait), Answer::Topics(found)) if wait.is_for(ticket) => {
                self.check(found);
            }
            (Phase::Naming(wait), Answer::Topics(found)) if wait.is_for(ticket) => self.name(found),
            (Phase::Resolving { starts, wait }, Answer::Starts(found)) if wait.is_for(ticket) => {
                self.resolve(starts, found);
            }
            (phase, answer) => {
                self.phase = phase;
                self.explained(ticket, answer);
            }
        }
    }

    /// What is held has changed, or is about to: what the reader has of it is landed first.
    pub fn unsettle(&mut self) {
        self.halt();
        let before = std::mem::replace(&mut self.phase, Phase::Steady);
        self.phase = match before {
            Phase::Checking(_) | Phase::Stopped | Phase::Releasing { .. } => before,
            _ if self.told.is_empty() => Phase::Naming(Wait::now()),
            _ => {
                let (sender, done) = oneshot::channel();
                self.outbox.push_back(Event::Revoked {
                    epoch: self.epoch,
                    partitions: std::mem::take(&mut self.told),
                    done: sender,
                });
                let starts = match before {
                    Phase::Starting { starts } => Some(starts),
                    _ => None,
                };
                Phase::Releasing { done, starts }
            }
        };
    }

    /// What a request that failed means: try again (the answer is when), or stop.
    fn retry(&mut self, error: SourceError) -> Option<Wait> {
        if error.is_transient() {
            let event = self.trouble.degraded(error.to_string());
            self.tell(event);
            return Some(Wait::Until(Instant::now() + AGAIN));
        }
        self.stop(None, error);
        None
    }

    /// A topic that there is not is said at once, and not waited for.
    fn check(&mut self, found: Result<Vec<Described>, SourceError>) {
        match found {
            Ok(_) => {
                self.is_checked = true;
                self.idle = Instant::now();
                if !self.held.is_empty() {
                    self.phase = Phase::Naming(Wait::now());
                }
            }
            Err(error) => {
                if let Some(wait) = self.retry(error) {
                    self.phase = Phase::Checking(wait);
                }
            }
        }
    }

    /// Finds out which topics these are.
    fn ask_for_names(&mut self, asks: &mut Asks) {
        if self.held.is_empty() {
            self.rest();
            return;
        }
        let names: BTreeSet<String> = self.held.iter().map(|(topic, _)| topic.clone()).collect();
        let question = Question::Topics(names.into_iter().collect());
        self.phase = Phase::Naming(Wait::For(asks.ask(self.id, question)));
    }

    /// Asks the reader where to start.
    fn name(&mut self, found: Result<Vec<Described>, SourceError>) {
        let found = match found {
            Ok(found) => found,
            Err(error) => {
                if let Some(wait) = self.retry(error) {
                    self.phase = Phase::Naming(wait);
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

    fn resolve(
        &mut self,
        starts: Starts,
        found: Result<Vec<Result<Position, SourceError>>, SourceError>,
    ) {
        let resolved = match found {
            Ok(resolved) => resolved,
            Err(error) => {
                if let Some(wait) = self.retry(error) {
                    self.phase = Phase::Resolving { starts, wait };
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
        if let Err(text) = self.read_from(&positions) {
            let event = self.trouble.degraded(text);
            self.tell(event);
            let wait = Wait::Until(Instant::now() + AGAIN);
            self.phase = Phase::Resolving { starts, wait };
        }
    }

    /// Lets messages flow from these positions.
    fn read_from(&mut self, positions: &[Position]) -> Result<(), String> {
        let place = |p: &Position| (p.partition.topic.to_string(), p.partition.number);
        let places: Vec<_> = positions.iter().map(|p| (place(p), p.from)).collect();
        places.iter().for_each(|(place, _)| self.lane.take(place));
        self.seek(&places)?;
        self.flow.start(self.epoch, positions);
        for position in positions.iter().filter(|position| !position.told) {
            let found = Chunk::new(self.epoch, position.partition.clone(), position.from).cut();
            match found {
                Ok(start) => self.outbox.push_back(Event::Records(start)),
                Err(reason) => self.stop(None, reason),
            }
        }
        Ok(())
    }

    /// Moves partitions, which librdkafka holds paused, and lets them go on.
    fn seek(&self, places: &[(Place, i64)]) -> Result<(), String> {
        if places.is_empty() {
            return Ok(());
        }
        let consumer = self.client.consumer();
        let sought = consumer
            .seek_partitions(
                list(places.iter().map(|(place, at)| (place, Some(*at)))),
                REQUEST,
            )
            .map_err(|error| format!("could not go to the tables' progress: {error}"))?;
        for element in sought.elements() {
            element.error().map_err(|error| {
                let (topic, number) = (element.topic(), element.partition());
                format!("{topic}/{number}: could not go to the tables' progress: {error}")
            })?;
        }
        consumer
            .resume(&list(places.iter().map(|(place, _)| (place, None))))
            .map_err(|error| format!("could not resume: {error}"))
    }
}
