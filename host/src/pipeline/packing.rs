//! Packing of small files beside a tenant's loop, one table at a time. It ends with the loop.

use std::time::Instant;

use tokio::task::{JoinError, JoinSet};

use super::coordinate::Layer;
use crate::lake::{Compaction, LakeError, Packed};

/// A packing rests for so many times as long as it took: what a flood of small batches brings is
/// packed in half of one core at most.
const REST: u32 = 1;

/// At most one packing, and the rest after it.
pub struct Packing {
    running: JoinSet<Done>,
    since: Instant,
    rests: Instant,
}

impl Default for Packing {
    fn default() -> Self {
        Self {
            running: JoinSet::new(),
            since: Instant::now(),
            rests: Instant::now(),
        }
    }
}

impl Packing {
    /// Whether another may begin.
    pub fn is_idle(&self) -> bool {
        self.running.is_empty() && self.rests <= Instant::now()
    }

    /// When a rest ends after which another may begin.
    pub fn rested(&self) -> Option<Instant> {
        (self.running.is_empty() && self.rests > Instant::now()).then_some(self.rests)
    }

    pub fn begin(&mut self, layer: Layer, compaction: Compaction) {
        self.since = Instant::now();
        self.running
            .spawn(async move { (layer, compaction.run().await) });
    }

    /// What was packed, once it is; never where nothing is.
    ///
    /// # Errors
    /// It failed. The small files are still there.
    ///
    /// # Cancellation
    /// Safe.
    pub async fn done(&mut self) -> Result<(Layer, Packed), LakeError> {
        match self.running.join_next().await {
            Some(done) => self.rest(done),
            None => std::future::pending().await,
        }
    }

    /// What was packed, if it is by now.
    ///
    /// # Errors
    /// As of [`Self::done`].
    pub fn try_done(&mut self) -> Option<Result<(Layer, Packed), LakeError>> {
        let done = self.running.try_join_next()?;
        Some(self.rest(done))
    }

    fn rest(&mut self, done: Result<Done, JoinError>) -> Result<(Layer, Packed), LakeError> {
        self.rests = Instant::now() + self.since.elapsed() * REST;
        let (layer, packed) = done?;
        Ok((layer, packed?))
    }
}

type Done = (Layer, Result<Packed, LakeError>);
