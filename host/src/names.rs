//! The words that every part of the house shares: who, where, how far, by which rules.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// A position in a partition, in the source's own unit: a Kafka offset, or a byte of a file.
/// As progress it is the first position that has not been taken yet.
pub type Offset = i64;

/// One retailer: the name of its pipeline, its folder in the lake, the owner of its rules.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Tenant(String);

/// Why a text can't be used as a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{name:?} is no {what}: it must be 1 to 63 lower-case letters, digits, `_` or `-`, and begin with a letter"
)]
pub struct BadName {
    name: String,
    what: &'static str,
}

impl Tenant {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Checks that `name` is safe in a path, an app id and a column name.
///
/// # Errors
/// `BadName` says what a name must look like; `what` is what is being named.
pub fn check_name(name: &str, what: &'static str) -> Result<(), BadName> {
    let mut letters = name.chars();
    let good = letters.next().is_some_and(|c| c.is_ascii_lowercase())
        && name.len() <= 63
        && letters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-');
    if good {
        return Ok(());
    }
    Err(BadName {
        name: name.to_owned(),
        what,
    })
}

impl TryFrom<String> for Tenant {
    type Error = BadName;

    fn try_from(name: String) -> Result<Self, BadName> {
        check_name(&name, "tenant")?;
        Ok(Self(name))
    }
}

impl FromStr for Tenant {
    type Err = BadName;

    fn from_str(name: &str) -> Result<Self, BadName> {
        name.to_owned().try_into()
    }
}

impl From<Tenant> for String {
    fn from(tenant: Tenant) -> Self {
        tenant.0
    }
}

impl fmt::Display for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The number of a rule set: the version of the commit to `rulesets` that activated it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RuleSetNumber(pub i64);

impl fmt::Display for RuleSetNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The SHA-256 of some bytes, which is their name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u8; 32]);

impl Digest {
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TryFrom<String> for Digest {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let bad = || format!("{text:?} is no SHA-256: it must be 64 hexadecimal digits");
        if text.len() != 64 || !text.is_ascii() {
            return Err(bad());
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| bad())?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| bad())?;
        }
        Ok(Self(bytes))
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

/// One partition of one source: what progress is kept for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition {
    /// The topic, or the file's path within its folder.
    pub topic: Arc<str>,
    /// Which topic of that name: Kafka's topic id, or the digest of a file's first line. A topic
    /// that was deleted and made again has another.
    pub source: Arc<str>,
    pub number: i32,
}

impl Partition {
    /// The Delta application id under which a table keeps its progress in this partition.
    pub fn app_id(&self, tenant: &Tenant) -> String {
        format!(
            "{}{}/{}",
            Self::prefix(tenant, &self.topic),
            self.source,
            self.number
        )
    }

    /// What the app ids of every source and partition of a topic begin with.
    pub fn prefix(tenant: &Tenant, topic: &str) -> String {
        format!("assay/{tenant}/{topic}/")
    }

    /// Reads an app id back. `None` for what is not a progress of this tenant's partitions.
    pub fn of_app_id(tenant: &Tenant, app_id: &str) -> Option<Self> {
        let rest = app_id.strip_prefix(&format!("assay/{tenant}/"))?;
        // A file's path may hold slashes, so the parts are taken from the right.
        let (rest, number) = rest.rsplit_once('/')?;
        let (topic, source) = rest.rsplit_once('/')?;
        Some(Self {
            topic: topic.into(),
            source: source.into(),
            number: number.parse().ok()?,
        })
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_could_leave_its_folder_is_refused() {
        for bad in ["", "..", "a/b", "A", "1a", "a b", "é", &"a".repeat(64)] {
            assert!(bad.parse::<Tenant>().is_err(), "{bad:?}");
        }
        assert!("north-2_a".parse::<Tenant>().is_ok());
    }

    #[test]
    fn an_app_id_is_read_back_even_where_the_topic_has_slashes() {
        let tenant: Tenant = "north".parse().unwrap();
        let partition = Partition {
            topic: "2025/03/a.ndjson".into(),
            source: "5f".into(),
            number: 7,
        };
        let app_id = partition.app_id(&tenant);
        assert_eq!(app_id, "assay/north/2025/03/a.ndjson/5f/7");
        assert_eq!(Partition::of_app_id(&tenant, &app_id), Some(partition));
        assert_eq!(Partition::of_app_id(&tenant, "assay/south/t/5f/7"), None);
        assert_eq!(
            Partition::of_app_id(&tenant, "assay/north/t/5f/7/start"),
            None
        );
    }

    #[test]
    fn a_digest_is_read_back() {
        let digest = Digest::of(b"sale");
        assert_eq!(Digest::try_from(digest.to_string()), Ok(digest));
        assert!(Digest::try_from("zz".to_owned()).is_err());
    }
}
