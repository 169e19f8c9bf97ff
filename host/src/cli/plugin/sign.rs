//! `assay plugin keygen` and `sign`: who vouches for a component's bytes.

use std::path::PathBuf;

use anyhow::Context as _;

use super::super::common::sandbox;
use crate::cli::out::say;
use crate::names::Digest;
use crate::plugin::CompileLimits;
use crate::trust::{KeyError, SecretKey, Signatures};

/// Make a key to sign components with: a private one that stays with you, and a public one for the
/// TOMLs of those who trust it
#[derive(clap::Args)]
pub(super) struct KeygenArgs {
    /// Where the private key goes, for its owner alone to read; it must not be there yet. The public
    /// one goes beside it, as FILE.pub, which must not be there either
    file: PathBuf,
}

/// Sign components: each gets a FILE.sig beside it
///
/// What is signed is the SHA-256 of the file, so that a component which is built anew is signed anew.
/// Another key's signature of the same bytes stays.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Components, as `assay plugin build` makes them
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The private key's file, as `assay plugin keygen` makes it
    #[arg(long, value_name = "FILE", env = "ASSAY_SIGNING_KEY")]
    key: PathBuf,
}

pub(super) fn keygen(args: &KeygenArgs) -> anyhow::Result<()> {
    let mut beside = args.file.as_os_str().to_owned();
    beside.push(".pub");
    let beside = PathBuf::from(beside);
    // Somebody's, whose private key was moved elsewhere.
    if beside.exists() {
        return Err(KeyError::Exists { path: beside }.into());
    }
    let key = SecretKey::generate()?;
    let public = key.public()?;
    key.write(&args.file)?;
    std::fs::write(&beside, format!("{public}\n"))
        .with_context(|| format!("write {}", beside.display()))?;
    say!(
        "key {} is in {}; keep it to yourself",
        public.id(),
        args.file.display()
    );
    say!("whoever trusts it writes into the pipeline's TOML:\n");
    say!("[trust]\nkeys = [\"{public}\"]");
    Ok(())
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let (key, sandbox) = (SecretKey::read(&args.key)?, sandbox()?);
    for file in &args.files {
        let bytes = std::fs::read(file).with_context(|| format!("read {}", file.display()))?;
        let what = || format!("{} is not signed: it is no component", file.display());
        sandbox
            .compile_any(&bytes, &CompileLimits::default())
            .with_context(what)?;
        let digest = Digest::of(&bytes);
        let signature = key.sign(digest)?;
        let by = signature.key.id();
        let mut signatures = Signatures::beside(file)?;
        signatures.add(signature, digest);
        let path = signatures.write_beside(file)?;
        say!("{}: sha256:{digest} signed with {by}", path.display());
    }
    Ok(())
}
