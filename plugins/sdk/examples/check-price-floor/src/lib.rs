//! A price floor: nothing is sold for less than the chain allows.
//!
//! To sell below cost is forbidden in some countries, and a wrong decimal point at the till looks
//! just like it. What is paid for a piece, after the line's discount, must reach the floor that the
//! product has on that day: `price_floor` is a dimension of `product_id`, `floor_price`,
//! `valid_from` and `valid_to`. A product without a floor must reach `least`.

use assay_rules::prelude::*;
use serde::Deserialize;

validator!(CheckPriceFloor);

row! {
    /// What is looked at.
    pub struct Sale {
        required product_id: Text,
        required unit_price: Decimal<2>,
        optional discount_percent: Decimal<2>,
        /// `return` where goods come back: those were paid for on another day.
        optional kind: Text = "type",
    }
    look_ups { floor: Floor }
}

look_up! {
    /// The floor of the product at the time of the sale.
    pub struct Floor from "price_floor" on "product_id" = "product_id" {
        required floor_price: Decimal<2>,
    }
}

rules! {
    /// What can be wrong.
    pub enum Rule {
        /// After its discount the price is below the least that may be asked.
        quarantine price_below_floor,
    }
}

/// `params = { least = 0.05 }`
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CheckPriceFloor {
    /// The floor of a product that has none of its own.
    pub least: Decimal<2>,
}

impl Default for CheckPriceFloor {
    fn default() -> Self {
        Self {
            least: Decimal::of_units(1),
        }
    }
}

impl Validate for CheckPriceFloor {
    type Row<'a> = Sale<'a>;
    type Rule = Rule;

    /// A price that is absent is another rule's to refuse.
    fn validate(&self, sale: &Sale, refuse: &mut Refuse<Rule>) {
        let is_return = sale
            .kind
            .is_some_and(|kind| kind.eq_ignore_ascii_case("return"));
        let (Some(price), false) = (sale.unit_price, is_return) else {
            return;
        };
        let percent = sale.discount_percent.unwrap_or_default();
        let Some(paid) = price.percent(percent).and_then(|off| price.minus(off)) else {
            let reason = format_args!("{percent} percent off {price} is no amount");
            return refuse.because(Rule::price_below_floor, reason);
        };
        let floor = sale.floor.as_ref().and_then(|floor| floor.floor_price);
        let floor = floor.unwrap_or(self.least);
        if paid < floor {
            let reason = format_args!("{paid} was asked, at least {floor} must be");
            refuse.because(Rule::price_below_floor, reason);
        }
    }
}
