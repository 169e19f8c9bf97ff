//! What a valid sale means: columns that silver has beside the event's own.

use std::borrow::Cow;

use assay_rules::prelude::*;
use serde::Deserialize;

enricher!(NewRule);

row! {
    /// The columns that are looked at: nothing else is handed over. `required` means that the tenant's
    /// events must have the column; in a row it may be absent all the same.
    pub struct Sale {
        required product_id: Text,
        required quantity: Integer,
        required unit_price: Decimal<2>,
    }
    look_ups { product: Product }
}

look_up! {
    /// What the host joins from the tenant's `[dimension.product]`: no call for a row.
    pub struct Product from "product" on "product_id" = "product_id" {
        optional category: Text,
    }
}

writes! {
    /// The columns that are added.
    pub struct Meaning {
        category: Text,
        amount: Decimal<2>,
        tax_amount: Decimal<2>,
    }
}

rules! {
    /// What can be amiss. The comment is what analysts read, the word before the name says what
    /// becomes of the row: `warn`, `quarantine`, `drop` or `fail`.
    pub enum Rule {
        /// The product dimension does not know the product.
        warn unknown_product,
        /// The amount is past what 64 bits can hold.
        quarantine amount_too_large,
    }
}

/// The params: `params = { tax_percent = 7 }` in the tenant's TOML.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NewRule {
    /// The tax on each sale, in percent.
    pub tax_percent: Decimal<2>,
}

impl Default for NewRule {
    fn default() -> Self {
        Self {
            tax_percent: Decimal::of_units(2_000),
        }
    }
}

impl Enrich for NewRule {
    type Row<'a> = Sale<'a>;
    type Written<'a> = Meaning<'a>;
    type Rule = Rule;

    fn enrich<'a>(&'a self, sale: &Sale<'a>, refuse: &mut Refuse<Rule>) -> Meaning<'a> {
        if sale.product.is_none() {
            let id = sale.product_id.unwrap_or("absent");
            refuse.because(Rule::unknown_product, format_args!("product_id is {id}"));
        }
        let (mut amount, mut tax_amount) = (None, None);
        if let (Some(price), Some(quantity)) = (sale.unit_price, sale.quantity) {
            amount = price.times(quantity);
            tax_amount = amount.and_then(|amount| amount.percent(self.tax_percent));
            if tax_amount.is_none() {
                refuse.because(
                    Rule::amount_too_large,
                    format_args!("{quantity} at {price}"),
                );
            }
        }
        Meaning {
            category: sale
                .product
                .as_ref()
                .and_then(|product| product.category)
                .map(Cow::Borrowed),
            amount,
            tax_amount,
        }
    }
}

#[cfg(test)]
mod tests {
    use assay_rules::enrich;

    use super::*;

    #[test]
    fn tax_is_rounded_half_away_from_zero() {
        let sale = Sale {
            quantity: Some(1),
            unit_price: "0.03".parse().ok(),
            product: Some(Product::default()),
            ..Sale::default()
        };
        let rules = NewRule {
            tax_percent: Decimal::of_units(5_000),
        };
        let (meaning, broken) = enrich::one(&rules, &sale);
        assert_eq!(meaning.tax_amount, "0.02".parse().ok());
        assert!(broken.is_empty());
    }

    #[test]
    fn a_product_that_nobody_knows_is_a_warning() {
        let rules = NewRule::default();
        let (_, broken) = enrich::one(&rules, &Sale::default());
        assert_eq!(broken, ["unknown_product"]);
    }
}
