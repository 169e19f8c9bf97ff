//! A row a basket: what it was worth, its value band, and which categories were bought together.
//!
//! Lines of one transaction may come in different batches, and late: a group of its own is what brings
//! them together. It has a row a transaction, so partition it by date. Comes after `enrich-sales`, of
//! which it takes `net_amount`, `is_return` and `category`.
//!
//! What analysts ask of baskets is then a query, as this of DuckDB's for what is bought together:
//!
//! ```sql
//! with bought as (
//!     select sale_date, store_id, transaction_id, unnest(string_split(categories, ' + ')) as category
//!     from delta_scan('lake/retail/gold/baskets')
//! )
//! select one.category, other.category as bought_with, count(*) as baskets
//! from bought as one join bought as other using (sale_date, store_id, transaction_id)
//! where one.category < other.category
//! group by all order by baskets desc
//! ```

use std::borrow::Cow;

use assay_rules::prelude::*;
use serde::Deserialize;

aggregator!(GatherBaskets);

row! {
    /// What is looked at.
    pub struct Line {
        required sale_date: Date,
        required store_id: Text,
        required transaction_id: Text,
        required product_id: Text,
        required quantity: Integer,
        required net_amount: Decimal<2>,
        required is_return: Boolean,
        optional category: Text,
    }
}

state! {
    /// What is known of a basket.
    pub struct Basket {
        lines: Count,
        units: Sum<Integer>,
        net_amount: Sum<Decimal<2>>,
        product_ids: Distinct,
        category_names: Distinct,
    }
}

writes! {
    /// What is published of a basket.
    pub struct Measures {
        /// All lines, those of returns too.
        lines: Integer,
        /// Pieces sold.
        units: Integer,
        /// Different products sold.
        products: Integer,
        /// What was paid, less what was paid back.
        net_amount: Decimal<2>,
        /// As `10.00 to 24.99`, of the params' `bands`; `below 0.00` where more came back.
        value_band: Text,
        /// The categories of what was sold, in the order of the alphabet, as `bakery + dairy`.
        categories: Text,
    }
}

/// `params = { bands = [20, 100] }`
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GatherBaskets {
    /// Where a value band ends and the next begins. Another list is another rule set: baskets that
    /// were published before keep their band until a line of theirs comes.
    pub bands: Vec<Decimal<2>>,
}

impl Default for GatherBaskets {
    fn default() -> Self {
        let bands = [1_000, 2_500, 5_000, 10_000].map(Decimal::of_units);
        Self {
            bands: bands.into(),
        }
    }
}

impl Aggregate for GatherBaskets {
    type Row<'a> = Line<'a>;
    type State<'a> = Basket<'a>;
    type Measures<'a> = Measures<'a>;
    const KEYS: &'static [&'static str] = &["sale_date", "store_id", "transaction_id"];

    fn fold<'a>(&self, basket: &mut Basket<'a>, line: &Line<'a>) {
        basket.lines.one_more();
        if line.is_return == Some(true) {
            basket.net_amount.subtract(line.net_amount);
        } else {
            basket.net_amount.add(line.net_amount);
            basket.units.add_absolute(line.quantity);
            basket.product_ids.see(line.product_id);
            basket.category_names.see(line.category);
        }
    }

    fn finish<'a>(&self, basket: &Basket<'a>) -> Result<Measures<'a>, String> {
        let net_amount = basket.net_amount.get();
        let categories = basket.category_names.texts();
        let categories = categories.filter(|names| !names.is_empty());
        Ok(Measures {
            lines: basket.lines.get(),
            units: basket.units.get(),
            products: basket.product_ids.count(),
            net_amount,
            value_band: net_amount.map(|amount| Cow::Owned(self.band(amount))),
            categories: categories.map(|names| Cow::Owned(names.join(" + "))),
        })
    }

    fn check(&self) -> Result<(), String> {
        let rises = self.bands.is_sorted_by(|one, next| one < next);
        if rises
            && self
                .bands
                .first()
                .is_some_and(|first| *first > Decimal::ZERO)
        {
            return Ok(());
        }
        Err("bands must be amounts above zero that rise, as [10, 25, 50]".to_owned())
    }
}

impl GatherBaskets {
    fn band(&self, amount: Decimal<2>) -> String {
        if amount.is_negative() {
            return "below 0.00".to_owned();
        }
        let above = self.bands.partition_point(|band| *band <= amount);
        let from = above.checked_sub(1).and_then(|below| self.bands.get(below));
        let from = *from.unwrap_or(&Decimal::ZERO);
        let cent = Decimal::of_units(1);
        match self.bands.get(above).and_then(|next| next.minus(cent)) {
            Some(to) => format!("{from} to {to}"),
            None => format!("{from} and more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_amount_has_one_band() {
        let rules = GatherBaskets::default();
        for (amount, expected) in [
            ("-0.01", "below 0.00"),
            ("0.00", "0.00 to 9.99"),
            ("9.99", "0.00 to 9.99"),
            ("10.00", "10.00 to 24.99"),
            ("99.99", "50.00 to 99.99"),
            ("100.00", "100.00 and more"),
        ] {
            assert_eq!(rules.band(amount.parse().unwrap()), expected, "{amount}");
        }
    }
}
