//! What wasmtime makes of the contract in `wit/`. One world of ours spans the four that components
//! are written for, so that they share their types; no component is ever asked for all of it.

wasmtime::component::bindgen!({
    path: "../wit",
    inline: "
        package assay:sandbox;

        world any {
            import assay:rules/host@0.1.1;
            export assay:rules/cleansing@0.1.1;
            export assay:rules/validation@0.1.1;
            export assay:rules/enrichment@0.1.1;
            export assay:rules/aggregation@0.1.1;
        }
    ",
    world: "assay:sandbox/any",
    ownership: Borrowing {
        duplicate_if_necessary: true
    },
});
