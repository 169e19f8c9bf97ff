//! Staging, and what a change of rules came to, as lines or as JSON.

use super::super::common::{LakeArgs, PipelineArgs, sandbox};
use crate::cli::out::say;
use crate::control::audit::{Act, Actor, Scope, audited};
use crate::names::{RuleSetNumber, Tenant};
use crate::pipeline::answers;
use crate::pipeline::change::{Activated, Changes, Staged, user};
use crate::ruleset::{Difference, Who};

pub async fn stage(
    tenant: &Tenant,
    why: Option<String>,
    pipeline: &PipelineArgs,
    lake: &LakeArgs,
    as_json: bool,
) -> anyhow::Result<()> {
    let config = pipeline.of(tenant)?;
    let lake = lake.of(&config)?;
    let mut changes = Changes::open(&lake, tenant, sandbox()?).await?;
    changes.registry.set_host_limits(config.limits.host());
    changes.registry.set_trust(config.trust.clone());
    let who = Who {
        by: user(),
        why: why.unwrap_or_else(|| format!("staged from {}", config.path.display())),
    };
    let act = Act::new(
        "rules stage",
        format!("{}", config.path.display()),
        &who.why,
    );
    let change = changes.stage(&config, &who);
    let (scope, actor) = (Scope::Tenant(tenant), Actor::here());
    let staged = audited(&lake, scope, &actor, act, change).await??;
    if as_json {
        say!("{}", answers::staged(tenant, &staged));
        return Ok(());
    }
    let Staged {
        number,
        differences,
        already,
        ..
    } = staged;
    let already = if already { " already" } else { "" };
    say!("{tenant}: rule set {number} is staged{already}; nothing judges by it yet");
    lines(&differences);
    say!("see what it would do: assay rules shadow {tenant} {number}");
    say!("have it judge: assay rules promote {tenant} {number} --why \"…\"");
    Ok(())
}

pub fn activated(tenant: &Tenant, activated: &Activated, as_json: bool) -> anyhow::Result<()> {
    if as_json {
        say!("{}", answers::activated(tenant, activated));
        return Ok(());
    }
    let Activated {
        number,
        of,
        before,
        differences,
    } = activated;
    let before = before.map_or(String::new(), |before| format!("; before it, {before} did"));
    say!("{tenant}: rule set {number} judges from the next batch on: it is {of}{before}");
    lines(differences);
    Ok(())
}

pub fn shadow(tenant: &Tenant, number: RuleSetNumber, begins: bool, as_json: bool) {
    if as_json {
        say!("{}", answers::shadow(tenant, number, begins));
    } else if begins {
        say!("{tenant}: rule set {number} judges beside the active one on running hosts");
        say!("see what it would do: assay rules report {tenant} {number}");
    } else {
        say!("{tenant}: rule set {number} judges no more, and stays staged");
    }
}

pub fn differences(
    from: RuleSetNumber,
    to: RuleSetNumber,
    found: &[Difference],
    as_json: bool,
) -> anyhow::Result<()> {
    if as_json {
        say!("{}", answers::differences(from, to, found));
        return Ok(());
    }
    match found {
        [] => say!("rule sets {from} and {to} are the same"),
        found => {
            say!("rule set {from} -> {to}:");
            lines(found);
        }
    }
    Ok(())
}

fn lines(differences: &[Difference]) {
    for Difference { part, change } in differences {
        say!("  {part}: {change}");
    }
}
