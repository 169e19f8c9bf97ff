//! Records from a list, for tests: a source that answers at once and does what it is told.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use tokio::sync::oneshot;

use super::records::{CHUNK_ROWS, Chunk, Record};
use super::{Event, Source, SourceError, Start};
use crate::names::{Offset, Partition};

/// One record of a [`MemorySource`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryRecord {
    pub offset: Offset,
    /// In microseconds since 1970 UTC.
    pub timestamp: Option<i64>,
    pub key: Option<Vec<u8>>,
    pub headers: Option<String>,
    pub raw: Option<Vec<u8>>,
}

impl MemoryRecord {
    pub fn new(offset: Offset, raw: impl Into<Vec<u8>>) -> Self {
        Self {
            offset,
            raw: Some(raw.into()),
            ..Self::default()
        }
    }
}

enum Phase {
    Assign,
    Starting(oneshot::Receiver<Vec<(Partition, Start)>>),
    Reading(VecDeque<(Partition, Offset)>),
    Done,
}

/// A source over records in memory. It assigns everything at once, reads one partition after the
/// other, says `CaughtUp`, and then has nothing more.
pub struct MemorySource {
    partitions: BTreeMap<Partition, Vec<MemoryRecord>>,
    sources: BTreeMap<String, Arc<str>>,
    injected: VecDeque<Event>,
    committed: BTreeMap<Partition, Offset>,
    chunk_rows: usize,
    epoch: u64,
    phase: Phase,
}

impl MemorySource {
    /// Records by partition, each list in offset order.
    pub fn new(partitions: impl IntoIterator<Item = (Partition, Vec<MemoryRecord>)>) -> Self {
        let partitions: BTreeMap<_, _> = partitions.into_iter().collect();
        let topics = partitions.keys();
        let sources = topics
            .map(|p| (p.topic.to_string(), p.source.clone()))
            .collect();
        Self {
            partitions,
            sources,
            injected: VecDeque::new(),
            committed: BTreeMap::new(),
            chunk_rows: CHUNK_ROWS,
            epoch: 0,
            phase: Phase::Assign,
        }
    }

    /// Cuts chunks of at most this many rows, so that a test sees more of them.
    #[must_use]
    pub fn with_chunks_of(mut self, rows: usize) -> Self {
        self.chunk_rows = rows.max(1);
        self
    }

    /// Says `event` before anything else that is to come.
    pub fn inject(&mut self, event: Event) {
        self.injected.push_back(event);
    }

    /// Adds a record, to be read by the next assignment.
    pub fn append(&mut self, partition: &Partition, record: MemoryRecord) {
        self.partitions
            .entry(partition.clone())
            .or_default()
            .push(record);
    }

    /// Pretends that the topic was deleted and made again.
    pub fn recreate(&mut self, topic: &str, source: &str) {
        self.sources.insert(topic.to_owned(), source.into());
    }

    /// What was said to lag monitors last.
    pub fn committed(&self) -> &BTreeMap<Partition, Offset> {
        &self.committed
    }

    fn assign(&mut self) -> Event {
        self.epoch += 1;
        let (starts, answer) = oneshot::channel();
        self.phase = Phase::Starting(answer);
        Event::Assigned {
            epoch: self.epoch,
            partitions: self.partitions.keys().cloned().collect(),
            starts,
        }
    }

    fn end(&self, partition: &Partition) -> Offset {
        let records = self.partitions.get(partition);
        records
            .and_then(|records| records.last())
            .map_or(0, |last| last.offset + 1)
    }

    /// Turns answers into offsets, and says the beginnings that nobody knew.
    fn begin(&mut self, starts: Vec<(Partition, Start)>) {
        let mut positions = VecDeque::new();
        for (partition, start) in starts {
            let records = self
                .partitions
                .get(&partition)
                .map_or(&[][..], Vec::as_slice);
            let end = self.end(&partition);
            let first = |wanted: &dyn Fn(&&MemoryRecord) -> bool| {
                records
                    .iter()
                    .find(wanted)
                    .map_or(end, |record| record.offset)
            };
            let position = match start {
                Start::At(position) => position,
                Start::Latest => end,
                Start::Earliest => first(&|_| true),
                Start::Time(time) => first(&|record| record.timestamp >= Some(time)),
            };
            if position > end {
                let reason = SourceError::Truncated {
                    partition: partition.clone(),
                    progress: position,
                    end,
                };
                self.inject(Event::Stopped {
                    partition: Some(partition),
                    reason,
                });
                continue;
            }
            if !matches!(start, Start::At(_)) {
                match Chunk::new(self.epoch, partition.clone(), position).cut() {
                    Ok(records) => self.inject(Event::Records(records)),
                    Err(reason) => self.inject(Event::Stopped {
                        partition: Some(partition.clone()),
                        reason,
                    }),
                }
            }
            positions.push_back((partition, position));
        }
        self.phase = Phase::Reading(positions);
    }

