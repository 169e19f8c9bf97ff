//! Builds plugins into components. The one thing to know: nobody else calls cargo for
//! WebAssembly; the Makefile, the tests and the command line all come here.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use serde::Deserialize;

use super::component::{self, BadComponent};
use super::toolchain::{self, Toolchain};
use crate::names::Digest;

/// The target of every component.
pub(super) const TARGET: &str = "wasm32-unknown-unknown";

/// The profile for components: quick, small, and without unwinding, which a component can't do.
/// Told to cargo on its command line, so that a plugin in another workspace is built alike.
const PROFILE: &str = "component";
const PROFILE_SETTINGS: [&str; 6] = [
    "inherits='release'",
    "codegen-units=1",
    "lto=true",
    "opt-level=3",
    "panic='abort'",
    "strip=true",
];

/// A component that stands on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    /// `<plugin's folder>/<plugin's name>.wasm`.
    pub path: PathBuf,
    /// In bytes.
    pub size: usize,
    pub digest: Digest,
    /// Whether the file is other than it was before.
    pub changed: bool,
}

/// Why a plugin could not be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    #[error("{} is no plugin: {reason}", folder.display())]
    NoPlugin { folder: PathBuf, reason: String },

    #[error("{program} could not be started; is it installed and on the PATH?")]
    Start {
        program: String,
        source: std::io::Error,
    },

    #[error(
        "no Rust toolchain here can build WebAssembly ({reason}). Say `rustup target add {TARGET}`; \
         or, on Debian 12 or later, `apt-get install --no-install-recommends {}`",
        toolchain::DEBIAN_PACKAGES
    )]
    NoToolchain { reason: String },

    #[error("cargo could not build {packages}: {status}; what the compiler said stands above")]
    Cargo {
        packages: String,
        status: ExitStatus,
    },

    #[error("{package} was compiled, but is no component: {source}")]
    BadComponent {
        package: String,
        source: BadComponent,
    },

    #[error("{action} {}", path.display())]
    File {
        action: &'static str,
        path: PathBuf,
        source: std::io::Error,
    },
}

/// Builds the plugin in a folder, and writes its component beside its `Cargo.toml`.
///
/// # Errors
/// What is missing on this machine, or wrong with the plugin.
pub fn build(plugin: &Path) -> Result<Built, BuildError> {
    let mut built = build_all(&[plugin.to_owned()])?;
    built.pop().ok_or_else(|| BuildError::NoPlugin {
        folder: plugin.to_owned(),
        reason: "nothing came of it".to_owned(),
    })
}

/// Builds several plugins with one call of cargo for each workspace. The answer is in the order of
/// `plugins`.
///
/// # Errors
/// What is missing on this machine, or wrong with the first plugin that could not be built. The
/// components that stood on disk before are as they were.
pub fn build_all(plugins: &[PathBuf]) -> Result<Vec<Built>, BuildError> {
    let plugins: Vec<Plugin> = plugins
        .iter()
        .map(|p| Plugin::read(p))
        .collect::<Result<_, _>>()?;
    let mut workspaces: BTreeMap<&Path, BTreeSet<&str>> = BTreeMap::new();
    for plugin in &plugins {
        workspaces
            .entry(&plugin.workspace)
            .or_default()
            .insert(&plugin.package);
    }
    for (workspace, packages) in workspaces {
        compile(workspace, &packages)?;
    }
    let components: Vec<Vec<u8>> = plugins
        .iter()
        .map(Plugin::component)
        .collect::<Result<_, _>>()?;
    plugins
        .iter()
        .zip(components)
        .map(|(plugin, component)| plugin.write(&component))
        .collect()
}

/// Whether a folder holds a plugin.
pub fn is_plugin(folder: &Path) -> bool {
    Manifest::read(folder).is_ok_and(|manifest| manifest.is_plugin())
}

/// Every folder in `folder` that holds a plugin, sorted.
///
/// # Errors
/// A folder that can't be read.
pub fn plugins_in(folder: &Path) -> Result<Vec<PathBuf>, BuildError> {
    let failed = |source| BuildError::File {
        action: "read folder",
        path: folder.to_owned(),
        source,
    };
    let mut plugins = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if is_plugin(&path) {
            plugins.push(path);
        }
    }
    plugins.sort();
    Ok(plugins)
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
struct Plugin {
    folder: PathBuf,
    workspace: PathBuf,
    package: String,
    library: String,
}

impl Plugin {
    fn read(folder: &Path) -> Result<Self, BuildError> {
        let manifest = Manifest::read(folder)?;
        if !manifest.is_plugin() {
            return Err(BuildError::NoPlugin {
                folder: folder.to_owned(),
                reason: "its Cargo.toml needs [lib] crate-type = [\"cdylib\", \"rlib\"]".to_owned(),
            });
        }
        let package = manifest.package.name;
        Ok(Self {
            folder: folder.to_owned(),
            workspace: workspace_of(folder)?,
            library: manifest
                .lib
                .name
                .unwrap_or_else(|| package.replace('-', "_")),
            package,
        })
    }

    /// Makes a component of what the compiler left.
    fn component(&self) -> Result<Vec<u8>, BuildError> {
        let path = target_folder(&self.workspace)
            .join(TARGET)
            .join(PROFILE)
            .join(format!("{}.wasm", self.library));
        let module = std::fs::read(&path).map_err(|source| BuildError::File {
            action: "read",
            path,
            source,
        })?;
        component::of_module(&module).map_err(|source| BuildError::BadComponent {
            package: self.package.clone(),
            source,
        })
    }

    /// Writes the component: whole or not at all, and only if it is another one.
    fn write(&self, component: &[u8]) -> Result<Built, BuildError> {
        let path = self.folder.join(format!("{}.wasm", self.package));
        let changed = std::fs::read(&path).map_or(true, |old| old != component);
        if changed {
            self.replace(&path, component)
                .map_err(|source| BuildError::File {
                    action: "write",
                    path: path.clone(),
                    source,
                })?;
        }
        Ok(Built {
            path,
            size: component.len(),
            digest: Digest::of(component),
            changed,
        })
    }

    fn replace(&self, path: &Path, component: &[u8]) -> std::io::Result<()> {
        let mut file = tempfile::Builder::new()
            .prefix(".component-")
            .permissions(permissions())
            .tempfile_in(&self.folder)?;
        file.write_all(component)?;
        file.persist(path)?;
        Ok(())
    }
}

/// A component may be read by all, as any build product. (A temporary file usually may not.)
#[cfg(unix)]
fn permissions() -> std::fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(0o644)
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

#[cfg(test)]
mod tests;
