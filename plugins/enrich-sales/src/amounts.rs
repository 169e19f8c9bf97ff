//! What a sale adds up to, to the cent.

use assay_rules::prelude::*;

use crate::Sale;

/// The amounts of one line, none below zero except a margin that is a loss.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Amounts {
    pub gross: Option<Decimal<2>>,
    pub discount: Option<Decimal<2>>,
    pub net: Option<Decimal<2>>,
    pub margin: Option<Decimal<2>>,
}

impl Amounts {
    /// Each amount is absent where something that it is made of is. `None`: one does not fit.
    pub fn of(sale: &Sale, cost: Option<Decimal<2>>) -> Option<Self> {
        let (Some(quantity), Some(price)) = (sale.quantity, sale.unit_price) else {
            return Some(Self::default());
        };
        let pieces = quantity.checked_abs()?;
        let gross = price.times(pieces)?;
        let discount = gross.percent(sale.discount_percent.unwrap_or_default())?;
        let net = gross.minus(discount)?;
        let margin = match cost {
            Some(cost) => Some(net.minus(cost.times(pieces)?)?),
            None => None,
        };
        Some(Self {
            gross: Some(gross),
            discount: Some(discount),
            net: Some(net),
            margin,
        })
    }
}
