use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::place::{Place, told};

/// A lake of sales that are all in gold.
fn full() -> (Place, PathBuf) {
    let place = Place::new();
    place
        .assay(&["generate", "sales", "--count", "3000", "--stores", "5"])
        .well();
    let events = place.path().join("sales/events");
    let batches = ("\n[event]", "\n[batch]\nrows = 500\n\n[event]");
    let pipeline = place.retail_from_files(&events, &[batches]);
    place.run_to_the_end(&pipeline);
    (place, pipeline)
}

fn log(place: &Place, table: &str, name: &str) -> PathBuf {
    place
        .lake()
        .join("retail")
        .join(table)
        .join("_delta_log")
        .join(name)
}

/// Has another engine write a checkpoint, and answers with its file.
fn checkpoint(place: &Place, table: &str) -> PathBuf {
    let path = place.lake().join("retail").join(table);
    let said = place.reader("checkpoint.py", &[path.to_str().unwrap()]);
    let version: u64 = said.trim().parse().unwrap();
    log(place, table, &format!("{version:020}.checkpoint.parquet"))
}

fn last_version(place: &Place, table: &str) -> PathBuf {
    let folder = fs::read_dir(log(place, table, "")).unwrap();
    let paths = folder.map(|entry| entry.unwrap().path());
    let versions = paths.filter(|path| path.extension().is_some_and(|kind| kind == "json"));
    versions.max().unwrap()
}

/// Cuts a file short, as a loss of power may, a while ago.
fn tear(path: &Path) {
    let bytes = fs::read(path).unwrap();
    fs::write(path, &bytes[..bytes.len() / 3]).unwrap();
    let file = fs::File::options().write(true).open(path).unwrap();
    let past = SystemTime::now() - Duration::from_secs(300);
    file.set_modified(past).unwrap();
}

fn is_readable(place: &Place, table: &str) -> bool {
    let path = place.lake().join("retail").join(table);
    place.try_reader("rows.py", &[path.to_str().unwrap()]).good
}

/// What the audit says of repairs: the table, how it ended, and what it says of it.
fn repairs(place: &Place) -> Vec<(String, String, String)> {
    let said = place.assay(&["audit", "retail", "--json"]).well();
    let rows = said
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let repairs = rows.filter(|row| row["action"] == "table repair");
    let text = |row: &serde_json::Value, name: &str| row[name].as_str().unwrap().to_owned();
    repairs
        .map(|row| {
            let [target, result, detail] =
                ["target", "result", "detail"].map(|name| text(&row, name));
            (target, result, detail)
        })
        .collect()
}

/// Polars and DuckDB find what the generator meant to be there.
fn check(place: &Place) {
    for reader in ["polars", "duckdb"] {
        let lake = place.lake();
        let lake = lake.to_str().unwrap();
        let arguments = [lake, "retail", "sales/expected.json", "--reader", reader];
        let said = place.reader("check_expected.py", &arguments);
        assert!(said.contains("OK 3000 events"), "{said}");
    }
}

#[test]
fn damaged_checkpoints_are_healed_for_readers_that_are_not_ours() {
    let (place, _) = full();
    tear(&checkpoint(&place, "silver"));
    fs::remove_file(checkpoint(&place, "bronze")).unwrap();
    fs::write(log(&place, "quarantine", "_last_checkpoint"), "{\"ver").unwrap();
    assert!(!is_readable(&place, "silver") && !is_readable(&place, "bronze"));
    // Assay itself reads on without them.
    place.assay(&["verify"]).well();

    let said = place
        .assay(&["table", "repair", "retail", "--dry-run"])
        .well();
    let would = "retail/silver: would heal: checkpoint";
    assert!(said.contains(would), "{said}");
    assert!(
        said.contains("retail/bronze: would heal: _last_checkpoint names"),
        "{said}"
    );
    assert!(
        said.contains("retail/quarantine: would heal: _last_checkpoint can't be read"),
        "{said}"
    );
    assert!(said.contains("retail/gold/daily_sales: whole"), "{said}");
    assert!(
        !is_readable(&place, "silver"),
        "a dry run changed something"
    );
    assert_eq!(repairs(&place), [], "nothing was done yet");

    let said = place.assay(&["table", "repair", "retail"]).well();
    assert_eq!(said.matches("a new").count(), 4, "{said}");
    check(&place);
    let said = place.assay(&["table", "repair", "retail"]).well();
    assert!(said.lines().all(|line| line.ends_with(": whole")), "{said}");
    // Each table that was healed has a row, with what was done; those that were whole have none.
    let noted = repairs(&place);
    let tables: Vec<&str> = noted.iter().map(|(table, _, _)| table.as_str()).collect();
    assert_eq!(tables, ["table bronze", "table quarantine", "table silver"]);
    assert!(
        noted
            .iter()
            .all(|(_, result, told)| result == "done" && told.contains("a new"))
    );
}

