//! `assay plugin new`: a project to begin with.

use std::path::{Path, PathBuf};

use clap::ValueEnum;

use super::PLUGINS;
use crate::author::Language;
use crate::author::new::{self, Sdk};
use crate::cli::out::say;
use crate::plugin::Step;

/// Write a project for a new rule: it builds, has tests and cases, and explains itself
///
/// The project goes into a folder of its name: in ./plugins where there is one, else here. In a
/// checkout of Assay a project in Rust uses the checkout's SDK; anywhere else it gets a copy of the SDK
/// and the contract, as of this program, in its folder assay-rules: nothing but Rust is needed to build
/// it. One in JavaScript, TypeScript or Python has the SDK in a file beside it, and needs Node.js or
/// Python 3.
#[derive(clap::Args)]
pub(super) struct Args {
    /// What the rule is called, as in check-prices
    // So that a name like `-x` is told what a name is, instead of which options there are.
    #[arg(allow_hyphen_values = true)]
    name: String,
    /// The step that it does
    #[arg(long, value_enum)]
    step: NewStep,
    /// The language that it is written in
    #[arg(long, value_enum, default_value = "rust")]
    lang: NewLanguage,
    /// The folder to put the project's folder in
    #[arg(long = "in", value_name = "FOLDER")]
    parent: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum NewStep {
    /// Repair fields, before the row's key, date and look-ups
    Cleanse,
    /// Say which rows break which rules
    Validate,
    /// Add columns to each row
    Enrich,
    /// Add rows up to a gold table
    Aggregate,
}

/// The languages that there are.
#[derive(Clone, Copy, ValueEnum)]
enum NewLanguage {
    /// The quickest, by far, and the smallest
    Rust,
    #[value(name = "javascript")]
    JavaScript,
    /// JavaScript whose types are checked before it is built
    #[value(name = "typescript")]
    TypeScript,
    Python,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let language = match args.lang {
        NewLanguage::Rust => Language::Rust,
        NewLanguage::JavaScript => Language::JavaScript,
        NewLanguage::TypeScript => Language::TypeScript,
        NewLanguage::Python => Language::Python,
    };
    let step = match args.step {
        NewStep::Cleanse => Step::Cleanse,
        NewStep::Validate => Step::Validate,
        NewStep::Enrich => Step::Enrich,
        NewStep::Aggregate => Step::Aggregate,
    };
    let plugins = Path::new(PLUGINS);
    let parent = match &args.parent {
        Some(parent) => parent.as_path(),
        None if plugins.is_dir() => plugins,
        None => Path::new("."),
    };
    let project = new::create(&args.name, step, language, parent)?;
    let folder = project.folder.display();
    say!("{folder}: a rule that does the step {step}");
    match project.sdk {
        Sdk::Checkout { path, .. } => {
            say!("its SDK is this checkout's ({} from there)", path.display());
        }
        Sdk::Copy => say!("its SDK is a copy of its own, in {folder}/assay-rules"),
        Sdk::File { name } => say!("its SDK is a copy of its own, {folder}/{name}"),
    }
    let native = match language {
        Language::Rust => "cargo test && ",
        Language::JavaScript | Language::TypeScript | Language::Python => "",
    };
    say!("next:  cd {folder} && {native}assay plugin test");
    Ok(())
}
