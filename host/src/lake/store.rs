//! The lake: one folder or bucket that holds tables, and blobs beside them.

use std::sync::Arc;

use bytes::Bytes;
use deltalake::Path;
use deltalake::logstore::object_store::{
    Error as StoreError, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions,
};
use deltalake::logstore::{
    LogStoreConfig, LogStoreRef, StorageConfig, logstore_with, object_store_factories,
};

use super::LakeError;
use super::disk::Disk;
use super::log::Log;

/// How a lake is to be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LakeOptions {
    /// On a local disk: whether data files and log entries are forced to it before anyone is told
    /// that they are there, so that they outlive a loss of power. Other stores do so by themselves.
    pub fsync: bool,
}

impl Default for LakeOptions {
    fn default() -> Self {
        Self { fsync: true }
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
    /// `Location` for a folder that can't be made or written to, and a URL of an unknown kind.
    pub fn open_with(uri: &str, options: LakeOptions) -> Result<Self, LakeError> {
        let bad = |reason: String| LakeError::Location {
            uri: uri.to_owned(),
            reason,
        };
        let disk = Disk::new();
        if !uri.contains("://") {
            let made = match options.fsync {
                true => disk.make_folder(uri.as_ref()),
                false => std::fs::create_dir_all(uri),
            };
            made.map_err(|error| bad(error.to_string()))?;
            tempfile::tempfile_in(uri).map_err(|error| bad(error.to_string()))?;
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
        let bad = |reason: String| LakeError::Location {
            uri: uri.to_owned(),
            reason,
        };
        let url = deltalake::ensure_table_uri(uri).map_err(|error| bad(error.to_string()))?;
        let options = StorageConfig::default();
        let here = logstore_with(Arc::clone(&root), &url, options.clone())
            .map_err(|error| bad(error.to_string()))?;
        Ok(Self {
            root,
            disk: None,
            location: LogStoreConfig::new(&url, options),
            here,
        })
    }

    /// Where the lake lies, as a URL that ends with a slash.
    pub fn uri(&self) -> &str {
        self.location.location().as_str()
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
        let store = logstore_with(Arc::clone(&self.root), &url, StorageConfig::default());
        let store = store.map_err(|error| failed(error.to_string()))?;
        let folder = Path::from_url_path(url.path()).map_err(|error| failed(error.to_string()))?;
        Ok(Log {
            table: table.into(),
            disk: self.disk.clone().map(|disk| (disk, folder)),
            store,
        })
    }

    fn objects(&self) -> Arc<dyn ObjectStore> {
        self.here.object_store(None)
    }
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
