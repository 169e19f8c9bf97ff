//! Which Rust on this machine can compile to WebAssembly.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::build::{BuildError, TARGET};

/// Debian's Rust that follows its browser: new enough, with its standard library's source.
pub(super) const DEBIAN_PACKAGES: &str = "rustc-web cargo-web rust-web-src rust-web-llvm lld-22";

/// For one download from rustup's server. Where there is no network, refusing can take as long as
/// a connection's time-out; nobody should wait for more.
const RUSTUP_PATIENCE: Duration = Duration::from_secs(60);

const DEBIAN_CARGO: &str = "/usr/bin/cargo";
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_LINKER: &str = "/usr/bin/rust-lld";

/// A Rust that can compile to WebAssembly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Toolchain {
    /// The one on the PATH has the target's standard library.
    OnPath,
    /// Debian's, which compiles the standard library from source.
    Debian,
}

impl Toolchain {
    /// The first that works: what is installed, what rustup can add, Debian's.
    ///
    /// # Errors
    /// `NoToolchain` says what to install.
    pub(super) fn find(workspace: &Path) -> Result<Self, BuildError> {
        if has_target(workspace) {
            return Ok(Self::OnPath);
        }
        let rustup = add_target(workspace);
        if rustup.is_ok() && has_target(workspace) {
            return Ok(Self::OnPath);
        }
        match debian() {
            Ok(()) => Ok(Self::Debian),
            Err(lacking) => Err(BuildError::NoToolchain {
                reason: match rustup {
                    Ok(()) => format!("rustup added the target in vain; {lacking}"),
                    Err(failed) => format!("{failed}; {lacking}"),
                },
            }),
        }
    }

    pub(super) fn cargo_path(self) -> &'static str {
        match self {
            Self::OnPath => "cargo",
            Self::Debian => DEBIAN_CARGO,
        }
    }

    /// Cargo, so that it uses this toolchain.
    pub(super) fn cargo(self) -> Command {
        let mut cargo = Command::new(self.cargo_path());
        if self == Self::Debian {
            // By their full paths, because rustup's come first on the PATH. The standard library
            // may be compiled from source by this compiler, because it is this compiler's own.
            cargo
                .env("RUSTC", DEBIAN_RUSTC)
                .env("RUSTC_BOOTSTRAP", "1")
                .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", DEBIAN_LINKER)
                .args(["-Z", "build-std=std,panic_abort"]);
        }
        cargo
    }
}

/// Whether the compiler on the PATH has the target's standard library.
fn has_target(workspace: &Path) -> bool {
    let found = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", TARGET])
        .current_dir(workspace)
        .stderr(Stdio::null())
        .output();
    let Ok(found) = found else { return false };
    let folder = String::from_utf8_lossy(&found.stdout).trim().to_owned();
    let Ok(entries) = std::fs::read_dir(folder) else {
        return false;
    };
    found.status.success()
        && entries.flatten().any(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            name.starts_with("libstd-") && name.ends_with(".rlib")
        })
}

/// Lets rustup add the target, if there is a rustup.
fn add_target(workspace: &Path) -> Result<(), String> {
    let mut rustup = Command::new("rustup")
        .args(["target", "add", TARGET])
        .current_dir(workspace)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|_| "there is no rustup".to_owned())?;
    let end = Instant::now() + RUSTUP_PATIENCE;
    loop {
        match rustup.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => return Err(format!("rustup could not add it: {status}")),
            Ok(None) if Instant::now() < end => std::thread::sleep(Duration::from_millis(50)),
            Ok(None) | Err(_) => {
                // It may have ended by itself just now; then there is nothing to stop.
                let _ = rustup.kill();
                let _ = rustup.wait();
                let seconds = RUSTUP_PATIENCE.as_secs();
                return Err(format!("rustup could not add it within {seconds} seconds"));
            }
        }
    }
}

/// Whether Debian's Rust is whole.
fn debian() -> Result<(), String> {
    for needed in [DEBIAN_CARGO, DEBIAN_RUSTC, DEBIAN_LINKER] {
        if !Path::new(needed).exists() {
            return Err(format!("Debian's {needed} is not installed"));
        }
    }
    let sysroot = Command::new(DEBIAN_RUSTC)
        .args(["--print", "sysroot"])
        .output();
    let sysroot = sysroot.map_err(|error| format!("{DEBIAN_RUSTC}: {error}"))?;
    let source = Path::new(String::from_utf8_lossy(&sysroot.stdout).trim())
        .join("lib/rustlib/src/rust/library/std/Cargo.toml");
    match source.exists() {
        true => Ok(()),
        false => Err(format!(
            "Debian's rust-web-src is not installed: {} is missing",
            source.display()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debians_cargo_is_called_by_its_full_path_with_its_own_compiler() {
        let cargo = Toolchain::Debian.cargo();
        assert_eq!(cargo.get_program(), DEBIAN_CARGO);
        let rustc = cargo.get_envs().find(|(name, _)| *name == "RUSTC");
        assert_eq!(
            rustc.and_then(|(_, path)| path),
            Some(DEBIAN_RUSTC.as_ref())
        );
        assert_eq!(Toolchain::OnPath.cargo().get_program(), "cargo");
        assert_eq!(Toolchain::OnPath.cargo().get_args().count(), 0);
    }
}
