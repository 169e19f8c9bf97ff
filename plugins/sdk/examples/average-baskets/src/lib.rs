//! Transactions and the average basket by store and day.
//!
//! An event is a line, a basket all lines of a transaction: an average over lines says how dear goods
//! are, one over transactions what a customer spends. Goods that come back are no part of it. The
//! averages are published, and what they are made of is kept, so a late line moves them exactly.

use assay_rules::prelude::*;
use serde::Deserialize;

aggregator!(AverageBaskets);

row! {
    /// What is looked at.
    pub struct Sale {
        required sale_date: Date,
        required store_id: Text,
        required transaction_id: Text,
        required quantity: Integer,
        required net_amount: Decimal<2>,
        required is_return: Boolean,
    }
}

state! {
    /// What is known of a store's day.
    pub struct Day {
        transaction_ids: Distinct,
        lines: Count,
        units: Sum<Integer>,
        net_amount: Sum<Decimal<2>>,
    }
}

writes! {
    /// What is published of a store's day. There are no averages where nothing was sold.
    pub struct Measures {
        transactions: Integer,
        lines: Integer,
        units: Integer,
        net_amount: Decimal<2>,
        /// What was paid for a basket.
        average_basket: Decimal<2>,
        /// Pieces in a basket.
        average_units: Decimal<2>,
    }
}

/// There is nothing to decide.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AverageBaskets {}

impl Aggregate for AverageBaskets {
    type Row<'a> = Sale<'a>;
    type State<'a> = Day<'a>;
    type Measures<'a> = Measures<'a>;
    const KEYS: &'static [&'static str] = &["sale_date", "store_id"];

    fn fold<'a>(&self, day: &mut Day<'a>, sale: &Sale<'a>) {
        if sale.is_return != Some(true) {
            day.transaction_ids.see(sale.transaction_id);
            day.lines.one_more();
            day.units.add_absolute(sale.quantity);
            day.net_amount.add(sale.net_amount);
        }
    }

    fn finish<'a>(&self, day: &Day<'a>) -> Result<Measures<'a>, String> {
        let transactions = day.transaction_ids.count();
        let baskets = Decimal::<0>::of_units(transactions.unwrap_or_default());
        let (units, net_amount) = (day.units.get(), day.net_amount.get());
        // Divided at two decimals: 5 pieces in 2 baskets are 2.50 in each.
        let pieces = units.and_then(|units| Decimal::<0>::of_units(units).rescale::<2>());
        Ok(Measures {
            transactions,
            lines: day.lines.get(),
            units,
            net_amount,
            average_basket: net_amount.and_then(|amount| amount.divided_by(baskets)),
            average_units: pieces.and_then(|pieces| pieces.divided_by(baskets)),
        })
    }
}
