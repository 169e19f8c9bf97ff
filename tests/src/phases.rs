use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use crate::place::{Place, told};

/// What is taken in before each death: so many files, each with a batch of so many lines.
const FILES: usize = 3;
const LINES: usize = 40;
/// Two points of a phase that are passed so often may pass without a death before it is given up.
const LIVES: u32 = 40;

/// The points of each phase at which the process dies in turn, as `lake::fault` names them.
const PHASES: [(&str, &[&str]); 6] = [
    (
        "flush",
        &[
            "bronze.file",
            "quarantine.file",
            "silver.file",
            "gold/daily_sales.file",
        ],
    ),
    (
        "commit",
        &[
            "bronze.put",
            "bronze.done",
            "quarantine.put",
            "quarantine.done",
            "silver.put",
            "silver.done",
            "gold/daily_sales.put",
            "gold/daily_sales.done",
        ],
    ),
    ("checkpoint", &["checkpoint", "checkpoint.done"]),
    ("log clean-up", &["clean", "clean.done"]),
    (
        "catch-up",
        &[
            "catch-up.refreshed",
            "catch-up.read-back",
            "catch-up.judged",
            "catch-up.gold",
        ],
    ),
    ("re-pin", &["rulesets.put", "rulesets.done"]),
];

/// A tenant that dies again and again, and the lines that it has not been given yet.
struct Mortal {
    place: Place,
    pipeline: PathBuf,
    lines: VecDeque<String>,
    random: ChaCha8Rng,
    deaths: BTreeMap<&'static str, u32>,
}

impl Mortal {
    fn new(seed: u64, lines: u64) -> Self {
        let place = Place::new();
        let (count, seed_text) = (lines.to_string(), seed.to_string());
        let arguments = ["generate", "sales", "--count", &count, "--seed", &seed_text];
        let shares = ["--ids", "--stores", "5", "--days", "2", "--returns", "0.02"];
        place.assay(&[&arguments[..], &shares].concat()).well();
        let all = std::fs::read_to_string(place.path().join("sales/events/sales.ndjson")).unwrap();
        let lines = all.split_inclusive('\n').map(str::to_owned).collect();
        let small = ("\n[event]", "\n[batch]\nrows = 20\n\n[event]");
        for file in 0..FILES {
            place.write(&format!("events/{file}.ndjson"), "");
        }
        let pipeline = place.retail_from_files(&place.path().join("events"), &[small]);
        Self {
            place,
            pipeline,
            lines,
            random: ChaCha8Rng::seed_from_u64(seed),
            deaths: BTreeMap::new(),
        }
    }

    /// Has some more lines come in, a batch to each file.
    fn sell(&mut self, lines: usize) {
        for file in 0..FILES {
            let some = lines.min(self.lines.len());
            let text: String = self.lines.drain(..some).collect();
            let file = self.place.path().join(format!("events/{file}.ndjson"));
            self.place.append(&file, &text);
        }
    }

    /// Runs a command that is to die at a point when that is passed for the so manieth time.
    fn dies(&mut self, point: &'static str, lives: u32, command: &[&str]) -> bool {
        self.place
            .set("FAILPOINTS", &format!("{point}={lives}*off->1*return(die)"));
        let said = self.place.assay_under("seed=1", command);
        let died = said.err.contains(&format!("dies at {point}"));
        assert!(died || said.good, "{point}: {}", said.err);
        died
    }

    fn run_dies(&mut self, point: &'static str, lives: u32) -> bool {
        let pipeline = self.pipeline.to_str().unwrap().to_owned();
        self.dies(point, lives, &["run", &pipeline, "--until-caught-up"])
    }

    /// Dies once in a phase, at one of its points.
    fn die(&mut self, phase: &'static str, point: &'static str) {
        for _ in 0..LIVES {
            let lives = self.random.next_u32() % 3;
            let died = match phase {
                "catch-up" => {
                    self.sell(LINES);
                    // Bronze is ahead, or silver, and something is to be caught up.
                    let before = ["bronze.done", "quarantine.done", "silver.done"];
                    let before = before[(self.random.next_u32() % 3) as usize];
                    self.run_dies(before, lives) && self.run_dies(point, 0)
                }
                "log clean-up" => {
                    self.sell(LINES);
                    self.age_logs();
                    self.run_dies(point, 0)
                }
                "re-pin" => {
                    self.sell(LINES);
                    self.run_dies("bronze.done", lives) && self.re_pin(point)
                }
                _ => {
                    self.sell(LINES);
                    self.run_dies(point, lives)
                }
            };
            if died {
                *self.deaths.entry(phase).or_default() += 1;
                return;
            }
        }
        panic!("{point} is never passed");
    }

