//! What was done, by whom, from where, and how it ended: a row for each change, also for one that
//! was refused or failed.

use std::collections::BTreeMap;
use std::fmt;

use super::journal::{Columns, Journal, JournalError, Row};
use crate::lake::Lake;
use crate::names::{RuleSetNumber, Tenant};

const COLUMNS: Columns = Columns {
    texts: &[
        "tenant", "action", "target", "why", "by", "via", "address", "request", "result", "detail",
    ],
    moments: &[],
    description: "What was done, by whom, from where, and how it ended",
};

/// Who asks for a change.
#[derive(Clone, Debug)]
pub struct Actor {
    /// A user of this machine, or the name of a token.
    pub by: String,
    /// `cli` or `http`.
    pub via: &'static str,
    /// The machine, or the client's address.
    pub address: String,
    /// The request's id, where there is one.
    pub request: Option<String>,
}

impl Actor {
    /// Whoever runs this process.
    pub fn here() -> Self {
        Self {
            by: crate::environment::user(),
            via: "cli",
            address: crate::environment::machine(),
            request: None,
        }
    }
}

/// A change that is asked for.
#[derive(Clone, Debug)]
pub struct Act {
    /// As `rules promote`.
    pub action: &'static str,
    /// What it is done to, as `rule set 3`.
    pub target: String,
    pub why: String,
}

impl Act {
    pub fn new(action: &'static str, target: impl Into<String>, why: &str) -> Self {
        Self {
            action,
            target: target.into(),
            why: why.to_owned(),
        }
    }

    /// A staged set begins to judge beside the active one, or ends to.
    pub fn shadow(number: RuleSetNumber, begins: bool, why: &str) -> Self {
        let how = if begins { "of" } else { "no more of" };
        Self::new("rules shadow", format!("{how} rule set {number}"), why)
    }
}

/// A change whose row could not be written.
#[derive(Debug, thiserror::Error)]
#[error(
    "{action} {target} {ended}, but the audit has no row of it: {source}; see to the lake, and note it by hand"
)]
pub struct Unaudited {
    action: &'static str,
    target: String,
    ended: &'static str,
    source: JournalError,
}

/// Whose audit a row belongs in.
#[derive(Clone, Copy, Debug)]
pub enum Scope<'a> {
    Tenant(&'a Tenant),
    /// The lake's, also where it is about a tenant: what is left when the tenant is deleted.
    Lake(Option<&'a Tenant>),
}

impl Scope<'_> {
    fn path(&self) -> String {
        match self {
            Self::Tenant(tenant) => format!("{tenant}/audit"),
            Self::Lake(_) => "_assay/audit".to_owned(),
        }
    }

    fn tenant(&self) -> Option<&Tenant> {
        match self {
            Self::Tenant(tenant) => Some(tenant),
            Self::Lake(tenant) => *tenant,
        }
    }
}

/// An audit that rows are added to. One that is kept goes on from where its table was; one that is
/// made anew opens that first, which takes longer the more rows there are.
pub struct Audit {
    tenant: Option<Tenant>,
    journal: Journal,
}

impl Audit {
    pub fn new(lake: &Lake, scope: Scope<'_>) -> Self {
        Self {
            tenant: scope.tenant().cloned(),
            journal: Journal::new(lake, &scope.path(), COLUMNS),
        }
    }

    /// Notes how a change ended that was made: what is to be said of it, or why it failed.
    ///
    /// # Errors
    /// The row could not be written.
    pub async fn note(
        &mut self,
        actor: &Actor,
        act: Act,
        ended: Result<Option<String>, String>,
    ) -> Result<(), Unaudited> {
        let (result, detail) = match ended {
            Ok(detail) => ("done", detail),
            Err(error) => ("failed", Some(error)),
        };
        let texts = [
            ("tenant", self.tenant.as_ref().map(Tenant::to_string)),
            ("action", Some(act.action.to_owned())),
            ("target", Some(act.target.clone())),
            ("why", Some(act.why).filter(|why| !why.is_empty())),
            ("by", Some(actor.by.clone())),
            ("via", Some(actor.via.to_owned())),
            ("address", Some(actor.address.clone())),
            ("request", actor.request.clone()),
            ("result", Some(result.to_owned())),
            ("detail", detail),
        ];
        let row = Row {
            number: 0,
            at: crate::environment::now(),
            texts: texts
                .into_iter()
                .filter_map(|(name, text)| Some((name, text?)))
                .collect(),
            moments: BTreeMap::new(),
        };
        let noted = self.journal.add(&row).await;
        self.journal.forget_rows();
        noted.map(drop).map_err(|source| Unaudited {
            action: act.action,
            target: act.target,
            ended: result,
            source,
        })
    }

