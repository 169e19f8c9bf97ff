//! What a component must be before it may be called: by its bytes, and by the names of what it
//! exports and imports.

use semver::{Version, VersionReq};
use wasmparser::{CanonicalFunction, Parser, Payload};

use super::{PluginError, Step};

/// The contract's package, and its version that this host speaks.
const PACKAGE: &str = "assay:rules";
pub(super) const VERSION: Version = Version::new(0, 1, 1);

/// Modules and components within each other. Each is held while what it contains is read; what
/// tools make has three.
const DEEPEST: usize = 100;

/// The full name of an interface of the contract.
pub(super) fn interface(name: &str) -> String {
    format!("{PACKAGE}/{name}@{VERSION}")
}

/// The name and the version of an interface, if it is the contract's and the host speaks it: its own
/// version, and each before it from which nothing was taken away. wasmtime joins those by the same
/// rule, but also later ones, which may ask for what is not here.
fn spoken(full: &str) -> Option<(&str, Version)> {
    let (name, version) = full
        .strip_prefix(PACKAGE)?
        .strip_prefix('/')?
        .split_once('@')?;
    let spoken = Version::parse(version).ok()?;
    let compatible = VersionReq::parse(&format!("^{spoken}")).ok()?;
    let released = spoken.pre.is_empty() && spoken.build.is_empty();
    (released && compatible.matches(&VERSION)).then_some((name, spoken))
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

/// The step that a component of these exports does, which must be the one that is wanted, and the
/// contract that it was written against, as in `assay:rules@0.1.0`.
///
/// # Errors
/// What it is instead.
pub(super) fn step_of<'a>(
    names: impl Iterator<Item = &'a str>,
    wanted: Option<Step>,
) -> Result<(Step, String), PluginError> {
    let names: Vec<String> = names.map(str::to_owned).collect();
    let known: Vec<_> = names.iter().filter_map(|name| spoken(name)).collect();
    let find = |step: Step| {
        let (_, version) = known.iter().find(|(name, _)| *name == step.interface())?;
        Some((step, format!("{PACKAGE}@{version}")))
    };
    if let Some(found) = wanted.and_then(find) {
        return Ok(found);
    }
    match (Step::ALL.into_iter().find_map(find), wanted) {
        (Some(found), None) => return Ok(found),
        (Some((found, _)), Some(wanted)) => return Err(PluginError::OtherStep { found, wanted }),
        (None, _) => {}
    }
    let wanted = match wanted {
        Some(wanted) => interface(wanted.interface()),
        None => Step::ALL
            .map(|step| interface(step.interface()))
            .join(" or "),
    };
    let ours = |name: &&String| is_of_contract(name);
    match names.iter().find(ours) {
        Some(found) => Err(other_version(found)),
        None => Err(PluginError::NoStep {
            exports: names,
            wanted,
        }),
    }
}

/// # Errors
/// Imports that a rule does not get, by their names.
pub(super) fn check_imports(names: &[String]) -> Result<(), PluginError> {
    let offered = |name: &str| matches!(spoken(name), Some(("host" | "types", _)));
    let foreign: Vec<String> = names
        .iter()
        .filter(|name| !offered(name))
        .cloned()
        .collect();
    match foreign.iter().find(|name| is_of_contract(name)) {
        _ if foreign.is_empty() => Ok(()),
        Some(found) if foreign.iter().all(|name| is_of_contract(name)) => Err(other_version(found)),
        _ => Err(PluginError::Import {
            names: foreign,
            offered: interface("host"),
        }),
    }
}

/// Why an interface of the contract is not spoken here.
fn other_version(interface: &str) -> PluginError {
    let (_, version) = interface.split_once('@').unwrap_or_default();
    PluginError::OtherVersion {
        found: match version {
            "" => format!("{PACKAGE} without a version"),
            version => format!("{PACKAGE}@{version}"),
        },
        ours: format!("{PACKAGE}@{VERSION}"),
        later: Version::parse(version).is_ok_and(|version| version > VERSION),
    }
}

fn is_of_contract(name: &str) -> bool {
    let rest = name.strip_prefix(PACKAGE);
    rest.is_some_and(|rest| rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_spoken_up_to_the_hosts_own_that_took_nothing_away() {
        let version = |text: &str| spoken(text).map(|(name, version)| format!("{name} {version}"));
        for name in ["0.1.0", "0.1.1"] {
            let full = format!("assay:rules/validation@{name}");
            assert_eq!(version(&full), Some(format!("validation {name}")));
        }
        for other in [
            "0.0.9",
            "0.1.2",
            "0.2.0",
            "1.0.0",
            "0.1.0-rc.1",
            "0.1.0+a",
            "0.1",
            "",
            "a",
        ] {
            assert_eq!(
                version(&format!("assay:rules/host@{other}")),
                None,
                "{other}"
            );
        }
        for name in [
            "assay:rules/host",
            "assay:rulesx/host@0.1.0",
            "wasi:rules/host@0.1.0",
        ] {
            assert_eq!(version(name), None, "{name}");
        }
    }

    #[test]
    fn a_component_of_another_version_is_told_both_and_what_to_do() {
        let told = |name: &str| step_of([name].into_iter(), None).unwrap_err().to_string();
        let later = told("assay:rules/validation@0.2.0");
        for part in [
            "written for assay:rules@0.2.0, and this host speaks assay:rules@0.1.1 and",
            "run an assay that speaks it",
        ] {
            assert!(later.contains(part), "{later}");
        }
        let earlier = told("assay:rules/validation@0.0.9");
        assert!(earlier.contains("build the component again"), "{earlier}");
        assert!(!earlier.contains("run an assay"), "{earlier}");
        let none = told("assay:rules/validation");
        assert!(none.contains("assay:rules without a version"), "{none}");
    }
}
