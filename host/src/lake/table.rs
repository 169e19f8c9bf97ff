//! The tail of one table's log: what this process knows of the table, and how it keeps up.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use serde_json::json;

use super::action::{self, Body, Format, Metadata};
use super::log::{Log, Put};
use super::state::State;
use super::{
    File, FileReader, FileWriter, Lake, LakeError, PartitionValues, Seen, Transaction, columns,
    protocol,
};
use crate::processor::Share;

/// A tail older than this is read anew before it is used: the log's clean-up may have taken away
/// versions that it never saw, and a put into such a hole would vanish.
pub(super) const STALE: Duration = Duration::from_secs(10 * 60);

/// How often a table's first version is put while the store says that it exists and has none.
const CREATE_ATTEMPTS: u32 = 8;

/// The retention of the log for tables that do not say: the shortest that is allowed, since a
/// table that is committed to every second has 86,400 versions a day.
const LOG_RETENTION: (&str, &str) = ("delta.logRetentionDuration", "interval 1 days");

/// What a table is to be when it is created.
#[derive(Clone, Debug)]
pub struct TableSpec {
    /// The columns in order, partition columns among them. The host's own `_` columns belong
    /// first: statistics are kept for the first 32.
    pub schema: SchemaRef,
    pub partition_by: Vec<String>,
    pub description: String,
    /// Table properties, `delta.…` among them.
    pub properties: BTreeMap<String, String>,
}

/// A table as of the version that its tail has read. One owner; commits go through it.
pub struct Table {
    pub(super) log: Log,
    pub(super) state: State,
    /// What others did that was read but not handed out yet.
    pub(super) seen: Vec<Seen>,
    pub(super) read_at: ReadAt,
    /// A put may or may not have become durable: the log must be read on before the next.
    pub(super) unsettled: bool,
    pub(super) maintained: i64,
    pub(super) cleaned: i64,
    /// The version at which small files were looked for last.
    pub(super) looked: i64,
    /// Files that could not be packed because they are damaged.
    pub(super) damaged: Damaged,
    /// The version for which the live files' bytes were added up, and the sum.
    sized: (i64, u64),
}

/// Paths of files that are damaged, as those find out who run beside the table.
pub(super) type Damaged = Arc<Mutex<BTreeSet<String>>>;

/// When the tail was last known to be at the log's end. Two clocks, since a machine that sleeps
/// stops one of them.
#[derive(Clone, Copy)]
pub(super) struct ReadAt {
    pub(super) monotonic: Instant,
    pub(super) wall: SystemTime,
}

impl ReadAt {
    pub(super) fn now() -> Self {
        Self {
            monotonic: Instant::now(),
            wall: SystemTime::now(),
        }
    }

    pub(super) fn is_stale(self) -> bool {
        // A wall clock that was set back tells nothing: that counts as stale.
        self.monotonic.elapsed() > STALE
            || self.wall.elapsed().is_ok_and(|age| age > STALE)
            || self.wall > SystemTime::now() + STALE
    }
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table")
            .field("path", &self.path())
            .field("version", &self.version())
            .finish_non_exhaustive()
    }
}

impl Lake {
    /// Opens a table at its last version. `None`: there is no table there.
    ///
    /// # Errors
    /// `Refused` for a table that needs what the committer does not do; `TornLog`, `HoleInLog` and
    /// `Checkpoint` for a damaged log. A table with a RESTORE in its log can be opened and read,
    /// but not followed or committed to.
    pub async fn open_table(&self, path: &str) -> Result<Option<Table>, LakeError> {
        let log = self.log(path)?;
        let read_at = ReadAt::now();
        Ok(State::load(&log).await?.map(|state| Table {
            maintained: state.checkpoint,
            cleaned: state.checkpoint,
            looked: 0,
            damaged: Damaged::default(),
            sized: (-1, 0),
            log,
            state,
            seen: Vec::new(),
            read_at,
            unsettled: false,
        }))
    }

