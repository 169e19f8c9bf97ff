//! The sandbox: components and what may come back from them. The only place that names wasmtime.
//!
//! Nothing that a component says is believed: every answer is checked against its own description
//! before a row meets it. Each call runs in a fresh instance, so what a row becomes depends on its
//! batch alone, and only limits that are the same on every machine may convict a row.
//!
//! A call runs on the caller's thread and takes up to half a MiB of its stack.

mod bindings;

mod limits;

mod log;

mod contract;

mod compile;

mod known;

mod engine;

mod description;

mod lend;

mod take;

mod call;

mod pace;

mod judge;

mod fold;

mod measure;

mod usage;

mod trace;

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

pub use compile::{CompileLimits, Compiler, compile_input};
pub use description::{
    Action, Description, Field, GroupDescription, Kind, LookUp, RowDescription, Rule,
};
pub use engine::{Component, Configured, Sandbox};
pub use judge::{Guilty, Judged, Verdict};
pub use limits::{HostLimits, Limits};
pub use measure::{Cost, Load};
pub use usage::Usage;

/// One step of the road that a row takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    Cleanse,
    Validate,
    Enrich,
    Aggregate,
}

impl Step {
    pub const ALL: [Self; 4] = [Self::Cleanse, Self::Validate, Self::Enrich, Self::Aggregate];

    /// What the step does, which is also what its function is called.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cleanse => "cleanse",
            Self::Validate => "validate",
            Self::Enrich => "enrich",
            Self::Aggregate => "aggregate",
        }
    }

    /// The world that a component of this step is written for.
    pub fn world(self) -> &'static str {
        match self {
            Self::Cleanse => "cleanser",
            Self::Validate => "validator",
            Self::Enrich => "enricher",
            Self::Aggregate => "aggregator",
        }
    }

    /// The interface that a component of this step exports, without package and version.
    fn interface(self) -> &'static str {
        match self {
            Self::Cleanse => "cleansing",
            Self::Validate => "validation",
            Self::Enrich => "enrichment",
            Self::Aggregate => "aggregation",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a row, or a group, could not be got through a component. All of them are deterministic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// The component trapped: a panic, a division by zero, a read past its memory.
    Trap,
    Fuel,
    Memory,
    Output,
    /// The component answered with an error, or with what can't be believed.
    Answer,
    /// The row holds a value that the contract can't carry: a decimal past 64 bits.
    Input,
}

