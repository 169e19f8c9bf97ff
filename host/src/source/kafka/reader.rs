//! The thread that polls: messages into chunks, and everything else to where it is met.
//!
//! It never blocks for the reader: while events wait for room it goes on in small steps, so that
//! the group always finds it alive. A rebalance that comes in the middle of one waits its turn.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, mpsc as std_mpsc};
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::KafkaOptions;
use super::assignment::{Phase, Rebalance};
use super::flow::Flow;
use super::native::{Client, Place, What, list};
use super::trouble::Trouble;
use crate::names::Partition;
use crate::source::{Event, SourceError};

/// How many messages are taken at most before everything else has its turn.
const BURST: usize = 1_024;
/// How long the reader may leave no room before the partitions are paused: below the shortest
/// sensible `max.poll.interval.ms`, and above what a batch takes to commit, since what librdkafka
/// had fetched is fetched again afterwards.
const LONG_BLOCKED: Duration = Duration::from_secs(5);
/// How long a member that was given nothing waits before that counts as being caught up: partitions
/// that move to it come only after the other members gave them back.
const NOTHING_TO_DO: Duration = Duration::from_secs(15);

/// What the other side asks for.
pub enum Command {
    Restart,
    Close,
}

/// The thread's own state.
pub struct Reader {
    pub(super) client: Arc<Client>,
    pub(super) options: KafkaOptions,
    pub(super) commands: std_mpsc::Receiver<Command>,
    pub(super) events: mpsc::Sender<Event>,
    pub(super) outbox: VecDeque<Event>,
    pub(super) blocked: Option<Instant>,
    pub(super) throttled: bool,
    pub(super) closing: bool,
    pub(super) phase: Phase,
    pub(super) epoch: u64,
    /// The partitions that were last told to be assigned.
    pub(super) told: Vec<Partition>,
    /// What the group gave us.
    pub(super) held: BTreeSet<Place>,
    /// What of that librdkafka was told to read.
    pub(super) assigned: BTreeSet<Place>,
    /// The group waits to hear that we took what it gave.
    pub(super) unanswered: bool,
    pub(super) rebalances: VecDeque<Rebalance>,
    pub(super) restart: bool,
    pub(super) flow: Flow,
    pub(super) caught_up: bool,
    /// Since when nothing is assigned.
    pub(super) idle: Instant,
    pub(super) trouble: Trouble,
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
            idle: Instant::now(),
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

    pub(super) fn pause(&self) {
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

    pub(super) fn tell(&mut self, event: Option<Event>) {
        if let Some(Event::Stopped {
            partition: None, ..
        }) = event
        {
            self.halt();
            self.phase = Phase::Stopped;
        }
        self.outbox.extend(event);
    }

    pub(super) fn stop(&mut self, partition: Option<Partition>, reason: SourceError) {
        self.tell(Some(Event::Stopped { partition, reason }));
    }

    fn cut(&mut self) {
        let at_end = self.options.until_caught_up
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
}
