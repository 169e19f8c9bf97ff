//! From the bytes of a component to one that is compiled, configured and known by what it says of
//! itself. Whatever can't be right is refused here, before it meets a row.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use wasmtime::component::{InstancePre, Linker};
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use super::bindings::exports::assay::rules as exports;
use super::call::{Fault, Held, Session};
use super::compile::{CompileLimits, Compiler, Workbench};
use super::contract::{check_bytes, check_imports, interface, step_of};
use super::known::Known;
use super::limits::{Limits, TABLE_ENTRIES};
use super::usage::{Usage, Used};
use super::{Description, GroupDescription, PluginError, RowDescription, Step, log, trace};
use crate::names::Digest;

/// How often calls look at their deadlines, and whether others wait for the processor.
const TICK: Duration = Duration::from_millis(5);

/// Stack that a component may use, out of the caller's. Threads have 2 MiB unless told otherwise,
/// so that the host's own frames never decide whether a component fits.
const STACK: usize = 512 << 10;

/// Memory of an instance that stays mapped for the next one, wiped: what a batch of 8,192 rows
/// takes. Each call has an instance of its own, and faulting fresh pages in would cost it more than
/// the rules do.
const KEPT: usize = 8 << 20;

/// Places that are kept so for components that are not being called, all together.
const WARM: u32 = 16;

/// Tables that a module may have.
const TABLES: u32 = 8;

/// Compiles components. One for the process is enough.
pub struct Sandbox {
    engine: Engine,
    linker: Linker<Held>,
    workbench: Workbench,
    /// Nothing, where everything is to be compiled anew.
    known: Option<Known>,
}

/// A component, compiled. Cheap to clone, and to be shared by whatever uses the same bytes.
#[derive(Clone)]
pub struct Component {
    compiled: Arc<Compiled>,
    /// Of this one and its clones, whoever else has the same code.
    own: Arc<()>,
}

pub(super) struct Compiled {
    pub pre: InstancePre<Held>,
    pub exports: Exports,
    pub step: Step,
    pub contract: String,
    pub imports: Vec<String>,
    pub names: Vec<String>,
    /// The engine's clock runs as long as somebody can still call.
    _sandbox: Arc<Sandbox>,
}

/// Where a component's functions are.
pub(super) enum Exports {
    Cleanse(exports::cleansing::GuestIndices),
    Validate(exports::validation::GuestIndices),
    Enrich(exports::enrichment::GuestIndices),
    Aggregate(exports::aggregation::GuestIndices),
}

/// A component with its params: ready to be called, from many threads at once.
#[derive(Clone)]
pub struct Configured {
    pub description: Description,
    pub(super) inner: Arc<Setup>,
}

/// What every call of a configured component begins with.
pub(super) struct Setup {
    pub component: Component,
    pub params: String,
    pub limits: Limits,
    pub used: Arc<Used>,
}

impl Sandbox {
    /// # Errors
    /// `Engine`: this machine can't run WebAssembly as the sandbox needs it.
    pub fn new(compiler: Compiler) -> Result<Arc<Self>, PluginError> {
        Self::build(compiler, true)
    }

    /// One that compiles everything anew.
    ///
    /// # Errors
    /// As [`Sandbox::new`].
    pub fn that_keeps_nothing(compiler: Compiler) -> Result<Arc<Self>, PluginError> {
        Self::build(compiler, false)
    }

    fn build(compiler: Compiler, keep: bool) -> Result<Arc<Self>, PluginError> {
        let wrong = |error: wasmtime::Error| PluginError::Engine {
            problem: format!("{error:#}"),
        };
        let mut config = config();
        // A machine that does not let so much address space be reserved has memory mapped by need.
        let engine = Engine::new(config.clone().allocation_strategy(pool()))
            .or_else(|_| {
                Engine::new(config.allocation_strategy(InstanceAllocationStrategy::OnDemand))
            })
            .map_err(wrong)?;
        let mut linker = Linker::new(&engine);
        let mut host = linker.instance(&interface("host")).map_err(wrong)?;
        host.func_wrap("log", log::log).map_err(wrong)?;
        tick(&engine)?;
        let workbench = Workbench::new(compiler, &engine, keep);
        Ok(Arc::new(Self {
            engine,
            linker,
            workbench,
            known: keep.then(Known::default),
        }))
    }

