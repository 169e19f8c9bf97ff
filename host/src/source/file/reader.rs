//! The thread that reads: one file after the other, then again whatever has grown.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, mpsc as std_mpsc};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::folder::{Folder, at};
use super::lines::Lines;
use crate::names::{Offset, Partition};
use crate::source::records::Chunk;
use crate::source::{Event, SourceError, Start};

/// How often growth and new files are looked for: soon enough for a person who watches.
const LOOK: Duration = Duration::from_millis(200);

/// What the other side asks for.
pub enum Command {
    Restart,
    Close,
}

/// Why the thread does something else now.
enum Turn {
    /// Nobody listens any more, or something was told that a person must act on.
    Over,
    /// The assignment is to begin anew.
    Restart,
}

/// A file that is being read.
struct Open {
    partition: Partition,
    path: PathBuf,
    position: Offset,
    /// How long it was when it was read last.
    length: Offset,
}

/// The thread's own state.
pub struct Reader {
    folder: Arc<Folder>,
    until_caught_up: bool,
    commands: std_mpsc::Receiver<Command>,
    events: mpsc::Sender<Event>,
    epoch: u64,
    /// The topics of the files that were told last.
    told: BTreeSet<Arc<str>>,
    open: Vec<Open>,
    /// Files that were read to their end and taken away.
    gone: BTreeSet<Partition>,
}

impl Reader {
    pub fn new(
        folder: Arc<Folder>,
        until_caught_up: bool,
        commands: std_mpsc::Receiver<Command>,
        events: mpsc::Sender<Event>,
    ) -> Self {
        Self {
            folder,
            until_caught_up,
            commands,
            events,
            epoch: 0,
            told: BTreeSet::new(),
            open: Vec::new(),
            gone: BTreeSet::new(),
        }
    }

    /// Runs until it is told to close, or nobody listens any more.
    pub fn run(mut self) {
        let mut turn = Turn::Restart;
        while let Turn::Restart = turn {
            turn = self
                .assign()
                .and_then(|()| self.follow())
                .err()
                .unwrap_or(Turn::Over);
        }
        // The channel closes with this, but a reader that has seen a stop may still restart.
    }

    fn say(&self, event: Event) -> Result<(), Turn> {
        self.events.blocking_send(event).map_err(|_| Turn::Over)
    }

    fn stop<T>(&self, partition: Option<Partition>, reason: SourceError) -> Result<T, Turn> {
        self.say(Event::Stopped { partition, reason })?;
        Err(Turn::Over)
    }

    fn checked<T>(&self, result: Result<T, SourceError>) -> Result<T, Turn> {
        result.or_else(|reason| self.stop(None, reason))
    }

    /// Whether the other side asked for something, waiting this long for it.
    fn listen(&self, wait: Duration) -> Result<(), Turn> {
        match self.commands.recv_timeout(wait) {
            Ok(Command::Restart) => Err(Turn::Restart),
            Err(std_mpsc::RecvTimeoutError::Timeout) => Ok(()),
            Ok(Command::Close) | Err(std_mpsc::RecvTimeoutError::Disconnected) => Err(Turn::Over),
        }
    }

    /// Tells the files that there are, and begins where the reader says.
    fn assign(&mut self) -> Result<(), Turn> {
        let found = self.checked(self.folder.partitions())?;
        let (starts, answer) = oneshot::channel();
        self.epoch += 1;
        self.open.clear();
        let topics = found.iter().map(|(partition, _)| &partition.topic);
        self.told = topics.cloned().collect();
        self.say(Event::Assigned {
            epoch: self.epoch,
            partitions: found
                .iter()
                .map(|(partition, _)| partition.clone())
                .collect(),
            starts,
        })?;
        let starts = answer.blocking_recv().map_err(|_| Turn::Over)?;
        for (partition, start) in starts {
            let path = found.iter().find(|(found, _)| *found == partition);
            if let Some((_, path)) = path {
                self.begin(partition, path.clone(), start)?;
            }
        }
        Ok(())
    }

