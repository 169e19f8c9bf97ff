//! Finding and healing what is damaged in a log: checkpoints, the note of the last one, and a last
//! version that was cut short.
//!
//! Nothing is thrown away: what is damaged is set aside under its own name and `.damaged`, which no
//! reader of Delta tables looks at. Whether a torn version may be given up is for the caller to
//! find out: it alone knows who relies on the table.

use std::collections::BTreeMap;
use std::time::Duration;

use deltalake::Path;
use deltalake::logstore::object_store::{Error as StoreError, ObjectStoreExt as _};
use serde_json::{Map, Value, json};

use super::action::{self, Action, Body};
use super::commit::ENGINE;
use super::log::{Log, Sorted};
use super::maintain::write_checkpoint;
use super::state::{State, read_checkpoint};
use super::{Lake, LakeError, Transaction};

/// What is damaged in a table's log, and can be healed.
pub struct Damage {
    log: Log,
    /// Versions of checkpoints that can't be read, their files, and why.
    checkpoints: Vec<(i64, Vec<Path>, String)>,
    /// What is wrong with the note of the last checkpoint.
    hint: Option<String>,
    torn: Option<Torn>,
    /// The table as of its last whole version. `None`: there is no whole one.
    state: Option<State>,
}

/// A last version that was cut short.
#[derive(Clone, Debug)]
pub struct Torn {
    pub version: i64,
    pub reason: String,
    /// How long ago it was written.
    pub age: Duration,
    /// Who wrote it, where it got as far as saying so.
    pub engine: Option<String>,
}

impl Lake {
    /// Looks for damage in a table's log. `None`: there is no table.
    ///
    /// # Errors
    /// Damage that can't be healed from what is there: `HoleInLog` and `TornLog` for a version that
    /// others rely on, `Checkpoint` for one without which the table can't be read.
    pub async fn inspect(&self, table: &str) -> Result<Option<Damage>, LakeError> {
        let log = self.log(table)?;
        let sorted = log.everything().await?;
        if sorted.commits.is_empty() && sorted.checkpoints.is_empty() {
            return Ok(None);
        }
        Damage::of(log, sorted).await.map(Some)
    }
}

impl Damage {
    async fn of(log: Log, sorted: Sorted) -> Result<Self, LakeError> {
        let mut damaged = Vec::new();
        let mut first_error = None;
        let mut whole = Vec::new();
        let mut newest = None;
        for (version, files) in sorted.checkpoints {
            match checkpoint(&log, &files).await {
                Ok(actions) => {
                    whole.push(version);
                    newest = Some((version, actions));
                }
                Err(LakeError::Checkpoint { path, reason }) => {
                    damaged.push((version, files, reason.clone()));
                    first_error.get_or_insert(LakeError::Checkpoint { path, reason });
                }
                Err(error) => return Err(error),
            }
        }
        let base = newest.as_ref().map_or(-1, |(version, _)| *version);
        let (versions, torn) = match versions(&log, base, &sorted.commits).await {
            // What is missing was in the checkpoint that can't be read.
            Err(LakeError::HoleInLog { .. }) if first_error.is_some() => {
                return Err(first_error.unwrap_or_else(|| LakeError::HoleInLog {
                    table: log.table.to_string(),
                    missing: base + 1,
                }));
            }
            found => found?,
        };
        if let Some(torn) = &torn
            && let Some((version, ..)) = damaged.iter().find(|(at, ..)| *at >= torn.version)
        {
            return Err(LakeError::TornLog {
                table: log.table.to_string(),
                version: torn.version,
                reason: format!("{}, and checkpoint {version} was made of it", torn.reason),
            });
        }
        let state = match (&newest, versions.is_empty()) {
            (None, true) => None,
            _ => Some(State::replay(&log, newest, versions)?),
        };
        Ok(Self {
            hint: wrong_hint(&log, &whole).await?,
            checkpoints: damaged,
            torn,
            state,
            log,
        })
    }

    /// The last version, if it was cut short.
    pub fn torn(&self) -> Option<&Torn> {
        self.torn.as_ref()
    }

    /// How far each application is without the torn version.
    pub fn transactions(&self) -> BTreeMap<String, Transaction> {
        let state = self.state.as_ref();
        state.map_or_else(BTreeMap::new, |state| state.live.transactions.clone())
    }

