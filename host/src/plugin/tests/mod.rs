//! The sandbox against components that keep the contract, and against those that break it.

pub(in crate::plugin) mod guests;

mod canary;
mod compile;
mod fold;
mod judge;

use std::sync::{Arc, LazyLock};

use super::{Configured, Limits, Sandbox};
use guests::Guest;

/// One engine for all tests of a process.
pub(in crate::plugin) fn sandbox() -> &'static Arc<Sandbox> {
    static SANDBOX: LazyLock<Arc<Sandbox>> = LazyLock::new(|| Sandbox::new().unwrap());
    &SANDBOX
}

pub(in crate::plugin) fn configured(guest: &Guest, limits: &Limits) -> Configured {
    let component = sandbox().compile(&guest.build(), guest.step).unwrap();
    component.configure("{}", limits).unwrap()
}
