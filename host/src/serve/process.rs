//! What the process itself uses, as Linux says.

/// Figures of this process.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Process {
    /// Of user and system together, in seconds.
    pub cpu_seconds: f64,
    pub resident_bytes: u64,
    pub open_files: u64,
    /// Seconds since 1970.
    pub started: f64,
}

impl Process {
    /// As it is now; zeros where the system does not say.
    pub fn now() -> Self {
        Self::read().unwrap_or_default()
    }

    fn read() -> Option<Self> {
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        let system = std::fs::read_to_string("/proc/stat").ok()?;
        let files = std::fs::read_dir("/proc/self/fd").ok()?.count();
        let mut process = Self::of(
            &stat,
            &system,
            unit(libc::_SC_CLK_TCK)?,
            unit(libc::_SC_PAGESIZE)?,
        )?;
        process.open_files = files as u64;
        Some(process)
    }

    fn of(stat: &str, system: &str, ticks: u64, page: u64) -> Option<Self> {
        // The name may hold spaces and parentheses; what follows its last one is numbers. They
        // begin with the third field.
        let (_, rest) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        let seconds = |ticked: u64| ticked as f64 / ticks as f64;
        let boot = system
            .lines()
            .find_map(|line| line.strip_prefix("btime "))?;
        let boot: u64 = boot.trim().parse().ok()?;
        Some(Self {
            cpu_seconds: seconds(field(14)? + field(15)?),
            resident_bytes: field(24)? * page,
            open_files: 0,
            started: boot as f64 + seconds(field(22)?),
        })
    }
}

fn unit(name: libc::c_int) -> Option<u64> {
    // SAFETY: takes a number and gives one back.
    let value = unsafe { libc::sysconf(name) };
    u64::try_from(value).ok().filter(|value| *value > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_are_read_whatever_the_process_is_called() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 1 2 3 4 150 50 0 0 20 0 8 0 1000 99 250 18446744073709551615\n";
        let process = Process::of(stat, "cpu 1\nbtime 1700000000\n", 100, 4096).unwrap();
        let wanted = Process {
            cpu_seconds: 2.0,
            resident_bytes: 1_024_000,
            open_files: 0,
            started: 1_700_000_010.0,
        };
        assert_eq!(process, wanted);
        assert!(Process::now().resident_bytes > 1 << 20);
    }
}
