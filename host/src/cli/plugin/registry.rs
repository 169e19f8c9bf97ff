//! `assay plugin push` and `pull`: components in an OCI registry.

use std::path::PathBuf;

use anyhow::{Context as _, bail};

use super::super::common::{block_on, sandbox};
use crate::cli::out::say;
use crate::names::Digest;
use crate::oci::{Contents, Reference, pull, push};
use crate::plugin::CompileLimits;
use crate::trust::{Signatures, signatures_beside};

/// Bytes that a component may have that is pulled: what a tenant may allow is not known here.
const MOST_BYTES: u64 = 256 << 20;

/// Put a component into an OCI registry, with the signatures beside it
///
/// Says what to write into a pipeline's TOML. The same component with the same signatures has the same
/// digest, however often it is pushed. The layout is the CNCF's for Wasm. For a registry that asks who you
/// are, ASSAY_REGISTRY says which one ASSAY_REGISTRY_USERNAME and ASSAY_REGISTRY_PASSWORD are for. One
/// on this machine (localhost, 127.0.0.1) is asked without TLS.
#[derive(clap::Args)]
pub(super) struct PushArgs {
    /// A component, as `assay plugin build` makes it
    file: PathBuf,
    /// As registry.example/team/check-prices:1.2; without a tag, it is there by its digest alone
    #[arg(value_name = "REGISTRY/PATH:TAG")]
    to: Reference,
}

/// Get a component from an OCI registry, and the signatures that were pushed with it
///
/// What is written is what the digests say, or nothing. Credentials are as for `push`.
#[derive(clap::Args)]
pub(super) struct PullArgs {
    /// As registry.example/team/check-prices@sha256:…; a tag works too
    #[arg(value_name = "REGISTRY/PATH@DIGEST")]
    from: Reference,
    /// Where the component goes. Without it: the last part of the path, with `.wasm`, in this folder
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
}

pub(super) fn run_push(args: &PushArgs) -> anyhow::Result<()> {
    let file = &args.file;
    if args.to.digest.is_some() {
        bail!("what is pushed has the digest that it has; name a tag, or nothing");
    }
    let bytes = std::fs::read(file).with_context(|| format!("read {}", file.display()))?;
    let what = || format!("{} is not pushed: it is no component", file.display());
    let component = sandbox()?
        .compile_any(&bytes, &CompileLimits::default())
        .with_context(what)?;
    let signatures = Signatures::beside(file)?;
    let digest = Digest::of(&bytes);
    if let Some(stale) = signatures.iter().find(|signature| !signature.is_of(digest)) {
        bail!(
            "{} has a signature of key {} that is of other bytes; sign {} anew",
            signatures_beside(file).display(),
            stale.key.id(),
            file.display()
        );
    }
    let title = file.file_name().unwrap_or_default().to_string_lossy();
    let contents = Contents {
        component: bytes.into(),
        signatures,
        title: title.into_owned(),
        exports: component.exports().to_vec(),
        imports: component.imports().to_vec(),
    };
    let pushed = block_on(async { Ok(push(&contents, &args.to).await?) })?;
    say!("component = \"{}\"", args.to.at(pushed));
    Ok(())
}

pub(super) fn run_pull(args: &PullArgs) -> anyhow::Result<()> {
    let pulled = block_on(async { Ok(pull(&args.from, MOST_BYTES).await?) })?;
    let name = || {
        PathBuf::from(format!(
            "{}.wasm",
            args.from.name().trim_end_matches(".wasm")
        ))
    };
    let file = args.to.clone().unwrap_or_else(name);
    std::fs::write(&file, &pulled.component)
        .with_context(|| format!("write {}", file.display()))?;
    if pulled.signatures.iter().next().is_some() {
        pulled.signatures.write_beside(&file)?;
    } else {
        // One of what was here before would be of other bytes.
        let gone = std::fs::remove_file(signatures_beside(&file));
        if let Err(error) = gone
            && error.kind() != std::io::ErrorKind::NotFound
        {
            bail!("remove {}: {error}", signatures_beside(&file).display());
        }
    }
    say!("{} from {}", file.display(), args.from.at(pulled.digest));
    Ok(())
}
