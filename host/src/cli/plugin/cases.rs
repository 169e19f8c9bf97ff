//! `assay plugin test`: a plugin's golden cases, on the component itself.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};

use super::super::common::sandbox;
use super::{Allowed, SymbolsArgs};
use crate::author::build;
use crate::author::cases::{self, How, Outcome};
use crate::author::trial::{Found, Generated};
use crate::cli::out::say;
use crate::pipeline::config::Config;
use crate::plugin::Sandbox;
use crate::told::told;

/// Build plugins and run their cases through the components, as the host would
///
/// A case is a folder in the plugin's cases/: rows.ndjson goes in, expected.ndjson must come out: a
/// line a row with what was written and which rules it broke, or a line a group. Where the params
/// are to be refused, or the rows to fail, error.txt says how. params.json, and a file for each
/// dimension that is looked up (product.csv), may stand beside, or in cases/ for all.
///
/// Each case is also cut in every place: the answer must be the same, and merging must be
/// associative and commutative. So it must be over rows more, which are made of the case's: fields
/// change their values, go missing, or are as large as they can be.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Folders of plugins. Without any: this folder, if it is a plugin; else every plugin in
    /// ./plugins
    #[arg(value_name = "FOLDER")]
    folders: Vec<PathBuf>,
    /// Write what comes out as what is expected. Read it before you commit it
    #[arg(long)]
    bless: bool,
    /// What the rows that nobody wrote come of: another number, other rows
    #[arg(long, value_name = "NUMBER", default_value = "1")]
    seed: u64,
    /// How many rows that nobody wrote are tried with each case
    #[arg(long, value_name = "ROWS", default_value = "48")]
    generate: usize,
    #[command(flatten)]
    symbols: SymbolsArgs,
    /// A tenant's TOML, whose limits the components have: those of the component's own, if it stands
    /// there. Without it, they have what a TOML allows that says nothing
    #[arg(long, value_name = "FILE")]
    pipeline: Option<PathBuf>,
}

pub(super) fn run(args: Args) -> anyhow::Result<()> {
    let folders = super::folders_or_default(args.folders)?;
    let built = build::build_all(&folders, args.symbols.names()).context("build plugins")?;
    let config = args.pipeline.as_deref().map(Config::read).transpose()?;
    let sandbox = sandbox()?;
    let how = How {
        bless: args.bless,
        seed: args.seed,
        generate: args.generate,
    };
    let (mut run, mut wrong, mut may_be_right) = (0, 0, false);
    let mut causes = BTreeSet::new();
    for (folder, built) in folders.iter().zip(built) {
        say!("{}", built.path.display());
        let allowed = Allowed::by(config.as_ref(), &built.path);
        let outcomes = of_plugin(&sandbox, &allowed, folder, &built.path, how)?;
        for outcome in &outcomes {
            run += 1;
            wrong += u32::from(!outcome.is_good());
            may_be_right |= outcome.may_be_right;
            causes.extend(outcome.causes.iter().copied());
            show(outcome);
        }
        show_generated(folder, &outcomes, how);
    }
    if wrong > 0 {
        super::tell_limits(&causes);
    }
    match (run, wrong) {
        (0, _) => bail!("no cases: a case is a folder in the plugin's cases/ with a rows.ndjson"),
        (_, 0) => Ok(()),
        _ if may_be_right => {
            bail!("{wrong} of {run} cases are wrong; where the new answer is right, say --bless")
        }
        _ => bail!("{wrong} of {run} cases are wrong"),
    }
}

fn of_plugin(
    sandbox: &Arc<Sandbox>,
    allowed: &Allowed,
    plugin: &Path,
    component: &Path,
    how: How,
) -> anyhow::Result<Vec<Outcome>> {
    let component = allowed.open(sandbox, component)?.component;
    let mut outcomes = Vec::new();
    for case in cases::find(plugin)? {
        let outcome = cases::run(&component, &allowed.limits, &case, how);
        outcomes.push(outcome.unwrap_or_else(|error| Outcome::unread(&case, told(&error))));
    }
    Ok(outcomes)
}

fn show(outcome: &Outcome) {
    let Outcome { name, rows, .. } = outcome;
    let ways: usize = outcome.properties.iter().map(|p| p.ways).sum();
    let news = match (outcome.is_good(), outcome.blessed) {
        (false, _) => "WRONG",
        (true, true) => "written anew",
        (true, false) => "good",
    };
    say!("  case {name}: {news} ({rows} rows, cut in {ways} ways)");
    for note in &outcome.notes {
        say!("    note: {note}");
    }
    for line in &outcome.difference {
        say!("    {line}");
    }
    for property in &outcome.properties {
        if let Some(broken) = &property.broken {
            say!("    does not hold: {}: {}", property.name, broken.way);
            broken.told.iter().for_each(|line| say!("      {line}"));
        }
    }
}

/// What came of rows that nobody wrote: of all cases together, or the rows that show what is wrong.
fn show_generated(folder: &Path, outcomes: &[Outcome], how: How) {
    let of = |count: fn(&Generated) -> usize| -> usize {
        outcomes
            .iter()
            .map(|outcome| count(&outcome.generated))
            .sum()
    };
    let (rows, ways, seed) = (of(|of| of.rows), of(|of| of.ways), how.seed);
    if rows > 0 {
        say!("  and {rows} rows that nobody wrote, cut in {ways} ways (--seed {seed})");
    }
    for outcome in outcomes {
        let Some(found) = &outcome.generated.found else {
            continue;
        };
        let Found {
            property,
            broken,
            rows,
        } = found;
        say!("    does not hold: {property}: {}, of these:", broken.way);
        rows.iter().for_each(|row| say!("      {row}"));
        broken.told.iter().for_each(|line| say!("      {line}"));
        let (case, folder) = (&outcome.name, folder.display());
        say!(
            "      made of case {case}; again: assay plugin test {folder} --seed {seed} --generate {}; to keep them, put these rows into a case",
            how.generate
        );
    }
}
