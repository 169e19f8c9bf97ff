//! What keeps a log short and a lake small, away from the path of commits.
//!
//! A checkpoint lets others open the table without reading each version; then old versions can go,
//! and with them the files that were replaced longer ago than anyone may still be reading.

use std::time::Duration;

use deltalake::logstore::object_store::{Error as StoreError, ObjectStoreExt as _};
use deltalake::{DeltaTable, DeltaTableError, Path, checkpoints};

use super::log::Log;
use super::{File, Lake, LakeError, Packing, Table, fault, protocol};

/// Versions between checkpoints: opening a table reads at most so many, one by one.
const CHECKPOINT_EVERY: i64 = 200;

/// Files of fewer rows are packed, of a table that gets a row at a time: each row a few times on its way
/// into one of more, however many rows there are.
const PACKED_ROWS: i64 = 1_000;

/// Versions between clean-ups, each of which lists the whole log.
const CLEAN_EVERY: i64 = 2_000;

/// The last versions are kept whatever their age: a committer that slept may be among them.
const VERSIONS_KEPT: i64 = 10_000;

/// What Delta keeps where a table does not say.
const LOG_RETENTION: Duration = Duration::from_secs(30 * 24 * 60 * 60);
const FILE_RETENTION: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// No table's log is kept for less.
const SHORTEST_LOG_RETENTION: Duration = Duration::from_secs(24 * 60 * 60);

/// Work that is due on a table. It owns what it needs, so it can run beside further commits.
#[must_use = "nothing is done until it is run"]
pub struct Maintenance {
    log: Log,
    version: i64,
    clean: bool,
    log_retention: Duration,
    replaced: Vec<String>,
}

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Maintained {
    pub checkpoint: Option<i64>,
    pub versions_removed: usize,
    pub files_removed: usize,
}

impl Lake {
    /// Keeps house for one who adds rows to a table, once enough were added: opening it must not take
    /// longer with each row that there ever was. What fails is said in the log.
    pub async fn keep_house_of(&self, table: &mut Table) {
        if table.wants_keeping()
            && let Err(error) = self.keep_house(table.path()).await
        {
            tracing::warn!(%error, "housekeeping failed; nothing is lost, it is tried again later");
        }
    }

    /// All that keeps a table quick to open, at once: small files are packed, a checkpoint is written,
    /// and what was replaced long ago is removed. It opens the table for itself, since whoever only
    /// adds rows has forgotten which files there are.
    ///
    /// # Errors
    /// What the lake says. Nothing is lost by it.
    pub(super) async fn keep_house(&self, path: &str) -> Result<(), LakeError> {
        let Some(mut table) = self.open_table(path).await? else {
            return Ok(());
        };
        let mut packed = Ok(());
        let is_small = |file: &File| file.rows.is_some_and(|rows| rows < PACKED_ROWS);
        if let Some(compaction) = table.compaction_of(is_small, Packing::Dense) {
            packed = match compaction.run().await {
                Ok(done) => done.commit(&mut table).await.map(drop),
                Err(error) => Err(error),
            };
        }
        // What can't be packed is no reason to do without a checkpoint.
        table.maintenance_now().run().await?;
        packed
    }
}

impl Table {
    fn is_maintenance_due(&self) -> bool {
        self.version() - self.maintained >= checkpoint_every()
    }

    /// Whether so much was committed that [`Lake::keep_house`] is worth it. Asked and answered, it counts
    /// as done.
    pub(super) fn wants_keeping(&mut self) -> bool {
        let wanted = self.is_maintenance_due();
        if wanted {
            self.maintained = self.version();
        }
        wanted
    }

    /// The work that is due: every 200 versions a checkpoint, and the removal of files that were
    /// replaced longer ago than the table keeps them; every 2,000 versions the log's clean-up.
    /// What is handed out counts as done, so run it.
    pub fn maintenance(&mut self) -> Option<Maintenance> {
        self.is_maintenance_due().then(|| self.maintenance_now())
    }

    /// All of that work, due or not.
    pub fn maintenance_now(&mut self) -> Maintenance {
        let version = self.version();
        let clean = version - self.cleaned >= clean_every();
        self.maintained = version;
        if clean {
            self.cleaned = version;
        }
        let log_retention = self.duration("delta.logRetentionDuration", LOG_RETENTION);
        Maintenance {
            replaced: self.expired(),
            log: self.log.clone(),
            version,
            clean,
            log_retention: log_retention.max(SHORTEST_LOG_RETENTION),
        }
    }

