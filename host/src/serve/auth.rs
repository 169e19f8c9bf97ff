//! Who asks, and whether they may.
//!
//! Tokens lie in the lake, and so hold for the tenants of that lake alone. A token says the same to
//! a tenant that it is not for and to one that there is not: names are not given away.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use tokio::sync::Mutex;
use utoipa::Modify;
use utoipa::openapi::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};

use super::App;
use super::error::ApiError;
use crate::control::JournalError;
use crate::control::audit::Actor;
use crate::control::token::{Right, Token, Tokens};
use crate::environment::now;
use crate::lake::Lake;
use crate::names::Tenant;
use crate::pipeline::host::Known;

/// How long what was read of a lake's tokens holds: so long after its revocation a token is good.
const FRESH: Duration = Duration::from_secs(1);
/// How often a lake is asked at most for tokens that nobody knows.
const LOOK: Duration = Duration::from_millis(100);

/// The client's address.
#[derive(Clone, Copy, Debug)]
pub struct Client(pub SocketAddr);

/// The request's id, as the log and the audit have it.
#[derive(Clone, Debug)]
pub struct RequestId(pub String);

/// The tokens of the lakes of this host's tenants.
pub struct Gate {
    /// Only this machine can reach the server.
    is_loopback: bool,
    lakes: Mutex<BTreeMap<String, (Tokens, Option<Instant>)>>,
}

impl Gate {
    pub fn new(is_loopback: bool) -> Self {
        Self {
            is_loopback,
            lakes: Mutex::new(BTreeMap::new()),
        }
    }

    /// The good token of a lake that a bearer shows. That it is none is said only by what was read
    /// since it was shown: it may just have been made.
    async fn find(&self, lake: &Lake, shown: &str) -> Result<Option<Token>, JournalError> {
        let begun = Instant::now();
        loop {
            let wait = {
                let mut lakes = self.lakes.lock().await;
                let known = lakes.entry(lake.uri().to_owned());
                let (tokens, read) = known.or_insert_with(|| (Tokens::new(lake), None));
                let age = read.map(|read: Instant| read.elapsed());
                let found = tokens.find(shown, now()).cloned();
                match (found, age) {
                    (Some(found), Some(age)) if age <= FRESH => return Ok(Some(found)),
                    (None, Some(age)) if age <= LOOK && read.is_some_and(|read| read < begun) => {
                        LOOK.saturating_sub(age)
                    }
                    (None, Some(_)) if read.is_some_and(|read| read >= begun) => return Ok(None),
                    _ => {
                        let at = Instant::now();
                        tokens.refresh().await?;
                        *read = Some(at);
                        return Ok(tokens.find(shown, now()).cloned());
                    }
                }
            };
            tokio::time::sleep(wait).await;
        }
    }
}

/// Whoever sent a request.
pub struct Bearer {
    token: Option<String>,
    client: String,
    request: String,
    /// It named this machine by a name that only this machine has: a page of another site that had
    /// its own name resolve to us did not.
    names_us_locally: bool,
}

impl<S: Send + Sync> FromRequestParts<S> for Bearer {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let client = parts.extensions.get::<Client>();
        let request = parts.extensions.get::<RequestId>();
        Ok(Self {
            token: bearer_token(&parts.headers)?,
            client: client.map_or_else(String::new, |client| client.0.to_string()),
            request: request.map_or_else(String::new, |request| request.0.clone()),
            names_us_locally: names_us_locally(&parts.headers),
        })
    }
}

impl Bearer {
    /// # Errors
    /// No token was sent.
    pub fn shown(&self) -> Result<(), ApiError> {
        match self.token {
            Some(_) => Ok(()),
            None => Err(ApiError::no_token()),
        }
    }
}

fn bearer_token(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let Some(value) = headers.get(header::AUTHORIZATION) else {
        return Ok(None);
    };
    let text = value.to_str().ok();
    let parts = text.and_then(|text| text.split_once(' '));
    match parts {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
            Ok(Some(token.trim().to_owned()))
        }
        _ => Err(ApiError::bad_token()),
    }
}

