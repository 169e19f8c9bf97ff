//! The thread that polls: messages into chunks, and rebalances into `Revoked` and `Assigned`.
//!
//! ```text
//! Checking ──► Steady ──► Releasing ──► Naming ──► Starting ──► Resolving ──► Steady
//!   topics      flows      reader lands   topic ids  reader says   offsets      flows
//! ```
//!
//! It never blocks for the reader: while events wait for room it goes on in small steps, so that
//! the group always finds it alive. A rebalance that comes in the middle of one waits its turn.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, mpsc as std_mpsc};
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::oneshot;

use super::flow::Flow;
use super::native::{Client, Place, What, list};
use super::trouble::Trouble;
use super::{KafkaOptions, NO_ID, REQUEST, starts, topics};
use crate::names::Partition;
use crate::source::records::Chunk;
use crate::source::{Event, SourceError, Start};

/// How many messages are taken at most before everything else has its turn.
const BURST: usize = 1_024;
/// How long the reader may leave no room before the partitions are paused: below the shortest
/// sensible `max.poll.interval.ms`, and above what a batch takes to commit, since what librdkafka
/// had fetched is fetched again afterwards.
const LONG_BLOCKED: Duration = Duration::from_secs(5);
/// How long to wait before a request that was not answered is made again.
const AGAIN: Duration = Duration::from_secs(1);

/// What the other side asks for.
pub enum Command {
    Restart,
    Close,
}

/// What the group wants done.
enum Rebalance {
    Assign(Vec<Place>),
    Revoke(Vec<Place>),
}

/// What the thread is waiting for.
enum Phase {
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

/// The thread's own state.
pub struct Reader {
    client: Arc<Client>,
    options: KafkaOptions,
    commands: std_mpsc::Receiver<Command>,
    events: mpsc::Sender<Event>,
    outbox: VecDeque<Event>,
    blocked: Option<Instant>,
    throttled: bool,
    closing: bool,
    phase: Phase,
    epoch: u64,
    /// The partitions that were last told to be assigned.
    told: Vec<Partition>,
    /// What the group gave us.
    held: BTreeSet<Place>,
    /// What of that librdkafka was told to read.
    assigned: BTreeSet<Place>,
    /// The group waits to hear that we took what it gave.
    unanswered: bool,
    rebalances: VecDeque<Rebalance>,
    restart: bool,
    flow: Flow,
    caught_up: bool,
    trouble: Trouble,
}

impl Reader {
    pub fn new(
        client: Arc<Client>,
        options: KafkaOptions,
        commands: std_mpsc::Receiver<Command>,
        events: mpsc::Sender<Event>,
    ) -> Self {
        Self {
            client,
            options,
            commands,
            events,
            outbox: VecDeque::new(),
            blocked: None,
            throttled: false,
            closing: false,
            phase: Phase::Checking {
                again: Instant::now(),
            },
            epoch: 0,
            told: Vec::new(),
            held: BTreeSet::new(),
            assigned: BTreeSet::new(),
            unanswered: false,
            rebalances: VecDeque::new(),
            restart: false,
            flow: Flow::default(),
            caught_up: false,
            trouble: Trouble::default(),
        }
    }

    /// Runs until it is told to close, or nobody listens any more.
    pub fn run(mut self) {
        while !self.closing {
            self.listen();
            self.deliver();
            self.advance();
            self.poll();
            self.cut();
        }
    }

    fn listen(&mut self) {
        loop {
            match self.commands.try_recv() {
                Ok(Command::Restart) => self.restart = true,
                Err(std_mpsc::TryRecvError::Empty) => return,
                Ok(Command::Close) | Err(std_mpsc::TryRecvError::Disconnected) => {
                    self.closing = true;
                    return;
                }
            }
        }
    }

