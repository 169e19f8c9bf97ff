//! `ASSAY_STALE_TIMES` says how often a host is frozen, `ASSAY_STALE_SEED` where to begin.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use crate::chaos::say;
use crate::machine::Machine;
use crate::place::{Host, Place, told};
use crate::rules_swap::sale;
use crate::till::{counted, has_each_once};

/// Tables that a batch commits to.
const TABLES: [&str; 4] = ["bronze", "quarantine", "silver", "gold/daily_sales"];
/// Longer than a host trusts what it knew of a log, in seconds.
const LONG: i64 = 11 * 60;
/// Sales come in so many files: each brings a batch of its own, so that a run makes some versions.
const FILES: u32 = 5;
/// Runs of the other host within which the log must have been cleaned.
const RUNS: u32 = 10;
const PATIENCE: Duration = Duration::from_secs(60);
/// Upkeep comes after a few versions, not thousands.
const UPKEEP: [(&str, &str); 3] = [
    ("ASSAY_CHECKPOINT_EVERY", "2"),
    ("ASSAY_CLEAN_EVERY", "2"),
    ("ASSAY_VERSIONS_KEPT", "2"),
];

struct Shop {
    place: Place,
    pipeline: PathBuf,
    machine: Machine,
    random: ChaCha8Rng,
    sold: u32,
}

impl Shop {
    fn new(seed: u64) -> Self {
        let mut place = Place::new();
        for (name, value) in UPKEEP {
            place.set(name, value);
        }
        for file in 0..FILES {
            place.write(&format!("events/{file}.ndjson"), "");
        }
        let small = "\n[batch]\nrows = 10\nevery = \"20ms\"\n\n[event]";
        let pipeline = place.retail_from_files(
            &place.path().join("events"),
            &[("\n[event]", small), ("every = \"5s\"", "every = \"50ms\"")],
        );
        let machine = Machine::new(&place.lake());
        Self {
            place,
            pipeline,
            machine,
            random: ChaCha8Rng::seed_from_u64(seed),
            sold: 0,
        }
    }

    fn below(&mut self, end: u32) -> u32 {
        self.random.next_u32() % end
    }

    fn sell(&mut self, count: u32) {
        let ids = self.sold..self.sold + count;
        for file in 0..FILES {
            let sales = ids.clone().filter(|id| id % FILES == file).map(sale);
            let path = self.place.path().join(format!("events/{file}.ndjson"));
            self.place.append(&path, &sales.collect::<String>());
        }
        self.sold += count;
    }

    fn log(&self, table: &str) -> PathBuf {
        let table = self.place.lake().join("retail").join(table);
        table.join("_delta_log")
    }

    /// The versions of a table that are there.
    fn versions(&self, table: &str) -> BTreeSet<u64> {
        let Ok(folder) = std::fs::read_dir(self.log(table)) else {
            return BTreeSet::new();
        };
        let names = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let versions = names.filter_map(|name| name.strip_suffix(".json")?.parse().ok());
        versions.collect()
    }

    /// The version after the last, table by table.
    fn next(&self) -> [u64; 4] {
        TABLES.map(|table| self.versions(table).last().map_or(0, |last| last + 1))
    }

    /// Has another host take in what there is and clean the logs, until of what it committed the
    /// versions that the frozen host would put next are gone.
    fn others_clean(&mut self, next: [u64; 4]) {
        let pipeline = self.pipeline.to_str().unwrap().to_owned();
        for _ in 0..RUNS {
            self.sell(60);
            let run = ["run", &pipeline, "--until-caught-up"];
            self.place.assay_under("seed=1", &run).well();
            let gone = |(table, next): (&&str, u64)| {
                let versions = self.versions(table);
                !versions.contains(&next) && versions.last().is_some_and(|last| *last > next)
            };
            if TABLES.iter().zip(next).all(gone) {
                return;
            }
            TABLES.iter().for_each(|table| age(&self.log(table)));
        }
        panic!("the logs are not cleaned: {:?}", self.next());
    }

    /// Waits until everything is in gold.
    fn wait(&self, host: &mut Host) {
        let since = Instant::now();
        loop {
            let counted = counted(&self.place);
            if counted == i64::from(self.sold) {
                return;
            }
            assert!(host.ended().is_none(), "it ended\n{}", host.said());
            let late = since.elapsed() > PATIENCE;
            assert!(
                !late,
                "gold has {counted} of {}\n{}",
                self.sold,
                host.said()
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// Has the files of a log be as old as they must be for the clean-up to take them.
fn age(log: &Path) {
    let past = SystemTime::now() - Duration::from_secs(2 * 24 * 60 * 60);
    for entry in std::fs::read_dir(log).into_iter().flatten() {
        let file = std::fs::File::options()
            .write(true)
            .open(entry.unwrap().path());
        file.unwrap().set_modified(past).unwrap();
    }
}

#[test]
fn a_host_that_was_frozen_while_others_cleaned_the_log_puts_nothing_into_the_hole() {
    let times = told("ASSAY_STALE_TIMES").unwrap_or(1);
    let seed = told("ASSAY_STALE_SEED").unwrap_or(1);
    let mut shop = Shop::new(seed);
    shop.sell(40);
    let variables = shop.machine.variables();
    let variables = variables.each_ref().map(|(name, value)| (*name, &**value));
    let run = ["run", shop.pipeline.to_str().unwrap()].map(str::to_owned);
    let run = run.each_ref().map(String::as_str);
    let mut host = shop.place.host_where("frozen", &variables, &run);
    shop.wait(&mut host);
    for time in 1..=times {
        // It may be frozen in the middle of anything.
        let some = 1 + shop.below(60);
        shop.sell(some);
        let moment = u64::from(shop.below(300));
        std::thread::sleep(Duration::from_millis(moment));
        host.signal("STOP");
        let next = shop.next();
        shop.others_clean(next);
        shop.machine.set_clock(i64::try_from(time).unwrap() * LONG);
        let some = 1 + shop.below(60);
        shop.sell(some);
        host.signal("CONT");
        shop.wait(&mut host);
        for (table, next) in TABLES.into_iter().zip(next) {
            let versions = shop.versions(table);
            assert!(!versions.contains(&next), "{table}: {next} is in a hole");
            let whole = versions.iter().zip(versions.iter().skip(1));
            assert!(whole.clone().all(|(one, two)| one + 1 == *two), "{table}");
        }
    }
    let (ended, log) = host.stop();
    assert!(ended.success(), "{log}");
    shop.place.run_to_the_end(&shop.pipeline);
    has_each_once(&shop.place, &(0..shop.sold).collect(), &[]);
    say(&format!(
        "stale: seed {seed}: frozen {times} times, nothing in a hole; {} sales, each once",
        shop.sold
    ));
}