/// What befalls a checkpoint.
#[derive(Clone, Copy, Debug)]
enum Damage {
    Torn,
    Missing,
    WrongHint,
}

const DAMAGES: [Damage; 3] = [Damage::Torn, Damage::Missing, Damage::WrongHint];

/// `ASSAY_CHECKPOINTS_TIMES` says how often a checkpoint is damaged in each way, while sales go on.
#[test]
fn a_damaged_checkpoint_stops_nobody_here_and_is_healed_for_others_each_time() {
    const TABLES: [&str; 4] = ["bronze", "quarantine", "silver", "gold/daily_sales"];
    let times = usize::try_from(told("ASSAY_CHECKPOINTS_TIMES").unwrap_or(1)).unwrap();
    let place = Place::new();
    let count = 3_000_usize;
    let generate = ["generate", "sales", "--count", &count.to_string()];
    let more = ["--stores", "5", "--ids"];
    place.assay(&[&generate[..], &more].concat()).well();
    let all = fs::read_to_string(place.path().join("sales/events/sales.ndjson")).unwrap();
    let lines: Vec<&str> = all.split_inclusive('\n').collect();
    let rounds = times * DAMAGES.len();
    let mut parts = lines.chunks(lines.len().div_ceil(rounds + 1));
    let events = place.write("events/sales.ndjson", parts.next().unwrap().concat());
    let pipeline = place.retail_from_files(&events, &[]);
    place.run_to_the_end(&pipeline);
    let mut unreadable = 0;
    for round in 0..rounds {
        let damage = DAMAGES[round % DAMAGES.len()];
        let table = TABLES[round / DAMAGES.len() % TABLES.len()];
        let file = checkpoint(&place, table);
        match damage {
            Damage::Torn => tear(&file),
            Damage::Missing => fs::remove_file(file).unwrap(),
            Damage::WrongHint => {
                fs::write(log(&place, table, "_last_checkpoint"), "{\"ver").unwrap()
            }
        }
        unreadable += u32::from(!is_readable(&place, table));
        if let Some(part) = parts.next() {
            place.append(&events, &part.concat());
        }
        place.run_to_the_end(&pipeline);
        let said = place.assay(&["table", "repair", "retail"]).well();
        assert!(said.contains("a new"), "{damage:?} {table}: {said}");
        assert!(is_readable(&place, table), "{damage:?} {table}");
        let said = place.assay(&["table", "repair", "retail"]).well();
        assert!(said.lines().all(|line| line.ends_with(": whole")), "{said}");
    }
    for part in parts {
        place.append(&events, &part.concat());
    }
    place.run_to_the_end(&pipeline);
    for reader in ["polars", "duckdb"] {
        place.holds_expected(&["--ids", "sales/expected-ids.csv", "--reader", reader]);
    }
    crate::chaos::say(&format!(
        "checkpoints: {times} of each of {DAMAGES:?}; {unreadable} times another engine could not read; each healed; 0 lost, 0 doubled"
    ));
}

#[test]
fn a_torn_last_version_is_given_up_where_its_rows_come_again_and_refused_where_they_would_double() {
    let (place, pipeline) = full();
    let gold = last_version(&place, "gold/daily_sales");
    tear(&gold);
    assert!(!is_readable(&place, "gold/daily_sales"));
    let run = ["run", pipeline.to_str().unwrap(), "--until-caught-up"];
    let said = place.assay(&run).badly();
    assert!(said.contains("assay table repair"), "{said}");
    let said = place
        .assay(&["table", "repair", "retail", "gold/daily_sales"])
        .well();
    assert!(said.contains("is torn"), "{said}");
    assert!(is_readable(&place, "gold/daily_sales"));
    place.run_to_the_end(&pipeline);
    check(&place);

    let bronze = last_version(&place, "bronze");
    tear(&bronze);
    let before = fs::read(&bronze).unwrap();
    let said = place.assay(&["table", "repair", "retail"]);
    assert!(
        !said.good && said.out.contains("retail/bronze: NOT HEALED"),
        "{said:?}"
    );
    assert!(
        said.out.contains("nothing was changed: restore"),
        "{said:?}"
    );
    assert!(said.out.contains("retail/silver: whole"), "{said:?}");
    assert_eq!(fs::read(&bronze).unwrap(), before);
    let noted = repairs(&place);
    let ended = noted
        .iter()
        .map(|(table, result, _)| format!("{table} {result}"));
    let ended: Vec<String> = ended.collect();
    assert_eq!(
        ended,
        ["table gold/daily_sales done", "table bronze failed"]
    );
    assert!(
        noted[1].2.contains("nothing was changed: restore"),
        "{noted:?}"
    );
}