    /// Compiles a component that is to do `step`, unless its code was kept. Takes as long as `limits`
    /// let it, and while others compile.
    ///
    /// # Errors
    /// What the bytes are instead of such a component, or which limit they do not keep to.
    pub fn compile(
        self: &Arc<Self>,
        wasm: &[u8],
        step: Step,
        limits: &CompileLimits,
    ) -> Result<Component, PluginError> {
        self.compile_for(wasm, Some(step), limits)
    }

    /// As [`Sandbox::compile`], of a component that may do whichever step.
    ///
    /// # Errors
    /// As [`Sandbox::compile`].
    pub fn compile_any(
        self: &Arc<Self>,
        wasm: &[u8],
        limits: &CompileLimits,
    ) -> Result<Component, PluginError> {
        self.compile_for(wasm, None, limits)
    }

    fn compile_for(
        self: &Arc<Self>,
        wasm: &[u8],
        wanted: Option<Step>,
        limits: &CompileLimits,
    ) -> Result<Component, PluginError> {
        let name = (Digest::of(wasm), wanted);
        let known = self.known.as_ref();
        if let Some(compiled) = known.and_then(|known| known.get(&name)) {
            return Ok(Component::of(compiled));
        }
        let compiled = Arc::new(self.prepare(wasm, wanted, limits)?);
        Ok(Component::of(match known {
            Some(known) => known.put(name, compiled),
            None => compiled,
        }))
    }

    fn prepare(
        self: &Arc<Self>,
        wasm: &[u8],
        wanted: Option<Step>,
        limits: &CompileLimits,
    ) -> Result<Compiled, PluginError> {
        check_bytes(wasm)?;
        let compiled = self.workbench.component(&self.engine, wasm, limits)?;
        let shape = compiled.component_type();
        let names: Vec<String> = shape
            .exports(&self.engine)
            .map(|(name, _)| name.to_owned())
            .collect();
        let (step, contract) = step_of(names.iter().map(String::as_str), wanted)?;
        let imports: Vec<String> = shape
            .imports(&self.engine)
            .map(|(name, _)| name.to_owned())
            .collect();
        check_imports(&imports)?;
        let unlike = |error: wasmtime::Error| PluginError::Contract {
            problem: format!("{error:#}"),
        };
        let pre = self.linker.instantiate_pre(&compiled).map_err(unlike)?;
        let exports = Exports::find(&pre, step).map_err(unlike)?;
        Ok(Compiled {
            pre,
            exports,
            step,
            contract,
            imports,
            names,
            _sandbox: self.clone(),
        })
    }
}

impl Component {
    fn of(compiled: Arc<Compiled>) -> Self {
        let own = Arc::default();
        Self { compiled, own }
    }

    /// Configures a fresh instance with `params` (the text of a JSON object), and asks it what it
    /// reads and makes.
    ///
    /// # Errors
    /// What the component does not like about its params, or the host about its description.
    pub fn configure(&self, params: &str, limits: &Limits) -> Result<Configured, PluginError> {
        let setup = Setup {
            component: self.clone(),
            params: params.to_owned(),
            limits: limits.clone(),
            used: Arc::default(),
        };
        let mut session = Session::start(&setup, &limits.budget(0, 1), false)
            .map_err(|fault| refused("configure", fault))?;
        session
            .configure(params)
            .map_err(|fault| refused("configure", fault))?
            .map_err(|problem| PluginError::Params {
                problem: log::one_line(&problem, 1_024),
            })?;
        let description = session
            .describe()
            .map_err(|fault| refused("describe", fault))?;
        Ok(Configured {
            description: description?,
            inner: Arc::new(setup),
        })
    }

    pub fn step(&self) -> Step {
        self.compiled.step
    }

    /// The contract that it was written against, as in `assay:rules@0.1.0`.
    pub fn contract(&self) -> &str {
        &self.compiled.contract
    }

    /// What it asks for from outside, by its full names.
    pub fn imports(&self) -> &[String] {
        &self.compiled.imports
    }

    /// What it offers, by its full names.
    pub fn exports(&self) -> &[String] {
        &self.compiled.names
    }

