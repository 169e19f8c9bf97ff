//! Components in an OCI registry, in the layout that the CNCF's TAG Runtime describes for Wasm: a config
//! of `application/vnd.wasm.config.v0+json` and one layer of `application/wasm`. Signatures travel as an
//! annotation of that layer. The only place that names reqwest.
//!
//! What is run is named by the digest of its manifest, which names the digest of the component; both
//! are checked, also of what was kept in the user's cache.

mod artifact;
mod cache;
mod client;
mod credentials;
mod reference;

use bytes::Bytes;

pub use self::artifact::Contents;
pub use self::reference::{Reference, in_registry};
use crate::names::Digest;
use crate::trust::Signatures;

/// Bytes of a manifest; one of ours has a thousand.
const MOST_MANIFEST: u64 = 1 << 20;

/// Why a component can't be pushed or pulled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OciError {
    #[error(
        "{text:?} names nothing in a registry: {problem}; write registry.example/team/rule:tag or registry.example/team/rule@sha256:…"
    )]
    Reference { text: String, problem: &'static str },
    #[error(
        "{reference} names no digest, so it may be another thing tomorrow; write {reference}@sha256:…, which `assay plugin push` prints"
    )]
    NotPinned { reference: String },
    #[error(
        "{what} at {registry}: {source}; see whether the registry runs and can be reached from here"
    )]
    Http {
        what: &'static str,
        registry: String,
        source: reqwest::Error,
    },
    #[error("{what} at {registry}: it answers {status}{said}; {todo}")]
    Refused {
        what: &'static str,
        registry: String,
        status: u16,
        said: String,
        todo: &'static str,
    },
    #[error("{what} at {registry}: {problem}")]
    Answer {
        what: &'static str,
        registry: String,
        problem: String,
    },
    #[error(
        "{reference}: what the registry holds has digest sha256:{found}, not sha256:{wanted}; it was damaged or replaced, and is not used"
    )]
    Digest {
        reference: String,
        wanted: Digest,
        found: Digest,
    },
    #[error("{reference} is no Wasm component: {problem}; `assay plugin push` makes one")]
    Unlike { reference: String, problem: String },
    #[error("{reference} has more than {allowed} bytes; [limits] component allows no more")]
    TooLarge { reference: String, allowed: u64 },
    #[error("ASSAY_REGISTRY names the registry that {variable} is for; set it, or none of them")]
    WhoseCredentials { variable: &'static str },
}

/// A component from a registry.
#[derive(Debug)]
pub struct Pulled {
    /// Of its manifest: what pins it.
    pub digest: Digest,
    pub component: Bytes,
    pub signatures: Signatures,
}

/// Puts a component into a registry, under the tag that `to` names or under its digest alone. Answers
/// with the digest of its manifest: the same contents have the same.
///
/// # Errors
/// A registry that can't be reached or does not take it.
pub async fn push(contents: &Contents, to: &Reference) -> Result<Digest, OciError> {
    let client = client::Client::of(to)?;
    let artifact = contents.artifact();
    for blob in [&artifact.config, &contents.component] {
        client.put_blob(blob).await?;
    }
    let digest = Digest::of(&artifact.manifest);
    client.put_manifest(digest, &artifact.manifest).await?;
    Ok(digest)
}

/// Fetches what a reference names, from the cache where that has it.
///
/// # Errors
/// A registry that can't be reached or has no such thing; what is no component or too large; other
/// bytes than the digest says.
pub async fn pull(from: &Reference, most: u64) -> Result<Pulled, OciError> {
    if let Some(pulled) = cache::find(from, most) {
        return Ok(pulled);
    }
    let client = client::Client::of(from)?;
    let manifest = client.manifest().await?;
    let found = Digest::of(&manifest);
    if let Some(wanted) = from.digest
        && wanted != found
    {
        return Err(OciError::Digest {
            reference: from.to_string(),
            wanted,
            found,
        });
    }
    let layer = artifact::layer(&manifest).map_err(|problem| OciError::Unlike {
        reference: from.to_string(),
        problem,
    })?;
    let component = client.blob(layer.digest, most).await?;
    cache::keep(found, &manifest, &component);
    Ok(Pulled {
        digest: found,
        component,
        signatures: layer.signatures,
    })
}

/// Fetches what a pipeline's TOML names, which must name a digest.
///
/// # Errors
/// As [`pull`], and `NotPinned`.
pub async fn pull_pinned(reference: &str, most: u64) -> Result<Pulled, OciError> {
    let reference: Reference = reference.parse()?;
    reference.pinned()?;
    pull(&reference, most).await
}

#[cfg(test)]
mod tests;
