//! Assay: from Kafka to bronze, silver and gold Delta Lake tables, through sandboxed rules.
//!
//! ```text
//! cli ──► serve ──► pipeline ──► control, ruleset ──► medallion ──► source, lake, plugin
//!   └───► demo, author                            (each names its library: rdkafka, deltalake, wasmtime)
//! ```
//!
//! No call runs back up. `source`, `lake` and `plugin` do not know each other; Arrow batches are
//! the word that all of them share.

pub mod cli;

pub mod demo;

pub mod author;

pub mod serve;

pub mod pipeline;

pub mod control;

pub mod ruleset;

pub mod medallion;

pub mod source;

pub mod lake;

pub mod plugin;

pub mod allocator;

pub mod amount;

#[cfg(test)]
mod edits;

#[cfg(test)]
mod kept;

pub mod environment;

pub mod names;

pub mod processor;

pub mod schema;

pub mod told;

pub mod trust;

pub mod oci;
