//! Rule sets: which one judges, since when, and what every earlier one was.

mod registry;
mod store;

pub use registry::{Registry, Repin};
pub use store::{RuleSetError, Who};
