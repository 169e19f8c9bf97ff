//! `assay rules`: which rule sets there were, and which rows they judge.

use anyhow::{Context as _, bail};
use chrono::DateTime;
use clap::Subcommand;

use super::common::{LakeArgs, block_on, sandbox};
use crate::medallion::layer;
use crate::names::{Offset, Partition, RuleSetNumber, Tenant};
use crate::pipeline::start::user;
use crate::ruleset::{Registry, Repin, Who};

/// Show a tenant's rule sets, and have other rules judge rows that a broken set can't
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Show the history, and what the active rule set (or another) is made of
    Show {
        tenant: Tenant,
        /// The rule set's number; the active one without it
        number: Option<i64>,
        #[command(flatten)]
        lake: LakeArgs,
    },
    /// Have another rule set judge messages that are in bronze and that quarantine does not cover
    /// yet. Use it after a `fail` verdict or a broken component stopped the tenant
    RePin {
        tenant: Tenant,
        topic: String,
        partition: i32,
        /// The first offset that the other rule set judges
        #[arg(long)]
        from: Offset,
        /// The first offset that it does not judge any more
        #[arg(long)]
        to: Offset,
        /// The rule set's number
        #[arg(long)]
        number: i64,
        /// Why, for the history
        #[arg(long)]
        why: String,
        #[command(flatten)]
        lake: LakeArgs,
    },
}

/// # Errors
/// A tenant, rule set or partition that there is not, or a lake that can't be used.
pub fn run(args: Args) -> anyhow::Result<()> {
    block_on(async {
        match args.verb {
            Verb::Show {
                tenant,
                number,
                lake,
            } => show(&tenant, number, &lake).await,
            Verb::RePin {
                tenant,
                topic,
                partition,
                from,
                to,
                number,
                why,
                lake,
            } => {
                let lake = lake.named()?;
                let partition = find(&lake, &tenant, &topic, partition, from).await?;
                let mut registry = Registry::open(&lake, &tenant, sandbox()?).await?;
                let repin = Repin {
                    partition,
                    from,
                    to,
                    number: RuleSetNumber(number),
                };
                let who = Who { by: user(), why };
                let at = chrono::Utc::now().timestamp_micros();
                registry.repin(&repin, &who, at).await?;
                println!(
                    "{tenant}: {} offsets {from} to {to} are judged by rule set {number}",
                    repin.partition
                );
                Ok(())
            }
        }
    })
}

async fn show(tenant: &Tenant, number: Option<i64>, lake: &LakeArgs) -> anyhow::Result<()> {
    let lake = lake.named()?;
    if lake
        .open_table(&format!("{tenant}/rulesets"))
        .await?
        .is_none()
    {
        bail!("tenant {tenant} has no rule sets in this lake; name the lake with --lake");
    }
    let registry = Registry::open(&lake, tenant, sandbox()?).await?;
    for line in registry.history() {
        let at = DateTime::from_timestamp_micros(line.at).unwrap_or_default();
        let at = at.format("%Y-%m-%d %H:%M:%SZ");
        println!("{at}  {}  by {} ({})", line.what, line.who.by, line.who.why);
    }
    let number = number.map(RuleSetNumber).or(registry.active());
    let number = number.context("no rule set is active")?;
    let definition = registry
        .definition(number)
        .with_context(|| format!("there is no rule set {number}"))?;
    println!(
        "\nrule set {number}:\n{}",
        serde_json::to_string_pretty(definition)?
    );
    Ok(())
}

/// The partition that bronze knows under this topic and number, if quarantine has not covered it.
async fn find(
    lake: &crate::lake::Lake,
    tenant: &Tenant,
    topic: &str,
    number: i32,
    from: Offset,
) -> anyhow::Result<Partition> {
    let bronze = lake.open_table(&format!("{tenant}/bronze")).await?;
    let bronze =
        bronze.with_context(|| format!("tenant {tenant} has no bronze table in this lake"))?;
    let known = bronze.transactions().keys();
    let partition = known
        .filter_map(|app_id| Partition::of_app_id(tenant, app_id))
        .find(|known| &*known.topic == topic && known.number == number)
        .with_context(|| format!("bronze has nothing of {topic}/{number}"))?;
    if let Some(quarantine) = lake.open_table(&format!("{tenant}/quarantine")).await? {
        let covered = layer::progress(&quarantine, tenant, &partition, "");
        if covered.is_some_and(|covered| from < covered) {
            bail!(
                "{partition} is judged up to offset {}: only messages from there on can be re-pinned",
                covered.unwrap_or_default()
            );
        }
    }
    Ok(partition)
}
