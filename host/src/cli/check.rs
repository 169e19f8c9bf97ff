//! `assay check`: whether a pipeline would start.

use std::path::PathBuf;

use anyhow::bail;

use super::common::{LakeArgs, block_on, sandbox};
use crate::cli::out::say;
use crate::medallion::rules::{Rules, Workshop};
use crate::names::RuleSetNumber;
use crate::pipeline::config::{Config, SourceConfig};
use crate::pipeline::plan::Plan;
use crate::pipeline::start::check_source;
use crate::source;

/// Check pipelines without running them: the TOML, the components, their look-ups, and whether
/// the source and the lake can be reached. Nothing stays written: an object store is tried with one
/// small object, which is removed again
#[derive(clap::Args)]
pub struct Args {
    /// Pipelines' TOMLs, or folders of them
    #[arg(required = true, value_name = "FILE or FOLDER")]
    pipelines: Vec<PathBuf>,
    #[command(flatten)]
    lake: LakeArgs,
}

/// # Errors
/// The first pipeline that can't be read; for the rest, what is wrong with how many.
pub fn run(args: Args) -> anyhow::Result<()> {
    block_on(look(args))
}

/// # Errors
/// As of [`run`].
pub(super) async fn look(args: Args) -> anyhow::Result<()> {
    let sandbox = sandbox()?;
    let mut wrong = 0;
    for config in Config::read_all(&args.pipelines)? {
        let tenant = &config.tenant;
        say!("{}: tenant {tenant}", config.path.display());
        let mut workshop = Workshop::new(sandbox.clone());
        workshop.set_host_limits(config.limits.host());
        let ready = Plan::of(&config, None)
            .await
            .map_err(anyhow::Error::from)
            .and_then(|plan| {
                let rules = workshop.prepare(RuleSetNumber(0), &plan.definition, &plan.blobs)?;
                Ok(rules)
            });
        wrong += report("rules", ready.map(|rules| describe(&rules)));
        wrong += report("source", reach(&config).await);
        wrong += report("lake", reach_lake(&args.lake, &config).await);
    }
    if wrong > 0 {
        bail!("{wrong} of these would keep the host from running");
    }
    Ok(())
}

fn report(what: &str, found: anyhow::Result<String>) -> u32 {
    match found {
        Ok(text) => {
            say!("  {what}: good{text}");
            0
        }
        Err(error) => {
            say!("  {what}: WRONG: {}", crate::told::told(error.as_ref()));
            1
        }
    }
}

fn describe(rules: &Rules) -> String {
    let mut text = String::new();
    for rule in rules
        .cleanse
        .iter()
        .chain(&rules.validate)
        .chain(&rules.enrich)
    {
        let names: Vec<&str> = rule
            .description
            .rules
            .iter()
            .map(|r| r.name.as_str())
            .collect();
        let names = if names.is_empty() {
            "no rules of its own".to_owned()
        } else {
            names.join(", ")
        };
        text.push_str(&format!("\n    {} {}: {names}", rule.step, rule.name));
    }
    for gold in &rules.gold {
        text.push_str(&format!(
            "\n    gold {} by {}",
            gold.table,
            gold.description.keys.join(", ")
        ));
    }
    for note in &rules.notes {
        text.push_str(&format!("\n    note: {note}"));
    }
    text
}

async fn reach(config: &Config) -> anyhow::Result<String> {
    match &config.source {
        SourceConfig::File { path } => {
            let path = config.resolve(path);
            if !path.exists() {
                bail!("{} does not exist", path.display());
            }
            Ok(format!(": {}", path.display()))
        }
        SourceConfig::Kafka {
            brokers,
            topics,
            properties,
            ..
        } => {
            let found = source::partitions_of(brokers, topics, properties).await?;
            let found: Vec<String> = found
                .into_iter()
                .map(|(topic, partitions)| format!("{topic} has {partitions} partitions"))
                .collect();
            Ok(format!(": {}", found.join(", ")))
        }
    }
}

async fn reach_lake(lake: &LakeArgs, config: &Config) -> anyhow::Result<String> {
    let lake = lake.of(config)?;
    check_source(&lake, config)?;
    lake.check_conditional_puts().await?;
    let table = lake
        .open_table(&format!("{}/bronze", config.tenant))
        .await?;
    Ok(match table {
        Some(table) => format!(": bronze is at version {}", table.version()),
        None => ": no tables of the tenant yet".to_owned(),
    })
}
