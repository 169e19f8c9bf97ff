//! End-to-end tests of Assay.
