//! The layers: what a batch becomes in bronze, silver, quarantine and gold.

pub mod decode;
pub mod dimension;
