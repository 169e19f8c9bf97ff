//! `assay plugin run`: a component over rows, of a file or of a bronze table. Nothing is written.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use serde_json::Value;

use super::super::common::{LakeArgs, block_on, sandbox};
use super::Allowed;
use crate::author::trial::{Line, Malformed, Rows, Setting, Trial, TrialError};
use crate::medallion::cut::message_schema;
use crate::pipeline::config::Config;
use crate::pipeline::plan::Plan;

/// Characters of a malformed line that are shown.
const MOST_INPUT: usize = 200;

/// Run a component over rows of a file, or of a tenant's bronze table: shows what it writes and
/// which rules are broken, a JSON object a line. Nothing is written
///
/// A line is as in the cases of `assay plugin test`. Without --pipeline the rows have just the
/// columns that the component reads, as if other components had written those that no event has;
/// a dimension that it looks up is a file of its name beside the rows (product.csv). A line that is no
/// JSON object is shown as the host would have it: in quarantine, as malformed, and the rest goes on.
#[derive(clap::Args)]
#[group(id = "input", required = true, multiple = false, args = ["rows", "bronze"])]
pub(super) struct Args {
    /// A component, as `assay plugin build` makes it
    file: PathBuf,
    /// Rows: a file of one JSON object a line, or - for standard input
    #[arg(long, value_name = "FILE")]
    rows: Option<PathBuf>,
    /// Rows of the tenant's bronze table, the latest files first
    #[arg(long, requires = "pipeline")]
    bronze: bool,
    /// How many rows of bronze at least, if there are so many: whole files are read
    #[arg(long, value_name = "ROWS", default_value = "10000")]
    last: usize,
    /// Its params: a JSON object, or a file with one
    #[arg(long, value_name = "JSON or FILE")]
    params: Option<String>,
    /// A tenant's TOML: its fields, its time zone, the files of its dimensions, and its limits
    #[arg(long, value_name = "FILE")]
    pipeline: Option<PathBuf>,
    /// Show only rows that break a rule, or that the component fails on
    #[arg(long)]
    broken: bool,
    #[command(flatten)]
    lake: LakeArgs,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let config = args.pipeline.as_deref().map(Config::read).transpose()?;
    let allowed = Allowed::by(config.as_ref(), &args.file);
    let inspected = allowed.open(&sandbox()?, &args.file)?;
    let params = super::params(args.params.as_deref())?;
    let configured = inspected.configure_within(&params, &allowed.limits)?;
    let setting = match &config {
        Some(config) => of_tenant(config)?,
        None => {
            let rows = args.rows.as_deref().and_then(Path::parent);
            Setting::of_component(&configured.description, &[rows.unwrap_or(Path::new(""))])?
        }
    };
    let trial = Trial::new(&inspected.name(), configured, setting)?;
    for note in trial.notes() {
        eprintln!("note: {note}");
    }
    let (rows, malformed) = match (&args.rows, &config) {
        (Some(path), _) => trial
            .read_well_formed(&contents(path)?)
            .with_context(|| path.display().to_string())?,
        (None, Some(config)) => (of_bronze(args, config, &trial)?, Vec::new()),
        (None, None) => bail!("name rows with --rows, or --bronze with --pipeline"),
    };
    let lines = trial.run(&rows).map_err(|error| {
        if let TrialError::Group {
            cause: Some(cause), ..
        } = &error
        {
            super::tell_limits(&BTreeSet::from([*cause]));
        }
        told(error, &rows)
    })?;
    show(&rows, &malformed, &lines, args.broken)?;
    eprintln!("{}", summary(&rows, &malformed, &lines));
    super::tell_limits(&lines.iter().filter_map(|line| line.failed).collect());
    Ok(())
}

/// What went wrong, with the row that brings it about.
fn told(error: TrialError, rows: &Rows) -> anyhow::Error {
    match &error {
        TrialError::Group { row: Some(row), .. } => {
            let text = rows.text(*row).unwrap_or_default();
            anyhow::anyhow!("{error}\nrow {} alone brings it about: {text}", row + 1)
        }
        _ => error.into(),
    }
}

