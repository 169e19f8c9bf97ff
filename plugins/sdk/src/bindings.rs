//! What crosses the boundary, generated from `wit/`. The four worlds share one set of types, so
//! that everything else in this crate is written once.

// The generated code is not ours to tidy.
#![allow(missing_docs, clippy::all, unused_qualifications)]

pub mod cleanser {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "cleanser",
        pub_export_macro: true,
    });
}

pub mod validator {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "validator",
        pub_export_macro: true,
        with: {
            "assay:rules/types@0.1.1": crate::bindings::cleanser::assay::rules::types,
            "assay:rules/host@0.1.1": crate::bindings::cleanser::assay::rules::host,
        },
    });
}

pub mod enricher {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "enricher",
        pub_export_macro: true,
        with: {
            "assay:rules/types@0.1.1": crate::bindings::cleanser::assay::rules::types,
            "assay:rules/host@0.1.1": crate::bindings::cleanser::assay::rules::host,
        },
    });
}

pub mod aggregator {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "aggregator",
        pub_export_macro: true,
        with: {
            "assay:rules/types@0.1.1": crate::bindings::cleanser::assay::rules::types,
            "assay:rules/host@0.1.1": crate::bindings::cleanser::assay::rules::host,
        },
    });
}

/// The shapes of `interface types`.
pub mod wire {
    pub use super::cleanser::assay::rules::types::*;
}
