//! Who shares a client: pipelines with the same settings, each of which reads topics of its own.
//!
//! A client is a handful of threads, a membership in a group and connections, whatever is read
//! through it. What a pipeline joins it joins as a member, and sees nothing of the others.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak, mpsc as std_mpsc};
use std::thread::Thread;

use tokio::sync::{Semaphore, mpsc, oneshot};

use super::native::Client;
use super::reader::Reader;
use super::source::KafkaSource;
use super::{KafkaOptions, Settings, WAITING, properties};
use crate::source::{Event, SourceError};

/// How many members may ask the cluster for something at the same time: each question holds a
/// thread while it is not answered.
const QUESTIONS: usize = 16;

/// Bytes of records that were handed out and wait for their reader.
pub type Waiting = Arc<AtomicUsize>;

/// What a client's thread is told.
pub enum Command {
    Join(Joining),
    /// A member's partitions are to be started anew.
    Restart(u64),
    Close(u64),
    /// The wall clock was set back, by so many seconds.
    Forsake(u64),
}

/// Who joins, and how it is told what happens.
pub struct Joining {
    pub id: u64,
    pub topics: Vec<String>,
    pub events: mpsc::Sender<Event>,
    pub waiting: Waiting,
    /// Told when it is let go of.
    pub finished: oneshot::Sender<()>,
}

/// The Kafka clients of a process: pipelines with the same settings share one.
#[derive(Clone, Default)]
pub struct KafkaClients {
    hubs: Arc<Mutex<Vec<Weak<Hub>>>>,
}

impl KafkaClients {
    /// Joins the client that has these settings, or starts one: also where one of these topics is
    /// read through it, and the group then gives each reader a part of its partitions. What the
    /// cluster has to say comes as events.
    ///
    /// # Errors
    /// Properties that can't be, or no thread to be had. The cluster is not asked yet.
    pub fn source(&self, options: &KafkaOptions) -> Result<KafkaSource, SourceError> {
        join(&mut self.hubs(), options)
    }

    /// The same, unless one of these topics is read under these settings already.
    ///
    /// # Errors
    /// As [`Self::source`].
    pub fn source_alone(&self, options: &KafkaOptions) -> Result<Option<KafkaSource>, SourceError> {
        let mut hubs = self.hubs();
        match is_read(&hubs, options) {
            true => Ok(None),
            false => join(&mut hubs, options).map(Some),
        }
    }

    /// Whether one of these topics is read under these settings.
    pub fn is_read(&self, options: &KafkaOptions) -> bool {
        is_read(&self.hubs(), options)
    }

    fn hubs(&self) -> MutexGuard<'_, Vec<Weak<Hub>>> {
        self.hubs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_read(hubs: &[Weak<Hub>], options: &KafkaOptions) -> bool {
    let mut hubs = hubs.iter().filter_map(Weak::upgrade);
    hubs.any(|hub| hub.settings.are_of(options) && hub.roll().reads_one_of(&options.topics))
}

fn join(hubs: &mut Vec<Weak<Hub>>, options: &KafkaOptions) -> Result<KafkaSource, SourceError> {
    hubs.retain(|hub| hub.strong_count() > 0);
    let alike = hubs.iter().filter_map(Weak::upgrade);
    let mut alike = alike.filter(|hub| hub.settings.are_of(options));
    if let Some(source) = alike.find_map(|hub| Hub::join(&hub, &options.topics)) {
        return Ok(source);
    }
    let hub = Hub::start(Settings::of(options))?;
    hubs.push(Arc::downgrade(&hub));
    let joined = Hub::join(&hub, &options.topics);
    joined.ok_or_else(|| SourceError::Fatal {
        brokers: options.brokers.clone(),
        reason: "the client ended as it began".to_owned(),
    })
}

/// A client and its members, as they see it.
pub struct Hub {
    pub settings: Arc<Settings>,
    roll: Mutex<Roll>,
    client: Weak<Client>,
    commands: std_mpsc::Sender<Command>,
    /// The one that polls.
    thread: OnceLock<Thread>,
    pub questions: Arc<Semaphore>,
    last: AtomicU64,
}

/// Who is a member.
#[derive(Default)]
struct Roll {
    members: usize,
    topics: BTreeSet<String>,
    /// Nobody may join any more.
    is_over: bool,
}

impl Roll {
    fn reads_one_of(&self, topics: &[String]) -> bool {
        !self.is_over && topics.iter().any(|topic| self.topics.contains(topic))
    }
}

impl Hub {
    fn start(settings: Settings) -> Result<Arc<Self>, SourceError> {
        let config = properties::member(&settings)?;
        let client = Arc::new(Client::new(&config).map_err(properties::refused)?);
        let (commands, receiver) = std_mpsc::channel();
        let hub = Arc::new(Self {
            settings: Arc::new(settings),
            roll: Mutex::default(),
            client: Arc::downgrade(&client),
            commands,
            thread: OnceLock::new(),
            questions: Arc::new(Semaphore::new(QUESTIONS)),
            last: AtomicU64::new(0),
        });
        let started = std::thread::Builder::new().name("kafka".to_owned()).spawn({
            let hub = hub.clone();
            move || Reader::new(client, hub, receiver).run()
        });
        let started = started.map_err(SourceError::Thread)?;
        let _ = hub.thread.set(started.thread().clone());
        Ok(hub)
    }

    /// A member more; `None` where one reads such a topic, or the client is at its end.
    fn join(hub: &Arc<Self>, topics: &[String]) -> Option<KafkaSource> {
        let mut roll = hub.roll();
        if roll.is_over || roll.reads_one_of(topics) {
            return None;
        }
        roll.members += 1;
        roll.topics.extend(topics.iter().cloned());
        let id = hub.last.fetch_add(1, Ordering::Relaxed);
        let (sender, events) = mpsc::channel(WAITING);
        let (finish, finished) = oneshot::channel();
        let waiting = Waiting::default();
        hub.command(Command::Join(Joining {
            id,
            topics: topics.to_vec(),
            events: sender,
            waiting: waiting.clone(),
            finished: finish,
        }));
        drop(roll);
        let topics = topics.to_vec();
        Some(KafkaSource::of(
            hub.clone(),
            id,
            topics,
            events,
            waiting,
            finished,
        ))
    }

    /// A member leaves. With the last one the client ends.
    pub fn leave(&self, id: u64, topics: &[String]) {
        let mut roll = self.roll();
        roll.members -= 1;
        topics.iter().for_each(|topic| {
            roll.topics.remove(topic);
        });
        roll.is_over |= roll.members == 0;
        self.command(Command::Close(id));
    }

    /// Nobody may join any more: the client is at its end, and others begin with another.
    pub fn end(&self) {
        self.roll().is_over = true;
    }

    pub fn is_over(&self) -> bool {
        self.roll().is_over
    }

    pub fn command(&self, command: Command) {
        // A thread that has ended needs no command.
        let _ = self.commands.send(command);
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    /// The client, unless it has ended.
    pub fn client(&self) -> Option<Arc<Client>> {
        self.client.upgrade()
    }

    fn roll(&self) -> MutexGuard<'_, Roll> {
        self.roll.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
