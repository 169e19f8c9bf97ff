//! Plugins in Rust: cargo makes core modules of them, and this process components of those.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use super::super::component;
use super::super::toolchain::Toolchain;
use super::{BuildError, Names};

/// The target of every component.
pub(in crate::author) const TARGET: &str = "wasm32-unknown-unknown";

/// The profile for components: quick, small, and without unwinding, which a component can't do.
/// Told to cargo on its command line, so that a plugin in another workspace is built alike.
const PROFILE: &str = "component";
const PROFILE_SETTINGS: [&str; 6] = [
    "inherits='release'",
    "codegen-units=1",
    "lto=true",
    "opt-level=3",
    "panic='abort'",
    // The functions' names stay here, and are left out of the component: cargo would compile all
    // dependencies anew where this setting is another one.
    "strip='debuginfo'",
];

/// Compiles plugins, with one call of cargo for each workspace.
///
/// # Errors
/// What is missing on this machine, or wrong with the first plugin that could not be built.
pub(super) fn compile_all(plugins: &[&Plugin]) -> Result<(), BuildError> {
    let mut workspaces: BTreeMap<&Path, BTreeSet<&str>> = BTreeMap::new();
    for plugin in plugins {
        workspaces
            .entry(&plugin.workspace)
            .or_default()
            .insert(&plugin.package);
    }
    for (workspace, packages) in workspaces {
        compile(workspace, &packages)?;
    }
    Ok(())
}

/// Whether a folder's `Cargo.toml` makes a component.
pub(super) fn is_plugin(folder: &Path) -> bool {
    Manifest::read(folder).is_ok_and(|manifest| manifest.is_plugin())
}

/// What is needed of a `Cargo.toml`.
#[derive(Deserialize)]
struct Manifest {
    package: Package,
    #[serde(default)]
    lib: Library,
}

#[derive(Deserialize)]
struct Package {
    name: String,
}

#[derive(Default, Deserialize)]
struct Library {
    name: Option<String>,
    #[serde(default, rename = "crate-type")]
    crate_type: Vec<String>,
}

impl Manifest {
    fn read(folder: &Path) -> Result<Self, BuildError> {
        let no_plugin = |reason: String| BuildError::NoPlugin {
            folder: folder.to_owned(),
            reason,
        };
        let text = std::fs::read_to_string(folder.join("Cargo.toml"))
            .map_err(|error| no_plugin(format!("its Cargo.toml can't be read: {error}")))?;
        toml::from_str(&text).map_err(|error| no_plugin(format!("its Cargo.toml: {error}")))
    }

    fn is_plugin(&self) -> bool {
        self.lib
            .crate_type
            .iter()
            .any(|crate_type| crate_type == "cdylib")
    }
}

/// A plugin's source, as its manifest names it.
pub(super) struct Plugin {
    workspace: PathBuf,
    pub package: String,
    pub library: String,
}

impl Plugin {
    pub(super) fn read(folder: &Path) -> Result<Self, BuildError> {
        let manifest = Manifest::read(folder)?;
        if !manifest.is_plugin() {
            return Err(BuildError::NoPlugin {
                folder: folder.to_owned(),
                reason: "its Cargo.toml needs [lib] crate-type = [\"cdylib\", \"rlib\"]".to_owned(),
            });
        }
        let package = manifest.package.name;
        Ok(Self {
            workspace: workspace_of(folder)?,
            library: manifest
                .lib
                .name
                .unwrap_or_else(|| package.replace('-', "_")),
            package,
        })
    }

    /// Makes a component of what the compiler left, which has the functions' names.
    pub(super) fn component(&self, names: Names) -> Result<Vec<u8>, BuildError> {
        let path = target_folder(&self.workspace)
            .join(TARGET)
            .join(PROFILE)
            .join(format!("{}.wasm", self.library));
        let module = std::fs::read(&path).map_err(|source| BuildError::File {
            action: "read",
            path,
            source,
        })?;
        let module = match names {
            Names::Dropped => component::without_names(&module),
            Names::Kept => Ok(module),
        };
        let component = module.and_then(|module| component::of_module(&module));
        component.map_err(|source| BuildError::BadComponent {
            package: self.package.clone(),
            source,
        })
    }
}

/// The folder whose `Cargo.toml` rules over a plugin.
fn workspace_of(folder: &Path) -> Result<PathBuf, BuildError> {
    let no_plugin = |reason: String| BuildError::NoPlugin {
        folder: folder.to_owned(),
        reason,
    };
    let found = Command::new("cargo")
        .args(["locate-project", "--workspace", "--message-format", "plain"])
        .current_dir(folder)
        .output()
        .map_err(|source| BuildError::Start {
            program: "cargo".to_owned(),
            source,
        })?;
    if !found.status.success() {
        return Err(no_plugin(
            String::from_utf8_lossy(&found.stderr).trim().to_owned(),
        ));
    }
    let manifest = PathBuf::from(String::from_utf8_lossy(&found.stdout).trim());
    match manifest.parent() {
        Some(workspace) => Ok(workspace.to_owned()),
        None => Err(no_plugin("cargo names no workspace for it".to_owned())),
    }
}

/// Apart from the host's own build, so that neither waits for the other.
fn target_folder(workspace: &Path) -> PathBuf {
    workspace.join("target").join("wasm")
}

/// Compiles packages to core modules. What the compiler says goes to standard error as it comes.
fn compile(workspace: &Path, packages: &BTreeSet<&str>) -> Result<(), BuildError> {
    let toolchain = Toolchain::find(workspace)?;
    let mut cargo = toolchain.cargo();
    cargo
        .current_dir(workspace)
        .args([
            "build",
            "--profile",
            PROFILE,
            "--target",
            TARGET,
            "--target-dir",
        ])
        .arg(target_folder(workspace))
        .env_remove("RUSTFLAGS")
        .env("CARGO_ENCODED_RUSTFLAGS", flags());
    for setting in PROFILE_SETTINGS {
        cargo
            .arg("--config")
            .arg(format!("profile.{PROFILE}.{setting}"));
    }
    for package in packages {
        cargo.args(["--package", package]);
    }
    let status = cargo.status().map_err(|source| BuildError::Start {
        program: toolchain.cargo_path().to_owned(),
        source,
    })?;
    if status.success() {
        return Ok(());
    }
    Err(BuildError::Cargo {
        packages: packages.iter().copied().collect::<Vec<_>>().join(", "),
        status,
    })
}

/// Vector instructions, which every engine with the component model has. Panic messages name source
/// files: without the home folder of whoever builds, so that the same
/// source makes the same component on two machines.
fn flags() -> OsString {
    let home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".cargo")));
    let mut flags = OsString::from("-Ctarget-feature=+simd128");
    if let Some(home) = home {
        // What this variable of cargo's separates flags with.
        flags.push("\x1f--remap-path-prefix=");
        flags.push(home);
        flags.push("=/cargo");
    }
    flags
}
