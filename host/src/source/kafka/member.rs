//! A member of a client: one reader's topics, what flows to it, and what waits until it has room.
//!
//! It never blocks the thread: while it leaves no room, its own lane fills and no other's.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;
use rdkafka::error::RDKafkaErrorCode;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use super::asks::{Answer, Asks, Question, Ticket};
use super::flow::Flow;
use super::hub::{Joining, Waiting};
use super::lane::Lane;
use super::native::{Client, Failure, Place, What, list};
use super::phase::Phase;
use super::trouble::{Trouble, is_unknown};
use super::{Settings, size};
use crate::names::Partition;
use crate::source::{Event, SourceError};

/// How many messages are taken at most before all others have their turn.
const BURST: usize = 1_024;
/// How long the reader may leave no room before its partitions are paused, which gives back what
/// was fetched for it: above what a batch takes to commit, since all of that is fetched again.
const LONG_BLOCKED: Duration = Duration::from_secs(5);
/// How long a member that was given nothing waits before that counts as being caught up: partitions
/// that move to it come only after the other members gave them back.
const NOTHING_TO_DO: Duration = Duration::from_secs(15);

/// A member's state.
pub struct Member {
    pub id: u64,
    pub topics: Vec<String>,
    /// They exist, and are to be subscribed to.
    pub is_checked: bool,
    /// What the group gave us of them. librdkafka has all of it assigned, and what does not flow
    /// paused.
    pub held: BTreeSet<Place>,
    pub(super) phase: Phase,
    pub(super) epoch: u64,
    /// The partitions that were last told to be assigned.
    pub(super) told: Vec<Partition>,
    pub(super) outbox: VecDeque<Event>,
    pub(super) flow: Flow,
    pub(super) lane: Lane,
    pub(super) restart: bool,
    pub(super) caught_up: bool,
    /// Since when nothing is assigned.
    pub(super) idle: Instant,
    pub(super) trouble: Trouble,
    pub(super) client: Arc<Client>,
    settings: Arc<Settings>,
    events: mpsc::Sender<Event>,
    waiting: Waiting,
    finished: oneshot::Sender<()>,
    blocked: Option<Instant>,
    throttled: bool,
    /// Positions that are not there, while it is asked why.
    lost: Vec<Ticket>,
    /// What was said of a topic that a broker does not know, while it is asked whether it is gone.
    unknown: Option<String>,
}

impl Member {
    /// A member that has yet to find out whether its topics exist. `None`: there is no lane to be
    /// had, and the reader is told.
    pub fn new(joining: Joining, client: Arc<Client>, settings: Arc<Settings>) -> Option<Self> {
        let lane = match Lane::new(client.clone(), &settings.brokers) {
            Ok(lane) => lane,
            Err(reason) => {
                let _ = joining.events.try_send(Event::Stopped {
                    partition: None,
                    reason,
                });
                return None;
            }
        };
        Some(Self {
            id: joining.id,
            topics: joining.topics,
            is_checked: false,
            held: BTreeSet::new(),
            phase: Phase::first(),
            epoch: 0,
            told: Vec::new(),
            outbox: VecDeque::new(),
            flow: Flow::default(),
            lane,
            restart: false,
            caught_up: false,
            idle: Instant::now(),
            trouble: Trouble::default(),
            client,
            settings,
            events: joining.events,
            waiting: joining.waiting,
            finished: joining.finished,
            blocked: None,
            throttled: false,
            lost: Vec::new(),
            unknown: None,
        })
    }

    pub fn reads(&self, topic: &str) -> bool {
        self.topics.iter().any(|own| own == topic)
    }

    pub fn is_releasing(&self) -> bool {
        matches!(self.phase, Phase::Releasing { .. })
    }