    /// Takes out the paths whose time is over. A path that is live again is none of them.
    fn expired(&mut self) -> Vec<String> {
        let retention = self.duration("delta.deletedFileRetentionDuration", FILE_RETENTION);
        let before = now_less(retention);
        let live = &mut self.state.live;
        let expired = live.tombstones.take(before).into_iter();
        expired
            .filter(|path| !live.files.contains_key(path))
            .collect()
    }

    fn duration(&self, property: &str, otherwise: Duration) -> Duration {
        let told = self.properties().get(property);
        told.and_then(|text| protocol::interval(text))
            .unwrap_or(otherwise)
    }
}

impl Maintenance {
    /// Does the work. It can be dropped or fail at any point: nothing that the table needs is
    /// removed before what replaces it is durable.
    ///
    /// # Errors
    /// `Store` if the checkpoint can't be written, or a file can't be removed.
    pub async fn run(self) -> Result<Maintained, LakeError> {
        let mut done = Maintained::default();
        let near = self.version - checkpoint_every() / 2;
        // Hosts that share a table come to this at the same time; one checkpoint is enough.
        if self.log.hint().await?.is_none_or(|last| last < near) {
            fault::point("checkpoint")?;
            write_checkpoint(&self.log, self.version).await?;
            fault::point("checkpoint.done")?;
            done.checkpoint = Some(self.version);
        }
        if self.clean && self.version > versions_kept() {
            fault::point("clean")?;
            done.versions_removed = self.clean_log().await?;
            fault::point("clean.done")?;
        }
        let objects = self.log.objects();
        for path in &self.replaced {
            let failed =
                |error| LakeError::store("remove", format!("{}/{path}", self.log.table), error);
            let location = Path::parse(path).map_err(|error| failed(error.into()))?;
            match objects.delete(&location).await {
                Ok(()) => done.files_removed += 1,
                Err(StoreError::NotFound { .. }) => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(done)
    }

    async fn clean_log(&self) -> Result<usize, LakeError> {
        let keep = (self.version - versions_kept()).unsigned_abs();
        let before = now_less(self.log_retention);
        let store = &*self.log.store;
        let cleaned = checkpoints::cleanup_expired_logs_for(keep, store, before, None).await;
        cleaned.map_err(|error| LakeError::store("clean the log of", &self.log.table, error))
    }
}

/// Writes the checkpoint of a version, and notes it as the last.
pub(super) async fn write_checkpoint(log: &Log, version: i64) -> Result<(), LakeError> {
    let (name, log, version) = (log.table.clone(), log.clone(), version.unsigned_abs());
    let failed = |error: DeltaTableError| LakeError::store("write a checkpoint of", &name, error);
    let runtime = Runtime::of(&log).map_err(|error| failed(error.into()))?;
    // Building a checkpoint holds its thread for as long as it takes.
    let task = tokio::task::spawn_blocking(move || {
        runtime.handle().block_on(async {
            let mut table = DeltaTable::new(log.store.clone());
            table.load_version(version).await?;
            checkpoints::create_checkpoint(&table, None).await
        })
    });
    task.await?.map_err(failed)
}

/// Where a checkpoint is written.
enum Runtime {
    /// The host's own. A store over the network keeps its connections there.
    Host(tokio::runtime::Handle),
    /// One of its own, whose threads end with it. All versions since the last checkpoint are read at
    /// once, and each read of a local disk is a thread: the host's own pool would keep a hundred.
    Own(tokio::runtime::Runtime),
}

impl Runtime {
    fn of(log: &Log) -> std::io::Result<Self> {
        if log.disk.is_none() {
            return Ok(Self::Host(tokio::runtime::Handle::current()));
        }
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        runtime.worker_threads(1).max_blocking_threads(4);
        runtime
            .thread_name("assay-checkpoint")
            .build()
            .map(Self::Own)
    }

    fn handle(&self) -> &tokio::runtime::Handle {
        match self {
            Self::Host(handle) => handle,
            Self::Own(runtime) => runtime.handle(),
        }
    }
}

fn checkpoint_every() -> i64 {
    fault::number("ASSAY_CHECKPOINT_EVERY", CHECKPOINT_EVERY)
}

fn clean_every() -> i64 {
    fault::number("ASSAY_CLEAN_EVERY", CLEAN_EVERY)
}

fn versions_kept() -> i64 {
    fault::number("ASSAY_VERSIONS_KEPT", VERSIONS_KEPT)
}

fn now_less(age: Duration) -> i64 {
    let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
    chrono::Utc::now().timestamp_millis().saturating_sub(age)
}
