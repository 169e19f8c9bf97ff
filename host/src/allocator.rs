//! The C library's allocator, told how a host uses memory. Where there is another C library, it does as
//! it does.

/// Batches are large and come by the second. By its defaults the C library maps their buffers anew
/// each time and keeps an arena a thread: three times the memory, and a fifth of the time spent in
/// page faults. With one arena that keeps its buffers, what one batch gives back the next takes,
/// whichever thread it is on. Measured on two cores: less time than jemalloc, and nothing to build.
///
/// To be called before there is another thread.
pub fn keep_buffers() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
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
}

/// Gives what is free back to the system, also where it lies below something that is in use: an arena
/// alone never does that, and what many tenants need to start, or a backlog to be caught up, would stay
/// this process's for ever. Whoever wants memory waits meanwhile, some milliseconds for 100 MiB.
pub fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: takes a number and keeps nothing. It may be called at any time, from any thread.
    unsafe {
        libc::malloc_trim(0)
    };
}

/// The memory that the process has of the system, in bytes; 0 where the system does not say.
pub fn resident() -> u64 {
    // SAFETY: takes a number and gives one back.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    let pages = || {
        let said = std::fs::read_to_string("/proc/self/statm").ok()?;
        said.split(' ').nth(1)?.parse::<u64>().ok()
    };
    u64::try_from(page).unwrap_or(0) * pages().unwrap_or(0)
}
