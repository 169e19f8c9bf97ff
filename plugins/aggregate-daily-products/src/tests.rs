//! What a product's day adds up to, however its rows come.

use assay_rules::wire::Batch;
use assay_rules::{aggregate, testing};
use serde_json::{Value, json};

use super::*;

const RULES: DailyProducts = DailyProducts {};

fn line(quantity: i64, net: &str, is_return: bool) -> Value {
    json!({
        "sale_date": "2025-03-01", "product_id": "P1", "quantity": quantity, "net_amount": net,
        "is_return": is_return,
    })
}

fn measures(rows: &[Value]) -> Value {
    let state = testing::state_of(&RULES, rows).unwrap();
    Value::Object(testing::measures(&RULES, &state).unwrap())
}

#[test]
fn what_came_back_is_taken_off_whichever_way_it_was_counted() {
    for returned in [-2, 2] {
        let rows = [
            line(5, "10.00", false),
            line(returned, "4.00", true),
            line(1, "2.00", false),
        ];
        assert_eq!(
            measures(&rows),
            json!({
                "units_sold": 6, "units_returned": 2, "net_units": 4, "net_amount": "8.00", "sales": 2,
            })
        );
    }
}

#[test]
fn more_may_come_back_than_was_sold_that_day() {
    let found = measures(&[line(3, "9.00", true)]);
    assert_eq!(found["net_units"], -3);
    assert_eq!(found["net_amount"], "-9.00");
}

#[test]
fn a_day_cut_anywhere_and_merged_in_any_order_comes_to_the_same() {
    let rows: Vec<Value> = (1..10)
        .map(|n| line(n, &format!("{n}.99"), n % 3 == 0))
        .collect();
    let whole = measures(&rows);
    for cut in 0..=rows.len() {
        let (left, right) = rows.split_at(cut);
        let [left, right] = [left, right].map(|rows| testing::state_of(&RULES, rows).unwrap());
        for (one, two) in [(&left, &right), (&right, &left)] {
            let merged = aggregate::merge(&RULES, one, two).unwrap();
            let found = testing::measures(&RULES, &merged).unwrap();
            assert_eq!(Value::Object(found), whole, "cut at {cut}");
        }
    }
    let [a, b, c] =
        [&rows[..2], &rows[2..5], &rows[5..]].map(|rows| testing::state_of(&RULES, rows).unwrap());
    let merge = |left: &Batch, right: &Batch| aggregate::merge(&RULES, left, right).unwrap();
    let left = merge(&merge(&a, &b), &c);
    let right = merge(&a, &merge(&b, &c));
    assert_eq!(format!("{left:?}"), format!("{right:?}"));
}

#[test]
fn keys_and_measures_come_in_the_order_that_gold_promises() {
    let description = aggregate::describe(&RULES);
    assert_eq!(description.keys, ["sale_date", "product_id"]);
    let names: Vec<&str> = description
        .measures
        .iter()
        .map(|field| field.name.as_str())
        .collect();
    assert_eq!(
        names,
        [
            "units_sold",
            "units_returned",
            "net_units",
            "net_amount",
            "sales"
        ]
    );
}

#[test]
fn a_sum_past_64_bits_is_an_error_that_names_its_group() {
    let rows = [line(i64::MAX, "1.00", false), line(1, "1.00", false)];
    let error = testing::state_of(&RULES, &rows).unwrap_err();
    assert_eq!(
        error,
        "group 0: units_sold: the sum is past what 64 bits can hold"
    );
}