fn names_us_locally(headers: &HeaderMap) -> bool {
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let Some(host) = host else { return false };
    if let Ok(address) = host.parse::<SocketAddr>() {
        return address.ip().is_loopback();
    }
    let with_port = host.rsplit_once(':');
    let with_port = with_port.filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
    let name = with_port.map_or(host, |(name, _)| name);
    let address = name.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    name == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// Somebody who may do what they ask for, with the tenant that they ask it for.
pub struct Admitted {
    pub known: Known,
    pub actor: Actor,
}

impl App {
    /// Lets a request through that asks for a right on a tenant.
    ///
    /// # Errors
    /// No token, a bad one, one that does not allow it, or no such tenant.
    pub async fn admit(
        &self,
        bearer: &Bearer,
        tenant: &Tenant,
        right: Right,
    ) -> Result<Admitted, ApiError> {
        let known = self.roster.get(tenant);
        if right == Right::Read && self.is_open(bearer) {
            let known = known.ok_or_else(|| ApiError::no_such_tenant(tenant))?;
            let actor = actor(bearer, "anyone on this machine");
            return Ok(Admitted { known, actor });
        }
        let tokens = self.tokens(bearer).await?;
        let of_lake = known.as_ref().map(|known| known.lake.uri());
        let reach = |(lake, token): &&(String, Token)| {
            of_lake.is_none_or(|own| own == lake) && token.reaches(tenant)
        };
        let reaching: Vec<_> = tokens.iter().filter(reach).collect();
        let allowed = reaching
            .iter()
            .find(|(_, token)| token.allows(tenant, right));
        let Some((_, token)) = allowed else {
            return Err(ApiError::not_allowed(tenant, right));
        };
        let known = known.ok_or_else(|| ApiError::no_such_tenant(tenant))?;
        let actor = actor(bearer, &format!("{} (token {})", token.name, token.id));
        Ok(Admitted { known, actor })
    }

    /// The tenants that a request may read of.
    ///
    /// # Errors
    /// No token, or a bad one.
    pub async fn readable(&self, bearer: &Bearer) -> Result<Vec<(Tenant, Known)>, ApiError> {
        let all = self.roster.all();
        if self.is_open(bearer) {
            return Ok(all);
        }
        let tokens = self.tokens(bearer).await?;
        let may = |tenant: &Tenant, known: &Known| {
            let mut own = tokens.iter().filter(|(lake, _)| lake == known.lake.uri());
            own.any(|(_, token)| token.allows(tenant, Right::Read))
        };
        Ok(all
            .into_iter()
            .filter(|(tenant, known)| may(tenant, known))
            .collect())
    }

    /// Without a token, whoever is on this machine may see how the host does.
    fn is_open(&self, bearer: &Bearer) -> bool {
        bearer.token.is_none() && self.gate.is_loopback && bearer.names_us_locally
    }

    /// What the bearer's token is, by the lake that knows it.
    async fn tokens(&self, bearer: &Bearer) -> Result<Vec<(String, Token)>, ApiError> {
        let shown = bearer.token.as_deref().ok_or_else(ApiError::no_token)?;
        let lakes: BTreeMap<String, Lake> = self
            .roster
            .all()
            .into_iter()
            .map(|(_, known)| (known.lake.uri().to_owned(), known.lake))
            .collect();
        let mut tokens = Vec::new();
        for (uri, lake) in lakes {
            if let Some(token) = self.gate.find(&lake, shown).await? {
                tokens.push((uri, token));
            }
        }
        match tokens.is_empty() {
            true => Err(ApiError::bad_token()),
            false => Ok(tokens),
        }
    }
}

fn actor(bearer: &Bearer, by: &str) -> Actor {
    Actor {
        by: by.to_owned(),
        via: "http",
        address: bearer.client.clone(),
        request: Some(bearer.request.clone()),
    }
}

/// Says in the description how a token is sent.
pub struct BearerScheme;

impl Modify for BearerScheme {
    fn modify(&self, openapi: &mut OpenApi) {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        let components = openapi.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(scheme));
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn only_names_of_this_machine_count_as_local() {
        for (host, local) in [
            ("localhost:8080", true),
            ("localhost", true),
            ("127.0.0.1:8080", true),
            ("127.0.0.1", true),
            ("[::1]:8080", true),
            ("[::1]", true),
            ("evil.example:8080", false),
            ("127.0.0.1.evil.example", false),
            ("10.0.0.1:8080", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static(host));
            assert_eq!(names_us_locally(&headers), local, "{host}");
        }
        assert!(!names_us_locally(&HeaderMap::new()));
    }
}
