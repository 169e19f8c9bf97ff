//! From the bytes of a component to one that is compiled, configured and known by what it says of
//! itself. Whatever can't be right is refused here, before it meets a row.

use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use wasmparser::{CanonicalFunction, Parser, Payload};
use wasmtime::component::{self, InstancePre, Linker};
use wasmtime::{
    Cache, CacheConfig, Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig,
};

use super::bindings::exports::assay::rules as exports;
use super::call::{Fault, Held, Session};
use super::limits::{Limits, TABLE_ENTRIES};
use super::usage::{Usage, Used};
use super::{Description, GroupDescription, PluginError, RowDescription, Step, log};
use crate::environment::cache_folder;

/// How often deadlines are looked at.
const TICK: Duration = Duration::from_millis(10);

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

/// What components are written against.
pub const CONTRACT: &str = "assay:rules@0.1.0";
const PACKAGE: &str = "assay:rules/";
const VERSION: &str = "@0.1.0";

/// Compiles components. One for the process is enough.
pub struct Sandbox {
    engine: Engine,
    linker: Linker<Held>,
}

/// A component, compiled. Cheap to clone, and to be shared by whatever uses the same bytes.
#[derive(Clone)]
pub struct Component(Arc<Compiled>);

pub(super) struct Compiled {
    pub pre: InstancePre<Held>,
    pub exports: Exports,
    pub step: Step,
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
    pub fn new() -> Result<Arc<Self>, PluginError> {
        Self::with_cache(cache())
    }

    /// One that compiles everything anew.
    ///
    /// # Errors
    /// As [`Sandbox::new`].
    pub fn without_cache() -> Result<Arc<Self>, PluginError> {
        Self::with_cache(None)
    }

    fn with_cache(cache: Option<Cache>) -> Result<Arc<Self>, PluginError> {
        let wrong = |error: wasmtime::Error| PluginError::Engine {
            problem: format!("{error:#}"),
        };
        let mut config = config();
        config.cache(cache);
        // A machine that does not let so much address space be reserved has memory mapped by need.
        let engine = Engine::new(config.clone().allocation_strategy(pool()))
            .or_else(|_| {
                Engine::new(config.allocation_strategy(InstanceAllocationStrategy::OnDemand))
            })
            .map_err(wrong)?;
        let mut linker = Linker::new(&engine);
        let mut host = linker
            .instance(&format!("{PACKAGE}host{VERSION}"))
            .map_err(wrong)?;
        host.func_wrap("log", log::log).map_err(wrong)?;
        tick(&engine)?;
        Ok(Arc::new(Self { engine, linker }))
    }

    /// Compiles a component that is to do `step`.
    ///
    /// # Errors
    /// What the bytes are instead of such a component.
    pub fn compile(self: &Arc<Self>, wasm: &[u8], step: Step) -> Result<Component, PluginError> {
        self.compile_for(wasm, Some(step))
    }

    /// Compiles a component that may do whichever step.
    ///
    /// # Errors
    /// What the bytes are instead of a component of the contract.
    pub fn compile_any(self: &Arc<Self>, wasm: &[u8]) -> Result<Component, PluginError> {
        self.compile_for(wasm, None)
    }

    fn compile_for(
        self: &Arc<Self>,
        wasm: &[u8],
        wanted: Option<Step>,
    ) -> Result<Component, PluginError> {
        check_header(wasm)?;
        check_handles(wasm)?;
        let broken = |error: wasmtime::Error| PluginError::Broken {
            problem: format!("{error:#}"),
        };
        let compiled = component::Component::from_binary(&self.engine, wasm).map_err(broken)?;
        let shape = compiled.component_type();
        let names: Vec<String> = shape
            .exports(&self.engine)
            .map(|(name, _)| name.to_owned())
            .collect();
        let step = step_of(names.iter().map(String::as_str), wanted)?;
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
        Ok(Component(Arc::new(Compiled {
            pre,
            exports,
            step,
            imports,
            names,
            _sandbox: self.clone(),
        })))
    }
}

