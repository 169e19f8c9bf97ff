//! `assay` over a lake that fails as `ASSAY_FAULTS` says, as in `seed=7,lost=0.2,die=40`, and that
//! dies, fails or waits where `FAILPOINTS` says, as in `silver.put=5*off->return(die)`: the points
//! are those of `lake::fault`.

use std::process::ExitCode;

fn main() -> ExitCode {
    assay::allocator::keep_buffers();
    let _points = fail::FailScenario::setup();
    assay::cli::main()
}