    /// Hands out what there is room for.
    fn deliver(&mut self) {
        while let Some(event) = self.outbox.pop_front() {
            match self.events.try_send(event) {
                Ok(()) => {}
                Err(TrySendError::Full(event)) => {
                    self.outbox.push_front(event);
                    break;
                }
                Err(TrySendError::Closed(_)) => {
                    self.closing = true;
                    return;
                }
            }
        }
        if self.outbox.is_empty() {
            self.blocked = None;
            if std::mem::take(&mut self.throttled) {
                self.resume();
            }
            return;
        }
        let since = *self.blocked.get_or_insert_with(Instant::now);
        if !self.throttled && since.elapsed() > LONG_BLOCKED {
            self.throttled = true;
            self.pause();
        }
    }

    fn pause(&self) {
        let places = list(self.assigned.iter().map(|place| (place, None)));
        if let Err(error) = self.client.consumer().pause(&places) {
            tracing::debug!(%error, "could not pause");
        }
    }

    fn resume(&self) {
        let places = list(self.flow.places().map(|place| (place, None)));
        if let Err(error) = self.client.consumer().resume(&places) {
            tracing::debug!(%error, "could not resume");
        }
    }

    /// Messages are left where they are while there is no room, until the partitions are paused:
    /// then what comes is not messages.
    fn poll(&mut self) {
        if !self.outbox.is_empty() && !self.throttled {
            std::thread::sleep(Duration::from_millis(1));
            return;
        }
        let client = self.client.clone();
        let mut wait = self.flow.patience();
        for _ in 0..BURST {
            let Some(happened) = client.poll(wait) else {
                return;
            };
            wait = Duration::ZERO;
            match happened.what() {
                What::Message(message) => self.flow.push(&message),
                What::End(place, offset) => self.flow.reached_end(&place, offset),
                What::Assign(places) => self.rebalances.push_back(Rebalance::Assign(places)),
                What::Revoke(places) => self.rebalances.push_back(Rebalance::Revoke(places)),
                What::Failure(failure) => {
                    let client = &self.client;
                    let told = self
                        .trouble
                        .meet(&failure, client, &self.options, &mut self.flow);
                    self.tell(told);
                }
                What::Nothing => {}
            }
            if self.flow.is_full() || !self.rebalances.is_empty() {
                return;
            }
        }
    }

    fn tell(&mut self, event: Option<Event>) {
        if let Some(Event::Stopped {
            partition: None, ..
        }) = event
        {
            self.halt();
            self.phase = Phase::Stopped;
        }
        self.outbox.extend(event);
    }

    fn stop(&mut self, partition: Option<Partition>, reason: SourceError) {
        self.tell(Some(Event::Stopped { partition, reason }));
    }

    fn cut(&mut self) {
        let at_end = self.options.until_caught_up
            && !self.caught_up
            && matches!(self.phase, Phase::Steady)
            && self.epoch > 0
            && self.flow.is_at_its_end();
        match self.flow.cut(Instant::now(), at_end) {
            Ok(records) => self.outbox.extend(records.into_iter().map(Event::Records)),
            Err(reason) => self.stop(None, reason),
        }
        if at_end {
            self.caught_up = true;
            self.outbox.push_back(Event::CaughtUp);
        }
    }

    /// Goes a step on in whatever is being waited for.
    fn advance(&mut self) {
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
        let client = self.client.consumer().client();
        topics::describe(client, &self.options.brokers, names, REQUEST)
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
    fn halt(&mut self) {
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
        let (kept, new): (Vec<_>, Vec<_>) = places
            .iter()
            .map(|(p, from)| (p, *from))
            .partition(|(p, _)| self.assigned.contains(p));
        if let Err(text) = self.seek(kept) {
            let event = self.trouble.degraded(text);
            self.tell(event);
            return false;
        }
        if self.unanswered || !new.is_empty() {
            let consumer = self.client.consumer();
            let new = list(new);
            let taken = if self.client.is_cooperative() {
                consumer.incremental_assign(&new)
            } else {
                consumer.assign(&new)
            };
            self.unanswered = false;
            self.done("take the partitions", taken);
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
