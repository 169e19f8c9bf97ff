//! The compiler's own process: a component comes in, native code goes out. What it is given is
//! hostile until proven otherwise, and what it may use ends with its process.

use std::io::{self, Read, Write};

use wasmtime::{Engine, OutOfMemory};

use super::CompileLimits;
use super::confine::confine;
use crate::plugin::engine::config;

/// What the first byte of an answer says of the rest.
pub(super) const CODE: u8 = b'c';
pub(super) const BROKEN: u8 = b'b';
pub(super) const MEMORY: u8 = b'm';

/// Makes native code of the component on the standard input and writes it to the standard output,
/// with this process's limits lowered for ever to `limits`. For the process that
/// [`Compiler::Process`](super::Compiler::Process) starts, and nobody else.
///
/// # Errors
/// Limits that the system does not take, or a pipe that is gone. What is wrong with the component is
/// an answer.
pub fn compile_input(limits: &CompileLimits) -> io::Result<()> {
    confine(limits)?;
    let mut wasm = Vec::new();
    io::stdin().lock().read_to_end(&mut wasm)?;
    let engine = Engine::new(&config()).map_err(io::Error::other)?;
    let compiled = engine.precompile_component(&wasm);
    let mut out = io::stdout().lock();
    match compiled {
        Ok(code) => {
            out.write_all(&[CODE])?;
            out.write_all(&u64::try_from(code.len()).unwrap_or(u64::MAX).to_le_bytes())?;
            out.write_all(&code)?;
        }
        Err(error) if is_want(&error) => out.write_all(&[MEMORY])?,
        Err(error) => {
            out.write_all(&[BROKEN])?;
            write!(out, "{error:#}")?;
        }
    }
    out.flush()
}

/// Whether it is memory that was missing. What the system refuses has no type here but its number.
fn is_want(error: &wasmtime::Error) -> bool {
    error.is::<OutOfMemory>() || format!("{error:#}").contains("(os error 12)")
}

/// In this process, for tests.
#[cfg(test)]
pub(super) fn within(engine: &Engine, wasm: &[u8]) -> Result<Vec<u8>, crate::plugin::PluginError> {
    engine
        .precompile_component(wasm)
        .map_err(|error| crate::plugin::PluginError::Broken {
            problem: format!("{error:#}"),
        })
}
