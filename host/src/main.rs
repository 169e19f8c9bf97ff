//! The `assay` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    assay::allocator::keep_buffers();
    assay::cli::main()
}
