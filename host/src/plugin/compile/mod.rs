//! From a component's bytes to native code. Compiling what a stranger wrote can take any amount of
//! time and memory, so a process of its own does it, with limits that the system keeps. What it
//! made is kept, so that a known component starts at once.

mod answer;

mod child;

mod confine;

mod kept;

mod places;

use std::path::{Path, PathBuf};

use wasmtime::Engine;
use wasmtime::component::Component;

pub use answer::compile_input;

use self::kept::{Kept, Name};
use self::places::{Place, Places, SOON};
use super::PluginError;
use crate::environment::cache_folder;

/// What compiling one component may use. The host's own business, and no part of a rule set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompileLimits {
    /// Time of the processor, of all threads together, in seconds. It does not pass while others
    /// use the machine.
    pub seconds: u64,
    /// Bytes that the compiler may take beyond those that it begins with.
    pub memory: u64,
}

impl Default for CompileLimits {
    fn default() -> Self {
        Self {
            seconds: SECONDS,
            memory: MEMORY,
        }
    }
}

/// A component that brings an interpreter along takes an eighth of it. The compiler of a debug build
/// is itself not optimised, and takes some ten times as long.
const SECONDS: u64 = if cfg!(debug_assertions) { 2_400 } else { 240 };

/// A component that brings an interpreter along takes a quarter of it, half a GiB.
const MEMORY: u64 = 2 << 30;

/// Who makes native code of components.
#[derive(Clone, Debug)]
pub enum Compiler {
    /// A process for each, of this executable, which must be an `assay` of the same build.
    Process(PathBuf),
    /// The calling thread, without limits: a test's executable is no `assay`.
    #[cfg(test)]
    Within,
}

impl Compiler {
    /// The executable that runs, which must be `assay`. Where the system can say so, it is the very
    /// file that was started, even if another has taken its name meanwhile.
    ///
    /// # Errors
    /// The system does not say which that is.
    pub fn this_program() -> std::io::Result<Self> {
        let running = PathBuf::from("/proc/self/exe");
        match running.exists() {
            true => Ok(Self::Process(running)),
            false => std::env::current_exe().map(Self::Process),
        }
    }
}

/// Where native code comes from: what was kept, or the compiler.
pub(super) struct Workbench {
    compiler: Compiler,
    kept: Option<Kept>,
    places: Places,
}

impl Workbench {
    pub(super) fn new(compiler: Compiler, engine: &Engine, keep: bool) -> Self {
        Self {
            compiler,
            kept: keep.then(|| kept(engine)).flatten(),
            places: Places::default(),
        }
    }

    /// A component's native code, ready to be called.
    pub(super) fn component(
        &self,
        engine: &Engine,
        wasm: &[u8],
        limits: &CompileLimits,
    ) -> Result<Component, PluginError> {
        let known = self.kept.as_ref().map(|kept| (kept, kept.name(wasm)));
        if let Some(component) = found(engine, known.as_ref()) {
            return Ok(component);
        }
        let place = self.places.soon();
        // Whoever had the place may have compiled the same.
        if let Some(component) = found(engine, known.as_ref()) {
            return Ok(component);
        }
        let code = match &self.compiler {
            Compiler::Process(program) => self.code(program, place, wasm, limits)?,
            #[cfg(test)]
            Compiler::Within => answer::within(engine, wasm)?,
        };
        // SAFETY: as in `found`; these bytes are what a compiler of this build just made, and came
        // by a pipe that nobody else holds.
        let component = unsafe { Component::deserialize(engine, &code) };
        let component = component.map_err(|error| PluginError::Compiler {
            problem: format!("what it made can't be loaded: {error:#}"),
        })?;
        if let Some((kept, name)) = &known {
            kept.put(name, &code);
        }
        Ok(component)
    }

    /// What a compiler's process makes of a component. One that takes long while another does is
    /// stopped, and begun again when that one is done: its few seconds are lost, where its memory
    /// would be held.
    fn code<'a>(
        &'a self,
        program: &Path,
        mut place: Place<'a>,
        wasm: &[u8],
        limits: &CompileLimits,
    ) -> Result<Vec<u8>, PluginError> {
        loop {
            let mut stay = || self.places.stay(&mut place);
            if let Some(code) = child::compile(program, wasm, limits, SOON, &mut stay)? {
                return Ok(code);
            }
            drop(place);
            place = self.places.long();
        }
    }
}

/// The component whose code was kept, if it was.
fn found(engine: &Engine, known: Option<&(&Kept, Name)>) -> Option<Component> {
    let (kept, name) = known?;
    let code = kept.get(name)?;
    // SAFETY: native code is run as it stands, so it must be this user's own compiler's. It is: the
    // bytes in memory, not a file that could change meanwhile, have the seal of `Kept`, and nobody
    // but this user can read the key that seals. wasmtime itself refuses code of another version or
    // for another processor.
    let loaded = unsafe { Component::deserialize(engine, &code) };
    loaded
        .inspect_err(|error| tracing::warn!(%error, "kept code does not load; it is compiled anew"))
        .ok()
}

/// Without a place to keep code in, everything is compiled anew.
fn kept(engine: &Engine) -> Option<Kept> {
    let folder = cache_folder()?.join("compiled");
    Kept::open(&folder, engine)
        .inspect_err(|error| {
            let folder = folder.display();
            tracing::warn!(%folder, %error, "compiled components can't be kept; each start compiles them");
        })
        .ok()
}
