//! What librdkafka is told: the operator's properties, our own where they must hold, and defaults.

use std::collections::BTreeMap;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;

use super::super::SourceError;
use super::Settings;
use crate::environment;

/// Properties that exactly-once stands on, with the reason that an operator who sets another value
/// is told.
const HELD: [(&str, &str, &str); 5] = [
    (
        "auto.offset.reset",
        "error",
        "an offset that is gone must stop the partition, not skip records",
    ),
    (
        "enable.auto.commit",
        "false",
        "progress is kept in the tables",
    ),
    (
        "enable.auto.offset.store",
        "false",
        "progress is kept in the tables",
    ),
    (
        "enable.partition.eof",
        "true",
        "it tells when a partition is read to its end",
    ),
    (
        "allow.auto.create.topics",
        "false",
        "a typo in `topics` must not make a topic",
    ),
];

/// Properties that other settings of the TOML stand for, and those settings.
const ELSEWHERE: [(&str, &str); 3] = [
    ("bootstrap.servers", "brokers"),
    ("metadata.broker.list", "brokers"),
    ("group.id", "group"),
];

/// What is set for any client where the operator sets nothing.
const DEFAULTS: [(&str, &str); 2] = [("client.id", "assay"), ("socket.keepalive.enable", "true")];

/// How much of a partition one answer holds, and the name that librdkafka knows this by as well.
const ANSWER_OF_PARTITION: &str = "fetch.message.max.bytes";
const ANSWER_OF_PARTITION_TOO: &str = "max.partition.fetch.bytes";

/// What is set for a group member where the operator sets nothing.
const MEMBER_DEFAULTS: [(&str, &str); 6] = [
    // A queue that was full is filled again at once, or the rate goes up and down like a saw.
    ("fetch.queue.backoff.ms", "20"),
    // A broker answers one request of a connection after the other: the question for the topic's id
    // before each batch waits behind a fetch that waits for messages.
    ("fetch.wait.max.ms", "50"),
    // What waits inside the client, in KiB of payload and in messages: a batch's worth. What the client
    // keeps beside each message takes as much again.
    ("queued.max.messages.kbytes", "4096"),
    ("queued.min.messages", "32768"),
    // One answer of a broker comes on top of that: so many bytes of each partition, and in all as many as
    // the queue holds, which librdkafka sees to (it must not be said here, or a larger `message.max.bytes`
    // would be refused). Both count what goes over the wire, and sales that were packed with zstd are
    // nine times as large once they are here. A larger message comes all the same, alone.
    (ANSWER_OF_PARTITION, "262144"),
    // How soon new partitions of a known topic are seen.
    ("topic.metadata.refresh.interval.ms", "60000"),
];

/// A client's configuration without what only group members have. Each `${NAME}` in a property is
/// replaced by what the environment says, here and nowhere else, so that secrets go no further.
///
/// # Errors
/// `Property`: one that librdkafka does not know, that must not be set here, or that names what the
/// environment has not.
pub fn plain(
    brokers: &str,
    properties: &BTreeMap<String, String>,
) -> Result<ClientConfig, SourceError> {
    for (name, value) in properties {
        let refused = |reason: String| SourceError::Property {
            name: name.clone(),
            reason,
        };
        if let Some((_, setting)) = ELSEWHERE.iter().find(|(held, _)| held == name) {
            return Err(refused(format!("set `{setting}` in [source] instead")));
        }
        let held = HELD
            .iter()
            .find(|(held, needed, _)| held == name && needed != value);
        if let Some((_, needed, reason)) = held {
            return Err(refused(format!(
                "it must be {needed:?}: {reason}; remove the line"
            )));
        }
    }
    let mut config = ClientConfig::new();
    for (name, value) in DEFAULTS {
        config.set(name, value);
    }
    for (name, value) in properties {
        let value = environment::expanded(value).map_err(|reason| SourceError::Property {
            name: name.clone(),
            reason,
        })?;
        config.set(name, value);
    }
    config.set("bootstrap.servers", brokers);
    // What librdkafka says below this level goes nowhere; above it, our own log decides.
    let debug = properties.contains_key("debug");
    config.set_log_level(if debug {
        RDKafkaLogLevel::Debug
    } else {
        RDKafkaLogLevel::Info
    });
    check(&config)?;
    Ok(config)
}

