//! What the road costs: CPU time, events a second and memory of the real command, from files and
//! from a real Apache Kafka that was filled before; and what the log's commits and the opening of a
//! large gold table take. Each run's tables are checked before its figures are printed.
//!
//! `make bench`; `make bench ARGS="--events 200000 file"` for less of it.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a benchmark ends where something is wrong"
)]

#[path = "../../src/kafka.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod kafka;
#[path = "../../src/place.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod place;

mod lake;
mod run;

use clap::{Parser, ValueEnum};

/// Measures the road from events to gold, the log, and gold's opening
#[derive(Parser)]
struct Args {
    /// What to measure; without it, everything
    parts: Vec<Part>,
    /// How many events go down the road
    #[arg(long, default_value_t = 1_000_000)]
    events: u64,
    /// How often each road is run; the figures are of the run with the median CPU time
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Said by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// From an NDJSON file to gold
    File,
    /// From Apache Kafka to gold
    Kafka,
    /// 5,000 commits to one log
    Commits,
    /// Opening a gold table of 365 days and 60 stores
    Gold,
}

fn main() {
    let args = Args::parse();
    let wanted = |part| args.parts.is_empty() || args.parts.contains(&part);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    if wanted(Part::File) || wanted(Part::Kafka) {
        run::heading(args.events);
    }
    if wanted(Part::File) {
        run::from_file(args.events, args.runs);
    }
    if wanted(Part::Kafka) {
        runtime.block_on(run::from_kafka(args.events, args.runs));
    }
    if wanted(Part::Commits) {
        runtime.block_on(lake::commits());
    }
    if wanted(Part::Gold) {
        runtime.block_on(lake::open_gold());
    }
}
