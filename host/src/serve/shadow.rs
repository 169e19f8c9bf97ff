//! `/v1/tenants/{tenant}/rules/{number}/…`: what a rule set would do, before it does it.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use serde::Deserialize;
use serde_json::Value;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tracing::Instrument as _;
use utoipa::ToSchema;

use super::auth::{Admitted, Bearer};
use super::body::Sent;
use super::error::{ApiError, Problem};
use super::tenants::Why;
use super::{App, Shared, to_its_end};
use crate::control::audit::Act;
use crate::control::token::Right;
use crate::names::{RuleSetNumber, Tenant};
use crate::pipeline::answers;
use crate::pipeline::shadow::merged;
use crate::pipeline::what_if::{self, Against, Scope, WhatIfError, Written};
use crate::processor::come_last;
use crate::ruleset::Who;

/// Messages that one request has compared at most: what is answered before anybody gives up.
const MOST_COMPARED: u64 = 1_000_000;

/// Where a staged rule set stands.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what the pipeline puts together")]
pub struct Stands {
    tenant: String,
    /// The rule set's number.
    number: i64,
    /// `shadow` or `staged`.
    state: String,
}

/// Which messages of bronze are compared, and with what.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// The rule set that it is compared with, or `pinned` for each row's own; without it, the active
    /// one.
    against: Option<String>,
    /// Messages that were taken in from this moment on: 2025-03-01 or 2025-03-01T10:00:00Z; with a
    /// partition, from this offset on.
    from: Option<String>,
    /// Messages that were taken in before this moment; with a partition, before this offset.
    to: Option<String>,
    /// Messages of one partition of this topic alone.
    topic: Option<String>,
    /// The partition's number.
    partition: Option<i32>,
}

/// Have a staged rule set judge live batches beside the active one, for a report, in the place of any
/// other that does. It writes no rows
#[utoipa::path(post, path = "/v1/tenants/{tenant}/rules/{number}/shadow", tag = "rules", security(("token" = [])),
    params(("tenant" = String, Path), ("number" = i64, Path)), request_body = Why, responses(
    (status = 200, body = Stands), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem),
    (status = 409, body = Problem), (status = 422, body = Problem),
))]
pub async fn begin(
    State(app): Shared,
    bearer: Bearer,
    Path((tenant, number)): Path<(Tenant, i64)>,
    sent: Sent<Why>,
) -> Result<Json<Value>, ApiError> {
    shadow(app, bearer, tenant, RuleSetNumber(number), true, sent).await
}

/// Have a rule set judge no more beside the active one. It stays staged, and its report stays
#[utoipa::path(delete, path = "/v1/tenants/{tenant}/rules/{number}/shadow", tag = "rules", security(("token" = [])),
    params(("tenant" = String, Path), ("number" = i64, Path)), request_body = Why, responses(
    (status = 200, body = Stands), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem),
    (status = 409, body = Problem), (status = 422, body = Problem),
))]
pub async fn end(
    State(app): Shared,
    bearer: Bearer,
    Path((tenant, number)): Path<(Tenant, i64)>,
    sent: Sent<Why>,
) -> Result<Json<Value>, ApiError> {
    shadow(app, bearer, tenant, RuleSetNumber(number), false, sent).await
}

async fn shadow(
    app: Arc<App>,
    bearer: Bearer,
    tenant: Tenant,
    number: RuleSetNumber,
    begins: bool,
    sent: Sent<Why>,
) -> Result<Json<Value>, ApiError> {
    let Admitted { known, actor } = app.admit(&bearer, &tenant, Right::Compare).await?;
    let Why { why } = sent.read()?;
    to_its_end(async move {
        let mut changes = app.rules(&known, &tenant).await?;
        let act = Act::shadow(number, begins, &why);
        let who = Who {
            by: actor.by.clone(),
            why,
        };
        let change = changes.shadow(number, begins, &who);
        let changed = known.audited(&tenant, &actor, act, change).await;
        known.keep_rules(changes);
        changed??;
        Ok(Json(answers::shadow(&tenant, number, begins)))
    })
    .await
}

