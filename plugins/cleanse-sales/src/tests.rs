//! What is repaired, and what is left.

use assay_rules::{cleanse, testing};

use super::*;

fn rules(params: &str) -> CleanseSales {
    testing::cleanser(params).unwrap()
}

fn one<'a>(rules: &'a CleanseSales, sale: &Sale<'a>) -> Cleansed<'a> {
    cleanse::one(rules, sale).0
}

#[test]
fn ids_are_trimmed_and_in_upper_case() {
    let rules = rules("{}");
    let sale = Sale {
        transaction_id: Some(" t-1 "),
        store_id: Some("s001"),
        product_id: Some("85123a"),
        customer_id: Some("\tC7"),
        ..Sale::default()
    };
    let cleansed = one(&rules, &sale);
    assert_eq!(cleansed.transaction_id.as_deref(), Some("T-1"));
    assert_eq!(cleansed.store_id.as_deref(), Some("S001"));
    assert_eq!(cleansed.product_id.as_deref(), Some("85123A"));
    assert_eq!(cleansed.customer_id.as_deref(), Some("C7"));
}

#[test]
fn an_id_may_keep_its_case() {
    let rules = rules(r#"{ "keep_case": ["product_id"] }"#);
    let sale = Sale {
        product_id: Some(" 85123a "),
        store_id: Some("s1"),
        ..Sale::default()
    };
    let cleansed = one(&rules, &sale);
    assert_eq!(cleansed.product_id.as_deref(), Some("85123a"));
    assert_eq!(cleansed.store_id.as_deref(), Some("S1"));
}

#[test]
fn an_absent_or_blank_id_is_no_id() {
    let rules = rules("{}");
    let sale = Sale {
        transaction_id: Some("  "),
        ..Sale::default()
    };
    let cleansed = one(&rules, &sale);
    assert_eq!(cleansed.transaction_id, None);
    assert_eq!(cleansed.store_id, None);
}

#[test]
fn known_aliases_are_replaced() {
    let rules = rules(
        r#"{ "payment_methods": { "Credit Card": "card" }, "stores": { "london-1": "S001" } }"#,
    );
    let sale = Sale {
        store_id: Some(" London-1"),
        payment_method: Some(" CREDIT card "),
        ..Sale::default()
    };
    let cleansed = one(&rules, &sale);
    assert_eq!(cleansed.store_id.as_deref(), Some("S001"));
    assert_eq!(cleansed.payment_method.as_deref(), Some("card"));
    let sale = Sale {
        payment_method: Some("Cash"),
        ..Sale::default()
    };
    assert_eq!(one(&rules, &sale).payment_method.as_deref(), Some("cash"));
}

#[test]
fn a_number_that_came_as_text_is_read() {
    let rules = rules("{}");
    let sale = Sale {
        rescued: Some(r#"{"quantity":" 3 ","unit_price":"12.50","register_id":"7","line":2.0}"#),
        ..Sale::default()
    };
    let cleansed = one(&rules, &sale);
    assert_eq!(cleansed.quantity, Some(3));
    assert_eq!(cleansed.unit_price.unwrap().to_string(), "12.50");
    assert_eq!((cleansed.register_id, cleansed.line), (Some(7), Some(2)));
}

#[test]
fn what_is_in_doubt_stays_absent() {
    let rules = rules("{}");
    for quantity in [
        "\"3 pieces\"",
        "\"\"",
        "3.5",
        "\"1,000\"",
        "null",
        "true",
        "[3]",
        "1e2",
    ] {
        let rescued = format!(r#"{{"quantity":{quantity},"unit_price":12.505}}"#);
        let sale = Sale {
            rescued: Some(&rescued),
            ..Sale::default()
        };
        let cleansed = one(&rules, &sale);
        assert_eq!(cleansed.quantity, None, "{quantity}");
        assert_eq!(cleansed.unit_price, None);
    }
}

#[test]
fn an_id_that_came_as_a_number_is_read_with_every_digit() {
    let rules = rules(r#"{ "stores": { "7": "S007" } }"#);
    let sale = Sale {
        rescued: Some(
            r#"{"transaction_id":123456789012345678901234567890,"store_id":7,"customer_id":1.5}"#,
        ),
        ..Sale::default()
    };
    let cleansed = one(&rules, &sale);
    assert_eq!(
        cleansed.transaction_id.as_deref(),
        Some("123456789012345678901234567890")
    );
    assert_eq!(cleansed.store_id.as_deref(), Some("S007"));
    assert_eq!(cleansed.customer_id, None);
}

#[test]
fn a_value_that_came_well_is_never_replaced_by_a_rescued_one() {
    let rules = rules("{}");
    let sale = Sale {
        quantity: Some(1),
        rescued: Some(r#"{"quantity":"9"}"#),
        ..Sale::default()
    };
    assert_eq!(one(&rules, &sale).quantity, Some(1));
}

#[test]
fn what_was_rescued_may_be_anything_at_all() {
    let rules = rules("{}");
    for rescued in [
        "",
        "not json",
        "[]",
        "null",
        "{\"quantity\":",
        "{\"a\":{\"b\":[1,{}]}}",
    ] {
        let sale = Sale {
            rescued: Some(rescued),
            store_id: Some("s1"),
            ..Sale::default()
        };
        assert_eq!(
            one(&rules, &sale).store_id.as_deref(),
            Some("S1"),
            "{rescued}"
        );
    }
}

#[test]
fn a_prefix_and_a_quantity_below_zero_make_a_return() {
    let rules = rules(r#"{ "return_prefix": "C" }"#);
    let of = |id, quantity| {
        let sale = Sale {
            transaction_id: Some(id),
            quantity: Some(quantity),
            ..Sale::default()
        };
        one(&rules, &sale).kind.is_some_and(|kind| kind == "return")
    };
    assert!(of("C536379", -1));
    assert!(of("c536379", -1));
    assert!(!of("C536379", 1));
    assert!(!of("536379", -1));
}

#[test]
fn only_the_listed_fields_are_written() {
    let names = |params| -> Vec<String> {
        cleanse::describe(&rules(params))
            .writes
            .into_iter()
            .map(|field| field.name)
            .collect()
    };
    assert_eq!(
        names(r#"{ "fields": ["line", "quantity"] }"#),
        ["quantity", "line"]
    );
    assert_eq!(names(r#"{ "fields": [], "return_prefix": "C" }"#), ["type"]);
    assert!(names("{}").iter().all(|name| name != "currency"));
}

#[test]
fn a_batch_has_a_value_for_every_row() {
    let rules = rules(r#"{ "fields": ["store_id", "unit_price"] }"#);
    let rows = r#"[
        { "transaction_id": "a", "store_id": "s1", "unit_price": "1.10" },
        { "transaction_id": "b", "_rescued": "{\"unit_price\":\"2\"}" },
        { "transaction_id": "c", "store_id": " ", "unit_price": -3 }
    ]"#;
    let (written, verdicts) = testing::cleanse(&rules, rows).unwrap();
    assert!(verdicts.is_empty());
    let written = serde_json::to_string(&written).unwrap();
    assert_eq!(
        written,
        r#"[{"store_id":"S1","unit_price":"1.10"},{"store_id":null,"unit_price":"2.00"},{"store_id":null,"unit_price":"-3.00"}]"#
    );
}

#[test]
fn params_that_name_no_field_are_refused() {
    let error = testing::cleanser::<CleanseSales>(r#"{ "fields": ["qty"] }"#).unwrap_err();
    assert!(error.contains("\"qty\""), "{error}");
    let error = testing::cleanser::<CleanseSales>(r#"{ "keep_case": ["id"] }"#).unwrap_err();
    assert!(error.contains("keep_case"), "{error}");
}

#[test]
fn letters_are_found_wherever_they_stand_among_whatever_bytes() {
    for letter in (0..=127_u8).map(char::from).chain(['é', 'ß', 'Ａ', '€']) {
        for before in 0..17 {
            for after in [0, 1, 8] {
                let text = format!("{}{letter}{}", "7".repeat(before), "-".repeat(after));
                assert_eq!(
                    holds_ascii::<b'a', b'z'>(&text),
                    letter.is_ascii_lowercase(),
                    "{text:?}"
                );
                assert_eq!(
                    holds_ascii::<b'A', b'Z'>(&text),
                    letter.is_ascii_uppercase(),
                    "{text:?}"
                );
            }
        }
    }
}
