//! Bearer tokens: who may ask over HTTP for what. A token is 256 random bits that are shown once;
//! the lake keeps their SHA-256, which is safe because nobody can guess at so many.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::str::FromStr;
use std::time::Duration;

use subtle::ConstantTimeEq as _;

use super::journal::{Columns, Journal, JournalError, Row};
use crate::lake::Lake;
use crate::names::{Digest, Tenant};

const PATH: &str = "_assay/tokens";

const COLUMNS: Columns = Columns {
    texts: &["kind", "id", "name", "tenant", "role", "hash", "by"],
    moments: &["expires"],
    description: "Tokens for the HTTP interface, by the hash of each",
};

/// What every token begins with, so that one that leaked can be searched for.
const PREFIX: &str = "assay_";

/// Digits of a hash that name a token.
const ID_DIGITS: usize = 12;

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    Read,
    /// Stage rules.
    Stage,
    /// Have staged rules judge beside the active ones, and read what came of it.
    Compare,
    /// Promote and roll back.
    Promote,
    /// Pause, resume, delete.
    Operate,
}

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Author,
    Approver,
    Operator,
}

impl Role {
    const ALL: [Self; 3] = [Self::Author, Self::Approver, Self::Operator];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Author => "author",
            Self::Approver => "approver",
            Self::Operator => "operator",
        }
    }

    pub fn has(self, right: Right) -> bool {
        match self {
            Self::Author => matches!(right, Right::Read | Right::Stage | Right::Compare),
            Self::Approver => matches!(right, Right::Read | Right::Promote | Right::Compare),
            Self::Operator => true,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|role| role.as_str() == text);
        found.ok_or_else(|| format!("{text:?} is no role: use author, approver or operator"))
    }
}

/// A token as the lake knows it.
#[derive(Clone, Debug)]
pub struct Token {
    /// What names it in lists and logs: the first digits of its hash.
    pub id: String,
    pub name: String,
    /// `None`: all tenants of the lake.
    pub tenant: Option<Tenant>,
    pub role: Role,
    /// When it was made; microseconds since 1970.
    pub at: i64,
    /// From when on it is refused; microseconds since 1970.
    pub expires: Option<i64>,
    pub revoked: bool,
    pub by: String,
    hash: Digest,
}

impl Token {
    pub fn is_good(&self, now: i64) -> bool {
        !self.revoked && self.expires.is_none_or(|expires| now < expires)
    }

    /// Whether it gives a right on a tenant.
    pub fn allows(&self, tenant: &Tenant, right: Right) -> bool {
        self.reaches(tenant) && self.role.has(right)
    }

    /// Whether it is for this tenant.
    pub fn reaches(&self, tenant: &Tenant) -> bool {
        self.tenant.as_ref().is_none_or(|own| own == tenant)
    }
}

/// What a token is to be.
#[derive(Clone, Debug)]
pub struct Request {
    pub name: String,
    pub tenant: Option<Tenant>,
    pub role: Role,
    pub lasts: Option<Duration>,
}

/// Why there is no token, or none to revoke.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("no random bits are to be had: {0}")]
    Random(getrandom::Error),
    #[error("there is no token {id}; `assay token list` shows them")]
    NoSuch { id: String },
    #[error("token {id} is revoked already")]
    RevokedAlready { id: String },
}

/// The tokens of one lake.
pub struct Tokens {
    journal: Journal,
    tokens: Vec<Token>,
}

impl Tokens {
    pub fn new(lake: &Lake) -> Self {
        Self {
            journal: Journal::new(lake, PATH, COLUMNS),
            tokens: Vec::new(),
        }
    }

    /// Reads what was changed since the last look.
    ///
    /// # Errors
    /// A lake that can't be read.
    pub async fn refresh(&mut self) -> Result<(), JournalError> {
        if let Some(rows) = self.journal.news().await? {
            self.tokens.clear();
            for row in &rows {
                self.take_up(row);
            }
        }
        Ok(())
    }

    fn take_up(&mut self, row: &Row) {
        let id = row.text("id");
        if row.text("kind") == "revoke" {
            let revoked = self.tokens.iter_mut().filter(|token| token.id == id);
            revoked.for_each(|token| token.revoked = true);
            return;
        }
        let role = row.text("role").parse();
        let hash = Digest::try_from(row.text("hash").to_owned());
        let tenant = row.texts.get("tenant").map(|name| name.parse()).transpose();
        // A row that this version can't read gives nobody a right.
        let (Ok(role), Ok(hash), Ok(tenant)) = (role, hash, tenant) else {
            return;
        };
        self.tokens.push(Token {
            id: id.to_owned(),
            name: row.text("name").to_owned(),
            tenant,
            role,
            at: row.at,
            expires: row.moments.get("expires").copied(),
            revoked: false,
            by: row.text("by").to_owned(),
            hash,
        });
    }

    pub fn all(&self) -> &[Token] {
        &self.tokens
    }

    /// The token that a bearer shows, if it is one and still good. What is compared is hashes, and
    /// each with all its bytes, whether they differ early or late.
    pub fn find(&self, shown: &str, now: i64) -> Option<&Token> {
        let hash = Digest::of(shown.as_bytes()).to_string();
        let mut found = None;
        for token in &self.tokens {
            let same = token.hash.to_string().as_bytes().ct_eq(hash.as_bytes());
            if bool::from(same) && token.is_good(now) {
                found = Some(token);
            }
        }
        found
    }

