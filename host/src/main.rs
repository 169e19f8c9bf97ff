//! The `assay` command.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::Parser;
use tikv_jemallocator::Jemalloc;

/// Batches are large and come by the second. The C library's allocator maps their buffers anew each
/// time and keeps an arena a thread: twice the memory, and a fifth of the time spent in faults.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// One arena and a decay of ten seconds: what one batch gives back, the next takes, whichever thread
/// it is on. Measured on two cores: half the memory of the defaults, at less time.
// SAFETY: the name is jemalloc's own for its settings, and the value a C string that lives for ever.
#[unsafe(export_name = "malloc_conf")]
pub static ALLOCATOR_SETTINGS: &std::ffi::c_char = {
    let settings = c"narenas:1,dirty_decay_ms:10000,muzzy_decay_ms:0";
    // SAFETY: a C string has at least its end.
    unsafe { &*settings.as_ptr() }
};

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
