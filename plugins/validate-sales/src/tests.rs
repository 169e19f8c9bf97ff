//! Each rule, by the sales that break it and the sales that just do not.

use assay_rules::{testing, validate};

use super::*;

const NOON: Timestamp = Timestamp::of_micros(1_741_000_000_000_000);

fn good() -> Sale<'static> {
    Sale {
        quantity: Some(2),
        unit_price: Some(money("9.99")),
        timestamp: Some(NOON),
        payment_method: Some("card"),
        now: Some(NOON),
        ..Sale::default()
    }
}

fn money(text: &str) -> Decimal<2> {
    text.parse().unwrap()
}

fn later(seconds: i64) -> Option<Timestamp> {
    Some(Timestamp::of_micros(NOON.micros() + seconds * 1_000_000))
}

fn broken(sale: Sale<'static>) -> Vec<&'static str> {
    validate::broken(&ValidateSales::default(), &sale)
}

fn rules(params: &str) -> ValidateSales {
    testing::validator(params).unwrap()
}

#[test]
fn a_usual_sale_breaks_nothing() {
    assert!(broken(good()).is_empty());
}

#[test]
fn a_quantity_must_be_there_and_above_zero_and_not_absurd() {
    let of = |quantity| broken(Sale { quantity, ..good() });
    assert_eq!(of(None), ["quantity_missing"]);
    assert_eq!(of(Some(0)), ["quantity_zero"]);
    assert_eq!(of(Some(-1)), ["quantity_negative"]);
    assert!(of(Some(10_000)).is_empty());
    assert_eq!(of(Some(10_001)), ["quantity_absurd"]);
    assert_eq!(of(Some(i64::MIN)), ["quantity_negative", "quantity_absurd"]);
}

#[test]
fn a_return_may_count_downwards_but_not_nothing_and_not_absurdly() {
    let of = |quantity| {
        broken(Sale {
            quantity: Some(quantity),
            kind: Some("Return"),
            ..good()
        })
    };
    assert!(of(-3).is_empty());
    assert!(of(3).is_empty());
    assert_eq!(of(0), ["quantity_zero"]);
    assert_eq!(of(-10_001), ["quantity_absurd"]);
    let sale = Sale {
        quantity: Some(-3),
        kind: Some("sale"),
        ..good()
    };
    assert_eq!(broken(sale), ["quantity_negative"]);
}

#[test]
fn a_price_must_be_there_and_above_zero_and_not_absurd() {
    let of = |unit_price| {
        broken(Sale {
            unit_price,
            ..good()
        })
    };
    assert_eq!(of(None), ["price_missing"]);
    assert_eq!(of(Some(money("-0.01"))), ["price_negative"]);
    assert_eq!(of(Some(money("0.00"))), ["price_zero"]);
    assert!(of(Some(money("100000.00"))).is_empty());
    assert_eq!(of(Some(money("100000.01"))), ["price_absurd"]);
}

#[test]
fn a_tenant_may_give_goods_away() {
    let sale = Sale {
        unit_price: Some(Decimal::ZERO),
        ..good()
    };
    assert!(validate::broken(&rules(r#"{ "allow_zero_price": true }"#), &sale).is_empty());
}

#[test]
fn a_price_may_be_held_against_the_list_price() {
    let of = |price: &str, list_price: Option<&str>| {
        let product = Some(Product {
            list_price: list_price.map(money),
            ..Product::default()
        });
        let sale = Sale {
            unit_price: Some(money(price)),
            product,
            ..good()
        };
        validate::broken(&rules(r#"{ "min_share_of_list_price": 0.5 }"#), &sale)
    };
    assert_eq!(of("4.99", Some("9.99")), ["price_below_list"]);
    assert!(of("5.00", Some("9.99")).is_empty());
    assert!(of("0.01", None).is_empty());
    let unknown = Sale {
        unit_price: Some(money("0.01")),
        ..good()
    };
    assert!(broken(unknown).is_empty());
}

#[test]
fn the_product_is_looked_up_only_where_the_param_asks_for_it() {
    let look_ups = |params| validate::describe(&rules(params)).look_ups;
    assert!(look_ups("{}").is_empty());
    let asked = look_ups(r#"{ "min_share_of_list_price": "0.5" }"#);
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].dimension, "product");
    assert_eq!(
        asked[0].on,
        [("product_id".to_owned(), "product_id".to_owned())]
    );
}

#[test]
fn a_discount_lies_between_0_and_100_percent() {
    let of = |percent: &str| {
        broken(Sale {
            discount_percent: Some(money(percent)),
            ..good()
        })
    };
    assert!(of("0.00").is_empty());
    assert!(of("100.00").is_empty());
    assert_eq!(of("-0.01"), ["discount_out_of_range"]);
    assert_eq!(of("100.01"), ["discount_out_of_range"]);
}

#[test]
fn the_highest_discount_may_be_lower() {
    let of = |percent: &str| {
        let sale = Sale {
            discount_percent: Some(money(percent)),
            ..good()
        };
        validate::broken(&rules(r#"{ "max_discount_percent": 30 }"#), &sale)
    };
    assert!(of("30.00").is_empty());
    assert_eq!(of("30.01"), ["discount_out_of_range"]);
}

#[test]
fn a_tills_clock_may_be_ahead_by_the_tolerance() {
    assert!(
        broken(Sale {
            timestamp: later(600),
            ..good()
        })
        .is_empty()
    );
    assert_eq!(
        broken(Sale {
            timestamp: later(601),
            ..good()
        }),
        ["timestamp_in_future"]
    );
}

#[test]
fn a_sale_is_never_too_old_unless_the_tenant_says_when() {
    let sale = Sale {
        now: later(3 * 86_400 + 1),
        ..good()
    };
    assert!(broken(sale.clone()).is_empty());
    assert_eq!(
        validate::broken(&rules(r#"{ "max_age_days": 3 }"#), &sale),
        ["timestamp_too_old"]
    );
    let sale = Sale {
        now: later(3 * 86_400),
        ..good()
    };
    assert!(validate::broken(&rules(r#"{ "max_age_days": 3 }"#), &sale).is_empty());
}

#[test]
fn a_currency_is_one_of_iso_4217_or_one_that_the_tenant_takes() {
    let sale = |currency| Sale {
        currency: Some(currency),
        ..good()
    };
    assert!(broken(sale("EUR")).is_empty());
    assert_eq!(broken(sale("XYZ")), ["unknown_currency"]);
    assert_eq!(broken(sale("")), ["unknown_currency"]);
    let euro_only = rules(r#"{ "currencies": ["EUR"] }"#);
    assert!(validate::broken(&euro_only, &sale("EUR")).is_empty());
    assert_eq!(
        validate::broken(&euro_only, &sale("USD")),
        ["unknown_currency"]
    );
}

#[test]
fn an_unknown_way_to_pay_only_warns() {
    let sale = Sale {
        payment_method: Some("seashells"),
        ..good()
    };
    assert_eq!(broken(sale), ["unknown_payment_method"]);
    assert!(
        broken(Sale {
            payment_method: None,
            ..good()
        })
        .is_empty()
    );
    let description = validate::describe(&ValidateSales::default());
    let warning = description
        .rules
        .iter()
        .find(|r| r.name == "unknown_payment_method")
        .unwrap();
    assert_eq!(warning.action, Action::Warn);
    assert_eq!(warning.description, "The way to pay is not known.");
    let others = description
        .rules
        .iter()
        .filter(|r| r.action != Action::Quarantine);
    assert_eq!(others.count(), 1);
}

#[test]
fn a_batch_is_judged_row_by_row_wherever_it_is_cut() {
    let rows = r#"[
        { "quantity": 1, "unit_price": "1.00", "_now": "2025-03-01T12:00:00Z" },
        { "quantity": 0, "unit_price": "1.00", "_now": "2025-03-01T12:00:00Z" },
        { "unit_price": "-1.00", "type": "return", "_now": "2025-03-01T12:00:00Z" },
        { "quantity": -2, "unit_price": "1.00", "type": "RETURN", "payment_method": "iou",
          "timestamp": "2025-03-01T13:00:00Z", "_now": "2025-03-01T12:00:00Z" }
    ]"#;
    let found = testing::validate(&ValidateSales::default(), rows).unwrap();
    assert_eq!(
        found,
        [
            (1, "quantity_zero"),
            (2, "quantity_missing"),
            (2, "price_negative"),
            (3, "timestamp_in_future"),
            (3, "unknown_payment_method"),
        ]
    );
}

#[test]
fn params_that_make_no_sense_are_refused_by_name() {
    for (params, name) in [
        (r#"{ "max_quantity": 0 }"#, "max_quantity"),
        (r#"{ "max_price": "-1" }"#, "max_price"),
        (r#"{ "max_age_days": 0 }"#, "max_age_days"),
        (
            r#"{ "future_tolerance_seconds": -1 }"#,
            "future_tolerance_seconds",
        ),
        (r#"{ "max_quantty": 5 }"#, "max_quantty"),
        (r#"{ "max_price": 1.001 }"#, "1.001"),
    ] {
        let error = testing::validator::<ValidateSales>(params).unwrap_err();
        assert!(error.contains(name), "{error}");
    }
}
