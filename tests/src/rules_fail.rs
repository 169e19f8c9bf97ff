//! `ASSAY_RULES_FAIL_TIMES` says how often a rule set fails on rows that are pinned to it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::chaos::say;
use crate::guest::around;
use crate::place::{Place, told};
use crate::rules_swap::sale;
use crate::till::has_each_once;

/// What is wrong with a rule set, and what is said then.
const FAILURES: [(&str, &str); 2] = [
    ("it traps", "circuit breaker"),
    ("it says fail", "says fail"),
];
/// Tables that a batch commits to.
const TABLES: [&str; 4] = ["bronze", "quarantine", "silver", "gold/daily_sales"];
/// Starts on rows that can't be judged.
const STARTS: usize = 3;

/// A validator that traps on a row of 13 pieces, and one that says `fail` there.
fn broken(failure: usize) -> Vec<u8> {
    if failure == 0 {
        return around("validator", "unreachable", "");
    }
    let refuse = "(call $refuse (local.get $n) (local.get $i))
        (local.set $n (i32.add (local.get $n) (i32.const 1)))";
    // Its rule's action is the last of the contract's, `fail`.
    let fails = "(data (i32.const 4160) \"\\03\")";
    around("validator", refuse, fails)
}

/// Sales, of which every other one is of 13 pieces.
fn sales(ids: std::ops::Range<u32>) -> String {
    let sale = |id: u32| {
        let sale = sale(id);
        let quantity = format!("\"quantity\":{}", id % 10 + 1);
        match id % 2 {
            0 => sale.replace(&quantity, "\"quantity\":13"),
            _ => sale,
        }
    };
    ids.map(sale).collect()
}

/// How many versions each table's log has.
fn versions(place: &Place) -> BTreeMap<&'static str, usize> {
    let count = |table| {
        let log = place.lake().join("retail").join(table).join("_delta_log");
        std::fs::read_dir(log).map_or(0, Iterator::count)
    };
    TABLES
        .into_iter()
        .map(|table| (table, count(table)))
        .collect()
}

/// The rows that wait in bronze: topic, partition, from, to.
fn waiting(place: &Place) -> [String; 4] {
    let shown = place.assay(&["source", "show", "retail"]).well();
    let waiting = shown.lines().skip(1).find_map(|line| {
        let cells: Vec<&str> = line.split('\t').collect();
        let (topic, number) = cells[0].rsplit_once('/')?;
        let from = if cells[4] == "-" { cells[2] } else { cells[4] };
        let is_ahead = cells[3] != from;
        is_ahead.then(|| [topic, number, from, cells[3]].map(str::to_owned))
    });
    waiting.unwrap_or_else(|| panic!("nothing waits: {shown}"))
}

struct Tenant {
    place: Place,
    pipeline: PathBuf,
    events: PathBuf,
    good: String,
    sold: u32,
}

impl Tenant {
    fn new() -> Self {
        let place = Place::new();
        let events = place.write("events/sales.ndjson", sales(0..20));
        let small = "\n[batch]\nrows = 1000\n\n[breaker]\nwindow = 20\n\n[event]";
        let pipeline = place.retail_from_files(&events, &[("\n[event]", small)]);
        place.run_to_the_end(&pipeline);
        Self {
            good: std::fs::read_to_string(&pipeline).unwrap(),
            place,
            pipeline,
            events,
            sold: 20,
        }
    }

    fn sell(&mut self, count: u32) {
        let ids = self.sold..self.sold + count;
        self.place.append(&self.events, &sales(ids));
        self.sold += count;
    }

    /// What the tenant says as it stops.
    fn stops(&self) -> String {
        let pipeline = self.pipeline.to_str().unwrap();
        let said = self.place.assay(&["run", pipeline, "--until-caught-up"]);
        said.badly()
    }

    /// A rule set fails, again at each start; then its rows are judged by another.
    fn fail(&mut self, failure: usize) {
        let component = self.place.write("broken.wasm", broken(failure));
        let step = format!(
            "[[validate]]\ncomponent = \"{}\"\n\n[[enrich]]",
            component.display()
        );
        std::fs::write(&self.pipeline, self.good.replacen("[[enrich]]", &step, 1)).unwrap();
        self.sell(60);
        let (what, words) = FAILURES[failure];
        let said = self.stops();
        assert!(
            said.contains(words) && said.contains("re-pin"),
            "{what}: {said}"
        );

        // It starts no loop: the same is said, at once, and nothing is written. Nor does it help that
        // the TOML is mended, or that more comes in, for the rows are the broken set's.
        std::fs::write(&self.pipeline, &self.good).unwrap();
        self.sell(10);
        let before = versions(&self.place);
        for _ in 0..STARTS {
            let said = self.stops();
            assert!(
                said.contains(words) && said.contains("re-pin"),
                "{what}: {said}"
            );
            assert_eq!(
                versions(&self.place),
                before,
                "{what}: something was written"
            );
        }

        let [topic, partition, from, to] = waiting(&self.place);
        let set = self.active();
        let which = ["rules", "re-pin", "retail", &topic, &partition];
        let range = ["--from", &from, "--to", &to, "--number", &set];
        let command = [&which[..], &range, &["--why", "a test"]].concat();
        self.place.assay(&command).well();
        self.place.run_to_the_end(&self.pipeline);
        let judged_by: i64 = set.parse().unwrap();
        let (from, to): (i64, i64) = (from.parse().unwrap(), to.parse().unwrap());
        let silver = self
            .place
            .columns("retail/silver", &["_offset", "_ruleset"]);
        let re_pinned = silver
            .iter()
            .filter(|row| (from..to).contains(&row["_offset"].as_i64().unwrap()));
        assert!(re_pinned.clone().count() > 0);
        assert!(
            re_pinned
                .into_iter()
                .all(|row| row["_ruleset"] == judged_by),
            "{what}"
        );
    }

    fn active(&self) -> String {
        let history = crate::rules_swap::rules(&self.place, &["history", "retail"]);
        let active = history
            .as_array()
            .unwrap()
            .iter()
            .find(|change| change["state"] == "active");
        active.unwrap()["number"].to_string()
    }
}

#[test]
fn a_rule_set_that_fails_on_its_rows_stops_at_each_start_until_they_are_re_pinned() {
    let times = told("ASSAY_RULES_FAIL_TIMES").unwrap_or(2);
    let mut tenant = Tenant::new();
    for time in 0..times {
        tenant.fail(usize::try_from(time).unwrap() % FAILURES.len());
    }
    has_each_once(&tenant.place, &(0..tenant.sold).collect(), &[]);
    say(&format!(
        "rules: failed {times} times, {STARTS} more starts each that wrote nothing; {} sales, each judged once",
        tenant.sold
    ));
}
