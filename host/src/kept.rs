//! Inputs that are kept in `tests/corpus`: seeds, nasty shapes, and what fuzzing once found. A fuzz
//! test begins with all of its kind, and an input that fails is put beside them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread::panicking;

/// A failing input gets this name, which `.gitignore` knows: by another one it is kept.
const FOUND: &str = "found";

/// What is kept of one kind.
pub struct Kept {
    folder: PathBuf,
    inputs: Vec<(PathBuf, Vec<u8>)>,
    /// The length of the smallest input that failed in this run.
    smallest: Mutex<Option<usize>>,
}

impl Kept {
    /// # Panics
    /// Where nothing is kept of the kind.
    pub fn of(kind: &str) -> Self {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus");
        Self::in_folder(corpus.join(kind))
    }

    fn in_folder(folder: PathBuf) -> Self {
        let entries = fs::read_dir(&folder).unwrap();
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        assert!(!paths.is_empty(), "{} is empty", folder.display());
        let read = |path: PathBuf| {
            let bytes = fs::read(&path).unwrap();
            (path, bytes)
        };
        Self {
            folder,
            inputs: paths.into_iter().map(read).collect(),
            smallest: Mutex::new(None),
        }
    }

    /// Checks each input that is kept. Those that were taken: what is refused already is little worth
    /// to be edited.
    ///
    /// # Panics
    /// As the check, after naming the file.
    pub fn replay(&self, check: impl Fn(&[u8]) -> bool) -> Vec<Vec<u8>> {
        let mut taken = Vec::new();
        for (path, bytes) in &self.inputs {
            let _named = OnPanic(|| eprintln!("{} fails", path.display()));
            if check(bytes) {
                taken.push(bytes.clone());
            }
        }
        taken
    }

    /// Checks an input of chance, which is saved, as it is `written`, if it fails. It fails more than once, and smaller each
    /// time: the smallest stays.
    ///
    /// # Panics
    /// As the check.
    pub fn try_one(&self, written: impl Fn() -> Vec<u8>, check: impl FnOnce()) {
        let _saved = OnPanic(|| self.save(&written()));
        check();
    }

    fn save(&self, input: &[u8]) {
        let mut smallest = self.smallest.lock().unwrap_or_else(PoisonError::into_inner);
        if smallest.is_none_or(|length| input.len() < length) {
            *smallest = Some(input.len());
            let path = self.folder.join(FOUND);
            match fs::write(&path, input) {
                Ok(()) => eprintln!("saved as {}", path.display()),
                Err(error) => eprintln!("could not be saved as {}: {error}", path.display()),
            }
            eprintln!("it fails: {}", input.escape_ascii());
        }
    }
}

/// Does something where a panic goes past.
struct OnPanic<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnPanic<F> {
    fn drop(&mut self) {
        if panicking() {
            (self.0)();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;

    use super::*;

    #[test]
    fn the_smallest_input_that_fails_is_saved_and_fails_again_from_then_on() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("short"), "ab").unwrap();
        let check = |input: &[u8]| {
            assert!(input.len() < 3, "{} bytes", input.len());
            input.len() < 2
        };
        let kept = Kept::in_folder(folder.path().to_owned());
        assert!(kept.replay(check).is_empty());
        for input in ["abcde", "abc", "abcd", "a"] {
            let check = || assert!(input.len() < 3);
            let tried = catch_unwind(|| kept.try_one(|| input.into(), check));
            assert_eq!(tried.is_err(), input.len() > 2);
        }
        assert_eq!(fs::read(folder.path().join(FOUND)).unwrap(), b"abc");

        let kept = Kept::in_folder(folder.path().to_owned());
        catch_unwind(|| kept.replay(check)).unwrap_err();
        fs::write(folder.path().join(FOUND), "a").unwrap();
        let kept = Kept::in_folder(folder.path().to_owned());
        assert_eq!(kept.replay(check), [b"a".to_vec()]);
    }
}
