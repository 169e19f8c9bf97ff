//! Files of one JSON event a line: for backfill, and for life without a broker.
//!
//! Each file is a topic of one partition, whose offsets are bytes. The one thing to know: a file
//! may only grow. One that shrank, or whose first line changed, stops the run loudly.

mod folder;

mod lines;

mod reader;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc as std_mpsc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;

use self::folder::Folder;
use self::reader::{Command, Reader};
use super::{Event, Source, SourceError};
use crate::names::{Offset, Partition};

/// How many events may wait for the reader.
const WAITING: usize = 8;
/// How long [`Source::close`] waits: a read from a slow network folder ends within it.
const FAREWELL: Duration = Duration::from_secs(5);

/// A file, or a folder of them.
///
/// - A file's topic is its path within the folder (or its name, where one file was given), its
///   partition 0, its source the first 16 hexadecimal digits of the SHA-256 of its first line.
/// - A record is a line without its end (`\n` or `\r\n`), its offset the line's first byte. Empty
///   lines are no records.
/// - A last line that has no end yet waits for it; with `until_caught_up` it counts as complete.
/// - Without `until_caught_up` growth and new files are followed. A file that was read to its end
///   may be taken away.
/// - Lines have no time of their own, so [`Start::Time`](super::Start) is the beginning.
pub struct FileSource {
    folder: Arc<Folder>,
    events: mpsc::Receiver<Event>,
    commands: std_mpsc::Sender<Command>,
    finished: oneshot::Receiver<()>,
}

impl FileSource {
    /// Starts to look for files.
    ///
    /// # Errors
    /// The path does not exist or can't be read; with `until_caught_up` also a folder in which
    /// there is nothing to read.
    pub fn new(path: impl Into<PathBuf>, until_caught_up: bool) -> Result<Self, SourceError> {
        let folder = Arc::new(Folder::new(path.into(), until_caught_up));
        if folder.files()?.is_empty() && until_caught_up {
            return Err(SourceError::NoFiles {
                path: folder.path().to_owned(),
            });
        }
        let (event_sender, events) = mpsc::channel(WAITING);
        let (commands, command_receiver) = std_mpsc::channel();
        let (finish, finished) = oneshot::channel();
        let reader = Reader::new(
            folder.clone(),
            until_caught_up,
            command_receiver,
            event_sender,
        );
        std::thread::Builder::new()
            .name("files".to_owned())
            .spawn(move || {
                reader.run();
                let _ = finish.send(());
            })
            .map_err(SourceError::Thread)?;
        Ok(Self {
            folder,
            events,
            commands,
            finished,
        })
    }
}

impl Source for FileSource {
    async fn next(&mut self) -> Option<Event> {
        self.events.recv().await
    }

    async fn source_of(&mut self, topic: &str) -> Result<Arc<str>, SourceError> {
        let (folder, topic) = (self.folder.clone(), topic.to_owned());
        let asked = spawn_blocking(move || {
            let path = folder.path_of(&topic);
            folder
                .source_of(&path)?
                .ok_or(SourceError::FileReplaced { path })
        });
        asked
            .await
            .map_err(|error| SourceError::Thread(std::io::Error::other(error)))?
    }

    fn restart(&mut self) {
        // A thread that has ended needs no command.
        let _ = self.commands.send(Command::Restart);
    }

    async fn lag(&mut self, progress: &[(Partition, Offset)]) -> Vec<(Partition, Offset)> {
        let known = progress.iter().filter_map(|(partition, at)| {
            let length = std::fs::metadata(self.folder.path_of(&partition.topic))
                .ok()?
                .len();
            let length = Offset::try_from(length).unwrap_or(Offset::MAX);
            Some((partition.clone(), (length - at).max(0)))
        });
        known.collect()
    }

    async fn ends(&mut self) -> Result<Vec<(Partition, Offset)>, SourceError> {
        // Hosts do not share files: each reads all that it is given.
        Ok(Vec::new())
    }

