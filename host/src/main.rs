//! The `assay` command.

use std::process::ExitCode;

/// Batches are large and come by the second. By its defaults the C library maps their buffers anew
/// each time and keeps an arena a thread: three times the memory, and a fifth of the time spent in
/// page faults. With one arena that keeps its buffers, what one batch gives back the next takes,
/// whichever thread it is on. Measured on two cores: less time than jemalloc, and nothing to build.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn keep_buffers() {
    const MIB: i32 = 1 << 20;
    let settings = [
        (libc::M_ARENA_MAX, 1),
        // The most that it takes; what is larger is mapped.
        (libc::M_MMAP_THRESHOLD, 32 * MIB),
        (libc::M_TRIM_THRESHOLD, 128 * MIB),
        (libc::M_TOP_PAD, 16 * MIB),
    ];
    for (name, value) in settings {
        // SAFETY: takes two numbers and keeps nothing; no other thread runs yet. A setting that it
        // refuses stays at its default, which costs time and nothing else.
        unsafe { libc::mallopt(name, value) };
    }
}

fn main() -> ExitCode {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    keep_buffers();
    assay::cli::main()
}
