//! A tenant's pipeline as its TOML writes it. What can be checked from the text alone is checked
//! here, with the line; what needs the components and the lake is checked where they are read.

mod batch;
mod check;
mod folder;
mod gate;
mod limits;
mod quota;
mod values;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::DateTime;
use serde::Deserialize;
use toml::Spanned;

pub use self::batch::{BatchConfig, DedupConfig};
use self::folder::tomls;
pub(super) use self::folder::tomls_in;
pub use self::gate::{GateConfig, ShadowConfig};
pub use self::limits::{BreakerConfig, LimitsConfig, Then};
pub use self::quota::{Memory, Quota, QuotaConfig};
pub use self::values::parse_duration;
use self::values::{duration, lake, properties, store_options};
use crate::medallion::decode::Unknown;
use crate::names::{Tenant, check_name};
use crate::plugin::Limits;
use crate::schema::FieldType;
use crate::trust::Trust;

/// Why a pipeline's TOML can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    #[error("{}: can't be read: {source}; give a pipeline's TOML or a folder of them", path.display())]
    Unreadable {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{}: {message}", path.display())]
    Malformed { path: PathBuf, message: String },
    #[error("{}:{line}: {problem}", path.display())]
    Wrong {
        path: PathBuf,
        line: usize,
        problem: String,
    },
    #[error("{}: no pipeline here: a pipeline is a file that ends in .toml", path.display())]
    NoPipeline { path: PathBuf },
    #[error("{} and {}: both are pipelines of tenant {tenant}; a tenant has one", first.display(), second.display())]
    SameTenant {
        tenant: Tenant,
        first: PathBuf,
        second: PathBuf,
    },
}

/// One tenant's pipeline.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `version`: of this format; 1.
    version: Spanned<u32>,
    /// `tenant`: names the folder of the tables in the lake.
    pub tenant: Tenant,
    /// `lake`: where the tables are; its URI alone, or the table `[lake]`.
    #[serde(default, deserialize_with = "lake")]
    pub lake: LakeConfig,
    /// `[source]`: where events come from.
    pub source: SourceConfig,
    /// `[event]`: what an event looks like.
    pub event: EventConfig,
    /// `[[cleanse]]`: components that repair fields, in order.
    #[serde(default)]
    pub cleanse: Vec<ComponentConfig>,
    /// `[[validate]]`: components that judge rows, in order.
    #[serde(default)]
    pub validate: Vec<ComponentConfig>,
    /// `[[enrich]]`: components that add columns, in order.
    #[serde(default)]
    pub enrich: Vec<ComponentConfig>,
    /// `[[gold]]`: the tables of sums.
    #[serde(default)]
    pub gold: Vec<GoldConfig>,
    /// `[dimension.<name>]`: tables to look things up in.
    #[serde(default)]
    pub dimension: BTreeMap<String, DimensionConfig>,
    /// `[batch]`: when a batch is cut.
    #[serde(default)]
    pub batch: BatchConfig,
    /// `[dedup]`: how much memory the index of silver's keys may take.
    #[serde(default)]
    pub dedup: DedupConfig,
    /// `[breaker]`: how many rows components may fail on before the tenant stops.
    #[serde(default)]
    pub breaker: BreakerConfig,
    /// `[shadow]`: what a rule set may use that judges beside the active one.
    #[serde(default)]
    pub shadow: ShadowConfig,
    /// `[promotion]`: what another rule set must show before it takes this one's place.
    pub promotion: Option<GateConfig>,
    /// `[rollback]`: what another that took this one's place must hold to.
    pub rollback: Option<GateConfig>,
    /// `[trust]`: who may sign components.
    #[serde(default)]
    pub trust: Trust,
    /// `[limits]`: what components may use.
    #[serde(default)]
    pub limits: LimitsConfig,
    /// `[quota]`: what the tenant may take of its host.
    #[serde(default)]
    pub quota: QuotaConfig,
    /// Where the TOML was read from; paths in it are relative to its folder.
    #[serde(skip)]
    pub path: PathBuf,
    /// What the tenant's memory is for.
    #[serde(skip)]
    memory: Memory,
    /// Where the text's lines end.
    #[serde(skip)]
    breaks: Vec<usize>,
}

/// `[lake]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LakeConfig {
    /// `uri`: the folder or URL of the tables, where the command line names none.
    pub uri: Option<String>,
    /// `fsync`: whether what is written to a local disk is forced to it before it counts as there.
    pub fsync: bool,
    /// `[lake.options]`: what an object store is told, by its own names. `${NAME}` in a value is for
    /// the environment to say, and stands here as it was written.
    #[serde(deserialize_with = "store_options")]
    pub options: BTreeMap<String, String>,
}

