//! `assay tenant`: which tenants there are, and whether they are to run.

mod usage;

use std::collections::BTreeMap;
use std::io::{BufRead as _, IsTerminal as _, Write as _};

use anyhow::bail;
use clap::Subcommand;
use serde_json::json;
use url::Url;

use crate::cli::common::{LakeArgs, block_on};
use crate::cli::out::{put, say};
use crate::control::audit::{Act, Actor, Scope, audited};
use crate::control::standing::{Said, Standings, Wanted};
use crate::lake::Lake;
use crate::names::Tenant;
use crate::pipeline::answers::moment;
use crate::pipeline::delete::delete;
use crate::told::{plain, reason};

/// List the tenants of a lake, or what those of a host used; have one stand still, run again, or be
/// gone
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// List the tenants of the lake, and which of them are paused or deleted
    List {
        /// Answer in JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        lake: LakeArgs,
    },
    /// Show what the tenants of a running host used since it began: rows, bytes, CPU time, fuel, and
    /// what is amiss with one
    Usage {
        /// Where the host answers
        #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8470")]
        host: Url,
        /// A token, where the host is on another machine
        #[arg(long, env = "ASSAY_TOKEN", hide_env_values = true)]
        token: Option<String>,
    },
    /// Have a tenant stand still on every host, also after a restart. What was taken in is committed
    /// first
    Pause {
        tenant: Tenant,
        /// Why, for the audit
        #[arg(long, value_parser = reason)]
        why: String,
        #[command(flatten)]
        lake: LakeArgs,
    },
    /// Have a paused tenant run again on every host; one that was deleted may begin anew
    Resume {
        tenant: Tenant,
        /// Why, for the audit
        #[arg(long, value_parser = reason)]
        why: String,
        #[command(flatten)]
        lake: LakeArgs,
    },
    /// Delete a paused tenant: its tables, blobs and rule sets. What was done stays in the lake's
    /// audit
    Delete {
        tenant: Tenant,
        /// The tenant's name once more; without it, it is asked for
        #[arg(long, value_name = "TENANT")]
        confirm: Option<String>,
        /// Why, for the audit
        #[arg(long, value_parser = reason)]
        why: String,
        #[command(flatten)]
        lake: LakeArgs,
    },
}

/// # Errors
/// A tenant that there is not, one that is not paused, or a lake that can't be used.
pub fn run(args: Args) -> anyhow::Result<()> {
    block_on(async {
        match args.verb {
            Verb::List { json, lake } => list(&lake.existing()?, json).await,
            Verb::Usage { host, token } => {
                let tenants = usage::ask(&host, token.as_deref()).await?;
                put!("{}", usage::table(&tenants));
                Ok(())
            }
            Verb::Pause { tenant, why, lake } => {
                say(&lake.named()?, &tenant, Wanted::Paused, "tenant pause", why).await?;
                say!("{tenant} is paused: hosts commit what they took in, then it stands still");
                Ok(())
            }
            Verb::Resume { tenant, why, lake } => {
                let (lake, wanted) = (lake.named()?, Wanted::Running);
                say(&lake, &tenant, wanted, "tenant resume", why).await?;
                say!("{tenant} runs again, on every host that has its TOML");
                Ok(())
            }
            Verb::Delete {
                tenant,
                confirm,
                why,
                lake,
            } => {
                let lake = lake.named()?;
                if !is_known(&lake, &tenant).await? {
                    bail!("{}", unknown(&tenant));
                }
                let confirmed = match confirm {
                    Some(confirmed) => confirmed,
                    None => asked(&tenant, &lake)?,
                };
                if confirmed != tenant.as_str() {
                    bail!("nothing was deleted: {confirmed:?} is not {tenant}");
                }
                let actor = Actor::here();
                let act = Act::new("tenant delete", format!("tenant {tenant}"), &why);
                let scope = Scope::Lake(Some(&tenant));
                let change = delete(&lake, &tenant, &actor.by, &why);
                let gone = audited(&lake, scope, &actor, act, change).await??;
                say!("{tenant} is deleted: {gone} objects are gone; remove its TOML too");
                Ok(())
            }
        }
    })
}

/// The tenants that have tables, and what is said about them and others.
async fn list(lake: &Lake, as_json: bool) -> anyhow::Result<()> {
    let mut tenants: BTreeMap<Tenant, Option<&Said>> = BTreeMap::new();
    for table in lake.list_tables("").await? {
        let name = table.split('/').next().unwrap_or_default();
        if let Ok(tenant) = name.parse() {
            tenants.insert(tenant, None);
        }
    }
    let mut standings = Standings::new(lake);
    standings.refresh().await?;
    for (tenant, said) in standings.all() {
        if said.wanted != Wanted::Running {
            tenants.insert(tenant.clone(), Some(said));
        }
    }
    if as_json {
        let told = tenants.iter().map(|(tenant, said)| {
            let wanted = said.map_or(Wanted::Running, |said| said.wanted).as_str();
            json!({
                "tenant": tenant, "wanted": wanted, "since": said.map(|said| moment(said.at)),
                "by": said.map(|said| &said.by), "why": said.map(|said| &said.why),
            })
        });
        say!("{}", told.collect::<serde_json::Value>());
        return Ok(());
    }
    if tenants.is_empty() {
        bail!("no tenant in this lake; name the lake with --lake");
    }
    for (tenant, said) in tenants {
        let told = said.map_or("to run".to_owned(), |said| {
            let (wanted, since) = (said.wanted.as_str(), moment(said.at));
            format!(
                "{wanted} since {since} by {} ({})",
                plain(&said.by),
                plain(&said.why)
            )
        });
        say!("{tenant}\t{told}");
    }
    Ok(())
}

async fn say(
    lake: &Lake,
    tenant: &Tenant,
    wanted: Wanted,
    action: &'static str,
    why: String,
) -> anyhow::Result<()> {
    if !is_known(lake, tenant).await? {
        bail!("{}", unknown(tenant));
    }
    let actor = Actor::here();
    let act = Act::new(action, format!("tenant {tenant}"), &why);
    let change = async {
        let mut standings = Standings::new(lake);
        standings.refresh().await?;
        if standings.wanted(tenant) == wanted {
            bail!("{tenant} is {} already", wanted.as_str());
        }
        standings.say(tenant, wanted, &actor.by, &why).await?;
        Ok(())
    };
    audited(lake, Scope::Lake(Some(tenant)), &actor, act, change).await?
}

/// Whether the lake has anything of a tenant.
async fn is_known(lake: &Lake, tenant: &Tenant) -> anyhow::Result<bool> {
    let mut standings = Standings::new(lake);
    standings.refresh().await?;
    Ok(standings.of(tenant).is_some() || !lake.list_tables(tenant.as_str()).await?.is_empty())
}

fn unknown(tenant: &Tenant) -> String {
    format!("tenant {tenant} has no table in this lake; name the lake with --lake")
}

/// Asks for the name of what is to be deleted.
fn asked(tenant: &Tenant, lake: &Lake) -> anyhow::Result<String> {
    if !std::io::stdin().is_terminal() {
        bail!("nothing was deleted: say --confirm {tenant}");
    }
    eprint!(
        "everything of {tenant} in {} will be gone; its name, to go on: ",
        lake.uri()
    );
    std::io::stderr().flush()?;
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    Ok(line.trim().to_owned())
}