/// What all hosts found of a rule set that judges, or judged, beside the active one
///
/// Verdicts by what changed, columns of silver, gold by partition, and what it costs. It holds samples
/// of rows.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/rules/{number}/report", tag = "rules", security(("token" = [])),
    params(("tenant" = String, Path), ("number" = i64, Path)), responses(
    (status = 200, body = Object), (status = 401, body = Problem), (status = 403, body = Problem),
    (status = 404, description = "There is no such rule set, or no host looked at a batch with it yet", body = Problem),
))]
pub async fn report(
    State(app): Shared,
    bearer: Bearer,
    Path((tenant, number)): Path<(Tenant, i64)>,
) -> Result<Json<Value>, ApiError> {
    let Admitted { known, .. } = app.admit(&bearer, &tenant, Right::Compare).await?;
    let mut changes = app.rules(&known, &tenant).await?;
    let registry = &mut changes.registry;
    let number = RuleSetNumber(number);
    registry.reach(number).await?;
    let state = registry.state(registry.set(number)?);
    let found = merged(&known.lake, &tenant, registry, number, None).await?;
    let found = found.ok_or_else(|| {
        let what = format!("there is no report of rule set {number}, which is {}", state.as_str());
        let begin = match state.waits() {
            true => "POST …/shadow has it judge beside the active one; it is there once a host looked at a batch",
            false => "GET …/what-if compares it over what is in bronze",
        };
        ApiError::not_found(what, begin)
    })?;
    let report = answers::report(&tenant, registry, &found)?;
    known.keep_rules(changes);
    Ok(Json(report))
}

/// What a rule set would have made of messages that are in bronze
///
/// The answer is what `assay rules what-if --json` prints, of at most a million messages; it takes what
/// the tenants of this host leave of one core, and goes no further once nobody waits for it. It holds
/// samples of rows.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/rules/{number}/what-if", tag = "rules", security(("token" = [])),
    params(("tenant" = String, Path), ("number" = i64, Path), Asked), responses(
    (status = 200, body = Object), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem),
    (status = 404, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem), (status = 503, body = Problem),
))]
pub async fn what_if(
    State(app): Shared,
    bearer: Bearer,
    Path((tenant, number)): Path<(Tenant, i64)>,
    Query(asked): Query<Asked>,
) -> Result<Json<Value>, ApiError> {
    let Admitted { known, .. } = app.admit(&bearer, &tenant, Right::Compare).await?;
    let place = app.asking.clone().try_acquire_owned();
    let place = place.map_err(|_| ApiError::busy("asking what-if"))?;
    let mut registry = app.rules(&known, &tenant).await?.registry;
    let number = RuleSetNumber(number);
    registry.reach(number).await?;
    registry.check_trust_in(number)?;
    let against = Against::of(asked.against.as_deref(), &mut registry).await?;
    let scope = Scope::of(&Written {
        from: asked.from,
        to: asked.to,
        topic: asked.topic,
        partition: asked.partition,
    });
    let scope = Scope {
        most: MOST_COMPARED,
        ..scope.map_err(WhatIfError::from)?
    };
    let found = last_of_all(async move || {
        let _place = place;
        let registry = &mut registry;
        let lake = &known.lake;
        let found = what_if::what_if(lake, &tenant, registry, number, against, &scope, |_| {});
        let found = found.await?;
        Ok::<_, WhatIfError>(what_if::answer(&tenant, number, against, &found))
    });
    Ok(Json(found.await??))
}

/// Works on a thread that every other comes before, until nobody waits for it any more.
async fn last_of_all<T: Send + 'static>(
    work: impl AsyncFnOnce() -> T + Send + 'static,
) -> Result<T, ApiError> {
    let (mut done, result) = oneshot::channel();
    let (runtime, span) = (Handle::current(), tracing::Span::current());
    let thread = std::thread::Builder::new().name("assay-what-if".to_owned());
    let begun = thread.spawn(move || {
        if let Err(error) = come_last() {
            tracing::warn!(%error, "what is asked for has the priority of all others");
        }
        let found = async {
            tokio::select! {
                found = work() => Some(found),
                () = done.closed() => None,
            }
        };
        if let Some(found) = runtime.block_on(found.instrument(span)) {
            // Who waited may be gone by now.
            let _ = done.send(found);
        }
    });
    begun.map_err(|_| ApiError::busy("doing too much"))?;
    result.await.map_err(|_| ApiError::interrupted())
}
