//! A tenant's pipeline: from its TOML to the loop that keeps its tables.

pub mod config;
pub mod plan;

pub mod coordinate;

mod batch;
mod breaker;
mod fit;
mod gathered;
pub mod meter;
mod packing;
pub mod tenant;
pub mod worker;

pub mod change;
pub mod repair;
pub mod shadow;
pub mod start;
pub mod verify;
pub mod watch;
pub mod what_if;
