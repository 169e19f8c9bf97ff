//! Questions to the cluster, asked beside the thread that polls: an answer that does not come holds
//! only who asked.

use std::collections::VecDeque;
use std::sync::{Arc, mpsc};
use std::thread::Thread;

use super::native::Client;
use super::starts::Position;
use super::topics::Described;
use super::{Settings, starts, trouble};
use crate::names::{Offset, Partition};
use crate::source::{SourceError, Start};

/// How many questions are asked at the same time: one that hangs must not hold all others, and a
/// host of hundreds of tenants must not have a thread for each.
const AT_ONCE: usize = 4;

/// What a member wants to know.
#[derive(Clone)]
pub enum Question {
    /// Which topics these are.
    Topics(Vec<String>),
    /// Where to read on.
    Starts(Vec<(Partition, Start)>),
    /// Why a position is not there.
    OutOfRange(Partition, Offset),
    /// Whether topics that a broker does not know are gone.
    Gone(Vec<String>),
}

/// What the cluster says.
pub enum Answer {
    Topics(Result<Vec<Described>, SourceError>),
    Starts(Result<Vec<Result<Position, SourceError>>, SourceError>),
    OutOfRange(Partition, SourceError),
    /// `None`: they are there.
    Gone(Option<SourceError>),
}

/// By which an answer finds who asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    pub member: u64,
    number: u64,
}

/// The questions of a client's members.
pub struct Asks {
    client: Arc<Client>,
    settings: Arc<Settings>,
    /// Woken by an answer.
    thread: Thread,
    waiting: VecDeque<(Ticket, Question)>,
    under_way: usize,
    last: u64,
    sender: mpsc::Sender<(Ticket, Answer)>,
    answers: mpsc::Receiver<(Ticket, Answer)>,
}

impl Asks {
    /// No questions yet, by the thread that is to be woken by answers.
    pub fn new(client: Arc<Client>, settings: Arc<Settings>) -> Self {
        let (sender, answers) = mpsc::channel();
        Self {
            client,
            settings,
            thread: std::thread::current(),
            waiting: VecDeque::new(),
            under_way: 0,
            last: 0,
            sender,
            answers,
        }
    }

    /// Asks as soon as there is room for it.
    pub fn ask(&mut self, member: u64, question: Question) -> Ticket {
        self.last += 1;
        let number = self.last;
        let ticket = Ticket { member, number };
        self.waiting.push_back((ticket, question));
        self.begin();
        ticket
    }

    /// An answer that has come.
    pub fn answered(&mut self) -> Option<(Ticket, Answer)> {
        let answered = self.answers.try_recv().ok()?;
        self.under_way -= 1;
        self.begin();
        Some(answered)
    }

    fn begin(&mut self) {
        while self.under_way < AT_ONCE
            && let Some((ticket, question)) = self.waiting.pop_front()
        {
            let (client, settings) = (self.client.clone(), self.settings.clone());
            let (sender, thread) = (self.sender.clone(), self.thread.clone());
            let work = std::thread::Builder::new().name("kafka-ask".to_owned());
            let begun = work.spawn({
                let question = question.clone();
                move || {
                    let answer = question.answer(&client, &settings);
                    // Whoever asked may have gone, and the client goes with the last of us.
                    drop(client);
                    let _ = sender.send((ticket, answer));
                    thread.unpark();
                }
            });
            self.under_way += 1;
            if let Err(error) = begun {
                let answer = question.unanswered(&self.settings.brokers, &error.to_string());
                let _ = self.sender.send((ticket, answer));
            }
        }
    }
}

impl Question {
    /// Blocks until the cluster has answered, or for the time that it is given.
    fn answer(self, client: &Client, settings: &Settings) -> Answer {
        let brokers = settings.brokers.as_str();
        let describe = |names: &[String]| {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            client.describe(brokers, &names)
        };
        match self {
            Self::Topics(names) => Answer::Topics(describe(&names)),
            Self::Starts(starts) => {
                Answer::Starts(starts::resolve(client.consumer(), brokers, &starts))
            }
            Self::OutOfRange(partition, position) => {
                let why = trouble::out_of_range(&partition, position, client, brokers);
                Answer::OutOfRange(partition, why)
            }
            Self::Gone(names) => {
                let missing = describe(&names).err();
                let is_gone =
                    |error: &SourceError| matches!(error, SourceError::NoSuchTopic { .. });
                Answer::Gone(missing.filter(is_gone))
            }
        }
    }

    /// The answer where nobody could be asked.
    fn unanswered(self, brokers: &str, reason: &str) -> Answer {
        let unreachable = SourceError::Unreachable {
            brokers: brokers.to_owned(),
            reason: reason.to_owned(),
        };
        match self {
            Self::Topics(_) => Answer::Topics(Err(unreachable)),
            Self::Starts(_) => Answer::Starts(Err(unreachable)),
            Self::OutOfRange(partition, _) => Answer::OutOfRange(partition, unreachable),
            Self::Gone(_) => Answer::Gone(None),
        }
    }
}