impl Default for LakeConfig {
    fn default() -> Self {
        Self {
            uri: None,
            fsync: true,
            options: BTreeMap::new(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum SourceConfig {
    /// `kind = "kafka"`.
    Kafka {
        /// `brokers`: host:port, comma-separated.
        brokers: String,
        /// `topics`: their names.
        topics: Vec<String>,
        /// `group`: the consumer group; `assay-<tenant>` where there is none.
        group: Option<String>,
        /// `start`: where a topic begins that the tables know nothing of: `earliest`, `latest`, or
        /// a moment as RFC 3339.
        #[serde(default)]
        start: StartConfig,
        /// `[source.properties]`: any of librdkafka's properties. `${NAME}` in a value is for
        /// the environment to say, and stands here as it was written.
        #[serde(default, deserialize_with = "properties")]
        properties: BTreeMap<String, String>,
    },
    /// `kind = "file"`.
    File {
        /// `path`: a file of one JSON event a line, or a folder of `.ndjson`, `.jsonl`, `.json`.
        path: PathBuf,
    },
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum StartConfig {
    #[default]
    Earliest,
    Latest,
    /// Microseconds since 1970.
    Time(i64),
}

impl TryFrom<String> for StartConfig {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "earliest" => Ok(Self::Earliest),
            "latest" => Ok(Self::Latest),
            _ => DateTime::parse_from_rfc3339(&text)
                .map(|moment| Self::Time(moment.timestamp_micros()))
                .map_err(|_| {
                    format!("{text:?} is no start: use earliest, latest or 2025-03-01T00:00:00Z")
                }),
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventConfig {
    /// `key`: the fields that make two events the same, within a business date.
    #[serde(default = "default_key")]
    pub key: Spanned<Vec<String>>,
    /// `time`: the timestamp field that says when it happened.
    #[serde(default = "default_time")]
    pub time: Spanned<String>,
    /// `zone`: the time zone of the business date, by its IANA name.
    #[serde(default = "default_zone")]
    pub zone: Spanned<String>,
    /// `zone_from`: a dimension's field that names the zone, row by row.
    pub zone_from: Option<Spanned<ZoneFrom>>,
    /// `explode`: the field whose array makes one row of each of its elements.
    pub explode: Option<String>,
    /// `unknown`: what becomes of fields that are not declared: `columns` or `rescue`.
    #[serde(default)]
    pub unknown: UnknownConfig,
    /// `max_columns`: how many columns bronze may grow to.
    #[serde(default = "default_max_columns")]
    pub max_columns: usize,
    /// `[event.fields]`: their types.
    pub fields: toml::map::Map<String, toml::Value>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub struct ZoneFrom {
    pub dimension: String,
    /// Key column of the dimension, and the event's field that holds it.
    pub on: BTreeMap<String, String>,
    pub field: String,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UnknownConfig {
    #[default]
    Columns,
    Rescue,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ComponentConfig {
    /// `component`: the file, relative to the TOML.
    pub component: Spanned<PathBuf>,
    /// `params`: handed to the component as JSON.
    #[serde(default)]
    pub params: toml::Table,
    /// `limits`: those in which it differs from the tenant's.
    #[serde(default)]
    pub limits: LimitsConfig,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GoldConfig {
    /// `name`: of the table.
    pub name: Spanned<String>,
    pub component: Spanned<PathBuf>,
    #[serde(default)]
    pub params: toml::Table,
    /// `limits`: those in which it differs from the tenant's.
    #[serde(default)]
    pub limits: LimitsConfig,
    /// `partition_by`: some of the component's keys.
    pub partition_by: Spanned<Vec<String>>,
    /// `every`: how often it is brought up to date.
    #[serde(default = "default_gold_every", deserialize_with = "duration")]
    pub every: Duration,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DimensionConfig {
    /// `key`: the columns that name a row.
    pub key: Vec<String>,
    /// `columns`: types of those that are not text.
    #[serde(default)]
    pub columns: BTreeMap<String, FieldType>,
    /// `file`: CSV or NDJSON, loaded at start where nothing was loaded yet; relative to the TOML.
    pub file: Option<PathBuf>,
}

fn default_key() -> Spanned<Vec<String>> {
    Spanned::new(0..0, vec!["transaction_id".to_owned()])
}

fn default_time() -> Spanned<String> {
    Spanned::new(0..0, "timestamp".to_owned())
}

fn default_zone() -> Spanned<String> {
    Spanned::new(0..0, "UTC".to_owned())
}

fn default_max_columns() -> usize {
    200
}

/// How often a gold table is brought up to date where the TOML does not say.
pub const GOLD_EVERY: Duration = Duration::from_secs(5);

fn default_gold_every() -> Duration {
    GOLD_EVERY
}

impl Config {
    /// Reads one pipeline.
    ///
    /// # Errors
    /// What is wrong, with the file and the line.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&text, path)
    }

    /// Reads every pipeline among `paths`: files, and the `.toml` files in folders.
    ///
    /// # Errors
    /// The first file that can't be used, or two of one tenant.
    pub fn read_all(paths: &[PathBuf]) -> Result<Vec<Self>, ConfigError> {
        let mut configs: Vec<Self> = Vec::new();
        for path in paths {
            for file in tomls(path)? {
                let config = Self::read(&file)?;
                if let Some(first) = configs.iter().find(|c| c.tenant == config.tenant) {
                    return Err(ConfigError::SameTenant {
                        tenant: config.tenant,
                        first: first.path.clone(),
                        second: file,
                    });
                }
                configs.push(config);
            }
        }
        Ok(configs)
    }

    /// Reads one that is called `path` and may not be there.
    pub(super) fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let mut config: Self = toml::from_str(text).map_err(|error| ConfigError::Malformed {
            path: path.to_owned(),
            message: told(&error, text),
        })?;
        config.path = path.to_owned();
        let bytes = text.bytes().enumerate();
        config.breaks = bytes
            .filter_map(|(at, byte)| (byte == b'\n').then_some(at))
            .collect();
        let checked = config.check();
        config.memory = checked.map_err(|(at, problem)| ConfigError::Wrong {
            path: path.to_owned(),
            line: config.line(at),
            problem,
        })?;
        Ok(config)
    }

    /// What the tenant's memory is for.
    pub fn memory(&self) -> Memory {
        self.memory
    }

    /// The line of the TOML that a place in its text is on.
    pub fn line(&self, at: usize) -> usize {
        1 + self.breaks.iter().take_while(|end| **end < at).count()
    }

    /// A path that the TOML names, as seen from here.
    pub fn resolve(&self, path: &Path) -> PathBuf {
        self.path.parent().unwrap_or(Path::new("")).join(path)
    }

    /// The components that the TOML names, as it names them.
    pub fn components(&self) -> impl Iterator<Item = &Path> {
        let steps = [&self.cleanse, &self.validate, &self.enrich];
        let steps = steps.into_iter().flatten().map(|used| &used.component);
        let gold = self.gold.iter().map(|gold| &gold.component);
        steps.chain(gold).map(|path| path.get_ref().as_path())
    }

    /// What a call of a component may use here: its own limits, where the TOML names this very file,
    /// over the tenant's.
    pub fn limits_of(&self, component: &Path) -> Limits {
        let usual = self.limits.over(&Limits::default());
        let steps = [&self.cleanse, &self.validate, &self.enrich];
        let steps = steps.into_iter().flatten();
        let steps = steps.map(|used| (&used.component, &used.limits));
        let gold = self.gold.iter().map(|gold| (&gold.component, &gold.limits));
        let file = component.canonicalize().ok();
        let is_this =
            |named: &Path| file.is_some() && self.resolve(named).canonicalize().ok() == file;
        let own = steps
            .chain(gold)
            .find(|(named, _)| is_this(named.get_ref()));
        Limits {
            deadline: self.limits.host().deadline,
            ..own.map_or(usual.clone(), |(_, limits)| limits.over(&usual))
        }
    }

    /// The same as [`Self::components`], to be read from elsewhere.
    pub(super) fn components_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let steps = [&mut self.cleanse, &mut self.validate, &mut self.enrich];
        let steps = steps.into_iter().flatten().map(|used| &mut used.component);
        let gold = self.gold.iter_mut().map(|gold| &mut gold.component);
        steps.chain(gold).map(Spanned::get_mut)
    }

    /// Whether all is the same that is no part of a rule set and counts from a host's start on.
    pub fn runs_like(&self, other: &Self) -> bool {
        let every = |config: &Self| -> BTreeMap<String, Duration> {
            let gold = config.gold.iter();
            gold.map(|gold| (gold.name.get_ref().clone(), gold.every))
                .collect()
        };
        self.lake == other.lake
            && self.source == other.source
            && self.batch == other.batch
            && self.memory == other.memory
            && self.trust == other.trust
            && self.shadow.cpu.get_ref() == other.shadow.cpu.get_ref()
            && every(self) == every(other)
    }

    pub fn fields(&self) -> impl Iterator<Item = (&str, FieldType)> {
        self.event.fields.iter().filter_map(|(name, field_type)| {
            let field_type = field_type.as_str()?.parse().ok()?;
            Some((name.as_str(), field_type))
        })
    }

    pub fn unknown(&self) -> Unknown {
        match self.event.unknown {
            UnknownConfig::Columns => Unknown::Columns {
                max: self.event.max_columns,
            },
            UnknownConfig::Rescue => Unknown::Rescue,
        }
    }
}

/// What is wrong with the text, and the line; the number alone of one that may hold a secret.
fn told(error: &toml::de::Error, text: &str) -> String {
    let number = line_of(text, error.span().map_or(0, |span| span.start));
    let line = text.lines().nth(number - 1).unwrap_or_default();
    let before = text.lines().take(number).map(str::trim);
    let section = before.filter(|line| line.starts_with('[')).last();
    let section = section.unwrap_or_default();
    let options = ["[lake.options]", "[source.properties]"];
    let telling = ["password", "secret", "options", "properties"];
    match options.contains(&section) || telling.iter().any(|word| line.contains(word)) {
        true => format!("line {number}: {}", error.message()),
        false => error.to_string().trim_end().to_owned(),
    }
}

fn line_of(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count()
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
