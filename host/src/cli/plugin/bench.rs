//! `assay plugin bench`: what a component costs.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use super::super::common::{compiler, sandbox};
use super::Allowed;
use crate::author::bench::{Candidate, compile_anew, measure, roomy};
use crate::author::cases;
use crate::author::trial::{Setting, Trial};
use crate::cli::out::say;
use crate::pipeline::config::Config;

/// Measure what a component costs: time and fuel a row, the boundary apart, memory, compiling and
/// starting
///
/// The rows are repeated to 8,192, as many as the host hands over at once; each figure is the median
/// of 41 calls. Measure with rows such as come in: the cases hold mostly what is wrong on purpose.
/// Handing over is measured with a count of no rows, at which the component has nothing to do. The
/// component may use more than a tenant allows, so that what it needs is seen beside it.
#[derive(clap::Args)]
pub(super) struct Args {
    /// A component, as `assay plugin build` makes it
    file: PathBuf,
    /// Another component, measured with the same rows
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// Rows: a file of one JSON object a line. Without it, those of the cases beside the component
    #[arg(long, value_name = "FILE")]
    rows: Option<PathBuf>,
    /// The params of both: a JSON object, or a file with one
    #[arg(long, value_name = "JSON or FILE")]
    params: Option<String>,
    /// A tenant's TOML: what it allows is what the components' needs are held against
    #[arg(long, value_name = "FILE")]
    pipeline: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let params = super::params(args.params.as_deref())?;
    let (rows, folders) = input(args)?;
    let folders: Vec<&Path> = folders.iter().map(PathBuf::as_path).collect();
    let config = args.pipeline.as_deref().map(Config::read).transpose()?;
    let mut candidates = Vec::new();
    for file in std::iter::once(&args.file).chain(&args.against) {
        let allowed = Allowed::by(config.as_ref(), file);
        let inspected = allowed.open(&sandbox()?, file)?;
        let Allowed {
            limits, compile, ..
        } = allowed;
        let wasm = std::fs::read(file)?;
        let (_, took) = compile_anew(compiler()?, &wasm, &compile)?;
        let configured = inspected.configure_within(&params, &roomy())?;
        let setting = Setting::of_component(&configured.description, &folders)?;
        let trial = Trial::new(&inspected.name(), configured, setting)?;
        let rows = trial.read(&rows).context("read the rows")?;
        if rows.is_empty() {
            bail!("there are no rows to measure with");
        }
        candidates.push(Candidate {
            trial,
            rows,
            compile: took,
            allowed: limits,
        });
    }
    let measured = measure(&candidates).with_context(|| match &args.rows {
        Some(rows) => format!("measure with the rows of {}, repeated", rows.display()),
        None => "measure with the rows of the cases, repeated; if their sums overflow, name rows such as come in with --rows".to_owned(),
    })?;
    let files = std::iter::once(&args.file).chain(&args.against);
    for (file, measured) in files.zip(&measured) {
        say!("{}\n{measured}", file.display());
    }
    if let [one, other] = measured.as_slice() {
        let share = one.a_row() / other.a_row();
        say!("the first takes {share:.2} of the second's time a row");
    }
    if cfg!(debug_assertions) {
        eprintln!(
            "note: this is a debug build of assay: a release compiles and hands over quicker"
        );
    }
    Ok(())
}

/// The rows, and the folders in which dimensions may lie.
fn input(args: &Args) -> anyhow::Result<(Vec<u8>, Vec<PathBuf>)> {
    let read =
        |path: &Path| std::fs::read(path).with_context(|| format!("read rows {}", path.display()));
    if let Some(rows) = &args.rows {
        let folder = rows.parent().unwrap_or(Path::new("")).to_owned();
        return Ok((read(rows)?, vec![folder]));
    }
    let plugin = args.file.parent().unwrap_or(Path::new(""));
    let mut folders = cases::find(plugin)?;
    folders.retain(|case| !case.join("error.txt").exists());
    let mut rows = Vec::new();
    for case in &folders {
        rows.extend(read(&case.join("rows.ndjson"))?);
        rows.push(b'\n');
    }
    if rows.is_empty() {
        bail!(
            "there are no cases beside {}; name rows with --rows",
            args.file.display()
        );
    }
    folders.push(plugin.join("cases"));
    Ok((rows, folders))
}