    fn read(&self, partition: Partition, from: Offset) -> Option<Chunk> {
        let records = self.partitions.get(&partition)?;
        let mut chunk = Chunk::new(self.epoch, partition, from);
        let ahead = records.iter().filter(|record| record.offset >= from);
        for record in ahead.take(self.chunk_rows) {
            let borrowed = Record {
                offset: record.offset,
                timestamp: record.timestamp,
                key: record.key.as_deref(),
                headers: record.headers.as_deref(),
                raw: record.raw.as_deref(),
            };
            chunk.push(&borrowed, record.offset + 1);
        }
        Some(chunk).filter(|chunk| !chunk.is_empty())
    }
}

impl Source for MemorySource {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.injected.pop_front() {
                return Some(event);
            }
            match &mut self.phase {
                Phase::Assign => return Some(self.assign()),
                Phase::Starting(answer) => match answer.await {
                    Ok(starts) => self.begin(starts),
                    Err(_) => self.phase = Phase::Done,
                },
                Phase::Reading(positions) => {
                    let Some((partition, from)) = positions.pop_front() else {
                        self.phase = Phase::Done;
                        return Some(Event::CaughtUp);
                    };
                    let Some(mut chunk) = self.read(partition.clone(), from) else {
                        continue;
                    };
                    if let Phase::Reading(positions) = &mut self.phase {
                        positions.push_front((partition.clone(), chunk.to()));
                    }
                    return Some(match chunk.cut() {
                        Ok(records) => Event::Records(records),
                        Err(reason) => Event::Stopped {
                            partition: Some(partition),
                            reason,
                        },
                    });
                }
                Phase::Done => return None,
            }
        }
    }

    async fn source_of(&mut self, topic: &str) -> Result<Arc<str>, SourceError> {
        self.sources
            .get(topic)
            .cloned()
            .ok_or_else(|| SourceError::NoSuchTopic {
                topic: topic.to_owned(),
                brokers: "memory".to_owned(),
            })
    }

    fn restart(&mut self) {
        self.phase = Phase::Assign;
    }

    async fn lag(&mut self, progress: &[(Partition, Offset)]) -> Vec<(Partition, Offset)> {
        let known = progress
            .iter()
            .filter(|(partition, _)| self.partitions.contains_key(partition));
        known
            .map(|(partition, at)| (partition.clone(), self.end(partition) - at))
            .collect()
    }

    async fn ends(&mut self) -> Result<Vec<(Partition, Offset)>, SourceError> {
        Ok(Vec::new())
    }

    async fn commit_for_monitors(&mut self, progress: &[(Partition, Offset)]) {
        self.committed.extend(progress.iter().cloned());
    }

    async fn close(self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(number: i32) -> Partition {
        Partition {
            topic: "sales".into(),
            source: "one".into(),
            number,
        }
    }

    async fn assigned(source: &mut MemorySource, start: Start) -> u64 {
        match source.next().await {
            Some(Event::Assigned {
                epoch,
                partitions,
                starts,
            }) => {
                let answer = partitions.into_iter().map(|partition| (partition, start));
                starts.send(answer.collect()).unwrap();
                epoch
            }
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn records_come_in_order_with_the_range_that_they_cover() {
        let records = [3, 4, 9].map(|offset| MemoryRecord::new(offset, "{}"));
        let mut source = MemorySource::new([(partition(0), records.into())]).with_chunks_of(2);
        assert_eq!(assigned(&mut source, Start::At(2)).await, 1);
        let mut ranges = Vec::new();
        while let Some(Event::Records(records)) = source.next().await {
            ranges.push((records.from, records.to, records.rows.num_rows()));
        }
        assert_eq!(ranges, [(2, 5, 2), (5, 10, 1)]);
    }

    #[tokio::test]
    async fn a_restart_asks_again_with_a_higher_epoch() {
        let records = vec![MemoryRecord::new(0, "{}")];
        let mut source = MemorySource::new([(partition(0), records)]);
        let first = assigned(&mut source, Start::Latest).await;
        source.restart();
        while let Some(Event::Records(records)) = source.injected.pop_front() {
            assert_eq!((records.from, records.to), (1, 1));
        }
        assert!(assigned(&mut source, Start::Earliest).await > first);
    }

    #[tokio::test]
    async fn progress_past_the_end_stops_the_partition() {
        let mut source = MemorySource::new([(partition(0), Vec::new())]);
        assigned(&mut source, Start::At(7)).await;
        assert!(matches!(
            source.next().await,
            Some(Event::Stopped {
                reason: SourceError::Truncated { end: 0, .. },
                ..
            })
        ));
    }
}
