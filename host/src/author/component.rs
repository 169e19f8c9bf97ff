//! From a core module to a component: in this process, without a tool of its own.

use wasm_encoder::{Module, RawSection};
use wasmparser::{Parser, Payload};
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
    let mut encoder = ComponentEncoder::default()
        .validate(true)
        .module(module)
        .map_err(bad_encoding)?;
    let component = encoder.encode().map_err(bad_encoding)?;
    check(&component)?;
    Ok(component)
}

/// Custom sections that nothing reads which runs: the names of functions, and what the compiler was and
/// was told.
const FOR_PEOPLE: [&str; 3] = ["name", "producers", "target_features"];

/// A core module without the names of its functions, as a linker leaves it that strips all.
///
/// # Errors
/// What is no module.
pub(super) fn without_names(module: &[u8]) -> Result<Vec<u8>, BadComponent> {
    let mut stripped = Module::new();
    for payload in Parser::new(0).parse_all(module) {
        let payload = payload.map_err(bad_encoding)?;
        if matches!(&payload, Payload::CustomSection(section) if FOR_PEOPLE.contains(&section.name()))
        {
            continue;
        }
        if let Some((id, range)) = payload.as_section() {
            let data = module.get(range).unwrap_or_default();
            stripped.section(&RawSection { id, data });
        }
    }
    Ok(stripped.finish())
}

/// The whole chain of causes, in one line.
fn bad_encoding(error: impl std::fmt::Display) -> BadComponent {
    BadComponent::Encoding {
        reason: format!("{error:#}"),
    }
}

/// Checks that a component is one of the contract's, and asks for nothing beyond it.
pub(super) fn check(component: &[u8]) -> Result<(), BadComponent> {
    let decoded = wit_component::decode(component).map_err(bad_encoding)?;
    let DecodedWasm::Component(resolve, world) = decoded else {
        return Err(BadComponent::ExportsNothing);
    };
    let Some(world) = resolve.worlds.get(world) else {
        return Err(BadComponent::ExportsNothing);
    };
    let imports = world.imports.keys().map(|key| resolve.name_world_key(key));
    if let Some(import) = imports.into_iter().find(|name| !name.starts_with(CONTRACT)) {
        return Err(BadComponent::ForeignImport { import });
    }
    let mut exports = world.exports.keys().map(|key| resolve.name_world_key(key));
    match exports.any(|name| name.starts_with(CONTRACT)) {
        true => Ok(()),
        false => Err(BadComponent::ExportsNothing),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A core module with no code, no imports and no exports.
    const EMPTY: &[u8] = b"\0asm\x01\0\0\0";

    #[test]
    fn a_module_that_exports_nothing_of_the_contract_is_no_component() {
        let error = of_module(EMPTY).unwrap_err();
        assert!(matches!(error, BadComponent::ExportsNothing), "{error}");
    }

    #[test]
    fn names_are_left_out_and_all_else_stays() {
        let text = r#"(module $m (func $inner (result i32) (i32.const 7))
            (func (export "run") (result i32) (call $inner)) (@custom "kept" "abc"))"#;
        let module = wat::parse_str(text).unwrap();
        let has =
            |bytes: &[u8], text: &str| bytes.windows(text.len()).any(|w| w == text.as_bytes());
        assert!(has(&module, "inner"));
        let stripped = without_names(&module).unwrap();
        assert!(!has(&stripped, "inner") && has(&stripped, "kept") && has(&stripped, "run"));
        wasmparser::Validator::new()
            .validate_all(&stripped)
            .unwrap();
        assert_eq!(without_names(&stripped).unwrap(), stripped);
        assert!(without_names(b"not wasm").is_err());
    }

    #[test]
    fn what_is_no_webassembly_is_refused() {
        let error = of_module(b"not wasm").unwrap_err();
        assert!(matches!(error, BadComponent::Encoding { .. }), "{error}");
    }

    #[test]
    fn a_module_that_imports_from_elsewhere_is_refused() {
        // Imports the function "env" "clock", of type [] -> [].
        let mut module = EMPTY.to_vec();
        module.extend_from_slice(b"\x01\x04\x01\x60\0\0");
        module.extend_from_slice(b"\x02\x0d\x01\x03env\x05clock\0\0");
        let error = of_module(&module).unwrap_err();
        assert!(error.to_string().contains("env"), "{error}");
    }
}
