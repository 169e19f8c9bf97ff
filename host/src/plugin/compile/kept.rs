//! Native code that was compiled before. It is run as it is found, so what is found must be what
//! was put there: the folder is this user's alone, and each file bears a seal under a key that
//! nobody else can read. A file that was torn, changed, or put under another's name is not used.

use std::fs::{self, DirBuilder, File, Metadata, Permissions};
use std::hash::{Hash as _, Hasher};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use tempfile::NamedTempFile;
use wasmtime::Engine;

/// Bytes of a digest, of a seal, and of the key.
const SIZE: usize = 32;

/// Bytes that all files together may have. Past it, those go that were not used for longest.
const MOST_KEPT: u64 = 1 << 30;

const KEY: &str = "key";

/// A folder of native code for one engine.
pub(super) struct Kept {
    folder: PathBuf,
    key: [u8; SIZE],
    engine: blake3::Hash,
    most: u64,
}

/// Which component, for which engine.
pub(super) struct Name(blake3::Hash);

impl Kept {
    /// Opens the folder, or makes it.
    ///
    /// # Errors
    /// A folder that is not this user's, or can't be written.
    pub(super) fn open(folder: &Path, engine: &Engine) -> io::Result<Self> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
        if !is_own(&fs::metadata(folder)?) {
            return Err(io::Error::other("it belongs to another user"));
        }
        fs::set_permissions(folder, Permissions::from_mode(0o700))?;
        let mut hasher = Wide(blake3::Hasher::new());
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Ok(Self {
            folder: folder.to_owned(),
            key: key(folder)?,
            engine: hasher.0.finalize(),
            most: MOST_KEPT,
        })
    }

    pub(super) fn name(&self, wasm: &[u8]) -> Name {
        let mut hasher = blake3::Hasher::new();
        hasher.update(self.engine.as_bytes()).update(wasm);
        Name(hasher.finalize())
    }

    /// The code of a component, if it was kept and nobody changed it.
    pub(super) fn get(&self, name: &Name) -> Option<Vec<u8>> {
        let path = self.path(name);
        let mut code = fs::read(&path).ok()?;
        let at = code.len().checked_sub(SIZE)?;
        let seal: [u8; SIZE] = code.split_off(at).try_into().ok()?;
        // Compared in constant time.
        if self.seal(name, &code) != blake3::Hash::from_bytes(seal) {
            let file = path.display();
            tracing::warn!(%file, "kept code is not what was kept; it is compiled anew");
            return None;
        }
        // That it was used only matters to what goes first.
        let _ = File::open(&path).and_then(|file| file.set_modified(SystemTime::now()));
        Some(code)
    }

    /// Keeps the code of a component. Where that fails, it is compiled again next time.
    pub(super) fn put(&self, name: &Name, code: &[u8]) {
        let put = self.write(name, code).and_then(|()| self.make_room());
        if let Err(error) = put {
            let folder = self.folder.display();
            tracing::warn!(%folder, %error, "a compiled component can't be kept");
        }
    }

    fn write(&self, name: &Name, code: &[u8]) -> io::Result<()> {
        let mut file = NamedTempFile::new_in(&self.folder)?;
        file.write_all(code)?;
        file.write_all(self.seal(name, code).as_bytes())?;
        file.persist(self.path(name))?;
        Ok(())
    }

    /// The name is sealed with the code, so that one component's file is never another's.
    fn seal(&self, name: &Name, code: &[u8]) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(name.0.as_bytes()).update(code);
        hasher.finalize()
    }

    fn path(&self, name: &Name) -> PathBuf {
        self.folder.join(format!("{}.cwasm", name.0))
    }

    /// Removes the files that were not used for longest, down to what is allowed.
    fn make_room(&self) -> io::Result<()> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            // Another host may have removed it just now.
            let Ok(about) = entry.metadata() else {
                continue;
            };
            if about.is_file() && entry.file_name() != KEY {
                files.push((about.modified()?, about.len(), entry.path()));
            }
        }
        files.sort();
        let mut all: u64 = files.iter().map(|(_, bytes, _)| bytes).sum();
        for (_, bytes, path) in files {
            if all <= self.most {
                break;
            }
            // As above.
            let _ = fs::remove_file(path);
            all = all.saturating_sub(bytes);
        }
        Ok(())
    }
}

