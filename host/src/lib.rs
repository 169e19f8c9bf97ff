//! Assay: from Kafka to bronze, silver and gold Delta Lake tables, through sandboxed rules.

pub mod names;

pub mod schema;

pub mod demo;

pub mod author;

pub mod medallion;

pub mod source;

pub mod lake;

pub mod plugin;
