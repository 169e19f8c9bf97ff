//! Amounts to the cent, and what becomes of what is not known.

use assay_rules::{enrich, testing};

use super::*;

fn money(text: &str) -> Decimal<2> {
    text.parse().unwrap()
}

fn sale(quantity: i64, price: &str, discount: Option<&str>, cost: Option<&str>) -> Sale<'static> {
    Sale {
        product_id: Some("P1"),
        store_id: Some("S1"),
        quantity: Some(quantity),
        unit_price: Some(money(price)),
        discount_percent: discount.map(money),
        product: Some(Product {
            cost: cost.map(money),
            ..Product::default()
        }),
        store: Some(Store::default()),
        ..Sale::default()
    }
}

fn amounts(sale: &Sale<'static>) -> [String; 4] {
    let rules = EnrichSales::default();
    let (meaning, broken) = enrich::one(&rules, sale);
    assert!(broken.is_empty(), "{broken:?}");
    [
        meaning.gross_amount,
        meaning.discount_amount,
        meaning.net_amount,
        meaning.margin_amount,
    ]
    .map(|amount| amount.map_or_else(|| "none".to_owned(), |amount| amount.to_string()))
}

#[test]
fn a_discount_is_rounded_half_away_from_zero() {
    assert_eq!(
        amounts(&sale(3, "1.15", Some("10"), None)),
        ["3.45", "0.35", "3.10", "none"]
    );
    assert_eq!(
        amounts(&sale(1, "0.05", Some("10"), None)),
        ["0.05", "0.01", "0.04", "none"]
    );
    assert_eq!(
        amounts(&sale(1, "0.04", Some("10"), None)),
        ["0.04", "0.00", "0.04", "none"]
    );
    assert_eq!(
        amounts(&sale(7, "19.99", Some("33.33"), None)),
        ["139.93", "46.64", "93.29", "none"]
    );
}

#[test]
fn no_discount_is_a_discount_of_nothing_and_a_full_one_leaves_nothing() {
    assert_eq!(
        amounts(&sale(2, "9.99", None, Some("4.00"))),
        ["19.98", "0.00", "19.98", "11.98"]
    );
    assert_eq!(
        amounts(&sale(2, "9.99", Some("100"), None)),
        ["19.98", "19.98", "0.00", "none"]
    );
}

#[test]
fn a_margin_can_be_a_loss() {
    assert_eq!(
        amounts(&sale(2, "1.00", None, Some("1.50"))),
        ["2.00", "0.00", "2.00", "-1.00"]
    );
}

#[test]
fn a_return_has_the_amounts_of_a_sale_and_says_that_it_is_one() {
    let rules = EnrichSales::default();
    for quantity in [-2, 2] {
        let sale = Sale {
            kind: Some("RETURN"),
            ..sale(quantity, "9.99", None, Some("4.00"))
        };
        assert_eq!(amounts(&sale), ["19.98", "0.00", "19.98", "11.98"]);
        assert_eq!(enrich::one(&rules, &sale).0.is_return, Some(true));
    }
    assert_eq!(
        enrich::one(&rules, &sale(2, "9.99", None, None))
            .0
            .is_return,
        Some(false)
    );
}

#[test]
fn an_amount_past_64_bits_is_refused_not_wrapped() {
    let rules = EnrichSales::default();
    for sale in [
        sale(i64::MAX, "0.02", None, None),
        sale(i64::MIN, "1.00", None, None),
        sale(2, "1.00", None, Some("92233720368547758.07")),
    ] {
        let (meaning, broken) = enrich::one(&rules, &sale);
        assert_eq!(broken, ["amount_too_large"]);
        assert_eq!(meaning.net_amount, None);
    }
}

#[test]
fn an_unknown_product_or_store_is_kept_with_a_warning_or_quarantined() {
    let rows = r#"[
        { "product_id": "P1", "store_id": "S9", "quantity": 1, "unit_price": 2,
          "product": { "product_name": "Pen", "cost": "0.50" } },
        { "store_id": "S1", "quantity": 1, "unit_price": 2, "store": { "region": "north" } }
    ]"#;
    let kept: EnrichSales = testing::enricher("{}").unwrap();
    let (written, broken) = testing::enrich(&kept, rows).unwrap();
    assert_eq!(broken, [(0, "unknown_store"), (1, "unknown_product")]);
    assert_eq!(written[0]["product_name"], "Pen");
    assert_eq!(written[0]["margin_amount"], "1.50");
    assert!(written[0]["region"].is_null());
    assert!(written[1]["product_name"].is_null());
    assert_eq!(written[1]["region"], "north");
    assert_eq!(written[1]["net_amount"], "2.00");

    let refused: EnrichSales = testing::enricher(r#"{ "unknown": "quarantine" }"#).unwrap();
    let action = |rules: &EnrichSales, name: &str| {
        let described = enrich::describe(rules).rules;
        described
            .iter()
            .find(|rule| rule.name == name)
            .unwrap()
            .action
    };
    for name in ["unknown_product", "unknown_store"] {
        assert_eq!(action(&kept, name), Action::Warn);
        assert_eq!(action(&refused, name), Action::Quarantine);
    }
}

#[test]
fn a_tenant_without_dimensions_is_asked_for_none() {
    let rules: EnrichSales = testing::enricher(r#"{ "dimensions": [] }"#).unwrap();
    let description = enrich::describe(&rules);
    assert!(description.look_ups.is_empty());
    let names: Vec<&str> = description
        .writes
        .iter()
        .map(|field| field.name.as_str())
        .collect();
    assert_eq!(
        names,
        [
            "gross_amount",
            "discount_amount",
            "net_amount",
            "margin_amount",
            "is_return"
        ]
    );
    let rows = r#"[{ "product_id": "P1", "quantity": 1, "unit_price": 2 }]"#;
    let (written, broken) = testing::enrich(&rules, rows).unwrap();
    assert!(broken.is_empty());
    assert_eq!(written[0]["net_amount"], "2.00");
}

#[test]
fn all_columns_come_in_the_order_that_analysts_read() {
    let description = enrich::describe(&EnrichSales::default());
    let names: Vec<&str> = description
        .writes
        .iter()
        .map(|field| field.name.as_str())
        .collect();
    let expected = "product_name category list_price store_name region city gross_amount \
                    discount_amount net_amount margin_amount is_return";
    assert_eq!(names.join(" "), expected);
}
