//! `[batch]` and `[dedup]`: how much is held at once.

use std::time::Duration;

use serde::Deserialize;

use super::duration;

/// A batch is cut at whichever comes first.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BatchConfig {
    /// `rows`: how many messages.
    pub rows: usize,
    /// `bytes`: of payload.
    pub bytes: usize,
    /// `every`: after the batch's first message.
    #[serde(deserialize_with = "duration")]
    pub every: Duration,
}

impl Default for BatchConfig {
    /// Half a second keeps what a sale waits for under a second; 32,768 rows keep what batches hold,
    /// one gathering, one being judged and one being written, under 200 MiB, and larger ones are no
    /// quicker.
    fn default() -> Self {
        Self {
            rows: 32_768,
            bytes: 32 << 20,
            every: Duration::from_millis(500),
        }
    }
}

/// The index of the keys that are in silver.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DedupConfig {
    /// `bytes`: of memory, about.
    pub bytes: usize,
}

impl Default for DedupConfig {
    /// Four million keys as they are, fifty million as filters: several days of sixty stores.
    fn default() -> Self {
        Self { bytes: 256 << 20 }
    }
}