    /// Has the versions of all logs be as old as they must be for the clean-up to take them.
    fn age_logs(&self) {
        let past = SystemTime::now() - Duration::from_secs(2 * 24 * 60 * 60);
        for table in ["bronze", "quarantine", "silver", "gold/daily_sales"] {
            let log = self
                .place
                .lake()
                .join("retail")
                .join(table)
                .join("_delta_log");
            for entry in std::fs::read_dir(log).into_iter().flatten() {
                let file = std::fs::File::options()
                    .write(true)
                    .open(entry.unwrap().path());
                file.unwrap().set_modified(past).unwrap();
            }
        }
    }

    /// Re-pins what bronze holds and no other table, and dies there. Then the next run dies where
    /// it judges these rows, and the one behind it does not.
    fn re_pin(&mut self, point: &'static str) -> bool {
        let shown = self.place.assay(&["source", "show", "retail"]).well();
        let waiting = shown.lines().skip(1).find_map(|line| {
            let cells: Vec<&str> = line.split('\t').collect();
            let (topic, number) = cells[0].rsplit_once('/')?;
            let quarantine = if cells[4] == "-" { cells[2] } else { cells[4] };
            let is_ahead = cells[3] != quarantine;
            is_ahead.then(|| [topic, number, quarantine, cells[3]].map(str::to_owned))
        });
        let Some([topic, number, from, to]) = waiting else {
            return false;
        };
        let sets = self.place.rows("retail/rulesets");
        let set = sets.iter().filter_map(|set| set["number"].as_i64()).min();
        let set = set.unwrap().to_string();
        let which = ["rules", "re-pin", "retail", &topic, &number];
        let range = ["--from", &from, "--to", &to, "--number", &set];
        let command = [&which[..], &range, &["--why", "it died"]].concat();
        let died = self.dies(point, 0, &command);
        self.place.assay(&command).well();
        died && self.run_dies("catch-up.judged", 0)
    }

    /// Everything comes in, in calm, and is judged by identity.
    fn judge(mut self) {
        let left = self.lines.len().div_ceil(FILES);
        self.sell(left);
        self.place.run_to_the_end(&self.pipeline);
        let lake = self.place.lake();
        let expected = [
            "retail",
            "sales/expected.json",
            "--ids",
            "sales/expected-ids.csv",
        ];
        for reader in ["polars", "duckdb"] {
            let arguments = [
                &[lake.to_str().unwrap()],
                &expected[..],
                &["--reader", reader],
            ];
            let said = self.place.reader("check_expected.py", &arguments.concat());
            assert!(said.contains("OK"), "{said}");
        }
    }
}

/// `ASSAY_PHASES_DEATHS` says how often in each phase at least, `ASSAY_PHASES_SEED` where to begin,
/// `ASSAY_PHASES_ONLY` in which phase alone.
#[test]
fn a_process_that_dies_in_any_phase_goes_on_where_it_was() {
    let seed = told("ASSAY_PHASES_SEED").unwrap_or(1);
    let deaths = told("ASSAY_PHASES_DEATHS").unwrap_or(1);
    let only = std::env::var("ASSAY_PHASES_ONLY").ok();
    let mut mortal = Mortal::new(seed, 2_000 + deaths * 6 * 200);
    // Upkeep comes after dozens of versions, not thousands.
    for (name, every) in [
        ("ASSAY_CHECKPOINT_EVERY", "3"),
        ("ASSAY_CLEAN_EVERY", "3"),
        ("ASSAY_VERSIONS_KEPT", "5"),
    ] {
        mortal.place.set(name, every);
    }
    for (phase, points) in PHASES {
        if only.as_deref().is_some_and(|only| only != phase) {
            continue;
        }
        let rounds = deaths.max(points.len() as u64);
        for round in 0..rounds {
            mortal.die(phase, points[round as usize % points.len()]);
        }
    }
    let counted = mortal.deaths.clone();
    mortal.judge();
    crate::chaos::say(&format!(
        "phases: seed {seed}: deaths {counted:?}; 0 lost, 0 doubled, gold exact"
    ));
}
