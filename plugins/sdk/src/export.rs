//! The component's one instance: configured once, then called. A panic says why before it traps.

use std::sync::OnceLock;

use serde::de::DeserializeOwned;

use crate::bindings::cleanser::assay::rules::host;

/// Where a component's macro keeps what `configure` made.
pub struct Instance<T>(OnceLock<T>);

impl<T: DeserializeOwned> Instance<T> {
    /// Not configured yet.
    #[expect(
        clippy::new_without_default,
        reason = "it stands in a static, which needs a const"
    )]
    pub const fn new() -> Self {
        Self(OnceLock::new())
    }

    /// Reads the params and checks them.
    ///
    /// # Errors
    /// What is wrong with which param.
    pub fn configure(
        &self,
        params: &str,
        check: impl FnOnce(&T) -> Result<(), String>,
    ) -> Result<(), String> {
        std::panic::set_hook(Box::new(|panic| {
            host::log(host::Level::Error, &panic.to_string());
        }));
        let component = crate::params::read(params)?;
        check(&component)?;
        self.0
            .set(component)
            .map_err(|_| "configured twice".to_owned())
    }

    /// What `configure` made.
    ///
    /// # Panics
    /// Where the host did not call `configure` first, which the contract promises.
    #[expect(
        clippy::panic,
        reason = "there is no other way to say so from describe()"
    )]
    pub fn get(&self) -> &T {
        match self.0.get() {
            Some(component) => component,
            None => panic!("configure() must be called before anything else"),
        }
    }
}
