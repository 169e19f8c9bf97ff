use std::process::Command;

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

#[test]
fn the_commands_of_swap_it_live_do_what_the_readme_says() {
    let place = Place::new();
    let sale = r#"{"transaction_id":"T1","store_id":"S001","product_id":"P1","customer_id":"C1","quantity":7,"unit_price":2.50,"timestamp":"2025-03-01T10:00:00Z"}"#;
    let events = place.write("events/sales.ndjson", format!("{sale}\n"));
    let pipeline = place.retail_from_files(&events, &[]);
    std::fs::create_dir_all(place.path().join("pipelines")).unwrap();
    let moved = place.path().join("pipelines/retail.toml");
    std::fs::rename(pipeline, &moved).unwrap();
    let bin = place.path().join("target/release");
    std::fs::create_dir_all(&bin).unwrap();
    std::os::unix::fs::symlink(assay(), bin.join("assay")).unwrap();
    let mut host = place.host(&["run", "pipelines"]);
    let in_silver = || place.rows_if_any("retail/silver").len();
    host.until("the sale is in silver", |_| in_silver() == 1);

    let script = commands("Swap it live");
    let output = Command::new("bash")
        .args(["-euxc", &script])
        .current_dir(place.path())
        .env("ASSAY_LAKE", place.lake())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}\n{log}");
    for wanted in [
        "rule set 2 is staged",
        "validate validate-sales: param max_quantity 10000 -> 5",
        "rule set 3 judges from the next batch on: it is 2; before it, 1 did",
        "rule set 4 judges from the next batch on: it is 1; before it, 3 did",
    ] {
        assert!(said.contains(wanted), "{wanted}\n{said}");
    }
    host.until("the host follows", |host| {
        host.log().contains("ruleset=4 before=")
    });
    let (ended, log) = host.stop();
    assert!(ended.success(), "{log}");
}
