//! Which files there are, and which file of a name it is.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::SourceError;
use crate::names::{Digest, Partition};

/// The endings of files that are read out of a folder.
const ENDINGS: [&str; 3] = ["ndjson", "jsonl", "json"];

/// A folder of files, or one file.
pub struct Folder {
    path: PathBuf,
    /// An unfinished first line counts as complete.
    complete: bool,
}

/// An error at a path.
pub fn at(path: &Path) -> impl FnOnce(io::Error) -> SourceError + '_ {
    |source| SourceError::File {
        path: path.to_owned(),
        source,
    }
}

impl Folder {
    pub fn new(path: PathBuf, complete: bool) -> Self {
        Self { path, complete }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where a topic's file lies.
    pub fn path_of(&self, topic: &str) -> PathBuf {
        if self.path.is_file() {
            self.path.clone()
        } else {
            self.path.join(topic)
        }
    }

    /// The topics that there are, with their files, in the order of their names. Hidden files and
    /// folders are left out.
    ///
    /// # Errors
    /// A folder that can't be listed.
    pub fn files(&self) -> Result<BTreeMap<String, PathBuf>, SourceError> {
        let mut found = BTreeMap::new();
        if fs::metadata(&self.path).map_err(at(&self.path))?.is_dir() {
            self.list(&self.path, &mut found)?;
        } else {
            let name = self.path.file_name().unwrap_or(self.path.as_os_str());
            found.insert(name.to_string_lossy().into_owned(), self.path.clone());
        }
        Ok(found)
    }

    fn list(
        &self,
        folder: &Path,
        found: &mut BTreeMap<String, PathBuf>,
    ) -> Result<(), SourceError> {
        for entry in fs::read_dir(folder).map_err(at(folder))? {
            let entry = entry.map_err(at(folder))?;
            let path = entry.path();
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let Ok(metadata) = fs::metadata(&path) else {
                // Gone since it was listed.
                continue;
            };
            let ending = path.extension().and_then(|ending| ending.to_str());
            if metadata.is_dir() {
                self.list(&path, found)?;
            } else if ending.is_some_and(|ending| ENDINGS.contains(&ending)) {
                let topic = path.strip_prefix(&self.path).unwrap_or(&path);
                found.insert(topic.to_string_lossy().into_owned(), path.clone());
            }
        }
        Ok(())
    }

    /// The files that have a first line, as partitions.
    ///
    /// # Errors
    /// A file or folder that can't be read.
    pub fn partitions(&self) -> Result<Vec<(Partition, PathBuf)>, SourceError> {
        let mut partitions = Vec::new();
        for (topic, path) in self.files()? {
            if let Some(source) = self.source_of(&path)? {
                let partition = Partition {
                    topic: topic.into(),
                    source,
                    number: 0,
                };
                partitions.push((partition, path));
            }
        }
        Ok(partitions)
    }

    /// The first 16 digits of the digest of a file's first line; `None` while there is none.
    ///
    /// # Errors
    /// A file that can't be read.
    pub fn source_of(&self, path: &Path) -> Result<Option<Arc<str>>, SourceError> {
        let mut line = Vec::new();
        let file = File::open(path).map_err(at(path))?;
        BufReader::new(file)
            .read_until(b'\n', &mut line)
            .map_err(at(path))?;
        let finished = line.pop_if(|last| *last == b'\n').is_some();
        line.pop_if(|last| *last == b'\r');
        if !finished && (!self.complete || line.is_empty()) {
            return Ok(None);
        }
        let digest: String = Digest::of(&line).to_string().chars().take(16).collect();
        Ok(Some(digest.into()))
    }
}
