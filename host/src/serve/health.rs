//! Whether the process lives, and whether its tenants do their work.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::Shared;
use crate::pipeline::host::{Known, State as Standing};

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
    pub tenants: Vec<Readiness>,
}

/// Whether the process lives
#[utoipa::path(get, path = "/healthz", tag = "health", responses((status = 200, description = "It does")))]
pub async fn alive() -> &'static str {
    "ok\n"
}

/// Whether every tenant has its rule set and its source. One that was paused counts as ready: it
/// does what it was told
#[utoipa::path(get, path = "/readyz", tag = "health", responses(
    (status = 200, description = "All are ready", body = Ready),
    (status = 503, description = "Not all are; each says why", body = Ready),
))]
pub async fn ready(State(app): Shared) -> Response {
    let tenants = app.roster.all().into_iter();
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
    let ready = tenants.iter().all(|tenant| tenant.ready);
    let status = match ready {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, Json(Ready { ready, tenants })).into_response()
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
                _ => return (true, counts.trouble),
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
