//! `assay demo`: sixty stores start selling, and tables fill before your eyes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use arrow::array::{Decimal128Array, Int64Array};
use tokio::sync::watch;

use super::common::{block_on, sandbox};
use super::listen::ListenArgs;
use crate::cli::out::{put, say};
use crate::demo::generate::{Generator, Options, Shares};
use crate::demo::live::{Gold, Latency, Lines, Progress};
use crate::lake::Lake;
use crate::medallion::layer::column;
use crate::names::Tenant;
use crate::pipeline::config::{Config, SourceConfig, StartConfig, parse_duration};
use crate::pipeline::host::Roster;
use crate::pipeline::kafka::Kafka;
use crate::pipeline::meter::Meter;
use crate::pipeline::run::run_tenant;
use crate::pipeline::verify::verify;
use crate::source::{Broker, Producer};

const TOPIC: &str = "sales";
const PARTITIONS: i32 = 4;
/// The embedded broker forgets its oldest messages; the generator stays this close to the host.
const FURTHEST_AHEAD: u64 = 20_000;
/// How long the host may take for what is under way when the demo ends.
const PATIENCE: Duration = Duration::from_secs(60);

/// Watch it work: a Kafka broker in the process, sixty stores that sell, and the tables that fill.
/// At the end the books are checked, and you are told how to open the tables
#[derive(clap::Args)]
pub struct Args {
    /// End after this long, as in 30s; without it, at Ctrl-C
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_duration)]
    length: Option<Duration>,
    /// Sales a second
    #[arg(long, default_value_t = 2_000)]
    rate: u64,
    /// The pipeline to run; its source is replaced by the demo's own
    #[arg(long, value_name = "FILE", default_value = "pipelines/retail.toml")]
    pipeline: PathBuf,
    /// Where the demo's lakes go, one folder for each start
    #[arg(long, value_name = "FOLDER", default_value = "lake")]
    lake: PathBuf,
    #[command(flatten)]
    listen: ListenArgs,
}

/// What the generator and the printer share.
#[derive(Default)]
struct Shared {
    sent: AtomicU64,
    stop: AtomicBool,
}

