//! `assay rules what-if`: another rule set over what is in bronze.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use chrono::{DateTime, NaiveDate, Utc};
use serde_json::json;

use super::super::common::LakeArgs;
use super::{existing, report};
use crate::names::{Offset, RuleSetNumber, Tenant};
use crate::pipeline::what_if::{Against, Scope, what_if};

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
    let (scope, number) = (args.scope()?, RuleSetNumber(args.number));
    let lake = args.lake.named()?;
    let mut changes = existing(&lake, &args.tenant).await?;
    let registry = &mut changes.registry;
    let against = match args.against.as_deref() {
        None => Against::Set(registry.active().context("no rule set is active")?),
        Some("pinned") => Against::Pinned,
        Some(number) => {
            let number = number.parse();
            let number = number.context("--against is a rule set's number, or `pinned`")?;
            registry.set(RuleSetNumber(number))?;
            Against::Set(RuleSetNumber(number))
        }
    };
    let mut said = Instant::now();
    let found = what_if(
        &lake,
        &args.tenant,
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
    let beside = match against {
        Against::Set(number) => number.to_string(),
        Against::Pinned => "each row's own".to_owned(),
    };
    if args.json {
        println!(
            "{}",
            json!({ "tenant": args.tenant, "number": number, "against": beside, "comparison": found })
        );
        return Ok(());
    }
    print!(
        "{}: rule set {number} beside {beside}\n{}",
        args.tenant,
        report::comparison(&found)
    );
    Ok(())
}

impl Args {
    fn scope(&self) -> anyhow::Result<Scope> {
        let mut scope = Scope {
            time: i64::MIN..i64::MAX,
            partition: self.topic.clone().zip(self.partition),
            offsets: Offset::MIN..Offset::MAX,
        };
        let (from, to) = (self.from.as_deref(), self.to.as_deref());
        let of_partition = scope.partition.is_some();
        for (text, begins) in [(from, true), (to, false)] {
            let Some(text) = text else { continue };
            let range = match (text.parse::<Offset>(), of_partition) {
                (Ok(offset), true) => Some((&mut scope.offsets, offset)),
                (Ok(_), false) => {
                    bail!("offset {text} of which partition? name --topic and --partition")
                }
                (Err(_), _) => moment(text).map(|micros| (&mut scope.time, micros)),
            };
            match range {
                Some((range, at)) if begins => range.start = at,
                Some((range, at)) => range.end = at,
                None => bail!("{text:?} is no moment: write 2025-03-01 or 2025-03-01T10:00:00Z"),
            }
        }
        Ok(scope)
    }
}

/// Microseconds since 1970.
fn moment(text: &str) -> Option<i64> {
    let moment = text.parse::<DateTime<Utc>>().ok();
    let day = || {
        Some(
            text.parse::<NaiveDate>()
                .ok()?
                .and_hms_opt(0, 0, 0)?
                .and_utc(),
        )
    };
    moment.or_else(day).map(|moment| moment.timestamp_micros())
}
