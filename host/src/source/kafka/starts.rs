//! From where to read: answers turned into offsets that are there, or into a reason to stop.

use std::collections::BTreeMap;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};

use super::super::{SourceError, Start};
use super::REQUEST;
use super::cluster::request_failed;
use crate::names::{Offset, Partition};

/// Where a partition is read from, and where it ended when that was found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    pub partition: Partition,
    pub from: Offset,
    pub end: Offset,
    /// The offset was the reader's own, not found out here.
    pub told: bool,
}

/// The first offset that a partition still has, and the one after its last. Blocks.
///
/// # Errors
/// `Unreachable`, `Refused`, `NoSuchTopic`.
pub fn bounds<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    brokers: &str,
    topic: &str,
    number: i32,
) -> Result<(Offset, Offset), SourceError> {
    consumer
        .fetch_watermarks(topic, number, REQUEST)
        .map_err(|error| request_failed(&error, topic, brokers))
}

/// Checks that a partition can be read on from `progress`.
///
/// # Errors
/// `Expired` or `Truncated`.
pub fn check(
    partition: &Partition,
    progress: Offset,
    (begin, end): (Offset, Offset),
) -> Result<(), SourceError> {
    let partition = partition.clone();
    if progress < begin {
        return Err(SourceError::Expired {
            partition,
            progress,
            begin,
        });
    }
    if progress > end {
        return Err(SourceError::Truncated {
            partition,
            progress,
            end,
        });
    }
    Ok(())
}

/// Turns answers into positions. A partition that can't be read on from where it should is handed
/// back as an error of its own. Blocks.
///
/// # Errors
/// What concerns all: `Unreachable`, `Refused`, `NoSuchTopic`.
pub fn resolve<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    brokers: &str,
    starts: &[(Partition, Start)],
) -> Result<Vec<Result<Position, SourceError>>, SourceError> {
    let timed = by_time(consumer, brokers, starts)?;
    let mut positions = Vec::with_capacity(starts.len());
    for (partition, start) in starts {
        let found = bounds(consumer, brokers, &partition.topic, partition.number)?;
        let (begin, end) = found;
        let from = match start {
            Start::At(offset) => *offset,
            Start::Earliest => begin,
            Start::Latest => end,
            // No record is that young: the end.
            Start::Time(_) => timed
                .get(partition)
                .copied()
                .unwrap_or(end)
                .clamp(begin, end),
        };
        positions.push(check(partition, from, found).map(|()| Position {
            partition: partition.clone(),
            from,
            end,
            told: matches!(start, Start::At(_)),
        }));
    }
    Ok(positions)
}

/// The first offset at or after the moment asked for, where there is one.
fn by_time<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    brokers: &str,
    starts: &[(Partition, Start)],
) -> Result<BTreeMap<Partition, Offset>, SourceError> {
    let mut list = TopicPartitionList::new();
    let mut asked = BTreeMap::new();
    for (partition, start) in starts {
        if let Start::Time(micros) = start {
            // Rounded up: a record of the same millisecond may lie before the moment.
            let millis = micros.div_euclid(1_000) + i64::from(micros.rem_euclid(1_000) > 0);
            let mut element = list.add_partition(&partition.topic, partition.number);
            let _ = element.set_offset(rdkafka::Offset::Offset(millis.max(0)));
            asked.insert(
                (partition.topic.to_string(), partition.number),
                partition.clone(),
            );
        }
    }
    if asked.is_empty() {
        return Ok(BTreeMap::new());
    }
    let answer = consumer
        .offsets_for_times(list, REQUEST)
        .map_err(|error| request_failed(&error, "", brokers))?;
    let mut found = BTreeMap::new();
    for element in answer.elements() {
        element
            .error()
            .map_err(|error| request_failed(&error, element.topic(), brokers))?;
        let partition = asked.get(&(element.topic().to_owned(), element.partition()));
        if let (rdkafka::Offset::Offset(offset), Some(partition)) = (element.offset(), partition) {
            found.insert(partition.clone(), offset);
        }
    }
    Ok(found)
}
