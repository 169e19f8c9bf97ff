//! What rows of silver add up to: a gold table with a row for each group.

use assay_rules::prelude::*;
use serde::Deserialize;

aggregator!(NewRule);

row! {
    /// The columns of silver that are looked at, the keys among them.
    pub struct Sale {
        required sale_date: Date,
        required store_id: Text,
        required transaction_id: Text,
        /// What an enricher wrote: quantity times price, less the discount.
        required net_amount: Decimal<2>,
    }
}

state! {
    /// What is known of a group. Each part knows how to merge with its like, so that late rows can be
    /// added to days that were finished long ago.
    pub struct Day {
        lines: Count,
        amount: Sum<Decimal<2>>,
        transaction_ids: Distinct,
    }
}

writes! {
    /// The gold table's columns, after the keys.
    pub struct Measures {
        lines: Integer,
        amount: Decimal<2>,
        transactions: Integer,
        average_basket: Decimal<2>,
    }
}

/// The params: `params = { smallest_amount = 0.01 }` in the tenant's TOML.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NewRule {
    /// Lines of less than this are not counted.
    pub smallest_amount: Decimal<2>,
}

impl Aggregate for NewRule {
    type Row<'a> = Sale<'a>;
    type State<'a> = Day<'a>;
    type Measures<'a> = Measures<'a>;
    const KEYS: &'static [&'static str] = &["sale_date", "store_id"];

    fn fold<'a>(&self, day: &mut Day<'a>, sale: &Sale<'a>) {
        if sale
            .net_amount
            .is_some_and(|amount| amount < self.smallest_amount)
        {
            return;
        }
        day.lines.one_more();
        day.amount.add(sale.net_amount);
        day.transaction_ids.see(sale.transaction_id);
    }

    fn finish<'a>(&self, day: &Day<'a>) -> Result<Measures<'a>, String> {
        let transactions = day.transaction_ids.count();
        Ok(Measures {
            lines: day.lines.get(),
            amount: day.amount.get(),
            transactions,
            average_basket: average(day.amount.get(), transactions),
        })
    }
}

/// Rounded half away from zero. None of nothing.
fn average(amount: Option<Decimal<2>>, count: Option<i64>) -> Option<Decimal<2>> {
    let (units, count) = (i128::from(amount?.units()), i128::from(count?));
    let half = if units < 0 { -count / 2 } else { count / 2 };
    let rounded = (units + half).checked_div(count)?;
    i64::try_from(rounded).ok().map(Decimal::of_units)
}

#[cfg(test)]
mod tests {
    use assay_rules::testing;

    use super::*;

    const ROWS: &str = r#"[
        { "sale_date": "2025-03-01", "store_id": "S1", "transaction_id": "T1", "net_amount": 3.00 },
        { "sale_date": "2025-03-01", "store_id": "S1", "transaction_id": "T1", "net_amount": 0.05 },
        { "sale_date": "2025-03-01", "store_id": "S1", "transaction_id": "T2", "net_amount": 4.00 }
    ]"#;

    #[test]
    fn lines_of_one_transaction_are_one_basket() {
        let measures = testing::aggregate(&NewRule::default(), ROWS, &[]).unwrap();
        assert_eq!(measures["lines"], 3);
        assert_eq!(measures["transactions"], 2);
        assert_eq!(measures["average_basket"], "3.53");
    }

    #[test]
    fn how_the_rows_are_cut_makes_no_difference() {
        let rules = NewRule::default();
        let whole = testing::aggregate(&rules, ROWS, &[]).unwrap();
        assert_eq!(testing::aggregate(&rules, ROWS, &[1, 2]).unwrap(), whole);
    }
}