/// The pipeline's events and dimensions. Its components are no matter here.
fn of_tenant(config: &Config) -> anyhow::Result<Setting> {
    let mut config = config.clone();
    config.cleanse.clear();
    config.validate.clear();
    config.enrich.clear();
    config.gold.clear();
    let plan = block_on(async { Ok(Plan::of(&config, None).await?) })?;
    Ok(Setting::of_tenant(&plan.definition, &plan.blobs)?)
}

fn contents(path: &Path) -> anyhow::Result<Vec<u8>> {
    if path == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::stdin().read_to_end(&mut bytes)?;
        return Ok(bytes);
    }
    std::fs::read(path).with_context(|| format!("read rows {}", path.display()))
}

fn of_bronze(args: &Args, config: &Config, trial: &Trial) -> anyhow::Result<Rows> {
    let bronze = block_on(bronze(args, config))?;
    let (rows, malformed) = trial.read_bronze(&bronze)?;
    if !malformed.is_empty() {
        let malformed = malformed.len();
        eprintln!("note: {malformed} malformed messages are left out, as no component sees them");
    }
    Ok(rows)
}

/// The latest messages of a tenant's bronze table.
async fn bronze(args: &Args, config: &Config) -> anyhow::Result<RecordBatch> {
    let path = format!("{}/bronze", config.tenant);
    let lake = args.lake.existing_of(config)?;
    let Some(table) = lake.open_table(&path).await? else {
        bail!("there is no table {path} in the lake; say where it is with --lake");
    };
    let schema = message_schema();
    let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
    let mut files: Vec<_> = table.files().collect();
    files.sort_by_key(|file| std::cmp::Reverse(file.modified));
    let (reader, mut parts, mut count) = (table.reader(), Vec::new(), 0);
    for file in files {
        if count >= args.last {
            break;
        }
        let rows = reader.read(file, Some(&names)).await?;
        count += rows.iter().map(RecordBatch::num_rows).sum::<usize>();
        parts.splice(0..0, rows);
    }
    let schema = parts.first().map_or(schema, RecordBatch::schema);
    Ok(concat_batches(&schema, &parts)?)
}

/// A row that the component fails on is shown with what it was: from standard input nobody has it.
/// So is a line that is malformed, among the rows where it stood; groups have no such place.
fn show(
    rows: &Rows,
    malformed: &[Malformed],
    lines: &[Line],
    only_broken: bool,
) -> anyhow::Result<()> {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let mut malformed = malformed.iter().peekable();
    for line in lines {
        while let Some(bad) = malformed.next_if(|bad| line.row.is_none_or(|row| bad.row < row)) {
            writeln!(out, "{}", of_malformed(bad))?;
        }
        if !only_broken || line.failed.is_some() || !line.broken.is_empty() {
            let text = line.row.filter(|_| line.failed.is_some());
            let text = text.and_then(|row| rows.text(row));
            match (text, line.told().strip_suffix('}')) {
                (Some(text), Some(open)) => writeln!(out, "{open},\"input\":{text}}}")?,
                _ => writeln!(out, "{}", line.told())?,
            }
        }
    }
    for bad in malformed {
        writeln!(out, "{}", of_malformed(bad))?;
    }
    Ok(out.flush()?)
}

/// What the host would say of a message that no component sees.
fn of_malformed(bad: &Malformed) -> String {
    let Malformed {
        row,
        line,
        problem,
        text,
    } = bad;
    let verdict = Value::from(format!("quarantine malformed: {problem}"));
    let mut input: String = text.chars().take(MOST_INPUT).collect();
    if input.len() < text.len() {
        input.push('…');
    }
    format!(
        "{{\"row\":{},\"line\":{line},\"verdicts\":[{verdict}],\"input\":{}}}",
        row + 1,
        Value::from(input)
    )
}

/// How many rows, and how many of them broke which rule.
fn summary(rows: &Rows, malformed: &[Malformed], lines: &[Line]) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for rule in lines.iter().flat_map(|line| &line.broken) {
        *counts.entry(rule).or_default() += 1;
    }
    let failed = lines.iter().filter(|line| line.failed.is_some()).count();
    let mut text = format!("{} rows", rows.len() + malformed.len());
    if !malformed.is_empty() {
        text.push_str(&format!(", {} malformed", malformed.len()));
    }
    if failed > 0 {
        text.push_str(&format!(", {failed} that it fails on"));
    }
    for (rule, count) in counts {
        text.push_str(&format!(", {count} {rule}"));
    }
    text
}
