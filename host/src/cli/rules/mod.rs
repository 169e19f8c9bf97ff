//! `assay rules`: which rule sets there were, which judges, and how another takes over.

mod change;
mod report;
mod show;
mod what_if;

use std::collections::BTreeMap;
use std::ops::Range;

use anyhow::{Context as _, bail};
use clap::Subcommand;

use super::check;
use super::common::{LakeArgs, PipelineArgs, block_on, sandbox};
use crate::cli::out::say;
use crate::control::audit::{Act, Actor, Scope, audited};
use crate::lake::Lake;
use crate::medallion::layer;
use crate::names::{Offset, Partition, RuleSetNumber, Tenant};
use crate::pipeline::change::{Changes, now, user};
use crate::ruleset::{Registry, Repin, Who};
use crate::told::reason;

/// Change a tenant's rules while its hosts run: stage what a TOML says, have it judge, go back; and
/// see which rules judged since when
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Check what a pipeline's TOML says and keep it as a staged rule set. Nothing judges by it
    /// before it is promoted; running hosts compile it meanwhile
    Stage {
        tenant: Tenant,
        /// Why, for the history
        #[arg(long, value_parser = reason)]
        why: Option<String>,
        #[command(flatten)]
        pipeline: PipelineArgs,
        #[command(flatten)]
        lake: LakeArgs,
        /// Answer in JSON
        #[arg(long)]
        json: bool,
    },
    /// Check what a pipeline's TOML says, as `assay check` does, and stage nothing
    Check(check::Args),
    /// Have a staged rule set judge live batches beside the active one, for a report, on every
    /// running host. It writes no rows. There is one at a time
    ///
    /// Each host gives it a thread of the lowest priority and a share of one core (`[shadow] cpu`).
    /// Batches that there is no time for are left out, and counted. A set that would stop the tenant
    /// fails here, with the reason in `assay rules history`; the active one is none the wiser.
    Shadow {
        tenant: Tenant,
        /// The number that staging gave it
        number: i64,
        /// Have it judge no more; it stays staged, and its report stays
        #[arg(long)]
        stop: bool,
        /// Why, for the history
        #[arg(long, value_parser = reason)]
        why: Option<String>,
        #[command(flatten)]
        lake: LakeArgs,
        /// Answer in JSON
        #[arg(long)]
        json: bool,
    },
    /// Show what a shadow would do otherwise than the active rule set: verdicts, columns, money, cost
    Report {
        tenant: Tenant,
        /// The rule set's number; the one that is a shadow now without it
        number: Option<i64>,
        #[command(flatten)]
        lake: LakeArgs,
        /// Answer in JSON, with everything that there is
        #[arg(long)]
        json: bool,
    },
    /// Say what another rule set would have made of messages that are in bronze. Nothing is written,
    /// and no host is needed
    ///
    /// Compares verdicts by rule, columns of silver, sums of gold by its partitions, and what the
    /// components cost, with the set that judges now. Rows are compared as the rules leave them,
    /// before duplicates are left out.
    WhatIf(what_if::Args),
    /// Have a staged rule set judge from the next batch on, on every running host. Dimensions keep
    /// the rows that were loaded since it was staged
    Promote {
        tenant: Tenant,
        /// The number that staging gave it
        number: i64,
        /// Why, for the history
        #[arg(long, value_parser = reason)]
        why: String,
        /// Promote it though it does not show what the active one's [promotion] asks for; the history
        /// says so
        #[arg(long)]
        despite_gates: bool,
        #[command(flatten)]
        lake: LakeArgs,
        /// Answer in JSON
        #[arg(long)]
        json: bool,
    },
    /// Have an earlier rule set judge again, from the next batch on: a new activation with a higher
    /// number. What is in the tables stays as it was judged
    Rollback {
        tenant: Tenant,
        /// The rule set to go back to; without it, the one that judged before the active one
        #[arg(long, value_name = "NUMBER")]
        to: Option<i64>,
        /// Leave dimensions with the rows of now, instead of those that the set had
        #[arg(long)]
        keep_dimensions: bool,
        /// Why, for the history
        #[arg(long, value_parser = reason)]
        why: String,
        #[command(flatten)]
        lake: LakeArgs,
        /// Answer in JSON
        #[arg(long)]
        json: bool,
    },
    /// Show who changed which rules when, and why
    History {
        tenant: Tenant,
        #[command(flatten)]
        lake: LakeArgs,
        /// Answer in JSON
        #[arg(long)]
        json: bool,
    },
    /// Say what differs between two rule sets: fields, components, params, gold tables, rows of
    /// dimensions
    Diff {
        tenant: Tenant,
        /// The rule set that is compared with the active one, or with the second
        one: i64,
        /// The second rule set
        other: Option<i64>,
        #[command(flatten)]
        lake: LakeArgs,
        /// Answer in JSON
        #[arg(long)]
        json: bool,
    },
    /// Show what the active rule set (or another) is made of
    Show {
        tenant: Tenant,
        /// The rule set's number; the active one without it
        number: Option<i64>,
        #[command(flatten)]
        lake: LakeArgs,
        /// Answer in JSON
        #[arg(long)]
        json: bool,
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
        /// The first offset that it does not judge any more; where bronze ends, if that is before
        #[arg(long)]
        to: Offset,
        /// The rule set's number
        #[arg(long)]
        number: i64,
        /// Why, for the history
        #[arg(long, value_parser = reason)]
        why: String,
        #[command(flatten)]
        lake: LakeArgs,
    },
}

