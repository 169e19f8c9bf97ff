//! `[limits]` and `[breaker]`: what components may use, and how often they may fail. What the TOML does not name is as safe as by default.

use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::duration;
use crate::plugin::{CompileLimits, HostLimits, Limits};

/// Bytes that a component's file may have: one in Python, with its interpreter, has 18 MiB.
const COMPONENT: u64 = 32 << 20;

/// A page of WebAssembly's memory, in bytes: with less, nothing starts.
const PAGE: u64 = 64 << 10;

/// All that a component of 32 bits can address, in bytes.
const MOST_MEMORY: u64 = 4 << 30;

/// With less, the compiler has no room for its own threads, in bytes.
const LEAST_COMPILER: u64 = 64 << 20;

/// How many rows may be guilty: rows that a component trapped on, was starved by, or answered
/// nonsense about.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BreakerConfig {
    /// `share`: of the window's rows. With 1, none are too many.
    pub share: Spanned<f64>,
    /// `window`: how many rows back it looks.
    pub window: Spanned<u64>,
    /// `then`: what becomes of the tenant.
    pub then: Then,
}

/// What becomes of a tenant whose components fail on too many rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Then {
    /// It stops until a person has looked; its rows wait in bronze.
    #[default]
    Stop,
    /// The rule set before takes the failed one's place, and judges the rows that wait. Where there is
    /// none, or that fails too, it stops.
    FallBack,
}

impl Default for BreakerConfig {
    /// A topic that is poisoned in one row of a hundred is quarantine's business; a component that
    /// fails on one of ten is wrong. A thousand wrong rows can be re-pinned in one command.
    fn default() -> Self {
        Self {
            share: Spanned::new(0..0, 0.1),
            window: Spanned::new(0..0, 10_000),
            then: Then::default(),
        }
    }
}

/// `[limits]`, and the `limits` of one component.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// `memory`: bytes that an instance may hold.
    memory: Option<Spanned<u64>>,
    /// `fuel`: what a call may burn, about one unit an instruction, before its rows are counted.
    fuel: Option<Spanned<u64>>,
    /// `fuel_per_row`: what it may burn more for each row.
    fuel_per_row: Option<Spanned<u64>>,
    /// `output`: bytes that a call may answer with, before its rows are counted.
    output: Option<Spanned<u64>>,
    /// `output_per_row`: what it may answer with more for each row.
    output_per_row: Option<Spanned<u64>>,
    /// `log`: bytes of log that a call may write.
    log: Option<Spanned<u64>>,
    /// `search`: fuel that looking for the guilty rows of one call may burn.
    search: Option<Spanned<u64>>,
    /// `component`: bytes that a component's file may have. The tenant's alone.
    component: Option<Spanned<u64>>,
    /// `deadline`: wall-clock time of one call. It convicts nobody. The tenant's alone.
    #[serde(deserialize_with = "some_duration")]
    deadline: Option<Duration>,
    /// `compile_seconds`: time of the processor that compiling a component may take. The tenant's
    /// alone.
    compile_seconds: Option<Spanned<u64>>,
    /// `compile_memory`: bytes that compiling a component may take. The tenant's alone.
    compile_memory: Option<Spanned<u64>>,
}

impl LimitsConfig {
    /// `usual`, but for what is named here.
    pub fn over(&self, usual: &Limits) -> Limits {
        let units = |named: &Option<Spanned<u64>>, usual: u64| {
            named.as_ref().map_or(usual, |named| *named.get_ref())
        };
        let bytes = |named: &Option<Spanned<u64>>, usual: usize| {
            let named = named.as_ref().map(|named| *named.get_ref());
            named.map_or(usual, |named| usize::try_from(named).unwrap_or(usize::MAX))
        };
        Limits {
            memory: bytes(&self.memory, usual.memory),
            fuel: units(&self.fuel, usual.fuel),
            fuel_per_row: units(&self.fuel_per_row, usual.fuel_per_row),
            output: bytes(&self.output, usual.output),
            output_per_row: bytes(&self.output_per_row, usual.output_per_row),
            log: bytes(&self.log, usual.log),
            search: units(&self.search, usual.search),
            deadline: usual.deadline,
        }
    }

    /// What is the host's own, and no part of a rule set.
    pub fn host(&self) -> HostLimits {
        let units = |named: &Option<Spanned<u64>>, usual: u64| {
            named.as_ref().map_or(usual, |named| *named.get_ref())
        };
        let usual = HostLimits::default();
        HostLimits {
            deadline: self.deadline.unwrap_or(usual.deadline),
            compile: CompileLimits {
                seconds: units(&self.compile_seconds, usual.compile.seconds),
                memory: units(&self.compile_memory, usual.compile.memory),
            },
        }
    }

    /// Bytes that a component's file may have.
    pub fn component(&self) -> u64 {
        let named = self.component.as_ref();
        named.map_or(COMPONENT, |named| *named.get_ref())
    }

