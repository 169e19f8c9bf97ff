//! `assay compile-component`: the compiler's own process. The host starts it, people don't.

use anyhow::Context as _;

use crate::plugin::{CompileLimits, compile_input};

/// Compile the component on the standard input to native code on the standard output, within limits
#[derive(clap::Args)]
pub struct Args {
    /// Time of the processor, in seconds
    #[arg(long)]
    seconds: u64,
    /// Bytes of memory
    #[arg(long)]
    memory: u64,
}

/// # Errors
/// Limits that the system does not take, or pipes that are gone.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let limits = CompileLimits {
        seconds: args.seconds,
        memory: args.memory,
    };
    compile_input(&limits).context("compile a component for the host")
}
