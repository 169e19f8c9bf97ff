//! A component over real rows: of a file with a tenant's dimensions, and of the bronze table.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::shell;
use crate::guest::around;
use crate::place::{Place, repository};

fn sale(id: u32, product: &str, quantity: i32) -> String {
    format!(
        r#"{{"transaction_id":"T{id}","store_id":"S001","product_id":"{product}","customer_id":"C1","quantity":{quantity},"unit_price":2.50,"timestamp":"2025-03-01T10:00:00Z","payment_method":"card","channel":"pos","register_id":1}}"#
    ) + "\n"
}

fn component(plugin: &str) -> String {
    let path = repository().join(format!("plugins/{plugin}/{plugin}.wasm"));
    path.display().to_string()
}

/// Every file below a folder, with when it was changed.
fn files(folder: &Path) -> BTreeMap<std::path::PathBuf, std::time::SystemTime> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        match entry.path().is_dir() {
            true => found.extend(files(&entry.path())),
            false => {
                let changed = entry.metadata().unwrap().modified().unwrap();
                found.insert(entry.path(), changed);
            }
        }
    }
    found
}

#[test]
fn rows_of_bronze_are_judged_anew_and_nothing_is_written() {
    let place = Place::new();
    let text = sale(1, "P1", 2) + "no JSON\n" + &sale(2, "P1", 7) + &sale(3, "P1", 3);
    let events = place.write("events/sales.ndjson", text);
    let pipeline = place.retail_from_files(&events, &[]);
    place.run_to_the_end(&pipeline);
    let before = files(&place.lake());

    let said = place.assay(&[
        "plugin",
        "run",
        &component("validate-sales"),
        "--bronze",
        "--pipeline",
        pipeline.to_str().unwrap(),
        "--params",
        r#"{"max_quantity":2}"#,
    ]);
    assert!(
        said.err.contains("1 malformed messages are left out"),
        "{}",
        said.err
    );
    assert!(
        said.err.contains("3 rows, 2 quantity_absurd"),
        "{}",
        said.err
    );
    let lines: Vec<Value> = said
        .well()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let offset = |row: u64| 8 * u64::from(row > 0) + row * sale(1, "P1", 2).len() as u64;
    let places: Vec<&str> = lines
        .iter()
        .map(|line| line["at"].as_str().unwrap())
        .collect();
    let wanted = [0, 1, 2].map(|row| format!("sales.ndjson/0 offset {}", offset(row)));
    assert_eq!(places, wanted);
    assert_eq!(lines[0]["verdicts"], Value::Null);
    assert_eq!(
        lines[1]["verdicts"][0],
        "quarantine quantity_absurd: quantity is 7, the limit is 2"
    );
    assert_eq!(files(&place.lake()), before);
}

#[test]
fn rows_of_standard_input_are_joined_with_the_tenants_dimensions() {
    let place = Place::new();
    let events = place.write("events/sales.ndjson", "");
    let pipeline = place.retail_from_files(&events, &[]);
    let products = repository().join("pipelines/retail/products.csv");
    let products = std::fs::read_to_string(products).unwrap();
    let known: Vec<&str> = products.lines().nth(1).unwrap().split(',').collect();
    let rows = place.write("rows.ndjson", sale(1, known[0], 4) + &sale(2, "nothing", 1));
    let line = format!(
        "assay plugin run {} --rows - --pipeline {} < {}",
        component("enrich-sales"),
        pipeline.display(),
        rows.display()
    );
    let said = shell(place.path(), &line);
    assert!(
        said.err.contains("2 rows, 1 unknown_product"),
        "{}",
        said.err
    );
    let lines = said.well();
    let first: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!(first["writes"]["product_name"], known[1]);
    assert_eq!(first["writes"]["gross_amount"], "10.00");
    assert!(!place.lake().exists());
}

