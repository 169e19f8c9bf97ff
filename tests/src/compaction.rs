use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use crate::place::Place;

/// Lines a file, and rows a batch: each file is a batch, and a file in bronze and in silver.
const ROWS: usize = 200;

fn pipeline(place: &Place) -> PathBuf {
    let batch = format!("\n[batch]\nrows = {ROWS}\n\n[event]");
    let events = place.path().join("events");
    place.retail_from_files(&events, &[("\n[event]", batch.as_str())])
}

/// Generated sales of one day in many files, with the truth about them in `sales`.
fn generate(place: &Place, count: u32, seed: u64) {
    let (count, seed) = (count.to_string(), seed.to_string());
    let arguments = ["generate", "sales", "--count", &count, "--seed", &seed];
    let more = ["--days", "1", "--conflicts", "0.002"];
    place.assay(&[&arguments[..], &more].concat()).well();
    let all = std::fs::read(place.path().join("sales/events/sales.ndjson")).unwrap();
    let lines: Vec<&[u8]> = all.split_inclusive(|byte| *byte == b'\n').collect();
    for (number, lines) in lines.chunks(ROWS).enumerate() {
        place.write(&format!("events/{number:04}.ndjson"), lines.concat());
    }
}

/// How often a table was packed, as its log says.
fn packed(table: &Path) -> usize {
    let log = std::fs::read_dir(table.join("_delta_log")).unwrap();
    let log = log.map(|entry| entry.unwrap().path());
    log.filter(|path| path.extension().is_some_and(|kind| kind == "json"))
        .filter(|path| {
            let text = std::fs::read_to_string(path).unwrap();
            text.contains(r#""operation":"OPTIMIZE""#)
        })
        .count()
}

/// Asserts that a table of many commits was packed while it was written to: it has fewer files than
/// were added. How far packing got depends on how busy the machine is.
fn is_packed(place: &Place, table: &str) {
    let files = place.files(table);
    let version = files[0]["version"].as_u64().unwrap();
    assert!(version > 100, "{table} has {version} versions only");
    assert!(packed(&place.lake().join(table)) > 0, "{table}");
    let count = files.len() as u64;
    assert!(
        count + 30 < version,
        "{table} has {count} files after {version} versions"
    );
}

/// Lets a host run until it has packed both tables, however busy the machine is, and kills it.
fn pack(place: &Place, pipeline: &Path) {
    let mut host = place.start(&["run", pipeline.to_str().unwrap()]);
    let since = std::time::Instant::now();
    let tables = ["retail/bronze", "retail/silver"].map(|table| place.lake().join(table));
    while tables.iter().any(|table| packed(table) == 0) {
        assert!(
            since.elapsed() < Duration::from_secs(120),
            "nothing is packed"
        );
        std::thread::sleep(Duration::from_millis(100));
    }
    host.kill().unwrap();
    host.wait().unwrap();
    place.run_to_the_end(pipeline);
}

#[test]
fn many_batches_end_as_few_files_with_every_sale_where_it_should_be() {
    let place = Place::new();
    generate(&place, 28_000, 17);
    let pipeline = pipeline(&place);
    place.run_to_the_end(&pipeline);
    pack(&place, &pipeline);
    for table in ["retail/bronze", "retail/silver"] {
        is_packed(&place, table);
    }
    place.holds_expected(&[]);
    let said = place.reader("totals.py", &[place.lake().to_str().unwrap(), "retail"]);
    assert!(said.contains(r#""readers_agree": true"#), "{said}");
    // Nothing new came: running again changes nothing.
    place.run_to_the_end(&pipeline);
    place.holds_expected(&[]);
}

#[test]
fn killed_at_random_while_files_are_packed_the_tables_end_the_same() {
    let place = Place::new();
    generate(&place, 28_000, 19);
    let pipeline = pipeline(&place);
    let mut random = ChaCha8Rng::seed_from_u64(19);
    for _ in 0..6 {
        let mut host = place.start(&["run", pipeline.to_str().unwrap(), "--until-caught-up"]);
        std::thread::sleep(Duration::from_millis(
            500 + u64::from(random.next_u32() % 1_500),
        ));
        host.kill().unwrap();
        host.wait().unwrap();
    }
    place.run_to_the_end(&pipeline);
    pack(&place, &pipeline);
    place.holds_expected(&[]);
}

fn sales(ids: impl Iterator<Item = usize>) -> String {
    ids.map(|id| {
        format!(
            r#"{{"transaction_id":"T{id}","store_id":"S001","product_id":"P1","customer_id":"C1","quantity":1,"unit_price":2.50,"timestamp":"2025-03-01T10:00:00Z","payment_method":"card","channel":"pos","register_id":1}}"#
        ) + "\n"
    })
    .collect()
}

#[test]
fn a_sale_that_comes_again_after_its_file_was_packed_is_a_duplicate() {
    const FILES: usize = 120;
    let place = Place::new();
    for file in 0..FILES {
        let ids = file * ROWS..(file + 1) * ROWS;
        place.write(&format!("events/{file:04}.ndjson"), sales(ids));
    }
    // Some sales of every file again, in the same run.
    let again = || (0..FILES * ROWS).step_by(FILES);
    place.write("events/7000.ndjson", sales(again()));
    let pipeline = pipeline(&place);
    place.run_to_the_end(&pipeline);
    pack(&place, &pipeline);
    for table in ["retail/bronze", "retail/silver"] {
        is_packed(&place, table);
    }
    // And by a host that has to read the keys from the packed files.
    place.write("events/8000.ndjson", sales(again()));
    place.run_to_the_end(&pipeline);

    let mut sold: BTreeMap<String, usize> = BTreeMap::new();
    for row in place.rows("retail/silver") {
        let id = row["transaction_id"].as_str().unwrap().to_owned();
        *sold.entry(id).or_default() += 1;
    }
    assert_eq!(sold.len(), FILES * ROWS);
    assert!(sold.values().all(|times| *times == 1));
    let refused = place.rows("retail/quarantine");
    assert_eq!(refused.len(), 2 * ROWS);
    assert!(refused.iter().all(|row| row["rule"] == "duplicate"));
}
