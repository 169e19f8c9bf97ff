//! The state of a table at one version, and how a version moves it on.

use std::collections::BTreeMap;

use arrow::datatypes::SchemaRef;
use deltalake::logstore::object_store::ObjectStoreExt as _;
use futures::{StreamExt as _, stream};

use super::action::{self, Action, Add, CommitInfo, Metadata, Protocol};
use super::file::{File, Names};
use super::log::Log;
use super::tombstones::Tombstones;
use super::{LakeError, checkpoint, columns, path, protocol};

/// How many versions are fetched at once when a table is opened.
const READ_AHEAD: usize = 16;

/// How often a load is tried again when the log's clean-up took a file away under it.
const LOAD_ATTEMPTS: u32 = 3;

/// How far an application has come, as the table knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transaction {
    pub version: i64,
    /// In milliseconds since 1970.
    pub last_updated: Option<i64>,
}

/// One version that others put, or all that happened while the tail was away.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The version, or the last one of a reload.
    pub version: i64,
    /// The id in its commitInfo: a batch's, or what another engine put there.
    pub batch_id: Option<String>,
    pub operation: Option<String>,
    pub added: Vec<File>,
    /// Paths that are no longer live.
    pub removed: Vec<String>,
    /// App id and version.
    pub transactions: Vec<(String, i64)>,
    /// The schema, the properties or the protocol may be others now.
    pub metadata_changed: bool,
    /// The tail was read anew, so this is the difference of two states, not one version.
    pub reloaded: bool,
}

/// A file that a version removed, and since when, in milliseconds since 1970.
struct Removed {
    path: String,
    since: i64,
}

/// A table at one version.
pub(super) struct State {
    pub(super) version: i64,
    pub(super) protocol: Protocol,
    pub(super) metadata: Metadata,
    pub(super) schema: SchemaRef,
    pub(super) live: Live,
    /// The version of the newest checkpoint that was there at the last load.
    pub(super) checkpoint: i64,
}

/// What versions add up to.
#[derive(Default)]
pub(super) struct Live {
    pub(super) transactions: BTreeMap<String, Transaction>,
    pub(super) files: BTreeMap<String, File>,
    pub(super) tombstones: Tombstones,
    /// Why nothing may be committed to this table any more.
    pub(super) stopped: Option<String>,
    names: Names,
}

/// What one version says, checked and ready to be taken in.
#[derive(Default)]
struct Changes {
    info: CommitInfo,
    protocol: Option<Protocol>,
    metadata: Option<Metadata>,
    txns: Vec<action::Txn>,
    added: Vec<File>,
    removed: Vec<Removed>,
}

impl State {
    /// Reads a table from its newest checkpoint and the versions after it. `None`: no table there.
    ///
    /// # Errors
    /// `TornLog`, `HoleInLog` and `Checkpoint` for a damaged log, `Refused` for a table that the
    /// allow-list keeps out.
    pub(super) async fn load(log: &Log) -> Result<Option<Self>, LakeError> {
        let mut attempt = 1;
        let mut below = i64::MAX;
        let mut damage = None;
        loop {
            match Self::load_once(log, below).await {
                Err(Failure::Other(LakeError::HoleInLog { .. })) if attempt < LOAD_ATTEMPTS => {
                    attempt += 1;
                }
                // Without the checkpoint the versions before it may do, where they are there.
                Err(Failure::Checkpoint(version, error)) => {
                    tracing::warn!(
                        table = %log.table, %error,
                        "reading the versions before it instead; `assay table repair` heals the table for others too"
                    );
                    below = version;
                    damage.get_or_insert(error);
                }
                Err(Failure::Other(error)) => return Err(damage.unwrap_or(error)),
                Ok(None) => return damage.map_or(Ok(None), Err),
                Ok(loaded) => return Ok(loaded),
            }
        }
    }

    async fn load_once(log: &Log, below: i64) -> Result<Option<Self>, Failure> {
        let Some(start) = log.start(below).await? else {
            return Ok(None);
        };
        let mut draft = Draft::default();
        let mut first = 0;
        let mut checkpoint = -1;
        if let Some((version, files)) = start.checkpoint {
            for file in files {
                let actions = read_checkpoint(log, file)
                    .await
                    .map_err(|error| match error {
                        LakeError::Checkpoint { .. } => Failure::Checkpoint(version, error),
                        error => Failure::Other(error),
                    })?;
                draft.take(&log.table, version, actions)?;
            }
            first = version + 1;
            checkpoint = version;
        }
        let mut versions = stream::iter(first..=start.end)
            .map(|version| async move { (version, log.read(version).await) })
            .buffered(READ_AHEAD);
        while let Some((version, bytes)) = versions.next().await {
            let bytes = bytes?.ok_or_else(|| LakeError::HoleInLog {
                table: log.table.to_string(),
                missing: version,
            })?;
            draft.take(
                &log.table,
                version,
                action::parse(&log.table, version, &bytes)?,
            )?;
        }
        if start.end > checkpoint {
            log.settle(start.end).await?;
        }
        let state = draft.finish(&log.table, start.end, checkpoint)?;
        Ok(Some(state))
    }

