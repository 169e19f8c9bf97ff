//! Keys: public ones as text, private ones as PEM in a file that its owner alone may read.

use std::fmt;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use openssl::base64::{decode_block, encode_block};
use openssl::pkey::{Id, PKey, Private};
use openssl::sign::{Signer, Verifier};
use serde::{Deserialize, Serialize};

use super::{KeyError, Signature, signed_text};
use crate::names::Digest;

/// What a public key begins with.
const KIND: &str = "ed25519:";
/// Digits of the SHA-256 of a public key that name it.
const ID_DIGITS: usize = 12;
/// A file of a private key has some 120 bytes; what is larger is none.
const MOST_BYTES: u64 = 64 << 10;

/// A public key, written as `ed25519:` and the base64 of its 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// What names it in lists and in the history: the first digits of the SHA-256 of its bytes.
    pub fn id(&self) -> String {
        let digest = Digest::of(&self.0).to_string();
        digest.chars().take(ID_DIGITS).collect()
    }

    pub(super) fn verifies(&self, text: &str, signature: &[u8; 64]) -> bool {
        let verified = PKey::public_key_from_raw_bytes(&self.0, Id::ED25519).and_then(|key| {
            Verifier::new_without_digest(&key)?.verify_oneshot(signature, text.as_bytes())
        });
        // Bytes that are no point of the curve verify nothing.
        verified.unwrap_or(false)
    }
}

impl TryFrom<String> for PublicKey {
    type Error = KeyError;

    fn try_from(text: String) -> Result<Self, KeyError> {
        let bytes = text.strip_prefix(KIND).and_then(from_base64);
        bytes.map(Self).ok_or(KeyError::PublicKey { text })
    }
}

impl From<PublicKey> for String {
    fn from(key: PublicKey) -> Self {
        key.to_string()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{KIND}{}", encode_block(&self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A private key. Nothing shows it.
pub struct SecretKey(PKey<Private>);

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey")
    }
}

impl SecretKey {
    /// Makes a new one.
    ///
    /// # Errors
    /// No random bits are to be had.
    pub fn generate() -> Result<Self, KeyError> {
        Ok(Self(PKey::generate_ed25519()?))
    }

    /// Reads one from a file.
    ///
    /// # Errors
    /// A file that can't be read, that others may read too, or that holds none, or a public one.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let failed = |source| KeyError::File {
            path: path.to_owned(),
            source,
        };
        let file = std::fs::File::open(path).map_err(failed)?;
        let mode = file.metadata().map_err(failed)?.permissions().mode();
        let mut pem = Vec::new();
        file.take(MOST_BYTES)
            .read_to_end(&mut pem)
            .map_err(failed)?;
        if pem.starts_with(KIND.as_bytes()) || PKey::public_key_from_pem(&pem).is_ok() {
            let private = path.with_extension("");
            return Err(KeyError::Public {
                path: path.to_owned(),
                private: (private != path && private.is_file()).then_some(private),
            });
        }
        if mode & 0o077 != 0 {
            let path = path.to_owned();
            return Err(KeyError::Readable { path });
        }
        let key = PKey::private_key_from_pem(&pem).ok();
        let key = key.filter(|key| key.id() == Id::ED25519);
        key.map(Self).ok_or_else(|| KeyError::SecretKey {
            path: path.to_owned(),
        })
    }

    /// Writes it into a new file, which its owner alone may read: PKCS #8 in PEM, as `openssl` reads
    /// it too.
    ///
    /// # Errors
    /// A file that is there already, or can't be written.
    pub fn write(&self, path: &Path) -> Result<(), KeyError> {
        let failed = |source| KeyError::File {
            path: path.to_owned(),
            source,
        };
        let pem = self.0.private_key_to_pem_pkcs8()?;
        let mut options = OpenOptions::new();
        let options = options.write(true).create_new(true).mode(0o600);
        let mut file = match options.open(path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                let path = path.to_owned();
                return Err(KeyError::Exists { path });
            }
            opened => opened.map_err(failed)?,
        };
        file.write_all(&pem).map_err(failed)?;
        file.sync_all().map_err(failed)
    }

    /// # Errors
    /// The cryptographic library fails.
    pub fn public(&self) -> Result<PublicKey, KeyError> {
        let bytes = self.0.raw_public_key()?;
        let bytes = <[u8; 32]>::try_from(bytes.as_slice());
        bytes.map(PublicKey).map_err(|_| KeyError::PublicKey {
            text: "a key of another length".to_owned(),
        })
    }

    /// Signs a component.
    ///
    /// # Errors
    /// The cryptographic library fails.
    pub fn sign(&self, component: Digest) -> Result<Signature, KeyError> {
        let text = signed_text(component);
        let signed = Signer::new_without_digest(&self.0)?.sign_oneshot_to_vec(text.as_bytes())?;
        Signature::new(self.public()?, &encode_block(&signed))
    }
}

/// Bytes from base64 that writes them in the one way that there is.
pub(super) fn from_base64<const LENGTH: usize>(text: &str) -> Option<[u8; LENGTH]> {
    if text.len() > 4 * LENGTH {
        return None;
    }
    let bytes = decode_block(text).ok()?;
    let bytes = <[u8; LENGTH]>::try_from(bytes.as_slice()).ok()?;
    (encode_block(&bytes) == text).then_some(bytes)
}