    /// Creates a table, or opens it if it exists, also if another just made it.
    ///
    /// # Errors
    /// As `open_table`; `PartitionColumns` and `ColumnType` if the table that exists is another
    /// than `spec` says. Columns that only one of the two has are fine.
    pub async fn create_table(&self, path: &str, spec: &TableSpec) -> Result<Table, LakeError> {
        if let Some(table) = self.open_table(path).await? {
            return table.checked(spec);
        }
        let log = self.log(path)?;
        let first = Bytes::from(first_version(path, spec)?);
        for _ in 0..CREATE_ATTEMPTS {
            let put = log.put(0, first.clone(), ReadAt::now()).await;
            let table = self.open_table(path).await?;
            match (put, table) {
                (_, Some(table)) => return table.checked(spec),
                (Err(error), None) => return Err(error),
                // Some stores turn a put away for another that is under way and then fails: the
                // version is still free.
                (Ok(Put::Done | Put::Exists), None) => {}
            }
        }
        Err(LakeError::HoleInLog {
            table: path.to_owned(),
            missing: 0,
        })
    }
}

impl Table {
    /// Where it lies in the lake.
    pub fn path(&self) -> &str {
        &self.log.table
    }

    pub fn version(&self) -> i64 {
        self.state.version
    }

    pub fn schema(&self) -> &SchemaRef {
        &self.state.schema
    }

    pub fn partition_by(&self) -> &[String] {
        &self.state.metadata.partition_columns
    }

    /// How far each application has come, by its id.
    pub fn transactions(&self) -> &BTreeMap<String, Transaction> {
        &self.state.live.transactions
    }

    /// The table's properties.
    pub fn properties(&self) -> &BTreeMap<String, String> {
        &self.state.metadata.configuration
    }

    /// Whose turns its files are written and read in.
    pub fn share(&self) -> &Share {
        &self.log.share
    }

    /// The live files, by path.
    pub fn files(&self) -> impl Iterator<Item = &File> {
        self.state.live.files.values()
    }

    /// What the live files have together, in bytes.
    pub fn live_bytes(&mut self) -> u64 {
        if self.sized.0 != self.version() {
            let sizes = self.files().map(|file| file.size.unsigned_abs());
            self.sized = (self.version(), sizes.sum());
        }
        self.sized.1
    }

    /// Forgets which files are live, and which were: for one who adds to the table alone, or only wants to
    /// know what it declares. What is read of the log from now on is handed out as before.
    pub fn forget_files(&mut self) {
        self.state.live.files.clear();
        // What is forgotten can't be told from what is live again, so nothing is tidied away either.
        self.state.live.tombstones.clear();
    }

    /// The live file at a path.
    pub fn file(&self, path: &str) -> Option<&File> {
        self.state.live.files.get(path)
    }

    /// The live files whose partition has all these values.
    pub fn files_in(&self, partition: &PartitionValues) -> impl Iterator<Item = &File> {
        self.files().filter(move |file| file.lies_in(partition))
    }

    /// Writes files for this table, under its schema as of now.
    pub fn writer(&self) -> FileWriter {
        FileWriter::new(&self.log, &self.state)
    }

    /// Reads files of this table, under its schema as of now.
    pub fn reader(&self) -> FileReader {
        FileReader::new(&self.log, &self.state)
    }

    /// Reads the log on to its end. What others committed since it was last handed out comes back
    /// in order, also what `commit` had read; each once, either here or in `Committed::seen`.
    ///
    /// # Errors
    /// `Refused` from a RESTORE, a replaced table or a foreign feature on; `TornLog`; `Store`.
    /// The tail stays where it came to, so it can be called again.
    pub async fn refresh(&mut self) -> Result<Vec<Seen>, LakeError> {
        self.read_on().await?;
        self.go_on()?;
        Ok(std::mem::take(&mut self.seen))
    }

    /// An error if the log says that nothing may be committed any more.
    pub(super) fn go_on(&self) -> Result<(), LakeError> {
        match &self.state.live.stopped {
            None => Ok(()),
            Some(reason) => Err(LakeError::Refused {
                table: self.log.table.to_string(),
                reason: reason.clone(),
            }),
        }
    }

