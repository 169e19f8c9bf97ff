//! Events to try Assay on: a deterministic generator, and the demo that runs on it.
