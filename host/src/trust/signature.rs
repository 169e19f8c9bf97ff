//! Signatures of a component, and the file that they lie in beside it.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use openssl::base64::encode_block;
use serde::{Deserialize, Serialize};

use super::key::from_base64;
use super::{KeyError, PublicKey, signed_text};
use crate::names::Digest;

/// The first line of a file of signatures.
const FIRST_LINE: &str = "assay component signatures v1";
/// Bytes of a file of signatures, and so of signatures that anybody looks at.
const MOST_BYTES: u64 = 16 << 10;

/// A signature of a component's bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Signature {
    /// The key that it is said to be by.
    pub key: PublicKey,
    bytes: [u8; 64],
}

#[derive(Serialize, Deserialize)]
struct Written {
    key: PublicKey,
    signature: String,
}

impl Signature {
    /// # Errors
    /// `Signature` where it is not the base64 of 64 bytes.
    pub fn new(key: PublicKey, base64: &str) -> Result<Self, KeyError> {
        let bytes = from_base64(base64).ok_or_else(|| KeyError::Signature {
            text: base64.to_owned(),
        })?;
        Ok(Self { key, bytes })
    }

    /// Whether its key signed a component of this digest.
    pub fn is_of(&self, component: Digest) -> bool {
        self.key.verifies(&signed_text(component), &self.bytes)
    }
}

impl TryFrom<Written> for Signature {
    type Error = KeyError;

    fn try_from(written: Written) -> Result<Self, KeyError> {
        Self::new(written.key, &written.signature)
    }
}

impl From<Signature> for Written {
    fn from(signature: Signature) -> Self {
        Self {
            key: signature.key,
            signature: encode_block(&signature.bytes),
        }
    }
}

/// Signatures of one component by some keys, as they lie in its `.sig`: a line each, of the key and
/// the base64 of the signature.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signatures(Vec<Signature>);

/// Where the signatures of a component's file lie.
pub fn signatures_beside(component: &Path) -> PathBuf {
    let mut path = component.as_os_str().to_owned();
    path.push(".sig");
    path.into()
}

impl Signatures {
    /// Reads those of a component's file. Where there are none, it has none.
    ///
    /// # Errors
    /// A file that can't be read, or holds something else.
    pub fn beside(component: &Path) -> Result<Self, KeyError> {
        let path = signatures_beside(component);
        let read = std::fs::metadata(&path).and_then(|found| match found.len() {
            0..=MOST_BYTES => std::fs::read_to_string(&path),
            _ => Ok(String::new()),
        });
        match read {
            Ok(text) => Self::read(&text).ok_or(KeyError::Signatures { path }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(source) => Err(KeyError::File { path, source }),
        }
    }

    /// Writes them beside a component's file, in the place of those that were there.
    ///
    /// # Errors
    /// A file that can't be written.
    pub fn write_beside(&self, component: &Path) -> Result<PathBuf, KeyError> {
        let path = signatures_beside(component);
        match std::fs::write(&path, self.to_string()) {
            Ok(()) => Ok(path),
            Err(source) => Err(KeyError::File { path, source }),
        }
    }

    /// `None`: this is something else.
    pub fn read(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        if lines.next() != Some(FIRST_LINE) {
            return None;
        }
        let signatures = lines.map(|line| {
            let (key, signature) = line.split_once(' ')?;
            let key = PublicKey::try_from(key.to_owned()).ok()?;
            Signature::new(key, signature).ok()
        });
        signatures.collect::<Option<_>>().map(Self)
    }

    /// Adds one. What its key said before, and what is of other bytes, goes.
    pub fn add(&mut self, signature: Signature, component: Digest) {
        self.0
            .retain(|held| held.key != signature.key && held.is_of(component));
        self.0.push(signature);
    }

    pub fn iter(&self) -> std::slice::Iter<'_, Signature> {
        self.0.iter()
    }
}

impl<'a> IntoIterator for &'a Signatures {
    type Item = &'a Signature;
    type IntoIter = std::slice::Iter<'a, Signature>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl std::fmt::Display for Signatures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{FIRST_LINE}")?;
        for Signature { key, bytes } in &self.0 {
            f.write_str(&key.to_string())?;
            f.write_char(' ')?;
            writeln!(f, "{}", encode_block(bytes))?;
        }
        Ok(())
    }
}
