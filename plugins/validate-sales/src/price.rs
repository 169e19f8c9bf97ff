//! Whether a price can be.

use assay_rules::prelude::*;

use crate::{Rule, Sale, ValidateSales};

impl ValidateSales {
    pub(crate) fn check_price(&self, sale: &Sale, refuse: &mut Refuse<Rule>) {
        let Some(price) = sale.unit_price else {
            return refuse.because(
                Rule::price_missing,
                "unit_price is absent or no amount of money",
            );
        };
        if price.is_negative() {
            refuse.because(Rule::price_negative, format_args!("unit_price is {price}"));
        }
        if price.is_zero() && !self.allow_zero_price {
            refuse.because(Rule::price_zero, "unit_price is 0");
        }
        if price > self.max_price {
            refuse.because(
                Rule::price_absurd,
                format_args!("unit_price is {price}, the limit is {}", self.max_price),
            );
        }
        self.check_against_list(price, sale, refuse);
    }

    /// A product that is not known, or has no list price, is no reason to refuse a sale.
    fn check_against_list(&self, price: Decimal<2>, sale: &Sale, refuse: &mut Refuse<Rule>) {
        let product = sale.product.as_ref();
        if let Some(share) = self.min_share_of_list_price
            && let Some(list_price) = product.and_then(|product| product.list_price)
            && let Some(least) = list_price.times_rate(share)
            && price < least
        {
            refuse.because(
                Rule::price_below_list,
                format_args!("unit_price is {price}, at least {least} of {list_price} is asked"),
            );
        }
    }
}