/// # Errors
/// A pipeline that can't run, or books that do not balance at the end.
pub fn run(args: Args) -> anyhow::Result<()> {
    block_on(async {
        let mut config = Config::read(&args.pipeline)?;
        let broker = Broker::start()?;
        broker.create_topic(TOPIC, PARTITIONS)?;
        config.source = SourceConfig::Kafka {
            brokers: broker.bootstrap_servers()?,
            topics: vec![TOPIC.to_owned()],
            group: None,
            start: StartConfig::Earliest,
            properties: [("session.timeout.ms".to_owned(), "6000".to_owned())].into(),
        };
        let folder = args.lake.join(format!(
            "demo-{}",
            chrono::Utc::now().format("%Y%m%dT%H%M%S")
        ));
        let uri = folder.display().to_string();
        let lake = Lake::open(&uri).with_context(|| format!("open lake {uri}"))?;
        let tenant = config.tenant.clone();
        say!(
            "sixty stores sell {} times a second; tables in {uri}/{tenant}",
            args.rate
        );
        say!("Ctrl-C ends it; then the books are checked\n");

        let meter = Arc::new(Meter::default());
        let shared = Arc::new(Shared::default());
        let (stop, shutdown) = watch::channel(false);
        let sandbox = sandbox()?;
        let roster = Roster::of(&config, &lake, &meter);
        let host = run_tenant(
            config,
            lake.clone(),
            sandbox.clone(),
            Kafka::default(),
            meter.clone(),
            false,
            shutdown,
        );
        let server = args
            .listen
            .or_local()
            .serve(roster, sandbox.clone())
            .await?;
        let mut host = tokio::spawn(host);
        let selling = {
            let (shared, meter) = (shared.clone(), meter.clone());
            let (brokers, rate) = (broker.bootstrap_servers()?, args.rate);
            tokio::task::spawn_blocking(move || sell(&brokers, rate, &shared, &meter))
        };
        let watched = tokio::select! {
            watched = watch_it(&lake, &tenant, &meter, &shared, args.length) => watched,
            ended = &mut host => match ended? {
                Err(error) => Err(error.into()),
                Ok(()) => Err(anyhow::anyhow!("the host ended by itself")),
            },
        };
        shared.stop.store(true, Ordering::Relaxed);
        let sold = selling.await?;
        watched?;
        sold?;
        say!("\nthe stores are closed; what they sold is committed");
        let until = Instant::now() + PATIENCE;
        while meter.counts().bronze < shared.sent.load(Ordering::Relaxed) {
            if Instant::now() > until {
                bail!("the host did not take in everything within {PATIENCE:?}");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        stop.send_replace(true);
        host.await??;
        drop(server);
        let report = verify(&lake, &tenant, sandbox).await?;
        super::verify::print(&tenant, &report);
        say!("{}", what_next(&uri, &tenant));
        if !report.balances() {
            bail!("the books of {tenant} do not balance");
        }
        Ok(())
    })
}

/// Sells until told to stop. Blocks.
fn sell(brokers: &str, rate: u64, shared: &Shared, meter: &Meter) -> anyhow::Result<()> {
    let mut producer = Producer::new(brokers, &BTreeMap::new())?;
    let mut generator = Generator::new(Options {
        shares: Shares {
            conflicts: 0.001,
            returns: 0.02,
            discounts: 0.1,
            ..Shares::default()
        },
        ..Options::default()
    })?;
    let began = Instant::now();
    let mut sent = 0;
    while !shared.stop.load(Ordering::Relaxed) {
        let due = (began.elapsed().as_secs_f64() * rate as f64) as u64;
        let room = (meter.counts().bronze + FURTHEST_AHEAD).saturating_sub(sent);
        for _ in 0..due.saturating_sub(sent).min(room) {
            let event = generator.next_at(chrono::Utc::now().timestamp_millis());
            producer.send(TOPIC, Some(event.key.as_bytes()), Some(event.line))?;
            sent += 1;
        }
        shared.sent.store(sent, Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(10));
    }
    producer.flush()?;
    Ok(())
}

/// Prints how things stand, once a second, until the time is over or Ctrl-C.
async fn watch_it(
    lake: &Lake,
    tenant: &Tenant,
    meter: &Meter,
    shared: &Shared,
    length: Option<Duration>,
) -> anyhow::Result<()> {
    let began = Instant::now();
    let mut lines = Lines::new();
    let mut before = (Instant::now(), 0);
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    tick.tick().await;
    // One for all turns: a signal between two of them counts too.
    let mut stopped = std::pin::pin!(tokio::signal::ctrl_c());
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            stopped = &mut stopped => {
                stopped?;
                return Ok(());
            }
        }
        let counts = meter.counts();
        let passed = before.0.elapsed().as_secs_f64().max(0.001);
        let mut waits = counts.latencies;
        waits.sort_unstable();
        let at = |share: usize| {
            let place = (waits.len().saturating_sub(1)) * share / 100;
            waits
                .get(place)
                .map(|millis| Duration::from_millis(*millis))
        };
        let progress = Progress {
            elapsed: began.elapsed(),
            events_per_second: (counts.bronze - before.1) as f64 / passed,
            lag: shared
                .sent
                .load(Ordering::Relaxed)
                .saturating_sub(counts.bronze),
            bronze: counts.bronze,
            silver: counts.silver,
            quarantine: counts.refused.values().sum(),
            quarantine_by_rule: by_rule(counts.refused),
            gold: gold_so_far(lake, tenant).await.unwrap_or_default(),
            latency: at(50).zip(at(99)).map(|(p50, p99)| Latency { p50, p99 }),
        };
        before = (Instant::now(), counts.bronze);
        put!("{}", lines.render(&progress));
        if length.is_some_and(|length| began.elapsed() >= length) {
            return Ok(());
        }
    }
}

fn by_rule(refused: BTreeMap<(String, String), u64>) -> Vec<(String, u64)> {
    let mut rules: BTreeMap<String, u64> = BTreeMap::new();
    for ((_, rule), rows) in refused {
        *rules.entry(rule).or_default() += rows;
    }
    rules.into_iter().collect()
}

/// What gold's daily sales hold, read from the table as anyone would.
async fn gold_so_far(lake: &Lake, tenant: &Tenant) -> anyhow::Result<Gold> {
    let mut gold = Gold::default();
    let table = lake
        .open_table(&format!("{tenant}/gold/daily_sales"))
        .await?;
    let Some(table) = table else { return Ok(gold) };
    let reader = table.reader();
    for file in table.files() {
        for rows in reader.read(file, Some(&["sales", "net_amount"])).await? {
            gold.rows += rows.num_rows() as u64;
            if let Some(sales) = column::<Int64Array>(&rows, "sales") {
                gold.sales += sales.iter().flatten().map(i64::unsigned_abs).sum::<u64>();
            }
            if let Some(amounts) = column::<Decimal128Array>(&rows, "net_amount") {
                gold.net_amount += amounts.iter().flatten().sum::<i128>();
            }
        }
    }
    Ok(gold)
}

fn what_next(uri: &str, tenant: &Tenant) -> String {
    format!(
        r#"
open the tables:
  python3 -c 'import polars as pl; print(pl.read_delta("{uri}/{tenant}/gold/daily_sales"))'
  python3 -c 'import polars as pl; print(pl.read_delta("{uri}/{tenant}/quarantine").group_by("rule").len())'
  duckdb -c "INSTALL delta; LOAD delta; SELECT * FROM delta_scan('{uri}/{tenant}/silver') LIMIT 10"

make gold move: in pipelines/retail.toml, under [[validate]], change the limit to
  params = {{ max_quantity = 5 }}
and run the demo again: sales of more than 5 pieces go to quarantine as quantity_absurd, and `units` and
`net_amount` of daily_sales fall by them"#
    )
}
