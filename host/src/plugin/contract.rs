//! What a component must be before it may be called: by its bytes, and by the names of what it
//! exports and imports.

use wasmparser::{CanonicalFunction, Parser, Payload};

use super::{PluginError, Step};

/// What components are written against.
pub const CONTRACT: &str = "assay:rules@0.1.0";
const PACKAGE: &str = "assay:rules/";
const VERSION: &str = "@0.1.0";

/// Modules and components within each other. Each is held while what it contains is read; what
/// tools make has three.
const DEEPEST: usize = 100;

/// The full name of the interface that components may call.
pub(super) fn host_interface() -> String {
    format!("{PACKAGE}host{VERSION}")
}

/// What can be told by the bytes alone.
///
/// # Errors
/// What they are instead of a component.
pub(super) fn check_bytes(wasm: &[u8]) -> Result<(), PluginError> {
    check_header(wasm)?;
    check_parts(wasm)
}

fn check_header(wasm: &[u8]) -> Result<(), PluginError> {
    match wasm {
        [0, b'a', b's', b'm', 1, 0, 0, 0, ..] => Err(PluginError::CoreModule),
        [0, b'a', b's', b'm', ..] => Ok(()),
        other => {
            let begin: Vec<u8> = other.iter().take(8).copied().collect();
            Err(PluginError::NotWasm {
                begins: String::from_utf8_lossy(&begin).into_owned(),
            })
        }
    }
}

/// A component that makes resources keeps their handles in tables of the host, which no limit of an
/// instance counts. What can't be read here is told when it is compiled.
fn check_parts(wasm: &[u8]) -> Result<(), PluginError> {
    let mut depth = 0_usize;
    for part in Parser::new(0).parse_all(wasm) {
        match part {
            Ok(Payload::ComponentCanonicalSection(functions)) => {
                let makes =
                    |function| matches!(function, Ok(CanonicalFunction::ResourceNew { .. }));
                if functions.into_iter().any(makes) {
                    return Err(PluginError::Resources);
                }
            }
            Ok(Payload::ModuleSection { .. } | Payload::ComponentSection { .. }) => depth += 1,
            Ok(Payload::End(_)) => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEEPEST {
            return Err(PluginError::Broken {
                problem: format!("its parts lie within each other more than {DEEPEST} deep"),
            });
        }
    }
    Ok(())
}

/// The step that a component of these exports does, which must be the one that is wanted.
///
/// # Errors
/// What it is instead.
pub(super) fn step_of<'a>(
    names: impl Iterator<Item = &'a str>,
    wanted: Option<Step>,
) -> Result<Step, PluginError> {
    let names: Vec<String> = names.map(str::to_owned).collect();
    let interface = |step: Step| format!("{PACKAGE}{}{VERSION}", step.interface());
    let has = |step: &Step| names.contains(&interface(*step));
    if let Some(wanted) = wanted.filter(has) {
        return Ok(wanted);
    }
    match (Step::ALL.into_iter().find(has), wanted) {
        (Some(found), None) => return Ok(found),
        (Some(found), Some(wanted)) => return Err(PluginError::OtherStep { found, wanted }),
        (None, _) => {}
    }
    let wanted = match wanted {
        Some(wanted) => interface(wanted),
        None => Step::ALL.map(interface).join(" or "),
    };
    let ours = |name: &&String| name.starts_with(PACKAGE);
    match names.iter().find(ours) {
        Some(found) => Err(PluginError::OtherVersion {
            found: found.clone(),
            ours: wanted,
        }),
        None => Err(PluginError::NoStep {
            exports: names,
            wanted,
        }),
    }
}

/// # Errors
/// Imports that a rule does not get, by their names.
pub(super) fn check_imports(names: &[String]) -> Result<(), PluginError> {
    let host = host_interface();
    let types = format!("{PACKAGE}types{VERSION}");
    let foreign = names
        .iter()
        .filter(|name| **name != host && **name != types);
    let foreign: Vec<String> = foreign.cloned().collect();
    match foreign.is_empty() {
        true => Ok(()),
        false => Err(PluginError::Import {
            names: foreign,
            offered: host,
        }),
    }
}
