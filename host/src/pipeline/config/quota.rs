//! `[quota]`: how much of its host a tenant may take. It is the host's own business and no part of a
//! rule set: a host takes an edit of it up while it runs, all but `memory`.

use serde::Deserialize;
use toml::Spanned;

use crate::processor::USUAL_WEIGHT;

/// The largest weight: one tenant beside a thousand of the least.
const MOST_SHARE: u32 = 10_000;

/// Memory of who says nothing, in bytes: half of it holds four million keys as they are, and fifty
/// million as filters, which is several days of sixty stores.
const USUAL_MEMORY: usize = 512 << 20;

/// With less, one batch of large messages would not fit, in bytes.
const LEAST_MEMORY: usize = 64 << 20;

/// `[quota]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QuotaConfig {
    /// `cpu_share`: what its CPU time counts beside the other tenants'.
    pub cpu_share: Spanned<u32>,
    /// `rows_per_second`: messages that it may take in, over a second or more.
    pub rows_per_second: Option<Spanned<u64>>,
    /// `lake_bytes`: what the live files of its tables may have together before it takes nothing
    /// more in.
    pub lake_bytes: Option<Spanned<u64>>,
    /// `memory`: bytes for its messages, keys and sums, about.
    pub memory: Option<Spanned<usize>>,
}

impl Default for QuotaConfig {
    /// No tenant is slowed that nobody meant to slow; a share is like every other's.
    fn default() -> Self {
        Self {
            cpu_share: Spanned::new(0..0, USUAL_WEIGHT),
            rows_per_second: None,
            lake_bytes: None,
            memory: None,
        }
    }
}

/// What a tenant may take of its host while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    pub cpu_share: u32,
    pub rows_per_second: Option<u64>,
    pub lake_bytes: Option<u64>,
}

impl Default for Quota {
    fn default() -> Self {
        QuotaConfig::default().quota()
    }
}

/// What a tenant's memory is for, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// The keys of silver.
    pub dedup: usize,
    /// The payload of one batch. Up to three are there at a time: one is gathered, one judged, one
    /// written.
    pub batch: usize,
    /// What gold's tables have gathered, all of them together.
    pub sums: usize,
}

impl QuotaConfig {
    pub fn quota(&self) -> Quota {
        Quota {
            cpu_share: *self.cpu_share.get_ref(),
            rows_per_second: self.rows_per_second.as_ref().map(|named| *named.get_ref()),
            lake_bytes: self.lake_bytes.as_ref().map(|named| *named.get_ref()),
        }
    }

    /// How the memory is used, where the TOML names the size of a batch or of the keys' index or not.
    ///
    /// # Errors
    /// What is named does not fit; with the place in the text.
    pub(super) fn memory(
        &self,
        batch: Option<usize>,
        dedup: Option<usize>,
    ) -> Result<Memory, (usize, String)> {
        let named = self.memory.as_ref();
        let all = named.map_or(USUAL_MEMORY, |named| *named.get_ref());
        let memory = Memory {
            dedup: dedup.unwrap_or(all / 2),
            batch: batch.unwrap_or(all / 16),
            sums: all / 8,
        };
        let Some(at) = named.map(|named| named.span().start) else {
            // Parts that are named alone say themselves what they take.
            return Ok(memory);
        };
        if all < LEAST_MEMORY {
            let problem = format!("memory = {all} is too little; the least is {LEAST_MEMORY}");
            return Err((at, problem));
        }
        let wanted = memory.batch.saturating_mul(3);
        let wanted = wanted.saturating_add(memory.dedup);
        let wanted = wanted.saturating_add(memory.sums);
        if wanted > all {
            let problem = format!(
                "[dedup] bytes = {}, three times [batch] bytes = {} and an eighth for gold's sums are {wanted} bytes, and [quota] memory = {all}: raise it, or lower those",
                memory.dedup, memory.batch
            );
            return Err((at, problem));
        }
        Ok(memory)
    }

    /// What is wrong, and where in the text it stands.
    pub(super) fn check(&self) -> Result<(), (usize, String)> {
        let share = &self.cpu_share;
        if !(1..=MOST_SHARE).contains(share.get_ref()) {
            let problem = format!(
                "cpu_share = {} is no share: use 1 to {MOST_SHARE}; {USUAL_WEIGHT} is what tenants have that say nothing",
                share.get_ref()
            );
            return Err((share.span().start, problem));
        }
        let limits = [
            ("rows_per_second", &self.rows_per_second),
            ("lake_bytes", &self.lake_bytes),
        ];
        for (name, limit) in limits {
            if let Some(limit) = limit
                && *limit.get_ref() == 0
            {
                let problem = format!(
                    "{name} = 0 lets nothing in: say `assay tenant pause` for that, or leave it out for no limit"
                );
                return Err((limit.span().start, problem));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::with as read;
    use super::*;

    #[test]
    fn without_a_word_nobody_is_slowed_and_memory_is_what_its_parts_are() {
        let config = read("").unwrap();
        let quota = config.quota.quota();
        assert_eq!(quota, Quota::default());
        assert_eq!((quota.rows_per_second, quota.lake_bytes), (None, None));
        let usual = Memory {
            dedup: 256 << 20,
            batch: 32 << 20,
            sums: 64 << 20,
        };
        assert_eq!(config.memory(), usual);
        let config = read("[quota]\nmemory = 67108864\n[batch]\nbytes = 1000\n").unwrap();
        let small = Memory {
            dedup: 32 << 20,
            batch: 1_000,
            sums: 8 << 20,
        };
        assert_eq!(config.memory(), small);
    }

    #[test]
    fn what_is_wrong_with_a_quota_is_said_with_its_line() {
        for (more, line, says) in [
            ("[quota]\ncpu_share = 0\n", 10, "1 to 10000"),
            ("[quota]\nrows_per_second = 0\n", 10, "lets nothing in"),
            (
                "[quota]\nmemory = 1000\nlake_bytes = 0\n",
                11,
                "lake_bytes = 0",
            ),
            ("[quota]\nmemory = 1000\n", 10, "the least is 67108864"),
            (
                "[quota]\nmemory = 100000000\n[dedup]\nbytes = 100000000\n",
                10,
                "[dedup] bytes = 100000000",
            ),
            ("[quota]\nrows = 5\n", 10, "rows"),
        ] {
            let said = read(more).unwrap_err().to_string();
            let placed = said.contains(&format!("retail.toml:{line}: "))
                || said.contains(&format!("line {line}"));
            assert!(placed && said.contains(says), "{more}: {said}");
        }
    }
}
