//! `assay` over a lake that fails as `ASSAY_FAULTS` says, as in `seed=7,lost=0.2,die=40`.

use std::process::ExitCode;

fn main() -> ExitCode {
    assay::cli::main()
}
