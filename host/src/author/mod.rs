//! What rule authors work with: from a plugin's source to a component.

pub mod build;

mod component;
mod toolchain;
