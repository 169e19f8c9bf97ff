//! Thousands of commits under a storm of faults, judged by identity.

use deltalake::logstore::object_store::memory::InMemory;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use super::*;
use crate::lake::Packing;
use crate::lake::storm::{Faults, Storm};

const FAULTS: Faults = Faults {
    seed: 0,
    lost: 0.2,
    unavailable: 0.05,
    conflict: 0.02,
    stall: 0.01,
    stall_ms: 2,
    silent_from_ms: 0,
    silent_ms: 0,
    torn: 0.01,
    io: 0.0005,
    full: 0.001,
    upkeep: 1.0,
    die: 0,
};

/// Goes on until the store answers.
async fn follow(table: &mut Table) {
    for _ in 0..1_000 {
        if table.refresh().await.is_ok() {
            return;
        }
    }
    panic!("the store never answers");
}

/// One host's turn: some rows from where progress stands. Whatever fails, it looks again later.
async fn turn(host: &mut Table, random: &mut ChaCha8Rng, end: i64, careless: bool) -> bool {
    let progress = step(None, 0).app_id;
    let from = host.transactions().get(&progress).map(|txn| txn.version);
    let at = from.unwrap_or_default();
    let to = end.min(at + 1 + i64::from(random.next_u32() % 3));
    if at == end {
        return true;
    }
    let offsets: Vec<_> = (at..to).map(|offset| (offset, Some("a"))).collect();
    let Ok(files) = host.writer().write(&rows(&offsets)).await else {
        return false;
    };
    let mut commit = append(files, vec![step(from, to)]);
    let mut done = host.commit(&commit).await;
    if careless && done.is_err() {
        // As if an error meant that nothing came of it.
        host.refresh().await.ok();
        commit.transactions.clear();
        commit.batch_id = uuid::Uuid::new_v4().to_string();
        done = host.commit(&commit).await;
    }
    if done.is_err() {
        follow(host).await;
    }
    false
}

/// Packs and keeps house as the host does; both may fail.
async fn keep(host: &mut Table) {
    if let Some(due) = host.maintenance() {
        due.run().await.ok();
    }
    if let Some(due) = host.compaction(Packing::Quick)
        && let Ok(packed) = due.run().await
        && packed.commit(host).await.is_err()
    {
        follow(host).await;
    }
}

/// Two hosts share one table until all is in it. Answers with what it then holds.
async fn weather(seed: u64, end: i64, careless: bool) -> (Vec<i64>, i64, String) {
    let inner = Arc::new(InMemory::new());
    let faults = Faults { seed, ..FAULTS };
    let storm = Arc::new(Storm::over(inner.clone(), faults));
    let calm = Lake::over(inner, "memory:///").unwrap();
    let lake = Lake::over(storm.clone(), "memory:///").unwrap();
    table(&calm).await;
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut hosts = Vec::new();
    while hosts.len() < 2 {
        hosts.extend(lake.open_table("north/silver").await.ok().flatten());
    }
    loop {
        let host = &mut hosts[(random.next_u32() % 2) as usize];
        if turn(host, &mut random, end, careless).await {
            break;
        }
        keep(host).await;
    }
    let last = table(&calm).await;
    let offsets = everything(&last).await;
    let counts = format!("{:?}", storm.counts());
    let offsets = offsets.into_iter().map(|(offset, _)| offset).collect();
    (offsets, last.version(), counts)
}

fn number(name: &str, otherwise: u64) -> u64 {
    let told = std::env::var(name).ok();
    told.map_or(otherwise, |told| told.parse().unwrap())
}

/// `ASSAY_STORM_SEED` says which seed, `ASSAY_STORM_ROWS` how many rows are committed, about two at
/// a time.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn lost_replies_refusals_conflicts_and_failing_upkeep_lose_and_double_no_row() {
    let seed = number("ASSAY_STORM_SEED", 1);
    let end = i64::try_from(number("ASSAY_STORM_ROWS", 2_000)).unwrap();
    let (found, version, counts) = weather(seed, end, false).await;
    let all: Vec<i64> = (0..end).collect();
    assert!(
        found == all,
        "seed {seed}: {} rows of {end}; {counts}",
        found.len()
    );
    println!("seed {seed}: {end} rows once each in {version} versions; {counts}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_host_that_takes_an_error_for_an_answer_doubles_rows() {
    let (found, ..) = weather(1, 200, true).await;
    assert!(found.len() > 200, "it went unnoticed");
}

#[test]
fn faults_are_read_as_they_are_written() {
    let read: Faults = "seed=7,lost=0.2,stall-ms=50,die=9".parse().unwrap();
    let expected = Faults {
        seed: 7,
        lost: 0.2,
        stall_ms: 50,
        die: 9,
        ..Faults::default()
    };
    assert_eq!(read, expected);
    assert!("lost".parse::<Faults>().is_err() && "lots=1".parse::<Faults>().is_err());
}
