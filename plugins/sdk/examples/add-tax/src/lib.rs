//! Tax by region and category, at the rate of the day.
//!
//! Rates differ by where a store is and by what is sold, and they change on a date. Dimension
//! `tax_rate` has them by `region` and `category`, with `valid_from` and `valid_to`; the region is
//! the store's and the category the product's, of dimensions `store` and `product`. Comes after
//! `enrich-sales`, of which it takes `net_amount`: what was paid after the discount. Where prices
//! include the tax, it is taken out of that; else it comes on top.

use assay_rules::prelude::*;
use serde::Deserialize;

enricher!(AddTax);

row! {
    /// What is looked at.
    pub struct Sale {
        required net_amount: Decimal<2>,
    }
    look_ups { product: Product, store: Store, rate: TaxRate }
}

look_up! {
    /// What is sold.
    pub struct Product from "product" on "product_id" = "product_id" {
        required category: Text,
    }
}

look_up! {
    /// Where it is sold.
    pub struct Store from "store" on "store_id" = "store_id" {
        required region: Text,
    }
}

look_up! {
    /// The rate at the time of the sale.
    pub struct TaxRate from "tax_rate" on "store.region" = "region", "product.category" = "category" {
        required percent: Decimal<4>,
    }
}

writes! {
    /// What is added. `amount_without_tax` and `tax_amount` are `amount_with_tax`, to the cent.
    pub struct Tax {
        tax_percent: Decimal<4>,
        amount_without_tax: Decimal<2>,
        tax_amount: Decimal<2>,
        amount_with_tax: Decimal<2>,
    }
}

rules! {
    /// What can be amiss.
    pub enum Rule {
        /// No rate is known for the store's region and the product's category at that time.
        quarantine tax_rate_unknown,
        /// The rate makes no amount: it is below zero, or the tax is past 64 bits of cents.
        quarantine tax_out_of_range,
    }
}

/// `params = { prices = "exclude_tax", otherwise = 20 }`
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AddTax {
    /// Whether the tax is in the prices: `include_tax`, as on European shelves, or `exclude_tax`.
    pub prices: Prices,
    /// The rate where none is known, in percent. Without it such a sale is quarantined.
    pub otherwise: Option<Decimal<4>>,
}

/// Whether the tax is in the prices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Prices {
    #[default]
    IncludeTax,
    ExcludeTax,
}

impl Enrich for AddTax {
    type Row<'a> = Sale<'a>;
    type Written<'a> = Tax<'a>;
    type Rule = Rule;

    fn enrich<'a>(&'a self, sale: &Sale<'a>, refuse: &mut Refuse<Rule>) -> Tax<'a> {
        let known = sale.rate.as_ref().and_then(|rate| rate.percent);
        let Some(percent) = known.or(self.otherwise) else {
            let region = sale.store.as_ref().and_then(|store| store.region);
            let category = sale.product.as_ref().and_then(|product| product.category);
            let (region, category) = (region.unwrap_or("none"), category.unwrap_or("none"));
            let reason = format_args!("region is {region}, category is {category}");
            refuse.because(Rule::tax_rate_unknown, reason);
            return Tax::default();
        };
        let Some(amount) = sale.net_amount else {
            return Tax {
                tax_percent: Some(percent),
                ..Tax::default()
            };
        };
        self.tax(amount, percent).unwrap_or_else(|| {
            let reason = format_args!("{percent} percent of {amount}");
            refuse.because(Rule::tax_out_of_range, reason);
            Tax::default()
        })
    }
}

const ONE: Decimal<6> = Decimal::of_units(1_000_000);

impl AddTax {
    fn tax<'a>(&self, amount: Decimal<2>, percent: Decimal<4>) -> Option<Tax<'a>> {
        if percent.is_negative() {
            return None;
        }
        let (without, tax, with) = match self.prices {
            Prices::IncludeTax => {
                // 19 percent on top of the whole is 1.19 times.
                let times = Decimal::<6>::of_units(percent.units()).plus(ONE)?;
                let without = amount.divided_by(times)?;
                (without, amount.minus(without)?, amount)
            }
            Prices::ExcludeTax => {
                let tax = amount.percent(percent)?;
                (amount, tax, amount.plus(tax)?)
            }
        };
        Some(Tax {
            tax_percent: Some(percent),
            amount_without_tax: Some(without),
            tax_amount: Some(tax),
            amount_with_tax: Some(with),
        })
    }
}

#[cfg(test)]
mod tests {
    use assay_rules::enrich;

    use super::*;

    fn money(text: &str) -> Decimal<2> {
        text.parse().unwrap()
    }

    fn sale(amount: &str, percent: &str) -> Sale<'static> {
        let rate = TaxRate {
            percent: percent.parse().ok(),
            ..TaxRate::default()
        };
        Sale {
            net_amount: Some(money(amount)),
            rate: Some(rate),
            ..Sale::default()
        }
    }

    fn amounts(rules: &AddTax, sale: &Sale<'static>) -> [String; 3] {
        let (tax, broken) = enrich::one(rules, sale);
        assert!(broken.is_empty(), "{broken:?}");
        [tax.amount_without_tax, tax.tax_amount, tax.amount_with_tax]
            .map(|m| m.unwrap().to_string())
    }

    #[test]
    fn tax_is_taken_out_of_a_price_that_includes_it_and_the_parts_make_the_whole() {
        let rules = AddTax::default();
        for (amount, percent, expected) in [
            ("119.00", "19", ["100.00", "19.00", "119.00"]),
            ("9.99", "7", ["9.34", "0.65", "9.99"]),
            ("0.01", "20", ["0.01", "0.00", "0.01"]),
            ("0.03", "100", ["0.02", "0.01", "0.03"]),
            ("5.00", "0", ["5.00", "0.00", "5.00"]),
            ("10.00", "8.875", ["9.18", "0.82", "10.00"]),
        ] {
            assert_eq!(
                amounts(&rules, &sale(amount, percent)),
                expected,
                "{amount} at {percent}"
            );
        }
    }

    #[test]
    fn tax_comes_on_top_of_a_price_without_it() {
        let rules = AddTax {
            prices: Prices::ExcludeTax,
            ..AddTax::default()
        };
        assert_eq!(
            amounts(&rules, &sale("0.25", "10")),
            ["0.25", "0.03", "0.28"]
        );
        assert_eq!(
            amounts(&rules, &sale("19.99", "20")),
            ["19.99", "4.00", "23.99"]
        );
    }

    #[test]
    fn a_rate_that_makes_no_amount_is_refused() {
        let on_top = AddTax {
            prices: Prices::ExcludeTax,
            ..AddTax::default()
        };
        for (rules, sale) in [
            (&AddTax::default(), sale("1.00", "-100")),
            (&AddTax::default(), sale("1.00", "922337203685477.5807")),
            (&on_top, sale("92233720368547758.07", "1")),
        ] {
            let (tax, broken) = enrich::one(rules, &sale);
            assert_eq!(broken, ["tax_out_of_range"]);
            assert_eq!(tax, Tax::default());
        }
    }
}
