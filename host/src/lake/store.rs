//! The lake: one folder or bucket that holds tables, and blobs beside them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use deltalake::Path;
use deltalake::logstore::object_store::{
    Error as StoreError, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions,
};
use deltalake::logstore::{
    LogStoreConfig, LogStoreRef, StorageConfig, default_logstore, object_store_factories,
};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use url::Url;
use uuid::Uuid;

use super::LakeError;
use super::cloud;
use super::disk::Disk;
use super::log::Log;
use crate::processor::Share;

/// How a lake is to be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LakeOptions {
    /// On a local disk: whether data files and log entries are forced to it before anyone is told
    /// that they are there, so that they outlive a loss of power. Other stores do so by themselves.
    pub fsync: bool,
    /// Of an object store: what the environment does not say of it, or otherwise. `${NAME}` in a
    /// value is taken from the environment; no other lake looks at them.
    pub store: BTreeMap<String, String>,
}

impl Default for LakeOptions {
    fn default() -> Self {
        Self {
            fsync: true,
            store: BTreeMap::new(),
        }
    }
}

/// A folder or a URL under which tables lie. Cheap to clone; clones share one store.
#[derive(Clone)]
pub struct Lake {
    /// Points at the store's root, not at the lake.
    root: Arc<dyn ObjectStore>,
    /// Where what others put must be forced before it is relied on.
    disk: Option<Disk>,
    location: LogStoreConfig,
    /// The log store of the lake's own folder: its objects are those of the lake.
    here: LogStoreRef,
    share: Share,
}

impl std::fmt::Debug for Lake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Lake").field(&self.uri()).finish()
    }
}

impl Lake {
    /// Opens a lake with the options that are safe.
    ///
    /// # Errors
    /// As [`Self::open_with`].
    pub fn open(uri: &str) -> Result<Self, LakeError> {
        Self::open_with(uri, LakeOptions::default())
    }

    /// Opens a lake. A local folder is created if it is not there. Each `memory:///` is a lake of
    /// its own.
    ///
    /// # Errors
    /// `Location` for a folder that can't be made or written to, and a URL of an unknown kind;
    /// `Store` for a folder whose disk fails; `Option` for one that its store has not. Whether an
    /// object store can be reached is not asked.
    pub fn open_with(uri: &str, options: LakeOptions) -> Result<Self, LakeError> {
        let bad = |reason: String| LakeError::Location {
            uri: uri.to_owned(),
            reason,
        };
        if let Some(url) = cloud::url_of(uri)? {
            let root = cloud::open(&url, &options.store)?;
            return Self::over(root, uri)?.under_faults(uri);
        }
        let disk = Disk::new();
        if !uri.contains("://") {
            let made = match options.fsync {
                true => disk.make_folder(uri.as_ref()),
                false => std::fs::create_dir_all(uri),
            };
            let usable = made.and_then(|()| tempfile::tempfile_in(uri));
            usable.map_err(|error| LakeError::folder(uri, error))?;
        }
        let url = deltalake::ensure_table_uri(uri).map_err(|error| bad(error.to_string()))?;
        if url.scheme() == "file" && options.fsync {
            return Self::on(disk, uri)?.under_faults(uri);
        }
        let factories = object_store_factories();
        let factory = factories
            .iter()
            .find(|factory| factory.key().scheme() == url.scheme())
            .ok_or_else(|| bad(format!("there is no store for {}://", url.scheme())))?;
        let (root, _) = factory
            .parse_url_opts(&url, &StorageConfig::default())
            .map_err(|error| bad(error.to_string()))?;
        Self::over(root, uri)?.under_faults(uri)
    }

    /// In builds that have them, the faults that the environment asks for.
    #[cfg(feature = "faults")]
    fn under_faults(self, uri: &str) -> Result<Self, LakeError> {
        let Ok(faults) = std::env::var("ASSAY_FAULTS") else {
            return Ok(self);
        };
        let faults = faults.parse().map_err(|reason| LakeError::Location {
            uri: uri.to_owned(),
            reason,
        })?;
        tracing::warn!(?faults, "the lake is under made-up faults");
        let disk = self.disk.clone();
        let storm = super::storm::Storm::over(self.root, faults);
        let lake = Self::over(Arc::new(storm), uri)?;
        Ok(Self { disk, ..lake })
    }

    #[cfg(not(feature = "faults"))]
    #[expect(clippy::unnecessary_wraps, reason = "builds with faults can fail here")]
    fn under_faults(self, _: &str) -> Result<Self, LakeError> {
        Ok(self)
    }

    /// One that does not answer, for a day.
    #[cfg(test)]
    pub fn silent() -> Result<Self, LakeError> {
        let faults = super::storm::Faults {
            silent_ms: 86_400_000,
            ..Default::default()
        };
        let lake = Self::open("memory:///")?;
        let storm = super::storm::Storm::over(lake.root, faults);
        Self::over(Arc::new(storm), "memory:///silent")
    }

