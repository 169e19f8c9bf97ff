//! The hour and the weekday at the store, for tables that count by them.
//!
//! The host makes `sale_date` and `sale_hour` in the store's time zone. Silver keeps the hour only where a
//! gold component reads it, and the weekday never; here both become columns of every row.

use std::borrow::Cow;

use assay_rules::prelude::*;
use serde::Deserialize;

enricher!(AddHour);

row! {
    /// What is looked at.
    pub struct Sale {
        required sale_date: Date,
        required sale_hour: Integer,
    }
}

writes! {
    /// What is added.
    pub struct Hour {
        /// From 0 to 23.
        hour_of_day: Integer,
        /// In English, from `Monday` to `Sunday`.
        weekday: Text,
    }
}

/// There is nothing to decide.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddHour {}

/// As of 1970-01-01, from which dates count.
const WEEKDAYS: [&str; 7] = [
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
];

impl Enrich for AddHour {
    type Row<'a> = Sale<'a>;
    type Written<'a> = Hour<'a>;
    type Rule = NoRules;

    fn enrich<'a>(&'a self, sale: &Sale<'a>, _: &mut Refuse<NoRules>) -> Hour<'a> {
        let day = sale.sale_date.map(|date| date.days().rem_euclid(7));
        let weekday = day.and_then(|day| WEEKDAYS.get(usize::try_from(day).ok()?));
        Hour {
            hour_of_day: sale.sale_hour,
            weekday: weekday.map(|name| Cow::Borrowed(*name)),
        }
    }
}