    async fn commit_for_monitors(&mut self, _: &[(Partition, Offset)]) {
        // Nobody looks at files that way.
    }

    async fn close(mut self) {
        let _ = self.commands.send(Command::Close);
        // Also drops the questions that were not answered, which the thread may be waiting for.
        self.events.close();
        while self.events.try_recv().is_ok() {}
        let _ = tokio::time::timeout(FAREWELL, &mut self.finished).await;
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;
    use std::path::Path;

    use arrow::array::{AsArray as _, RecordBatch};
    use arrow::datatypes::Int64Type;

    use super::*;
    use crate::source::{Records, Start};

    fn rows(batch: &RecordBatch) -> Vec<(i64, String)> {
        let offsets = batch.column(0).as_primitive::<Int64Type>();
        let raw = batch.column(4).as_binary::<i32>();
        let text = raw
            .iter()
            .map(|raw| String::from_utf8_lossy(raw.unwrap()).into_owned());
        offsets.values().iter().copied().zip(text).collect()
    }

    async fn next(source: &mut FileSource) -> Event {
        let event = tokio::time::timeout(Duration::from_secs(10), source.next()).await;
        event
            .expect("an event in time")
            .expect("a source that goes on")
    }

    async fn assigned(source: &mut FileSource, start: Start) -> (u64, Vec<Partition>) {
        match next(source).await {
            Event::Assigned {
                epoch,
                partitions,
                starts,
            } => {
                let answer = partitions
                    .iter()
                    .map(|partition| (partition.clone(), start));
                starts.send(answer.collect()).unwrap();
                (epoch, partitions)
            }
            other => panic!("{other:?}"),
        }
    }

    async fn records(source: &mut FileSource) -> Records {
        match next(source).await {
            Event::Records(records) => records,
            other => panic!("{other:?}"),
        }
    }

    fn append(path: &Path, text: &str) {
        let mut file = fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(path)
            .unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    #[tokio::test]
    async fn a_line_is_a_record_and_its_first_byte_the_offset() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("march")).unwrap();
        fs::write(folder.path().join("march/a.ndjson"), "{1}\r\n\n{22}\nlast").unwrap();
        fs::write(folder.path().join("notes.txt"), "not ours\n").unwrap();
        let mut source = FileSource::new(folder.path(), true).unwrap();
        let (epoch, partitions) = assigned(&mut source, Start::At(0)).await;
        assert_eq!(partitions.len(), 1);
        assert_eq!(&*partitions[0].topic, "march/a.ndjson");
        let digest = crate::names::Digest::of(b"{1}").to_string();
        assert_eq!(*partitions[0].source, digest[..16]);
        let found = records(&mut source).await;
        assert_eq!((found.epoch, found.from, found.to), (epoch, 0, 15));
        let expected = [(0, "{1}"), (6, "{22}"), (11, "last")];
        assert_eq!(
            rows(&found.rows),
            expected.map(|(at, text)| (at, text.to_owned()))
        );
        assert!(matches!(next(&mut source).await, Event::CaughtUp));
        source.close().await;
    }

