//! What flows: a chunk for each partition that is being read, and how far it is from its end.

use std::collections::BTreeMap;
use std::time::Instant;

use super::super::records::{Chunk, Record};
use super::super::{Records, SourceError};
use super::native::{Message, Place};
use super::starts::Position;
use crate::names::{Offset, Partition};

/// A partition that is being read.
struct Part {
    place: Place,
    chunk: Chunk,
    /// Where the partition ended when it was first read; `None` once that was reached.
    end: Option<Offset>,
    /// Nothing more is taken of it, and what is left in the chunk is dropped.
    stopped: bool,
}

/// The partitions that are being read.
#[derive(Default)]
pub struct Flow {
    parts: Vec<Part>,
    places: BTreeMap<Place, usize>,
    /// Messages come in runs of one partition: where the last one went.
    last: usize,
    /// A chunk is to be cut for its size.
    full: bool,
    /// Where each partition ended when it was first read, also in earlier epochs.
    ends: BTreeMap<Partition, Offset>,
    headers: String,
}

impl Flow {
    /// Reads these, and nothing else, from now on.
    pub fn start(&mut self, epoch: u64, positions: &[Position]) {
        self.stop();
        for (index, position) in positions.iter().enumerate() {
            let partition = position.partition.clone();
            let place = (partition.topic.to_string(), partition.number);
            let end = *self.ends.entry(partition.clone()).or_insert(position.end);
            self.places.insert(place.clone(), index);
            self.parts.push(Part {
                place,
                chunk: Chunk::new(epoch, partition, position.from),
                end: Some(end).filter(|end| position.from < *end),
                stopped: false,
            });
        }
    }

    /// Drops what was read, and takes nothing more.
    pub fn stop(&mut self) {
        self.parts.clear();
        self.places.clear();
        self.last = 0;
        self.full = false;
    }

    /// Stops reading one partition.
    pub fn stop_one(&mut self, place: &Place) {
        if let Some(part) = self.part_mut(place) {
            part.stopped = true;
        }
    }

    fn part_mut(&mut self, place: &Place) -> Option<&mut Part> {
        let index = self.places.get(place)?;
        self.parts.get_mut(*index).filter(|part| !part.stopped)
    }

    /// The places that are being read.
    pub fn places(&self) -> impl Iterator<Item = &Place> {
        self.parts
            .iter()
            .filter(|part| !part.stopped)
            .map(|part| &part.place)
    }

    /// A partition that is being read, and the position it is read from next.
    pub fn find(&mut self, place: &Place) -> Option<(Partition, Offset)> {
        let chunk = &self.part_mut(place)?.chunk;
        Some((chunk.partition().clone(), chunk.to()))
    }

    /// Everything has been read that was there at the start.
    pub fn is_at_its_end(&self) -> bool {
        self.parts.iter().all(|part| part.end.is_none())
    }

    /// A chunk is waiting to be cut for its size.
    pub fn is_full(&self) -> bool {
        self.full
    }

    /// Takes a message in; one of a partition that is not being read is dropped, as the next
    /// assignment reads it again.
    pub fn push(&mut self, message: &Message<'_>) {
        let Some(index) = self.index_of(message) else {
            return;
        };
        let Some(part) = self.parts.get_mut(index).filter(|part| !part.stopped) else {
            return;
        };
        let found = message.headers(&mut self.headers);
        let record = Record {
            offset: message.offset(),
            timestamp: message.timestamp(),
            key: message.key(),
            headers: found.then_some(self.headers.as_str()),
            raw: message.payload(),
        };
        part.chunk.push(&record, record.offset + 1);
        self.full |= part.chunk.is_full();
    }

    fn index_of(&mut self, message: &Message<'_>) -> Option<usize> {
        let (topic, number) = (message.topic(), message.number());
        let is_last = |part: &Part| part.place.1 == number && part.place.0.as_bytes() == topic;
        if !self.parts.get(self.last).is_some_and(is_last) {
            let topic = std::str::from_utf8(topic).ok()?;
            self.last = *self.places.get(&(topic.to_owned(), number))?;
        }
        Some(self.last)
    }

    /// The end of a partition was seen. Offsets before it that no message had are behind us too.
    pub fn reached_end(&mut self, place: &Place, offset: Offset) {
        if let Some(part) = self.part_mut(place) {
            part.chunk.skip(offset);
            part.end = None;
        }
    }

    /// Cuts what is full or due, or everything.
    ///
    /// # Errors
    /// See [`Chunk::cut`].
    pub fn cut(&mut self, now: Instant, everything: bool) -> Result<Vec<Records>, SourceError> {
        let mut records = Vec::new();
        self.full = false;
        for part in self.parts.iter_mut().filter(|part| !part.stopped) {
            part.end = part.end.filter(|end| part.chunk.to() < *end);
            let due = part.chunk.is_due(now) || part.chunk.is_full();
            if due || (everything && !part.chunk.is_empty()) {
                records.push(part.chunk.cut()?);
            }
        }
        Ok(records)
    }

    /// Rows are to be cut soon.
    pub fn is_waiting(&self) -> bool {
        self.parts.iter().any(|part| !part.chunk.is_empty())
    }
}
