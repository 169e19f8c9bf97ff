//! What a cluster says of its topics to who reads nothing of them.

use std::collections::BTreeMap;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tokio::task::spawn_blocking;

use super::native::{Client, What};
use super::{properties, starts, topics};
use crate::names::{Offset, Partition};
use crate::source::SourceError;

/// How many partitions each of these topics has.
///
/// # Errors
/// Properties that can't be, a topic that there is not, or a cluster that refuses or is away.
pub async fn partitions_of(
    brokers: &str,
    topics: &[String],
    properties: &BTreeMap<String, String>,
) -> Result<Vec<(String, usize)>, SourceError> {
    let (brokers, topics, properties) = (brokers.to_owned(), topics.to_vec(), properties.clone());
    asked(move || {
        let client = asker(&brokers, &properties)?;
        let names: Vec<&str> = topics.iter().map(String::as_str).collect();
        let found = ask_for(&client, &brokers, &names)?;
        Ok(found
            .into_iter()
            .map(|found| (found.topic, found.partitions))
            .collect())
    })
    .await
}

/// The partitions that a topic has now, each with the first offset that is still there.
///
/// # Errors
/// As [`partitions_of`].
pub async fn beginnings(
    brokers: &str,
    topic: &str,
    properties: &BTreeMap<String, String>,
) -> Result<Vec<(Partition, Offset)>, SourceError> {
    let found = bounds(brokers, topic, properties).await?;
    Ok(found
        .into_iter()
        .map(|(partition, begin, _)| (partition, begin))
        .collect())
}

/// The partitions that a topic has now, each with its first offset and the one after its last.
///
/// # Errors
/// As [`partitions_of`].
pub async fn bounds(
    brokers: &str,
    topic: &str,
    properties: &BTreeMap<String, String>,
) -> Result<Vec<(Partition, Offset, Offset)>, SourceError> {
    let (brokers, topic, properties) = (brokers.to_owned(), topic.to_owned(), properties.clone());
    asked(move || {
        let client = asker(&brokers, &properties)?;
        let described = ask_for(&client, &brokers, &[&topic])?;
        bounds_of(&client, &brokers, &topic, &described)
    })
    .await
}

/// The partitions of a topic that was described, each with its bounds. Blocks.
pub fn bounds_of(
    client: &Client,
    brokers: &str,
    topic: &str,
    described: &[topics::Described],
) -> Result<Vec<(Partition, Offset, Offset)>, SourceError> {
    let mut found = Vec::new();
    for described in described {
        for number in 0..i32::try_from(described.partitions).unwrap_or(i32::MAX) {
            let (begin, end) = starts::bounds(client.consumer(), brokers, topic, number)?;
            let partition = Partition {
                topic: topic.into(),
                source: described.id.clone(),
                number,
            };
            found.push((partition, begin, end));
        }
    }
    Ok(found)
}

/// A client that asks, and is in no group.
fn asker(brokers: &str, properties: &BTreeMap<String, String>) -> Result<Client, SourceError> {
    let mut config = properties::plain(brokers, properties)?;
    for grouped in [
        "group.instance.id",
        "group.protocol",
        "group.remote.assignor",
    ] {
        config.remove(grouped);
    }
    Client::new(&config).map_err(properties::refused)
}

/// Asks for topics. Where there is no answer, what the client heard meanwhile says why.
fn ask_for(
    client: &Client,
    brokers: &str,
    names: &[&str],
) -> Result<Vec<topics::Described>, SourceError> {
    let found = client.describe(brokers, names);
    found.map_err(|error| match error.is_transient() {
        true => why_unanswered(client, brokers).unwrap_or(error),
        false => error,
    })
}

/// The last that a client heard of its brokers; a refusal counts most.
fn why_unanswered(client: &Client, brokers: &str) -> Option<SourceError> {
    let mut why = None;
    while let Some(happened) = client.poll() {
        let What::Failure(failure) = happened.what() else {
            continue;
        };
        let (brokers, reason) = (brokers.to_owned(), failure.text);
        if topics::is_refusal(failure.code) {
            return Some(SourceError::Refused { brokers, reason });
        }
        // That all brokers are down follows from what was said of each of them.
        if failure.code != RDKafkaErrorCode::AllBrokersDown {
            why = Some(SourceError::Unreachable { brokers, reason });
        }
    }
    why
}

pub async fn asked<T: Send + 'static>(
    ask: impl FnOnce() -> Result<T, SourceError> + Send + 'static,
) -> Result<T, SourceError> {
    match spawn_blocking(ask).await {
        Ok(answer) => answer,
        Err(error) => Err(SourceError::Thread(std::io::Error::other(error))),
    }
}

/// A failed request about a topic, in our words.
pub fn request_failed(error: &KafkaError, topic: &str, brokers: &str) -> SourceError {
    match error.rdkafka_error_code() {
        Some(code) => topics::failed(code, "", topic, brokers),
        None => SourceError::Unreachable {
            brokers: brokers.to_owned(),
            reason: error.to_string(),
        },
    }
}
