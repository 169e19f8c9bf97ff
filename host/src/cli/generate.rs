//! `assay generate`: sales to try a pipeline on, with the truth about them beside.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use chrono::NaiveDate;
use chrono_tz::Tz;

use crate::demo::expected::Kind;
use crate::demo::generate::{Event, Generator, Options, Shares};
use crate::demo::pour::{Lines, Sink, pour};

/// Generates sales, and writes beside them what the tables must hold in the end.
///
/// The same options give the same lines. With the defaults, 1,000,000 sales of 60 stores and
/// 5,000 products over five days go to FOLDER/events/sales.ndjson: 2 in 100 lines are duplicates,
/// 1 in 100 is invalid or malformed, 1 in 100 sales comes a day late.
///
/// FOLDER gets expected.json (rows by table and by quarantine rule, and the rows of daily_sales,
/// amounts in cents), and the dimensions products.csv and stores.csv.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Where the files go
    #[arg(default_value = "sales")]
    pub folder: PathBuf,

    /// How many lines to make
    #[arg(long, default_value_t = 1_000_000)]
    pub count: u64,

    /// Another seed gives other sales of the same products and stores
    #[arg(long, default_value_t = 42)]
    pub seed: u64,

    /// How many stores sell
    #[arg(long, default_value_t = 60)]
    pub stores: u32,

    /// How many products are sold
    #[arg(long, default_value_t = 5_000)]
    pub products: u32,

    /// The first business day
    #[arg(long, value_name = "DATE", default_value = "2025-03-01")]
    pub start: NaiveDate,

    /// Over how many days the sales spread
    #[arg(long, default_value_t = 5)]
    pub days: u32,

    /// Time zones that the stores take in turn, as in Europe/London,America/New_York
    #[arg(
        long,
        value_name = "ZONE,…",
        value_delimiter = ',',
        default_value = "UTC"
    )]
    pub zones: Vec<Tz>,

    /// Lines a second; without it, as fast as they can be taken
    #[arg(long, value_name = "PER SECOND")]
    pub rate: Option<NonZeroU64>,

    #[command(flatten)]
    pub shares: ShareArgs,

    /// Also write expected-ids.csv: for each line, in order, its id, its table and its rule
    #[arg(long)]
    pub ids: bool,

    /// Write the lines to standard output instead of a file
    #[arg(long, conflicts_with = "kafka")]
    pub stdout: bool,

    /// Send the lines to these brokers instead of writing a file; keyed by store
    #[arg(long, value_name = "HOST:PORT,…")]
    pub kafka: Option<String>,

    /// The topic to send to
    #[arg(long, default_value = "sales", requires = "kafka")]
    pub topic: String,

    /// A property of librdkafka, as in security.protocol=ssl; may be given often
    #[arg(long = "property", value_name = "NAME=VALUE", requires = "kafka", value_parser = property)]
    pub properties: Vec<(String, String)>,
}

/// Parts of the stream, each from 0 to 1.
#[derive(Clone, Copy, Debug, clap::Args)]
#[command(next_help_heading = "Shares, from 0 to 1")]
pub struct ShareArgs {
    /// Lines that repeat an earlier one
    #[arg(long, value_name = "SHARE", default_value_t = 0.02)]
    pub duplicates: f64,

    /// Lines that repeat an earlier one with another quantity
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    pub conflicts: f64,

    /// Lines with a negative quantity, without an id, or with a timestamp that is none
    #[arg(long, value_name = "SHARE", default_value_t = 0.0075)]
    pub invalid: f64,

    /// Lines that are cut off
    #[arg(long, value_name = "SHARE", default_value_t = 0.0025)]
    pub malformed: f64,

    /// Sales that come a day late
    #[arg(long, value_name = "SHARE", default_value_t = 0.01)]
    pub late: f64,

    /// Valid sales that are goods brought back
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    pub returns: f64,

    /// Valid sales with a discount
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    pub discounts: f64,
}

/// The topic that `--kafka` and `--topic` name.
#[derive(Clone, Debug)]
pub struct Target<'a> {
    pub brokers: &'a str,
    pub topic: &'a str,
    pub properties: BTreeMap<String, String>,
}

