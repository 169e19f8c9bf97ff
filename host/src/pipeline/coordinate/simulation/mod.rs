//! The core driven by chance: three hosts share three partitions. Partitions move while their old host
//! goes on, hosts freeze in the midst of a commit and wake long after, die before or after
//! any put, rule sets change, rows are re-pinned, logs are cleaned. Every message must end in one
//! place, every key in silver once, and gold must be what silver adds up to.
//!
//! No threads, no clock: a seed gives the same run again. `ASSAY_SIMULATION_SEEDS` says how many
//! seeds to run, `ASSAY_SIMULATION_SEED` at which to begin.

mod host;
mod world;

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};

use self::host::{Broken, Host, live};
use self::world::{PARTITIONS, World};

const HOSTS: usize = 3;
/// Of each run, while things happen.
const TURNS: u32 = 900;
/// Within which a host that is left in peace has to finish.
const PEACE: u32 = 3_000;

type Life = Pin<Box<dyn Future<Output = ()>>>;

/// Runs a seed to its end. The error is what is wrong with the tables.
fn run(seed: u64, broken: Broken) -> Result<(), String> {
    let world = Arc::new(Mutex::new(World::new(seed, HOSTS)));
    let born = |name| -> Life { Box::pin(live(Host::new(name, &world, broken))) };
    let mut hosts: Vec<Life> = (0..HOSTS).map(born).collect();
    let mut turn = |name: usize| {
        let mut context = Context::from_waker(Waker::noop());
        if hosts[name].as_mut().poll(&mut context).is_ready() {
            hosts[name] = born(name);
        }
    };
    for _ in 0..TURNS {
        let (name, frozen) = {
            let mut world = world.lock().unwrap();
            world.happen();
            let name = world.below(3) as usize;
            (name, world.frozen[name] > world.now)
        };
        if !frozen {
            turn(name);
        }
    }
    {
        let mut world = world.lock().unwrap();
        world.dies = None;
        world.assigned = vec![0; PARTITIONS as usize];
        world.epoch += 1;
    }
    for peace in 0..PEACE {
        if peace % 8 == 0 && world.lock().unwrap().is_done() {
            break;
        }
        world.lock().unwrap().now += 1;
        // The others have woken by now, and must be fenced.
        turn(peace as usize % HOSTS);
    }
    let world = world.lock().unwrap();
    if !world.is_done() {
        return Err("it did not finish".to_owned());
    }
    world.wrong().map_or(Ok(()), Err)
}

fn number(name: &str, otherwise: u64) -> u64 {
    let told = std::env::var(name).ok();
    told.map_or(otherwise, |told| told.parse().unwrap())
}

#[test]
fn every_message_ends_in_exactly_one_place_whoever_dies_freezes_or_takes_over() {
    let first = number("ASSAY_SIMULATION_SEED", 0);
    let seeds = number("ASSAY_SIMULATION_SEEDS", 1_500);
    let since = std::time::Instant::now();
    for seed in first..first + seeds {
        if let Err(wrong) = run(seed, Broken::Nothing) {
            panic!("seed {seed}: {wrong}; again with ASSAY_SIMULATION_SEED={seed}");
        }
    }
    println!(
        "{seeds} seeds from {first} in {:?}: 0 violations",
        since.elapsed()
    );
}

#[test]
fn a_host_that_leaves_a_rule_out_is_found_out() {
    for broken in [
        Broken::Fence,
        Broken::Order,
        Broken::StaleTail,
        Broken::LatePut,
        Broken::Dedup,
    ] {
        let found = (0..300).filter_map(|seed| Some((seed, run(seed, broken).err()?)));
        let found: Vec<_> = found.collect();
        assert!(!found.is_empty(), "{broken:?} went unnoticed");
        println!(
            "{broken:?}: found by {} of 300 seeds, first {:?}",
            found.len(),
            found[0]
        );
    }
}
