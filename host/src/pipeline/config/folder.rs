//! Where pipelines are looked for.

use std::path::{Path, PathBuf};

use super::ConfigError;

/// A TOML, or those of a folder.
pub(super) fn tomls(path: &Path) -> Result<Vec<PathBuf>, ConfigError> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let files = tomls_in(path)?;
    match files.is_empty() {
        true => Err(ConfigError::NoPipeline {
            path: path.to_owned(),
        }),
        false => Ok(files),
    }
}

/// The TOMLs in a folder, by name.
pub(in super::super) fn tomls_in(path: &Path) -> Result<Vec<PathBuf>, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(unreadable)? {
        let file = entry.map_err(unreadable)?.path();
        if file.extension().is_some_and(|e| e == "toml") {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}
