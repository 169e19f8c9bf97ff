//! What happens before a tenant's loop runs: the TOML becomes the active rule set, if it is another
//! than at the last start, and the tables are opened.

use std::path::Path;
use std::sync::Arc;

use super::change::{ChangeError, Changes, now, user};
use super::config::{Config, SourceConfig};
use super::meter::Meter;
use super::plan::{Plan, PlanError, dimension_rows};
use super::tenant::{TenantError, TenantLayers};
use crate::lake::{Lake, LakeError};
use crate::medallion::parquet_blob;
use crate::names::RuleSetNumber;
use crate::plugin::Sandbox;
use crate::ruleset::{Cause, RuleSet, RuleSetError, Who};

/// Why a tenant could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    #[error(transparent)]
    Lake(#[from] LakeError),
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error(transparent)]
    RuleSet(#[from] RuleSetError),
    #[error(transparent)]
    Change(#[from] ChangeError),
    #[error(transparent)]
    Tenant(#[from] TenantError),
    #[error(
        "{pipeline} has its source in the lake, at {path}: what lies there are tables, also those of other tenants; have events lie elsewhere"
    )]
    SourceInLake { pipeline: String, path: String },
    #[error("{pipeline} has no dimension {name}; it has {known}")]
    NoDimension {
        pipeline: String,
        name: String,
        known: String,
    },
}

/// Holds a source of files to lie outside of the lake.
///
/// # Errors
/// `SourceInLake`.
pub fn check_source(lake: &Lake, config: &Config) -> Result<(), StartError> {
    let (SourceConfig::File { path }, Some(folder)) = (&config.source, lake.folder()) else {
        return Ok(());
    };
    let path = config.resolve(path);
    // Links count as what they lead to.
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    if !real(&path).starts_with(real(&folder)) {
        return Ok(());
    }
    Err(StartError::SourceInLake {
        pipeline: config.path.display().to_string(),
        path: path.display().to_string(),
    })
}

/// Makes what the TOML says the active rule set, where it differs from what it said at the last
/// start, and opens the tables.
///
/// # Errors
/// A TOML, component or dimension that does not fit, or a lake that can't be used.
pub async fn start(
    lake: &Lake,
    config: &Config,
    sandbox: Arc<Sandbox>,
    meter: Arc<Meter>,
) -> Result<TenantLayers, StartError> {
    check_source(lake, config)?;
    lake.check_conditional_puts().await?;
    let mut changes = Changes::open(lake, &config.tenant, sandbox).await?;
    changes.registry.set_host_limits(config.limits.host());
    changes.registry.set_trust(config.trust.clone());
    while !take_toml_up(&mut changes, config).await? {}
    if let Some(number) = changes.registry.active() {
        tracing::info!(ruleset = number.0, "rule set is active");
    }
    Ok(TenantLayers::open(lake, config, changes.registry, meter).await?)
}

/// A start must not undo what was promoted or rolled back meanwhile, nor promote what only waits
/// for it: the TOML counts where it says something that it did not say at the last start.
/// False: another changed the rules meanwhile; look again.
async fn take_toml_up(changes: &mut Changes, config: &Config) -> Result<bool, StartError> {
    let path = config.path.display();
    let who = Who {
        by: user(),
        why: format!("{path} as it was at start"),
    };
    let registry = &mut changes.registry;
    let plan = Plan::of(config, registry.active_definition()).await?;
    let is_like =
        |other: Option<&_>| other.is_some_and(|other| plan.definition.has_rules_of(other));
    let as_before = is_like(registry.toml());
    let as_active = is_like(registry.active_definition());
    if let Some(active) = registry.active() {
        if registry.active_definition() == Some(&plan.definition) {
            if !as_before {
                registry.note_toml(active, &who, now()).await?;
            }
            return Ok(true);
        }
        let waits = |set: &&RuleSet| registry.state(set).waits() && is_like(Some(&*set.definition));
        let staged = registry.sets().rev().find(waits).map(|set| set.number);
        if as_before && !as_active && staged.is_none() {
            tracing::warn!(
                ruleset = active.0,
                "{path} says what it said at the last start, but rule set {active} was activated since and goes on judging; to have the TOML judge: assay rules stage {0}, then assay rules promote {0}",
                config.tenant
            );
            return Ok(true);
        }
        if let Some(number) = staged
            && !as_active
        {
            if !as_before {
                registry.note_toml(number, &who, now()).await?;
            }
            tracing::warn!(
                ruleset = active.0,
                "{path} is staged as rule set {number} and not promoted; rule set {active} goes on judging until: assay rules promote {} {number}",
                config.tenant
            );
            return Ok(true);
        }
    }
    let gated = registry.active_definition();
    if gated.is_some_and(|active| active.promotion.is_some()) && !as_active {
        return stage_toml(changes, config, &who).await;
    }
    let number = changes.activate(&plan, Cause::Toml, &who).await?;
    Ok(number.is_some())
}

/// Has a TOML wait for its promotion, as the active set asks for.
async fn stage_toml(changes: &mut Changes, config: &Config, who: &Who) -> Result<bool, StartError> {
    let number = changes.stage(config, who).await?.number;
    changes.registry.note_toml(number, who, now()).await?;
    let active = changes.registry.active().unwrap_or(number);
    tracing::warn!(
        ruleset = active.0,
        "{1} says other rules, and rule set {active} has them show first what they do ([promotion]), so they are staged as {number}: assay rules shadow {0} {number}, then assay rules promote {0} {number}",
        config.tenant,
        config.path.display()
    );
    Ok(true)
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
    let mut changes = Changes::open(lake, &config.tenant, sandbox).await?;
    changes.registry.set_host_limits(config.limits.host());
    changes.registry.set_trust(config.trust.clone());
    let who = Who {
        by: user(),
        why: format!("dimension {name} loaded from {}", file.display()),
    };
    loop {
        let active = changes.registry.active_definition();
        // Rules are the business of those who change rules: a dimension's load changes nothing
        // else, unless there are none yet that know the dimension.
        let held = active.filter(|active| active.dimensions.contains_key(name));
        let (mut plan, cause) = match held {
            Some(held) => (Plan::unchanged(held), Cause::Dimension),
            None => (Plan::of(config, active).await?, Cause::Toml),
        };
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
        let rows = parquet_blob::read(&bytes)
            .map(|rows| rows.num_rows())
            .unwrap_or_default();
        plan.blobs.insert(digest, bytes);
        if let Some(number) = changes.registry.active()
            && changes.registry.definition(number) == Some(&plan.definition)
        {
            return Ok((number, rows));
        }
        if let Some(number) = changes.activate(&plan, cause, &who).await? {
            return Ok((number, rows));
        }
    }
}
