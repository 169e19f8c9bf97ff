//! Returns that nobody should have taken back: without a sale, or too late.
//!
//! The till notes the date on the receipt as `original_sale_date`. It is counted in business dates,
//! as the customer counts them, so a change of the clocks makes nobody late. A product may have a
//! `return_days` of its own in dimension `product`, as of the day of the return: 0 is the same day
//! only.

use assay_rules::prelude::*;
use serde::Deserialize;

validator!(CheckReturns);

row! {
    /// What is looked at.
    pub struct Return {
        /// Only a `return` is judged.
        required kind: Text = "type",
        required original_sale_date: Date,
        required sale_date: Date,
    }
    look_ups { product: Product }
}

look_up! {
    /// What comes back.
    pub struct Product from "product" on "product_id" = "product_id" {
        optional return_days: Integer,
    }
}

rules! {
    /// What can be wrong.
    pub enum Rule {
        /// Nothing says when the goods were sold.
        quarantine return_without_sale,
        /// The goods came back before they were sold.
        quarantine return_before_sale,
        /// The goods came back after the window for returns.
        quarantine return_too_late,
    }
}

/// `params = { window_days = 14, by_product = true }`
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CheckReturns {
    /// For how many days after the sale goods are taken back.
    pub window_days: i64,
    /// Whether a product's `return_days` count before `window_days`.
    pub by_product: bool,
    /// Whether a late return is kept, with a warning: some shops are kind.
    pub late_only_warns: bool,
}

impl Default for CheckReturns {
    fn default() -> Self {
        Self {
            window_days: 30,
            by_product: false,
            late_only_warns: false,
        }
    }
}

impl Validate for CheckReturns {
    type Row<'a> = Return<'a>;
    type Rule = Rule;

    fn validate(&self, row: &Return, refuse: &mut Refuse<Rule>) {
        let is_return = row
            .kind
            .is_some_and(|kind| kind.eq_ignore_ascii_case("return"));
        let (Some(today), true) = (row.sale_date, is_return) else {
            return;
        };
        let Some(sold) = row.original_sale_date else {
            let reason = "original_sale_date is absent or no date";
            return refuse.because(Rule::return_without_sale, reason);
        };
        let window = row.product.as_ref().and_then(|p| p.return_days);
        let window = window.unwrap_or(self.window_days);
        let days = i64::from(today.days()) - i64::from(sold.days());
        if days < 0 {
            let reason = format_args!("sold on {sold}, back on {today}");
            refuse.because(Rule::return_before_sale, reason);
        } else if days > window {
            let reason = format_args!("sold on {sold}, back on {today}: day {days} of {window}");
            refuse.because(Rule::return_too_late, reason);
        }
    }

    fn check(&self) -> Result<(), String> {
        match self.window_days {
            0.. => Ok(()),
            days => Err(format!("window_days is {days}; it must not be below 0")),
        }
    }

    fn looks_up(&self, _dimension: &str) -> bool {
        self.by_product
    }

    fn action(&self, rule: Rule) -> Option<Action> {
        (rule == Rule::return_too_late && self.late_only_warns).then_some(Action::Warn)
    }
}
