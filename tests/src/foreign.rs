use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;

use crate::place::{Host, Place, told};

const TABLES: [&str; 5] = [
    "bronze",
    "quarantine",
    "silver",
    "gold/daily_sales",
    "gold/daily_products",
];
/// How often a table is read by others while it is written.
const BETWEEN: Duration = Duration::from_millis(50);

/// Sales that come in by and by, until they are told to come all at once.
struct Flow {
    enough: Arc<AtomicBool>,
    feeder: JoinHandle<()>,
}

impl Flow {
    fn of(lines: Vec<String>, events: PathBuf) -> Self {
        let enough = Arc::new(AtomicBool::new(false));
        let told = enough.clone();
        let feeder = std::thread::spawn(move || {
            use std::io::Write as _;
            let mut file = std::fs::File::options().append(true).open(events).unwrap();
            for some in lines.chunks(20) {
                file.write_all(some.concat().as_bytes()).unwrap();
                if !told.load(Ordering::Relaxed) {
                    std::thread::sleep(BETWEEN);
                }
            }
        });
        Self { enough, feeder }
    }

    fn all(self) {
        self.enough.store(true, Ordering::Relaxed);
        self.feeder.join().unwrap();
    }
}

/// A host, and generated sales that flow into it.
fn flowing(place: &Place, count: u64) -> (PathBuf, Host, Flow) {
    let count = count.to_string();
    let arguments = ["generate", "sales", "--count", &count, "--stores", "5"];
    let shares = ["--ids", "--conflicts", "0.002", "--returns", "0.02"];
    place.assay(&[&arguments[..], &shares].concat()).well();
    let all = std::fs::read_to_string(place.path().join("sales/events/sales.ndjson")).unwrap();
    let events = place.write("events/sales.ndjson", "");
    let pipeline = place.retail_from_files(
        &place.path().join("events"),
        &[
            ("\n[event]", "\n[batch]\nevery = \"100ms\"\n\n[event]"),
            ("every = \"5s\"", "every = \"200ms\""),
        ],
    );
    let lines = all.split_inclusive('\n').map(str::to_owned).collect();
    let mut host = place.host(&["run", pipeline.to_str().unwrap()]);
    let flow = Flow::of(lines, events);
    let gold = place.lake().join("retail/gold/daily_sales/_delta_log");
    host.until("gold has something", |_| {
        gold.join(format!("{:020}.json", 1)).exists()
    });
    (pipeline, host, flow)
}

fn deed(place: &Place, table: &str, deed: &str) -> String {
    let path = place.lake().join("retail").join(table);
    let said = place.reader("foreign.py", &[path.to_str().unwrap(), deed]);
    said.trim().to_owned()
}

/// `ASSAY_FOREIGN_ROUNDS` says how often. A table that another engine is just committing to may be
/// refused to it (it loses, and says so); then it tries again.
#[test]
fn another_engine_that_packs_vacuums_and_sets_properties_while_rows_flow_costs_none() {
    let rounds = told("ASSAY_FOREIGN_ROUNDS").unwrap_or(1);
    let place = Place::new();
    let (pipeline, mut host, flow) = flowing(&place, 6_000 * rounds);
    let mut done = 0;
    let mut packed = 0;
    for round in 0..rounds {
        for table in &TABLES[..4] {
            let files: u64 = deed(&place, table, "optimize").parse().unwrap();
            let gone: u64 = deed(&place, table, "vacuum").parse().unwrap();
            assert!(
                *table == "gold/daily_sales" || gone >= files,
                "{table}: {gone} < {files}"
            );
            packed += files;
            done += 2;
            // Each table once in four rounds, since each batch under way is written anew for it.
            if TABLES[(round % 4) as usize] == *table {
                deed(&place, table, "property");
                done += 1;
            }
            assert!(host.ended().is_none(), "{}", host.log());
        }
    }
    assert!(packed > 0, "there was nothing to pack");
    flow.all();
    let (ended, log) = host.stop();
    assert!(ended.success(), "{log}");
    place.run_to_the_end(&pipeline);
    place.holds_expected_ids();
    crate::chaos::say(&format!(
        "foreign: {done} deeds, {packed} files packed and vacuumed; 0 lost, 0 doubled, gold exact"
    ));
}

