//! What rule authors work with: from a plugin's source to a component.

pub mod bench;
pub mod build;
pub mod cases;
pub mod inspect;
pub mod new;
pub mod trial;

mod component;
mod language;
mod toolchain;
mod tools;

pub use language::Language;