/// A group member's configuration.
///
/// # Errors
/// As [`plain`].
pub fn member(settings: &Settings) -> Result<ClientConfig, SourceError> {
    let mut config = plain(&settings.brokers, &settings.properties)?;
    let is_said = |name| settings.properties.contains_key(name);
    for (name, value) in MEMBER_DEFAULTS {
        let by_its_other_name = name == ANSWER_OF_PARTITION && is_said(ANSWER_OF_PARTITION_TOO);
        if !is_said(name) && !by_its_other_name {
            config.set(name, value);
        }
    }
    for (name, value, _) in HELD {
        config.set(name, value);
    }
    config.set("group.id", &settings.group);
    let protocol = settings
        .properties
        .get("group.protocol")
        .map(String::as_str);
    // A group of the protocol `consumer` turns a member of a known name away until the session of
    // the one before it has ended, for good as librdkafka takes it: after a kill the host would
    // start in vain. There, members without a name leave at once and come back at once.
    if protocol != Some("consumer") && !settings.properties.contains_key("group.instance.id") {
        config.set("group.instance.id", &settings.instance);
    }
    let strategy = settings
        .properties
        .contains_key("partition.assignment.strategy");
    if protocol != Some("consumer") && !strategy {
        // A host that comes or goes moves no more partitions than it must.
        config.set("partition.assignment.strategy", "cooperative-sticky");
    }
    check(&config)?;
    Ok(config)
}

fn check(config: &ClientConfig) -> Result<(), SourceError> {
    config.create_native_config().map(drop).map_err(refused)
}

/// What librdkafka's refusal of a property, or of all together, means to us. A value that it quotes
/// is left out: what should be a protocol's name may be a password in the wrong line.
pub fn refused(error: KafkaError) -> SourceError {
    match error {
        KafkaError::ClientConfig(_, reason, name, value) => SourceError::Property {
            name,
            reason: match value.is_empty() {
                true => reason,
                false => reason.replace(&format!("\"{value}\" "), ""),
            }
            .trim_end_matches('.')
            .to_owned(),
        },
        other => SourceError::Properties {
            reason: other.to_string(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(name: &str, value: &str) -> Settings {
        Settings {
            brokers: "localhost:9092".to_owned(),
            group: "assay".to_owned(),
            instance: "one".to_owned(),
            properties: [(name.to_owned(), value.to_owned())].into(),
            until_caught_up: false,
        }
    }

    #[test]
    fn a_property_that_exactly_once_stands_on_cannot_be_changed() {
        let error = member(&options("auto.offset.reset", "latest")).unwrap_err();
        assert!(
            error.to_string().contains("must stop the partition"),
            "{error}"
        );
        assert!(member(&options("auto.offset.reset", "error")).is_ok());
        let error = member(&options("group.id", "other")).unwrap_err();
        assert!(error.to_string().contains("`group`"), "{error}");
    }

    #[test]
    fn a_property_that_there_is_not_is_named() {
        let error = member(&options("fetch.min.byte", "1")).unwrap_err();
        assert!(error.to_string().contains("fetch.min.byte"), "{error}");
        let error = member(&options("session.timeout.ms", "soon")).unwrap_err();
        assert!(error.to_string().contains("session.timeout.ms"), "{error}");
    }

    #[test]
    fn a_value_that_is_refused_is_not_repeated() {
        for name in ["sasl.pasword", "security.protocol", "session.timeout.ms"] {
            let error = member(&options(name, "s3cret")).unwrap_err().to_string();
            assert!(error.contains(name) && !error.contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn any_other_property_passes_through() {
        let config = member(&options("group.instance.id", "till-7")).unwrap();
        assert_eq!(config.get("group.instance.id"), Some("till-7"));
        let config = member(&options("group.protocol", "consumer")).unwrap();
        assert_eq!(config.get("partition.assignment.strategy"), None);
        assert_eq!(config.get("group.instance.id"), None);
        let config = member(&options("client.id", "till")).unwrap();
        assert_eq!(config.get("group.instance.id"), Some("one"));
    }

    #[test]
    fn a_bound_on_what_comes_at_once_gives_way_to_the_operators_own_by_either_name() {
        let bound = |name: &str| {
            let config = member(&options(name, "1048576")).unwrap();
            let own = config.get(ANSWER_OF_PARTITION).map(str::to_owned);
            (own, config.get(ANSWER_OF_PARTITION_TOO).is_some())
        };
        let said = Some("1048576".to_owned());
        assert_eq!(bound("client.id"), (Some("262144".to_owned()), false));
        assert_eq!(bound(ANSWER_OF_PARTITION), (said, false));
        assert_eq!(bound(ANSWER_OF_PARTITION_TOO), (None, true));
        assert!(member(&options("message.max.bytes", "20000000")).is_ok());
    }
}