    #[tokio::test]
    async fn a_line_that_is_being_written_waits_for_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        fs::write(&path, "one\ntw").unwrap();
        let mut source = FileSource::new(&path, false).unwrap();
        assigned(&mut source, Start::At(0)).await;
        let first = records(&mut source).await;
        assert_eq!(rows(&first.rows), [(0, "one".to_owned())]);
        append(&path, "o\n");
        let second = records(&mut source).await;
        assert_eq!((second.from, second.to), (4, 8));
        assert_eq!(rows(&second.rows), [(4, "two".to_owned())]);
        source.close().await;
    }

    #[tokio::test]
    async fn a_new_file_is_taken_up_once_what_is_held_has_landed() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.json"), "a\n").unwrap();
        let mut source = FileSource::new(folder.path(), false).unwrap();
        let (first, _) = assigned(&mut source, Start::At(0)).await;
        records(&mut source).await;
        fs::write(folder.path().join("b.json"), "b\n").unwrap();
        let Event::Revoked { epoch, done, .. } = next(&mut source).await else {
            panic!("the old assignment must end first");
        };
        assert_eq!(epoch, first);
        done.send(()).unwrap();
        let (second, partitions) = assigned(&mut source, Start::At(2)).await;
        assert!(second > first);
        assert_eq!(partitions.len(), 2);
        // Only grown: one that is written anew is seen to be empty for a moment.
        append(&folder.path().join("b.json"), "c\n");
        assert_eq!(
            rows(&records(&mut source).await.rows),
            [(2, "c".to_owned())]
        );
        source.close().await;
    }

    #[tokio::test]
    async fn a_restart_reads_again_from_where_it_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        fs::write(&path, "a\nb\n").unwrap();
        let mut source = FileSource::new(&path, true).unwrap();
        assigned(&mut source, Start::Earliest).await;
        let start = records(&mut source).await;
        assert_eq!((start.from, start.to, start.rows.num_rows()), (0, 0, 0));
        assert_eq!(records(&mut source).await.to, 4);
        assert!(matches!(next(&mut source).await, Event::CaughtUp));
        source.restart();
        assigned(&mut source, Start::At(2)).await;
        assert_eq!(
            rows(&records(&mut source).await.rows),
            [(2, "b".to_owned())]
        );
        assert!(matches!(next(&mut source).await, Event::CaughtUp));
        source.close().await;
    }

    #[tokio::test]
    async fn a_file_that_shrank_or_was_replaced_stops_loudly() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        fs::write(&path, "a\nb\n").unwrap();
        let mut source = FileSource::new(&path, true).unwrap();
        let before = source.source_of("a.json").await.unwrap();
        assigned(&mut source, Start::At(9)).await;
        assert!(matches!(
            next(&mut source).await,
            Event::Stopped {
                reason: SourceError::Truncated {
                    progress: 9,
                    end: 4,
                    ..
                },
                ..
            }
        ));
        fs::write(&path, "x\nb\n").unwrap();
        assert_ne!(source.source_of("a.json").await.unwrap(), before);
        source.close().await;

        let mut source = FileSource::new(&path, false).unwrap();
        assigned(&mut source, Start::At(0)).await;
        records(&mut source).await;
        // In one step: a file that is being written anew is seen to be empty for a moment.
        let anew = folder.path().join("anew");
        fs::write(&anew, "y\nb\nc\n").unwrap();
        fs::rename(&anew, &path).unwrap();
        assert!(matches!(
            next(&mut source).await,
            Event::Stopped {
                reason: SourceError::FileReplaced { .. },
                ..
            }
        ));
        source.close().await;
    }

    #[tokio::test]
    async fn a_path_that_there_is_not_says_so_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let error = FileSource::new(folder.path().join("none"), false)
            .err()
            .unwrap();
        assert!(error.to_string().contains("none"), "{error}");
        assert!(matches!(
            FileSource::new(folder.path(), true),
            Err(SourceError::NoFiles { .. })
        ));
        assert!(FileSource::new(folder.path(), false).is_ok());
    }

    #[tokio::test]
    async fn a_line_longer_than_any_buffer_comes_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        let long = "x".repeat(5 << 20);
        fs::write(&path, format!("a\n{long}\nb\n")).unwrap();
        let mut source = FileSource::new(&path, true).unwrap();
        assigned(&mut source, Start::At(0)).await;
        let mut found = Vec::new();
        while let Event::Records(records) = next(&mut source).await {
            found.extend(rows(&records.rows));
        }
        let lengths: Vec<_> = found.iter().map(|(at, text)| (*at, text.len())).collect();
        assert_eq!(lengths, [(0, 1), (2, long.len()), (3 + (5 << 20), 1)]);
        source.close().await;
    }
}
