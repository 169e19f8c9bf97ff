//! What is named in a registry: `registry.example/team/rule:tag`, `…/rule@sha256:…`, with or without
//! `oci://` before it.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use super::OciError;
use crate::names::Digest;

const SCHEME: &str = "oci://";

/// The name of a component that a TOML says lies in a registry.
pub fn in_registry(component: &Path) -> Option<&str> {
    let text = component.to_str()?;
    text.starts_with(SCHEME).then_some(text)
}

/// A name in a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Host, and port where it is not the usual one.
    pub registry: String,
    pub repository: String,
    pub tag: Option<String>,
    pub digest: Option<Digest>,
}

impl Reference {
    /// The last part of its path: what a component from there is called.
    pub fn name(&self) -> &str {
        let last = self.repository.rsplit('/').next();
        last.unwrap_or(&self.repository)
    }

    /// # Errors
    /// `NotPinned` where it names no digest.
    pub fn pinned(&self) -> Result<Digest, OciError> {
        self.digest.ok_or_else(|| OciError::NotPinned {
            reference: self.to_string(),
        })
    }

    /// The same thing by its digest alone.
    #[must_use]
    pub fn at(&self, digest: Digest) -> Self {
        Self {
            tag: None,
            digest: Some(digest),
            ..self.clone()
        }
    }

    /// A registry on this machine, which is asked without TLS.
    pub(super) fn is_local(&self) -> bool {
        let host = match self.registry.rsplit_once(':') {
            Some((host, _)) => host,
            None => &self.registry,
        };
        matches!(host, "localhost" | "127.0.0.1" | "[::1]")
    }
}

impl FromStr for Reference {
    type Err = OciError;

    fn from_str(text: &str) -> Result<Self, OciError> {
        parse(text).map_err(|problem| OciError::Reference {
            text: text.to_owned(),
            problem,
        })
    }
}

fn parse(text: &str) -> Result<Reference, &'static str> {
    let rest = text.strip_prefix(SCHEME).unwrap_or(text);
    let (rest, digest) = match rest.split_once('@') {
        None => (rest, None),
        Some((rest, digest)) => {
            let digits = digest.strip_prefix("sha256:");
            let digits = digits.ok_or("a digest is sha256: and 64 hexadecimal digits")?;
            let digest = Digest::try_from(digits.to_owned());
            let digest = digest.map_err(|_| "a digest is sha256: and 64 hexadecimal digits")?;
            (rest, Some(digest))
        }
    };
    let (registry, path) = rest.split_once('/').ok_or("it has no path")?;
    let (repository, tag) = match path.split_once(':') {
        None => (path, None),
        Some((repository, tag)) => (repository, Some(tag)),
    };
    let plain = |more: &'static str| {
        move |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || more.contains(c)
    };
    let is_host = registry == "localhost" || registry.contains(['.', ':']);
    if !is_host || !registry.chars().all(plain(".-:[]")) {
        return Err("its first part is no registry's host");
    }
    let good_part = |part: &str| {
        let first = part.chars().next();
        first.is_some_and(plain("")) && part.chars().all(plain("._-"))
    };
    if !repository.split('/').all(good_part) {
        return Err("its path is of small letters, digits, `.`, `_` and `-`");
    }
    let good_tag = |tag: &str| {
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let first = tag.chars().next();
        first.is_some_and(word)
            && tag.len() <= 128
            && tag.chars().all(|c| word(c) || matches!(c, '.' | '-'))
    };
    if tag.is_some_and(|tag| !good_tag(tag)) {
        return Err("its tag is of letters, digits, `.`, `_` and `-`");
    }
    Ok(Reference {
        registry: registry.to_owned(),
        repository: repository.to_owned(),
        tag: tag.map(str::to_owned),
        digest,
    })
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        match &self.digest {
            Some(digest) => write!(f, "@sha256:{digest}"),
            None => Ok(()),
        }
    }
}
