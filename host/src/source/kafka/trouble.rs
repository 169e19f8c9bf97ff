//! What librdkafka's errors mean: something to know, or a reason to stop.

use std::time::{Duration, Instant};

use rdkafka::error::RDKafkaErrorCode;

use super::native::{Client, Failure};
use super::{Settings, starts, topics};
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

    /// What a failure that is about no partition has to be met with.
    pub fn meet(&mut self, failure: &Failure, settings: &Settings) -> Option<Event> {
        let brokers = settings.brokers.clone();
        let reason = failure.text.clone();
        let own = || {
            let own = settings.properties.get("group.instance.id");
            own.unwrap_or(&settings.instance).clone()
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

/// Whether a failure says that a broker does not know a topic: it may know less than its cluster.
pub fn is_unknown(failure: &Failure) -> bool {
    matches!(
        failure.code,
        RDKafkaErrorCode::UnknownTopicOrPartition
            | RDKafkaErrorCode::UnknownTopic
            | RDKafkaErrorCode::UnknownPartition
            | RDKafkaErrorCode::UnknownTopicId
    )
}

/// Whether a client can't go on after a failure that is about no partition.
pub fn stops(failure: &Failure, settings: &Settings) -> bool {
    let met = Trouble::default().meet(failure, settings);
    !is_unknown(failure) && matches!(met, Some(Event::Stopped { .. }))
}

fn stopped(reason: SourceError) -> Event {
    Event::Stopped {
        partition: None,
        reason,
    }
}

/// Why an offset is not there: another topic, expired, or cut off. Blocks.
pub fn out_of_range(
    partition: &Partition,
    position: Offset,
    client: &Client,
    brokers: &str,
) -> SourceError {
    let topic = &*partition.topic;
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
