//! `assay plugin check` and `inspect`: what a component is, and why it can't be used.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::bail;

use super::super::common::sandbox;
use super::Allowed;
use crate::author::inspect::{Inspected, described};
use crate::cli::out::{put, say};
use crate::pipeline::config::Config;
use crate::plugin::{CompileLimits, Description, Sandbox};
use crate::told::told;
use crate::trust::Signatures;

/// Check components: the step, what they import, their description, and whether they take their
/// params. Says why not
#[derive(clap::Args)]
pub(super) struct Args {
    /// Components, as `assay plugin build` makes them
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Params for all of them: a JSON object, or a file with one
    #[arg(long, value_name = "JSON or FILE")]
    params: Option<String>,
    /// A tenant's TOML, for its limits
    #[arg(long, value_name = "FILE")]
    pipeline: Option<PathBuf>,
}

/// Show what a component says of itself: world, size, digest, what it reads, looks up and makes
#[derive(clap::Args)]
pub(super) struct InspectArgs {
    /// A component, as `assay plugin build` makes it
    file: PathBuf,
    /// Its params: a JSON object, or a file with one. What it reads and makes may depend on them
    #[arg(long, value_name = "JSON or FILE")]
    params: Option<String>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let sandbox = sandbox()?;
    let params = super::params(args.params.as_deref())?;
    let config = args.pipeline.as_deref().map(Config::read).transpose()?;
    let mut wrong = 0;
    for file in &args.files {
        let allowed = Allowed::by(config.as_ref(), file);
        match summary(&sandbox, &allowed, file, &params) {
            Ok(summary) => say!("{}: good: {summary}", file.display()),
            Err(error) => {
                say!("WRONG: {}", told(error.as_ref()));
                wrong += 1;
            }
        }
    }
    match wrong {
        0 => Ok(()),
        _ => bail!("{wrong} of {} can't be used", args.files.len()),
    }
}

fn summary(
    sandbox: &Arc<Sandbox>,
    allowed: &Allowed,
    file: &Path,
    params: &str,
) -> anyhow::Result<String> {
    let inspected = allowed.open(sandbox, file)?;
    let step = inspected.component.step();
    let configured = inspected.configure_within(params, &allowed.limits)?;
    let said = match configured.description {
        Description::Rows(rows) => format!(
            "{} columns read, {} look-ups, {} columns written, {} rules",
            rows.reads.len(),
            rows.look_ups.len(),
            rows.writes.len(),
            rows.rules.len()
        ),
        Description::Groups(groups) => format!(
            "{} columns read, by {}, {} measures",
            groups.reads.len(),
            groups.keys.join(", "),
            groups.measures.len()
        ),
    };
    let kib = inspected.size.div_ceil(1024);
    Ok(format!("step {step}, {kib} KiB, {said}"))
}

pub(super) fn inspect(args: &InspectArgs) -> anyhow::Result<()> {
    let inspected = Inspected::open(&sandbox()?, &args.file, &CompileLimits::default())?;
    let configured = inspected.configure(&super::params(args.params.as_deref())?)?;
    put!("{}", inspected.summary());
    for signature in &Signatures::beside(&args.file)? {
        let of = match signature.is_of(inspected.digest) {
            true => "",
            false => ", of other bytes: it counts for nothing",
        };
        say!("signed    with {}{of}", signature.key.id());
    }
    put!("{}", described(&configured.description));
    Ok(())
}
