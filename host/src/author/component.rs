//! From a core module to a component: in this process, without a tool of its own.

use wit_component::{ComponentEncoder, DecodedWasm};

/// What the interfaces of the contract begin with.
const CONTRACT: &str = "assay:rules/";

/// Why a module makes no component of ours.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BadComponent {
    #[error("it can't be encoded: {reason}")]
    Encoding { reason: String },

    #[error(
        "it exports nothing of {CONTRACT}; end lib.rs with `validator!(…)`, or `cleanser!`, \
         `enricher!`, `aggregator!`"
    )]
    ExportsNothing,

    #[error("it imports {import}, but a rule gets nothing from outside except {CONTRACT}host")]
    ForeignImport { import: String },
}

/// Makes a component of a core module that carries the description of its world.
///
/// # Errors
/// What the component lacks, or has too much.
pub(super) fn of_module(module: &[u8]) -> Result<Vec<u8>, BadComponent> {
    let encoding = |error: wit_component_error::Error| BadComponent::Encoding {
        reason: format!("{error:#}"),
    };
    let mut encoder = ComponentEncoder::default().validate(true);
    encoder.module(module).map_err(encoding)?;
    let component = encoder.encode().map_err(encoding)?;
    check(&component)?;
    Ok(component)
}
