//! Which sales are valid. What can be wrong is listed in [`Rule`], where the limits lie is decided
//! by the tenant in [`ValidateSales`].

use assay_rules::prelude::*;
use serde::Deserialize;

mod currencies;
mod price;
mod quantity;

validator!(ValidateSales);

row! {
    /// What is looked at.
    pub struct Sale {
        required quantity: Integer,
        required unit_price: Decimal<2>,
        optional discount_percent: Decimal<2>,
        optional timestamp: Timestamp,
        optional currency: Text,
        optional payment_method: Text,
        /// `return` where goods come back.
        optional kind: Text = "type",
        required now: Timestamp = "_now",
    }
    look_ups { product: Product }
}

look_up! {
    /// Asked for only where `min_share_of_list_price` is set.
    pub struct Product from "product" on "product_id" = "product_id" {
        optional list_price: Decimal<2>,
    }
}

rules! {
    /// What can be wrong with a sale.
    pub enum Rule {
        /// There is no quantity, or it is no whole number.
        quarantine quantity_missing,
        /// Nothing was sold.
        quarantine quantity_zero,
        /// The quantity is below zero, and the sale is not a return.
        quarantine quantity_negative,
        /// The quantity is beyond what one line of a sale can be.
        quarantine quantity_absurd,
        /// There is no price, or it is no amount of money.
        quarantine price_missing,
        /// The price is below zero.
        quarantine price_negative,
        /// The price is zero.
        quarantine price_zero,
        /// The price is beyond what anything costs here.
        quarantine price_absurd,
        /// The price is too small a share of the product's list price.
        quarantine price_below_list,
        /// The discount is not between 0 and `max_discount_percent`.
        quarantine discount_out_of_range,
        /// The sale is said to happen after it was heard of.
        quarantine timestamp_in_future,
        /// The sale was heard of too long after it happened.
        quarantine timestamp_too_old,
        /// The currency is none, or none that is taken here.
        quarantine unknown_currency,
        /// The way to pay is not known.
        warn unknown_payment_method,
    }
}

/// 100 percent.
const HUNDRED: Decimal<2> = Decimal::of_units(10_000);

/// The limits, as the tenant's TOML gives them.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ValidateSales {
    /// The largest quantity of one line, sold or returned. 10,000 without another.
    pub max_quantity: i64,
    /// The highest unit price. 100,000 without another.
    pub max_price: Decimal<2>,
    /// The highest discount of one line. 100 without another.
    pub max_discount_percent: Decimal<2>,
    /// Whether goods may be given away.
    pub allow_zero_price: bool,
    /// The smallest share of the product's list price that may be asked: 0.5 is half of it.
    /// Absent: any.
    pub min_share_of_list_price: Option<Decimal<4>>,
    /// By how many seconds a till's clock may be ahead.
    pub future_tolerance_seconds: i64,
    /// After how many days a sale is too old. Absent: never.
    pub max_age_days: Option<i64>,
    /// The currencies that are taken. Empty: every currency of ISO 4217.
    pub currencies: Vec<String>,
    /// The ways to pay that are known.
    pub payment_methods: Vec<String>,
}

impl Default for ValidateSales {
    fn default() -> Self {
        Self {
            max_quantity: 10_000,
            max_price: Decimal::of_units(10_000_000),
            max_discount_percent: HUNDRED,
            allow_zero_price: false,
            min_share_of_list_price: None,
            future_tolerance_seconds: 600,
            max_age_days: None,
            currencies: Vec::new(),
            payment_methods: ["card", "cash", "gift_card", "mobile", "voucher"]
                .map(str::to_owned)
                .to_vec(),
        }
    }
}

impl Validate for ValidateSales {
    type Row<'a> = Sale<'a>;
    type Rule = Rule;

    fn validate(&self, sale: &Sale, refuse: &mut Refuse<Rule>) {
        self.check_quantity(sale, refuse);
        self.check_price(sale, refuse);
        self.check_discount(sale, refuse);
        self.check_time(sale, refuse);
        self.check_currency(sale, refuse);
        self.check_payment(sale, refuse);
    }

    fn looks_up(&self, _product: &str) -> bool {
        self.min_share_of_list_price.is_some()
    }

    fn check(&self) -> Result<(), String> {
        let positive = |name: &str, good: bool| match good {
            true => Ok(()),
            false => Err(format!("params: {name} must be above zero")),
        };
        positive("max_quantity", self.max_quantity > 0)?;
        positive("max_price", self.max_price > Decimal::ZERO)?;
        positive(
            "max_age_days",
            self.max_age_days.is_none_or(|days| days > 0),
        )?;
        let discount = self.max_discount_percent;
        if discount.is_negative() || discount > HUNDRED {
            return Err("params: max_discount_percent must be from 0 to 100".to_owned());
        }
        match self.future_tolerance_seconds {
            0.. => Ok(()),
            _ => Err("params: future_tolerance_seconds must not be below zero".to_owned()),
        }
    }
}

impl ValidateSales {
    fn check_discount(&self, sale: &Sale, refuse: &mut Refuse<Rule>) {
        if let Some(percent) = sale.discount_percent
            && (percent.is_negative() || percent > self.max_discount_percent)
        {
            refuse.because(
                Rule::discount_out_of_range,
                format_args!("discount_percent is {percent}"),
            );
        }
    }

    fn check_time(&self, sale: &Sale, refuse: &mut Refuse<Rule>) {
        let (Some(timestamp), Some(now)) = (sale.timestamp, sale.now) else {
            return;
        };
        let ahead = timestamp.seconds_after(now);
        if ahead > self.future_tolerance_seconds {
            refuse.because(
                Rule::timestamp_in_future,
                format_args!("{timestamp} is {ahead} seconds after {now}, when it was heard of"),
            );
        }
        if let Some(days) = self.max_age_days
            && now.seconds_after(timestamp) > days.saturating_mul(86_400)
        {
            refuse.because(
                Rule::timestamp_too_old,
                format_args!("{timestamp} is over {days} days before {now}, when it was heard of"),
            );
        }
    }

    fn check_currency(&self, sale: &Sale, refuse: &mut Refuse<Rule>) {
        let Some(currency) = sale.currency else {
            return;
        };
        let known = match self.currencies.as_slice() {
            [] => currencies::is_iso_4217(currency),
            taken => taken.iter().any(|one| one == currency),
        };
        if !known {
            refuse.because(
                Rule::unknown_currency,
                format_args!("currency is {currency:?}"),
            );
        }
    }

    fn check_payment(&self, sale: &Sale, refuse: &mut Refuse<Rule>) {
        if let Some(method) = sale.payment_method
            && !self.payment_methods.iter().any(|known| known == method)
        {
            refuse.because(
                Rule::unknown_payment_method,
                format_args!("payment_method is {method:?}"),
            );
        }
    }
}

#[cfg(test)]
mod tests;
