//! `assay plugin`: from a rule's source to a component.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Subcommand;

use crate::author::build;

/// Where plugins are looked for when none is named.
const PLUGINS: &str = "plugins";

/// Build rules into WebAssembly components
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Build each plugin's component, and write it beside its Cargo.toml
    ///
    /// Uses the Rust on the PATH; if that can't compile to WebAssembly and rustup can't add the
    /// target, Debian's rustc-web. Says what to install if there is neither.
    Build {
        /// Folders of plugins. Without any: every plugin in ./plugins
        #[arg(value_name = "FOLDER")]
        folders: Vec<PathBuf>,
    },
}

/// # Errors
/// What is missing on this machine, or wrong with a plugin.
pub fn run(args: Args) -> anyhow::Result<()> {
    let Verb::Build { folders } = args.verb;
    let folders = if folders.is_empty() {
        default_folders()?
    } else {
        folders
    };
    for built in build::build_all(&folders).context("build plugins")? {
        let kib = built.size.div_ceil(1024);
        let news = if built.changed { "" } else { ", unchanged" };
        println!("{} ({kib} KiB{news})", built.path.display());
    }
    Ok(())
}

fn default_folders() -> anyhow::Result<Vec<PathBuf>> {
    let found = build::plugins_in(Path::new(PLUGINS))
        .context("look for plugins; name a plugin's folder, or go to where ./plugins is")?;
    if found.is_empty() {
        bail!("no plugin in ./{PLUGINS}; name a plugin's folder");
    }
    Ok(found)
}
