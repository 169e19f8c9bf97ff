//! The one thing that a component may ask of the host: to note something down. Not for verdicts,
//! which have reasons of their own.

#[cfg(target_arch = "wasm32")]
use crate::bindings::cleanser::assay::rules::host;

/// Something that helps to find a fault.
pub fn debug(text: &str) {
    #[cfg(target_arch = "wasm32")]
    host::log(host::Level::Debug, text);
    #[cfg(not(target_arch = "wasm32"))]
    eprintln!("debug: {text}");
}

/// Something to know.
pub fn info(text: &str) {
    #[cfg(target_arch = "wasm32")]
    host::log(host::Level::Info, text);
    #[cfg(not(target_arch = "wasm32"))]
    eprintln!("info: {text}");
}

/// Something that a person should look at.
pub fn warning(text: &str) {
    #[cfg(target_arch = "wasm32")]
    host::log(host::Level::Warning, text);
    #[cfg(not(target_arch = "wasm32"))]
    eprintln!("warning: {text}");
}
