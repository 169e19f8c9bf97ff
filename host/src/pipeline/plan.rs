//! From what the TOML says to a rule set's definition and the bytes that it names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use toml::Spanned;

use super::config::{ComponentConfig, Config, ConfigError, GateConfig, LimitsConfig};
use crate::medallion::decode::Unknown;
use crate::medallion::definition::{Definition, DimensionUse, GoldUse, RuleUse, ZoneLookUp};
use crate::medallion::dimension::{DimensionError, read_file};
use crate::medallion::parquet_blob;
use crate::names::Digest;
use crate::oci::{OciError, Reference, in_registry, pull_pinned};
use crate::plugin::Limits;
use crate::schema::NamedType;
use crate::trust::{Distrust, KeyError, Signature, Signatures};

/// Why a TOML makes no rule set.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("{}:{line}: component {} can't be read: {source}; build it with `assay plugin build`, or mend the path", toml.display(), component.display())]
    Component {
        toml: PathBuf,
        line: usize,
        component: PathBuf,
        source: std::io::Error,
    },
    #[error("{}:{line}: component {} has {bytes} bytes; [limits] component allows {allowed}", toml.display(), component.display())]
    TooLarge {
        toml: PathBuf,
        line: usize,
        component: PathBuf,
        bytes: u64,
        allowed: u64,
    },
    #[error("{}:{line}: component {}: {source}", toml.display(), component.display())]
    Distrusted {
        toml: PathBuf,
        line: usize,
        component: PathBuf,
        source: Distrust,
    },
    #[error("{}:{line}: {problem}", toml.display())]
    Signatures {
        toml: PathBuf,
        line: usize,
        problem: String,
    },
    #[error("{}:{line}: {source}", toml.display())]
    Registry {
        toml: PathBuf,
        line: usize,
        source: Box<OciError>,
    },
    #[error(transparent)]
    Dimension(#[from] DimensionError),
    #[error("dimension {name}: its rows can't be kept: {source}")]
    Blob {
        name: String,
        source: parquet::errors::ParquetError,
    },
}

/// A definition with the bytes of its blobs.
pub struct Plan {
    pub definition: Definition,
    pub blobs: BTreeMap<Digest, Bytes>,
}

impl Plan {
    /// What a rule set is, to be changed; its blobs are in the lake.
    pub fn unchanged(definition: &Definition) -> Self {
        Self {
            definition: definition.clone(),
            blobs: BTreeMap::new(),
        }
    }

    /// What the TOML says. Dimensions keep the rows that `active` has for them; one that was never
    /// loaded takes its `file`, where the TOML names one.
    ///
    /// # Errors
    /// A component or dimension file that can't be read, or a registry that does not give a component.
    pub async fn of(config: &Config, active: Option<&Definition>) -> Result<Self, PlanError> {
        let mut blobs = BTreeMap::new();
        let cleanse = rule_uses(config, &config.cleanse, &mut blobs).await?;
        let validate = rule_uses(config, &config.validate, &mut blobs).await?;
        let enrich = rule_uses(config, &config.enrich, &mut blobs).await?;
        let mut gold = Vec::new();
        for table in &config.gold {
            gold.push(GoldUse {
                table: table.name.get_ref().clone(),
                partition_by: table.partition_by.get_ref().clone(),
                rule: rule_use(
                    config,
                    &table.component,
                    &table.params,
                    &table.limits,
                    &mut blobs,
                )
                .await?,
            });
        }
        let dimensions = dimensions(config, active, &mut blobs)?;
        let event = &config.event;
        let definition = Definition {
            fields: config
                .fields()
                .map(|(name, field_type)| NamedType {
                    name: name.to_owned(),
                    field_type,
                })
                .collect(),
            explode: event.explode.clone(),
            max_columns: match config.unknown() {
                Unknown::Columns { max } => Some(max),
                Unknown::Rescue => None,
            },
            key: event.key.get_ref().clone(),
            time: event.time.get_ref().clone(),
            zone: event.zone.get_ref().clone(),
            zone_from: event.zone_from.as_ref().map(|from| {
                let from = from.get_ref();
                let on = from.on.iter();
                ZoneLookUp {
                    dimension: from.dimension.clone(),
                    on: on
                        .map(|(key, field)| (field.clone(), key.clone()))
                        .collect(),
                    field: from.field.clone(),
                }
            }),
            cleanse,
            validate,
            enrich,
            gold,
            dimensions,
            promotion: config.promotion.as_ref().map(GateConfig::gate),
            rollback: config.rollback.as_ref().map(GateConfig::gate),
        };
        Ok(Self { definition, blobs })
    }
}

async fn rule_uses(
    config: &Config,
    uses: &[ComponentConfig],
    blobs: &mut BTreeMap<Digest, Bytes>,
) -> Result<Vec<RuleUse>, PlanError> {
    let mut rules = Vec::with_capacity(uses.len());
    for used in uses {
        let (component, params, limits) = (&used.component, &used.params, &used.limits);
        rules.push(rule_use(config, component, params, limits, blobs).await?);
    }
    Ok(rules)
}

