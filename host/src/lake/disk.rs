//! A local disk as a store that forces what it is given: a file's bytes, before the file has its
//! name; then the folder that names it. What a put reports outlives a loss of power, and no name
//! ever stands for half a file.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use deltalake::Path;
use deltalake::logstore::object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
    UploadPart, local::LocalFileSystem,
};
use futures::stream::BoxStream;
use tokio::task::spawn_blocking;

use super::table::ReadAt;

/// Forces an open file or folder to the disk. The path is for those who watch.
pub(super) type Force = Arc<dyn Fn(&File, &FilePath) -> io::Result<()> + Send + Sync>;

/// The file system, forced.
#[derive(Clone)]
pub(super) struct Disk {
    inner: Arc<LocalFileSystem>,
    force: Force,
}

impl Disk {
    pub(super) fn new() -> Self {
        Self::with(Arc::new(|file, _| file.sync_all()))
    }

    pub(super) fn with(force: Force) -> Self {
        Self {
            inner: Arc::new(LocalFileSystem::new()),
            force,
        }
    }

    /// Makes a folder, and those that it lies in.
    pub(super) fn make_folder(&self, folder: &FilePath) -> io::Result<()> {
        if folder.is_dir() {
            return Ok(());
        }
        let parent = match folder.parent() {
            Some(parent) if parent.as_os_str().is_empty() => FilePath::new("."),
            Some(parent) => parent,
            None => return Ok(()),
        };
        self.make_folder(parent)?;
        match fs::create_dir(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => self.force_at(parent),
        }
    }

    /// Forces an object that is there already, whoever put it, and the folder that names it.
    pub(super) async fn settle(&self, location: &Path) -> Result<()> {
        let path = self.inner.path_to_filesystem(location)?;
        let disk = self.clone();
        blocking(move || {
            disk.force_at(&path)?;
            disk.force_folder_of(&path)
        })
        .await
    }

    fn force_folder_of(&self, path: &FilePath) -> io::Result<()> {
        path.parent().map_or(Ok(()), |folder| self.force_at(folder))
    }

    fn force_at(&self, path: &FilePath) -> io::Result<()> {
        (self.force)(&File::open(path)?, path)
    }

    /// Writes a file beside its place and forces it, then gives it its name. One that must not be
    /// there yet, as was known at `read_at`, gets no name where the process stood still since: others
    /// may have made and removed it.
    fn put(
        &self,
        path: &FilePath,
        payload: &PutPayload,
        mode: &PutMode,
        read_at: ReadAt,
    ) -> io::Result<()> {
        if let Some(folder) = path.parent() {
            self.make_folder(folder)?;
        }
        let beside = beside(path);
        let placed = self
            .write(&beside, payload)
            .and_then(|()| match mode {
                PutMode::Create if read_at.is_stale() => Err(io::ErrorKind::TimedOut.into()),
                PutMode::Create => fs::hard_link(&beside, path),
                _ => fs::rename(&beside, path),
            })
            .and_then(|()| self.force_folder_of(path));
        // Renamed, it is not there any more. One that stays behind has a name that nobody lists.
        let _ = fs::remove_file(&beside);
        placed
    }

    fn write(&self, beside: &FilePath, payload: &PutPayload) -> io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(beside)?;
        for part in payload {
            file.write_all(part)?;
        }
        (self.force)(&file, beside)
    }
}

/// A name that no listing of the store shows: it passes over those that end with # and digits.
fn beside(path: &FilePath) -> PathBuf {
    let (number, _) = uuid::Uuid::new_v4().as_u64_pair();
    let mut name = path.as_os_str().to_owned();
    name.push(format!("#{number}"));
    name.into()
}

async fn blocking(work: impl FnOnce() -> io::Result<()> + Send + 'static) -> Result<()> {
    let done = spawn_blocking(work).await.map_err(io::Error::other);
    done.and_then(|done| done).map_err(failed)
}

fn failed(error: io::Error) -> Error {
    Error::Generic {
        store: "local disk",
        source: Box::new(error),
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Disk")
    }
}

impl fmt::Display for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("local disk")
    }
}

#[async_trait]
impl ObjectStore for Disk {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        if matches!(options.mode, PutMode::Update(_)) {
            // It says that it can't.
            return self.inner.put_opts(location, payload, options).await;
        }
        let path = self.inner.path_to_filesystem(location)?;
        let disk = self.clone();
        let read_at = options.extensions.get().copied();
        let read_at = read_at.unwrap_or_else(ReadAt::now);
        let put = spawn_blocking(move || disk.put(&path, &payload, &options.mode, read_at)).await;
        match put.map_err(io::Error::other).and_then(|put| put) {
            Ok(()) => Ok(PutResult {
                e_tag: None,
                version: None,
            }),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(Error::AlreadyExists {
                    path: location.to_string(),
                    source: Box::new(error),
                })
            }
            Err(error) => Err(failed(error)),
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        Ok(Box::new(Upload {
            inner: self.inner.put_multipart_opts(location, options).await?,
            disk: self.clone(),
            location: location.clone(),
        }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await?;
        self.settle(to).await
    }
}

/// A file in parts, forced once it is whole.
#[derive(Debug)]
struct Upload {
    inner: Box<dyn MultipartUpload>,
    disk: Disk,
    location: Path,
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.inner.put_part(data)
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let put = self.inner.complete().await?;
        self.disk.settle(&self.location).await?;
        Ok(put)
    }

    async fn abort(&mut self) -> Result<()> {
        self.inner.abort().await
    }
}
