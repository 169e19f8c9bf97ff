//! Sales by day and store. Sales to margin count sale lines only; what came back stands apart.

use assay_rules::prelude::*;
use serde::Deserialize;

aggregator!(DailySales);

row! {
    /// What is looked at.
    pub struct Sale {
        required sale_date: Date,
        required store_id: Text,
        required transaction_id: Text,
        required quantity: Integer,
        required gross_amount: Decimal<2>,
        required discount_amount: Decimal<2>,
        required net_amount: Decimal<2>,
        optional margin_amount: Decimal<2>,
        required is_return: Boolean,
        required timestamp: Timestamp,
    }
}

state! {
    /// What is known of a store's day.
    pub struct Day {
        sales: Count,
        units: Sum<Integer>,
        gross_amount: Sum<Decimal<2>>,
        discount_amount: Sum<Decimal<2>>,
        net_amount: Sum<Decimal<2>>,
        /// Over the lines whose cost is known.
        margin_amount: SumIfAny<Decimal<2>>,
        returns: Count,
        returns_amount: Sum<Decimal<2>>,
        transaction_ids: Distinct,
        first_sale_at: Earliest,
        last_sale_at: Latest,
    }
}

writes! {
    /// What is published of a store's day.
    pub struct Measures {
        sales: Integer,
        units: Integer,
        gross_amount: Decimal<2>,
        discount_amount: Decimal<2>,
        net_amount: Decimal<2>,
        margin_amount: Decimal<2>,
        returns: Integer,
        /// Above zero where something came back.
        returns_amount: Decimal<2>,
        transactions: Integer,
        first_sale_at: Timestamp,
        last_sale_at: Timestamp,
    }
}

/// There is nothing to decide.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DailySales {}

impl Aggregate for DailySales {
    type Row<'a> = Sale<'a>;
    type State<'a> = Day<'a>;
    type Measures<'a> = Measures<'a>;
    const KEYS: &'static [&'static str] = &["sale_date", "store_id"];

    fn fold<'a>(&self, day: &mut Day<'a>, sale: &Sale<'a>) {
        if sale.is_return == Some(true) {
            day.returns.one_more();
            day.returns_amount.add(sale.net_amount);
            return;
        }
        day.sales.one_more();
        day.units.add_absolute(sale.quantity);
        day.gross_amount.add(sale.gross_amount);
        day.discount_amount.add(sale.discount_amount);
        day.net_amount.add(sale.net_amount);
        day.margin_amount.add(sale.margin_amount);
        day.transaction_ids.see(sale.transaction_id);
        day.first_sale_at.see(sale.timestamp);
        day.last_sale_at.see(sale.timestamp);
    }

    fn finish<'a>(&self, day: &Day<'a>) -> Result<Measures<'a>, String> {
        Ok(Measures {
            sales: day.sales.get(),
            units: day.units.get(),
            gross_amount: day.gross_amount.get(),
            discount_amount: day.discount_amount.get(),
            net_amount: day.net_amount.get(),
            margin_amount: day.margin_amount.get(),
            returns: day.returns.get(),
            returns_amount: day.returns_amount.get(),
            transactions: day.transaction_ids.count(),
            first_sale_at: day.first_sale_at.get(),
            last_sale_at: day.last_sale_at.get(),
        })
    }
}

#[cfg(test)]
mod tests;
