//! A machine whose wall clock jumps and whose disk fails, for a host alone: a small library stands
//! before libc's functions of that kind. The host is the one that users run.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::place::repository;

/// Where each number lies in the file that the library looks at.
const CLOCK: u64 = 0;
const WRITES: u64 = 8;

pub struct Machine {
    folder: TempDir,
    numbers: File,
    disk: String,
}

impl Machine {
    /// A machine in order. `lake` is what lies on the disk that may fail.
    pub fn new(lake: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let built = Command::new("cc")
            .args(["-O2", "-shared", "-fPIC", "-o"])
            .arg(folder.path().join("machine.so"))
            .arg(repository().join("tests/machine/machine.c"))
            .output()
            .expect("a C compiler, as building needs it too");
        let said = String::from_utf8_lossy(&built.stderr);
        assert!(built.status.success(), "{said}");
        let path = folder.path().join("numbers");
        std::fs::write(&path, [0; 16]).unwrap();
        let numbers = File::options().read(true).write(true).open(path).unwrap();
        Self {
            folder,
            numbers,
            disk: lake.to_str().unwrap().to_owned(),
        }
    }

    /// What has a process run on it.
    pub fn variables(&self) -> [(&'static str, String); 3] {
        let path = |name: &str| self.folder.path().join(name).to_str().unwrap().to_owned();
        [
            ("LD_PRELOAD", path("machine.so")),
            ("ASSAY_MACHINE", path("numbers")),
            ("ASSAY_DISK", self.disk.clone()),
        ]
    }

    /// Has the wall clock be so many seconds off from here on.
    pub fn set_clock(&self, seconds: i64) {
        self.set(CLOCK, seconds);
    }

    /// Has the so manieth write or sync from here on fail. One fails, then the disk is good again.
    pub fn break_disk(&self, after: u32) {
        self.set(WRITES, i64::from(after));
    }

    /// Whether the disk has broken since it was told to.
    pub fn has_broken(&self) -> bool {
        let mut bytes = [0; 8];
        self.numbers.read_exact_at(&mut bytes, WRITES).unwrap();
        i64::from_ne_bytes(bytes) <= 0
    }

    fn set(&self, at: u64, number: i64) {
        let bytes = number.to_ne_bytes();
        self.numbers.write_all_at(&bytes, at).unwrap();
    }
}
