//! The files of one table's log: reading a version, putting one if it is absent, finding the start.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use deltalake::Path;
use deltalake::logstore::object_store::{
    Error as StoreError, Extensions, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions,
};
use deltalake::logstore::{LogStoreRef, commit_uri_from_version};
use futures::TryStreamExt as _;
use serde::Deserialize;

use super::LakeError;
use super::disk::Disk;
use super::table::ReadAt;
use crate::processor::Share;

const FOLDER: &str = "_delta_log";

/// One table's log.
#[derive(Clone)]
pub(super) struct Log {
    pub(super) table: Arc<str>,
    pub(super) store: LogStoreRef,
    /// The disk that it lies on, where that is forced, and the path of the table's folder there.
    pub(super) disk: Option<(Disk, Path)>,
    /// Whose turns the table's files are written and read in.
    pub(super) share: Share,
}

/// What became of a put.
pub(super) enum Put {
    Done,
    /// A file of that version is there, ours by an earlier attempt or another's.
    Exists,
}

/// Where to begin reading a log.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Start {
    /// The newest checkpoint that is complete: its version and its files.
    pub(super) checkpoint: Option<(i64, Vec<Path>)>,
    /// The last version that there is.
    pub(super) end: i64,
}

#[derive(Deserialize)]
struct Hint {
    version: i64,
}

impl Log {
    pub(super) fn objects(&self) -> Arc<dyn ObjectStore> {
        self.store.object_store(None)
    }

    /// The bytes of a version; `None` if there is no such file.
    pub(super) async fn read(&self, version: i64) -> Result<Option<Bytes>, LakeError> {
        let bytes = self.store.read_commit_entry(number(version)).await;
        bytes.map_err(|error| LakeError::store("read", self.name(version), error))
    }

    /// Puts a version if it is absent, as the log was known at `read_at`: a disk gives the file no name
    /// where that is long ago by then. An error says nothing about whether it is there now.
    pub(super) async fn put(
        &self,
        version: i64,
        bytes: Bytes,
        read_at: ReadAt,
    ) -> Result<Put, LakeError> {
        // As deltalake's log store puts it, which has no way to say since when.
        let mut extensions = Extensions::new();
        extensions.insert(read_at);
        let options = PutOptions {
            mode: PutMode::Create,
            extensions,
            ..PutOptions::default()
        };
        let path = commit_uri_from_version(Some(number(version)));
        match self.objects().put_opts(&path, bytes.into(), options).await {
            Ok(_) => Ok(Put::Done),
            Err(StoreError::AlreadyExists { .. }) => Ok(Put::Exists),
            Err(error) => Err(LakeError::store("write", self.name(version), error)),
        }
    }

    /// Has a version that was found there outlive a loss of power. Whoever put it may have been
    /// killed, or had an error, before that was so; what follows relies on it.
    pub(super) async fn settle(&self, version: i64) -> Result<(), LakeError> {
        let Some((disk, folder)) = &self.disk else {
            return Ok(());
        };
        let path = format!("{folder}/{FOLDER}/{version:020}.json");
        let settled = match Path::parse(&path) {
            Ok(path) => disk.settle(&path).await,
            Err(error) => Err(error.into()),
        };
        settled.map_err(|error| LakeError::store("force to disk", self.name(version), error))
    }

    /// Finds the newest complete checkpoint of a version below `below`, and the log's end. `None`:
    /// there is no log.
    ///
    /// # Errors
    /// `HoleInLog` if versions are missing between the two.
    pub(super) async fn start(&self, below: i64) -> Result<Option<Start>, LakeError> {
        // A hint that names a checkpoint that is gone must not make the table unreadable.
        if let Some(hint) = self.hint().await?
            && hint < below
            && let Ok(Some(start)) = start_of(&self.list(Some(hint)).await?, below)
            && start.checkpoint.is_some()
        {
            return Ok(Some(start));
        }
        start_of(&self.list(None).await?, below).map_err(|missing| LakeError::HoleInLog {
            table: self.table.to_string(),
            missing,
        })
    }

    /// The log's files, or only those of version `from` and later.
    async fn list(&self, from: Option<i64>) -> Result<Vec<Path>, LakeError> {
        let folder = Path::from(FOLDER);
        let objects = self.objects();
        let listed = match from {
            Some(version) => {
                let offset = Path::from(format!("{FOLDER}/{version:020}"));
                objects.list_with_offset(Some(&folder), &offset)
            }
            None => objects.list(Some(&folder)),
        };
        let listed = listed.map_ok(|object| object.location).try_collect().await;
        listed.map_err(|error| LakeError::store("list", format!("{}/{FOLDER}", self.table), error))
    }

    /// Everything that the log's folder holds.
    pub(super) async fn everything(&self) -> Result<Sorted, LakeError> {
        Ok(sort(&self.list(None).await?))
    }

    /// Where a version lies, from the table's folder.
    pub(super) fn path_of(version: i64) -> Path {
        Path::from(format!("{FOLDER}/{version:020}.json"))
    }

