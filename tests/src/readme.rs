use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::place::{Place, assay, repository};

/// The first block of shell commands under a heading of the README.
fn commands(heading: &str) -> String {
    let text = std::fs::read_to_string(repository().join("README.md")).unwrap();
    let begin = text.find(&format!("\n## {heading}\n")).unwrap();
    let section = &text[begin + 1..];
    let section = section.split("\n## ").next().unwrap();
    let block = section.split("```sh\n").nth(1).unwrap();
    block.split("```").next().unwrap().to_owned()
}

/// Sales that come while the commands are typed, every other one at half the price.
fn sell(events: &Path, stop: &AtomicBool) {
    for id in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let discount = if id % 2 == 0 { 50 } else { 10 };
        let sale = format!(
            r#"{{"transaction_id":"T{id}","store_id":"S001","product_id":"P1","customer_id":"C1","quantity":1,"unit_price":2.50,"discount_percent":{discount},"timestamp":"2025-03-07T10:00:00Z"}}"#
        );
        let mut file = std::fs::File::options().append(true).open(events).unwrap();
        file.write_all(format!("{sale}\n").as_bytes()).unwrap();
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn the_commands_of_swap_it_live_do_what_the_readme_says() {
    let place = Place::new();
    let events = place.write("events/sales.ndjson", "");
    let pipeline = place.retail_from_files(&events, &[]);
    std::fs::create_dir_all(place.path().join("pipelines")).unwrap();
    let moved = place.path().join("pipelines/retail.toml");
    std::fs::rename(pipeline, &moved).unwrap();
    let bin = place.path().join("target/release");
    std::fs::create_dir_all(&bin).unwrap();
    std::os::unix::fs::symlink(assay(), bin.join("assay")).unwrap();
    let mut host = place.host(&["run", "pipelines"]);
    let stop = Arc::new(AtomicBool::new(false));
    let selling = std::thread::spawn({
        let (events, stop) = (events.clone(), stop.clone());
        move || sell(&events, &stop)
    });
    let in_silver = || place.rows_if_any("retail/silver").len();
    host.until("some sales are in silver", |_| in_silver() > 0);

    // What a minute brings is there sooner, mostly.
    let script = commands("Swap it live");
    let waits = [
        "until target/release/assay rules report retail 2 >/dev/null 2>&1; do sleep 1; done",
        "until grep -q 'from offset.*ruleset=4' host.log; do sleep 1; done; sleep 3",
    ];
    let script = waits.iter().fold(script, |script, wait| {
        assert!(script.contains("sleep 60 "));
        script.replacen("sleep 60 ", &format!("{wait} "), 1)
    });
    let output = Command::new("bash")
        .args(["-euxc", &script])
        .current_dir(place.path())
        .env("ASSAY_LAKE", place.lake())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}\n{log}\n{}", host.log());
    for wanted in [
        "rule set 2 is staged",
        "validate validate-sales: param max_discount_percent added: 30",
        "retail: rule set 2 beside 1\n",
        "retail: rule set 2 beside 1, from ",
        "rows: silver -> quarantine by validate discount_out_of_range",
        "discount_percent is 50.00",
        "sale_date=2025-03-07/store_id=S001",
        "rule set 4 judges from the next batch on: it is 2; before it, 1 did",
        "retail: the books balance",
        "rule set 5 judges from the next batch on: it is 1; before it, 4 did",
    ] {
        assert!(said.contains(wanted), "{wanted}\n{said}");
    }
    host.until("the host follows", |host| {
        host.log().contains("ruleset=5 before=")
    });
    stop.store(true, Ordering::Relaxed);
    selling.join().unwrap();
    let (ended, log) = host.stop();
    assert!(ended.success(), "{log}");

    // High discounts are in quarantine under rule set 4, and there alone.
    let refused = place.rows("retail/quarantine");
    assert!(!refused.is_empty());
    assert!(refused.iter().all(|row| row["_ruleset"] == 4));
    for row in place.rows("retail/silver") {
        let high = row["discount_amount"].to_string().contains("1.25");
        assert!(!(high && row["_ruleset"] == 4), "{row}");
    }
}
