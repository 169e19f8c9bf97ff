//! A store that fails by chance, and by a seed: for tests, and for builds with the feature `faults`.
//! No other build has it.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use deltalake::Path;
use deltalake::logstore::object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// How often what fails; shares are from 0 to 1. Written as `seed=7,lost=0.2,unavailable=0.05`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Faults {
    pub seed: u64,
    /// A commit is durable, but its writer is told that it failed.
    pub lost: f64,
    /// A commit is turned away (503).
    pub unavailable: f64,
    /// A commit is said to collide with another, and does not (409).
    pub conflict: f64,
    /// Anything takes long.
    pub stall: f64,
    /// How long, in milliseconds.
    pub stall_ms: u64,
    /// From so long after the start on nothing is answered, in milliseconds.
    pub silent_from_ms: u64,
    /// For how long, in milliseconds.
    pub silent_ms: u64,
    /// A data file arrives in part, and its writer is told that it failed.
    pub torn: f64,
    /// Reading, listing or writing anything but a commit fails.
    pub io: f64,
    /// The disk is full for a while: nothing can be put.
    pub full: f64,
    /// Checkpoints and removals fail.
    pub upkeep: f64,
    /// The process dies at about the so manieth put, before or after it; 0: it does not.
    pub die: u64,
}

impl FromStr for Faults {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let mut faults = Self::default();
        for part in text.split(',') {
            let bad = || format!("{part:?} is no fault: write it as in lost=0.2");
            let (name, value) = part.split_once('=').ok_or_else(bad)?;
            let whole = || value.parse::<u64>().map_err(|_| bad());
            let share = || value.parse::<f64>().map_err(|_| bad());
            match name.trim() {
                "seed" => faults.seed = whole()?,
                "lost" => faults.lost = share()?,
                "unavailable" => faults.unavailable = share()?,
                "conflict" => faults.conflict = share()?,
                "stall" => faults.stall = share()?,
                "stall-ms" => faults.stall_ms = whole()?,
                "silent-from-ms" => faults.silent_from_ms = whole()?,
                "silent-ms" => faults.silent_ms = whole()?,
                "torn" => faults.torn = share()?,
                "io" => faults.io = share()?,
                "full" => faults.full = share()?,
                "upkeep" => faults.upkeep = share()?,
                "die" => faults.die = whole()?,
                _ => return Err(bad()),
            }
        }
        Ok(faults)
    }
}

/// A store under such faults.
#[derive(Debug)]
pub(super) struct Storm {
    inner: Arc<dyn ObjectStore>,
    faults: Faults,
    chance: Mutex<Chance>,
    began: Instant,
}

#[derive(Debug)]
struct Chance {
    random: ChaCha8Rng,
    /// Puts that still fail, since the disk is full.
    full: u32,
    puts: u64,
    counts: Counts,
}

/// What was injected so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) commits: u32,
    pub(super) lost: u32,
    pub(super) unavailable: u32,
    pub(super) conflict: u32,
    pub(super) stall: u32,
    pub(super) torn: u32,
    pub(super) io: u32,
    pub(super) full: u32,
    pub(super) upkeep: u32,
}

/// What is to become of a put.
#[derive(Clone, Copy)]
enum Fate {
    Done,
    Lost,
    Torn,
    Dies { after: bool },
}

impl Storm {
    pub(super) fn over(inner: Arc<dyn ObjectStore>, faults: Faults) -> Self {
        let chance = Chance {
            random: ChaCha8Rng::seed_from_u64(faults.seed),
            full: 0,
            puts: 0,
            counts: Counts::default(),
        };
        Self {
            inner,
            faults,
            chance: Mutex::new(chance),
            began: Instant::now(),
        }
    }

    #[cfg(test)]
    pub(super) fn counts(&self) -> Counts {
        self.with(|chance, _| chance.counts)
    }

    fn with<T>(&self, take: impl FnOnce(&mut Chance, &Faults) -> T) -> T {
        let mut chance = self.chance.lock().unwrap_or_else(PoisonError::into_inner);
        take(&mut chance, &self.faults)
    }

    /// Until the store answers again, where it does not answer just now.
    fn silence(&self) -> impl Future<Output = ()> + Send + 'static {
        let from = self.began + Duration::from_millis(self.faults.silent_from_ms);
        let until = from + Duration::from_millis(self.faults.silent_ms);
        async move {
            let now = Instant::now();
            if from <= now && now < until {
                tokio::time::sleep(until - now).await;
            }
        }
    }

    async fn stall(&self) {
        self.silence().await;
        let stalls = self.with(|chance, faults| {
            let stalls = chance.draw(faults.stall);
            chance.counts.stall += u32::from(stalls);
            stalls
        });
        if stalls {
            tokio::time::sleep(Duration::from_millis(self.faults.stall_ms)).await;
        }
    }

    fn read(&self) -> Result<()> {
        self.with(|chance, faults| match chance.draw(faults.io) {
            true => {
                chance.counts.io += 1;
                Err(failed("input/output error"))
            }
            false => Ok(()),
        })
    }
}

