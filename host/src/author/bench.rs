//! What a component costs a row, measured as the host calls it.

use std::fmt;
use std::time::{Duration, Instant};

use super::trial::{Rows, Trial, TrialError};
use crate::plugin::{CompileLimits, Compiler, Component, Cost, Limits, PluginError, Sandbox};

/// Rows of a call, as the host cuts them for a component.
const ROWS: usize = 8_192;
/// Calls that are measured; the median of each part counts.
const CALLS: usize = 41;

/// What a component that is measured may use: more than any tenant allows, since what it needs is to
/// be found out.
pub fn roomy() -> Limits {
    Limits {
        memory: 1 << 30,
        fuel_per_row: 10_000_000,
        deadline: Duration::from_secs(60),
        ..Limits::default()
    }
}

/// What was measured of a component.
pub struct Measured {
    /// Compiling it, with nothing kept of an earlier time.
    pub compile: Duration,
    /// The median of each part.
    pub cost: Cost,
    /// What its tenant allows it.
    pub allowed: Limits,
}

/// Compiles a component anew, with nothing that was kept.
///
/// # Errors
/// What the bytes are instead of a component.
pub fn compile_anew(
    compiler: Compiler,
    wasm: &[u8],
    limits: &CompileLimits,
) -> Result<(Component, Duration), PluginError> {
    let sandbox = Sandbox::that_keeps_nothing(compiler)?;
    let begun = Instant::now();
    let component = sandbox.compile_any(wasm, limits)?;
    Ok((component, begun.elapsed()))
}

/// A component that is to be measured.
pub struct Candidate {
    pub trial: Trial,
    pub rows: Rows,
    /// What compiling it took.
    pub compile: Duration,
    /// What its tenant allows it.
    pub allowed: Limits,
}

/// Measures calls over each candidate's rows, repeated to as many as the host hands over at once. The
/// candidates take turns, so that what else the machine does is shared by them.
///
/// # Errors
/// A row that a component fails on.
pub fn measure(candidates: &[Candidate]) -> Result<Vec<Measured>, TrialError> {
    let mut loads = Vec::new();
    for candidate in candidates {
        let rows = candidate.rows.repeated(ROWS)?;
        // The first is for the processor's caches, and the instances' memory.
        candidate.trial.measure(&rows)?;
        loads.push((candidate, rows, Vec::with_capacity(CALLS)));
    }
    for _ in 0..CALLS {
        for (candidate, rows, costs) in &mut loads {
            costs.push(candidate.trial.measure(rows)?);
        }
    }
    let measured = loads.iter();
    Ok(measured
        .map(|(candidate, _, costs)| Measured::of(costs, candidate))
        .collect())
}

impl Measured {
    fn of(costs: &[Cost], candidate: &Candidate) -> Self {
        Self {
            compile: candidate.compile,
            allowed: candidate.allowed.clone(),
            cost: Cost {
                start: median(costs, |cost| cost.start),
                lend: median(costs, |cost| cost.lend),
                work: median(costs, |cost| cost.work),
                take: median(costs, |cost| cost.take),
                fuel: median(costs, |cost| cost.fuel),
                memory: median(costs, |cost| cost.memory),
            },
        }
    }

    /// Nanoseconds a row, without starting the instance.
    pub fn a_row(&self) -> f64 {
        let Cost {
            lend, work, take, ..
        } = self.cost;
        nanos_a_row(lend + work + take)
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Cost {
            start,
            lend,
            work,
            take,
            fuel,
            memory,
        } = self.cost;
        let limits = &self.allowed;
        let compile = self.compile.as_secs_f64() * 1e3;
        writeln!(
            f,
            "compile   {compile:.0} ms; the host keeps what was compiled"
        )?;
        let start = start.as_secs_f64() * 1e6;
        writeln!(
            f,
            "start     {start:.0} µs a call: a fresh instance, configured"
        )?;
        writeln!(
            f,
            "a row     {:.1} ns: {:.1} in the component, at the boundary {:.1} in and {:.1} out",
            self.a_row(),
            nanos_a_row(work),
            nanos_a_row(lend),
            nanos_a_row(take)
        )?;
        let rows = u64::try_from(ROWS).unwrap_or(u64::MAX);
        let fuel = fuel.div_ceil(rows);
        writeln!(
            f,
            "fuel      {fuel} a row; {} are allowed{}",
            limits.fuel_per_row,
            more("fuel_per_row", fuel > limits.fuel_per_row)
        )?;
        write!(
            f,
            "memory    {} KiB; {} are allowed{}",
            memory.div_ceil(1024),
            limits.memory / 1024,
            more("memory", memory > limits.memory)
        )
    }
}

/// What to do where a component needs more than it has without asking.
fn more(limit: &str, needed: bool) -> String {
    match needed {
        true => format!(", so the TOML must say limits = {{ {limit} = … }} beside the component"),
        false => String::new(),
    }
}

fn nanos_a_row(all: Duration) -> f64 {
    all.as_secs_f64() * 1e9 / ROWS as f64
}

fn median<T: Ord + Copy + Default>(costs: &[Cost], part: impl Fn(&Cost) -> T) -> T {
    let mut parts: Vec<T> = costs.iter().map(part).collect();
    parts.sort_unstable();
    parts.get(parts.len() / 2).copied().unwrap_or_default()
}
