//! What was pulled by its digest once is kept in the user's cache, so that a host which starts again
//! asks no registry. What lies there is held to its digests each time.

use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::{MOST_MANIFEST, Pulled, Reference, artifact};
use crate::environment::cache_folder;
use crate::names::Digest;

fn folder() -> Option<PathBuf> {
    Some(cache_folder()?.join("oci"))
}

fn path(folder: &Path, digest: Digest) -> PathBuf {
    folder.join(digest.to_string())
}

/// What is pinned, where it is there and whole.
pub(super) fn find(reference: &Reference, most: u64) -> Option<Pulled> {
    let (digest, folder) = (reference.digest?, folder()?);
    let read = |digest: Digest, most: u64| {
        let mut bytes = Vec::new();
        let file = std::fs::File::open(path(&folder, digest)).ok()?;
        file.take(most).read_to_end(&mut bytes).ok()?;
        (Digest::of(&bytes) == digest).then_some(Bytes::from(bytes))
    };
    let layer = artifact::layer(&read(digest, MOST_MANIFEST)?).ok()?;
    Some(Pulled {
        digest,
        component: read(layer.digest, most)?,
        signatures: layer.signatures,
    })
}

/// Keeps a manifest with its component. Where that fails, the next start pulls it again.
pub(super) fn keep(digest: Digest, manifest: &[u8], component: &[u8]) {
    let Some(folder) = folder() else { return };
    let kept = put(&folder, Digest::of(component), component)
        .and_then(|()| put(&folder, digest, manifest));
    if let Err(error) = kept {
        tracing::warn!(%error, "what was pulled is not kept in {}", folder.display());
    }
}

fn put(folder: &Path, digest: Digest, bytes: &[u8]) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.persist(path(folder, digest))?;
    Ok(())
}