/// Runs the verb. `connect` opens the producer that `--kafka` asks for.
///
/// # Errors
/// Options that make no sense, or what the files or the brokers say.
pub fn run(args: &Args, connect: impl FnOnce(Target<'_>) -> Result<Box<dyn Sink>>) -> Result<()> {
    let mut generator = Generator::new(args.options())?;
    fs::create_dir_all(&args.folder)
        .with_context(|| format!("create the folder {}", args.folder.display()))?;
    write_dimensions(&generator, &args.folder)?;
    let (mut sink, place) = open(args, connect)?;
    let mut ids = args.ids.then(|| Ids::create(&args.folder)).transpose()?;
    pour(&mut generator, sink.as_mut(), args.rate, |event| {
        ids.as_mut().map_or(Ok(()), |ids| ids.write(event))
    })
    .with_context(|| format!("write events to {place}"))?;
    if let Some(ids) = ids {
        ids.close()?;
    }
    let expected = args.folder.join("expected.json");
    write_expected(&generator, &expected)?;
    eprintln!(
        "made {} events: {place}\nwhat the tables must hold: {}",
        generator.expected().lines(),
        expected.display()
    );
    Ok(())
}

impl Args {
    fn options(&self) -> Options {
        Options {
            seed: self.seed,
            count: self.count,
            stores: self.stores,
            products: self.products,
            first_day: self.start,
            days: self.days,
            zones: self.zones.clone(),
            shares: self.shares.into(),
        }
    }
}

impl From<ShareArgs> for Shares {
    fn from(args: ShareArgs) -> Self {
        Self {
            duplicates: args.duplicates,
            conflicts: args.conflicts,
            invalid: args.invalid,
            malformed: args.malformed,
            late: args.late,
            returns: args.returns,
            discounts: args.discounts,
        }
    }
}

/// The sink that the options ask for, and what to call it.
fn open(
    args: &Args,
    connect: impl FnOnce(Target<'_>) -> Result<Box<dyn Sink>>,
) -> Result<(Box<dyn Sink>, String)> {
    if let Some(brokers) = &args.kafka {
        let topic = args.topic.as_str();
        let sink = connect(Target {
            brokers,
            topic,
            properties: args.properties.iter().cloned().collect(),
        })?;
        return Ok((sink, format!("topic {topic} at {brokers}")));
    }
    if args.stdout {
        let lines = Lines(BufWriter::new(io::stdout().lock()));
        return Ok((Box::new(lines), "standard output".to_owned()));
    }
    // In a folder of their own: a file source that reads the folder must not meet expected.json.
    let folder = args.folder.join("events");
    fs::create_dir_all(&folder)
        .with_context(|| format!("create the folder {}", folder.display()))?;
    let path = folder.join("sales.ndjson");
    let place = path.display().to_string();
    Ok((Box::new(Lines(create(&path)?)), place))
}

/// `expected-ids.csv`. A line without an id has an empty one.
struct Ids(BufWriter<File>);

impl Ids {
    fn create(folder: &Path) -> Result<Self> {
        let mut file = create(&folder.join("expected-ids.csv"))?;
        writeln!(file, "id,table,rule")?;
        Ok(Self(file))
    }

    fn write(&mut self, event: &Event<'_>) -> io::Result<()> {
        if event.kind != Kind::MissingId {
            event.sale.write_id(&mut self.0)?;
        }
        let rule = event.kind.rule().unwrap_or_default();
        writeln!(self.0, ",{},{rule}", event.kind.table())
    }

    fn close(mut self) -> Result<()> {
        self.0.flush().context("write expected-ids.csv")
    }
}

fn write_dimensions(generator: &Generator, folder: &Path) -> Result<()> {
    let catalogue = generator.catalogue();
    catalogue
        .write_products(&mut create(&folder.join("products.csv"))?)
        .context("write products.csv")?;
    catalogue
        .write_stores(&mut create(&folder.join("stores.csv"))?)
        .context("write stores.csv")
}

fn write_expected(generator: &Generator, path: &Path) -> Result<()> {
    let mut file = create(path)?;
    serde_json::to_writer_pretty(&mut file, &generator.expected().report(generator.seed()))
        .and_then(|()| writeln!(file).map_err(serde_json::Error::io))
        .and_then(|()| file.flush().map_err(serde_json::Error::io))
        .with_context(|| format!("write {}", path.display()))
}

fn create(path: &Path) -> Result<BufWriter<File>> {
    let file = File::create(path).with_context(|| format!("create {}", path.display()))?;
    Ok(BufWriter::with_capacity(1 << 20, file))
}

fn property(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write NAME=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use anyhow::bail;
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        args: Args,
    }

    fn args(folder: &Path, more: &[&str]) -> Args {
        let folder = folder.to_str().unwrap();
        Command::parse_from(["generate", folder].iter().chain(more)).args
    }

    fn no_kafka(_: Target<'_>) -> Result<Box<dyn Sink>> {
        bail!("nothing asked for Kafka")
    }

    fn read(folder: &Path, name: &str) -> String {
        fs::read_to_string(folder.join(name)).unwrap()
    }

    #[test]
    fn a_folder_gets_lines_dimensions_expectation_and_ids() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        run(
            &args(folder, &["--count", "2000", "--conflicts", "0.01", "--ids"]),
            no_kafka,
        )
        .unwrap();
        let lines = read(folder, "events/sales.ndjson");
        let expected: serde_json::Value =
            serde_json::from_str(&read(folder, "expected.json")).unwrap();
        assert_eq!(expected["count"], 2_000);
        assert_eq!(expected["bytes"], lines.len() - 2_000);
        assert_eq!(read(folder, "products.csv").lines().count(), 5_001);
        assert_eq!(read(folder, "stores.csv").lines().count(), 61);

        let ids = read(folder, "expected-ids.csv");
        let ids: Vec<&str> = ids.lines().skip(1).collect();
        assert_eq!(ids.len(), 2_000);
        for (line, row) in lines.lines().zip(&ids) {
            let (id, rest) = row.split_once(',').unwrap();
            assert_eq!(id.is_empty(), rest == "quarantine,no_key", "{row}");
            assert!(line.contains(id), "{row}: {line}");
        }
        let refused = |rule: &str| {
            ids.iter()
                .filter(|row| row.ends_with(&format!(",quarantine,{rule}")))
                .count()
        };
        for (rule, rows) in expected["quarantine"].as_object().unwrap() {
            assert_eq!(*rows, refused(rule), "{rule}");
        }
    }

    #[test]
    fn to_kafka_go_the_same_lines_keyed_by_store() {
        struct Taken(Rc<RefCell<Vec<(String, String)>>>);
        impl Sink for Taken {
            fn send(&mut self, key: &[u8], line: &[u8]) -> io::Result<()> {
                let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                self.0.borrow_mut().push((text(key), text(line)));
                Ok(())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        run(&args(folder, &["--count", "50"]), no_kafka).unwrap();
        let taken = Rc::new(RefCell::new(Vec::new()));
        let more = [
            "--count",
            "50",
            "--kafka",
            "here:9092",
            "--property",
            "linger.ms=5",
        ];
        run(&args(folder, &more), |target| {
            assert_eq!((target.brokers, target.topic), ("here:9092", "sales"));
            assert_eq!(target.properties["linger.ms"], "5");
            Ok(Box::new(Taken(taken.clone())))
        })
        .unwrap();
        let lines: Vec<String> = taken
            .borrow()
            .iter()
            .map(|(_, line)| line.clone())
            .collect();
        assert_eq!(lines.join("\n") + "\n", read(folder, "events/sales.ndjson"));
        for (key, line) in taken
            .borrow()
            .iter()
            .filter(|(_, line)| line.ends_with('}'))
        {
            assert!(line.contains(&format!("\"store_id\":\"{key}\"")));
        }
    }

    #[test]
    fn the_defaults_are_the_generator_s_own() {
        let made = args(Path::new("x"), &[]).options();
        let own = Options::default();
        assert_eq!(format!("{:?}", made.shares), format!("{:?}", own.shares));
        assert_eq!(
            (made.seed, made.count, made.days),
            (own.seed, own.count, own.days)
        );
        assert_eq!((made.stores, made.products), (own.stores, own.products));
        assert_eq!(made.first_day, own.first_day);
    }
}