#[test]
fn a_component_is_tried_within_the_limits_of_the_toml_that_is_named() {
    let place = Place::new();
    // More than 100,100 units of fuel for the row of 13.
    let work = "(local.set $n (i32.const 30000))
        (loop $on
          (local.set $n (i32.sub (local.get $n) (i32.const 1))) (br_if $on (local.get $n)))";
    place.write("count.wasm", around("validator", work, ""));
    place.write("rows.ndjson", "{\"quantity\":13}\n{\"quantity\":1}\n");
    let toml = |name: &str, limits: &str, own: &str| {
        let text = format!(
            "version = 1\ntenant = \"{name}\"\n[source]\nkind = \"file\"\npath = \"events\"\n\
             [event.fields]\ntransaction_id = \"string\"\nquantity = \"integer\"\ntimestamp = \"timestamp\"\n\
             {limits}[[validate]]\ncomponent = \"count.wasm\"\n{own}"
        );
        place.write(&format!("{name}.toml"), text);
    };
    toml("silent", "", "");
    toml("lean", "[limits]\nfuel = 100000\nfuel_per_row = 100\n", "");
    toml(
        "own",
        "",
        "limits = { fuel = 100000, fuel_per_row = 100 }\n",
    );
    let run = |more: &str| {
        let line = format!("assay plugin run count.wasm --rows rows.ndjson {more}");
        shell(place.path(), &line)
    };
    let starved = "{\"row\":1,\"failed\":\"out_of_fuel: it used up its 100100 units of fuel\",\"input\":{\"quantity\":13}}";
    for (more, is_starved) in [
        ("", false),
        ("--pipeline silent.toml", false),
        ("--pipeline lean.toml", true),
        ("--pipeline own.toml", true),
    ] {
        let said = run(more);
        assert_eq!(said.out.contains(starved), is_starved, "{more}: {said:?}");
        let hint = "ran out of fuel; fuel and fuel_per_row under [limits] of the TOML";
        assert_eq!(said.err.contains(hint), is_starved, "{more}: {said:?}");
        assert!(said.good, "{more}: {said:?}");
    }
    toml("small", "[limits]\ncomponent = 100\n", "");
    for line in ["run count.wasm --rows rows.ndjson", "check count.wasm"] {
        let line = format!("assay plugin {line} --pipeline small.toml");
        let said = shell(place.path(), &line);
        assert!(!said.good, "{line}");
        let told = said.out + &said.err;
        assert!(told.contains("[limits] component allows 100"), "{told}");
    }
    let nowhere = "assay plugin run count.wasm --bronze --pipeline silent.toml --lake nowhere";
    let said = shell(place.path(), nowhere).badly();
    assert!(said.contains("there is no lake nowhere"), "{said}");
    assert!(!place.path().join("nowhere").exists());
    let bench = "assay plugin bench count.wasm --rows rows.ndjson --pipeline own.toml";
    let said = shell(place.path(), bench).well();
    let needs = "a row; 100 are allowed, so the TOML must say";
    assert!(said.contains(needs), "{said}");
}

#[test]
fn a_line_that_is_malformed_is_quarantined_with_its_number_and_the_rest_goes_on() {
    let place = Place::new();
    let mut text = b"{\"quantity\":1}\n\n{\"quantity\": }\n{\"product_id\":\"caf\xe9\"}\n".to_vec();
    text.extend_from_slice(format!("{{\"deep\":{}\n", "[".repeat(300)).as_bytes());
    text.extend_from_slice(b"{\"quantity\":7}\n[1]\n");
    let rows = place.write("rows.ndjson", text);
    let run = |more: &str| {
        let line = format!(
            "assay plugin run {} --rows {} --params '{{\"max_quantity\":2}}' {more}",
            component("validate-sales"),
            rows.display()
        );
        let said = shell(place.path(), &line);
        assert!(
            said.err
                .contains("6 rows, 4 malformed, 2 price_missing, 1 quantity_absurd"),
            "{}",
            said.err
        );
        let lines = said.well();
        let lines: Vec<Value> = lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        lines
    };
    let lines = run("");
    let numbers: Vec<u64> = lines
        .iter()
        .map(|line| line["row"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6]);
    for (row, line, why) in [
        (1, 3, "quarantine malformed: "),
        (2, 4, "quarantine malformed: "),
        (3, 5, "nested deeper than 64 levels"),
        (5, 7, "quarantine malformed: "),
    ] {
        let said: &Value = &lines[row];
        assert_eq!(said["line"], line, "{said}");
        let verdict = said["verdicts"][0].as_str().unwrap();
        assert!(verdict.contains(why), "{verdict}");
    }
    assert_eq!(lines[1]["input"], "{\"quantity\": }");
    let cut = lines[3]["input"].as_str().unwrap();
    assert!(cut.ends_with('…') && cut.chars().count() == 201, "{cut}");
    assert_eq!(lines[4]["line"], Value::Null);
    let judged = lines[4]["verdicts"].to_string();
    assert!(judged.contains("quantity is 7"), "{judged}");
    let broken = run("--broken");
    let clean = lines[0]["verdicts"].is_null();
    assert_eq!(broken.len(), lines.len() - usize::from(clean));

    // What adds rows up shows groups, and then what is in none.
    let line = format!(
        "assay plugin run {} --rows {}",
        component("aggregate-daily-products"),
        rows.display()
    );
    let said = shell(place.path(), &line);
    assert!(said.err.contains("6 rows, 4 malformed"), "{}", said.err);
    assert_eq!(said.well().matches("quarantine malformed: ").count(), 4);
}
