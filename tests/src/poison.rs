use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;

use serde_json::Value;

use crate::place::{Place, told};

/// One line in so many is poison.
const ONE_IN: u64 = 100;
/// One poisonous line in so many is a megabyte long: more would make the stream another one.
const HUGE_IN: u64 = 100;
const HUGE: usize = 1 << 20;
const DEEP: usize = 10_000;

/// A line that is no event: cut off, a megabyte, no UTF-8, or nested as no one nests.
fn poison(number: u64) -> Vec<u8> {
    let text = match number % 3 {
        _ if number.is_multiple_of(HUGE_IN) => {
            format!("{{\"transaction_id\":\"{}", "x".repeat(HUGE))
        }
        0 => format!("{{\"transaction_id\":\"P{number}\",\"quantity\":"),
        1 => format!("{{\"a\":{}{}}}", "[".repeat(DEEP), "]".repeat(DEEP)),
        _ => {
            let mut bytes = b"{\"transaction_id\":\"\xff\xfe\"".to_vec();
            bytes.extend_from_slice(format!(",\"n\":{number}}}").as_bytes());
            return bytes;
        }
    };
    text.into_bytes()
}

/// The sales as they are, and with poison among them at these offsets.
fn sales(place: &Place, count: u64) -> (PathBuf, PathBuf, Vec<i64>) {
    let text = count.to_string();
    let arguments = ["generate", "sales", "--count", &text, "--malformed", "0"];
    place.assay(&arguments).well();
    let calm = place.path().join("sales/events/sales.ndjson");
    let poisoned = place.write("poisoned/sales.ndjson", "");
    let mut file = std::io::BufWriter::new(std::fs::File::create(&poisoned).unwrap());
    let (mut at, mut offsets) = (0, Vec::new());
    let lines = std::fs::read_to_string(&calm).unwrap();
    for (number, line) in (0_u64..).zip(lines.split_inclusive('\n')) {
        if number.is_multiple_of(ONE_IN) {
            let mut bytes = poison(number / ONE_IN);
            bytes.push(b'\n');
            file.write_all(&bytes).unwrap();
            offsets.push(at);
            at += i64::try_from(bytes.len()).unwrap();
        }
        file.write_all(line.as_bytes()).unwrap();
        at += i64::try_from(line.len()).unwrap();
    }
    file.flush().unwrap();
    (calm, poisoned, offsets)
}

/// `ASSAY_POISON_EVENTS` says among how many sales. What the poison costs is said, and not held to
/// anything: a debug build beside others tells little.
#[test]
fn each_poisonous_line_is_in_quarantine_once_at_its_offset() {
    let place = Place::new();
    let count = told("ASSAY_POISON_EVENTS").unwrap_or(20_000);
    let (calm, poisoned, offsets) = sales(&place, count);
    // In a lake of its own each time but the last; the least is what other processes cost least.
    let run = |events: &PathBuf, lakes: [&str; 2]| {
        let pipeline = place.retail_from_files(events, &[]);
        let runs = lakes.map(|lake| {
            let lake = place.path().join(lake);
            let run = ["run", pipeline.to_str().unwrap(), "--until-caught-up"];
            place.measured(&[&run[..], &["--lake", lake.to_str().unwrap()]].concat())
        });
        runs.into_iter().min().unwrap()
    };
    let without = run(&calm, ["calm", "calm-again"]);
    let with = run(&poisoned, ["poisoned-before", "lake"]);

    let refused = place.columns("retail/quarantine", &["_offset", "rule"]);
    let mut found: Vec<i64> = refused
        .iter()
        .filter(|row| row["rule"] == "malformed")
        .map(|row| row["_offset"].as_i64().unwrap())
        .collect();
    found.sort_unstable();
    assert!(
        found == offsets,
        "{} for {} lines",
        found.len(),
        offsets.len()
    );
    let expected = std::fs::read(place.path().join("sales/expected.json")).unwrap();
    let expected: Value = serde_json::from_slice(&expected).unwrap();
    let silver = place.columns("retail/silver", &["transaction_id"]);
    assert_eq!(
        silver.len() as u64,
        expected["tables"]["silver"].as_u64().unwrap()
    );
    let mut by_rule: BTreeMap<String, u64> = BTreeMap::new();
    for row in &refused {
        *by_rule
            .entry(row["rule"].as_str().unwrap().to_owned())
            .or_default() += 1;
    }
    by_rule.remove("malformed");
    let meant: BTreeMap<String, u64> =
        serde_json::from_value(expected["quarantine"].clone()).unwrap();
    assert_eq!(by_rule, meant);
    let books = place.assay(&["verify"]).well();
    assert!(books.contains("the books balance"), "{books}");

    let dearer = with.as_secs_f64() / without.as_secs_f64() - 1.0;
    crate::chaos::say(&format!(
        "poison: {} among {count}: processor time {without:?} without, {with:?} with ({:+.0} %)",
        offsets.len(),
        dearer * 100.0
    ));
}
