//! Loyalty points by what was paid and by the customer's tier.
//!
//! A member gets points for each line, and gives them back with the goods. Dimension `customer` has
//! by `customer_id` the `tier`, with `valid_from` and `valid_to`: what counts is the tier at the time
//! of the sale. Points are whole, and what is left over is the shop's. Comes after `enrich-sales`, of
//! which it takes `net_amount`, `is_return` and `category`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use assay_rules::prelude::*;
use serde::Deserialize;

enricher!(AwardPoints);

row! {
    /// What is looked at.
    pub struct Sale {
        /// Absent where nobody showed a card.
        required customer_id: Text,
        required net_amount: Decimal<2>,
        required is_return: Boolean,
        optional category: Text,
    }
    look_ups { customer: Customer }
}

look_up! {
    /// Who bought, as of the time of the sale.
    pub struct Customer from "customer" on "customer_id" = "customer_id" {
        required tier: Text,
    }
}

writes! {
    /// What is added: nothing where nobody is to be credited.
    pub struct Points {
        loyalty_tier: Text,
        /// Below zero where goods came back.
        loyalty_points: Integer,
    }
}

rules! {
    /// What can be amiss.
    pub enum Rule {
        /// A card was shown that no customer has at that time.
        warn unknown_customer,
        /// The points are past what 64 bits can hold.
        quarantine points_too_many,
    }
}

/// `params = { points_per_unit = 0.5, tiers = { gold = 3 }, without = ["tobacco"] }`
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AwardPoints {
    /// Points for one unit of the currency.
    pub points_per_unit: Decimal<2>,
    /// How many times the points a tier gets. A tier that is not here gets them once.
    pub tiers: BTreeMap<String, Decimal<2>>,
    /// The categories that bring no points, as the law asks for tobacco in some countries.
    pub without: Vec<String>,
}

impl Default for AwardPoints {
    fn default() -> Self {
        let tiers = [("silver", 150), ("gold", 200)];
        Self {
            points_per_unit: ONE,
            tiers: tiers
                .map(|(tier, times)| (tier.to_owned(), Decimal::of_units(times)))
                .into(),
            without: Vec::new(),
        }
    }
}

const ONE: Decimal<2> = Decimal::of_units(100);

impl Enrich for AwardPoints {
    type Row<'a> = Sale<'a>;
    type Written<'a> = Points<'a>;
    type Rule = Rule;

    fn enrich<'a>(&'a self, sale: &Sale<'a>, refuse: &mut Refuse<Rule>) -> Points<'a> {
        let Some(id) = sale.customer_id else {
            return Points::default();
        };
        let Some(customer) = &sale.customer else {
            refuse.because(Rule::unknown_customer, format_args!("customer_id is {id}"));
            return Points::default();
        };
        let points = self.points(sale, customer.tier.unwrap_or_default());
        if points.is_none() {
            refuse.because(Rule::points_too_many, "the points are past 64 bits");
        }
        Points {
            loyalty_tier: customer.tier.map(Cow::Borrowed),
            loyalty_points: points,
        }
    }

    fn check(&self) -> Result<(), String> {
        if self.points_per_unit.is_negative() {
            return Err("points_per_unit must not be below zero".to_owned());
        }
        match self.tiers.iter().find(|(_, times)| times.is_negative()) {
            Some((tier, _)) => Err(format!("tiers: {tier} must not be below zero")),
            None => Ok(()),
        }
    }
}

impl AwardPoints {
    fn points(&self, sale: &Sale, tier: &str) -> Option<i64> {
        let is_without = |category| self.without.iter().any(|without| without == category);
        if sale.category.is_some_and(is_without) {
            return Some(0);
        }
        let amount = i128::from(sale.net_amount.unwrap_or_default().units());
        let per_unit = i128::from(self.points_per_unit.units());
        let times = i128::from(self.tiers.get(tier).unwrap_or(&ONE).units());
        // Three factors of two decimals each; rounded down once, at the end.
        let points = amount.checked_mul(per_unit)?.checked_mul(times)? / 1_000_000;
        let points = i64::try_from(points).ok()?;
        Some(if sale.is_return == Some(true) {
            -points
        } else {
            points
        })
    }
}

#[cfg(test)]
mod tests {
    use assay_rules::enrich;

    use super::*;

    fn sale(amount: &str, tier: &'static str) -> Sale<'static> {
        Sale {
            customer_id: Some("C1"),
            net_amount: amount.parse().ok(),
            customer: Some(Customer {
                tier: Some(tier),
                ..Customer::default()
            }),
            ..Sale::default()
        }
    }

    fn points(rules: &AwardPoints, sale: &Sale<'static>) -> Option<i64> {
        enrich::one(rules, sale).0.loyalty_points
    }

    #[test]
    fn points_are_whole_and_rounded_down_once() {
        let rules = AwardPoints::default();
        for (amount, tier, expected) in [
            ("0.99", "basic", 0),
            ("1.00", "basic", 1),
            ("9.99", "basic", 9),
            // 14.985, where the 9 of above times 1.5 would be 13.
            ("9.99", "silver", 14),
            ("9.99", "gold", 19),
        ] {
            assert_eq!(
                points(&rules, &sale(amount, tier)),
                Some(expected),
                "{amount} {tier}"
            );
        }
    }

    #[test]
    fn a_return_takes_as_many_points_as_the_sale_gave() {
        let rules = AwardPoints::default();
        for amount in ["0.99", "9.99", "10.01"] {
            let bought = sale(amount, "silver");
            let returned = Sale {
                is_return: Some(true),
                ..bought.clone()
            };
            assert_eq!(
                points(&rules, &returned),
                points(&rules, &bought).map(|p| -p)
            );
        }
    }

    #[test]
    fn points_past_64_bits_are_refused() {
        let rules = AwardPoints {
            points_per_unit: Decimal::of_units(i64::MAX),
            ..AwardPoints::default()
        };
        let (points, broken) = enrich::one(&rules, &sale("92233720368547758.07", "gold"));
        assert_eq!(
            (points.loyalty_points, broken),
            (None, vec!["points_too_many"])
        );
    }
}