#[test]
fn a_table_that_another_engine_restores_stops_the_host_by_name() {
    for table in ["bronze", "quarantine", "silver", "gold/daily_sales"] {
        let place = Place::new();
        let (_, mut host, flow) = flowing(&place, 4_000);
        deed(&place, table, "restore");
        // On a slow machine all that flowed may have landed before.
        place.append(&place.path().join("events/sales.ndjson"), &sales(0..20, ""));
        host.ends("a table was restored");
        flow.all();
        let log = host.log();
        let error = log.lines().find(|line| line.contains("ERROR"));
        let error = error.unwrap_or_else(|| panic!("nothing is said:\n{log}"));
        for part in ["tenant retail", &format!("retail/{table}"), "RESTORE"] {
            assert!(error.contains(part), "{part:?} is not in: {error}");
        }
    }
}

/// Sales of one kind, with further fields.
fn sales(ids: std::ops::Range<u32>, more: &str) -> String {
    let lines = ids.map(|id| {
        let (day, hour) = (1 + id % 3, id % 24);
        format!(
            r#"{{"transaction_id":"T{id}","store_id":"S00{}","product_id":"P1","customer_id":"C1","quantity":2,"unit_price":2.50,"timestamp":"2025-03-0{day}T{hour:02}:00:00Z","payment_method":"card","channel":"pos"{more}}}"#,
            1 + id % 3
        ) + "\n"
    });
    lines.collect()
}

/// The types that a column had, in the order of versions, where every version could be read.
fn types(place: &Place, table: &str, column: &str) -> Vec<Value> {
    let path: &Path = &place.lake().join("retail").join(table);
    let said = place.reader("versions.py", &[path.to_str().unwrap()]);
    let said: Value = serde_json::from_str(&said).unwrap();
    assert!(said["versions"].as_u64().unwrap() > 3, "{table}: {said}");
    said["columns"][column]
        .as_array()
        .cloned()
        .unwrap_or_default()
}

#[test]
fn columns_that_appear_and_a_type_that_changes_leave_every_version_readable() {
    /// What comes in turn: a field that is declared changes its type, and so does one that is not.
    const TURNS: [&str; 6] = [
        r#","register_id":1"#,
        r#","register_id":1,"loyalty":"gold""#,
        r#","register_id":1,"loyalty":"gold","tip":1.5"#,
        r#","register_id":"R-7","loyalty":"gold","tip":1.5"#,
        r#","register_id":1,"loyalty":7,"tip":"much""#,
        r#","register_id":1,"basket":{"lines":3},"tip":2"#,
    ];
    const EACH: u32 = 200;
    let place = Place::new();
    let events = place.write("events/sales.ndjson", "");
    let pipeline = place.retail_from_files(
        &events,
        &[
            ("\n[event]", "\n[batch]\nevery = \"200ms\"\n\n[event]"),
            ("every = \"5s\"", "every = \"300ms\""),
        ],
    );
    let mut host = place.host(&["run", pipeline.to_str().unwrap()]);
    let mut lines = Vec::new();
    for (turn, more) in (0..).zip(TURNS) {
        lines.push(sales(turn * EACH..(turn + 1) * EACH, more));
    }
    let flow = Flow::of(
        lines
            .concat()
            .split_inclusive('\n')
            .map(str::to_owned)
            .collect(),
        events,
    );
    let has_all =
        |_: &Host| place.rows_if_any("retail/silver").len() == TURNS.len() * EACH as usize;
    host.until("every sale is in silver", has_all);
    flow.all();
    let (ended, log) = host.stop();
    assert!(ended.success(), "{log}");
    place.run_to_the_end(&pipeline);

    let silver = place.rows("retail/silver");
    let ids: BTreeSet<&str> = silver
        .iter()
        .map(|row| row["transaction_id"].as_str().unwrap())
        .collect();
    assert_eq!(ids.len(), TURNS.len() * EACH as usize, "each once");
    assert_eq!(types(&place, "bronze", "register_id"), ["int64"]);
    for column in ["loyalty", "tip"] {
        assert_eq!(types(&place, "bronze", column).len(), 1, "{column}");
    }
    for table in &TABLES[1..] {
        types(&place, table, "");
    }
    let bronze = place.rows("retail/bronze");
    let rescued = bronze.iter().filter(|row| {
        let rescued = row["_rescued"].as_str().unwrap_or_default();
        rescued.contains(r#""register_id":"R-7""#) && row["register_id"].is_null()
    });
    assert_eq!(rescued.count(), EACH as usize);
}