    fn begin(&mut self, partition: Partition, path: PathBuf, start: Start) -> Result<(), Turn> {
        let length = self.checked(length(&path))?;
        let position = match start {
            Start::At(position) => position,
            Start::Latest => length,
            Start::Earliest | Start::Time(_) => 0,
        };
        if position > length {
            let reason = SourceError::Truncated {
                partition: partition.clone(),
                progress: position,
                end: length,
            };
            return self.stop(Some(partition), reason);
        }
        if !matches!(start, Start::At(_)) {
            let start = Chunk::new(self.epoch, partition.clone(), position).cut();
            self.say(Event::Records(self.checked(start)?))?;
        }
        self.open.push(Open {
            partition,
            path,
            position,
            length: -1,
        });
        Ok(())
    }

    fn follow(&mut self) -> Result<(), Turn> {
        self.read()?;
        if self.until_caught_up {
            self.say(Event::CaughtUp)?;
            loop {
                self.listen(LOOK)?;
                if self.events.is_closed() {
                    return Err(Turn::Over);
                }
            }
        }
        loop {
            self.listen(LOOK)?;
            if self.events.is_closed() {
                return Err(Turn::Over);
            }
            if self.has_new()? {
                self.release()?;
                return Err(Turn::Restart);
            }
            self.read()?;
        }
    }

    /// Whether there is a file that was not told of. One that was may be left unread.
    fn has_new(&self) -> Result<bool, Turn> {
        let files = self.checked(self.folder.files())?;
        let new = |topic: &str| !self.told.contains(topic);
        for (topic, path) in files {
            if new(&topic) && self.checked(self.folder.source_of(&path))?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Has the reader land what it holds, so that nothing is read twice.
    fn release(&self) -> Result<(), Turn> {
        let (done, landed) = oneshot::channel();
        self.say(Event::Revoked {
            epoch: self.epoch,
            partitions: self
                .open
                .iter()
                .map(|open| open.partition.clone())
                .collect(),
            done,
        })?;
        landed.blocking_recv().map_err(|_| Turn::Over)
    }

    /// Reads every file to the end that it has now.
    fn read(&mut self) -> Result<(), Turn> {
        for index in 0..self.open.len() {
            self.read_one(index)?;
        }
        Ok(())
    }

    fn read_one(&mut self, index: usize) -> Result<(), Turn> {
        let Some(open) = self.open.get(index) else {
            return Ok(());
        };
        if self.gone.contains(&open.partition) {
            return Ok(());
        }
        let length = match length(&open.path) {
            Ok(length) if length == open.length => return Ok(()),
            Ok(length) => length,
            Err(SourceError::File { source, .. })
                if source.kind() == std::io::ErrorKind::NotFound
                    && open.position >= open.length =>
            {
                self.gone.insert(open.partition.clone());
                return Ok(());
            }
            Err(reason) => return self.stop(Some(open.partition.clone()), reason),
        };
        let partition = open.partition.clone();
        if let Err(reason) = self.same(open, length) {
            return self.stop(Some(partition), reason);
        }
        let lines = Lines::open(
            &open.path,
            self.epoch,
            partition.clone(),
            open.position,
            self.until_caught_up,
        );
        let mut lines = self.checked(lines)?;
        loop {
            match lines.next() {
                Ok(Some(records)) => {
                    if let Some(open) = self.open.get_mut(index) {
                        open.position = records.to;
                    }
                    self.say(Event::Records(records))?;
                }
                Ok(None) => break,
                Err(reason) => return self.stop(Some(partition), reason),
            }
            self.listen(Duration::ZERO)?;
        }
        if let Some(open) = self.open.get_mut(index) {
            open.length = length;
        }
        Ok(())
    }

    /// Checks that a file only grew.
    fn same(&self, open: &Open, length: Offset) -> Result<(), SourceError> {
        if length < open.position {
            return Err(SourceError::Truncated {
                partition: open.partition.clone(),
                progress: open.position,
                end: length,
            });
        }
        if self.folder.source_of(&open.path)?.as_ref() != Some(&open.partition.source) {
            return Err(SourceError::FileReplaced {
                path: open.path.clone(),
            });
        }
        Ok(())
    }
}

fn length(path: &std::path::Path) -> Result<Offset, SourceError> {
    let length = std::fs::metadata(path).map_err(at(path))?.len();
    Ok(Offset::try_from(length).unwrap_or(Offset::MAX))
}
