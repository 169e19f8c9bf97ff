//! Write rules for Assay.
