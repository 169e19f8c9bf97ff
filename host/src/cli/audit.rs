//! `assay audit`: what was done, by whom, and how it ended.

use std::collections::BTreeMap;

use serde_json::json;

use super::common::{LakeArgs, block_on};
use crate::cli::out::say;
use crate::control::audit::entries;
use crate::names::Tenant;
use crate::pipeline::answers::moment;
use crate::told::plain;

/// Show what was done to a tenant, by whom, from where, and how it ended; without a tenant, what
/// was done to the lake: tokens, pauses, deletions
#[derive(clap::Args)]
pub struct Args {
    tenant: Option<Tenant>,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    lake: LakeArgs,
}

/// # Errors
/// A lake that can't be read.
pub fn run(args: Args) -> anyhow::Result<()> {
    block_on(async {
        let lake = args.lake.existing()?;
        for row in entries(&lake, args.tenant.as_ref()).await? {
            let at = moment(row.at);
            if args.json {
                let mut told: BTreeMap<&str, &str> = BTreeMap::from([("at", at.as_str())]);
                told.extend(row.texts.iter().map(|(name, text)| (*name, text.as_str())));
                say!("{}", json!(told));
                continue;
            }
            let [action, target, result, by, via, address, why, detail] = [
                "action", "target", "result", "by", "via", "address", "why", "detail",
            ]
            .map(|name| plain(row.text(name)));
            let why = if why.is_empty() {
                String::new()
            } else {
                format!(" ({why})")
            };
            let detail = if detail.is_empty() {
                String::new()
            } else {
                format!(": {detail}")
            };
            say!(
                "{at}  {result:<6}  {action}: {target}  by {by} over {via} from {address}{why}{detail}"
            );
        }
        Ok(())
    })
}
