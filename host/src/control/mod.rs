//! Who may do what, what was done, and which tenants are to run: tables of the lake, so that every
//! host follows them and a restart changes nothing.
//!
//! ```text
//! <lake>/_assay/tokens    who may ask over HTTP, by hash
//! <lake>/_assay/tenants   which tenants are paused or deleted
//! <lake>/_assay/audit     what was done to the lake as a whole
//! <lake>/<tenant>/audit   what was done to a tenant
//! ```
//!
//! The one thing to know: each is a [`Journal`]. Rows are only added, one a change, and what holds
//! now is what the changes come to. A tenant's name begins with a letter, so none is `_assay`.

pub mod audit;
mod journal;
pub mod standing;
pub mod token;

pub use journal::{Journal, JournalError};
