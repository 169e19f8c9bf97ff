use std::path::Path;
use std::time::{Duration, Instant};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use crate::chaos::say;
use crate::machine::Machine;
use crate::place::{Place, told as number};
use crate::rules_swap::sale;
use crate::till::{counted, has_each_once};

const BROKEN: &str = "Input/output error";
/// The writes and syncs of a batch on its way through all tables, about.
const WRITES: u32 = 40;
const PATIENCE: Duration = Duration::from_secs(60);

/// The files whose writing was given up, and that were left lying.
fn left(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(left(&path)),
            false => found.push(path.to_str().unwrap().to_owned()),
        }
    }
    found.retain(|path| path.contains('#'));
    found
}

/// `ASSAY_DISK_TIMES` says how often the disk breaks, `ASSAY_DISK_SEED` where to begin.
#[test]
fn a_disk_that_breaks_in_the_middle_of_a_write_is_named_and_costs_no_row() {
    let times = number("ASSAY_DISK_TIMES").unwrap_or(2);
    let seed = number("ASSAY_DISK_SEED").unwrap_or(1);
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let place = Place::new();
    let events = place.write("events/sales.ndjson", sale(0));
    let small = "\n[batch]\nrows = 20\nevery = \"20ms\"\n\n[event]";
    let pipeline = place.retail_from_files(
        &events,
        &[
            ("\n[event]", small),
            ("every = \"5s\"", "every = \"100ms\""),
        ],
    );
    let machine = Machine::new(&place.lake());
    let variables = machine.variables();
    let variables = variables.each_ref().map(|(name, value)| (*name, &**value));
    let run = ["run", pipeline.to_str().unwrap()];
    let mut host = place.host_where("host", &variables, &run);
    host.until("the first is in gold", |_| counted(&place) == 1);
    let mut sold = 1;
    for _ in 0..times {
        machine.break_disk(1 + random.next_u32() % WRITES);
        let since = Instant::now();
        while !machine.has_broken() {
            let sales: String = (sold..sold + 20).map(sale).collect();
            sold += 20;
            place.append(&events, &sales);
            std::thread::sleep(Duration::from_millis(300));
            assert!(host.ended().is_none(), "it ended\n{}", host.said());
            let late = since.elapsed() > PATIENCE;
            assert!(!late, "the disk is whole\n{}", host.said());
        }
    }
    host.until("everything is in gold", |_| {
        counted(&place) == i64::from(sold)
    });
    let said = host.said();
    let (ended, log) = host.stop();
    assert!(ended.success(), "{log}");
    // A version whose folder could not be forced stands nevertheless: it is read and forced anew, and
    // nothing is to be said.
    let told = said.matches(BROKEN).count();
    assert!(told > 0, "{said}");
    place.run_to_the_end(&pipeline);
    has_each_once(&place, &(0..sold).collect(), &[]);
    assert_eq!(left(&place.lake()), [""; 0]);
    say(&format!(
        "disk: seed {seed}: broke {times} times in a write or sync, which was said {told} times; {sold} sales, each once"
    ));
}

/// `ASSAY_DISK_TIMES` says how often, each time in a lake of its own.
#[test]
fn a_disk_that_breaks_while_a_tenant_starts_has_it_start_again_by_itself() {
    let times = number("ASSAY_DISK_TIMES").unwrap_or(3);
    let seed = number("ASSAY_DISK_SEED").unwrap_or(1);
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut told = 0;
    for _ in 0..times {
        let place = Place::new();
        let events = place.write("events/sales.ndjson", sale(0));
        let pipeline = place.retail_from_files(&events, &[("every = \"5s\"", "every = \"100ms\"")]);
        let machine = Machine::new(&place.lake());
        machine.break_disk(1 + random.next_u32() % WRITES);
        let variables = machine.variables();
        let variables = variables.each_ref().map(|(name, value)| (*name, &**value));
        let run = ["run", pipeline.to_str().unwrap()];
        let mut host = place.host_where("host", &variables, &run);
        host.until("the first is in gold", |_| counted(&place) == 1);
        assert!(machine.has_broken(), "the disk is whole");
        let said = host.said();
        told += said.matches(BROKEN).count();
        let (ended, log) = host.stop();
        assert!(ended.success(), "{log}");
        place.run_to_the_end(&pipeline);
        has_each_once(&place, &(0..1).collect(), &[]);
    }
    assert!(told > 0, "it is never said");
    say(&format!(
        "disk: seed {seed}: broke {times} times in a start, which was said {told} times"
    ));
}
