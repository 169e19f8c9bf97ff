//! `assay dimension load`: the tables that rules look things up in.

use std::path::PathBuf;

use clap::Subcommand;

use super::common::{LakeArgs, PipelineArgs, block_on, sandbox};
use crate::cli::out::say;
use crate::control::audit::{Act, Actor, Scope, audited};
use crate::names::Tenant;
use crate::pipeline::start::load_dimension;

/// Load the tables that rules look things up in
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Replace a dimension's rows. That makes the next rule set; a running host takes it up with
    /// its next batch
    Load {
        tenant: Tenant,
        /// The dimension's name in the pipeline
        name: String,
        /// CSV with a header line, or NDJSON
        file: PathBuf,
        #[command(flatten)]
        pipeline: PipelineArgs,
        #[command(flatten)]
        lake: LakeArgs,
    },
}

/// # Errors
/// Rows that do not fit, with the file and line, or a lake that can't be used.
pub fn run(args: Args) -> anyhow::Result<()> {
    let Verb::Load {
        tenant,
        name,
        file,
        pipeline,
        lake,
    } = args.verb;
    block_on(async {
        let config = pipeline.of(&tenant)?;
        let lake = lake.of(&config)?;
        let act = Act::new(
            "dimension load",
            format!("{name} from {}", file.display()),
            "",
        );
        let change = load_dimension(&lake, &config, &name, &file, sandbox()?);
        let (scope, actor) = (Scope::Tenant(&tenant), Actor::here());
        let (number, rows) = audited(&lake, scope, &actor, act, change).await??;
        say!("{tenant}: dimension {name} has {rows} rows; rule set {number} is active");
        Ok(())
    })
}