impl Chance {
    fn draw(&mut self, share: f64) -> bool {
        f64::from(self.random.next_u32()) < share * f64::from(u32::MAX)
    }

    fn commit(&mut self, location: &Path, faults: &Faults) -> Result<Fate> {
        self.counts.commits += 1;
        if self.draw(faults.unavailable) {
            self.counts.unavailable += 1;
            return Err(failed("503 Service Unavailable"));
        }
        if self.draw(faults.conflict) {
            self.counts.conflict += 1;
            return Err(Error::AlreadyExists {
                path: location.to_string(),
                source: "409 Conflict".into(),
            });
        }
        let lost = self.draw(faults.lost);
        self.counts.lost += u32::from(lost);
        Ok(if lost { Fate::Lost } else { Fate::Done })
    }

    fn other(&mut self, faults: &Faults) -> Result<Fate> {
        if self.draw(faults.io) {
            self.counts.io += 1;
            return Err(failed("input/output error"));
        }
        let torn = self.draw(faults.torn);
        self.counts.torn += u32::from(torn);
        Ok(if torn { Fate::Torn } else { Fate::Done })
    }

    fn put(&mut self, location: &Path, faults: &Faults) -> Result<Fate> {
        self.puts += 1;
        if faults.die > 0 && self.puts >= faults.die {
            let after = self.draw(0.5);
            return Ok(Fate::Dies { after });
        }
        if self.full == 0 && self.draw(faults.full) {
            self.full = 1 + self.random.next_u32() % 10;
        }
        if self.full > 0 {
            self.full -= 1;
            self.counts.full += 1;
            return Err(failed("no space left on device"));
        }
        self.upkeep(location, faults)?;
        match is_commit(location) {
            true => self.commit(location, faults),
            false => self.other(faults),
        }
    }

    fn upkeep(&mut self, location: &Path, faults: &Faults) -> Result<()> {
        if location.as_ref().contains("checkpoint") && self.draw(faults.upkeep) {
            self.counts.upkeep += 1;
            return Err(failed("503 Service Unavailable"));
        }
        Ok(())
    }
}

/// A stream that begins only then.
fn after<T: Send + 'static>(
    then: impl Future<Output = ()> + Send + 'static,
    stream: BoxStream<'static, T>,
) -> BoxStream<'static, T> {
    let nothing = stream::once(then).filter_map(|()| async { None });
    nothing.chain(stream).boxed()
}

fn is_commit(location: &Path) -> bool {
    location.as_ref().contains("_delta_log/") && location.as_ref().ends_with(".json")
}

fn failed(what: &'static str) -> Error {
    Error::Generic {
        store: "storm",
        source: format!("{what} (made up)").into(),
    }
}

impl fmt::Display for Storm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} under made-up faults", self.inner)
    }
}

#[async_trait]
impl ObjectStore for Storm {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        self.stall().await;
        match self.with(|chance, faults| chance.put(location, faults))? {
            Fate::Done => self.inner.put_opts(location, payload, options).await,
            Fate::Lost => {
                self.inner.put_opts(location, payload, options).await?;
                Err(failed("the connection broke"))
            }
            Fate::Torn => {
                let bytes = bytes::Bytes::from(payload);
                let part = bytes.slice(..bytes.len() / 2);
                let overwrite = PutOptions {
                    mode: PutMode::Overwrite,
                    ..options
                };
                self.inner
                    .put_opts(location, part.into(), overwrite)
                    .await?;
                Err(failed("the connection broke"))
            }
            Fate::Dies { after } => {
                if after {
                    self.inner.put_opts(location, payload, options).await?;
                }
                std::process::abort()
            }
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.stall().await;
        self.with(|chance, faults| chance.upkeep(location, faults))?;
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.stall().await;
        self.read()?;
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let fails = self.with(|chance, faults| {
            let fails = chance.draw(faults.upkeep);
            chance.counts.upkeep += u32::from(fails);
            fails
        });
        let removed = match fails {
            true => stream::once(async { Err(failed("503 Service Unavailable")) }).boxed(),
            false => self.inner.delete_stream(locations),
        };
        after(self.silence(), removed)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let listed = match self.read() {
            Err(error) => stream::once(async { Err(error) }).boxed(),
            Ok(()) => self.inner.list(prefix),
        };
        after(self.silence(), listed)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.silence().await;
        self.read()?;
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
