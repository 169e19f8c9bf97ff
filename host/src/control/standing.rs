//! Which tenants are to run. What is said here holds on every host, also after a restart.

use std::collections::BTreeMap;

use super::journal::{Columns, Journal, JournalError, Row};
use crate::lake::Lake;
use crate::names::Tenant;

const PATH: &str = "_assay/tenants";

const COLUMNS: Columns = Columns {
    texts: &["tenant", "state", "by", "why"],
    moments: &[],
    description: "Which tenants are paused or deleted, since when, and why",
};

/// Whether a tenant is to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    Running,
    Paused,
    /// Its tables are gone. It runs again only when somebody says so.
    Deleted,
}

impl Wanted {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Deleted => "deleted",
        }
    }

    fn of(text: &str) -> Option<Self> {
        let all = [Self::Running, Self::Paused, Self::Deleted];
        all.into_iter().find(|wanted| wanted.as_str() == text)
    }
}

/// What was said last about a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    pub wanted: Wanted,
    /// Microseconds since 1970.
    pub at: i64,
    pub by: String,
    pub why: String,
}

/// What is said about the tenants of one lake.
pub struct Standings {
    journal: Journal,
    said: BTreeMap<Tenant, Said>,
}

impl Standings {
    pub fn new(lake: &Lake) -> Self {
        Self {
            journal: Journal::new(lake, PATH, COLUMNS),
            said: BTreeMap::new(),
        }
    }

    /// Reads what was said since the last look.
    ///
    /// # Errors
    /// A lake that can't be read.
    pub async fn refresh(&mut self) -> Result<(), JournalError> {
        let Some(rows) = self.journal.news().await? else {
            return Ok(());
        };
        self.said.clear();
        for row in rows {
            let known = row
                .text("tenant")
                .parse()
                .ok()
                .zip(Wanted::of(row.text("state")));
            let Some((tenant, wanted)) = known else {
                continue;
            };
            let said = Said {
                wanted,
                at: row.at,
                by: row.text("by").to_owned(),
                why: row.text("why").to_owned(),
            };
            self.said.insert(tenant, said);
        }
        Ok(())
    }

    /// What was said last about a tenant; `None` where nothing ever was, and so it is to run.
    pub fn of(&self, tenant: &Tenant) -> Option<&Said> {
        self.said.get(tenant)
    }

    pub fn wanted(&self, tenant: &Tenant) -> Wanted {
        self.of(tenant).map_or(Wanted::Running, |said| said.wanted)
    }

    /// Every tenant that something was said about.
    pub fn all(&self) -> impl Iterator<Item = (&Tenant, &Said)> {
        self.said.iter()
    }

    /// Says it.
    ///
    /// # Errors
    /// A lake that can't be written.
    pub async fn say(
        &mut self,
        tenant: &Tenant,
        wanted: Wanted,
        by: &str,
        why: &str,
    ) -> Result<(), JournalError> {
        let texts = [
            ("tenant", tenant.to_string()),
            ("state", wanted.as_str().to_owned()),
            ("by", by.to_owned()),
            ("why", why.to_owned()),
        ];
        let row = Row {
            number: 0,
            at: crate::environment::now(),
            texts: texts.into(),
            moments: BTreeMap::new(),
        };
        self.journal.add(&row).await?;
        self.refresh().await
    }
}
