//! Who may sign components, and whether one is signed. The only place that names ed25519.
//!
//! What is signed is a text of two lines, each with its line feed:
//!
//! ```text
//! assay component signature v1
//! sha256:<the 64 hexadecimal digits of the component's bytes>
//! ```
//!
//! The first line is for nothing else, so that no signature that was given for another purpose counts
//! here. Params, limits and the TOML are not signed: a signature says where code comes from.

mod key;
mod signature;

use std::path::PathBuf;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use crate::names::Digest;

pub use self::key::{PublicKey, SecretKey};
pub use self::signature::{Signature, Signatures, signatures_beside};

/// What a component's signature is about.
fn signed_text(component: Digest) -> String {
    format!("assay component signature v1\nsha256:{component}\n")
}

/// Why a key can't be used, or signatures can't be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    #[error(
        "{text:?} is no public key: write `ed25519:` and the base64 of its 32 bytes, as `assay plugin keygen` prints it"
    )]
    PublicKey { text: String },
    #[error("{text:?} is no signature: it is the base64 of 64 bytes")]
    Signature { text: String },
    #[error("{}: can't be read or written: {source}", path.display())]
    File {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{} is no ed25519 private key in PEM; `assay plugin keygen` makes one", path.display())]
    SecretKey { path: PathBuf },
    #[error(
        "{} is a public key, which can't sign: name the private one{}",
        path.display(),
        private.as_ref().map_or(String::new(), |private| format!(", {}", private.display()))
    )]
    Public {
        path: PathBuf,
        /// Where that may be.
        private: Option<PathBuf>,
    },
    #[error(
        "{} is there already, and nothing brings back a key that is written over: name another file, or move it away",
        path.display()
    )]
    Exists { path: PathBuf },
    #[error("others than its owner may read {}: say `chmod 600` and then consider whether to make a new one", path.display())]
    Readable { path: PathBuf },
    #[error("{} holds no signatures of assay: sign the component anew", path.display())]
    Signatures { path: PathBuf },
    #[error("the cryptographic library failed: {0}")]
    Library(#[from] openssl::error::ErrorStack),
}

/// Why a component is not trusted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Distrust {
    #[error(
        "it is not signed, and [trust] wants it to be; sign it with `assay plugin sign FILE --key KEY`"
    )]
    Unsigned,
    #[error(
        "it is signed with key {by}, which is none of [trust] keys ({trusted}); sign it with one of those, or add its key there"
    )]
    Untrusted { by: String, trusted: String },
    #[error(
        "it was changed after it was signed with key {by}; sign it anew if these are the bytes that are meant"
    )]
    Changed { by: String },
}

/// The keys whose signatures count: `[trust]` in the TOML. Without any, no component needs one. It is
/// the host's own, and no part of a rule set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trust {
    /// `keys`: public ones, one of which must have signed each component.
    #[serde(deserialize_with = "some_keys")]
    keys: Vec<PublicKey>,
}

/// A `[trust]` that names no key would look like one that trusts nobody, and trust anybody.
fn some_keys<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<PublicKey>, D::Error> {
    let keys = Vec::deserialize(deserializer)?;
    if keys.is_empty() {
        let leave = "keys names none: name a key, or leave [trust] out where none is needed";
        return Err(D::Error::custom(leave));
    }
    Ok(keys)
}

impl Trust {
    /// Whether any component will do.
    pub fn is_open(&self) -> bool {
        self.keys.is_empty()
    }

    /// The signature for which a component is trusted. Where none is asked for, the first that is
    /// good, if there is one.
    ///
    /// # Errors
    /// None of the signatures is good and by a trusted key.
    pub fn judge<'a>(
        &self,
        component: Digest,
        signatures: impl IntoIterator<Item = &'a Signature> + Clone,
    ) -> Result<Option<&'a Signature>, Distrust> {
        let counts = |one: &&Signature| self.is_open() || self.keys.contains(&one.key);
        let mut good = signatures.clone().into_iter().filter(counts);
        if let Some(good) = good.find(|one| one.is_of(component)) {
            return Ok(Some(good));
        }
        if self.is_open() {
            return Ok(None);
        }
        let ids = |keys: &mut dyn Iterator<Item = &PublicKey>| {
            let ids: Vec<String> = keys.map(PublicKey::id).collect();
            ids.join(", ")
        };
        let by_trusted = signatures.clone().into_iter().find(counts);
        if let Some(changed) = by_trusted {
            let by = changed.key.id();
            return Err(Distrust::Changed { by });
        }
        let by = ids(&mut signatures.into_iter().map(|one| &one.key));
        match by.is_empty() {
            true => Err(Distrust::Unsigned),
            false => Err(Distrust::Untrusted {
                by,
                trusted: ids(&mut self.keys.iter()),
            }),
        }
    }
}

#[cfg(test)]
mod tests;
