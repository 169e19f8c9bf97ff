//! Sales by store, day and hour: how many tills to open.
//!
//! The hour is the store's own, as `add-hour` writes it. On the day on which the clocks go back, the
//! hour that comes twice has the sales of both. Comes after `enrich-sales`, too.

use assay_rules::prelude::*;
use serde::Deserialize;

aggregator!(CountHourlySales);

row! {
    /// What is looked at.
    pub struct Sale {
        required sale_date: Date,
        /// As `add-hour` writes it.
        required hour_of_day: Integer,
        required store_id: Text,
        required transaction_id: Text,
        required quantity: Integer,
        required net_amount: Decimal<2>,
        required is_return: Boolean,
    }
}

state! {
    /// What is known of a store's hour.
    pub struct Hour {
        transaction_ids: Distinct,
        sales: Count,
        units: Sum<Integer>,
        net_amount: Sum<Decimal<2>>,
        returns: Count,
    }
}

writes! {
    /// What is published of a store's hour.
    pub struct Measures {
        /// Customers at the tills, those with returns among them.
        transactions: Integer,
        /// Sale lines.
        sales: Integer,
        units: Integer,
        /// What the sale lines brought.
        net_amount: Decimal<2>,
        /// Return lines.
        returns: Integer,
    }
}

/// There is nothing to decide.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CountHourlySales {}

impl Aggregate for CountHourlySales {
    type Row<'a> = Sale<'a>;
    type State<'a> = Hour<'a>;
    type Measures<'a> = Measures<'a>;
    const KEYS: &'static [&'static str] = &["sale_date", "store_id", "hour_of_day"];

    fn fold<'a>(&self, hour: &mut Hour<'a>, sale: &Sale<'a>) {
        hour.transaction_ids.see(sale.transaction_id);
        if sale.is_return == Some(true) {
            hour.returns.one_more();
        } else {
            hour.sales.one_more();
            hour.units.add_absolute(sale.quantity);
            hour.net_amount.add(sale.net_amount);
        }
    }

    fn finish<'a>(&self, hour: &Hour<'a>) -> Result<Measures<'a>, String> {
        Ok(Measures {
            transactions: hour.transaction_ids.count(),
            sales: hour.sales.get(),
            units: hour.units.get(),
            net_amount: hour.net_amount.get(),
            returns: hour.returns.get(),
        })
    }
}
