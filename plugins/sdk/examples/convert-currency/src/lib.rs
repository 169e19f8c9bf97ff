//! Amounts in the currency that is reported in, at the rate of the day.
//!
//! Dimension `exchange_rate` has by `currency` the `rate`: how much of the reporting currency one
//! unit is worth, from `valid_from` to `valid_to`. The rate is that of the sale's time, however late
//! the sale comes in. Comes after `enrich-sales`, of which it takes `net_amount`.

use std::borrow::Cow;

use assay_rules::prelude::*;
use serde::Deserialize;

enricher!(ConvertCurrency);

row! {
    /// What is looked at.
    pub struct Sale {
        required net_amount: Decimal<2>,
        /// ISO 4217. Where it is absent the sale was in the reporting currency.
        required currency: Text,
    }
    look_ups { rate: Rate }
}

look_up! {
    /// The rate at the time of the sale.
    pub struct Rate from "exchange_rate" on "currency" = "currency" {
        required rate: Decimal<8>,
    }
}

writes! {
    /// What is added. The rate stands beside the amount, so that anybody can check it.
    pub struct Converted {
        reporting_currency: Text,
        exchange_rate: Decimal<8>,
        reporting_amount: Decimal<2>,
    }
}

rules! {
    /// What can be amiss.
    pub enum Rule {
        /// No rate above zero is known for the currency at that time.
        quarantine exchange_rate_unknown,
        /// The amount is past what 64 bits can hold.
        quarantine amount_too_large,
    }
}

/// `params = { into = "GBP" }`
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConvertCurrency {
    /// The reporting currency, as ISO 4217 spells it. It needs no rate.
    pub into: String,
}

impl Default for ConvertCurrency {
    fn default() -> Self {
        Self {
            into: "EUR".to_owned(),
        }
    }
}

/// The rate of the reporting currency.
const ONE: Decimal<8> = Decimal::of_units(100_000_000);

impl Enrich for ConvertCurrency {
    type Row<'a> = Sale<'a>;
    type Written<'a> = Converted<'a>;
    type Rule = Rule;

    fn enrich<'a>(&'a self, sale: &Sale<'a>, refuse: &mut Refuse<Rule>) -> Converted<'a> {
        let currency = sale.currency.unwrap_or(&self.into);
        let known = sale.rate.as_ref().and_then(|rate| rate.rate);
        let rate = if currency == self.into {
            Some(ONE)
        } else {
            known
        };
        let Some(rate) = rate.filter(|rate| *rate > Decimal::ZERO) else {
            let reason = format_args!("currency is {currency:?}");
            refuse.because(Rule::exchange_rate_unknown, reason);
            return Converted::default();
        };
        let converted = sale.net_amount.map(|amount| amount.times_rate(rate));
        if converted == Some(None) {
            refuse.because(Rule::amount_too_large, format_args!("at a rate of {rate}"));
        }
        Converted {
            reporting_currency: Some(Cow::Borrowed(&self.into)),
            exchange_rate: Some(rate),
            reporting_amount: converted.flatten(),
        }
    }

    fn check(&self) -> Result<(), String> {
        let into = &self.into;
        if into.len() == 3 && into.bytes().all(|letter| letter.is_ascii_uppercase()) {
            return Ok(());
        }
        Err(format!(
            "into is {into:?}; it must be three capital letters, as EUR"
        ))
    }
}