/// # Errors
/// A tenant, rule set or partition that there is not, rules that do not fit, or a lake that can't
/// be used.
pub fn run(args: Args) -> anyhow::Result<()> {
    block_on(async {
        match args.verb {
            Verb::Stage {
                tenant,
                why,
                pipeline,
                lake,
                json,
            } => change::stage(&tenant, why, &pipeline, &lake, json).await,
            Verb::Shadow {
                tenant,
                number,
                stop,
                why,
                lake,
                json,
            } => {
                let lake = lake.existing()?;
                let mut changes = existing(&lake, &tenant).await?;
                let why = why.unwrap_or_else(|| match stop {
                    true => "to look no further".to_owned(),
                    false => "to see what it would do".to_owned(),
                });
                let number = RuleSetNumber(number);
                let act = Act::shadow(number, !stop, &why);
                let who = Who { by: user(), why };
                let change = changes.shadow(number, !stop, &who);
                let (scope, actor) = (Scope::Tenant(&tenant), Actor::here());
                audited(&lake, scope, &actor, act, change).await??;
                change::shadow(&tenant, number, !stop, json);
                Ok(())
            }
            Verb::Report {
                tenant,
                number,
                lake,
                json,
            } => {
                let lake = lake.existing()?;
                let mut registry = existing(&lake, &tenant).await?.registry;
                let number = number.map(RuleSetNumber);
                report::show(&lake, &tenant, &mut registry, number, json).await
            }
            Verb::Check(args) => check::look(args).await,
            Verb::WhatIf(args) => what_if::run(args).await,
            Verb::Promote {
                tenant,
                number,
                why,
                despite_gates,
                lake,
                json,
            } => {
                let lake = lake.existing()?;
                let mut changes = existing(&lake, &tenant).await?;
                let gates = if despite_gates {
                    " despite its gates"
                } else {
                    ""
                };
                let act = Act::new("rules promote", format!("rule set {number}{gates}"), &why);
                let (number, who) = (RuleSetNumber(number), Who { by: user(), why });
                let change = async {
                    match despite_gates {
                        true => changes.promote_despite_gates(number, &who).await,
                        false => changes.promote(number, &who).await,
                    }
                };
                let (scope, actor) = (Scope::Tenant(&tenant), Actor::here());
                let activated = audited(&lake, scope, &actor, act, change).await??;
                change::activated(&tenant, &activated, json)
            }
            Verb::Rollback {
                tenant,
                to,
                keep_dimensions,
                why,
                lake,
                json,
            } => {
                let lake = lake.existing()?;
                let mut changes = existing(&lake, &tenant).await?;
                let target = to.map(|to| format!("to rule set {to}"));
                let target = target.unwrap_or_else(|| "to the rule set before".to_owned());
                let act = Act::new("rules rollback", target, &why);
                let (to, who) = (to.map(RuleSetNumber), Who { by: user(), why });
                let change = changes.rollback(to, keep_dimensions, &who);
                let (scope, actor) = (Scope::Tenant(&tenant), Actor::here());
                let activated = audited(&lake, scope, &actor, act, change).await??;
                change::activated(&tenant, &activated, json)
            }
            Verb::History { tenant, lake, json } => {
                let changes = existing(&lake.existing()?, &tenant).await?;
                show::history(&changes.registry, json)
            }
            Verb::Diff {
                tenant,
                one,
                other,
                lake,
                json,
            } => {
                let changes = existing(&lake.existing()?, &tenant).await?;
                let active = changes.registry.active();
                let (from, to) = match other {
                    Some(other) => (RuleSetNumber(one), RuleSetNumber(other)),
                    None => (active.context("no rule set is active")?, RuleSetNumber(one)),
                };
                let definition = |number| changes.registry.set(number).map(|set| &*set.definition);
                let found = changes
                    .compare(definition(from)?, definition(to)?, &BTreeMap::new())
                    .await;
                change::differences(from, to, &found, json)
            }
            Verb::Show {
                tenant,
                number,
                lake,
                json,
            } => {
                let changes = existing(&lake.existing()?, &tenant).await?;
                show::set(&changes.registry, number.map(RuleSetNumber), json)
            }
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
                let lake = lake.existing()?;
                let (partition, to) = find(&lake, &tenant, &topic, partition, from..to).await?;
                let mut registry = Registry::open(&lake, &tenant, sandbox()?).await?;
                let repin = Repin {
                    partition,
                    from,
                    to,
                    number: RuleSetNumber(number),
                };
                let target = format!(
                    "{} offsets {from} to {to} to rule set {number}",
                    repin.partition
                );
                let act = Act::new("rules re-pin", target, &why);
                let who = Who { by: user(), why };
                let change = registry.repin(&repin, &who, now());
                let (scope, actor) = (Scope::Tenant(&tenant), Actor::here());
                audited(&lake, scope, &actor, act, change).await??;
                say!(
                    "{tenant}: {} offsets {from} to {to} are judged by rule set {number}",
                    repin.partition
                );
                Ok(())
            }
        }
    })
}