    /// A lake on a local disk that is forced.
    pub(super) fn on(disk: Disk, uri: &str) -> Result<Self, LakeError> {
        let lake = Self::over(Arc::new(disk.clone()), uri)?;
        Ok(Self {
            disk: Some(disk),
            ..lake
        })
    }

    /// A lake at `uri` within a store.
    pub(super) fn over(root: Arc<dyn ObjectStore>, uri: &str) -> Result<Self, LakeError> {
        let bad = |error: deltalake::DeltaTableError| LakeError::Location {
            uri: uri.to_owned(),
            reason: error.to_string(),
        };
        let url = match cloud::url_of(uri)? {
            Some(url) => url,
            None => deltalake::ensure_table_uri(uri).map_err(bad)?,
        };
        let location = LogStoreConfig::new(&url, StorageConfig::default());
        let here = log_store(&root, location.location())?;
        Ok(Self {
            root,
            disk: None,
            location,
            here,
            share: Share::default(),
        })
    }

    /// The same lake, whose files are written and read in the turns of `share`.
    #[must_use]
    pub fn with_share(self, share: Share) -> Self {
        Self { share, ..self }
    }

    /// Whose turns its files are written and read in.
    pub fn share(&self) -> &Share {
        &self.share
    }

    /// Where the lake lies, as a URL that ends with a slash.
    pub fn uri(&self) -> &str {
        self.location.location().as_str()
    }

    /// The folder that it is, on a local disk.
    pub fn folder(&self) -> Option<PathBuf> {
        self.location.location().to_file_path().ok()
    }

    /// Puts bytes that never change under a path that is made of their digest. Where the path is
    /// taken it is taken by the same bytes, so that is fine.
    ///
    /// # Errors
    /// `Store` if they can't be put.
    pub async fn put_blob(&self, path: &str, bytes: Bytes) -> Result<(), LakeError> {
        let options = PutOptions {
            mode: PutMode::Create,
            ..PutOptions::default()
        };
        let put = self
            .objects()
            .put_opts(&checked(path)?, bytes.into(), options)
            .await;
        match put {
            Ok(_) | Err(StoreError::AlreadyExists { .. }) => Ok(()),
            Err(error) => Err(LakeError::store("write", path, error)),
        }
    }

