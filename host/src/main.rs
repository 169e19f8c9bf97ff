//! The `assay` command.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::Parser;
use tikv_jemallocator::Jemalloc;

/// Batches are large and come by the second. The C library's allocator maps their buffers anew each
/// time and keeps an arena a thread: twice the memory, and a fifth of the time spent in faults.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_env("ASSAY_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn,assay=info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
    match assay::cli::run(assay::cli::Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("assay: {}", assay::cli::told(&error));
            ExitCode::FAILURE
        }
    }
}