    /// The table that a checkpoint's actions and those of the versions after it make.
    ///
    /// # Errors
    /// `Refused`, where they do not make a table that can be worked with.
    pub(super) fn replay(
        log: &Log,
        checkpoint: Option<(i64, Vec<Action>)>,
        versions: Vec<(i64, Vec<Action>)>,
    ) -> Result<Self, LakeError> {
        let mut draft = Draft::default();
        let base = checkpoint.as_ref().map_or(-1, |(version, _)| *version);
        let mut end = base;
        for (version, actions) in checkpoint.into_iter().chain(versions) {
            draft.take(&log.table, version, actions)?;
            end = version;
        }
        draft.finish(&log.table, end, base)
    }

    /// Moves the state on by the version after its own. Nothing is changed by an error.
    ///
    /// # Errors
    /// `Refused` for a file that can't be read here.
    pub(super) fn apply(&mut self, table: &str, actions: Vec<Action>) -> Result<Seen, LakeError> {
        let version = self.version + 1;
        let changes = Changes::of(table, actions, &mut self.live.names)?;
        let mut seen = Seen {
            version,
            batch_id: changes.info.txn_id.clone(),
            operation: changes.info.operation.clone(),
            added: changes.added.clone(),
            removed: changes
                .removed
                .iter()
                .map(|gone| gone.path.clone())
                .collect(),
            transactions: changes
                .txns
                .iter()
                .map(|t| (t.app_id.clone(), t.version))
                .collect(),
            ..Seen::default()
        };
        let (protocol, metadata) = self.live.take(version, changes);
        self.version = version;
        if metadata.is_some() || protocol.is_some() {
            seen.metadata_changed = true;
            self.redefine(table, protocol, metadata);
        }
        Ok(seen)
    }

    fn redefine(&mut self, table: &str, protocol: Option<Protocol>, metadata: Option<Metadata>) {
        self.protocol = protocol.unwrap_or_else(|| self.protocol.clone());
        if let Some(metadata) = metadata {
            if metadata.id != self.metadata.id
                || metadata.partition_columns != self.metadata.partition_columns
            {
                let reason = format!("version {} made another table of it", self.version);
                self.live.stopped.get_or_insert(reason);
            }
            self.metadata = metadata;
        }
        let checked = protocol::check(table, &self.protocol, &self.metadata)
            .and_then(|()| columns::to_arrow(&self.metadata.schema_string));
        let reason = match checked {
            Ok(schema) => {
                self.schema = schema;
                return;
            }
            Err(LakeError::Refused { reason, .. }) => reason,
            Err(error) => error.to_string(),
        };
        self.live.stopped.get_or_insert(reason);
    }

    /// What a reload changed, as one thing seen.
    pub(super) fn since(&self, before: &Self) -> Seen {
        let (now, then) = (&self.live, &before.live);
        let fresh = now
            .files
            .iter()
            .filter(|(path, _)| !then.files.contains_key(*path));
        let gone = then
            .files
            .keys()
            .filter(|path| !now.files.contains_key(*path));
        let moved = now.transactions.iter().filter(|(app_id, transaction)| {
            then.transactions.get(*app_id).map(|t| t.version) != Some(transaction.version)
        });
        Seen {
            version: self.version,
            added: fresh.map(|(_, file)| file.clone()).collect(),
            removed: gone.cloned().collect(),
            transactions: moved.map(|(id, txn)| (id.clone(), txn.version)).collect(),
            metadata_changed: self.metadata != before.metadata || self.protocol != before.protocol,
            reloaded: true,
            ..Seen::default()
        }
    }
}

impl Live {
    /// Takes a version in and gives back what it says about the table itself.
    fn take(&mut self, version: i64, changes: Changes) -> (Option<Protocol>, Option<Metadata>) {
        if let Some(reason) = stop_of(&changes.info, version) {
            self.stopped.get_or_insert(reason);
        }
        for txn in changes.txns {
            let noted = Transaction {
                version: txn.version,
                last_updated: txn.last_updated,
            };
            self.transactions.insert(txn.app_id, noted);
        }
        // A removal goes before an addition of the same path in one version.
        for gone in changes.removed {
            self.files.remove(&gone.path);
            self.tombstones.push(&gone.path, gone.since);
        }
        for file in changes.added {
            self.files.insert(file.path.clone(), file);
        }
        (changes.protocol, changes.metadata)
    }
}

