//! What the compiler's process gives up before it looks at a component.

use std::fs;
use std::io;

use super::CompileLimits;

/// Lowers this process's limits for ever: time of the processor, memory beyond what it has by now, no
/// file written, no core. Where the system can, it also goes with the host, and before the host where
/// the machine has no memory left.
///
/// # Errors
/// A limit that the system does not take.
pub(super) fn confine(limits: &CompileLimits) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        // SAFETY: it takes numbers alone.
        if unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // A system that does not let it say so chooses by size, which is as good a guess.
        let _ = fs::write("/proc/self/oom_score_adj", "1000");
    }
    let memory = limits.memory.saturating_add(mapped());
    // At its last second a process is told which limit it met; at the one after it is just killed.
    let lowered = [
        (
            libc::RLIMIT_CPU,
            limits.seconds,
            limits.seconds.saturating_add(1),
        ),
        (libc::RLIMIT_AS, memory, memory),
        (libc::RLIMIT_FSIZE, 0, 0),
        (libc::RLIMIT_CORE, 0, 0),
    ];
    for (what, soft, hard) in lowered {
        let limit = libc::rlimit {
            rlim_cur: soft,
            rlim_max: hard,
        };
        // SAFETY: it reads `limit` alone, which is there until it returns.
        if unsafe { libc::setrlimit(what, &limit) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Bytes of this process's address space by now, as far as the system says: mostly the executable.
fn mapped() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let size = status.lines().find_map(|line| {
        let size = line.strip_prefix("VmSize:")?.trim().strip_suffix("kB")?;
        size.trim().parse::<u64>().ok()
    });
    size.unwrap_or_default().saturating_mul(1024)
}
