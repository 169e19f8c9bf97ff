//! What came in, went out and got lost, by product, store and day.
//!
//! A till's sales and a back office's deliveries are events of one kind here: a quantity that moved,
//! and a `type` that says which way. Losses (waste, damage, theft) stand apart, since shrinkage is what
//! is asked for first. A type that nobody told of moves no stock; it is counted, so that it is seen.

use assay_rules::prelude::*;
use serde::Deserialize;

aggregator!(SumStockMovements);

row! {
    /// What is looked at.
    pub struct Movement {
        required sale_date: Date,
        required store_id: Text,
        required product_id: Text,
        required quantity: Integer,
        /// A movement without a type is a sale.
        required kind: Text = "type",
        required timestamp: Timestamp,
    }
}

state! {
    /// What is known of a product's day in a store.
    pub struct Day {
        units_in: Sum<Integer>,
        units_out: Sum<Integer>,
        units_lost: Sum<Integer>,
        unknown_movements: Count,
        last_movement_at: Latest,
    }
}

writes! {
    /// What is published of a product's day in a store.
    pub struct Measures {
        units_in: Integer,
        units_out: Integer,
        /// Shrinkage.
        units_lost: Integer,
        /// By how much the stock rose: what came in, less what went out or got lost.
        net_units: Integer,
        /// Events whose type is none of the params'.
        unknown_movements: Integer,
        last_movement_at: Timestamp,
    }
}

/// `params = { into = ["delivery"], out_of = ["sale", "click_and_collect"] }`
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SumStockMovements {
    /// The types that bring goods in.
    pub into: Vec<String>,
    /// The types that take goods out.
    pub out_of: Vec<String>,
    /// The types by which goods are lost.
    pub lost: Vec<String>,
}

impl Default for SumStockMovements {
    fn default() -> Self {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Self {
            into: texts(&["delivery", "return", "transfer_in"]),
            out_of: texts(&["sale", "transfer_out"]),
            lost: texts(&["waste", "damage", "theft"]),
        }
    }
}

impl Aggregate for SumStockMovements {
    type Row<'a> = Movement<'a>;
    type State<'a> = Day<'a>;
    type Measures<'a> = Measures<'a>;
    const KEYS: &'static [&'static str] = &["sale_date", "store_id", "product_id"];

    fn fold<'a>(&self, day: &mut Day<'a>, movement: &Movement<'a>) {
        let kind = movement.kind.unwrap_or("sale");
        let is_among = |kinds: &[String]| kinds.iter().any(|one| one.eq_ignore_ascii_case(kind));
        let sum = if is_among(&self.into) {
            &mut day.units_in
        } else if is_among(&self.out_of) {
            &mut day.units_out
        } else if is_among(&self.lost) {
            &mut day.units_lost
        } else {
            return day.unknown_movements.one_more();
        };
        sum.add_absolute(movement.quantity);
        day.last_movement_at.see(movement.timestamp);
    }

    fn finish<'a>(&self, day: &Day<'a>) -> Result<Measures<'a>, String> {
        let sums = (
            day.units_in.get(),
            day.units_out.get(),
            day.units_lost.get(),
        );
        let net_units = match sums {
            (Some(into), Some(out), Some(lost)) => {
                let net = into.checked_sub(out).and_then(|net| net.checked_sub(lost));
                Some(net.ok_or("net_units: the difference is past what 64 bits can hold")?)
            }
            _ => None,
        };
        Ok(Measures {
            units_in: sums.0,
            units_out: sums.1,
            units_lost: sums.2,
            net_units,
            unknown_movements: day.unknown_movements.get(),
            last_movement_at: day.last_movement_at.get(),
        })
    }

    fn check(&self) -> Result<(), String> {
        let all: Vec<&String> = [&self.into, &self.out_of, &self.lost]
            .into_iter()
            .flatten()
            .collect();
        for (place, kind) in all.iter().enumerate() {
            if all
                .iter()
                .skip(place + 1)
                .any(|other| other.eq_ignore_ascii_case(kind))
            {
                return Err(format!(
                    "type {kind:?} stands twice in into, out_of and lost; it can go one way only"
                ));
            }
        }
        Ok(())
    }
}