async fn rule_use(
    config: &Config,
    component: &Spanned<PathBuf>,
    params: &toml::Table,
    limits: &LimitsConfig,
    blobs: &mut BTreeMap<Digest, Bytes>,
) -> Result<RuleUse, PlanError> {
    let line = config.line(component.span().start);
    let found = match in_registry(component.get_ref()) {
        Some(reference) => pulled(config, reference, line).await?,
        None => read(config, component.get_ref(), line)?,
    };
    let digest = Digest::of(&found.bytes);
    let signature = signature(config, digest, &found, line)?;
    blobs.insert(digest, found.bytes);
    Ok(RuleUse {
        name: found.name,
        component: digest,
        signature,
        params: json(&toml::Value::Table(params.clone())),
        limits: limits.over(&config.limits.over(&Limits::default())),
    })
}

/// A component, with the signatures that came with it.
struct Found {
    /// What rules are called by it.
    name: String,
    /// Where it is from.
    path: PathBuf,
    bytes: Bytes,
    signatures: Result<Signatures, KeyError>,
}

async fn pulled(config: &Config, reference: &str, line: usize) -> Result<Found, PlanError> {
    let failed = |source| PlanError::Registry {
        toml: config.path.clone(),
        line,
        source: Box::new(source),
    };
    let named: Reference = reference.parse().map_err(failed)?;
    let pulled = pull_pinned(reference, config.limits.component()).await;
    let pulled = pulled.map_err(failed)?;
    Ok(Found {
        name: named.name().to_owned(),
        path: reference.into(),
        bytes: pulled.component,
        signatures: Ok(pulled.signatures),
    })
}

fn read(config: &Config, component: &Path, line: usize) -> Result<Found, PlanError> {
    let path = config.resolve(component);
    let unreadable = |source| PlanError::Component {
        toml: config.path.clone(),
        line,
        component: path.clone(),
        source,
    };
    let (bytes, allowed) = (
        std::fs::metadata(&path).map_err(unreadable)?.len(),
        config.limits.component(),
    );
    if bytes > allowed {
        return Err(PlanError::TooLarge {
            toml: config.path.clone(),
            line,
            component: path,
            bytes,
            allowed,
        });
    }
    let name = component.file_stem().unwrap_or_default();
    Ok(Found {
        name: name.to_string_lossy().into_owned(),
        bytes: std::fs::read(&path).map_err(unreadable)?.into(),
        signatures: Signatures::beside(&path),
        path,
    })
}

/// The signature for which a component is trusted. Where none is asked for, one that is no good is as
/// if it were not there.
fn signature(
    config: &Config,
    component: Digest,
    found: &Found,
    line: usize,
) -> Result<Option<Signature>, PlanError> {
    let (trust, none) = (&config.trust, Signatures::default());
    let toml = || config.path.clone();
    let signatures = match &found.signatures {
        Ok(signatures) => signatures,
        Err(_) if trust.is_open() => &none,
        Err(error) => {
            return Err(PlanError::Signatures {
                toml: toml(),
                line,
                problem: error.to_string(),
            });
        }
    };
    let judged = trust.judge(component, signatures);
    let judged = judged.map_err(|source| PlanError::Distrusted {
        toml: toml(),
        line,
        component: found.path.clone(),
        source,
    });
    judged.map(|signature| signature.cloned())
}

fn dimensions(
    config: &Config,
    active: Option<&Definition>,
    blobs: &mut BTreeMap<Digest, Bytes>,
) -> Result<BTreeMap<String, DimensionUse>, PlanError> {
    let mut dimensions = BTreeMap::new();
    for (name, dimension) in &config.dimension {
        let held = active.and_then(|active| active.dimensions.get(name));
        let mut used = DimensionUse {
            key: dimension.key.clone(),
            columns: dimension.columns.clone(),
            rows: held.and_then(|held| held.rows),
        };
        if let (None, Some(file)) = (used.rows, &dimension.file) {
            let (digest, bytes) = dimension_rows(&used, name, &config.resolve(file))?;
            blobs.insert(digest, bytes);
            used.rows = Some(digest);
        }
        dimensions.insert(name.clone(), used);
    }
    Ok(dimensions)
}

/// Reads a dimension's file as the bytes of a blob.
///
/// # Errors
/// Rows that do not fit the dimension, with the line.
pub fn dimension_rows(
    dimension: &DimensionUse,
    name: &str,
    file: &Path,
) -> Result<(Digest, Bytes), PlanError> {
    let rows = read_file(&dimension.spec(name), file)?;
    let bytes = parquet_blob::write(&rows).map_err(|source| PlanError::Blob {
        name: name.to_owned(),
        source,
    })?;
    Ok((Digest::of(&bytes), bytes))
}

/// Params as JSON: what TOML has and JSON has not (moments) becomes text.
fn json(value: &toml::Value) -> serde_json::Value {
    use serde_json::Value;
    match value {
        toml::Value::String(text) => Value::from(text.as_str()),
        toml::Value::Integer(number) => Value::from(*number),
        toml::Value::Float(number) => Value::from(*number),
        toml::Value::Boolean(truth) => Value::from(*truth),
        toml::Value::Datetime(moment) => Value::from(moment.to_string()),
        toml::Value::Array(values) => values.iter().map(json).collect(),
        toml::Value::Table(table) => {
            let pairs = table.iter().map(|(key, value)| (key.clone(), json(value)));
            Value::Object(pairs.collect())
        }
    }
}
