//! Which lines of a wholesaler's invoices are sales of merchandise. Its events have no type of
//! their own: `cleanse-sales` with a `return_prefix` says before this what is a return.

use assay_rules::prelude::*;
use serde::Deserialize;

validator!(ValidateOnlineRetail);

row! {
    /// What is looked at. A customer may be missing.
    pub struct Line {
        required product_id: Text,
        required quantity: Integer,
        required unit_price: Decimal<2>,
        /// `return` where goods come back.
        optional kind: Text = "type",
    }
}

rules! {
    /// What can be wrong with a line.
    pub enum Rule {
        /// There is no quantity, or it is no whole number.
        quarantine quantity_missing,
        /// There is no price, or it is no amount of money.
        quarantine price_missing,
        /// Stock was corrected: the quantity is below zero, and no invoice was cancelled.
        quarantine adjustment,
        /// The price is zero.
        quarantine no_price,
        /// Postage, fees, discounts by hand: a stock code of merchandise begins with a digit.
        drop not_merchandise,
    }
}

/// There is nothing to decide.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValidateOnlineRetail {}

impl Validate for ValidateOnlineRetail {
    type Row<'a> = Line<'a>;
    type Rule = Rule;

    fn validate(&self, line: &Line, refuse: &mut Refuse<Rule>) {
        let is_return = line
            .kind
            .is_some_and(|kind| kind.eq_ignore_ascii_case("return"));
        match line.quantity {
            None => refuse.because(
                Rule::quantity_missing,
                "quantity is absent or no whole number",
            ),
            Some(quantity) if quantity < 0 && !is_return => refuse.because(
                Rule::adjustment,
                format_args!("quantity is {quantity}, and the invoice is no cancellation"),
            ),
            Some(_) => {}
        }
        match line.unit_price {
            None => refuse.because(
                Rule::price_missing,
                "unit_price is absent or no amount of money",
            ),
            Some(price) if price.is_zero() => refuse.because(Rule::no_price, "unit_price is 0"),
            Some(_) => {}
        }
        let code = line.product_id.unwrap_or_default();
        if !code.starts_with(|letter: char| letter.is_ascii_digit()) {
            refuse.because(
                Rule::not_merchandise,
                format_args!("product_id is {code:?}"),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use assay_rules::{testing, validate};

    use super::*;

    fn broken(code: &str, quantity: i64, price: &str, kind: Option<&str>) -> Vec<&'static str> {
        let line = Line {
            product_id: Some(code),
            quantity: Some(quantity),
            unit_price: price.parse().ok(),
            kind,
            ..Line::default()
        };
        validate::broken(&ValidateOnlineRetail {}, &line)
    }

    #[test]
    fn merchandise_that_was_sold_or_came_back_is_fine() {
        assert!(broken("85123A", 6, "2.55", None).is_empty());
        assert!(broken("22632", -1, "1.85", Some("return")).is_empty());
    }

    #[test]
    fn stock_that_was_corrected_is_an_adjustment() {
        assert_eq!(broken("22632", -1, "1.85", None), ["adjustment"]);
        assert_eq!(
            broken("22632", -10, "0.0", None),
            ["adjustment", "no_price"]
        );
    }

    #[test]
    fn a_price_of_zero_is_no_price() {
        assert_eq!(broken("22520", 1, "0", None), ["no_price"]);
        assert_eq!(broken("22520", 1, "", None), ["price_missing"]);
    }

    #[test]
    fn a_stock_code_that_begins_with_no_digit_is_not_merchandise() {
        for code in [
            "POST",
            "D",
            "M",
            "DOT",
            "C2",
            "S",
            "BANK CHARGES",
            "AMAZONFEE",
            "",
        ] {
            assert_eq!(
                broken(code, 1, "15.00", None),
                ["not_merchandise"],
                "{code}"
            );
        }
    }

    #[test]
    fn a_line_that_is_no_merchandise_is_dropped_unless_it_is_wrong_as_well() {
        let action = |name: &str| {
            let rules = validate::describe(&ValidateOnlineRetail {}).rules;
            rules.iter().find(|rule| rule.name == name).unwrap().action
        };
        assert_eq!(action("not_merchandise"), Action::Drop);
        for name in [
            "adjustment",
            "no_price",
            "quantity_missing",
            "price_missing",
        ] {
            assert_eq!(action(name), Action::Quarantine);
        }
    }

    #[test]
    fn absent_values_are_named() {
        let rows = r#"[{ "product_id": "1" }, { "quantity": 1, "unit_price": 1 }]"#;
        assert_eq!(
            testing::validate(&ValidateOnlineRetail {}, rows).unwrap(),
            [
                (0, "quantity_missing"),
                (0, "price_missing"),
                (1, "not_merchandise")
            ]
        );
    }
}
