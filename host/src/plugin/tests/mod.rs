//! The sandbox against components that keep the contract, and against those that break it.

pub(in crate::plugin) mod guests;

mod canary;
mod compile;
mod fold;
mod judge;

use std::sync::{Arc, LazyLock};

use super::{CompileLimits, Compiler, Component, Configured, Limits, PluginError, Sandbox, Step};
use guests::Guest;

/// One engine for all tests of a process.
pub(in crate::plugin) fn sandbox() -> &'static Arc<Sandbox> {
    static SANDBOX: LazyLock<Arc<Sandbox>> =
        LazyLock::new(|| Sandbox::new(Compiler::Within).unwrap());
    &SANDBOX
}

pub(in crate::plugin) fn compile(wasm: &[u8], step: Step) -> Result<Component, PluginError> {
    sandbox().compile(wasm, step, &CompileLimits::default())
}

pub(in crate::plugin) fn configured(guest: &Guest, limits: &Limits) -> Configured {
    let component = compile(&guest.build(), guest.step).unwrap();
    component.configure("{}", limits).unwrap()
}
