use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde_json::Value;

use crate::place::Place;

fn sale(id: u32, day: u32, quantity: i32) -> String {
    format!(
        r#"{{"transaction_id":"T{id}","store_id":"S001","product_id":"P1","customer_id":"C1","quantity":{quantity},"unit_price":2.50,"timestamp":"2025-03-0{day}T10:00:00Z","payment_method":"card","channel":"pos","register_id":1}}"#
    ) + "\n"
}

/// A file where silver's next partition would be: bronze and quarantine commit, silver can't.
fn block_silver(place: &Place) -> PathBuf {
    let blocking = place.lake().join("retail/silver/sale_date=2025-03-02");
    std::fs::write(&blocking, "in the way").unwrap();
    blocking
}

/// Rows by their transaction, each of which is there once.
fn by_id(rows: Vec<Value>) -> BTreeMap<String, Value> {
    let mut by_id = BTreeMap::new();
    for row in rows {
        let id = row["transaction_id"].as_str().unwrap().to_owned();
        let before = by_id.insert(id, row);
        assert!(before.is_none(), "twice: {before:?}");
    }
    by_id
}

#[test]
fn rows_that_were_taken_in_before_a_change_keep_their_verdict() {
    let place = Place::new();
    let events = place.write("events/sales.ndjson", sale(1, 1, 2));
    let pipeline = place.retail_from_files(&events, &[]);
    place.run_to_the_end(&pipeline);
    place.load_product(&pipeline, "Tea");

    // The host dies between bronze and silver.
    place.append(&events, &(sale(2, 2, 2) + &sale(3, 2, -2)));
    let blocking = block_silver(&place);
    let said = place
        .assay(&["run", pipeline.to_str().unwrap(), "--until-caught-up"])
        .badly();
    assert!(said.contains("sale_date=2025-03-02"), "{said}");
    assert_eq!(place.rows("retail/bronze").len(), 3);
    std::fs::remove_file(blocking).unwrap();

    // The dimension and the rules change, then it comes back.
    place.load_product(&pipeline, "Green tea");
    let text = std::fs::read_to_string(&pipeline).unwrap();
    assert!(text.contains("max_quantity = 10000"));
    let stricter = text.replace("max_quantity = 10000", "max_quantity = 1");
    std::fs::write(&pipeline, stricter).unwrap();
    place.append(&events, &(sale(4, 2, 2) + &sale(5, 2, 1)));
    place.run_to_the_end(&pipeline);

    let silver = by_id(place.rows("retail/silver"));
    assert_eq!(silver.keys().collect::<Vec<_>>(), ["T1", "T2", "T5"]);
    assert_eq!(silver["T2"]["product_name"], "Tea");
    assert_eq!(silver["T5"]["product_name"], "Green tea");
    assert!(silver["T2"]["_ruleset"].as_i64() < silver["T5"]["_ruleset"].as_i64());
    let refused: BTreeMap<String, String> = place
        .rows("retail/quarantine")
        .into_iter()
        .map(|row| {
            let raw: Value = serde_json::from_str(row["_raw"].as_str().unwrap()).unwrap();
            (
                raw["transaction_id"].as_str().unwrap().into(),
                row["rule"].as_str().unwrap().into(),
            )
        })
        .collect();
    assert_eq!(refused["T3"], "quantity_negative");
    assert_eq!(refused["T4"], "quantity_absurd");
    assert_eq!(refused.len(), 2);
}

#[test]
fn a_dimension_that_is_loaded_while_the_host_runs_is_taken_up_by_the_next_batch() {
    let place = Place::new();
    let events = place.write("events/sales.ndjson", sale(1, 1, 2) + &sale(2, 1, 1));
    let pipeline = place.retail_from_files(&events, &[("every = \"5s\"", "every = \"200ms\"")]);
    place.load_product(&pipeline, "Tea");
    let mut host = place.host(&["run", pipeline.to_str().unwrap()]);
    let sold = |ids: &[&str]| {
        let silver = by_id(place.rows_if_any("retail/silver"));
        ids.iter().all(|id| silver.contains_key(*id))
    };
    host.until("the first sales are in silver", |_| sold(&["T1", "T2"]));

    place.load_product(&pipeline, "Green tea");
    place.append(&events, &(sale(3, 1, 2) + &sale(4, 2, 1)));
    host.until("the next sales are in silver", |_| sold(&["T3", "T4"]));
    let (ended, log) = host.stop();
    assert!(ended.success(), "{log}");

    let silver = by_id(place.rows("retail/silver"));
    let names: BTreeMap<&str, &str> = silver
        .iter()
        .map(|(id, row)| (id.as_str(), row["product_name"].as_str().unwrap()))
        .collect();
    let wanted = [
        ("T1", "Tea"),
        ("T2", "Tea"),
        ("T3", "Green tea"),
        ("T4", "Green tea"),
    ];
    assert_eq!(names, BTreeMap::from(wanted));
    let judged_by = |ids: [&str; 2]| ids.map(|id| silver[id]["_ruleset"].as_i64().unwrap());
    let (before, after) = (judged_by(["T1", "T2"]), judged_by(["T3", "T4"]));
    assert!(
        before.iter().max() < after.iter().min(),
        "{before:?} {after:?}"
    );
    let bronze = by_id(place.rows("retail/bronze"));
    assert_eq!(
        bronze.keys().collect::<BTreeSet<_>>(),
        silver.keys().collect::<BTreeSet<_>>()
    );
    let books = place.assay(&["verify"]).well();
    assert!(books.contains("the books balance"), "{books}");
}
