//! The layers: what a batch becomes in bronze, quarantine, silver and gold.
//!
//! Each layer owns its table and keeps its progress in the same commit as its rows. What a row
//! becomes is decided by `judge`, which looks at nothing but the batch and its rule set.

pub mod decode;
pub mod dimension;
pub mod parquet_blob;

pub mod definition;
pub mod gate;
pub mod rules;

pub mod cut;
pub mod key;

pub(crate) mod business_date;
pub mod judge;
pub mod verdict;

pub mod dedup;
pub mod layer;
mod stored;

pub mod bronze;
pub mod quarantine;
pub mod silver;

pub mod gold;

pub mod compare;
