//! Which sales may stand. Everything that a tenant should be able to decide is a param.

use assay_rules::prelude::*;
use serde::Deserialize;

validator!(NewRule);

row! {
    /// The columns that are looked at: nothing else is handed over. `required` means that the tenant's
    /// events must have the column; in a row it may be absent all the same.
    pub struct Sale {
        required quantity: Integer,
        required unit_price: Decimal<2>,
        /// `return` where goods come back. The column is called `type`, which is no name in Rust.
        optional kind: Text = "type",
    }
}

rules! {
    /// What can be wrong. The comment is what analysts read, the word before the name says what
    /// becomes of the row: `warn`, `quarantine`, `drop` or `fail`.
    pub enum Rule {
        /// The price is below the lowest that is asked for anything here.
        quarantine price_below_floor,
        /// The quantity is below zero, and nothing comes back.
        warn quantity_negative,
    }
}

/// The params: `params = { floor = 0.50 }` in the tenant's TOML.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NewRule {
    /// The lowest price that is asked for anything.
    pub floor: Decimal<2>,
}

impl Default for NewRule {
    fn default() -> Self {
        Self {
            floor: Decimal::of_units(10),
        }
    }
}

impl Validate for NewRule {
    type Row<'a> = Sale<'a>;
    type Rule = Rule;

    fn validate(&self, sale: &Sale, refuse: &mut Refuse<Rule>) {
        let floor = self.floor;
        if let Some(price) = sale.unit_price
            && price < floor
        {
            refuse.because(
                Rule::price_below_floor,
                format_args!("unit_price is {price}, the floor is {floor}"),
            );
        }
        if let Some(quantity) = sale.quantity
            && quantity < 0
            && sale.kind != Some("return")
        {
            refuse.because(
                Rule::quantity_negative,
                format_args!("quantity is {quantity}"),
            );
        }
    }

    /// The params together, once, when the tenant's pipeline is put together.
    fn check(&self) -> Result<(), String> {
        match self.floor.is_negative() {
            true => Err("params: floor must not be below zero".to_owned()),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use assay_rules::{testing, validate};

    use super::*;

    fn sold(unit_price: &str) -> Sale<'static> {
        Sale {
            quantity: Some(1),
            unit_price: unit_price.parse().ok(),
            ..Sale::default()
        }
    }

    #[test]
    fn a_price_below_the_floor_is_refused_and_the_floor_itself_is_not() {
        let rules = NewRule::default();
        assert_eq!(
            validate::broken(&rules, &sold("0.09")),
            ["price_below_floor"]
        );
        assert!(validate::broken(&rules, &sold("0.10")).is_empty());
    }

    #[test]
    fn a_tenant_may_move_the_floor_but_not_below_zero() {
        let rules: NewRule = testing::validator(r#"{ "floor": 2.5 }"#).unwrap();
        assert_eq!(
            validate::broken(&rules, &sold("2.49")),
            ["price_below_floor"]
        );
        let refused = testing::validator::<NewRule>(r#"{ "floor": -1 }"#);
        assert!(refused.unwrap_err().contains("floor"));
    }
}
