//! What is wrong with a request, as its answer.

use std::fmt;
use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::control::JournalError;
use crate::control::audit::Unaudited;
use crate::control::token::Right;
use crate::lake::LakeError;
use crate::medallion::compare::CompareError;
use crate::names::Tenant;
use crate::pipeline::change::ChangeError;
use crate::pipeline::delete::DeleteError;
use crate::pipeline::what_if::WhatIfError;
use crate::ruleset::RuleSetError;
use crate::told::told;

/// What is wrong, and what to do about it.
#[derive(Debug, Serialize, ToSchema)]
pub struct Problem {
    pub error: String,
    pub what_to_do: String,
}

/// A request that is refused, or could not be done.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    problem: Problem,
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem.error)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut answer = (self.status, Json(self.problem)).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer");
            answer
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, scheme);
        }
        if self.status == StatusCode::PAYLOAD_TOO_LARGE {
            // The rest is not read, so nothing can follow it: a client that is not told would try.
            let close = HeaderValue::from_static("close");
            answer.headers_mut().insert(header::CONNECTION, close);
        }
        answer
    }
}

impl ApiError {
    fn new(status: StatusCode, error: impl Into<String>, what_to_do: &str) -> Self {
        let problem = Problem {
            error: error.into(),
            what_to_do: what_to_do.to_owned(),
        };
        Self { status, problem }
    }

    pub fn no_token() -> Self {
        let make =
            "send `authorization: Bearer TOKEN`; an operator makes one with `assay token create`";
        Self::new(StatusCode::UNAUTHORIZED, "this needs a token", make)
    }

    pub fn bad_token() -> Self {
        let make =
            "it is unknown, expired or revoked; an operator makes one with `assay token create`";
        Self::new(StatusCode::UNAUTHORIZED, "the token is no good", make)
    }

    pub fn forbidden(what: &str) -> Self {
        let ask = "ask an operator for a token that does, or do without";
        Self::new(StatusCode::FORBIDDEN, what, ask)
    }

    pub fn not_allowed(tenant: &Tenant, right: Right) -> Self {
        let what = match right {
            Right::Read => "reading",
            Right::Stage => "staging rules",
            Right::Compare => "comparing rules",
            Right::Promote => "promoting and rolling back",
            Right::Operate => "pausing, resuming and deleting",
        };
        Self::forbidden(&format!(
            "this token does not allow {what} for tenant {tenant}"
        ))
    }

    pub fn no_such_tenant(tenant: &Tenant) -> Self {
        let look = "GET /v1/tenants lists those of this host; another host may run it";
        let what = format!("this host has no tenant {tenant}");
        Self::new(StatusCode::NOT_FOUND, what, look)
    }

    pub fn no_such_path() -> Self {
        let look = "GET /openapi.json says what there is";
        Self::new(StatusCode::NOT_FOUND, "there is nothing at this path", look)
    }

    pub fn too_slow(patience: Duration) -> Self {
        let what = format!("no answer within {} s", patience.as_secs());
        let look = "a change that was begun goes on: look at the history before you try again";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, what, look)
    }

    /// `what` as many others do as the host has room for.
    pub fn busy(what: &str) -> Self {
        let what = format!("others are {what} on this host");
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            what,
            "try again in a minute",
        )
    }

    pub fn interrupted() -> Self {
        let look = "look at the history and the host's log before you try again";
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the change was cut short",
            look,
        )
    }

    pub fn not_found(what: impl Into<String>, what_to_do: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, what, what_to_do)
    }

    pub fn bad(what: impl Into<String>, what_to_do: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, what, what_to_do)
    }

    pub fn too_large(what: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, what, "send less")
    }

    pub fn unfit(what: impl Into<String>, what_to_do: &str) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, what, what_to_do)
    }

    pub fn conflict(what: impl Into<String>, what_to_do: &str) -> Self {
        Self::new(StatusCode::CONFLICT, what, what_to_do)
    }

    /// The same with other words.
    #[must_use]
    pub fn map(mut self, words: impl Fn(&str) -> String) -> Self {
        self.problem.error = words(&self.problem.error);
        self
    }

    /// What the framework refused before anything of ours was asked.
    pub fn of_framework(status: StatusCode, text: String) -> Self {
        let text = match text.is_empty() {
            true => status.canonical_reason().unwrap_or("refused").to_owned(),
            false => text,
        };
        Self::new(status, text, "GET /openapi.json says what is expected")
    }

    fn lake(error: &(dyn std::error::Error + 'static)) -> Self {
        let look = "the lake does not answer as it should; try again, and see the host's log";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, told(error), look)
    }
}