    /// Makes a token. What it answers with is to be shown once: the lake has only its hash.
    ///
    /// # Errors
    /// No random bits, or a lake that can't be written.
    pub async fn create(&mut self, wanted: &Request, by: &str) -> Result<String, TokenError> {
        let mut bits = [0; 32];
        getrandom::fill(&mut bits).map_err(TokenError::Random)?;
        let mut token = PREFIX.to_owned();
        for byte in bits {
            // Writing to a string can't fail.
            let _ = write!(token, "{byte:02x}");
        }
        let hash = Digest::of(token.as_bytes()).to_string();
        let now = crate::environment::now();
        let mut texts = BTreeMap::from([
            ("kind", "create".to_owned()),
            ("id", hash.chars().take(ID_DIGITS).collect()),
            ("name", wanted.name.clone()),
            ("role", wanted.role.to_string()),
            ("hash", hash),
            ("by", by.to_owned()),
        ]);
        if let Some(tenant) = &wanted.tenant {
            texts.insert("tenant", tenant.to_string());
        }
        let lasts = wanted.lasts.map(|lasts| i64::try_from(lasts.as_micros()));
        let expires = lasts.map(|micros| now.saturating_add(micros.unwrap_or(i64::MAX)));
        let row = Row {
            number: 0,
            at: now,
            texts,
            moments: expires
                .map(|expires| ("expires", expires))
                .into_iter()
                .collect(),
        };
        self.journal.add(&row).await?;
        Ok(token)
    }

    /// Has a token be refused from now on; hosts follow within a second.
    ///
    /// # Errors
    /// No such token, or a lake that can't be written.
    pub async fn revoke(&mut self, id: &str, by: &str) -> Result<(), TokenError> {
        self.refresh().await?;
        let id = id.to_owned();
        match self.tokens.iter().find(|token| token.id == id) {
            None => return Err(TokenError::NoSuch { id }),
            Some(token) if token.revoked => return Err(TokenError::RevokedAlready { id }),
            Some(_) => {}
        }
        let row = Row {
            number: 0,
            at: crate::environment::now(),
            texts: [
                ("kind", "revoke".to_owned()),
                ("id", id),
                ("by", by.to_owned()),
            ]
            .into(),
            moments: BTreeMap::new(),
        };
        self.journal.add(&row).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(tenant: Option<&str>, lasts: Option<Duration>) -> Request {
        Request {
            name: "ci".to_owned(),
            tenant: tenant.map(|name| name.parse().unwrap()),
            role: Role::Author,
            lasts,
        }
    }

    #[tokio::test]
    async fn a_token_is_known_by_its_bearer_alone_until_it_expires_or_is_revoked() {
        let lake = Lake::open("memory:///").unwrap();
        let mut tokens = Tokens::new(&lake);
        let mut follower = Tokens::new(&lake);
        follower.refresh().await.unwrap();
        let lasting = tokens
            .create(&wanted(Some("north"), None), "ann")
            .await
            .unwrap();
        let hour = Duration::from_secs(3_600);
        let short = tokens
            .create(&wanted(None, Some(hour)), "ann")
            .await
            .unwrap();
        assert_eq!(lasting.len(), PREFIX.len() + 64);
        assert_ne!(lasting, short);

        let now = crate::environment::now();
        assert!(follower.find(&lasting, now).is_none());
        follower.refresh().await.unwrap();
        let found = follower.find(&lasting, now).unwrap();
        let (north, south) = ("north".parse().unwrap(), "south".parse().unwrap());
        assert!(found.allows(&north, Right::Stage));
        assert!(!found.allows(&north, Right::Promote));
        assert!(!found.allows(&south, Right::Read));
        assert!(!format!("{:?}", follower.all()).contains(&lasting));
        for other in [
            "",
            PREFIX,
            &lasting[..lasting.len() - 1],
            &found.hash.to_string(),
        ] {
            assert!(follower.find(other, now).is_none(), "{other}");
        }

        assert!(follower.find(&short, now + 3_500_000_000).is_some());
        assert!(follower.find(&short, now + 3_700_000_000).is_none());
        let id = follower.find(&lasting, now).unwrap().id.clone();
        tokens.revoke(&id, "ann").await.unwrap();
        assert!(matches!(
            tokens.revoke(&id, "ann").await,
            Err(TokenError::RevokedAlready { .. })
        ));
        follower.refresh().await.unwrap();
        assert!(follower.find(&lasting, now).is_none());
        assert!(follower.find(&short, now).is_some());
    }

    #[test]
    fn each_role_has_its_rights_and_no_others() {
        let rights = [Right::Read, Right::Stage, Right::Promote, Right::Operate];
        let table = [
            (Role::Author, [true, true, false, false]),
            (Role::Approver, [true, false, true, false]),
            (Role::Operator, [true, true, true, true]),
        ];
        for (role, wanted) in table {
            assert_eq!(rights.map(|right| role.has(right)), wanted, "{role}");
        }
    }
}