    /// Notes how a change ended, in the error's words where it failed.
    ///
    /// # Errors
    /// The row could not be written.
    pub async fn note_end<T, E: fmt::Display>(
        &mut self,
        actor: &Actor,
        act: Act,
        ended: &Result<T, E>,
    ) -> Result<(), Unaudited> {
        let told = match ended {
            Ok(_) => Ok(None),
            Err(error) => Err(error.to_string()),
        };
        self.note(actor, act, told).await
    }
}

/// Makes a change, and notes how it ended, in an audit that is opened for it.
///
/// # Errors
/// The outer one says that the row could not be written; the inner one is the change's own.
pub async fn audited<T, E: fmt::Display>(
    lake: &Lake,
    scope: Scope<'_>,
    actor: &Actor,
    act: Act,
    change: impl Future<Output = Result<T, E>>,
) -> Result<Result<T, E>, Unaudited> {
    let ended = change.await;
    let mut audit = Audit::new(lake, scope);
    audit.note_end(actor, act, &ended).await?;
    Ok(ended)
}

/// What was done to a tenant, or without one to the lake, the oldest first.
///
/// # Errors
/// A lake that can't be read.
pub async fn entries(lake: &Lake, tenant: Option<&Tenant>) -> Result<Vec<Row>, JournalError> {
    let read = async |scope: Scope<'_>| {
        let rows = Journal::new(lake, &scope.path(), COLUMNS).news().await?;
        Ok::<_, JournalError>(rows.unwrap_or_default())
    };
    let mut rows = read(Scope::Lake(None)).await?;
    if let Some(tenant) = tenant {
        rows.retain(|row| row.text("tenant") == tenant.as_str());
        rows.extend(read(Scope::Tenant(tenant)).await?);
        rows.sort_by_key(|row| row.at);
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn actor() -> Actor {
        Actor {
            by: "ann".to_owned(),
            via: "cli",
            address: "here".to_owned(),
            request: None,
        }
    }

    #[tokio::test]
    async fn what_failed_is_noted_like_what_was_done_and_each_tenant_sees_its_own() {
        let lake = Lake::open("memory:///").unwrap();
        let (north, south): (Tenant, Tenant) = ("north".parse().unwrap(), "south".parse().unwrap());
        let act = |action| Act::new(action, "rule set 3", "a test");
        let ann = actor();
        let done = async { Ok::<_, String>(7) };
        let seven = audited(
            &lake,
            Scope::Tenant(&north),
            &ann,
            act("rules promote"),
            done,
        );
        assert_eq!(seven.await.unwrap(), Ok(7));
        let failing = async { Err::<i32, _>("it does not fit".to_owned()) };
        let scope = Scope::Lake(Some(&north));
        let failed = audited(&lake, scope, &ann, act("tenant delete"), failing);
        assert!(failed.await.unwrap().is_err());
        let rows = entries(&lake, Some(&north)).await.unwrap();
        let told: Vec<_> = rows
            .iter()
            .map(|row| (row.text("action"), row.text("result"), row.text("detail")))
            .collect();
        let wanted = [
            ("rules promote", "done", ""),
            ("tenant delete", "failed", "it does not fit"),
        ];
        assert_eq!(told, wanted);
        assert_eq!(entries(&lake, Some(&south)).await.unwrap(), []);
        assert_eq!(entries(&lake, None).await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn an_audit_that_is_kept_goes_on_between_others_rows_and_past_a_checkpoint() {
        let lake = Lake::open("memory:///").unwrap();
        let north: Tenant = "north".parse().unwrap();
        let ann = actor();
        let mut kept = Audit::new(&lake, Scope::Tenant(&north));
        let mut noted = Vec::new();
        for number in 0..210 {
            let target = format!("rule set {number}");
            let act = Act::new("rules promote", target.clone(), "");
            let mut other = Audit::new(&lake, Scope::Tenant(&north));
            let audit = if number % 50 == 7 {
                &mut other
            } else {
                &mut kept
            };
            audit.note(&ann, act, Ok(None)).await.unwrap();
            noted.push(target);
        }
        let rows = entries(&lake, Some(&north)).await.unwrap();
        let told: Vec<_> = rows.iter().map(|row| row.text("target")).collect();
        assert_eq!(told, noted);
        let table = lake.open_table("north/audit").await.unwrap().unwrap();
        assert!(table.files().count() < 100, "its rows were not packed");
        let hint = lake
            .get_blob("north/audit/_delta_log/_last_checkpoint")
            .await;
        assert!(hint.unwrap().is_some(), "the log has no checkpoint");
    }
}
