//! What a day adds up to; and that it adds up to the same however its rows come.

use assay_rules::wire::Batch;
use assay_rules::{aggregate, testing};
use serde_json::{Value, json};

use super::*;

const RULES: DailySales = DailySales {};

fn line(id: &str, quantity: i64, net: &str, is_return: bool, minute: u32) -> Value {
    json!({
        "sale_date": "2025-03-01", "store_id": "S1", "transaction_id": id, "quantity": quantity,
        "gross_amount": net, "discount_amount": "0.00", "net_amount": net,
        "is_return": is_return, "timestamp": format!("2025-03-01T10:{minute:02}:00Z"),
    })
}

fn measures(rows: &[Value]) -> Value {
    let state = testing::state_of(&RULES, rows).unwrap();
    Value::Object(testing::measures(&RULES, &state).unwrap())
}

#[test]
fn a_day_of_sales_and_returns() {
    let mut with_cost = line("T2", 3, "30.00", false, 5);
    with_cost["margin_amount"] = json!("12.50");
    with_cost["discount_amount"] = json!("1.50");
    let rows = [
        line("T1", 1, "9.99", false, 30),
        line("T1", 2, "5.01", false, 30),
        with_cost,
        line("T3", -1, "9.99", true, 1),
    ];
    assert_eq!(
        measures(&rows),
        json!({
            "sales": 3, "units": 6, "gross_amount": "45.00", "discount_amount": "1.50",
            "net_amount": "45.00", "margin_amount": "12.50", "returns": 1,
            "returns_amount": "9.99", "transactions": 2,
            "first_sale_at": "2025-03-01T10:05:00Z", "last_sale_at": "2025-03-01T10:30:00Z",
        })
    );
}

#[test]
fn a_day_of_returns_alone_has_no_first_sale_and_sums_of_nothing() {
    let found = measures(&[line("T3", -1, "9.99", true, 1)]);
    assert_eq!(found["sales"], 0);
    assert_eq!(found["net_amount"], "0.00");
    assert_eq!(found["transactions"], 0);
    assert!(found["margin_amount"].is_null());
    assert!(found["first_sale_at"].is_null());
}

#[test]
fn measures_come_in_the_order_that_gold_promises() {
    let description = aggregate::describe(&RULES);
    assert_eq!(description.keys, ["sale_date", "store_id"]);
    let names: Vec<&str> = description
        .measures
        .iter()
        .map(|field| field.name.as_str())
        .collect();
    let expected = "sales units gross_amount discount_amount net_amount margin_amount returns \
                    returns_amount transactions first_sale_at last_sale_at";
    assert_eq!(names.join(" "), expected);
}

/// Lines of a day that no one chose by hand: the same for the same seed.
fn some_day(seed: u64, lines: usize) -> Vec<Value> {
    let mut state = seed;
    let mut next = |below: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let day = (0..lines).map(|_| {
        let id = format!("T{}", next(9));
        let cents = next(100_000);
        let net = format!("{}.{:02}", cents / 100, cents % 100);
        let minute = u32::try_from(next(60)).unwrap();
        let mut row = line(&id, next(9) as i64 + 1, &net, next(5) == 0, minute);
        if next(2) == 0 {
            row["margin_amount"] = json!(format!("-{net}"));
        }
        row
    });
    day.collect()
}

#[test]
fn a_day_cut_anywhere_comes_to_the_same() {
    for seed in 0..20 {
        let rows = some_day(seed, 12);
        let text = serde_json::to_string(&rows).unwrap();
        let whole = testing::aggregate(&RULES, &text, &[]).unwrap();
        for first in 0..=rows.len() {
            for second in first..=rows.len() {
                let cut = testing::aggregate(&RULES, &text, &[first, second]).unwrap();
                assert_eq!(cut, whole, "seed {seed}, cut at {first} and {second}");
            }
        }
    }
}

#[test]
fn merging_is_associative_and_commutative() {
    for seed in 0..50 {
        let parts = [3, 0, 7].map(|lines| some_day(seed * 31 + lines, lines as usize));
        let [a, b, c] = parts.map(|rows| testing::state_of(&RULES, &rows).unwrap());
        let merge = |left: &Batch, right: &Batch| aggregate::merge(&RULES, left, right).unwrap();
        let debug = |state: Batch| format!("{state:?}");
        assert_eq!(debug(merge(&a, &c)), debug(merge(&c, &a)));
        assert_eq!(
            debug(merge(&merge(&a, &b), &c)),
            debug(merge(&a, &merge(&b, &c)))
        );
        assert_eq!(
            debug(merge(&a, &b)),
            debug(a.clone()),
            "merging with nothing changes nothing"
        );
    }
}

#[test]
fn a_sum_past_64_bits_names_its_group_and_measure() {
    let most = "92233720368547758.07";
    let rows = [
        line("T1", 1, most, false, 1),
        line("T2", 1, "0.01", false, 1),
    ];
    let error = testing::state_of(&RULES, &rows).unwrap_err();
    assert_eq!(
        error,
        "group 0: gross_amount: the sum is past what 64 bits can hold"
    );

    let [a, b] = [&rows[..1], &rows[1..]].map(|rows| testing::state_of(&RULES, rows).unwrap());
    assert!(
        aggregate::merge(&RULES, &a, &b)
            .unwrap_err()
            .starts_with("group 0: gross_amount")
    );
}

#[test]
fn rows_go_to_the_group_that_the_host_says() {
    let rows = [
        line("A", 1, "1.00", false, 1),
        line("B", 1, "2.00", false, 2),
        line("C", 1, "4.00", false, 3),
    ];
    let description = aggregate::describe(&RULES);
    let text = serde_json::to_string(&rows).unwrap();
    let batch = testing::batch(&description.reads, &[], &text).unwrap();
    let state = aggregate::fold(&RULES, &batch, &[1, 0, 1], 3).unwrap();
    let finished = aggregate::finish(&RULES, &state).unwrap();
    let found = testing::of_columns(&description.measures, &finished.columns, finished.rows);
    let nets: Vec<&Value> = found.iter().map(|group| &group["net_amount"]).collect();
    assert_eq!(nets, ["2.00", "5.00", "0.00"]);
    assert!(aggregate::fold(&RULES, &batch, &[0, 0, 3], 3).is_err());
    assert!(aggregate::fold(&RULES, &batch, &[0], 1).is_err());
}

#[test]
fn a_measure_that_an_old_row_lacks_stays_unknown_until_a_replay() {
    let new = testing::state_of(&RULES, &[line("T1", 1, "1.00", false, 1)]).unwrap();
    let mut old = new.clone();
    // The first state column is `sales`.
    old.columns[0].valid = Some(vec![0]);
    let merged = aggregate::merge(&RULES, &old, &new).unwrap();
    let found = testing::measures(&RULES, &merged).unwrap();
    assert!(found["sales"].is_null());
    assert_eq!(found["net_amount"], "2.00");
}
