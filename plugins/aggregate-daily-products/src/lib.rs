//! Units by day and product: what inventory needs.

use assay_rules::prelude::*;
use serde::Deserialize;

aggregator!(DailyProducts);

row! {
    /// What is looked at.
    pub struct Sale {
        required sale_date: Date,
        required product_id: Text,
        required quantity: Integer,
        required net_amount: Decimal<2>,
        required is_return: Boolean,
    }
}

state! {
    /// What is known of a product's day.
    pub struct Day {
        units_sold: Sum<Integer>,
        units_returned: Sum<Integer>,
        net_amount: Sum<Decimal<2>>,
        sales: Count,
    }
}

writes! {
    /// What is published of a product's day.
    pub struct Measures {
        units_sold: Integer,
        units_returned: Integer,
        /// What left the shelves for good.
        net_units: Integer,
        /// What was paid, less what was paid back.
        net_amount: Decimal<2>,
        /// Sale lines.
        sales: Integer,
    }
}

/// There is nothing to decide.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DailyProducts {}

impl Aggregate for DailyProducts {
    type Row<'a> = Sale<'a>;
    type State<'a> = Day<'a>;
    type Measures<'a> = Measures<'a>;
    const KEYS: &'static [&'static str] = &["sale_date", "product_id"];

    fn fold<'a>(&self, day: &mut Day<'a>, sale: &Sale<'a>) {
        if sale.is_return == Some(true) {
            day.units_returned.add_absolute(sale.quantity);
            day.net_amount.subtract(sale.net_amount);
        } else {
            day.units_sold.add_absolute(sale.quantity);
            day.net_amount.add(sale.net_amount);
            day.sales.one_more();
        }
    }

    fn finish<'a>(&self, day: &Day<'a>) -> Result<Measures<'a>, String> {
        let (sold, returned) = (day.units_sold.get(), day.units_returned.get());
        let net_units = match (sold, returned) {
            (Some(sold), Some(returned)) => {
                let net = sold.checked_sub(returned);
                Some(net.ok_or("net_units: the difference is past what 64 bits can hold")?)
            }
            _ => None,
        };
        Ok(Measures {
            units_sold: sold,
            units_returned: returned,
            net_units,
            net_amount: day.net_amount.get(),
            sales: day.sales.get(),
        })
    }
}

#[cfg(test)]
mod tests;
