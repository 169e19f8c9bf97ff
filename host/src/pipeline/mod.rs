//! A tenant's pipeline: from its TOML to the loop that keeps its tables.

pub mod config;
pub mod plan;

pub mod coordinate;

mod again;
mod batch;
mod breaker;
mod fit;
mod gathered;
pub mod meter;
mod packing;
pub mod tenant;
pub mod worker;

pub mod answers;
pub mod change;
pub mod delete;
pub mod host;
pub mod kafka;
pub mod repair;
pub mod run;
pub mod shadow;
pub mod start;
pub mod upload;
pub mod verify;
pub mod watch;
pub mod what_if;
