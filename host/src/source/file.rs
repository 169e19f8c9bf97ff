//! Files of one JSON event a line. A file is a partition, its bytes are the offsets.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::block_in_place;

use super::columns::Columns;
use super::{Event, Records, Source, SourceError, Start};
use crate::names::{Digest, Offset, Partition};

/// Bytes read at once: large enough that a read's cost vanishes, small enough to stay in cache.
const CHUNK: usize = 2 << 20;
/// The longest line. It bounds what a file without line ends can take of memory.
const LONGEST_LINE: usize = 64 << 20;
/// How often files are looked at for more.
const POLL: Duration = Duration::from_millis(200);
/// Digits of the digest that tells files apart: 64 bits.
const DIGITS: usize = 16;

struct Tail {
    path: PathBuf,
    position: Offset,
    /// Its length at the start, for a run that is to end there.
    goal: Offset,
}

enum State {
    /// Look for files, then have them assigned.
    Look,
    Asked(oneshot::Receiver<Vec<(Partition, Start)>>),
    Read,
}

/// Reads a file, or the files of a folder and its folders.
pub struct FileSource {
    root: PathBuf,
    until_caught_up: bool,
    state: State,
    epoch: u64,
    tails: BTreeMap<Partition, Tail>,
    queue: VecDeque<Partition>,
    told_caught_up: bool,
}

impl FileSource {
    /// Reads `root`. With `until_caught_up`, what the files hold now; else also what is added.
    ///
    /// # Errors
    /// A path that can't be read, or a folder without such files.
    pub fn new(root: PathBuf, until_caught_up: bool) -> Result<Self, SourceError> {
        if files(&root)?.is_empty() && until_caught_up {
            return Err(SourceError::NoFiles { path: root });
        }
        Ok(Self {
            root,
            until_caught_up,
            state: State::Look,
            epoch: 0,
            tails: BTreeMap::new(),
            queue: VecDeque::new(),
            told_caught_up: false,
        })
    }

    /// Finds the files, keeping the goals of those that are known.
    fn look(&mut self) -> Result<bool, SourceError> {
        let mut changed = false;
        for (topic, path) in files(&self.root)? {
            let Some(source) = first_line(&path)? else { continue };
            let partition = Partition {
                topic: topic.into(),
                source,
                number: 0,
            };
            if !self.tails.contains_key(&partition) {
                let goal = length(&path)?;
                changed = true;
                self.tails.insert(
                    partition,
                    Tail {
                        path,
                        position: 0,
                        goal,
                    },
                );
            }
        }
        Ok(changed)
    }

    fn assign(&mut self) -> Event {
        self.epoch += 1;
        let (starts, answer) = oneshot::channel();
        self.state = State::Asked(answer);
        Event::Assigned {
            epoch: self.epoch,
            partitions: self.tails.keys().cloned().collect(),
            starts,
        }
    }

    fn begin(&mut self, starts: Vec<(Partition, Start)>) -> Result<(), (Partition, SourceError)> {
        for (partition, start) in starts {
            let Some(tail) = self.tails.get_mut(&partition) else { continue };
            let length = length(&tail.path).map_err(|error| (partition.clone(), error))?;
            tail.position = match start {
                Start::At(offset) => offset,
                Start::Latest => length,
                Start::Earliest | Start::Time(_) => 0,
            };
            if tail.position > length {
                let error = SourceError::Truncated {
                    partition: partition.clone(),
                    progress: tail.position,
                    end: length,
                };
                return Err((partition, error));
            }
        }
        self.queue = self.tails.keys().cloned().collect();
        self.told_caught_up = false;
        self.state = State::Read;
        Ok(())
    }

    /// The next chunk of any file that has more.
    fn read(&mut self) -> Result<Option<Records>, (Partition, SourceError)> {
        for _ in 0..self.queue.len() {
            let Some(partition) = self.queue.front().cloned() else { break };
            let Some(tail) = self.tails.get_mut(&partition) else {
                self.queue.pop_front();
                continue;
            };
            let found = tail.read(self.until_caught_up);
            match found.map_err(|error| (partition.clone(), error))? {
                Some((from, rows)) => {
                    return Ok(Some(Records {
                        epoch: self.epoch,
                        partition,
                        from,
                        to: tail.position,
                        rows,
                    }));
                }
                None => self.queue.rotate_left(1),
            }
        }
        Ok(None)
    }

    fn stopped(&mut self, (partition, reason): (Partition, SourceError)) -> Event {
        self.queue.clear();
        Event::Stopped {
            partition: Some(partition),
            reason,
        }
    }
}

impl Tail {
    /// Whole lines from the position on.
    fn read(
        &mut self,
        to_the_goal: bool,
    ) -> Result<Option<(Offset, arrow::array::RecordBatch)>, SourceError> {
        let wrong = |source| SourceError::File {
            path: self.path.clone(),
            source,
        };
        let file = File::open(&self.path).map_err(wrong)?;
        let held = i64::try_from(file.metadata().map_err(wrong)?.len()).unwrap_or(i64::MAX);
        if held < self.position {
            let cut = format!("it has {held} bytes, but {} were read already: it was cut", self.position);
            return Err(wrong(std::io::Error::other(cut)));
        }
        let end = if to_the_goal { self.goal.min(held) } else { held };
        let left = usize::try_from(end - self.position).unwrap_or_default();
        let mut size = CHUNK;
        while left > 0 {
            let mut bytes = vec![0; size.min(left)];
            let at = u64::try_from(self.position).unwrap_or_default();
            file.read_exact_at(&mut bytes, at).map_err(wrong)?;
            let whole = match memchr::memrchr(b'\n', &bytes) {
                Some(last) => last + 1,
                // The last line may lack its end once nothing more is to come.
                None if to_the_goal && bytes.len() == left => left,
                None if bytes.len() == left => return Ok(None),
                None if size >= LONGEST_LINE => {
                    let long = format!("the line at byte {} has more than {LONGEST_LINE} bytes", self.position);
                    return Err(wrong(std::io::Error::other(long)));
                }
                None => {
                    size *= 2;
                    continue;
                }
            };
            let from = self.position;
            let lines = bytes.get(..whole).unwrap_or_default();
            let rows = rows(lines, from).map_err(|error| wrong(std::io::Error::other(error)))?;
            self.position += i64::try_from(whole).unwrap_or_default();
            return Ok(Some((from, rows)));
        }
        Ok(None)
    }
}

