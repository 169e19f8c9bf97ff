//! `/v1/tenants/{tenant}/rules`: what `assay rules` does, for those who hold a token.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::multipart::MultipartRejection;
use axum::extract::{Multipart, Path, Query, State};
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::auth::{Admitted, Bearer};
use super::body::{Sent, reason};
use super::error::{ApiError, Problem};
use super::tenants::Why;
use super::upload::{hear_out, sent};
use super::{App, Shared, to_its_end};
use crate::control::audit::Act;
use crate::control::token::Right;
use crate::names::{RuleSetNumber, Tenant};
use crate::pipeline::answers;
use crate::pipeline::change::Changes;
use crate::pipeline::config::Config;
use crate::pipeline::host::Known;
use crate::ruleset::Who;

/// Why rules go back, and to which.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rollback {
    #[serde(deserialize_with = "reason")]
    pub why: String,
    /// The rule set to go back to; without it, the one that judged before the active one.
    #[schema(value_type = Option<i64>)]
    pub to: Option<RuleSetNumber>,
    /// Leave dimensions with the rows of now, instead of those that the set had.
    #[serde(default)]
    pub keep_dimensions: bool,
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub struct Against {
    /// The rule set that it is compared with; without it, the active one.
    #[param(value_type = Option<i64>)]
    against: Option<RuleSetNumber>,
}

/// What was staged or activated, as `assay rules … --json` prints it.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what the pipeline puts together")]
pub struct Changed {
    tenant: String,
    /// The rule set's number.
    number: i64,
    /// `staged` or `active`.
    state: String,
    /// What it changes.
    #[schema(value_type = Vec<Object>)]
    differences: Value,
}

impl App {
    /// The rule sets of a tenant that has some. What is the host's own of the limits is what the host's
    /// TOML says, whatever one that was sent does.
    pub(super) async fn rules(&self, known: &Known, tenant: &Tenant) -> Result<Changes, ApiError> {
        let Some(mut changes) = known.rules(tenant, &self.sandbox).await? else {
            let begin = "its first rule set is made as its pipeline starts";
            return Err(ApiError::conflict(
                format!("tenant {tenant} has no rule sets"),
                begin,
            ));
        };
        // One that can't be read any more is said by the host, which goes on by what it was.
        if let Ok(config) = Config::read(&known.pipeline) {
            changes.registry.set_host_limits(config.limits.host());
        }
        changes.registry.set_trust(known.trust.clone());
        Ok(changes)
    }
}

/// Which rule sets there were, which judges, and who changed what when, and why
#[utoipa::path(get, path = "/v1/tenants/{tenant}/rules", tag = "rules", security(("token" = [])),
    params(("tenant" = String, Path)), responses(
    (status = 200, body = Vec<Object>), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem),
))]
pub async fn history(
    State(app): Shared,
    bearer: Bearer,
    Path(tenant): Path<Tenant>,
) -> Result<Json<Value>, ApiError> {
    let (known, mut changes) = readable(&app, &bearer, &tenant).await?;
    changes.registry.reach_all().await?;
    let history = answers::history(&changes.registry);
    known.keep_rules(changes);
    Ok(Json(history))
}

/// What a rule set is made of
#[utoipa::path(get, path = "/v1/tenants/{tenant}/rules/{number}", tag = "rules", security(("token" = [])),
    params(("tenant" = String, Path), ("number" = i64, Path)), responses(
    (status = 200, body = Object), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem),
))]
pub async fn show(
    State(app): Shared,
    bearer: Bearer,
    Path((tenant, number)): Path<(Tenant, i64)>,
) -> Result<Json<Value>, ApiError> {
    let (known, mut changes) = readable(&app, &bearer, &tenant).await?;
    changes.registry.reach(RuleSetNumber(number)).await?;
    let set = answers::set(&changes.registry, RuleSetNumber(number));
    known.keep_rules(changes);
    Ok(Json(set?))
}

/// What a rule set changes against another
#[utoipa::path(get, path = "/v1/tenants/{tenant}/rules/{number}/diff", tag = "rules", security(("token" = [])),
    params(("tenant" = String, Path), ("number" = i64, Path), Against), responses(
    (status = 200, body = Object), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem),
))]
pub async fn diff(
    State(app): Shared,
    bearer: Bearer,
    Path((tenant, number)): Path<(Tenant, i64)>,
    Query(Against { against }): Query<Against>,
) -> Result<Json<Value>, ApiError> {
    let (known, mut changes) = readable(&app, &bearer, &tenant).await?;
    let registry = &mut changes.registry;
    let (to, from) = (RuleSetNumber(number), against.or(registry.active()));
    let Some(from) = from else {
        let name = "name one with ?against=";
        return Err(ApiError::conflict("no rule set is active", name));
    };
    registry.reach(from).await?;
    registry.reach(to).await?;
    let definition = |number| registry.set(number).map(|set| set.definition.clone());
    let (before, after) = (definition(from)?, definition(to)?);
    let found = changes.compare(&before, &after, &BTreeMap::new()).await;
    known.keep_rules(changes);
    Ok(Json(answers::differences(from, to, &found)))
}