    /// Reads all versions that there are after the tail's own.
    pub(super) async fn read_on(&mut self) -> Result<(), LakeError> {
        loop {
            let read_at = ReadAt::now();
            let version = self.state.version + 1;
            let found = self.log.read(version).await?;
            // After each read: the process may have stood still just before it.
            if self.read_at.is_stale() {
                return self.reload().await;
            }
            let Some(bytes) = found else {
                self.read_at = read_at;
                self.unsettled = false;
                return Ok(());
            };
            let actions = action::parse(&self.log.table, version, &bytes)?;
            self.log.settle(version).await?;
            let seen = self.state.apply(&self.log.table, actions)?;
            self.seen.push(seen);
        }
    }

    /// Reads the table anew if the tail is too old to be trusted.
    pub(super) async fn freshen(&mut self) -> Result<(), LakeError> {
        if self.unsettled || self.read_at.is_stale() {
            return self.read_on().await;
        }
        Ok(())
    }

    async fn reload(&mut self) -> Result<(), LakeError> {
        let refused = |reason: String| LakeError::Refused {
            table: self.log.table.to_string(),
            reason,
        };
        let read_at = ReadAt::now();
        let mut fresh = State::load(&self.log)
            .await?
            .ok_or_else(|| refused("it is gone".to_owned()))?;
        if fresh.version < self.state.version || fresh.metadata.id != self.state.metadata.id {
            return Err(refused(
                "another table lies there now; start again".to_owned(),
            ));
        }
        fresh.live.stopped = fresh.live.stopped.or(self.state.live.stopped.take());
        if fresh.version > self.state.version {
            self.seen.push(fresh.since(&self.state));
        }
        self.state = fresh;
        self.read_at = read_at;
        self.unsettled = false;
        Ok(())
    }

    fn checked(self, spec: &TableSpec) -> Result<Self, LakeError> {
        let table = self.path().to_owned();
        if self.partition_by() != spec.partition_by {
            return Err(LakeError::PartitionColumns {
                table,
                wanted: spec.partition_by.clone(),
                found: self.partition_by().to_vec(),
            });
        }
        for field in spec.schema.fields() {
            match self.schema().field_with_name(field.name()) {
                Ok(found) if !columns::same_type(found.data_type(), field.data_type()) => {
                    return Err(LakeError::ColumnType {
                        table,
                        column: field.name().clone(),
                        wanted: field.data_type().clone(),
                        found: found.data_type().clone(),
                    });
                }
                _ => {}
            }
        }
        Ok(self)
    }
}

/// The bytes of a new table's first version.
fn first_version(path: &str, spec: &TableSpec) -> Result<Vec<u8>, LakeError> {
    for column in &spec.partition_by {
        if spec.schema.field_with_name(column).is_err() {
            return Err(LakeError::NoColumn {
                table: path.to_owned(),
                column: column.clone(),
            });
        }
    }
    let mut configuration = spec.properties.clone();
    let (retention, length) = LOG_RETENTION;
    configuration
        .entry(retention.to_owned())
        .or_insert_with(|| length.to_owned());
    let created = chrono::Utc::now().timestamp_millis();
    let metadata = Metadata {
        id: uuid::Uuid::new_v4().to_string(),
        name: None,
        description: Some(spec.description.clone()).filter(|text| !text.is_empty()),
        format: Format {
            provider: "parquet".to_owned(),
            options: BTreeMap::new(),
        },
        schema_string: columns::to_delta(&spec.schema)?,
        partition_columns: spec.partition_by.clone(),
        configuration,
        created_time: Some(created),
    };
    let plainest = protocol::plainest();
    protocol::check(path, &plainest, &metadata)?;
    let mut body = Body::new();
    let unspelled = |error| LakeError::store("spell the first version of", path, error);
    body.push("protocol", &plainest).map_err(unspelled)?;
    body.push("metaData", &metadata).map_err(unspelled)?;
    let mut info = serde_json::Map::new();
    info.insert("timestamp".to_owned(), created.into());
    info.insert("operation".to_owned(), "CREATE TABLE".into());
    info.insert("operationParameters".to_owned(), json!({}));
    info.insert("engineInfo".to_owned(), super::commit::ENGINE.into());
    Ok(body.into_bytes(info))
}