    /// Where the last checkpoint is noted.
    pub(super) fn hint_path() -> Path {
        Path::from(format!("{FOLDER}/_last_checkpoint"))
    }

    /// The version of the last checkpoint that its writer noted. Only a hint: it may be old, and
    /// a damaged one is as none.
    pub(super) async fn hint(&self) -> Result<Option<i64>, LakeError> {
        let path = Self::hint_path();
        let failed = |error| LakeError::store("read", format!("{}/{path}", self.table), error);
        let bytes = match self.objects().get(&path).await {
            Ok(found) => found.bytes().await.map_err(failed)?,
            Err(StoreError::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        Ok(serde_json::from_slice::<Hint>(&bytes)
            .ok()
            .map(|hint| hint.version))
    }

    fn name(&self, version: i64) -> String {
        format!("{}/{FOLDER}/{version:020}.json", self.table)
    }
}

/// A version as deltalake counts it. The tail never asks for one below zero.
fn number(version: i64) -> u64 {
    u64::try_from(version).unwrap_or(0)
}

/// Sorts out a listing. The error is the first version that is missing.
fn start_of(listed: &[Path], below: i64) -> Result<Option<Start>, i64> {
    let Sorted {
        commits,
        checkpoints,
    } = sort(listed);
    let newest = checkpoints.into_iter().rev();
    let checkpoint = newest.into_iter().find(|(version, _)| *version < below);
    let mut end = checkpoint.as_ref().map_or(-1, |(version, _)| *version);
    for version in commits {
        if version <= end {
            continue;
        }
        if version != end + 1 {
            return Err(end + 1);
        }
        end = version;
    }
    Ok((end >= 0).then_some(Start { checkpoint, end }))
}

/// What a log's folder holds, in the order of versions.
pub(super) struct Sorted {
    pub(super) commits: Vec<i64>,
    /// Those of which all parts are there.
    pub(super) checkpoints: Vec<(i64, Vec<Path>)>,
}

fn sort(listed: &[Path]) -> Sorted {
    let mut commits = Vec::new();
    let mut parts: BTreeMap<(i64, u32), Vec<Path>> = BTreeMap::new();
    for path in listed {
        match path.filename().and_then(kind_of) {
            Some(Kind::Commit(version)) => commits.push(version),
            Some(Kind::Checkpoint {
                version,
                parts: count,
            }) => {
                parts
                    .entry((version, count))
                    .or_default()
                    .push(path.clone());
            }
            None => {}
        }
    }
    commits.sort_unstable();
    let complete = parts
        .into_iter()
        .filter(|((_, count), found)| *count as usize == found.len());
    Sorted {
        commits,
        checkpoints: complete
            .map(|((version, _), found)| (version, found))
            .collect(),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Commit(i64),
    Checkpoint { version: i64, parts: u32 },
}

fn kind_of(name: &str) -> Option<Kind> {
    let (digits, rest) = name.split_once('.')?;
    if digits.len() != 20 {
        return None;
    }
    let version = digits.parse().ok()?;
    match rest {
        "json" => Some(Kind::Commit(version)),
        "checkpoint.parquet" => Some(Kind::Checkpoint { version, parts: 1 }),
        rest => {
            let numbers = rest.strip_prefix("checkpoint.")?.strip_suffix(".parquet")?;
            let (_, parts) = numbers.split_once('.')?;
            Some(Kind::Checkpoint {
                version,
                parts: parts.parse().ok()?,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(names: &[&str]) -> Vec<Path> {
        names
            .iter()
            .map(|name| Path::from(format!("{FOLDER}/{name}")))
            .collect()
    }

    fn commit(version: i64) -> String {
        format!("{version:020}.json")
    }

    #[test]
    fn the_newest_complete_checkpoint_is_where_reading_begins() {
        let names = [
            commit(3),
            commit(4),
            commit(5),
            format!("{:020}.checkpoint.parquet", 3),
            format!("{:020}.checkpoint.{:010}.{:010}.parquet", 4, 1, 2),
        ];
        let names = names.iter().map(String::as_str).collect::<Vec<_>>();
        let start = start_of(&listing(&names), i64::MAX).unwrap().unwrap();
        assert_eq!(start.end, 5);
        assert_eq!(start.checkpoint.unwrap().0, 3, "the one of 4 lacks a part");
    }

    #[test]
    fn a_hole_is_named() {
        let names = [commit(0), commit(2)];
        assert_eq!(
            start_of(&listing(&[&names[0], &names[1]]), i64::MAX),
            Err(1)
        );
        assert_eq!(start_of(&listing(&[&names[1]]), i64::MAX), Err(0));
        assert_eq!(start_of(&[], i64::MAX), Ok(None));
    }

    #[test]
    fn other_names_in_the_log_are_passed_over() {
        for name in [
            "_last_checkpoint",
            "00000000000000000001.crc",
            "_commits",
            "1.json",
        ] {
            assert_eq!(kind_of(name), None, "{name}");
        }
    }
}
