//! `assay plugin`: from an idea to a component that is tested.

mod bench;
mod cases;
mod check;
mod create;
mod registry;
mod run;
mod sign;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::Subcommand;

use crate::author::build::{self, Names};
use crate::author::inspect::Inspected;
use crate::cli::out::say;
use crate::pipeline::config::{Config, LimitsConfig};
use crate::plugin::{Cause, CompileLimits, Limits, Sandbox};

/// Where plugins are looked for when none is named.
const PLUGINS: &str = "plugins";

/// Write, build and test rules: WebAssembly components
///
/// plugins/README.md is the author's page: the contract, and a tutorial.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    New(create::Args),
    /// Build each plugin's component, and write it beside its manifest
    ///
    /// The manifest says the language: Cargo.toml, package.json or pyproject.toml. For Rust, uses the one
    /// on the PATH; if that can't compile to WebAssembly and rustup can't add the target, Debian's
    /// rustc-web. For JavaScript and Python, fetches componentize-js or componentize-py, of versions that
    /// are pinned, into the user's cache, with npm or pip; for TypeScript, what checks it as well. Says what
    /// to install if one is missing.
    Build {
        /// Folders of plugins. Without any: this folder, if it is a plugin; else every plugin in
        /// ./plugins
        #[arg(value_name = "FOLDER")]
        folders: Vec<PathBuf>,
        #[command(flatten)]
        symbols: SymbolsArgs,
    },
    Test(cases::Args),
    Check(check::Args),
    Inspect(check::InspectArgs),
    Run(run::Args),
    Bench(bench::Args),
    Keygen(sign::KeygenArgs),
    Sign(sign::Args),
    Push(registry::PushArgs),
    Pull(registry::PullArgs),
}

/// # Errors
/// What is missing on this machine, or wrong with a plugin.
pub fn run(args: Args) -> anyhow::Result<()> {
    match args.verb {
        Verb::New(args) => create::run(&args),
        Verb::Build { folders, symbols } => build(folders, symbols),
        Verb::Test(args) => cases::run(args),
        Verb::Check(args) => check::run(&args),
        Verb::Inspect(args) => check::inspect(&args),
        Verb::Run(args) => run::run(&args),
        Verb::Bench(args) => bench::run(&args),
        Verb::Keygen(args) => sign::keygen(&args),
        Verb::Sign(args) => sign::run(&args),
        Verb::Push(args) => registry::run_push(&args),
        Verb::Pull(args) => registry::run_pull(&args),
    }
}

/// How plugins are built.
#[derive(clap::Args, Clone, Copy)]
struct SymbolsArgs {
    /// Keep the names of the functions in components that are written in Rust, so that a trap says in
    /// which it was. Such a component is larger, and another than without
    #[arg(long)]
    symbols: bool,
}

impl SymbolsArgs {
    fn names(self) -> Names {
        match self.symbols {
            true => Names::Kept,
            false => Names::Dropped,
        }
    }
}

fn build(folders: Vec<PathBuf>, symbols: SymbolsArgs) -> anyhow::Result<()> {
    let folders = folders_or_default(folders)?;
    for built in build::build_all(&folders, symbols.names()).context("build plugins")? {
        let kib = built.size.div_ceil(1024);
        let news = if built.changed { "" } else { ", unchanged" };
        say!("{} ({kib} KiB{news})", built.path.display());
    }
    Ok(())
}

/// The plugins that a command is about.
fn folders_or_default(folders: Vec<PathBuf>) -> anyhow::Result<Vec<PathBuf>> {
    if !folders.is_empty() {
        return Ok(folders);
    }
    let here = Path::new(".");
    if build::is_plugin(here) {
        return Ok(vec![here.to_owned()]);
    }
    let found = build::plugins_in(Path::new(PLUGINS)).context(
        "look for plugins; name a plugin's folder, go into one, or go to where ./plugins is",
    )?;
    if found.is_empty() {
        bail!("no plugin in ./{PLUGINS}; name a plugin's folder");
    }
    Ok(found)
}

/// What a component may use where it is tried: what a tenant's TOML says, if one is named, else what
/// it may where the TOML says nothing.
struct Allowed {
    limits: Limits,
    compile: CompileLimits,
    /// Bytes of its file.
    component: u64,
}

impl Allowed {
    /// A component's file, compiled, if it is not larger than a tenant may have it.
    fn open(&self, sandbox: &Arc<Sandbox>, file: &Path) -> anyhow::Result<Inspected> {
        // One that is not there is told of when it is read.
        let size = std::fs::metadata(file).map_or(0, |file| file.len());
        if size > self.component {
            let (file, allowed) = (file.display(), self.component);
            bail!("{file}: it has {size} bytes; [limits] component allows {allowed}");
        }
        Ok(Inspected::open(sandbox, file, &self.compile)?)
    }

    fn by(pipeline: Option<&Config>, component: &Path) -> Self {
        Self {
            limits: pipeline.map_or_else(Limits::default, |config| config.limits_of(component)),
            compile: pipeline.map_or_else(CompileLimits::default, |c| c.limits.host().compile),
            component: pipeline.map_or_else(
                || LimitsConfig::default().component(),
                |config| config.limits.component(),
            ),
        }
    }
}

/// Says what to do where a component came up against its limits.
fn tell_limits(causes: &BTreeSet<Cause>) {
    for cause in causes {
        let (what, limits) = match cause {
            Cause::Fuel => ("ran out of fuel", "fuel and fuel_per_row"),
            Cause::Memory => ("ran out of memory", "memory"),
            Cause::Output => ("answered with too much", "output and output_per_row"),
            Cause::Trap | Cause::Answer | Cause::Input => continue,
        };
        eprintln!(
            "note: it {what}; {limits} under [limits] of the TOML, or in `limits` beside the component there, allow more; --pipeline TOML tries it so, and `assay plugin bench` says what it needs"
        );
    }
}

/// Params as the text of a JSON object: as they are given, or in a file.
fn params(given: Option<&str>) -> anyhow::Result<String> {
    match given {
        None => Ok("{}".to_owned()),
        Some(text) if text.trim_start().starts_with('{') => Ok(text.to_owned()),
        Some(file) => std::fs::read_to_string(file).with_context(|| {
            format!("read params {file:?}; give a JSON object, as in '{{\"floor\": 2.5}}', or a file with one")
        }),
    }
}
