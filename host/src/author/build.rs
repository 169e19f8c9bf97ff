//! Builds plugins into components. The one thing to know: nobody else calls cargo, or what
//! other languages need, for WebAssembly; the Makefile, the tests and the command line all
//! come here.

mod rust;
mod script;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

pub(super) use self::rust::TARGET;
use super::Language;
use super::component::BadComponent;
use super::toolchain;
use crate::names::Digest;

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

/// What becomes of the names of a component's functions. Only what is built in Rust has a choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// They are left out: what runs needs none.
    Dropped,
    /// A trap says in which functions it was.
    Kept,
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

    #[error(
        "{program} is needed to build rules in {language}, and could not be started ({problem}): {cure}"
    )]
    NoTool {
        language: Language,
        program: &'static str,
        problem: String,
        cure: &'static str,
    },

    #[error(
        "what rules in {language} are built with could not be put into {}: {problem}; is there a network?",
        folder.display()
    )]
    Install {
        language: Language,
        folder: PathBuf,
        problem: String,
    },

    #[error("{name} could not be made a component: {status}; what is wrong stands above")]
    Script { name: String, status: ExitStatus },

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

/// Builds the plugin in a folder, and writes its component beside its manifest.
///
/// # Errors
/// What is missing on this machine, or wrong with the plugin.
pub fn build(plugin: &Path) -> Result<Built, BuildError> {
    let mut built = build_all(&[plugin.to_owned()], Names::Dropped)?;
    built.pop().ok_or_else(|| BuildError::NoPlugin {
        folder: plugin.to_owned(),
        reason: "nothing came of it".to_owned(),
    })
}

/// Builds several plugins, those in Rust with one call of cargo for each workspace. The answer is in
/// the order of `plugins`.
///
/// # Errors
/// What is missing on this machine, or wrong with the first plugin that could not be built. The
/// components that stood on disk before are as they were.
pub fn build_all(plugins: &[PathBuf], names: Names) -> Result<Vec<Built>, BuildError> {
    let plugins: Vec<Plugin> = plugins
        .iter()
        .map(|folder| Plugin::read(folder))
        .collect::<Result<_, _>>()?;
    let in_rust: Vec<&rust::Plugin> = plugins
        .iter()
        .filter_map(|plugin| match &plugin.source {
            Source::Rust(plugin) => Some(plugin),
            Source::Script(_) => None,
        })
        .collect();
    rust::compile_all(&in_rust)?;
    let components: Vec<Vec<u8>> = plugins
        .iter()
        .map(|plugin| plugin.component(names))
        .collect::<Result<_, _>>()?;
    plugins
        .iter()
        .zip(components)
        .map(|(plugin, component)| plugin.write(&component))
        .collect()
}

/// Whether a folder holds a plugin.
pub fn is_plugin(folder: &Path) -> bool {
    rust::is_plugin(folder) || script::is_plugin(folder)
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

/// A plugin's source.
struct Plugin {
    folder: PathBuf,
    name: String,
    source: Source,
}

enum Source {
    Rust(rust::Plugin),
    Script(script::Plugin),
}

impl Plugin {
    fn read(folder: &Path) -> Result<Self, BuildError> {
        let (name, source) = match script::Plugin::read(folder)? {
            Some(plugin) => (plugin.name.clone(), Source::Script(plugin)),
            None => {
                let plugin = rust::Plugin::read(folder)?;
                (plugin.package.clone(), Source::Rust(plugin))
            }
        };
        Ok(Self {
            folder: folder.to_owned(),
            name,
            source,
        })
    }

    fn path(&self) -> PathBuf {
        self.folder.join(format!("{}.wasm", self.name))
    }

    fn component(&self, names: Names) -> Result<Vec<u8>, BuildError> {
        match &self.source {
            Source::Rust(plugin) => plugin.component(names),
            Source::Script(plugin) => plugin.component(&self.path()),
        }
    }

    /// Writes the component: whole or not at all, and only if it is another one.
    fn write(&self, component: &[u8]) -> Result<Built, BuildError> {
        let path = self.path();
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

#[cfg(test)]
mod tests;
