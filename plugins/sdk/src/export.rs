//! The component's one instance: configured once, then called. A panic says why before it traps.

use std::hint::black_box;
use std::sync::OnceLock;

use serde::de::DeserializeOwned;

use crate::bindings::cleanser::assay::rules::host;

/// Bytes that the columns of a batch take, in and out. The allocator keeps them once it has them.
const ROOM: usize = 576 << 10;

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
        make_room();
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

/// Grows the memory once. By need it grows by 64 KiB, a call into the kernel each time; there is an
/// instance for each batch, and none of a batch's columns is small.
fn make_room() {
    let mut room = Vec::<u8>::new();
    // Where so much is not allowed, what is needed is asked for by need.
    let _ = room.try_reserve_exact(ROOM);
    drop(black_box(room));
}
