//! Whether a quantity can be.

use assay_rules::prelude::*;

use crate::{Rule, Sale, ValidateSales};

impl ValidateSales {
    /// A return may count what comes back upwards or downwards.
    pub(crate) fn check_quantity(&self, sale: &Sale, refuse: &mut Refuse<Rule>) {
        let Some(quantity) = sale.quantity else {
            return refuse.because(
                Rule::quantity_missing,
                "quantity is absent or no whole number",
            );
        };
        let is_return = sale
            .kind
            .is_some_and(|kind| kind.eq_ignore_ascii_case("return"));
        if quantity == 0 {
            refuse.because(Rule::quantity_zero, "quantity is 0");
        }
        if quantity < 0 && !is_return {
            refuse.because(
                Rule::quantity_negative,
                format_args!("quantity is {quantity}, and the type is not return"),
            );
        }
        if quantity.unsigned_abs() > self.max_quantity.unsigned_abs() {
            refuse.because(
                Rule::quantity_absurd,
                format_args!("quantity is {quantity}, the limit is {}", self.max_quantity),
            );
        }
    }
}
