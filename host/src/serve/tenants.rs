//! `/v1/tenants`: how they do, what was done to them, and whether they are to run.

use axum::Json;
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::auth::{Admitted, Bearer};
use super::body::{Sent, reason};
use super::error::{ApiError, Problem};
use super::status::Status;
use super::{Shared, to_its_end};
use crate::control::audit::{Act, Scope, audited, entries};
use crate::control::standing::{Standings, Wanted};
use crate::control::token::Right;
use crate::names::Tenant;
use crate::pipeline::answers::moment;
use crate::pipeline::delete;
use crate::pipeline::host::State as Standing;

/// Why something is done, for the audit.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Why {
    #[serde(deserialize_with = "reason")]
    pub why: String,
}

/// A deletion, which names what it deletes once more.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Deletion {
    /// The tenant's name, against a slip.
    pub confirm: String,
    #[serde(deserialize_with = "reason")]
    pub why: String,
}

/// What a tenant is to do from now on.
#[derive(Debug, Serialize, ToSchema)]
pub struct Told {
    #[schema(value_type = String)]
    pub tenant: Tenant,
    /// `running`, `paused` or `deleted`. Hosts follow within seconds.
    pub state: &'static str,
}

/// How the tenants of this host do
#[utoipa::path(get, path = "/v1/tenants", tag = "tenants", security((), ("token" = [])), responses(
    (status = 200, body = Vec<Status>), (status = 401, body = Problem),
))]
pub async fn list(State(app): Shared, bearer: Bearer) -> Result<Json<Vec<Status>>, ApiError> {
    let tenants = app.readable(&bearer).await?.into_iter();
    let tenants = tenants.map(|(tenant, known)| Status::of(tenant, &known));
    Ok(Json(tenants.collect()))
}

/// How a tenant does
#[utoipa::path(get, path = "/v1/tenants/{tenant}", tag = "tenants", security((), ("token" = [])),
    params(("tenant" = String, Path)), responses(
    (status = 200, body = Status), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem),
))]
pub async fn show(
    State(app): Shared,
    bearer: Bearer,
    Path(tenant): Path<Tenant>,
) -> Result<Json<Status>, ApiError> {
    let Admitted { known, .. } = app.admit(&bearer, &tenant, Right::Read).await?;
    Ok(Json(Status::of(tenant, &known)))
}

/// What was done to a tenant, by whom and from where, the oldest first
#[utoipa::path(get, path = "/v1/tenants/{tenant}/audit", tag = "tenants", security(("token" = [])),
    params(("tenant" = String, Path)), responses(
    (status = 200, body = Vec<Object>), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem),
))]
pub async fn audit(
    State(app): Shared,
    bearer: Bearer,
    Path(tenant): Path<Tenant>,
) -> Result<Json<Value>, ApiError> {
    bearer.shown()?;
    let Admitted { known, .. } = app.admit(&bearer, &tenant, Right::Read).await?;
    let rows = entries(&known.lake, Some(&tenant)).await?;
    let rows = rows.into_iter().map(|row| {
        let mut told = json!(row.texts);
        if let Value::Object(told) = &mut told {
            told.insert("at".to_owned(), json!(moment(row.at)));
        }
        told
    });
    Ok(Json(rows.collect()))
}

/// Have a tenant stand still on every host, until it is resumed. What was taken in is committed first
#[utoipa::path(post, path = "/v1/tenants/{tenant}/pause", tag = "tenants", security(("token" = [])),
    params(("tenant" = String, Path)), request_body = Why, responses(
    (status = 200, body = Told), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem),
))]
pub async fn pause(
    State(app): Shared,
    bearer: Bearer,
    Path(tenant): Path<Tenant>,
    sent: Sent<Why>,
) -> Result<Json<Told>, ApiError> {
    say(app, bearer, tenant, Wanted::Paused, "tenant pause", sent).await
}

/// Have a paused tenant run again on every host
#[utoipa::path(post, path = "/v1/tenants/{tenant}/resume", tag = "tenants", security(("token" = [])),
    params(("tenant" = String, Path)), request_body = Why, responses(
    (status = 200, body = Told), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem),
))]
pub async fn resume(
    State(app): Shared,
    bearer: Bearer,
    Path(tenant): Path<Tenant>,
    sent: Sent<Why>,
) -> Result<Json<Told>, ApiError> {
    say(app, bearer, tenant, Wanted::Running, "tenant resume", sent).await
}

async fn say(
    app: std::sync::Arc<super::App>,
    bearer: Bearer,
    tenant: Tenant,
    wanted: Wanted,
    action: &'static str,
    sent: Sent<Why>,
) -> Result<Json<Told>, ApiError> {
    let Admitted { known, actor } = app.admit(&bearer, &tenant, Right::Operate).await?;
    let Why { why } = sent.read()?;
    let roster = app.roster.clone();
    to_its_end(async move {
        let act = Act::new(action, format!("tenant {tenant}"), &why);
        let change = async {
            let mut standings = Standings::new(&known.lake);
            standings.refresh().await?;
            if standings.wanted(&tenant) == wanted {
                let what = format!("tenant {tenant} is {} already", wanted.as_str());
                return Err(ApiError::conflict(what, "there is nothing to do"));
            }
            standings.say(&tenant, wanted, &actor.by, &why).await?;
            Ok(())
        };
        audited(&known.lake, Scope::Lake(Some(&tenant)), &actor, act, change).await??;
        roster.look();
        let state = wanted.as_str();
        Ok(Json(Told { tenant, state }))
    })
    .await
}

/// Delete a paused tenant: its tables, blobs and rule sets. What was done stays in the audit
#[utoipa::path(delete, path = "/v1/tenants/{tenant}", tag = "tenants", security(("token" = [])),
    params(("tenant" = String, Path)), request_body = Deletion, responses(
    (status = 200, body = Told), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem),
))]
pub async fn delete(
    State(app): Shared,
    bearer: Bearer,
    Path(tenant): Path<Tenant>,
    sent: Sent<Deletion>,
) -> Result<Json<Told>, ApiError> {
    let Admitted { known, actor } = app.admit(&bearer, &tenant, Right::Operate).await?;
    let Deletion { confirm, why } = sent.read()?;
    if confirm != tenant.as_str() {
        let repeat = "send the tenant's name as `confirm`";
        return Err(ApiError::bad(
            "the confirmation is not the tenant's name",
            repeat,
        ));
    }
    if matches!(known.state, Standing::Running | Standing::Stopping) {
        let what = format!("tenant {tenant} is {} on this host", known.state.as_str());
        return Err(ApiError::conflict(what, "pause it first"));
    }
    let roster = app.roster.clone();
    to_its_end(async move {
        let act = Act::new("tenant delete", format!("tenant {tenant}"), &why);
        let change = delete::delete(&known.lake, &tenant, &actor.by, &why);
        audited(&known.lake, Scope::Lake(Some(&tenant)), &actor, act, change).await??;
        roster.look();
        let state = Wanted::Deleted.as_str();
        Ok(Json(Told { tenant, state }))
    })
    .await
}
