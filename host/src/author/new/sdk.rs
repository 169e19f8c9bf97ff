//! The SDK and the contract, as this program was built with them: a project outside of a checkout
//! gets a copy of its own, so that it builds with nothing but Rust.

use std::path::{Component, Path, PathBuf};

use toml::{Table, Value};

use super::Sdk;

/// The copy's folder in a project, and the SDK's name as a crate.
pub(super) const NAME: &str = "assay-rules";

/// The workspace that the SDK is a member of.
pub(super) const WORKSPACE: &str = include_str!("../../../../Cargo.toml");
const MANIFEST: &str = include_str!("../../../../plugins/sdk/Cargo.toml");

/// Where the SDK's source finds the contract, in a checkout and in a copy.
const WIT_IN_CHECKOUT: &str = "path: \"../../wit\"";
const WIT_IN_COPY: &str = "path: \"wit\"";

macro_rules! files {
    ($folder:literal: $($name:literal),+ $(,)?) => {
        [$(($name, include_str!(concat!("../../../../", $folder, "/", $name)))),+]
    };
}

const SOURCE: [(&str, &str); 21] = files!("plugins/sdk/src":
    "aggregate.rs", "bindings.rs", "cleanse.rs", "column.rs", "column/tests.rs", "decimal.rs",
    "enrich.rs", "export.rs", "json.rs", "lib.rs", "log.rs", "params.rs", "row.rs", "rule.rs",
    "state.rs", "state/distinct.rs", "testing.rs", "testing/columns.rs", "time.rs", "validate.rs",
    "written.rs",
);

/// The files of the contract.
pub(in crate::author) const WIT: [(&str, &str); 7] = files!("wit":
    "aggregation.wit", "cleansing.wit", "enrichment.wit", "host.wit", "types.wit",
    "validation.wit", "worlds.wit",
);

/// The SDK for a project in `parent`: a checkout's, if it stands in one.
pub(super) fn find(parent: &Path) -> Sdk {
    let Ok(parent) = parent.canonicalize() else {
        return Sdk::Copy;
    };
    let is_checkout = |folder: &&Path| {
        folder.join("plugins/sdk/Cargo.toml").is_file() && folder.join("wit/worlds.wit").is_file()
    };
    match parent.ancestors().find(is_checkout) {
        Some(checkout) => Sdk::Checkout {
            path: between(&parent, &checkout.join("plugins/sdk")),
            member: parent == checkout.join("plugins"),
        },
        None => Sdk::Copy,
    }
}

/// The way from a folder in `parent` to `to`. Both are absolute.
fn between(parent: &Path, to: &Path) -> PathBuf {
    let shared = parent
        .components()
        .zip(to.components())
        .take_while(|(a, b)| a == b)
        .count();
    let up = parent.components().skip(shared).count() + 1;
    let up = std::iter::repeat_n(Component::ParentDir, up);
    up.chain(to.components().skip(shared)).collect()
}

/// The files of a copy, by their paths in a project.
pub(super) fn copy() -> Vec<(String, String)> {
    let mut files = vec![(format!("{NAME}/Cargo.toml"), manifest())];
    for (name, text) in SOURCE {
        let text = text.replace(WIT_IN_CHECKOUT, WIT_IN_COPY);
        files.push((format!("{NAME}/src/{name}"), text));
    }
    for (name, text) in WIT {
        files.push((format!("{NAME}/wit/{name}"), text.to_owned()));
    }
    files
}

/// The SDK's manifest with what it has from its workspace written out.
fn manifest() -> String {
    let mut manifest: Table = MANIFEST.parse().unwrap_or_default();
    let workspace = workspace();
    manifest.remove("lints");
    let of = |name: &str| workspace.get(name).and_then(Value::as_table);
    if let Some(package) = manifest.get_mut("package") {
        inherit(package, of("package"));
    }
    if let Some(dependencies) = manifest.get_mut("dependencies") {
        inherit(dependencies, of("dependencies"));
    }
    let targets = manifest.get_mut("target").and_then(Value::as_table_mut);
    for (_, target) in targets.into_iter().flatten() {
        if let Some(dependencies) = target.get_mut("dependencies") {
            inherit(dependencies, of("dependencies"));
        }
    }
    manifest.to_string()
}

pub(super) fn workspace() -> Table {
    let root: Table = WORKSPACE.parse().unwrap_or_default();
    let workspace = root.get("workspace").and_then(Value::as_table);
    workspace.cloned().unwrap_or_default()
}

/// Puts the workspace's value wherever `workspace = true` stands.
fn inherit(table: &mut Value, workspace: Option<&Table>) {
    for (name, value) in table.as_table_mut().into_iter().flatten() {
        let inherited = value.get("workspace").and_then(Value::as_bool) == Some(true);
        if inherited && let Some(own) = workspace.and_then(|workspace| workspace.get(name)) {
            *value = own.clone();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn files_in(folder: &Path) -> BTreeSet<PathBuf> {
        let mut files = BTreeSet::new();
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => files.extend(files_in(&path)),
                false => drop(files.insert(path)),
            }
        }
        files
    }

    #[test]
    fn a_copy_has_every_file_of_the_sdk_and_of_the_contract() {
        let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        for (folder, names) in [
            ("plugins/sdk/src", SOURCE.map(|(name, _)| name).to_vec()),
            ("wit", WIT.map(|(name, _)| name).to_vec()),
        ] {
            let folder = checkout.join(folder);
            let copied: BTreeSet<PathBuf> = names.iter().map(|name| folder.join(name)).collect();
            assert_eq!(copied, files_in(&folder));
        }
    }

    #[test]
    fn a_copy_needs_no_workspace_around_it() {
        let manifest = manifest();
        assert!(!manifest.contains("workspace"), "{manifest}");
        for wanted in [
            "edition = \"2024\"",
            "wit-bindgen = \"",
            "serde_json = \"1\"",
        ] {
            assert!(manifest.contains(wanted), "{manifest}");
        }
        let bindings = copy()
            .into_iter()
            .find(|(path, _)| path.ends_with("bindings.rs"));
        let (_, bindings) = bindings.unwrap();
        assert!(
            bindings.contains(WIT_IN_COPY) && !bindings.contains("../"),
            "{bindings}"
        );
    }

    #[test]
    fn a_project_in_a_checkout_names_the_way_to_its_sdk() {
        let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let plugins = find(&checkout.join("plugins"));
        let path = PathBuf::from("../sdk");
        assert_eq!(plugins, Sdk::Checkout { path, member: true });
        let elsewhere = find(&checkout.join("pipelines/retail"));
        let path = PathBuf::from("../../../plugins/sdk");
        assert_eq!(
            elsewhere,
            Sdk::Checkout {
                path,
                member: false
            }
        );
        assert_eq!(find(tempfile::tempdir().unwrap().path()), Sdk::Copy);
    }
}