impl Cause {
    /// The rule under which the row stands in quarantine.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Trap => "trap",
            Self::Fuel => "out_of_fuel",
            Self::Memory => "out_of_memory",
            Self::Output => "output_too_large",
            Self::Answer => "bad_answer",
            Self::Input => "value_too_large",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a component can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PluginError {
    #[error("the sandbox can't be set up on this machine: {problem}")]
    Engine { problem: String },
    #[error(
        "this is no WebAssembly (it begins with {begins:?}): name the .wasm that `assay plugin build` makes"
    )]
    NotWasm { begins: String },
    #[error(
        "this is a core WebAssembly module, not a component: build it with `assay plugin build`, or turn it into one with `wasm-tools component new`"
    )]
    CoreModule,
    #[error("this component can't be compiled: {problem}")]
    Broken { problem: String },
    #[error(
        "compiling this component takes more than {seconds} s of the processor's time: make it smaller, its largest function above all, or, if it is to be trusted, raise compile_seconds under [limits] of the tenant's TOML"
    )]
    CompileTime { seconds: u64 },
    #[error(
        "compiling this component takes more than {bytes} bytes of memory: make it smaller, its largest function above all, or, if it is to be trusted, raise compile_memory under [limits] of the tenant's TOML"
    )]
    CompileMemory { bytes: u64 },
    #[error(
        "compiling this component took longer than {after:?} by the clock: the machine may be overloaded; try again, or raise compile_seconds under [limits] of the tenant's TOML"
    )]
    CompileClock { after: Duration },
    #[error(
        "this component makes {bytes} bytes of native code, and the host takes {allowed} at most: make it smaller"
    )]
    CompiledSize { bytes: u64, allowed: u64 },
    #[error(
        "the compiler's process failed: {problem}; try again, and if it stays so, look whether this machine lets `assay` start processes"
    )]
    Compiler { problem: String },
    #[error(
        "this component is a {} and does the step {found}, but it is used for the step {wanted}, which wants a {}",
        found.world(), wanted.world()
    )]
    OtherStep { found: Step, wanted: Step },
    #[error(
        "this is no component of assay:rules: it exports {}, where {wanted} is wanted: end lib.rs with `validator!(…)`, or `cleanser!`, `enricher!`, `aggregator!`",
        list(exports)
    )]
    NoStep {
        exports: Vec<String>,
        wanted: String,
    },
    #[error(
        "this component is written for {found}, and this host speaks {ours} and each version before it from which nothing was taken away: {}",
        match later {
            true => "run an assay that speaks it, or build the component with this one's SDK, which `assay plugin new` brings along",
            false => "build the component again with this one's SDK, which `assay plugin new` brings along; its source may have to follow",
        }
    )]
    OtherVersion {
        /// Both as in `assay:rules@0.1.0`.
        found: String,
        ours: String,
        /// It is written for a version that is yet to come here.
        later: bool,
    },
    #[error(
        "this component imports {}; rules get nothing but {offered} (no files, clocks or network): build it for wasm32-unknown-unknown, or drop what needs it",
        list(names)
    )]
    Import { names: Vec<String>, offered: String },
    #[error(
        "this component makes handles of a resource of its own (resource.new), which would fill tables of the host: rules exchange columns, so drop the resource"
    )]
    Resources,
    #[error(
        "this component's types are not those of this host's assay:rules: {problem}; build it again with this version's wit/"
    )]
    Contract { problem: String },
    #[error("it refuses its params: {problem}")]
    Params { problem: String },
    #[error("its description does not hold: {problem}")]
    Description { problem: String },
    #[error("it failed in {function} ({cause}): {text}")]
    Failed {
        function: &'static str,
        cause: Cause,
        text: String,
    },
    #[error("{function} took longer than {after:?}: the machine may be overloaded; try again")]
    Deadline {
        function: &'static str,
        after: Duration,
    },
    #[error("the host could not call {function}: {problem}")]
    Host {
        function: &'static str,
        problem: String,
    },
}

/// Why a call gave no answer. None of them convicts a row.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    #[error(
        "{function} took longer than {after:?}, which decides about no row: the machine may be overloaded, or the component waits for ever; look at it, then start again"
    )]
    Deadline {
        function: &'static str,
        after: Duration,
    },
    #[error(
        "{function} fails on too many rows ({guilty} of the first {seen} of {rows}; the last: {cause}: {text}): mend the component, then re-pin with `assay rules re-pin`"
    )]
    TooManyGuilty {
        function: &'static str,
        guilty: usize,
        seen: usize,
        rows: usize,
        cause: Cause,
        text: String,
    },
    /// What is measured is not searched for.
    #[error("{function} failed ({cause}): {text}; `assay plugin run --broken` says on which rows")]
    Measured {
        function: &'static str,
        cause: Cause,
        text: String,
    },
    #[error("{function} failed at group {group} ({cause}): {text}")]
    Guest {
        function: &'static str,
        /// Counted from 0 within the call's groups.
        group: u32,
        cause: Cause,
        text: String,
    },
    #[error("{function} is not what this component does: it is a {world}")]
    OtherStep {
        function: &'static str,
        world: &'static str,
    },
    #[error("the host could not call {function}: {problem}")]
    Host {
        function: &'static str,
        problem: String,
    },
}

/// Bytes of a list of names, which a component chooses and of which it may have many.
const LONGEST_LIST: usize = 1_024;

fn list(names: &[String]) -> String {
    if names.is_empty() {
        return "nothing".into();
    }
    log::one_line(&names.join(", "), LONGEST_LIST)
}
