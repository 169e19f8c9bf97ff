//! The host's own HTTP server: whether it is well, what it does, and changes of rules and tenants
//! for those who hold a token.
//!
//! ```text
//! /healthz /readyz            anyone
//! /metrics, GET /v1/tenants   anyone on this machine; else a token
//! the rest of /v1             a token with the right, on that tenant
//! ```
//!
//! What a request changes is changed by the same code as on the command line, and noted in the same
//! audit. A change goes on to its end, and into the audit, also if the client does not wait for it.

mod auth;
mod body;
mod error;
mod health;
mod listen;
mod metrics;
mod page;
mod process;
mod rules;
mod shadow;
mod status;
mod tenants;
mod upload;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::to_bytes;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use tokio::sync::Semaphore;
use tracing::Instrument as _;
use utoipa::OpenApi as _;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use self::auth::{BearerScheme, Client, Gate, RequestId};
use self::error::ApiError;
pub use self::listen::{ListenError, Listener, Listening, TlsFiles};
use crate::pipeline::host::Roster;
use crate::plugin::Sandbox;

/// How long a request may take, the sending of its body included. Staging compiles components, and
/// a what-if judges many messages twice.
const PATIENCE: Duration = Duration::from_secs(30);
const LONG_PATIENCE: Duration = Duration::from_secs(300);

/// Bytes that a request may send, where it does not stage rules.
const MOST_BYTES: usize = 64 << 10;
/// Bytes of a TOML with its components: each is bounded by `[limits] component` besides.
const MOST_STAGED_BYTES: usize = 64 << 20;
/// Bytes that are read, and not kept, of one who sends more: who sends yet more hears no answer.
const MOST_HEARD_BYTES: usize = 2 * MOST_STAGED_BYTES;
/// Requests that stage rules at the same time: each holds its components in memory.
const MOST_STAGING: usize = 2;
/// Requests that ask what-if at the same time: each takes what tenants leave of a core.
const MOST_ASKING: usize = 1;

/// What requests are answered from.
pub struct App {
    roster: Roster,
    sandbox: Arc<Sandbox>,
    gate: Gate,
    staging: Arc<Semaphore>,
    asking: Arc<Semaphore>,
}

type Shared = State<Arc<App>>;

/// The whole interface, as its own description.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Assay",
        description = "Rule sets and tenants of one Assay host. Every change is a row of the tenant's audit table."
    ),
    modifiers(&BearerScheme),
    components(schemas(error::Problem))
)]
struct Api;

/// The routes, and what describes them.
fn api() -> (Router<Arc<App>>, OpenApi) {
    let staging = OpenApiRouter::new()
        .routes(routes!(rules::stage))
        .layer(DefaultBodyLimit::max(MOST_HEARD_BYTES));
    let small = OpenApiRouter::with_openapi(Api::openapi())
        .routes(routes!(health::alive))
        .routes(routes!(health::ready))
        .routes(routes!(metrics::metrics))
        .routes(routes!(tenants::list))
        .routes(routes!(tenants::show, tenants::delete))
        .routes(routes!(tenants::pause))
        .routes(routes!(tenants::resume))
        .routes(routes!(tenants::audit))
        .routes(routes!(rules::history))
        .routes(routes!(rules::show))
        .routes(routes!(rules::diff))
        .routes(routes!(shadow::begin, shadow::end))
        .routes(routes!(shadow::report))
        .routes(routes!(shadow::what_if))
        .routes(routes!(rules::promote))
        .routes(routes!(rules::rollback))
        .layer(DefaultBodyLimit::max(MOST_BYTES));
    small.merge(staging).split_for_parts()
}

fn router(app: Arc<App>) -> Router {
    let (routes, description) = api();
    routes
        .route("/", get(page::page))
        .route(
            "/openapi.json",
            get(move || std::future::ready(Json(description))),
        )
        .fallback(|| std::future::ready(ApiError::no_such_path()))
        .layer(from_fn_with_state(app.clone(), around))
        .with_state(app)
}

/// What every request goes through: an id, a time limit, a line in the log, and an answer in JSON
/// whatever is wrong.
async fn around(State(_): Shared, mut request: Request, next: Next) -> Response {
    let id = Uuid::new_v4().to_string();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let client = request.extensions().get::<Client>().copied();
    request.extensions_mut().insert(RequestId(id.clone()));
    let begun = Instant::now();
    let takes_long = (method == "POST" && path.ends_with("/rules")) || path.ends_with("/what-if");
    let patience = if takes_long { LONG_PATIENCE } else { PATIENCE };
    let span = tracing::info_span!("http", request = %id);
    let answer = tokio::time::timeout(patience, next.run(request).instrument(span)).await;
    let answer = match answer {
        Ok(answer) => answer,
        Err(_) => ApiError::too_slow(patience).into_response(),
    };
    let mut answer = in_json(answer).await;
    let (status, took) = (answer.status().as_u16(), begun.elapsed());
    let client = client.map(|Client(address)| address.to_string());
    let client = client.unwrap_or_default();
    if method == "GET" && status < 500 {
        tracing::debug!(request = %id, client, status, ?took, "{method} {path}");
    } else {
        tracing::info!(request = %id, client, status, ?took, "{method} {path}");
    }
    let headers = answer.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert(HeaderName::from_static("x-request-id"), id);
    }
    let nosniff = HeaderValue::from_static("nosniff");
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
    answer
}

/// What the framework itself refuses comes as text.
async fn in_json(answer: Response) -> Response {
    let status = answer.status();
    let kind = answer.headers().get(header::CONTENT_TYPE);
    let is_json = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    if is_json || status.is_success() {
        return answer;
    }
    let allowed = answer.headers().get(header::ALLOW).cloned();
    let text = to_bytes(answer.into_body(), MOST_BYTES).await;
    let text = String::from_utf8_lossy(&text.unwrap_or_default()).into_owned();
    let mut answer = ApiError::of_framework(status, text).into_response();
    if let Some(allowed) = allowed {
        answer.headers_mut().insert(header::ALLOW, allowed);
    }
    answer
}

/// Answers requests until it is dropped.
pub async fn serve(listener: Listener, roster: Roster, sandbox: Arc<Sandbox>) {
    let app = Arc::new(App {
        roster,
        sandbox,
        gate: Gate::new(listener.is_loopback()),
        staging: Arc::new(Semaphore::new(MOST_STAGING)),
        asking: Arc::new(Semaphore::new(MOST_ASKING)),
    });
    listener.serve(router(app)).await;
}

/// A change that goes on to its end whether or not anyone waits for it.
async fn to_its_end<T: Send + 'static>(
    change: impl Future<Output = Result<T, ApiError>> + Send + 'static,
) -> Result<T, ApiError> {
    let task = tokio::spawn(change.in_current_span());
    task.await.unwrap_or_else(|_| Err(ApiError::interrupted()))
}

#[cfg(test)]
mod tests;
