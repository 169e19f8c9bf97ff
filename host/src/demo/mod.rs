//! Events to try Assay on: a deterministic generator, and the demo that runs on it.
//!
//! A sale is made by number ([`generate`]), written as a line of JSON ([`sale`]), and counted in
//! what the tables must hold in the end ([`expected`]), and sent ([`pour`]). Products and stores ([`catalogue`]) do not
//! depend on the seed, so one pair of dimension files serves every run.

pub mod catalogue;

pub mod sale;

pub mod expected;

pub mod generate;

pub mod pour;

pub mod live;