/// Lines as columns. An empty line is no event.
fn rows(bytes: &[u8], from: Offset) -> Result<arrow::array::RecordBatch, arrow::error::ArrowError> {
    let mut columns = Columns::default();
    let mut begin = 0;
    let ends = memchr::memchr_iter(b'\n', bytes).chain(std::iter::once(bytes.len()));
    for end in ends {
        let line = bytes.get(begin..end).unwrap_or_default();
        if !line.iter().all(u8::is_ascii_whitespace) {
            let offset = from + i64::try_from(begin).unwrap_or_default();
            columns.push(offset, None, None, None, Some(line));
        }
        begin = end + 1;
    }
    columns.finish()
}

impl Source for FileSource {
    async fn next(&mut self) -> Option<Event> {
        loop {
            match &mut self.state {
                State::Look => match block_in_place(|| self.look()) {
                    Ok(_) if self.tails.is_empty() => tokio::time::sleep(POLL).await,
                    Ok(_) => return Some(self.assign()),
                    Err(reason) => {
                        return Some(Event::Stopped {
                            partition: None,
                            reason,
                        });
                    }
                },
                State::Asked(answer) => match answer.await {
                    Ok(starts) => {
                        if let Err(error) = self.begin(starts) {
                            return Some(self.stopped(error));
                        }
                    }
                    Err(_) => return None,
                },
                State::Read => {
                    match block_in_place(|| self.read()) {
                        Ok(Some(records)) => return Some(Event::Records(records)),
                        Ok(None) => {}
                        Err(error) => return Some(self.stopped(error)),
                    }
                    if !self.told_caught_up {
                        self.told_caught_up = true;
                        return Some(Event::CaughtUp);
                    }
                    tokio::time::sleep(POLL).await;
                    if !self.until_caught_up {
                        match block_in_place(|| self.look()) {
                            Ok(true) => return Some(self.assign()),
                            Ok(false) => {}
                            Err(error) => {
                                let text = error.to_string();
                                return Some(Event::Degraded { text });
                            }
                        }
                    }
                }
            }
        }
    }

    async fn source_of(&mut self, topic: &str) -> Result<Arc<str>, SourceError> {
        let path = match self.root.is_dir() {
            true => self.root.join(topic),
            false => self.root.clone(),
        };
        match block_in_place(|| first_line(&path))? {
            Some(source) => Ok(source),
            None => Err(SourceError::NoFiles { path }),
        }
    }

    async fn lag(&mut self, _: &[(Partition, Offset)]) -> Vec<(Partition, Offset)> {
        Vec::new()
    }

    async fn commit_for_monitors(&mut self, _: &[(Partition, Offset)]) {}

    fn restart(&mut self) {
        self.state = State::Look;
    }

    async fn close(self) {}
}

/// The files below a path, by their path in it, which is their topic.
fn files(root: &Path) -> Result<Vec<(String, PathBuf)>, SourceError> {
    if !root.is_dir() {
        if !root.exists() {
            return Err(SourceError::File {
                path: root.to_owned(),
                source: std::io::ErrorKind::NotFound.into(),
            });
        }
        let name = root.file_name().unwrap_or_default().to_string_lossy();
        return Ok(vec![(name.into_owned(), root.to_owned())]);
    }
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let wrong = |source| SourceError::File {
            path: folder.clone(),
            source,
        };
        for entry in std::fs::read_dir(&folder).map_err(wrong)? {
            let path = entry.map_err(wrong)?.path();
            let ending = path.extension().and_then(|ending| ending.to_str());
            if path.is_dir() {
                folders.push(path);
            } else if matches!(ending, Some("ndjson" | "jsonl" | "json")) {
                let name = path.strip_prefix(root).unwrap_or(&path);
                found.push((name.to_string_lossy().into_owned(), path.clone()));
            }
        }
    }
    found.sort();
    Ok(found)
}

fn length(path: &Path) -> Result<Offset, SourceError> {
    let held = std::fs::metadata(path).map_err(|source| SourceError::File {
        path: path.to_owned(),
        source,
    })?;
    Ok(i64::try_from(held.len()).unwrap_or(i64::MAX))
}

/// What tells this file from another of its name: the digest of its first line. `None`: it has no
/// whole line yet.
fn first_line(path: &Path) -> Result<Option<Arc<str>>, SourceError> {
    use std::io::{BufRead as _, Read as _};
    let wrong = |source| SourceError::File {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(wrong)?;
    let mut line = Vec::new();
    std::io::BufReader::new(file.take(CHUNK as u64))
        .read_until(b'\n', &mut line)
        .map_err(wrong)?;
    if line.is_empty() {
        return Ok(None);
    }
    let line = line.strip_suffix(b"\n").unwrap_or(&line);
    let mut digest = Digest::of(line).to_string();
    digest.truncate(DIGITS);
    Ok(Some(digest.into()))
}