    /// The first of the table's files, as of its last whole version, that is not there.
    ///
    /// # Errors
    /// `Store`, if the store can't say.
    pub async fn missing_file(&self) -> Result<Option<String>, LakeError> {
        let objects = self.log.objects();
        let files = self.state.iter().flat_map(|state| state.live.files.keys());
        for path in files {
            let failed =
                |error| LakeError::store("look at", format!("{}/{path}", self.log.table), error);
            let location = Path::parse(path).map_err(|error| failed(error.into()))?;
            match objects.head(&location).await {
                Ok(_) => {}
                Err(StoreError::NotFound { .. }) => return Ok(Some(path.clone())),
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(None)
    }

    /// What is damaged, and what healing does about it, a sentence each. None: nothing is.
    pub fn told(&self) -> Vec<String> {
        let torn = self.torn.iter().map(|torn| {
            let Torn {
                version, reason, ..
            } = torn;
            match version {
                0 => format!("its first version is torn ({reason}): set aside; the next start makes the table anew"),
                _ => format!("its last version, {version}, is torn ({reason}): set aside, and one that changes nothing takes its place"),
            }
        });
        let checkpoints = self.checkpoints.iter().map(|(version, _, reason)| {
            format!("checkpoint {version} is damaged ({reason}): set aside, and a new one written")
        });
        let hint = self
            .hint
            .iter()
            .map(|hint| format!("_last_checkpoint {hint}: a new checkpoint is written and noted"));
        torn.chain(checkpoints).chain(hint).collect()
    }

    /// Heals it all. It can be killed at any point, and then done again.
    ///
    /// # Errors
    /// `Store` where the store does not do what it is told.
    pub async fn heal(self) -> Result<(), LakeError> {
        if let Some(torn) = &self.torn {
            self.replace(torn).await?;
        }
        for (_, files, _) in &self.checkpoints {
            for file in files {
                self.set_aside(file).await?;
                self.delete(file).await?;
            }
        }
        if self.hint.is_some() {
            // Readers that trust it fail; those that find none list the log.
            self.delete(&Log::hint_path()).await?;
        }
        let healed = State::load(&self.log).await?;
        if let Some(state) = healed
            && (self.hint.is_some() || !self.checkpoints.is_empty())
        {
            write_checkpoint(&self.log, state.version).await?;
        }
        Ok(())
    }

    /// Puts a version that changes nothing in the place of a torn one. The number stays taken, so
    /// nobody who knows of it can put the next one behind a hole.
    async fn replace(&self, torn: &Torn) -> Result<(), LakeError> {
        let path = Log::path_of(torn.version);
        self.set_aside(&path).await?;
        if torn.version == 0 {
            return self.delete(&path).await;
        }
        let mut info: Map<String, Value> = Map::new();
        let now = chrono::Utc::now().timestamp_millis();
        info.insert("timestamp".to_owned(), now.into());
        info.insert("operation".to_owned(), "REPAIR".into());
        info.insert("operationParameters".to_owned(), json!({}));
        info.insert("engineInfo".to_owned(), ENGINE.into());
        let id = uuid::Uuid::new_v4().to_string();
        info.insert("txnId".to_owned(), id.into());
        let empty = Body::new().into_bytes(info);
        let put = self.log.objects().put(&path, empty.into()).await;
        put.map(drop)
            .map_err(|error| self.failed("write", &path, error))
    }

    async fn set_aside(&self, path: &Path) -> Result<(), LakeError> {
        let aside = Path::from(format!("{path}.damaged"));
        let copied = self.log.objects().copy(path, &aside).await;
        copied.map_err(|error| self.failed("copy", path, error))
    }

    async fn delete(&self, path: &Path) -> Result<(), LakeError> {
        match self.log.objects().delete(path).await {
            Ok(()) | Err(StoreError::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.failed("remove", path, error)),
        }
    }

    fn failed(&self, verb: &'static str, path: &Path, error: StoreError) -> LakeError {
        LakeError::store(verb, format!("{}/{path}", self.log.table), error)
    }
}

/// The actions of a checkpoint that is whole.
async fn checkpoint(log: &Log, files: &[Path]) -> Result<Vec<Action>, LakeError> {
    let mut actions = Vec::new();
    for file in files {
        actions.extend(read_checkpoint(log, file.clone()).await?);
    }
    let protocol = actions.iter().any(|a| matches!(a, Action::Protocol(_)));
    let metadata = actions.iter().any(|a| matches!(a, Action::Metadata(_)));
    if protocol && metadata {
        return Ok(actions);
    }
    Err(LakeError::Checkpoint {
        path: files.first().map(ToString::to_string).unwrap_or_default(),
        reason: "it says nothing of the table itself".to_owned(),
    })
}

type Versions = Vec<(i64, Vec<Action>)>;

/// The versions after `base`, and the last one apart if it is torn.
async fn versions(
    log: &Log,
    base: i64,
    commits: &[i64],
) -> Result<(Versions, Option<Torn>), LakeError> {
    let last = commits.last().copied().unwrap_or(base);
    let mut versions = Vec::new();
    for version in base + 1..=last {
        let bytes = log
            .read(version)
            .await?
            .ok_or_else(|| LakeError::HoleInLog {
                table: log.table.to_string(),
                missing: version,
            })?;
        match action::parse(&log.table, version, &bytes) {
            Ok(actions) => versions.push((version, actions)),
            Err(LakeError::TornLog { reason, .. }) if version == last => {
                let torn = Torn {
                    version,
                    reason,
                    age: age(log, version).await?,
                    engine: engine_of(&bytes),
                };
                return Ok((versions, Some(torn)));
            }
            Err(error) => return Err(error),
        }
    }
    Ok((versions, None))
}

async fn age(log: &Log, version: i64) -> Result<Duration, LakeError> {
    let path = Log::path_of(version);
    let found = log.objects().head(&path).await;
    let found = found
        .map_err(|error| LakeError::store("look at", format!("{}/{path}", log.table), error))?;
    let age = chrono::Utc::now() - found.last_modified;
    Ok(age.to_std().unwrap_or_default())
}

fn engine_of(bytes: &[u8]) -> Option<String> {
    let first = bytes.split(|byte| *byte == b'\n').next()?;
    let first: Value = serde_json::from_slice(first).ok()?;
    let info = first.get("commitInfo")?;
    let engine = info.get("engineInfo").and_then(Value::as_str);
    Some(
        engine
            .unwrap_or("an engine that does not say its name")
            .to_owned(),
    )
}

/// What is wrong with the note of the last checkpoint. None at all is fine.
async fn wrong_hint(log: &Log, whole: &[i64]) -> Result<Option<String>, LakeError> {
    let objects = log.objects();
    match objects.head(&Log::hint_path()).await {
        Ok(_) => {}
        Err(StoreError::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(LakeError::store("look at", Log::hint_path(), error)),
    }
    Ok(match log.hint().await? {
        None => Some("can't be read".to_owned()),
        Some(version) if !whole.contains(&version) => Some(format!(
            "names checkpoint {version}, which is missing or damaged"
        )),
        Some(_) => None,
    })
}
