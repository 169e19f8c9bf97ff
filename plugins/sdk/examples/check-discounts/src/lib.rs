//! Discounts that nobody at that till may give.
//!
//! Loss prevention wants to know of a cashier who gives what only a manager may, and of any discount
//! at a register without a cashier. Such a sale took place, so it is kept, and silver lists the rule
//! in `_warnings`. Dimension `employee` says by `employee_id` which `role` somebody had at the time
//! of the sale, where it has `valid_from` and `valid_to`.

use std::collections::BTreeMap;

use assay_rules::prelude::*;
use serde::Deserialize;

validator!(CheckDiscounts);

row! {
    /// What is looked at.
    pub struct Sale {
        required cashier_id: Text,
        required discount_percent: Decimal<2>,
        optional register_id: Integer,
    }
    look_ups { employee: Employee }
}

look_up! {
    /// Who gave the discount.
    pub struct Employee from "employee" on "cashier_id" = "employee_id" {
        required role: Text,
    }
}

rules! {
    /// What can be suspicious.
    pub enum Rule {
        /// The discount is larger than the cashier's role may give.
        warn discount_above_role,
        /// Nobody knows who gave the discount.
        warn discount_by_unknown,
        /// A discount at a register where the customer scans alone.
        warn discount_at_self_service,
    }
}

/// `params = { most_by_role = { cashier = 5, manager = 100 }, self_service = [90, 91] }`
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CheckDiscounts {
    /// The largest discount by role, in percent.
    pub most_by_role: BTreeMap<String, Decimal<2>>,
    /// The largest discount for any other role, in percent.
    pub most_otherwise: Decimal<2>,
    /// The registers without a cashier.
    pub self_service: Vec<i64>,
}

impl Default for CheckDiscounts {
    fn default() -> Self {
        let most_by_role = [("cashier", 10), ("supervisor", 30), ("manager", 50)];
        let percent =
            |(role, percent): (&str, i64)| (role.to_owned(), Decimal::of_units(100 * percent));
        Self {
            most_by_role: most_by_role.map(percent).into(),
            most_otherwise: Decimal::ZERO,
            self_service: Vec::new(),
        }
    }
}

impl Validate for CheckDiscounts {
    type Row<'a> = Sale<'a>;
    type Rule = Rule;

    fn validate(&self, sale: &Sale, refuse: &mut Refuse<Rule>) {
        let percent = sale.discount_percent.unwrap_or_default();
        if percent <= Decimal::ZERO {
            return;
        }
        if let Some(register) = sale.register_id
            && self.self_service.contains(&register)
        {
            let reason = format_args!("{percent} percent at register {register}");
            return refuse.because(Rule::discount_at_self_service, reason);
        }
        let id = sale.cashier_id.unwrap_or("absent");
        let Some(employee) = &sale.employee else {
            let reason = format_args!("{percent} percent, and cashier_id is {id}");
            return refuse.because(Rule::discount_by_unknown, reason);
        };
        let role = employee.role.unwrap_or("none");
        let most = *self.most_by_role.get(role).unwrap_or(&self.most_otherwise);
        if percent > most {
            let reason = format_args!("{percent} percent by {id}; role {role} may give {most}");
            refuse.because(Rule::discount_above_role, reason);
        }
    }
}
