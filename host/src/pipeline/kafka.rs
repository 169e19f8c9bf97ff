//! As whom a pipeline reads Kafka, and with whom it shares a client.

use super::config::{Config, SourceConfig};
use crate::environment::machine;
use crate::source::{KafkaClients, KafkaOptions, KafkaSource, SourceError};

/// How a process reads Kafka.
#[derive(Clone, Default)]
pub struct Kafka {
    clients: KafkaClients,
    /// The group of pipelines that name none.
    group: Option<String>,
}

impl Kafka {
    /// No client yet. Pipelines that name no group have this one; where there is none, each has its
    /// own.
    pub fn new(group: Option<String>) -> Self {
        Self {
            clients: KafkaClients::default(),
            group,
        }
    }

    /// What a pipeline reads from Kafka. It shares a client with pipelines of the same settings and
    /// other topics.
    ///
    /// # Errors
    /// Properties that can't be, or no thread to be had.
    pub fn source(
        &self,
        config: &Config,
        until_caught_up: bool,
    ) -> Result<Option<KafkaSource>, SourceError> {
        let SourceConfig::Kafka {
            brokers,
            topics,
            group,
            properties,
            ..
        } = &config.source
        else {
            return Ok(None);
        };
        let tenant = &config.tenant;
        let options = KafkaOptions {
            brokers: brokers.clone(),
            topics: topics.clone(),
            group: group.clone().unwrap_or_else(|| format!("assay-{tenant}")),
            // By this Kafka knows the host again after a restart, so that it rejoins at once.
            instance: format!("assay-{tenant}-{}", machine()),
            properties: properties.clone(),
            until_caught_up,
        };
        if let (None, Some(group)) = (group, &self.group) {
            let shared = KafkaOptions {
                group: group.clone(),
                // Whichever of the tenants begins.
                instance: format!("assay-{}", machine()),
                ..options.clone()
            };
            if let Some(source) = self.clients.source_alone(&shared)? {
                return Ok(Some(source));
            }
            let own = &options.group;
            tracing::warn!(
                group,
                own,
                ?topics,
                "another pipeline of this host reads such a topic in its group; this one reads it in a group of its own"
            );
        } else if self.clients.is_read(&options) {
            let group = &options.group;
            tracing::warn!(
                group,
                ?topics,
                "another pipeline of this host reads such a topic in the same group, which gives each a part of its partitions; give one of them another `group` if both are to have all"
            );
        }
        self.clients.source(&options).map(Some)
    }
}
