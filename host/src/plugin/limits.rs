//! How much a call may use. Every limit but the deadline is deterministic: the same rows meet it
//! on every machine, so it may convict a row. The deadline only frees the thread.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use wasmtime::{Error, ResourceLimiter};

use super::compile::CompileLimits;

/// What one call of a component may use. Fuel and output grow with the rows of a call, so that a
/// component is not convicted for being given many rows at once.
///
/// All but the deadline are part of a rule set. One that names none was made with the defaults as
/// they are here, so these never change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Bytes of linear memory and tables together. A batch of 8,192 rows takes about 1 MiB.
    pub memory: usize,
    /// Fuel for instantiating, configuring, and what a call does once. About one unit an
    /// instruction: 50 million are some 50 ms.
    pub fuel: u64,
    /// Fuel for each row beside that. A typical rule takes less than 200.
    pub fuel_per_row: u64,
    /// Bytes that an answer may have, and any one line of log. It is above what a broker takes as
    /// the largest message, several times, so that a row can hand its fields back.
    pub output: usize,
    /// Bytes of answer for each row beside that.
    pub output_per_row: usize,
    /// Bytes of log that a call may write.
    pub log: usize,
    /// Fuel that the failed calls of one batch may burn together while the guilty rows are
    /// searched for. Past it the component is broken rather than the rows.
    pub search: u64,
    /// Wall-clock time of one call, without what it waits for other tenants. It convicts nobody: a
    /// loaded machine must not change what becomes of a row. It stands far above what fuel allows a batch on an idle machine.
    #[serde(skip, default = "usual_deadline")]
    pub deadline: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 64 << 20,
            fuel: 50_000_000,
            fuel_per_row: 20_000,
            output: 8 << 20,
            output_per_row: 4 << 10,
            log: 8 << 10,
            search: 20_000_000_000,
            deadline: usual_deadline(),
        }
    }
}

fn usual_deadline() -> Duration {
    Duration::from_secs(10)
}

/// What a host allows components that is no part of a rule set: none of it decides about a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostLimits {
    /// Wall-clock time of one call, as in [`Limits`].
    pub deadline: Duration,
    pub compile: CompileLimits,
}

impl Default for HostLimits {
    fn default() -> Self {
        Self {
            deadline: usual_deadline(),
            compile: CompileLimits::default(),
        }
    }
}

/// Entries that a component's tables may have, each. The same on every machine, whatever its engine
/// has reserved.
pub(super) const TABLE_ENTRIES: usize = 100_000;

/// The limits of one call, for its rows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    pub memory: usize,
    pub fuel: u64,
    pub output: usize,
    pub log: usize,
    pub deadline: Duration,
}

impl Limits {
    /// What a call over `rows` may use. `width` multiplies what may convict a row.
    pub(super) fn budget(&self, rows: usize, width: u32) -> Budget {
        let wide = width.max(1);
        let wide_size = usize::try_from(wide).unwrap_or(usize::MAX);
        let count = u64::try_from(rows).unwrap_or(u64::MAX);
        let fuel = self
            .fuel
            .saturating_add(self.fuel_per_row.saturating_mul(count));
        let output = self
            .output
            .saturating_add(self.output_per_row.saturating_mul(rows));
        Budget {
            memory: self.memory.saturating_mul(wide_size),
            fuel: fuel.saturating_mul(u64::from(wide)),
            output: output.saturating_mul(wide_size),
            log: self.log,
            deadline: self.deadline,
        }
    }
}

/// Counts what an instance holds of the host's memory.
#[derive(Debug)]
pub(super) struct Ledger {
    limit: usize,
    held: usize,
    /// What the instance asked for in all when it was refused, in bytes.
    pub refused: Option<usize>,
    /// The host itself had no memory to give.
    pub host_want: Option<String>,
}

impl Ledger {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            held: 0,
            refused: None,
            host_want: None,
        }
    }

    pub(super) fn held(&self) -> usize {
        self.held
    }

    fn take(&mut self, current: usize, desired: usize, unit: usize) -> wasmtime::Result<bool> {
        let more = desired.saturating_sub(current).saturating_mul(unit);
        let held = self.held.saturating_add(more);
        if held > self.limit {
            self.refused = Some(held);
            return Err(Error::msg("memory limit"));
        }
        self.held = held;
        Ok(true)
    }

    fn want(&mut self, error: Error) -> wasmtime::Result<()> {
        self.host_want = Some(format!("{error:#}"));
        Err(error)
    }
}

impl ResourceLimiter for Ledger {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            // The module's own limit: its business, and it is told in its own way.
            return Ok(false);
        }
        self.take(current, desired, 1)
    }

    fn memory_grow_failed(&mut self, error: Error) -> wasmtime::Result<()> {
        self.want(error)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if desired > TABLE_ENTRIES || maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        self.take(current, desired, size_of::<usize>())
    }

    fn table_grow_failed(&mut self, error: Error) -> wasmtime::Result<()> {
        self.want(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wide_call_may_use_sixteen_times_as_much_but_not_more_time() {
        let limits = Limits::default();
        let plain = limits.budget(8_192, 1);
        let wide = limits.budget(8_192, 16);
        assert_eq!(wide.fuel, 16 * plain.fuel);
        assert_eq!(wide.memory, 16 * plain.memory);
        assert_eq!(wide.output, 16 * plain.output);
        assert_eq!(wide.deadline, plain.deadline);
    }

    #[test]
    fn memories_and_tables_share_one_budget() {
        let mut ledger = Ledger::new(1_000);
        assert!(ledger.memory_growing(0, 600, None).is_ok());
        assert!(ledger.table_growing(0, 40, None).is_ok());
        assert!(ledger.memory_growing(0, 100, None).is_err());
        assert_eq!(ledger.refused, Some(600 + 40 * size_of::<usize>() + 100));
    }
}
