use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;

use crate::place::{Place, repository};

fn sale(id: u32, day: u32, quantity: i32) -> String {
    format!(
        r#"{{"transaction_id":"T{id}","store_id":"S001","product_id":"P1","customer_id":"C1","quantity":{quantity},"unit_price":2.50,"timestamp":"2025-03-0{day}T10:00:00Z","payment_method":"card","channel":"pos","register_id":1}}"#
    ) + "\n"
}

fn append(path: &PathBuf, text: &str) {
    let mut all = std::fs::read_to_string(path).unwrap();
    all.push_str(text);
    std::fs::write(path, all).unwrap();
}

/// A file where silver's next partition would be: bronze and quarantine commit, silver can't.
fn block_silver(place: &Place) -> PathBuf {
    let blocking = place.lake().join("retail/silver/sale_date=2025-03-02");
    std::fs::write(&blocking, "in the way").unwrap();
    blocking
}

fn by_id(rows: Vec<Value>) -> BTreeMap<String, Value> {
    let ids = rows
        .into_iter()
        .map(|row| (row["transaction_id"].as_str().unwrap().to_owned(), row));
    ids.collect()
}

#[test]
fn rows_that_were_taken_in_before_a_change_keep_their_verdict() {
    let place = Place::new();
    let products = "product_id,product_name,category,list_price,cost\nP1,Tea,grocery,2.50,1.00\n";
    let products = place.write("products.csv", products);
    let events = place.write("events/sales.ndjson", sale(1, 1, 2));
    let pipeline = place.retail_from_files(&events, &[]);
    place.run_to_the_end(&pipeline);
    let load = |file: &PathBuf| {
        let pipeline = pipeline.to_str().unwrap();
        let arguments = [
            "dimension",
            "load",
            "retail",
            "product",
            file.to_str().unwrap(),
        ];
        place
            .assay(&[&arguments[..], &["--pipeline", pipeline]].concat())
            .well();
    };
    load(&products);

    // The host dies between bronze and silver.
    append(&events, &(sale(2, 2, 2) + &sale(3, 2, -2)));
    let blocking = block_silver(&place);
    let said = place
        .assay(&["run", pipeline.to_str().unwrap(), "--until-caught-up"])
        .badly();
    assert!(said.contains("sale_date=2025-03-02"), "{said}");
    assert_eq!(place.rows("retail/bronze").len(), 3);
    std::fs::remove_file(blocking).unwrap();

    // The dimension and the rules change, then it comes back.
    let renamed =
        "product_id,product_name,category,list_price,cost\nP1,Green tea,grocery,2.50,1.00\n";
    load(&place.write("renamed.csv", renamed));
    let validate = format!(
        "{}/plugins/validate-sales/validate-sales.wasm\"",
        repository().display()
    );
    let text = std::fs::read_to_string(&pipeline).unwrap();
    let stricter = format!("{validate}\nparams = {{ max_quantity = 1 }}");
    std::fs::write(&pipeline, text.replace(&validate, &stricter)).unwrap();
    append(&events, &(sale(4, 2, 2) + &sale(5, 2, 1)));
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
