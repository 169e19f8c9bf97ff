//! Rule sets: which one judges, since when, and what every earlier one was.
//!
//! The `rulesets` table is the control plane: each row is a change, and the number of its commit is
//! the number of the set that it stages or activates. A number only ever grows: going back to an
//! earlier set, also where a host could not take a later one up, is an activation of its own.

mod diff;
mod entry;
mod held;
mod history;
mod promotion;
mod ready;
mod registry;
mod store;
#[cfg(test)]
mod tests;
mod trust;

pub use diff::{Difference, diff};
pub use entry::{Cause, Repin, Who};
pub use history::{Change, RuleSet, State};
pub use registry::Registry;
pub use store::RuleSetError;
