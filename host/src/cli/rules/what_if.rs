//! `assay rules what-if`: another rule set over what is in bronze.

use std::time::{Duration, Instant};

use super::super::common::LakeArgs;
use super::{existing, report};
use crate::cli::out::{put, say};
use crate::names::{RuleSetNumber, Tenant};
use crate::pipeline::what_if::{Against, Scope, Written, answer, what_if};

/// How often it says how far it is.
const SAY: Duration = Duration::from_secs(2);

#[derive(clap::Args)]
pub(super) struct Args {
    tenant: Tenant,
    /// The rule set: staged, or one that judged before
    number: i64,
    /// What it is compared with: a rule set, or `pinned` for each row's own. Without it, the active
    /// one
    #[arg(long, value_name = "NUMBER or pinned")]
    against: Option<String>,
    /// Messages that were taken in from this moment on: as 2025-03-01 or 2025-03-01T10:00:00Z; with
    /// --topic, from this offset on
    #[arg(long, value_name = "TIME or OFFSET")]
    from: Option<String>,
    /// Messages that were taken in before this moment; with --topic, before this offset
    #[arg(long, value_name = "TIME or OFFSET")]
    to: Option<String>,
    /// Messages of one partition of this topic alone
    #[arg(long, requires = "partition")]
    topic: Option<String>,
    /// The partition's number
    #[arg(long, requires = "topic")]
    partition: Option<i32>,
    #[command(flatten)]
    lake: LakeArgs,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: Args) -> anyhow::Result<()> {
    let (number, tenant) = (RuleSetNumber(args.number), args.tenant);
    let scope = Scope::of(&Written {
        from: args.from,
        to: args.to,
        topic: args.topic,
        partition: args.partition,
    })?;
    let lake = args.lake.existing()?;
    let mut changes = existing(&lake, &tenant).await?;
    let registry = &mut changes.registry;
    let against = Against::of(args.against.as_deref(), registry).await?;
    let mut said = Instant::now();
    let found = what_if(
        &lake,
        &tenant,
        registry,
        number,
        against,
        &scope,
        |progress| {
            if said.elapsed() >= SAY {
                said = Instant::now();
                let (files, of_files) = (progress.files, progress.of_files);
                eprintln!(
                    "{} messages, {files} of {of_files} files",
                    progress.messages
                );
            }
        },
    );
    let found = found.await?;
    if args.json {
        say!("{}", answer(&tenant, number, against, &found));
        return Ok(());
    }
    put!(
        "{tenant}: rule set {number} beside {against}\n{}",
        report::comparison(&found)
    );
    Ok(())
}
