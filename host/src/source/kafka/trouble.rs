//! What librdkafka's errors mean: something to know, or a reason to stop.

use std::time::{Duration, Instant};

use rdkafka::error::RDKafkaErrorCode;

use super::flow::Flow;
use super::native::{Client, Failure, Place};
use super::{KafkaOptions, starts, topics};
use crate::names::{Offset, Partition};
use crate::source::{Event, SourceError};

/// How long the same text is not said again.
const QUIET: Duration = Duration::from_secs(10);

/// What was said last, so that it is not said a hundred times a second.
#[derive(Default)]
pub struct Trouble {
    last: Option<(String, Instant)>,
}

impl Trouble {
    /// A text to be said, unless it just was.
    pub fn degraded(&mut self, text: String) -> Option<Event> {
        let said = self.last.as_ref();
        if said.is_some_and(|(last, at)| *last == text && at.elapsed() < QUIET) {
            return None;
        }
        self.last = Some((text.clone(), Instant::now()));
        Some(Event::Degraded { text })
    }

    /// What to say about a failure. One of a partition stops its flow.
    pub fn meet(
        &mut self,
        failure: &Failure,
        client: &Client,
        options: &KafkaOptions,
        flow: &mut Flow,
    ) -> Option<Event> {
        match failure.code {
            RDKafkaErrorCode::AutoOffsetReset => {
                let place = failure.place.as_ref()?;
                let (partition, position) = flow.find(place)?;
                flow.stop_one(place);
                Some(Event::Stopped {
                    reason: out_of_range(&partition, position, client, options),
                    partition: Some(partition),
                })
            }
            RDKafkaErrorCode::UnknownTopicOrPartition
            | RDKafkaErrorCode::UnknownTopic
            | RDKafkaErrorCode::UnknownPartition
            | RDKafkaErrorCode::UnknownTopicId => {
                let reason = missing(failure.place.as_ref(), client, options);
                match reason {
                    Some(reason) => Some(stopped(reason)),
                    None => self.degraded(failure.text.clone()),
                }
            }
            _ => self.other(failure, options),
        }
    }

    fn other(&mut self, failure: &Failure, options: &KafkaOptions) -> Option<Event> {
        let brokers = options.brokers.clone();
        let reason = failure.text.clone();
        let own = || {
            let own = options.properties.get("group.instance.id");
            own.unwrap_or(&options.instance).clone()
        };
        if failure.code == RDKafkaErrorCode::FencedInstanceId
            || reason.contains("FENCED_INSTANCE_ID")
            || reason.contains("fenced by")
        {
            return Some(stopped(SourceError::InstanceTaken { instance: own() }));
        }
        if failure.code == RDKafkaErrorCode::UnreleasedInstanceId
            || reason.contains("is still used by another member")
        {
            return Some(stopped(SourceError::InstanceHeld { instance: own() }));
        }
        if topics::is_refusal(failure.code) {
            return Some(stopped(SourceError::Refused { brokers, reason }));
        }
        if failure.fatal {
            return Some(stopped(SourceError::Fatal { brokers, reason }));
        }
        self.degraded(format!("{brokers}: {reason}; trying on"))
    }
}

fn stopped(reason: SourceError) -> Event {
    Event::Stopped {
        partition: None,
        reason,
    }
}

/// Why an offset is not there: another topic, expired, or cut off.
fn out_of_range(
    partition: &Partition,
    position: Offset,
    client: &Client,
    options: &KafkaOptions,
) -> SourceError {
    let (topic, brokers) = (&*partition.topic, options.brokers.as_str());
    let found = match client.describe(brokers, &[topic]) {
        Ok(found) => found,
        Err(error) => return error,
    };
    if let Some(found) = found.into_iter().find(|found| found.id != partition.source) {
        return SourceError::TopicReplaced {
            topic: topic.to_owned(),
            before: partition.source.to_string(),
            now: found.id.to_string(),
        };
    }
    match starts::bounds(client.consumer(), brokers, topic, partition.number) {
        Err(error) => error,
        Ok(bounds) => match starts::check(partition, position, bounds) {
            Err(reason) => reason,
            // It is there again, but what is there is not what was read up to.
            Ok(()) => SourceError::Truncated {
                partition: partition.clone(),
                progress: position,
                end: bounds.1,
            },
        },
    }
}

/// Whether a topic that a broker does not know is gone: a broker may know less than its cluster.
fn missing(place: Option<&Place>, client: &Client, options: &KafkaOptions) -> Option<SourceError> {
    let names: Vec<&str> = match place {
        Some((topic, _)) => vec![topic],
        None => options.topics.iter().map(String::as_str).collect(),
    };
    let asked = client.describe(&options.brokers, &names);
    asked
        .err()
        .filter(|error| matches!(error, SourceError::NoSuchTopic { .. }))
}
