//! Write rules for Assay: rows over columns, exact decimals, one macro for the exports.
//!
//! A rule says what it looks at, what can be wrong, and judges one row at a time. This is a whole
//! component; its crate needs `crate-type = ["cdylib", "rlib"]`, this crate and `serde`, and
//! `assay plugin build` makes the WebAssembly of it.
//!
//! ```
//! use assay_rules::prelude::*;
//! use serde::Deserialize;
//!
//! row! {
//!     /// What is looked at.
//!     pub struct Sale {
//!         required quantity: Integer,
//!         required unit_price: Decimal<2>,
//!         optional kind: Text = "type",
//!     }
//! }
//!
//! rules! {
//!     /// What can be wrong.
//!     pub enum Rule {
//!         /// A price below zero is a mistake at the till.
//!         quarantine price_negative,
//!         /// More in one line than any basket holds.
//!         quarantine quantity_absurd,
//!     }
//! }
//!
//! /// The params, as the tenant's TOML gives them: `params = { max_quantity = 500 }`.
//! #[derive(Deserialize)]
//! #[serde(default, deny_unknown_fields)]
//! pub struct CheckSales {
//!     max_quantity: i64,
//! }
//!
//! impl Default for CheckSales {
//!     fn default() -> Self {
//!         Self { max_quantity: 10_000 }
//!     }
//! }
//!
//! impl Validate for CheckSales {
//!     type Row<'a> = Sale<'a>;
//!     type Rule = Rule;
//!
//!     fn validate(&self, sale: &Sale, refuse: &mut Refuse<Rule>) {
//!         if let Some(price) = sale.unit_price && price.is_negative() {
//!             refuse.because(Rule::price_negative, format_args!("unit_price is {price}"));
//!         }
//!         if let Some(quantity) = sale.quantity && quantity > self.max_quantity {
//!             let most = self.max_quantity;
//!             refuse.because(Rule::quantity_absurd, format_args!("{quantity} is over {most}"));
//!         }
//!     }
//! }
//!
//! validator!(CheckSales);
//!
//! // And this is how it is tested: natively, as any Rust.
//! let rules = CheckSales::default();
//! let sale = Sale { quantity: Some(10_001), ..Sale::default() };
//! assert_eq!(assay_rules::validate::broken(&rules, &sale), ["quantity_absurd"]);
//!
//! // Or with the columns and the params that the host would bring.
//! let rules: CheckSales = assay_rules::testing::validator(r#"{ "max_quantity": 1 }"#).unwrap();
//! let rows = r#"[{ "quantity": 1, "unit_price": "0.10" }, { "quantity": 2, "unit_price": -1 }]"#;
//! assert_eq!(
//!     assay_rules::testing::validate(&rules, rows).unwrap(),
//!     [(1, "price_negative"), (1, "quantity_absurd")],
//! );
//! ```
//!
//! | step | implement | declare | export |
//! | --- | --- | --- | --- |
//! | repair fields | [`Cleanse`] | [`row!`], [`writes!`], [`rules!`] | [`cleanser!`] |
//! | say what is wrong | [`Validate`] | [`row!`], [`rules!`] | [`validator!`] |
//! | say what it means | [`Enrich`] | [`row!`], [`writes!`], [`rules!`] | [`enricher!`] |
//! | add it up | [`Aggregate`] | [`row!`], [`state!`], [`writes!`] | [`aggregator!`] |
//!
//! Three things hold for every rule. **The answer depends on the row alone** (and the params):
//! each batch gets a fresh instance, and where a batch ends is not a rule's to know. **There is no
//! clock and no chance**: "now" is the column `_now`. **Money is [`Decimal`]**, never a float.

pub mod aggregate;
pub mod bindings;
pub mod cleanse;
pub mod column;
pub mod decimal;
pub mod enrich;
pub mod export;
pub mod json;
pub mod log;
pub mod params;
pub mod row;
pub mod rule;
pub mod state;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;
pub mod time;
pub mod validate;
pub mod written;

pub use aggregate::{Aggregate, State};
pub use bindings::wire;
pub use cleanse::Cleanse;
pub use column::{Binary, Boolean, Float, Integer, Kind, Text};
pub use decimal::Decimal;
pub use enrich::Enrich;
pub use row::{LookUp, Reader, Row};
pub use rule::{Action, NoRules, Refuse, RuleSet};
pub use state::{Count, Distinct, Earliest, Latest, Part, Sum, SumIfAny};
pub use time::{Date, Timestamp};
pub use validate::Validate;
pub use written::Written;

/// Everything that a rule names.
pub mod prelude {
    pub use crate::{
        Action, Aggregate, Binary, Boolean, Cleanse, Count, Date, Decimal, Distinct, Earliest,
        Enrich, Float, Integer, Latest, NoRules, Refuse, RuleSet as _, Sum, SumIfAny, Text,
        Timestamp, Validate, aggregator, cleanser, enricher, look_up, row, rules, state, validator,
        writes,
    };
}