    /// Whether anybody else holds it, configured or not, of those who have it from here.
    pub fn is_shared(&self) -> bool {
        Arc::strong_count(&self.own) > 1
    }

    pub(super) fn compiled(&self) -> &Compiled {
        &self.compiled
    }
}

impl Configured {
    pub fn step(&self) -> Step {
        self.inner.component.step()
    }

    /// What its calls used since this was last asked.
    pub fn take_usage(&self) -> Usage {
        self.inner.used.take()
    }

    /// What it reads and makes, if it works row by row.
    pub fn rows(&self) -> Option<&RowDescription> {
        match &self.description {
            Description::Rows(rows) => Some(rows),
            Description::Groups(_) => None,
        }
    }

    /// What it reads and makes, if it aggregates.
    pub fn groups(&self) -> Option<&GroupDescription> {
        match &self.description {
            Description::Groups(groups) => Some(groups),
            Description::Rows(_) => None,
        }
    }
}

impl Exports {
    fn find(pre: &InstancePre<Held>, step: Step) -> wasmtime::Result<Self> {
        Ok(match step {
            Step::Cleanse => Self::Cleanse(exports::cleansing::GuestIndices::new(pre)?),
            Step::Validate => Self::Validate(exports::validation::GuestIndices::new(pre)?),
            Step::Enrich => Self::Enrich(exports::enrichment::GuestIndices::new(pre)?),
            Step::Aggregate => Self::Aggregate(exports::aggregation::GuestIndices::new(pre)?),
        })
    }
}

/// Deterministic, and with everything off that rules have no use for. Threads, garbage collection
/// and asynchronous components are not even compiled in.
pub(super) fn config() -> Config {
    let mut config = Config::new();
    config.consume_fuel(true);
    config.epoch_interruption(true);
    config.cranelift_nan_canonicalization(true);
    config.relaxed_simd_deterministic(true);
    config.wasm_memory64(false);
    config.wasm_multi_memory(false);
    config.wasm_component_model(true);
    config.max_wasm_stack(STACK);
    config.wasm_backtrace_max_frames(NonZeroUsize::new(trace::FRAMES));
    config
}

/// Places for instances, reserved and not taken. An instance may grow past what a place keeps, up to
/// its tenant's limit.
fn pool() -> InstanceAllocationStrategy {
    let mut pool = PoolingAllocationConfig::new();
    pool.max_memory_size(usize::try_from(u32::MAX).unwrap_or(usize::MAX))
        .linear_memory_keep_resident(KEPT)
        .table_keep_resident(KEPT)
        // Where the kernel can say which pages were written (Linux 6.7), only those are wiped.
        .pagemap_scan(Enabled::Auto)
        .table_elements(TABLE_ENTRIES)
        .max_tables_per_module(TABLES)
        .max_unused_warm_slots(WARM);
    InstanceAllocationStrategy::Pooling(pool)
}

/// Lets deadlines pass, until the engine is gone.
fn tick(engine: &Engine) -> Result<(), PluginError> {
    let engine = engine.weak();
    let ticker = move || {
        // A sleep is longer than it was asked to be: what is late is made up for, so that a deadline
        // is as far off as it says.
        let mut next = Instant::now() + TICK;
        loop {
            thread::sleep(next.saturating_duration_since(Instant::now()));
            let Some(engine) = engine.upgrade() else {
                return;
            };
            while next <= Instant::now() {
                engine.increment_epoch();
                next += TICK;
            }
        }
    };
    let thread = thread::Builder::new().name("assay-deadlines".into());
    thread
        .spawn(ticker)
        .map(drop)
        .map_err(|error| PluginError::Engine {
            problem: format!("the thread for deadlines does not start: {error}"),
        })
}

fn refused(function: &'static str, fault: Fault) -> PluginError {
    match fault {
        Fault::Guest { cause, text, trace } => PluginError::Failed {
            function,
            cause,
            text: trace::told(text, &trace),
        },
        Fault::Deadline(after) => PluginError::Deadline { function, after },
        Fault::Contract(problem) => PluginError::Contract { problem },
        Fault::Host(problem) => PluginError::Host { function, problem },
    }
}