    /// The bytes under a path; `None` if there are none.
    ///
    /// # Errors
    /// `Store` if they can't be read.
    pub async fn get_blob(&self, path: &str) -> Result<Option<Bytes>, LakeError> {
        let failed = |error| LakeError::store("read", path, error);
        match self.objects().get(&checked(path)?).await {
            Ok(found) => found.bytes().await.map(Some).map_err(failed),
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    /// Puts bytes under a path, in the place of what was there.
    ///
    /// # Errors
    /// `Store` if they can't be put.
    pub async fn replace_object(&self, path: &str, bytes: Bytes) -> Result<(), LakeError> {
        let put = self.objects().put(&checked(path)?, bytes.into()).await;
        put.map(drop)
            .map_err(|error| LakeError::store("write", path, error))
    }

    /// The paths of what lies right in a folder that is no table's, sorted.
    ///
    /// # Errors
    /// `Store` if it can't be listed.
    pub async fn list_objects(&self, folder: &str) -> Result<Vec<String>, LakeError> {
        let objects = self.objects();
        let listed = objects.list_with_delimiter(Some(&checked(folder)?)).await;
        let listed = listed.map_err(|error| LakeError::store("list", folder, error))?;
        let objects = listed.objects.into_iter();
        let mut paths: Vec<String> = objects.map(|found| found.location.to_string()).collect();
        paths.sort_unstable();
        Ok(paths)
    }

    /// The names of the folders right in a folder, sorted.
    ///
    /// # Errors
    /// `Store` if it can't be listed.
    pub async fn list_folders(&self, folder: &str) -> Result<Vec<String>, LakeError> {
        let objects = self.objects();
        let listed = objects.list_with_delimiter(Some(&checked(folder)?)).await;
        let listed = listed.map_err(|error| LakeError::store("list", folder, error))?;
        let folders = listed.common_prefixes.iter();
        let mut names: Vec<String> = folders
            .filter_map(|folder| folder.filename().map(str::to_owned))
            .collect();
        names.sort_unstable();
        Ok(names)
    }

    /// Finds out whether the store puts an object only where there is none, as commits need it, by
    /// an object that is gone again afterwards. A local disk does.
    ///
    /// # Errors
    /// `Overwrites` if it does not, `Store` if it can't be found out.
    pub async fn check_conditional_puts(&self) -> Result<(), LakeError> {
        if self.location.location().scheme() == "file" {
            return Ok(());
        }
        let objects = self.objects();
        let probe = Path::from(format!("_assay_probe_{}", Uuid::new_v4()));
        let put = async || {
            let options = PutOptions {
                mode: PutMode::Create,
                ..PutOptions::default()
            };
            match objects.put_opts(&probe, "put twice".into(), options).await {
                Ok(_) => Ok(true),
                Err(StoreError::AlreadyExists { .. }) => Ok(false),
                Err(error) => Err(LakeError::store("write", self.probe_uri(&probe), error)),
            }
        };
        put().await?;
        let overwritten = put().await;
        let gone = objects.delete(&probe).await;
        if overwritten? {
            return Err(LakeError::Overwrites {
                uri: self.uri().to_owned(),
            });
        }
        gone.map_err(|error| LakeError::store("remove", self.probe_uri(&probe), error))
    }

    fn probe_uri(&self, probe: &Path) -> String {
        format!("{}{probe}", self.uri())
    }

    /// The paths of all tables under a folder, sorted. An empty `under` is the whole lake.
    ///
    /// # Errors
    /// `Store` if a folder can't be listed.
    pub async fn list_tables(&self, under: &str) -> Result<Vec<String>, LakeError> {
        let objects = self.objects();
        let mut folders = vec![if under.is_empty() {
            Path::default()
        } else {
            checked(under)?
        }];
        let mut tables = Vec::new();
        while let Some(folder) = folders.pop() {
            let listed = objects.list_with_delimiter(Some(&folder)).await;
            let listed = listed.map_err(|error| LakeError::store("list", &folder, error))?;
            let inner = listed.common_prefixes;
            if inner
                .iter()
                .any(|path| path.filename() == Some("_delta_log"))
            {
                tables.push(folder.to_string());
            } else {
                folders.extend(inner);
            }
        }
        tables.sort_unstable();
        Ok(tables)
    }

    /// The log of the table at a path, whether there is one or not.
    pub(super) fn log(&self, table: &str) -> Result<Log, LakeError> {
        checked(table)?;
        let failed = |reason: String| LakeError::Location {
            uri: table.to_owned(),
            reason,
        };
        let url = self.location.location().join(&format!("{table}/"));
        let url = url.map_err(|error| failed(error.to_string()))?;
        let store = log_store(&self.root, &url)?;
        let folder = Path::from_url_path(url.path()).map_err(|error| failed(error.to_string()))?;
        Ok(Log {
            table: table.into(),
            disk: self.disk.clone().map(|disk| (disk, folder)),
            store,
            share: self.share.clone(),
        })
    }

    /// Removes everything under a folder, logs first: a table without its log is none, and so none
    /// is ever half there. Answers with how many objects went. On a local disk the folder goes too.
    ///
    /// # Errors
    /// `Store` if something can't be listed or removed; what went before is gone.
    pub async fn remove_folder(&self, folder: &str) -> Result<u64, LakeError> {
        let (objects, path) = (self.objects(), checked(folder)?);
        let failed = |error| LakeError::store("remove", folder, error);
        let found: Vec<Path> = objects
            .list(Some(&path))
            .map_ok(|object| object.location)
            .try_collect()
            .await
            .map_err(failed)?;
        let (logs, rest): (Vec<Path>, Vec<Path>) = found.into_iter().partition(|object| {
            let mut parts = object.parts();
            parts.any(|part| part.as_ref() == "_delta_log")
        });
        let mut gone = 0;
        for some in [logs, rest] {
            let going = stream::iter(some.into_iter().map(Ok)).boxed();
            let mut going = objects.delete_stream(going);
            while let Some(removed) = going.next().await {
                match removed {
                    // Another may be removing it too.
                    Ok(_) | Err(StoreError::NotFound { .. }) => gone += 1,
                    Err(error) => return Err(failed(error)),
                }
            }
        }
        let location = self.location.location();
        if location.scheme() == "file"
            && let Ok(root) = location.to_file_path()
            && let Err(error) = std::fs::remove_dir_all(root.join(folder))
            && error.kind() != std::io::ErrorKind::NotFound
        {
            let source = error.into();
            return Err(failed(StoreError::Generic {
                store: "disk",
                source,
            }));
        }
        Ok(gone)
    }

    fn objects(&self) -> Arc<dyn ObjectStore> {
        self.here.object_store(None)
    }
}

/// The log store at a URL within a store. A version is put if it is absent, whatever the store.
fn log_store(root: &Arc<dyn ObjectStore>, url: &Url) -> Result<LogStoreRef, LakeError> {
    let config = StorageConfig::default();
    let within = config
        .decorate_store(Arc::clone(root), url)
        .map_err(|error| LakeError::Location {
            uri: url.to_string(),
            reason: error.to_string(),
        })?;
    Ok(default_logstore(
        Arc::new(within),
        Arc::clone(root),
        url,
        &config,
    ))
}

/// A path within the lake.
fn checked(path: &str) -> Result<Path, LakeError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/');
    let bad = || LakeError::TablePath {
        table: path.to_owned(),
    };
    if path.is_empty() || path.starts_with('/') || path.ends_with('/') || !path.chars().all(plain) {
        return Err(bad());
    }
    Path::parse(path).map_err(|_| bad())
}
