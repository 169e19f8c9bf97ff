//! Whether the process lives, and whether its tenants do their work.

use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::Shared;
use crate::pipeline::host::{Known, Roster, State as Standing};
use crate::pipeline::meter;

/// How long it is said that a tenant is slowed, after it was.
const OF_LATE: Duration = Duration::from_secs(10);

/// One tenant's readiness.
#[derive(Debug, Serialize, ToSchema)]
pub struct Readiness {
    #[schema(value_type = String)]
    pub tenant: crate::names::Tenant,
    pub ready: bool,
    /// `running`, `stopping`, `paused`, `deleted`, `stopped` or `ended`.
    pub state: &'static str,
    /// Why it is not ready, or what is amiss though it is.
    pub reason: Option<String>,
}

/// Whether all tenants are ready.
#[derive(Debug, Serialize, ToSchema)]
pub struct Ready {
    pub ready: bool,
    /// What is to be said of the host itself.
    pub reason: Option<String>,
    pub tenants: Vec<Readiness>,
}

impl Ready {
    pub fn of(roster: &Roster) -> Self {
        // Asked first: a tenant that comes in between is among those that are told.
        let complete = roster.is_complete();
        let tenants = roster.all().into_iter();
        let tenants: Vec<Readiness> = tenants
            .map(|(tenant, known)| {
                let (ready, reason) = readiness(&known);
                let state = known.state.as_str();
                Readiness {
                    tenant,
                    ready,
                    state,
                    reason,
                }
            })
            .collect();
        Self {
            ready: complete && tenants.iter().all(|tenant| tenant.ready),
            reason: (!complete).then(|| "the host still takes up its pipelines".to_owned()),
            tenants,
        }
    }
}

/// Whether the process lives
#[utoipa::path(get, path = "/healthz", tag = "health", responses((status = 200, description = "It does")))]
pub async fn alive() -> &'static str {
    "ok\n"
}

/// Whether every tenant has its rule set and its source. One that was paused counts as ready: it
/// does what it was told. The host is not before it has seen to each pipeline of its start
#[utoipa::path(get, path = "/readyz", tag = "health", responses(
    (status = 200, description = "All are ready", body = Ready),
    (status = 503, description = "Not all are; each says why", body = Ready),
))]
pub async fn ready(State(app): Shared) -> Response {
    let said = Ready::of(&app.roster);
    let status = match said.ready {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, Json(said)).into_response()
}

/// Whether a tenant does what it is to do, and what is to be said about it.
pub fn readiness(known: &Known) -> (bool, Option<String>) {
    match &known.state {
        Standing::Running => {
            let counts = known.meter.counts();
            let standing = counts.standing;
            let missing = match (standing.ruleset, standing.partitions) {
                (_, None) => "the source has not answered yet",
                (None, _) => "no rule set is active yet",
                _ => return quotas(&standing, counts.trouble),
            };
            let trouble = counts
                .trouble
                .map(|trouble| format!("{missing}: {trouble}"));
            (false, Some(trouble.unwrap_or_else(|| missing.to_owned())))
        }
        Standing::Stopping => (
            false,
            Some("what was taken in is being committed".to_owned()),
        ),
        Standing::Paused { by, why } => (true, Some(format!("by {by}: {why}"))),
        Standing::Deleted { by } => (true, Some(format!("by {by}; remove its TOML"))),
        Standing::Stopped { reason } => (false, Some(reason.clone())),
        Standing::Ended => (true, None),
    }
}

/// What is to be said of a tenant that has all that it needs.
fn quotas(standing: &meter::Standing, trouble: Option<String>) -> (bool, Option<String>) {
    if let Some(over) = standing.over {
        return (false, Some(over.to_string()));
    }
    let slowed = |since: Instant| since.elapsed() < OF_LATE;
    if trouble.is_none() && standing.slowed.is_some_and(slowed) {
        let slowed = "more comes than [quota] rows_per_second allows: what is above it waits where it comes from, and nothing is lost";
        return (true, Some(slowed.to_owned()));
    }
    (true, trouble)
}
