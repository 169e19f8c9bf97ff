//! `ASSAY_TENANTS` says how many tenants the host has.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::chaos::say;
use crate::kafka;
use crate::place::{Host, Place, told};

/// Tenants that the others are measured against: what a host has in any case is in use with these.
const FIRST: u64 = 2;
/// How long a host is left alone before it is looked at: threads that nothing is to be done for
/// are gone after ten seconds.
const CALM: Duration = Duration::from_secs(15);

/// What a process has.
struct Size {
    /// Of the pool, which has as many as are at work at the same time.
    pool: usize,
    /// All others.
    threads: usize,
    /// Resident, in KiB.
    memory: u64,
}

fn size(host: &Host) -> Size {
    std::thread::sleep(CALM);
    let pool = host.threads("tokio-rt-worker");
    Size {
        pool,
        threads: host.threads("") - pool,
        memory: host.memory() >> 10,
    }
}

/// A tenant with the rules of the retailer, on a topic of its own.
fn open(place: &Place, number: u64) -> PathBuf {
    let made = place.pipeline(
        "retail",
        &[
            ("tenant = \"retail\"", &format!("tenant = \"shop{number}\"")),
            ("localhost:9092", &kafka::shared().brokers()),
            ("\"sales\"", &format!("\"many-{number}\"")),
        ],
    );
    let folder = place.path().join("tenants");
    std::fs::create_dir_all(&folder).unwrap();
    let toml = folder.join(format!("shop{number}.toml"));
    std::fs::rename(made, &toml).unwrap();
    toml
}

/// How many tenants read.
fn reading(host: &Host) -> usize {
    let log = host.log();
    log.lines()
        .filter(|line| line.contains("partition assigned"))
        .count()
}

fn until_reading(host: &mut Host, count: u64, patience: Duration) -> Duration {
    let since = Instant::now();
    while reading(host) < usize::try_from(count).unwrap() {
        let late = since.elapsed() > patience || host.ended().is_some();
        assert!(!late, "{} of {count} read\n{}", reading(host), host.log());
        std::thread::sleep(Duration::from_millis(10));
    }
    since.elapsed()
}

#[tokio::test]
async fn a_tenant_more_costs_no_thread_and_little_memory_and_reads_soon() {
    let count = told("ASSAY_TENANTS").unwrap_or(12);
    let place = Place::new();
    let broker = kafka::shared();
    for number in 0..=count {
        broker.create_topic(&format!("many-{number}"), 1).await;
    }
    (0..FIRST).for_each(|number| drop(open(&place, number)));
    let mut host = place.host(&["run", "tenants", "--group", "many-tenants"]);
    until_reading(&mut host, FIRST, Duration::from_secs(60));
    let few = size(&host);

    (FIRST..count).for_each(|number| drop(open(&place, number)));
    let patience = Duration::from_secs(60 + 2 * count);
    let all = until_reading(&mut host, count, patience);
    let many = size(&host);

    open(&place, count);
    let one = until_reading(&mut host, count + 1, Duration::from_secs(60));
    let more = count - FIRST;
    let each = many.memory.saturating_sub(few.memory) / more;
    let (ended, log) = host.stop();
    assert!(ended.success(), "{log}");
    say(&format!(
        "{count} tenants: {} threads and {} of the pool (of {FIRST}: {} and {}), {} MiB (of {FIRST}: {}), {each} KiB each; {more} more read after {all:?}, one more after {one:?}",
        many.threads,
        many.pool,
        few.threads,
        few.pool,
        many.memory >> 10,
        few.memory >> 10,
    ));
    // Who asks the cluster for something has a thread for that long.
    assert!(many.threads <= few.threads + 1, "{log}");
}
