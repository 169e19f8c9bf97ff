//! `assay source`: where the tables stand in their source, and what to do when it changed.

use anyhow::{Context as _, bail};
use clap::Subcommand;

use super::common::{LakeArgs, PipelineArgs, block_on};
use crate::cli::out::say;
use crate::control::audit::{Act, Actor, Scope, audited};
use crate::lake::{Commit, Lake, Move, Table};
use crate::medallion::layer::{self, DUPLICATES, START, commit_of};
use crate::names::{Offset, Partition, Tenant};
use crate::pipeline::config::{Config, SourceConfig};
use crate::source;

/// Show where a tenant's tables stand in its source, and say what to do when the source lost
/// messages or was made again
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Show each partition's progress, layer by layer
    Show {
        tenant: Tenant,
        #[command(flatten)]
        lake: LakeArgs,
    },
    /// Go on behind messages that the source does not have any more (expired, or truncated).
    /// What was in the gap is lost to Assay, and this says so for good
    AcceptGap {
        tenant: Tenant,
        topic: String,
        partition: i32,
        /// The first offset to read
        #[arg(long)]
        to: Offset,
        #[command(flatten)]
        lake: LakeArgs,
    },
    /// Take up a topic that was deleted and made again under the same name, from its beginning
    NewGeneration {
        tenant: Tenant,
        topic: String,
        #[command(flatten)]
        pipeline: PipelineArgs,
        #[command(flatten)]
        lake: LakeArgs,
    },
}

/// # Errors
/// A tenant or partition that there is not, or a source or lake that can't be reached.
pub fn run(args: Args) -> anyhow::Result<()> {
    block_on(async {
        match args.verb {
            Verb::Show { tenant, lake } => show(&lake.existing()?, &tenant).await,
            Verb::AcceptGap {
                tenant,
                topic,
                partition,
                to,
                lake,
            } => {
                let lake = lake.named()?;
                bronze(&lake, &tenant).await?;
                let target = format!("{topic}/{partition} to offset {to}");
                let act = Act::new("source accept-gap", target, "");
                let change = accept_gap(&lake, &tenant, &topic, partition, to);
                audited(&lake, Scope::Tenant(&tenant), &Actor::here(), act, change).await?
            }
            Verb::NewGeneration {
                tenant,
                topic,
                pipeline,
                lake,
            } => {
                let config = pipeline.of(&tenant)?;
                let lake = lake.of(&config)?;
                bronze(&lake, &tenant).await?;
                let act = Act::new("source new-generation", topic.clone(), "");
                let change = new_generation(&lake, &config, &topic);
                audited(&lake, Scope::Tenant(&tenant), &Actor::here(), act, change).await?
            }
        }
    })
}

async fn bronze(lake: &Lake, tenant: &Tenant) -> anyhow::Result<Table> {
    let table = lake.open_table(&format!("{tenant}/bronze")).await?;
    table.with_context(|| {
        format!("tenant {tenant} has no bronze table in this lake; name the lake with --lake")
    })
}

fn partitions(table: &Table, tenant: &Tenant) -> Vec<Partition> {
    let known = table.transactions().keys();
    known
        .filter_map(|app_id| Partition::of_app_id(tenant, app_id))
        .collect()
}

async fn show(lake: &Lake, tenant: &Tenant) -> anyhow::Result<()> {
    let bronze = bronze(lake, tenant).await?;
    let quarantine = lake.open_table(&format!("{tenant}/quarantine")).await?;
    let silver = lake.open_table(&format!("{tenant}/silver")).await?;
    let shown = |table: Option<&Table>, partition: &Partition, ending: &str| {
        let progress = table.and_then(|table| layer::progress(table, tenant, partition, ending));
        progress.map_or("-".to_owned(), |progress| progress.to_string())
    };
    say!("topic/partition\tsource\tstart\tbronze\tquarantine\tsilver\tduplicates");
    for partition in partitions(&bronze, tenant) {
        say!(
            "{partition}\t{}\t{}\t{}\t{}\t{}\t{}",
            partition.source,
            shown(Some(&bronze), &partition, START),
            shown(Some(&bronze), &partition, ""),
            shown(quarantine.as_ref(), &partition, ""),
            shown(silver.as_ref(), &partition, ""),
            shown(quarantine.as_ref(), &partition, DUPLICATES),
        );
    }
    Ok(())
}

async fn accept_gap(
    lake: &Lake,
    tenant: &Tenant,
    topic: &str,
    number: i32,
    to: Offset,
) -> anyhow::Result<()> {
    let mut table = bronze(lake, tenant).await?;
    let known = partitions(&table, tenant);
    let partition = known
        .into_iter()
        .find(|p| &*p.topic == topic && p.number == number);
    let partition = partition.with_context(|| format!("bronze has nothing of {topic}/{number}"))?;
    let from = layer::progress(&table, tenant, &partition, "").unwrap_or_default();
    if to == from {
        bail!("{partition} is at offset {from} already: there is no gap");
    }
    let commit = Commit {
        transactions: vec![Move {
            app_id: partition.app_id(tenant),
            from: Some(from),
            to,
        }],
        blind_append: true,
        ..commit_of("ASSAY ACCEPT GAP")
    };
    table.commit(&commit).await?;
    say!("{partition}: goes on at offset {to}; it was at {from}");
    Ok(())
}

async fn new_generation(lake: &Lake, config: &Config, topic: &str) -> anyhow::Result<()> {
    let tenant = &config.tenant;
    let SourceConfig::Kafka {
        brokers,
        properties,
        ..
    } = &config.source
    else {
        bail!(
            "{tenant} does not read Kafka; a file that was replaced is a new file under another name"
        );
    };
    let mut table = bronze(lake, tenant).await?;
    let found = source::beginnings(brokers, topic, properties).await?;
    let mut transactions = Vec::new();
    for (partition, begin) in &found {
        let app_id = format!("{}{START}", partition.app_id(tenant));
        if !table.transactions().contains_key(&app_id) {
            transactions.push(Move {
                app_id,
                from: None,
                to: *begin,
            });
        }
    }
    if transactions.is_empty() {
        bail!("topic {topic} is the one that {tenant} reads already");
    }
    let commit = Commit {
        transactions,
        blind_append: true,
        ..commit_of("ASSAY NEW GENERATION")
    };
    table.commit(&commit).await?;
    say!(
        "{tenant}: takes up {} partitions of the new topic {topic}",
        found.len()
    );
    Ok(())
}