/// The key of a folder: what is there, if only this user can read it, else a new one.
fn key(folder: &Path) -> io::Result<[u8; SIZE]> {
    let path = folder.join(KEY);
    if let Some(key) = read_key(&path)? {
        return Ok(key);
    }
    let mut key = [0; SIZE];
    getrandom::fill(&mut key).map_err(io::Error::other)?;
    // Readable by this user alone from the start.
    let mut file = NamedTempFile::new_in(folder)?;
    file.write_all(&key)?;
    match file.persist_noclobber(&path) {
        Ok(_) => Ok(key),
        // Another host was quicker.
        Err(_) => read_key(&path)?.ok_or_else(|| io::Error::other("its key can't be read")),
    }
}

/// A key that others could read, or that was torn, is no secret and goes.
fn read_key(path: &Path) -> io::Result<Option<[u8; SIZE]>> {
    let about = match fs::symlink_metadata(path) {
        Ok(about) => about,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let private = about.is_file() && is_own(&about) && about.mode() & 0o077 == 0;
    match <[u8; SIZE]>::try_from(fs::read(path)?) {
        Ok(key) if private => Ok(Some(key)),
        _ => fs::remove_file(path).map(|()| None),
    }
}

fn is_own(about: &Metadata) -> bool {
    // SAFETY: takes nothing, and always succeeds.
    about.uid() == unsafe { libc::geteuid() }
}

/// Digests what wasmtime gives of itself to a hasher of numbers: 64 bits would be too few for a
/// name.
struct Wide(blake3::Hasher);

impl Hasher for Wide {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = *self.0.finalize().as_bytes();
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(folder: &Path) -> Kept {
        Kept::open(folder, &Engine::default()).unwrap()
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn what_is_kept_is_found_again_by_its_component_and_its_engine() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("compiled");
        let kept = open(&folder);
        let name = kept.name(b"wasm");
        assert_eq!(kept.get(&name), None);
        kept.put(&name, b"code");
        assert_eq!(open(&folder).get(&name).as_deref(), Some(&b"code"[..]));
        assert_eq!(kept.get(&kept.name(b"other wasm")), None);
        let fuelled = Engine::new(wasmtime::Config::new().consume_fuel(true)).unwrap();
        let other = Kept::open(&folder, &fuelled).unwrap();
        assert_eq!(other.get(&other.name(b"wasm")), None);
    }

    #[test]
    fn code_that_was_changed_torn_or_renamed_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let kept = open(folder.path());
        let name = kept.name(b"wasm");
        kept.put(&name, b"code");
        let path = kept.path(&name);
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            fs::write(&path, changed).unwrap();
            assert_eq!(kept.get(&name), None, "byte {at}");
            fs::write(&path, &whole[..at]).unwrap();
            assert_eq!(kept.get(&name), None, "torn at {at}");
        }
        fs::write(&path, &whole).unwrap();
        assert!(kept.get(&name).is_some());
        let other = kept.name(b"other wasm");
        fs::rename(&path, kept.path(&other)).unwrap();
        assert_eq!(kept.get(&other), None);
    }

    #[test]
    fn the_folder_and_its_key_are_this_users_alone_and_a_key_that_was_seen_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("compiled");
        let kept = open(&folder);
        let (name, key) = (kept.name(b"wasm"), folder.join(KEY));
        kept.put(&name, b"code");
        assert_eq!((mode(&folder), mode(&key)), (0o700, 0o600));
        assert_eq!(mode(&kept.path(&name)), 0o600);
        fs::set_permissions(&key, Permissions::from_mode(0o640)).unwrap();
        let again = open(&folder);
        assert_ne!(again.key, kept.key);
        assert_eq!(again.get(&name), None);
        assert_eq!(mode(&key), 0o600);
    }

    #[test]
    fn what_was_not_used_for_longest_makes_room() {
        let folder = tempfile::tempdir().unwrap();
        let mut kept = open(folder.path());
        kept.most = 3 * (100 + SIZE as u64);
        let names: Vec<Name> = (0..4_u8).map(|at| kept.name(&[at])).collect();
        for (at, name) in names.iter().enumerate().take(3) {
            kept.put(name, &[0; 100]);
            let file = File::open(kept.path(name)).unwrap();
            let age = std::time::Duration::from_secs(100 - at as u64);
            file.set_modified(SystemTime::now() - age).unwrap();
        }
        assert!(kept.get(&names[0]).is_some(), "it is the newest now");
        kept.put(&names[3], &[0; 100]);
        let left: Vec<bool> = names.iter().map(|name| kept.get(name).is_some()).collect();
        assert_eq!(left, [true, false, true, true]);
        assert_eq!(open(folder.path()).key, kept.key);
    }
}