    /// What is wrong, and where in the text it stands.
    pub(super) fn check(&self) -> Result<(), (usize, String)> {
        let below = |named: &Option<Spanned<u64>>, least: u64, name: &str| match named {
            Some(named) if *named.get_ref() < least => Err((
                named.span().start,
                format!(
                    "{name} = {} is too little; the least is {least}",
                    named.get_ref()
                ),
            )),
            _ => Ok(()),
        };
        below(&self.memory, PAGE, "memory")?;
        below(&self.fuel, 1, "fuel")?;
        below(&self.output, 1, "output")?;
        below(&self.search, 1, "search")?;
        below(&self.component, 1, "component")?;
        below(&self.compile_seconds, 1, "compile_seconds")?;
        below(&self.compile_memory, LEAST_COMPILER, "compile_memory")?;
        match &self.memory {
            Some(named) if *named.get_ref() > MOST_MEMORY => Err((
                named.span().start,
                format!(
                    "memory = {} is more than the {MOST_MEMORY} bytes that a component can address",
                    named.get_ref()
                ),
            )),
            _ => Ok(()),
        }
    }

    /// What one component can't have of its own.
    pub(super) fn check_own(&self) -> Result<(), String> {
        let named = [
            ("component", self.component.is_some()),
            ("deadline", self.deadline.is_some()),
            ("compile_seconds", self.compile_seconds.is_some()),
            ("compile_memory", self.compile_memory.is_some()),
        ];
        match named.into_iter().find(|(_, named)| *named) {
            None => Ok(()),
            Some((name, _)) => Err(format!(
                "limits.{name} is for all components of the tenant: put it under [limits]"
            )),
        }
    }
}

fn some_duration<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    match duration(from)? {
        Duration::ZERO => Err(serde::de::Error::custom("a deadline is longer than 0")),
        deadline => Ok(Some(deadline)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::with as read;
    use super::*;

    #[test]
    fn a_components_limits_are_the_tenants_but_for_what_it_names() {
        let config = read(
            "[limits]\nmemory = 1000000\nfuel_per_row = 7\ndeadline = \"2s\"\ncomponent = 99\n\
             compile_seconds = 7\ncompile_memory = 99000000\n\
             [[validate]]\ncomponent = \"a.wasm\"\nlimits = { memory = 2000000, log = 0 }\n",
        );
        let config = config.unwrap();
        let usual = config.limits.over(&Limits::default());
        let wanted = Limits {
            memory: 1_000_000,
            fuel_per_row: 7,
            ..Limits::default()
        };
        assert_eq!(usual, wanted);
        let host = config.limits.host();
        assert_eq!(host.deadline, Duration::from_secs(2));
        assert_eq!((host.compile.seconds, host.compile.memory), (7, 99_000_000));
        assert_eq!(config.limits.component(), 99);
        let own = config.validate[0].limits.over(&usual);
        assert_eq!((own.memory, own.log, own.fuel_per_row), (2_000_000, 0, 7));
        let silent = read("").unwrap().limits;
        assert_eq!(silent.over(&Limits::default()), Limits::default());
        assert_eq!(silent.host(), HostLimits::default());
        assert_eq!(silent.host().deadline, Duration::from_secs(10));
    }

    #[test]
    fn what_is_wrong_with_a_limit_is_said_with_its_line() {
        for (more, line, says) in [
            (
                "[limits]\nfuel = 5\nmemory = 1024\n",
                11,
                "the least is 65536",
            ),
            ("[limits]\nmemory = 5000000000\n", 10, "can address"),
            ("[limits]\nfuel = 0\n", 10, "fuel = 0"),
            (
                "[limits]\ncompile_memory = 1000000\n",
                10,
                "the least is 67108864",
            ),
            ("[limits]\ncompile_seconds = 0\n", 10, "compile_seconds = 0"),
            (
                "[[enrich]]\ncomponent = \"a.wasm\"\nlimits = { compile_seconds = 9 }\n",
                10,
                "under [limits]",
            ),
            ("[limits]\nfuel = -1\n", 10, "-1"),
            ("[limits]\ndeadline = \"0s\"\n", 10, "longer than 0"),
            ("[limits]\ndeadline = 3\n", 10, "string"),
            ("[breaker]\nwindow = 0\n", 10, "window = 0"),
            ("[breaker]\nshare = 1.5\n", 10, "share = 1.5"),
            ("[breaker]\nshare = nan\n", 10, "no share"),
            ("[limits]\nmemry = 1024\n", 10, "memory"),
            (
                "[[enrich]]\ncomponent = \"a.wasm\"\nlimits = { deadline = \"1s\" }\n",
                10,
                "under [limits]",
            ),
            (
                "[[enrich]]\ncomponent = \"a.wasm\"\nlimits = { output = 0 }\n",
                11,
                "output = 0",
            ),
        ] {
            let said = read(more).unwrap_err().to_string();
            let placed = said.contains(&format!("retail.toml:{line}: "))
                || said.contains(&format!("line {line}"));
            assert!(placed && said.contains(says), "{more}: {said}");
        }
    }
}