/// The rule sets of a tenant that has some.
async fn existing(lake: &Lake, tenant: &Tenant) -> anyhow::Result<Changes> {
    let table = lake.open_table(&format!("{tenant}/rulesets")).await?;
    if table.is_none() {
        bail!("tenant {tenant} has no rule sets in this lake; name the lake with --lake");
    }
    Ok(Changes::open(lake, tenant, sandbox()?).await?)
}

/// The partition that bronze knows under this topic and number, and where those of the offsets end that
/// it has, if quarantine has not covered them.
async fn find(
    lake: &Lake,
    tenant: &Tenant,
    topic: &str,
    number: i32,
    offsets: Range<Offset>,
) -> anyhow::Result<(Partition, Offset)> {
    let from = offsets.start;
    let bronze = lake.open_table(&format!("{tenant}/bronze")).await?;
    let bronze =
        bronze.with_context(|| format!("tenant {tenant} has no bronze table in this lake"))?;
    let known = bronze.transactions().keys();
    let partition = known
        .filter_map(|app_id| Partition::of_app_id(tenant, app_id))
        .find(|known| &*known.topic == topic && known.number == number)
        .with_context(|| format!("bronze has nothing of {topic}/{number}"))?;
    // What is not taken in yet is judged by the set that is active then.
    let taken = layer::progress(&bronze, tenant, &partition, "").unwrap_or_default();
    let to = offsets.end.min(taken);
    if from >= to {
        bail!(
            "bronze has no message of {partition} from offset {from} to {to}: it is at {taken}, and --to is the first one after them"
        );
    }
    if let Some(quarantine) = lake.open_table(&format!("{tenant}/quarantine")).await? {
        let covered = layer::progress(&quarantine, tenant, &partition, "");
        if covered.is_some_and(|covered| from < covered) {
            bail!(
                "{partition} is judged up to offset {}: only messages from there on can be re-pinned",
                covered.unwrap_or_default()
            );
        }
    }
    Ok((partition, to))
}
