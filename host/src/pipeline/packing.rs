//! Packing of small files beside a tenant's loop, one table at a time. It ends with the loop.

use std::time::Instant;

use tokio::task::JoinSet;

use super::coordinate::Layer;
use crate::lake::{Compaction, LakeError, Packed};

/// A packing rests for so many times as long as it took: a flood of small batches has what it
/// brings packed in a fifth of one core.
const REST: u32 = 4;

/// At most one packing, and the rest after it.
pub struct Packing {
    running: JoinSet<(Layer, Result<Packed, LakeError>)>,
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
        let Some(done) = self.running.join_next().await else {
            return std::future::pending().await;
        };
        self.rests = Instant::now() + self.since.elapsed() * REST;
        let (layer, packed) = done?;
        Ok((layer, packed?))
    }
}