impl Changes {
    fn of(table: &str, actions: Vec<Action>, names: &mut Names) -> Result<Self, LakeError> {
        let mut changes = Self::default();
        for action in actions {
            match action {
                Action::CommitInfo(info) => changes.info = info,
                Action::Protocol(protocol) => changes.protocol = Some(protocol),
                Action::Metadata(metadata) => changes.metadata = Some(metadata),
                Action::Txn(txn) => changes.txns.push(txn),
                Action::Add(add) => changes.added.push(file_of(table, add, names)?),
                Action::Remove(remove) => changes.removed.push(Removed {
                    path: local(table, &remove.path)?,
                    since: remove.deletion_timestamp.unwrap_or(i64::MAX),
                }),
            }
        }
        Ok(changes)
    }
}

/// Why a table could not be read from where it was begun.
enum Failure {
    /// The checkpoint of this version is damaged.
    Checkpoint(i64, LakeError),
    Other(LakeError),
}

impl From<LakeError> for Failure {
    fn from(error: LakeError) -> Self {
        Self::Other(error)
    }
}

/// A state that may lack what a table must have, while its log is read.
#[derive(Default)]
struct Draft {
    protocol: Option<Protocol>,
    metadata: Option<Metadata>,
    live: Live,
}

impl Draft {
    fn take(&mut self, table: &str, version: i64, actions: Vec<Action>) -> Result<(), LakeError> {
        let changes = Changes::of(table, actions, &mut self.live.names)?;
        let (protocol, metadata) = self.live.take(version, changes);
        self.protocol = protocol.or(self.protocol.take());
        self.metadata = metadata.or(self.metadata.take());
        Ok(())
    }

    fn finish(self, table: &str, version: i64, checkpoint: i64) -> Result<State, LakeError> {
        let lacking = |what: &str| LakeError::Refused {
            table: table.to_owned(),
            reason: format!("its log holds no {what} action"),
        };
        let protocol = self.protocol.ok_or_else(|| lacking("protocol"))?;
        let metadata = self.metadata.ok_or_else(|| lacking("metaData"))?;
        protocol::check(table, &protocol, &metadata)?;
        let schema = columns::to_arrow(&metadata.schema_string)?;
        Ok(State {
            version,
            protocol,
            metadata,
            schema,
            live: self.live,
            checkpoint,
        })
    }
}

pub(super) async fn read_checkpoint(
    log: &Log,
    file: deltalake::Path,
) -> Result<Vec<Action>, LakeError> {
    let path = format!("{}/{file}", log.table);
    let failed = |error| LakeError::store("read", &path, error);
    let bytes = log
        .objects()
        .get(&file)
        .await
        .map_err(failed)?
        .bytes()
        .await
        .map_err(failed)?;
    log.share
        .spawn(move || checkpoint::read(&path, bytes))
        .await?
}

fn file_of(table: &str, add: Add, names: &mut Names) -> Result<File, LakeError> {
    let path = local(table, &add.path)?;
    if add.deletion_vector.is_some() {
        return Err(LakeError::Refused {
            table: table.to_owned(),
            reason: format!(
                "its file {path} has a deletion vector; rewrite it (REORG … APPLY (PURGE))"
            ),
        });
    }
    let kept = names.keep(add.stats.as_deref());
    Ok(File {
        path,
        size: add.size,
        partition_values: add.partition_values,
        rows: kept.rows,
        data_change: add.data_change,
        modified: add.modification_time,
        bounds: kept.bounds,
        stats: None,
        schema: None,
    })
}

fn local(table: &str, uri: &str) -> Result<String, LakeError> {
    path::from_uri(uri).ok_or_else(|| LakeError::Refused {
        table: table.to_owned(),
        reason: format!(
            "its log names {uri:?}, which does not lie in the table (a shallow clone?)"
        ),
    })
}

/// Why nothing may be committed after a version with this description: what was taken back or
/// replaced is gone, but the progress of those who wrote it is not.
fn stop_of(info: &CommitInfo, version: i64) -> Option<String> {
    let operation = info.operation.as_deref()?;
    let upper = operation.to_ascii_uppercase();
    (upper.starts_with("RESTORE") || upper.contains("REPLACE TABLE")).then(|| {
        format!(
            "version {version} is a {operation}: rows may be missing that progress says are there; \
             move the table away and let it be built again"
        )
    })
}
