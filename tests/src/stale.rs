//! `ASSAY_STALE_TIMES` says how often a host is frozen, `ASSAY_STALE_SEED` where to begin.
//!
//! The other host cleans the logs beside what it lands, as hosts do: it is given the time for that.

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
/// Within which the other host must have cleaned the logs, where everything else runs too.
const CLEANED: Duration = Duration::from_secs(180);
const PATIENCE: Duration = Duration::from_secs(90);
/// Upkeep comes after a few versions, not thousands.
const UPKEEP: [(&str, &str); 3] = [
    ("ASSAY_CHECKPOINT_EVERY", "2"),
    ("ASSAY_CLEAN_EVERY", "2"),
    ("ASSAY_VERSIONS_KEPT", "2"),
];

/// Each put waits so long when its host has looked at its clocks, so that a freeze finds it there.
const MID_PUT: &str = "bronze.put=sleep(250);quarantine.put=sleep(250);silver.put=sleep(250);gold/daily_sales.put=sleep(250)";

/// Where a host is frozen.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Frozen {
    /// In the middle of anything, over a disk that is forced.
    Anywhere,
    /// Most of the times between its look at the clocks and its put, over a disk that is not forced: as
    /// over an object store, nothing can be looked at any more before the file has its name.
    MidPut,
}

struct Shop {
    place: Place,
    pipeline: PathBuf,
    machine: Machine,
    random: ChaCha8Rng,
    sold: u32,
}

impl Shop {
    fn new(seed: u64, frozen: Frozen) -> Self {
        let mut place = Place::new();
        for (name, value) in UPKEEP {
            place.set(name, value);
        }
        for file in 0..FILES {
            place.write(&format!("events/{file}.ndjson"), "");
        }
        let forced = frozen == Frozen::Anywhere;
        let small = format!(
            "\n[lake]\nfsync = {forced}\n\n[batch]\nrows = 10\nevery = \"20ms\"\n\n[event]"
        );
        let pipeline = place.retail_from_files(
            &place.path().join("events"),
            &[
                ("\n[event]", &small),
                ("every = \"5s\"", "every = \"50ms\""),
            ],
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
        let run = ["run", self.pipeline.to_str().unwrap()];
        let mut other = self.place.host_under("seed=1", &run);
        let since = Instant::now();
        while !self.are_gone(next) {
            assert!(other.ended().is_none(), "{}", other.said());
            let late = since.elapsed() > CLEANED;
            assert!(!late, "{}\n{}", self.standing(next), other.said());
            self.sell(20);
            std::thread::sleep(Duration::from_millis(500));
            TABLES.iter().for_each(|table| age(&self.log(table)));
        }
        let (ended, log) = other.stop();
        assert!(ended.success(), "{log}");
    }

    fn are_gone(&self, next: [u64; 4]) -> bool {
        TABLES.iter().zip(next).all(|(table, next)| {
            let versions = self.versions(table);
            !versions.contains(&next) && versions.last().is_some_and(|last| *last > next)
        })
    }

    /// What of the logs is not as it should be, in words.
    fn standing(&self, next: [u64; 4]) -> String {
        let logs = TABLES.iter().zip(next).map(|(table, next)| {
            let versions = self.versions(table);
            let ends = (versions.first(), versions.last());
            let mut files: Vec<_> = std::fs::read_dir(self.log(table)).unwrap().collect();
            files.retain(|file| {
                let name = file.as_ref().unwrap().file_name();
                !name.to_str().unwrap().ends_with(".json")
            });
            format!("{table}: {next} is to go, there are {ends:?} and {files:?}\n")
        });
        format!("the logs are not cleaned\n{}", logs.collect::<String>())
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
        // It may be gone by now.
        if let Ok(file) = file {
            file.set_modified(past).unwrap();
        }
    }
}

#[test]
fn a_host_that_was_frozen_while_others_cleaned_the_log_puts_nothing_into_the_hole() {
    freezes(Frozen::Anywhere);
}

/// What it puts may lie in a hole. It does not rely on that, and nobody else finds it.
#[test]
fn a_host_that_was_frozen_in_the_midst_of_a_put_does_not_rely_on_what_went_into_the_hole() {
    freezes(Frozen::MidPut);
}

fn freezes(frozen: Frozen) {
    let times = told("ASSAY_STALE_TIMES").unwrap_or(1);
    let seed = told("ASSAY_STALE_SEED").unwrap_or(1);
    let mut shop = Shop::new(seed, frozen);
    shop.sell(40);
    let variables = shop.machine.variables();
    let variables = variables.each_ref().map(|(name, value)| (*name, &**value));
    let run = ["run", shop.pipeline.to_str().unwrap()].map(str::to_owned);
    let run = run.each_ref().map(String::as_str);
    let mut host = match frozen {
        Frozen::Anywhere => shop.place.host_where("frozen", &variables, &run),
        Frozen::MidPut => shop.place.host_at(MID_PUT, "frozen", &variables, &run),
    };
    shop.wait(&mut host);
    let mut in_holes = 0_usize;
    for time in 1..=times {
        // It may be frozen in the middle of anything.
        let some = 1 + shop.below(60);
        shop.sell(some);
        let moment = match frozen {
            Frozen::Anywhere => shop.below(300),
            Frozen::MidPut => 300 + shop.below(1_000),
        };
        std::thread::sleep(Duration::from_millis(moment.into()));
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
            let is_in_hole = versions.contains(&next);
            in_holes += usize::from(is_in_hole);
            if frozen == Frozen::MidPut {
                continue;
            }
            assert!(!is_in_hole, "{table}: {next} is in a hole");
            let whole = versions.iter().zip(versions.iter().skip(1));
            assert!(whole.clone().all(|(one, two)| one + 1 == *two), "{table}");
        }
    }
    let (ended, log) = host.stop();
    assert!(ended.success(), "{log}");
    let held_up = log.matches("was held up until the log was old").count();
    assert!(held_up >= in_holes, "{in_holes} in holes:\n{log}");
    shop.place.run_to_the_end(&shop.pipeline);
    has_each_once(&shop.place, &(0..shop.sold).collect(), &[]);
    say(&format!(
        "stale: seed {seed}: frozen {times} times, {in_holes} versions in a hole, none relied on; {} sales, each once",
        shop.sold
    ));
}
