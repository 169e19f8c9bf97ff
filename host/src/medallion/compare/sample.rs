//! A few rows of many, for people. Which ones depends on the rows' identities alone, so that it is
//! the same however the rows were parted and put together.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use arrow::array::{Array, BinaryArray, Int32Array, Int64Array, StringArray};
use serde::{Deserialize, Serialize};

use crate::medallion::cut::Cut;
use crate::medallion::layer::column;

/// Rows that are shown of those that changed in one way.
const MOST: usize = 5;
/// Characters that are shown of an event, a reason, or a value.
const LONGEST: usize = 300;

/// A row, what it was, and what it would be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    pub topic: String,
    pub source: String,
    pub partition: i32,
    pub offset: i64,
    pub line: i32,
    /// Of a verdict, why; of a column, its value. Absent where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// The beginning of the message.
    pub event: String,
}

impl Sample {
    fn rank(&self) -> u64 {
        rank_of(
            &self.topic,
            &self.source,
            (self.partition, self.offset, self.line),
        )
    }
}

/// Where the rows of a batch lie.
pub(super) struct Places<'a> {
    topics: Option<&'a StringArray>,
    sources: Option<&'a StringArray>,
    partitions: Option<&'a Int32Array>,
    offsets: Option<&'a Int64Array>,
    raw: Option<&'a BinaryArray>,
}

/// Where one row lies.
pub(super) struct Place<'a> {
    places: &'a Places<'a>,
    message: usize,
    line: i32,
}

impl<'a> Places<'a> {
    pub fn of_cut(cut: &'a Cut) -> Self {
        Self {
            topics: column(&cut.messages, "_topic"),
            sources: column(&cut.messages, "_source"),
            partitions: column(&cut.messages, "_partition"),
            offsets: column(&cut.messages, "_offset"),
            raw: column(&cut.messages, "_raw"),
        }
    }

    pub fn of(&'a self, (message, line): (u32, i32)) -> Place<'a> {
        Place {
            places: self,
            message: message as usize,
            line,
        }
    }
}

impl Place<'_> {
    fn topic(&self) -> &str {
        let topics = self.places.topics;
        topics.map_or("", |topics| topics.value(self.message))
    }

    fn source(&self) -> &str {
        let sources = self.places.sources;
        sources.map_or("", |sources| sources.value(self.message))
    }

    fn numbers(&self) -> (i32, i64, i32) {
        let partition = self.places.partitions.map_or(0, |p| p.value(self.message));
        let offset = self.places.offsets.map_or(0, |o| o.value(self.message));
        (partition, offset, self.line)
    }

    fn rank(&self) -> u64 {
        rank_of(self.topic(), self.source(), self.numbers())
    }

    fn sample(&self, before: Option<String>, after: Option<String>) -> Sample {
        let (partition, offset, line) = self.numbers();
        let raw = self.places.raw.filter(|raw| raw.is_valid(self.message));
        let event = raw.map(|raw| String::from_utf8_lossy(raw.value(self.message)));
        Sample {
            topic: self.topic().to_owned(),
            source: self.source().to_owned(),
            partition,
            offset,
            line,
            before,
            after,
            event: cut(&event.unwrap_or_default()),
        }
    }
}

impl Ord for Sample {
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |sample: &Self| (sample.partition, sample.offset, sample.line);
        let texts = |sample: &Self| {
            let Self {
                topic,
                source,
                before,
                after,
                event,
                ..
            } = sample.clone();
            (topic, source, before, after, event)
        };
        self.rank()
            .cmp(&other.rank())
            .then_with(|| key(self).cmp(&key(other)))
            .then_with(|| texts(self).cmp(&texts(other)))
    }
}

impl PartialOrd for Sample {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Rows that changed in one way: how many, and some of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    pub rows: u64,
    pub samples: BTreeSet<Sample>,
}

impl Change {
    /// Counts a row, whose texts of before and after are made only where it is shown.
    pub(super) fn add(
        &mut self,
        place: &Place<'_>,
        texts: impl FnOnce() -> (Option<String>, Option<String>),
    ) {
        self.rows += 1;
        let last = self.samples.last().filter(|_| self.samples.len() >= MOST);
        if last.is_none_or(|last| place.rank() <= last.rank()) {
            let (before, after) = texts();
            self.offer(place.sample(before, after));
        }
    }

    pub fn merge(&mut self, other: Self) {
        self.rows += other.rows;
        other
            .samples
            .into_iter()
            .for_each(|sample| self.offer(sample));
    }

    fn offer(&mut self, sample: Sample) {
        self.samples.insert(sample);
        if self.samples.len() > MOST {
            self.samples.pop_last();
        }
    }
}

fn rank_of(topic: &str, source: &str, numbers: (i32, i64, i32)) -> u64 {
    rank(&format!("{topic} {source} {numbers:?}"))
}

/// A number that depends on a name alone, and says nothing about it.
pub(super) fn rank(name: &str) -> u64 {
    let hash = blake3::hash(name.as_bytes());
    let first = hash.as_bytes().first_chunk().copied();
    u64::from_le_bytes(first.unwrap_or_default())
}

/// The beginning of a text.
pub(super) fn cut(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", text.split_at(at).0),
        None => text.to_owned(),
    }
}
