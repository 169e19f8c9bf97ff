//! Tables that are larger than the tenant's quota.

use std::fmt;

/// What the tables have, and what they may have, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Over {
    pub bytes: u64,
    pub limit: u64,
}

impl fmt::Display for Over {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bytes, limit } = self;
        write!(
            f,
            "its tables have {bytes} bytes and [quota] lake_bytes = {limit}: nothing more is taken in, and nothing is lost; raise it in the TOML, which counts at once, or remove rows from the tables"
        )
    }
}
