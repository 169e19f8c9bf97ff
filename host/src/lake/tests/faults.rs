//! A store in memory that can be told to lose replies, to lose puts, to lie and to go away.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use deltalake::Path;
use deltalake::logstore::object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
    memory::InMemory,
};
use futures::stream::BoxStream;

use super::Lake;

/// What is to become of a put into the log.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    /// It is durable, but the caller is told that it failed.
    LostReply,
    /// It never arrives.
    LostPut,
    /// The caller is told that the version exists, which it does not.
    Conflict,
    /// It is durable, and the caller is told so, after [`SLOW`].
    Slow,
    /// The same, and the caller is told that it failed.
    SlowLostReply,
}

/// How long a slow answer takes.
pub(super) const SLOW: Duration = Duration::from_millis(400);

#[derive(Debug, Default)]
pub(super) struct Faulty {
    inner: InMemory,
    pub(super) faults: Mutex<VecDeque<Fault>>,
    /// No version of the log can be read.
    pub(super) blind: AtomicBool,
    /// Reading a version takes [`SLOW`].
    pub(super) slow: AtomicBool,
    /// What is there is overwritten, whatever the put asked for.
    pub(super) overwrites: AtomicBool,
    pub(super) reads: AtomicUsize,
    pub(super) puts: AtomicUsize,
    pub(super) lists: AtomicUsize,
}

impl Faulty {
    pub(super) fn lake() -> (Arc<Self>, Lake) {
        Self::lake_at("memory:///")
    }

    /// The lake at a URL within such a store.
    pub(super) fn lake_at(uri: &str) -> (Arc<Self>, Lake) {
        let store = Arc::new(Self::default());
        let lake = Lake::over(store.clone(), uri).unwrap();
        (store, lake)
    }

    pub(super) fn next(&self, fault: Fault) {
        self.faults.lock().unwrap().push_back(fault);
    }

    /// Reads, puts and lists of the log so far.
    pub(super) fn counts(&self) -> [usize; 3] {
        [&self.reads, &self.puts, &self.lists].map(|count| count.load(Ordering::Relaxed))
    }

    fn failed() -> Error {
        Error::Generic {
            store: "faulty",
            source: "the connection broke".into(),
        }
    }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("faulty")
    }
}

fn is_version(path: &Path) -> bool {
    path.as_ref().contains("_delta_log/") && path.as_ref().ends_with(".json")
}

type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

impl ObjectStore for Faulty {
    fn put_opts<'life0, 'life1, 'async_trait>(
        &'life0 self,
        location: &'life1 Path,
        payload: PutPayload,
        mut options: PutOptions,
    ) -> Answer<'async_trait, PutResult>
    where
        'life0: 'async_trait,
        'life1: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(async move {
            if self.overwrites.load(Ordering::Relaxed) {
                options.mode = PutMode::Overwrite;
            }
            if !is_version(location) {
                return self.inner.put_opts(location, payload, options).await;
            }
            self.puts.fetch_add(1, Ordering::Relaxed);
            let fault = self.faults.lock().unwrap().pop_front();
            match fault {
                None => self.inner.put_opts(location, payload, options).await,
                Some(Fault::LostPut) => Err(Self::failed()),
                Some(Fault::Slow) => {
                    tokio::time::sleep(SLOW).await;
                    self.inner.put_opts(location, payload, options).await
                }
                Some(fault @ (Fault::LostReply | Fault::SlowLostReply)) => {
                    if matches!(fault, Fault::SlowLostReply) {
                        tokio::time::sleep(SLOW).await;
                    }
                    self.inner.put_opts(location, payload, options).await?;
                    Err(Self::failed())
                }
                Some(Fault::Conflict) => Err(Error::AlreadyExists {
                    path: location.to_string(),
                    source: "conflict".into(),
                }),
            }
        })
    }

    fn put_multipart_opts<'life0, 'life1, 'async_trait>(
        &'life0 self,
        location: &'life1 Path,
        options: PutMultipartOptions,
    ) -> Answer<'async_trait, Box<dyn MultipartUpload>>
    where
        'life0: 'async_trait,
        'life1: 'async_trait,
        Self: 'async_trait,
    {
        self.inner.put_multipart_opts(location, options)
    }

    fn get_opts<'life0, 'life1, 'async_trait>(
        &'life0 self,
        location: &'life1 Path,
        options: GetOptions,
    ) -> Answer<'async_trait, GetResult>
    where
        'life0: 'async_trait,
        'life1: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(async move {
            if is_version(location) {
                self.reads.fetch_add(1, Ordering::Relaxed);
                if self.blind.load(Ordering::Relaxed) {
                    return Err(Self::failed());
                }
                if self.slow.load(Ordering::Relaxed) {
                    tokio::time::sleep(SLOW).await;
                }
            }
            self.inner.get_opts(location, options).await
        })
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.lists.fetch_add(1, Ordering::Relaxed);
        self.inner.list(prefix)
    }

    fn list_with_delimiter<'life0, 'life1, 'async_trait>(
        &'life0 self,
        prefix: Option<&'life1 Path>,
    ) -> Answer<'async_trait, ListResult>
    where
        'life0: 'async_trait,
        'life1: 'async_trait,
        Self: 'async_trait,
    {
        self.inner.list_with_delimiter(prefix)
    }

    fn copy_opts<'life0, 'life1, 'life2, 'async_trait>(
        &'life0 self,
        from: &'life1 Path,
        to: &'life2 Path,
        options: CopyOptions,
    ) -> Answer<'async_trait, ()>
    where
        'life0: 'async_trait,
        'life1: 'async_trait,
        'life2: 'async_trait,
        Self: 'async_trait,
    {
        self.inner.copy_opts(from, to, options)
    }
}
