//! A file's bytes into chunks of lines, in big sequential reads.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use super::super::records::{Chunk, Record};
use super::super::{Records, SourceError};
use super::folder::at;
use crate::names::{Offset, Partition};

/// How much is read at once, in bytes: large enough that the system reads ahead, small enough to
/// stay in the processor's cache until the lines are copied out of it.
const BLOCK: usize = 1 << 20;
/// The longest line that is read, in bytes. A file without line ends must not fill the memory.
const LONGEST: usize = 256 << 20;

/// The lines of one file, from a position on.
pub struct Lines {
    path: PathBuf,
    file: File,
    chunk: Chunk,
    buffer: Vec<u8>,
    /// What of the buffer is not cut into lines yet.
    rest: std::ops::Range<usize>,
    /// Where in the file the rest begins.
    at: Offset,
    /// What of the rest is known to have no line end.
    searched: usize,
    /// A last line without an end counts.
    complete: bool,
    ended: bool,
}

impl Lines {
    /// Opens a file at a line's first byte.
    ///
    /// # Errors
    /// It can't be read.
    pub fn open(
        path: &Path,
        epoch: u64,
        partition: Partition,
        from: Offset,
        complete: bool,
    ) -> Result<Self, SourceError> {
        let mut file = File::open(path).map_err(at(path))?;
        let seek = SeekFrom::Start(u64::try_from(from).unwrap_or_default());
        file.seek(seek).map_err(at(path))?;
        Ok(Self {
            path: path.to_owned(),
            file,
            chunk: Chunk::new(epoch, partition, from),
            buffer: Vec::new(),
            rest: 0..0,
            at: from,
            searched: 0,
            complete,
            ended: false,
        })
    }

    /// The next chunk, until the end that the file has now.
    ///
    /// # Errors
    /// It can't be read, or a line never ends.
    pub fn next(&mut self) -> Result<Option<Records>, SourceError> {
        while !self.chunk.is_full() {
            if self.take_line() {
                continue;
            }
            if self.ended {
                break;
            }
            self.fill()?;
        }
        if self.chunk.is_empty() {
            Ok(None)
        } else {
            self.chunk.cut().map(Some)
        }
    }

    /// Takes one line out of the buffer, if one is there.
    fn take_line(&mut self) -> bool {
        let rest = self.buffer.get(self.rest.clone()).unwrap_or_default();
        let unsearched = rest.get(self.searched..).unwrap_or_default();
        let (line, taken) = match memchr::memchr(b'\n', unsearched) {
            Some(end) => (rest.get(..self.searched + end), self.searched + end + 1),
            None if self.ended && self.complete && !rest.is_empty() => (Some(rest), rest.len()),
            None => {
                self.searched = rest.len();
                return false;
            }
        };
        let line = line.unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let next = self.at + Offset::try_from(taken).unwrap_or_default();
        if line.is_empty() {
            self.chunk.skip(next);
        } else {
            let record = Record {
                offset: self.at,
                raw: Some(line),
                ..Record::default()
            };
            self.chunk.push(&record, next);
        }
        self.rest.start += taken;
        self.searched = 0;
        self.at = next;
        true
    }

    /// Reads on behind what is left of the last line.
    fn fill(&mut self) -> Result<(), SourceError> {
        let left = self.rest.len();
        if left >= LONGEST {
            return Err(SourceError::LineTooLong {
                path: self.path.clone(),
                offset: self.at,
                limit: LONGEST,
            });
        }
        self.buffer.copy_within(self.rest.clone(), 0);
        // A long line doubles the buffer, so that it is not moved for each block.
        let size = (left + BLOCK).max(left * 2);
        if self.buffer.len() < size {
            self.buffer.resize(size, 0);
        }
        let space = self.buffer.get_mut(left..).unwrap_or_default();
        let read = loop {
            match self.file.read(space) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                read => break read.map_err(at(&self.path))?,
            }
        };
        self.rest = 0..left + read;
        self.ended = read == 0;
        Ok(())
    }
}
