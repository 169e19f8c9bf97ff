use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::place::{Place, repository};

/// A row's offset and line.
type Identity = (i64, i64);

/// A tenant whose messages are baskets: what all lines share stands around the array.
fn baskets(place: &Place, events: &Path) -> PathBuf {
    let plugins = repository().join("plugins");
    let plugins = plugins.display();
    let text = format!(
        r#"
version = 1
tenant = "baskets"

[source]
kind = "file"
path = "{}"

[event]
key = ["transaction_id", "line"]
explode = "lines"

[event.fields]
transaction_id = "string"
store_id = "string"
customer_id = "string"
timestamp = "timestamp"
payment_method = "string"
line = "integer"
product_id = "string"
quantity = "integer"
unit_price = "decimal(18,2)"

[[cleanse]]
component = "{plugins}/cleanse-sales/cleanse-sales.wasm"

[[validate]]
component = "{plugins}/validate-sales/validate-sales.wasm"

[[enrich]]
component = "{plugins}/enrich-sales/enrich-sales.wasm"
params = {{ dimensions = [] }}

[[gold]]
name = "daily_sales"
component = "{plugins}/aggregate-daily-sales/aggregate-daily-sales.wasm"
partition_by = ["sale_date", "store_id"]
"#,
        events.display()
    );
    place.write("baskets.toml", text)
}

fn basket(id: &str, day: u32, lines: Value) -> Value {
    json!({
        "transaction_id": id,
        "store_id": "S1",
        "customer_id": "C1",
        "timestamp": format!("2025-03-0{day}T10:00:00Z"),
        "payment_method": "card",
        "lines": lines,
    })
}

fn line(number: u32, quantity: i64, price: f64) -> Value {
    json!({ "line": number, "product_id": "P1", "quantity": quantity, "unit_price": price })
}

/// The object with some of its fields replaced; a null takes one away.
fn with(mut object: Value, fields: Value) -> Value {
    let map = object.as_object_mut().unwrap();
    for (name, value) in fields.as_object().unwrap() {
        match value {
            Value::Null => drop(map.remove(name)),
            value => drop(map.insert(name.clone(), value.clone())),
        }
    }
    object
}

/// Messages, each with what its lines become.
fn messages() -> Vec<(Value, Vec<&'static str>)> {
    let first = basket(
        "A1",
        1,
        json!([line(1, 3, 0.10), line(2, 1, 19.99), line(3, 2, 2.50)]),
    );
    let two = json!([line(1, 1, 1.00), line(2, 1, 1.00)]);
    let without_lines =
        |id: &str, lines: Value| with(basket(id, 2, two.clone()), json!({ "lines": lines }));
    vec![
        (first.clone(), vec!["silver"; 3]),
        // From here on, what comes is of another day.
        (without_lines("B1", Value::Null), vec!["malformed"]),
        (without_lines("B2", json!([])), vec!["malformed"]),
        (without_lines("B3", json!("two")), vec!["malformed"]),
        (without_lines("B4", json!({ "line": 1 })), vec!["malformed"]),
        (
            basket("B5", 2, json!([line(1, 1, 1.00), 2])),
            vec!["malformed"],
        ),
        (
            basket(
                "C1",
                2,
                json!([
                    line(1, 1, 7.77),
                    line(2, -5, 7.77),
                    with(line(3, 1, 7.77), json!({ "quantity": "many" })),
                    with(line(4, 1, 7.77), json!({ "line": null })),
                    line(5, 4, 0.05),
                ]),
            ),
            vec![
                "silver",
                "quantity_negative",
                "quantity_missing",
                "no_key",
                "silver",
            ],
        ),
        // The whole message again, then one of its lines with another quantity beside a new one.
        (first, vec!["duplicate"; 3]),
        (
            basket("A1", 1, json!([line(2, 7, 19.99), line(4, 1, 100.01)])),
            vec!["conflicting_duplicate", "silver"],
        ),
        // A line twice in one message.
        (
            basket(
                "D1",
                2,
                json!([line(1, 1, 3.33), line(1, 1, 3.33), line(2, 1, 3.33)]),
            ),
            vec!["silver", "duplicate", "silver"],
        ),
        // A line's own field stands over the one around it.
        (
            basket(
                "E1",
                2,
                json!([
                    with(line(1, 1, 5.55), json!({ "store_id": "S2" })),
                    line(2, 1, 5.55)
                ]),
            ),
            vec!["silver", "silver"],
        ),
        (
            with(basket("F1", 2, two.clone()), json!({ "timestamp": null })),
            vec!["no_business_date", "no_business_date"],
        ),
    ]
}