/// Check a pipeline and keep it as a staged rule set; nothing judges by it before it is promoted
///
/// A form of parts: `pipeline`, the TOML; `why`, optional; and each component that the TOML names, its
/// `.sig` where the tenant trusts signed ones alone, and each file of a dimension that was never loaded,
/// as a part with the name of its file. What the TOML says of its lake, its source and whom it trusts
/// does not count: the host's own does.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/rules", tag = "rules", security(("token" = [])),
    params(("tenant" = String, Path)), request_body(content = Object, content_type = "multipart/form-data"), responses(
    (status = 201, body = Changed), (status = 200, description = "The same was staged before", body = Changed),
    (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem),
    (status = 409, body = Problem), (status = 413, body = Problem), (status = 422, body = Problem), (status = 503, body = Problem),
))]
pub async fn stage(
    State(app): Shared,
    bearer: Bearer,
    Path(tenant): Path<Tenant>,
    form: Result<Multipart, MultipartRejection>,
) -> Result<(axum::http::StatusCode, Json<Value>), ApiError> {
    let admitted = app.admit(&bearer, &tenant, Right::Stage).await;
    let place = app.staging.clone().try_acquire_owned();
    let (Admitted { known, actor }, place) = match (admitted, place) {
        (Ok(admitted), Ok(place)) => (admitted, place),
        (refused, _) => {
            if let Ok(mut form) = form {
                hear_out(&mut form).await;
            }
            return Err(refused
                .err()
                .unwrap_or_else(|| ApiError::busy("staging rules")));
        }
    };
    let refused =
        |error: MultipartRejection| ApiError::of_framework(error.status(), error.body_text());
    let mut form = form.map_err(refused)?;
    let sent = sent(&mut form).await;
    if sent.is_err() {
        hear_out(&mut form).await;
    }
    let (upload, why) = sent?;
    to_its_end(async move {
        let _place = place;
        let act = Act::new("rules stage", format!("pipeline of {tenant}"), &why);
        let change = async {
            let unpacked = upload.unpack(&tenant, known.trust.clone())?;
            let mut changes = app.rules(&known, &tenant).await?;
            let who = Who {
                by: actor.by.clone(),
                why,
            };
            let staged = changes.stage(&unpacked.config, &who).await;
            known.keep_rules(changes);
            staged.map_err(|error| ApiError::from(error).map(|text| unpacked.told(text)))
        };
        let staged = known.audited(&tenant, &actor, act, change).await??;
        let status = match staged.already {
            true => axum::http::StatusCode::OK,
            false => axum::http::StatusCode::CREATED,
        };
        Ok((status, Json(answers::staged(&tenant, &staged))))
    })
    .await
}

/// Have a staged rule set judge from the next batch on, on every host
#[utoipa::path(post, path = "/v1/tenants/{tenant}/rules/{number}/promote", tag = "rules", security(("token" = [])),
    params(("tenant" = String, Path), ("number" = i64, Path)), request_body = Why, responses(
    (status = 200, body = Changed), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem),
    (status = 409, body = Problem), (status = 422, body = Problem),
))]
pub async fn promote(
    State(app): Shared,
    bearer: Bearer,
    Path((tenant, number)): Path<(Tenant, i64)>,
    sent: Sent<Why>,
) -> Result<Json<Value>, ApiError> {
    let Admitted { known, actor } = app.admit(&bearer, &tenant, Right::Promote).await?;
    let Why { why } = sent.read()?;
    to_its_end(async move {
        let mut changes = app.rules(&known, &tenant).await?;
        let act = Act::new("rules promote", format!("rule set {number}"), &why);
        let who = Who {
            by: actor.by.clone(),
            why,
        };
        let change = changes.promote(RuleSetNumber(number), &who);
        let activated = known.audited(&tenant, &actor, act, change).await;
        known.keep_rules(changes);
        let activated = activated??;
        Ok(Json(answers::activated(&tenant, &activated)))
    })
    .await
}

/// Have an earlier rule set judge again, from the next batch on: a new activation with a higher
/// number
#[utoipa::path(post, path = "/v1/tenants/{tenant}/rollback", tag = "rules", security(("token" = [])),
    params(("tenant" = String, Path)), request_body = Rollback, responses(
    (status = 200, body = Changed), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem),
    (status = 409, body = Problem), (status = 422, body = Problem),
))]
pub async fn rollback(
    State(app): Shared,
    bearer: Bearer,
    Path(tenant): Path<Tenant>,
    sent: Sent<Rollback>,
) -> Result<Json<Value>, ApiError> {
    let Admitted { known, actor } = app.admit(&bearer, &tenant, Right::Promote).await?;
    let wanted = sent.read()?;
    to_its_end(async move {
        let mut changes = app.rules(&known, &tenant).await?;
        let target = wanted.to.map(|to| format!("to rule set {to}"));
        let act = Act::new(
            "rules rollback",
            target.unwrap_or_else(|| "to the rule set before".to_owned()),
            &wanted.why,
        );
        let who = Who {
            by: actor.by.clone(),
            why: wanted.why,
        };
        let change = changes.rollback(wanted.to, wanted.keep_dimensions, &who);
        let activated = known.audited(&tenant, &actor, act, change).await;
        known.keep_rules(changes);
        let activated = activated??;
        Ok(Json(answers::activated(&tenant, &activated)))
    })
    .await
}

async fn readable(
    app: &Arc<App>,
    bearer: &Bearer,
    tenant: &Tenant,
) -> Result<(Known, Changes), ApiError> {
    bearer.shown()?;
    let Admitted { known, .. } = app.admit(bearer, tenant, Right::Read).await?;
    let changes = app.rules(&known, tenant).await?;
    Ok((known, changes))
}
