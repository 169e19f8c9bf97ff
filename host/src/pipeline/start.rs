//! What happens before a tenant's loop runs: the TOML becomes the active rule set, and dimensions
//! become tables that analysts can read.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;

use super::config::Config;
use super::meter::Meter;
use super::plan::{Plan, PlanError, dimension_rows};
use super::tenant::{TenantError, TenantLayers};
use crate::lake::{Commit, Lake, TableSpec};
use crate::medallion::definition::Definition;
use crate::medallion::layer::{LayerError, Put, commit_of, evolved, put};
use crate::medallion::parquet_blob;
use crate::names::{RuleSetNumber, Tenant};
use crate::plugin::Sandbox;
use crate::ruleset::{Registry, RuleSetError, Who};

/// Why a tenant could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error(transparent)]
    RuleSet(#[from] RuleSetError),
    #[error(transparent)]
    Tenant(#[from] TenantError),
    #[error(transparent)]
    Layer(#[from] LayerError),
    #[error("{pipeline} has no dimension {name}; it has {known}")]
    NoDimension {
        pipeline: String,
        name: String,
        known: String,
    },
}

/// Makes what the TOML says the active rule set, where it differs, and opens the tables.
///
/// # Errors
/// A TOML, component or dimension that does not fit, or a lake that can't be used.
pub async fn start(
    lake: &Lake,
    config: &Config,
    sandbox: Arc<Sandbox>,
    meter: Arc<Meter>,
) -> Result<TenantLayers, StartError> {
    let mut registry = Registry::open(lake, &config.tenant, sandbox).await?;
    let plan = Plan::of(config, active(&registry))?;
    let why = format!("{} as it was at start", config.path.display());
    let number = activate(lake, config, &mut registry, &plan, &why).await?;
    tracing::info!(ruleset = number.0, "rule set is active");
    Ok(TenantLayers::open(lake, config, registry, meter).await?)
}

/// Loads a dimension from a file and activates the rule set that has it. A running host takes it
/// up with its next batch. Answers with the rule set's number and how many rows there are.
///
/// # Errors
/// Rows that do not fit, with the line, or a lake that can't be used.
pub async fn load_dimension(
    lake: &Lake,
    config: &Config,
    name: &str,
    file: &Path,
    sandbox: Arc<Sandbox>,
) -> Result<(RuleSetNumber, usize), StartError> {
    let mut registry = Registry::open(lake, &config.tenant, sandbox).await?;
    let mut plan = Plan::of(config, active(&registry))?;
    // Rules are the business of those who change rules: a dimension's load changes nothing else.
    if let Some(held) = active(&registry)
        && held.dimensions.contains_key(name)
    {
        plan.definition = held.clone();
    }
    let Some(dimension) = plan.definition.dimensions.get_mut(name) else {
        let known: Vec<&str> = config.dimension.keys().map(String::as_str).collect();
        return Err(StartError::NoDimension {
            pipeline: config.path.display().to_string(),
            name: name.to_owned(),
            known: known.join(", "),
        });
    };
    let (digest, bytes) = dimension_rows(dimension, name, file)?;
    dimension.rows = Some(digest);
    for wanted in plan.definition.blobs() {
        if !plan.blobs.contains_key(&wanted) && wanted != digest {
            plan.blobs.insert(wanted, registry.blob(wanted).await?);
        }
    }
    let rows = parquet_blob::read(&bytes)
        .map(|rows| rows.num_rows())
        .unwrap_or_default();
    plan.blobs.insert(digest, bytes);
    let why = format!("dimension {name} loaded from {}", file.display());
    let number = activate(lake, config, &mut registry, &plan, &why).await?;
    Ok((number, rows))
}

fn active(registry: &Registry) -> Option<&Definition> {
    registry
        .active()
        .and_then(|number| registry.definition(number))
}

async fn activate(
    lake: &Lake,
    config: &Config,
    registry: &mut Registry,
    plan: &Plan,
    why: &str,
) -> Result<RuleSetNumber, StartError> {
    let tenant = &config.tenant;
    let before = active(registry).cloned();
    if before.as_ref() == Some(&plan.definition)
        && let Some(number) = registry.active()
    {
        return Ok(number);
    }
    let mut blobs = plan.blobs.clone();
    for wanted in plan.definition.blobs() {
        if let std::collections::btree_map::Entry::Vacant(e) = blobs.entry(wanted) {
            e.insert(registry.blob(wanted).await?);
        }
    }
    registry.check(&plan.definition, &blobs)?;
    for bytes in plan.blobs.values() {
        registry.put_blob(bytes.clone()).await?;
    }
    let who = Who {
        by: user(),
        why: why.to_owned(),
    };
    let at = chrono::Utc::now().timestamp_micros();
    let number = registry.activate(&plan.definition, &who, at).await?;
    for (name, dimension) in &plan.definition.dimensions {
        let held = before
            .as_ref()
            .and_then(|before| before.dimensions.get(name));
        let changed = held.and_then(|held| held.rows) != dimension.rows;
        let bytes = dimension
            .rows
            .and_then(|digest| blobs.get(&digest))
            .filter(|_| changed);
        if let Some(bytes) = bytes {
            let rows = parquet_blob::read(bytes).map_err(|source| PlanError::Blob {
                name: name.clone(),
                source,
            })?;
            publish(lake, tenant, name, &rows).await?;
        }
    }
    Ok(number)
}

/// Who runs this, for the history.
pub fn user() -> String {
    let name = ["SUDO_USER", "USER", "LOGNAME"]
        .iter()
        .find_map(|name| std::env::var(name).ok());
    name.unwrap_or_else(|| "unknown".to_owned())
}

/// Replaces the rows of a dimension's table. Readers use it; rules read the blob.
async fn publish(
    lake: &Lake,
    tenant: &Tenant,
    name: &str,
    rows: &RecordBatch,
) -> Result<(), LayerError> {
    let spec = TableSpec {
        schema: rows.schema(),
        partition_by: Vec::new(),
        description: format!("Dimension {name} as it was loaded last"),
        properties: BTreeMap::new(),
    };
    let mut table = lake
        .create_table(&format!("{tenant}/dimension/{name}"), &spec)
        .await?;
    loop {
        table.refresh().await?;
        let schema = evolved(&table, &rows.schema())?;
        let held = schema.as_ref().unwrap_or(table.schema()).clone();
        let commit = Commit {
            adds: table.writer().with_schema(held).write(rows).await?,
            removes: table.files().cloned().collect(),
            schema,
            watched: vec![BTreeMap::new()],
            ..commit_of("WRITE")
        };
        if let Put::Done = put(&mut table, &commit).await? {
            return Ok(());
        }
    }
}