/// What each row became, by its identity.
fn ends(place: &Place) -> BTreeMap<Identity, String> {
    let mut ends = BTreeMap::new();
    let mut end = |row: &Value, what: &str| {
        let identity = (
            row["_offset"].as_i64().unwrap(),
            row["_line"].as_i64().unwrap(),
        );
        let before = ends.insert(identity, what.to_owned());
        assert!(before.is_none(), "{identity:?} is {before:?} and {what}");
    };
    for row in place.rows("baskets/silver") {
        end(&row, "silver");
    }
    for row in place.rows("baskets/quarantine") {
        end(&row, row["rule"].as_str().unwrap());
    }
    ends
}

/// What gold must say of each day and store: sales, units, the amount, transactions.
fn gold(messages: &[(Value, Vec<&str>)]) -> BTreeMap<(String, String), (i64, i64, String, i64)> {
    let mut days: BTreeMap<_, (i64, i64, i64, Vec<String>)> = BTreeMap::new();
    for (message, ends) in messages {
        let lines = message["lines"].as_array().into_iter().flatten();
        for (line, _) in lines.zip(ends).filter(|(_, end)| **end == "silver") {
            let text = |name: &str| line.get(name).unwrap_or(&message[name]).to_string();
            let date = text("timestamp")[1..11].to_owned();
            let day = days.entry((date, text("store_id"))).or_default();
            let quantity = line["quantity"].as_i64().unwrap();
            let cents = (line["unit_price"].as_f64().unwrap() * 100.0).round() as i64;
            day.0 += 1;
            day.1 += quantity;
            day.2 += quantity * cents;
            day.3.push(text("transaction_id"));
        }
    }
    let published = days.into_iter().map(|((date, store), day)| {
        let (sales, units, cents, mut baskets) = day;
        baskets.sort();
        baskets.dedup();
        let amount = format!("{}.{:02}", cents / 100, cents % 100);
        let store = store.trim_matches('"').to_owned();
        ((date, store), (sales, units, amount, baskets.len() as i64))
    });
    published.collect()
}

fn text_of(message: &Value) -> String {
    message.to_string() + "\n"
}

#[test]
fn each_line_of_a_basket_is_a_row_with_an_end_of_its_own_and_gold_is_exact() {
    let place = Place::new();
    let messages = messages();
    let (first, rest) = messages.split_first().unwrap();
    let mut wanted = BTreeMap::new();
    let mut offset = 0;
    for (message, ends) in &messages {
        for (line, end) in ends.iter().enumerate() {
            wanted.insert((offset, line as i64), (*end).to_owned());
        }
        offset += text_of(message).len() as i64;
    }
    let events = place.write("events/baskets.ndjson", text_of(&first.0));
    let pipeline = baskets(&place, &events);
    place.run_to_the_end(&pipeline);

    // The rest is in bronze and quarantine when silver can't be written: what the lines become is
    // decided once more, from bronze.
    let rest: String = rest.iter().map(|(message, _)| text_of(message)).collect();
    place.append(&events, &rest);
    let blocking = place.write("lake/baskets/silver/sale_date=2025-03-02", "in the way");
    let said = place
        .assay(&["run", pipeline.to_str().unwrap(), "--until-caught-up"])
        .badly();
    assert!(said.contains("sale_date=2025-03-02"), "{said}");
    std::fs::remove_file(blocking).unwrap();
    place.run_to_the_end(&pipeline);

    assert_eq!(ends(&place), wanted);
    let mut bronze: Vec<i64> = place
        .rows("baskets/bronze")
        .iter()
        .map(|row| row["_offset"].as_i64().unwrap())
        .collect();
    bronze.sort_unstable();
    let mut messages_at: Vec<i64> = wanted.keys().map(|(offset, _)| *offset).collect();
    messages_at.dedup();
    assert_eq!(bronze, messages_at, "one row of bronze a message");

    let published: BTreeMap<(String, String), (i64, i64, String, i64)> = place
        .rows("baskets/gold/daily_sales")
        .iter()
        .map(|row| {
            let text = |name: &str| row[name].as_str().unwrap().to_owned();
            let number = |name: &str| row[name].as_i64().unwrap();
            let measures = (
                number("sales"),
                number("units"),
                text("net_amount"),
                number("transactions"),
            );
            ((text("sale_date"), text("store_id")), measures)
        })
        .collect();
    assert_eq!(published, gold(&messages));
}
