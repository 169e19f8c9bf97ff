use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

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

/// What a run cost.
#[derive(Clone, Copy)]
struct Cost {
    processor: Duration,
    wall: Duration,
}

/// The runs of each kind, in turn.
const RUNS: usize = 2;

/// `ASSAY_POISON_EVENTS` says among how many sales, `ASSAY_POISON_RUNS` how often with and without
/// poison. What the poison costs is said, and not held to anything: a debug build beside others tells
/// little.
#[test]
fn each_poisonous_line_is_in_quarantine_once_at_its_offset() {
    let place = Place::new();
    let count = told("ASSAY_POISON_EVENTS").unwrap_or(20_000);
    let runs = told("ASSAY_POISON_RUNS").map_or(RUNS, |runs| usize::try_from(runs).unwrap());
    let (calm, poisoned, offsets) = sales(&place, count);
    // In a lake of its own each time; the last is looked at.
    let run = |events: &Path, lake: &Path| {
        let pipeline = place.retail_from_files(events, &[]);
        let run = ["run", pipeline.to_str().unwrap(), "--until-caught-up"];
        let since = Instant::now();
        let processor = place.measured(&[&run[..], &["--lake", lake.to_str().unwrap()]].concat());
        let wall = since.elapsed();
        Cost { processor, wall }
    };
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for last in (0..runs).rev() {
        let calm_lake = place.path().join("calm");
        without.push(run(&calm, &calm_lake));
        std::fs::remove_dir_all(&calm_lake).unwrap();
        with.push(run(&poisoned, &place.lake()));
        if last > 0 {
            std::fs::remove_dir_all(place.lake()).unwrap();
        }
    }

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

    let bytes = |events: &Path| std::fs::metadata(events).unwrap().len() >> 20;
    crate::chaos::say(&format!(
        "poison: {} among {count} sales, {} MiB instead of {}, {runs} runs of each in turn; processor time {}; events a second {}",
        offsets.len(),
        bytes(&poisoned),
        bytes(&calm),
        compared(&without, &with, |cost| cost.processor.as_secs_f64()),
        compared(&without, &with, |cost| count as f64
            / cost.wall.as_secs_f64()),
    ));
}

/// The figures without and with, and what the middle ones of both say.
fn compared(without: &[Cost], with: &[Cost], figure: impl Fn(&Cost) -> f64) -> String {
    let figures = |costs: &[Cost]| {
        let mut figures: Vec<f64> = costs.iter().map(&figure).collect();
        figures.sort_by(f64::total_cmp);
        figures
    };
    let middle =
        |figures: &[f64]| (figures[(figures.len() - 1) / 2] + figures[figures.len() / 2]) / 2.0;
    let (without, with) = (figures(without), figures(with));
    let change = middle(&with) / middle(&without) - 1.0;
    format!(
        "{without:.2?} without, {with:.2?} with ({:+.0} %)",
        change * 100.0
    )
}
