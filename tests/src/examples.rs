use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::place::{Place, repository};

/// The block of a language in what plugins/README.md says of the twelve rules.
fn block(language: &str) -> String {
    let page = std::fs::read_to_string(repository().join("plugins/README.md")).unwrap();
    let (_, section) = page
        .split_once("## Twelve rules that retail teams ask for first\n")
        .unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let (_, block) = section.split_once(&format!("```{language}\n")).unwrap();
    block.split("```").next().unwrap().to_owned()
}

/// The tax of plugins/README.md, between a price floor and a count by the hour.
fn tenant(place: &Place, events: &Path) -> PathBuf {
    place.write("tax_rates.csv", block("csv"));
    place.write(
        "products.csv",
        "product_id,category\nP1,toys\nP2,toys\nP3,books\n",
    );
    place.write("stores.csv", "store_id,region\nS1,DE\n");
    place.write(
        "price_floors.csv",
        "product_id,floor_price,valid_from,valid_to\n\
         P2,80.00,,2020-07-01T00:00:00+02:00\n\
         P2,100.00,2020-07-01T00:00:00+02:00,\n",
    );
    let text = format!(
        r#"
version = 1
tenant = "examples"

[source]
kind = "file"
path = "{}"

[event]
key = ["transaction_id"]
zone = "Europe/Berlin"

[event.fields]
transaction_id = "string"
store_id = "string"
product_id = "string"
quantity = "integer"
unit_price = "decimal(18,2)"
timestamp = "timestamp"

[dimension.product]
key = ["product_id"]
file = "products.csv"

[dimension.store]
key = ["store_id"]
file = "stores.csv"

[dimension.price_floor]
key = ["product_id"]
columns = {{ floor_price = "decimal(18,2)" }}
file = "price_floors.csv"

[[validate]]
component = "../plugins/sdk/examples/check-price-floor/check-price-floor.wasm"

{}
[[enrich]]
component = "../plugins/sdk/examples/add-hour/add-hour.wasm"

[[gold]]
name = "hourly_sales"
component = "../plugins/sdk/examples/count-hourly-sales/count-hourly-sales.wasm"
partition_by = ["sale_date"]
"#,
        events.display(),
        block("toml"),
    );
    let plugins = repository().join("plugins");
    let text = text.replace("\"../plugins", &format!("\"{}", plugins.display()));
    place.write("examples.toml", text)
}

fn sale(id: &str, product: &str, price: &str, timestamp: &str) -> String {
    format!(
        "{{\"transaction_id\":\"{id}\",\"store_id\":\"S1\",\"product_id\":\"{product}\",\
         \"quantity\":1,\"unit_price\":{price},\"timestamp\":\"{timestamp}\"}}\n"
    )
}

fn texts<'a>(row: &'a Value, names: &[&str]) -> Vec<&'a str> {
    names
        .iter()
        .map(|name| row[name].as_str().unwrap())
        .collect()
}

/// Rate, amount without tax, and tax, by transaction.
fn taxes(silver: &[Value]) -> BTreeMap<&str, Vec<&str>> {
    let names = ["tax_percent", "amount_without_tax", "tax_amount"];
    silver
        .iter()
        .map(|row| {
            let id = row["transaction_id"].as_str().unwrap();
            (id, texts(row, &names))
        })
        .collect()
}

#[test]
fn a_rate_or_a_floor_is_that_of_the_sales_own_time_however_late_it_comes() {
    let place = Place::new();
    // The last moment before each change and the first after it, the latest first.
    let events = [
        sale("T4", "P1", "119.00", "2020-12-31T23:00:00Z"),
        sale("T3", "P1", "119.00", "2020-12-31T22:59:59.999Z"),
        sale("T2", "P1", "119.00", "2020-06-30T22:00:00Z"),
        sale("T1", "P1", "119.00", "2020-06-30T21:59:59.999Z"),
        sale("T6", "P2", "99.99", "2020-06-30T22:00:00Z"),
        sale("T5", "P2", "99.99", "2020-06-30T21:59:59.999Z"),
        sale("T7", "P3", "10.00", "2020-06-30T21:59:59.999Z"),
    ];
    let path = place.write("events/sales.ndjson", events[..3].concat());
    let pipeline = tenant(&place, &path);
    place.run_to_the_end(&pipeline);
    // What comes in another run was sold before what is in gold.
    place.append(&path, &events[3..].concat());
    place.run_to_the_end(&pipeline);

    let silver = place.rows("examples/silver");
    let wanted = BTreeMap::from([
        ("T1", vec!["19.0000", "100.00", "19.00"]),
        ("T2", vec!["16.0000", "102.59", "16.41"]),
        ("T3", vec!["16.0000", "102.59", "16.41"]),
        ("T4", vec!["19.0000", "100.00", "19.00"]),
        ("T5", vec!["19.0000", "84.03", "15.96"]),
    ]);
    assert_eq!(taxes(&silver), wanted);

    let quarantine = place.rows("examples/quarantine");
    let mut refused: Vec<Vec<&str>> = quarantine
        .iter()
        .map(|row| texts(row, &["step", "rule", "reason"]))
        .collect();
    refused.sort_unstable();
    assert_eq!(
        refused,
        [
            vec![
                "enrich",
                "tax_rate_unknown",
                "region is DE, category is books"
            ],
            vec![
                "validate",
                "price_below_floor",
                "99.99 was asked, at least 100.00 must be"
            ],
        ]
    );

    let gold = place.rows("examples/gold/hourly_sales");
    let mut hours: Vec<(&str, i64, i64, &str)> = gold
        .iter()
        .map(|row| {
            let number = |name: &str| row[name].as_i64().unwrap();
            let [date, amount] = texts(row, &["sale_date", "net_amount"])[..] else {
                panic!("two were asked for");
            };
            (date, number("hour_of_day"), number("transactions"), amount)
        })
        .collect();
    hours.sort_unstable();
    assert_eq!(
        hours,
        [
            ("2020-06-30", 23, 2, "218.99"),
            ("2020-07-01", 0, 1, "119.00"),
            ("2020-12-31", 23, 1, "119.00"),
            ("2021-01-01", 0, 1, "119.00"),
        ]
    );
}

#[test]
fn a_new_rate_is_a_new_file_and_what_came_before_keeps_the_old_one() {
    let place = Place::new();
    let sold = |id| sale(id, "P1", "125.00", "2021-02-01T10:00:00Z");
    let path = place.write("events/sales.ndjson", sold("T1"));
    let pipeline = tenant(&place, &path);
    place.run_to_the_end(&pipeline);

    let rates = block("csv").replace("toys,19,2021", "toys,25,2021");
    let rates = place.write("tax_rates.csv", rates);
    let load = ["dimension", "load", "examples", "tax_rate"];
    let files = [
        rates.to_str().unwrap(),
        "--pipeline",
        pipeline.to_str().unwrap(),
    ];
    place.assay(&[&load[..], &files].concat()).well();
    place.append(&path, &sold("T2"));
    place.run_to_the_end(&pipeline);

    let silver = place.rows("examples/silver");
    let wanted = BTreeMap::from([
        ("T1", vec!["19.0000", "105.04", "19.96"]),
        ("T2", vec!["25.0000", "100.00", "25.00"]),
    ]);
    assert_eq!(taxes(&silver), wanted);
}