impl Component {
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
        self.0.step
    }

    /// What it asks for from outside, by its full names.
    pub fn imports(&self) -> &[String] {
        &self.0.imports
    }

    /// What it offers, by its full names.
    pub fn exports(&self) -> &[String] {
        &self.0.names
    }

    /// Whether anybody else holds it, configured or not.
    pub fn is_shared(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }

    pub(super) fn compiled(&self) -> &Compiled {
        &self.0
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
fn config() -> Config {
    let mut config = Config::new();
    config.consume_fuel(true);
    config.epoch_interruption(true);
    config.cranelift_nan_canonicalization(true);
    config.relaxed_simd_deterministic(true);
    config.wasm_memory64(false);
    config.wasm_multi_memory(false);
    config.wasm_component_model(true);
    config.max_wasm_stack(STACK);
    config.wasm_backtrace_max_frames(None);
    config
}

/// Places for instances, reserved and not taken. An instance may grow past what a place keeps, up to
/// its tenant's limit.
fn pool() -> InstanceAllocationStrategy {
    let mut pool = PoolingAllocationConfig::new();
    pool.max_memory_size(usize::try_from(u32::MAX).unwrap_or(usize::MAX))
        .linear_memory_keep_resident(KEPT)
        .table_keep_resident(KEPT)
        .table_elements(TABLE_ENTRIES)
        .max_tables_per_module(TABLES)
        .max_unused_warm_slots(WARM);
    InstanceAllocationStrategy::Pooling(pool)
}

/// Where compiled code is kept, so that a known component starts at once. It is native code, which
/// is run as it is found: the folder is this user's alone. Without one, everything is compiled anew.
fn cache() -> Option<Cache> {
    let folder = cache_folder()?.join("compiled");
    let opened = private(&folder)
        .map_err(wasmtime::Error::from)
        .and_then(|()| {
            let mut config = CacheConfig::new();
            config.with_directory(&folder);
            Cache::new(config)
        });
    opened
        .inspect_err(|error| {
            let folder = folder.display();
            tracing::warn!(%folder, %error, "compiled components can't be kept; each start compiles them");
        })
        .ok()
}

/// Makes a folder that only this user can look into and write to.
fn private(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700))
}

/// Lets deadlines pass, until the engine is gone.
fn tick(engine: &Engine) -> Result<(), PluginError> {
    let engine = engine.weak();
    let ticker = move || {
        loop {
            thread::sleep(TICK);
            match engine.upgrade() {
                Some(engine) => engine.increment_epoch(),
                None => return,
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

/// How many ticks `deadline` is.
pub(super) fn ticks(deadline: Duration) -> u64 {
    let ticks = deadline.as_millis().div_ceil(TICK.as_millis());
    // The first tick may come at once.
    u64::try_from(ticks).unwrap_or(u64::MAX).saturating_add(1)
}

fn refused(function: &'static str, fault: Fault) -> PluginError {
    match fault {
        Fault::Guest { cause, text } => PluginError::Failed {
            function,
            cause,
            text,
        },
        Fault::Deadline(after) => PluginError::Deadline { function, after },
        Fault::Contract(problem) => PluginError::Contract { problem },
        Fault::Host(problem) => PluginError::Host { function, problem },
    }
}

fn check_header(wasm: &[u8]) -> Result<(), PluginError> {
    match wasm {
        [0, b'a', b's', b'm', 1, 0, 0, 0, ..] => Err(PluginError::CoreModule),
        [0, b'a', b's', b'm', ..] => Ok(()),
        other => {
            let begin: Vec<u8> = other.iter().take(8).copied().collect();
            Err(PluginError::NotWasm {
                begins: String::from_utf8_lossy(&begin).into_owned(),
            })
        }
    }
}

/// A component that makes resources keeps their handles in tables of the host, which no limit of an
/// instance counts. What can't be read here is told when it is compiled.
fn check_handles(wasm: &[u8]) -> Result<(), PluginError> {
    for part in Parser::new(0).parse_all(wasm) {
        let Ok(Payload::ComponentCanonicalSection(functions)) = part else {
            continue;
        };
        let makes = |function| matches!(function, Ok(CanonicalFunction::ResourceNew { .. }));
        if functions.into_iter().any(makes) {
            return Err(PluginError::Resources);
        }
    }
    Ok(())
}

/// The step that a component of these exports does, which must be the one that is wanted.
fn step_of<'a>(
    names: impl Iterator<Item = &'a str>,
    wanted: Option<Step>,
) -> Result<Step, PluginError> {
    let names: Vec<String> = names.map(str::to_owned).collect();
    let interface = |step: Step| format!("{PACKAGE}{}{VERSION}", step.interface());
    let has = |step: &Step| names.contains(&interface(*step));
    if let Some(wanted) = wanted.filter(has) {
        return Ok(wanted);
    }
    match (Step::ALL.into_iter().find(has), wanted) {
        (Some(found), None) => return Ok(found),
        (Some(found), Some(wanted)) => return Err(PluginError::OtherStep { found, wanted }),
        (None, _) => {}
    }
    let wanted = match wanted {
        Some(wanted) => interface(wanted),
        None => Step::ALL.map(interface).join(" or "),
    };
    let ours = |name: &&String| name.starts_with(PACKAGE);
    match names.iter().find(ours) {
        Some(found) => Err(PluginError::OtherVersion {
            found: found.clone(),
            ours: wanted,
        }),
        None => Err(PluginError::NoStep {
            exports: names,
            wanted,
        }),
    }
}

fn check_imports(names: &[String]) -> Result<(), PluginError> {
    let host = format!("{PACKAGE}host{VERSION}");
    let types = format!("{PACKAGE}types{VERSION}");
    let foreign = names
        .iter()
        .filter(|name| **name != host && **name != types);
    let foreign: Vec<String> = foreign.cloned().collect();
    match foreign.is_empty() {
        true => Ok(()),
        false => Err(PluginError::Import {
            names: foreign,
            offered: host,
        }),
    }
}