    /// Hands out what there is room for: `share` is how many bytes of records may wait for the
    /// reader, and one event may in any case.
    pub fn deliver(&mut self, share: usize) {
        while let Some(event) = self.outbox.pop_front() {
            let size = size(&event);
            let waits = self.waiting.load(Ordering::Relaxed);
            if size > 0 && waits > 0 && waits + size > share {
                self.outbox.push_front(event);
                break;
            }
            self.waiting.fetch_add(size, Ordering::Relaxed);
            match self.events.try_send(event) {
                Ok(()) => {}
                Err(TrySendError::Full(event)) => {
                    self.waiting.fetch_sub(size, Ordering::Relaxed);
                    self.outbox.push_front(event);
                    break;
                }
                // Its close is on its way here.
                Err(TrySendError::Closed(_)) => self.outbox.clear(),
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

    /// Takes in what was fetched; whether there was anything. It is left where it is while there is
    /// no room, until the partitions are paused: then what comes is not messages.
    pub fn poll(&mut self, asks: &mut Asks) -> bool {
        if !self.outbox.is_empty() && !self.throttled {
            return false;
        }
        let mut failures = Vec::new();
        let mut taken = 0;
        while taken < BURST && !self.flow.is_full() {
            let Some(happened) = self.lane.poll() else {
                break;
            };
            taken += 1;
            match happened.what() {
                What::Message(message) => self.flow.push(&message),
                What::End(place, offset) => self.flow.reached_end(&place, offset),
                What::Failure(failure) => failures.push(failure),
                What::Assign(_) | What::Revoke(_) | What::Nothing => {}
            }
        }
        for failure in &failures {
            self.meet(failure, asks);
        }
        taken > 0
    }

    /// Meets a failure: one of a partition stops its flow.
    pub fn meet(&mut self, failure: &Failure, asks: &mut Asks) {
        if failure.code == RDKafkaErrorCode::AutoOffsetReset {
            let found = failure.place.as_ref().and_then(|place| {
                let found = self.flow.find(place);
                self.flow.stop_one(place);
                found
            });
            if let Some((partition, position)) = found {
                let question = Question::OutOfRange(partition, position);
                self.lost.push(asks.ask(self.id, question));
            }
        } else if is_unknown(failure) {
            if self.unknown.replace(failure.text.clone()).is_none() {
                let names = match &failure.place {
                    Some((topic, _)) => vec![topic.clone()],
                    None => self.topics.clone(),
                };
                asks.ask(self.id, Question::Gone(names));
            }
        } else {
            let event = self.trouble.meet(failure, &self.settings);
            self.tell(event);
        }
    }

    /// What a failure turned out to be.
    pub(super) fn explained(&mut self, ticket: Ticket, answer: Answer) {
        match answer {
            Answer::OutOfRange(partition, reason) => {
                let before = self.lost.len();
                self.lost.retain(|lost| *lost != ticket);
                if self.lost.len() < before {
                    self.stop(Some(partition), reason);
                }
            }
            Answer::Gone(Some(reason)) => self.stop(None, reason),
            Answer::Gone(None) => {
                let text = self.unknown.take();
                let event = text.and_then(|text| self.trouble.degraded(text));
                self.tell(event);
            }
            Answer::Topics(_) | Answer::Starts(_) => {}
        }
    }

    /// Cuts what is full or due.
    pub fn cut(&mut self) {
        let at_end = self.settings.until_caught_up
            && !self.caught_up
            && matches!(self.phase, Phase::Steady)
            && self.epoch > 0
            && self.flow.is_at_its_end()
            && (!self.held.is_empty() || self.idle.elapsed() > NOTHING_TO_DO);
        match self.flow.cut(Instant::now(), at_end) {
            Ok(records) => self.outbox.extend(records.into_iter().map(Event::Records)),
            Err(reason) => self.stop(None, reason),
        }
        if at_end {
            self.caught_up = true;
            self.outbox.push_back(Event::CaughtUp);
        }
    }

    /// The group gave these; they do not flow yet.
    pub fn given(&mut self, places: Vec<Place>) {
        if !places.is_empty() {
            self.held.extend(places);
            self.unsettle();
        } else if self.held.is_empty() && self.is_checked && matches!(self.phase, Phase::Steady) {
            self.rest();
        }
    }

    /// Nothing is assigned; it may get something later.
    pub fn rest(&mut self) {
        self.epoch += 1;
        self.caught_up = false;
        self.idle = Instant::now();
        self.flow.start(self.epoch, &[]);
        self.phase = Phase::Steady;
    }

    /// Nothing flows any more, and what was read and not handed out is dropped.
    pub fn halt(&mut self) {
        self.flow.stop();
        self.lost.clear();
        self.throttled = false;
        self.pause();
    }

    fn pause(&self) {
        let places = list(self.held.iter().map(|place| (place, None)));
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

    pub fn tell(&mut self, event: Option<Event>) {
        if let Some(Event::Stopped {
            partition: None, ..
        }) = event
        {
            if matches!(self.phase, Phase::Stopped) {
                return;
            }
            self.halt();
            self.phase = Phase::Stopped;
        }
        self.outbox.extend(event);
    }

    pub fn stop(&mut self, partition: Option<Partition>, reason: SourceError) {
        self.tell(Some(Event::Stopped { partition, reason }));
    }

    /// How long it can do without a turn, where nothing comes into its lane.
    pub fn patience(&self) -> Duration {
        let millis = match self.phase {
            _ if !self.outbox.is_empty() && !self.throttled => 2,
            Phase::Releasing { .. } | Phase::Starting { .. } => 5,
            _ if self.flow.is_waiting() => 10,
            _ if self.throttled => 20,
            _ => 100,
        };
        Duration::from_millis(millis)
    }

    /// It reads nothing any more. What is still to be said to it is the answer's.
    pub fn end(self) -> Leaver {
        Leaver {
            outbox: self.outbox,
            events: self.events,
            waiting: self.waiting,
            finished: self.finished,
        }
    }
}

/// Who was a member, as long as there is something to be said to it.
pub struct Leaver {
    outbox: VecDeque<Event>,
    events: mpsc::Sender<Event>,
    waiting: Waiting,
    pub finished: oneshot::Sender<()>,
}

impl Leaver {
    /// Hands out what there is room for.
    pub fn deliver(&mut self) {
        while let Some(event) = self.outbox.pop_front() {
            let size = size(&event);
            self.waiting.fetch_add(size, Ordering::Relaxed);
            if let Err(TrySendError::Full(event)) = self.events.try_send(event) {
                self.waiting.fetch_sub(size, Ordering::Relaxed);
                self.outbox.push_front(event);
                return;
            }
        }
    }
}
