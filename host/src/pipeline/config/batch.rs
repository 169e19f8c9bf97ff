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
    /// `bytes`: of payload; a share of `[quota] memory` where there is none.
    pub bytes: Option<usize>,
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
            bytes: None,
            every: Duration::from_millis(500),
        }
    }
}

/// The index of the keys that are in silver.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DedupConfig {
    /// `bytes`: of memory, about; a share of `[quota] memory` where there is none.
    pub bytes: Option<usize>,
}