impl From<LakeError> for ApiError {
    fn from(error: LakeError) -> Self {
        Self::lake(&error)
    }
}

impl From<JournalError> for ApiError {
    fn from(error: JournalError) -> Self {
        Self::lake(&error)
    }
}

impl From<Unaudited> for ApiError {
    fn from(error: Unaudited) -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            told(&error),
            "the change itself ended as said: do not repeat it; see to the lake",
        )
    }
}

impl From<RuleSetError> for ApiError {
    fn from(error: RuleSetError) -> Self {
        match &error {
            RuleSetError::NoSuch { number } => Self::new(
                StatusCode::NOT_FOUND,
                format!("there is no rule set {number}"),
                "GET …/rules lists them",
            ),
            RuleSetError::Rules { .. } => {
                Self::unfit(told(&error), "mend what it says and stage it again")
            }
            _ => Self::lake(&error),
        }
    }
}

impl From<ChangeError> for ApiError {
    fn from(error: ChangeError) -> Self {
        let text = told(&error);
        match error {
            ChangeError::RuleSet(error) => error.into(),
            ChangeError::Plan(_) | ChangeError::Unfit { .. } => {
                Self::unfit(text, "mend what it says and stage it again")
            }
            ChangeError::Layer(error) if error.fault().is_none() => Self::lake(&error),
            ChangeError::Layer(_) => Self::unfit(text, "mend what it says and stage it again"),
            ChangeError::ActiveAlready { .. }
            | ChangeError::NotStaged { .. }
            | ChangeError::NeverActive { .. }
            | ChangeError::Failed { .. }
            | ChangeError::NothingEarlier
            | ChangeError::NoShadow { .. }
            | ChangeError::Gated { .. } => {
                Self::conflict(text, "GET …/rules says how things stand")
            }
            ChangeError::Contended { .. } => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, text, "try again")
            }
        }
    }
}

impl From<WhatIfError> for ApiError {
    fn from(error: WhatIfError) -> Self {
        let text = told(&error);
        match error {
            WhatIfError::RuleSet(error) => error.into(),
            WhatIfError::Scope(_) | WhatIfError::Against { .. } => {
                Self::bad(text, "GET /openapi.json says what is expected")
            }
            WhatIfError::TooMany { .. } => Self::unfit(
                text,
                "narrow it with from and to; `assay rules what-if` compares any number",
            ),
            WhatIfError::NoActive => Self::conflict(text, "name one with ?against="),
            WhatIfError::NoBronze { .. } => {
                Self::conflict(text, "it is made as the tenant's pipeline starts")
            }
            WhatIfError::Compare(ref source) if matches!(**source, CompareError::Arrow(_)) => {
                Self::lake(&error)
            }
            WhatIfError::Compare(_) => Self::unfit(text, "mend what it says and stage it again"),
            WhatIfError::Layer(_) | WhatIfError::Lake(_) => Self::lake(&error),
        }
    }
}

impl From<DeleteError> for ApiError {
    fn from(error: DeleteError) -> Self {
        let text = told(&error);
        match error {
            DeleteError::Runs { .. } | DeleteError::TooSoon { .. } => {
                Self::conflict(text, "pause it, wait as it says, and delete it then")
            }
            _ => Self::lake(&error),
        }
    }
}
