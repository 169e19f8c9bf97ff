//! `assay table`: tables whose log was damaged.

use anyhow::bail;
use clap::Subcommand;

use super::common::{LakeArgs, block_on};
use crate::cli::out::say;
use crate::control::audit::{Act, Actor, Audit, Scope, Unaudited};
use crate::lake::Lake;
use crate::names::Tenant;
use crate::pipeline::repair::{RepairError, Repaired, repair};

/// Look after tables whose log was damaged
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Heal damaged logs: a torn or missing checkpoint, a wrong _last_checkpoint, a last version
    /// that was cut short
    ///
    /// Stop the tenant's hosts first. Says what it found and did. What is damaged is set aside under
    /// its own name and `.damaged`, never thrown away. A version that was cut short is given up only
    /// where no later layer has its rows and no row names its rule set: its progress goes with it, so
    /// the next start takes its rows in again. Else nothing is changed, and this says why.
    Repair {
        tenant: Tenant,
        /// One table, as `silver` or `gold/daily_sales`; all of the tenant's without it
        table: Option<String>,
        /// Say what is damaged and change nothing
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        lake: LakeArgs,
    },
}

/// # Errors
/// A table that there is not, or damage that can't be healed from what is there.
pub fn run(args: Args) -> anyhow::Result<()> {
    let Verb::Repair {
        tenant,
        table,
        dry_run,
        lake,
    } = args.verb;
    block_on(async {
        let lake = lake.existing()?;
        let tables = match table {
            Some(table) => vec![table],
            None => all(&lake, &tenant).await?,
        };
        let mut failed = false;
        for table in tables {
            let ended = repair(&lake, &tenant, &table, dry_run).await;
            let noted = match dry_run {
                true => Ok(()),
                false => note_repair(&lake, &tenant, &table, &ended).await,
            };
            match ended {
                Ok(Some(repaired)) => say(&repaired, dry_run),
                Ok(None) => bail!(
                    "tenant {tenant} has no table {table} in this lake; name the lake with --lake"
                ),
                // The others are looked at too.
                Err(error) => {
                    failed = true;
                    say!("{tenant}/{table}: NOT HEALED: {error}");
                }
            }
            noted?;
        }
        if failed {
            bail!("not everything could be healed; what is left is said above");
        }
        Ok(())
    })
}

/// Notes in the audit what was healed, or could not be. Nothing is done to a table that is whole.
async fn note_repair(
    lake: &Lake,
    tenant: &Tenant,
    table: &str,
    ended: &Result<Option<Repaired>, RepairError>,
) -> Result<(), Unaudited> {
    let ended = match ended {
        Ok(Some(Repaired { told, .. })) if !told.is_empty() => Ok(Some(told.join("; "))),
        Ok(_) => return Ok(()),
        Err(error) => Err(error.to_string()),
    };
    let act = Act::new("table repair", format!("table {table}"), "");
    let (scope, actor) = (Scope::Tenant(tenant), Actor::here());
    Audit::new(lake, scope).note(&actor, act, ended).await
}

async fn all(lake: &Lake, tenant: &Tenant) -> anyhow::Result<Vec<String>> {
    let folder = format!("{tenant}/");
    let tables = lake.list_tables(&tenant.to_string()).await?;
    let tables: Vec<String> = tables
        .iter()
        .filter_map(|table| table.strip_prefix(&folder).map(str::to_owned))
        .collect();
    if tables.is_empty() {
        bail!("tenant {tenant} has no table in this lake; name the lake with --lake");
    }
    Ok(tables)
}

fn say(repaired: &Repaired, dry_run: bool) {
    let Repaired { table, told } = repaired;
    for damage in told {
        let done = if dry_run { "would heal: " } else { "" };
        say!("{table}: {done}{damage}");
    }
    if told.is_empty() {
        say!("{table}: whole");
    }
}
