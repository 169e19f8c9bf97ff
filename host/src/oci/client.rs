//! The few requests of the OCI distribution interface that pushing and pulling one artifact takes.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, LOCATION, WWW_AUTHENTICATE};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::Deserialize;
use tokio::sync::Mutex;
use url::Url;

use super::artifact::MANIFEST;
use super::credentials::{Credentials, credentials, parameter};
use super::{MOST_MANIFEST, OciError, Reference};
use crate::names::Digest;

const CONNECT: Duration = Duration::from_secs(10);
/// For one request, with the bytes of a component.
const PATIENCE: Duration = Duration::from_secs(120);
/// Bytes of what a registry says went wrong.
const MOST_SAID: u64 = 1 << 10;

pub(super) struct Client {
    http: reqwest::Client,
    reference: Reference,
    credentials: Option<Credentials>,
    /// What the registry wants to see, once it said so.
    authorization: Mutex<Option<String>>,
}

/// What a request sends.
struct Body<'a> {
    kind: &'static str,
    bytes: &'a Bytes,
}

impl Client {
    /// One that has the environment's credentials.
    pub fn of(reference: &Reference) -> Result<Self, OciError> {
        let credentials = credentials(&reference.registry, |name| std::env::var(name).ok())?;
        Self::with(reference, credentials)
    }

    pub(super) fn with(
        reference: &Reference,
        credentials: Option<Credentials>,
    ) -> Result<Self, OciError> {
        let builder = reqwest::Client::builder()
            .user_agent(concat!("assay/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT)
            .timeout(PATIENCE)
            .https_only(!reference.is_local());
        let http = builder.build().map_err(|source| OciError::Http {
            what: "begin",
            registry: reference.registry.clone(),
            source,
        })?;
        Ok(Self {
            http,
            reference: reference.clone(),
            credentials,
            authorization: Mutex::new(None),
        })
    }

    /// The bytes of the manifest that the reference names.
    pub async fn manifest(&self) -> Result<Bytes, OciError> {
        let what = "read the manifest";
        let named = self.named(None);
        let url = self.url(what, &format!("manifests/{named}"))?;
        let answer = self.ask(what, Method::GET, &url, None).await?;
        self.bytes(what, answer, MOST_MANIFEST).await
    }

    /// The bytes of a blob.
    pub async fn blob(&self, digest: Digest, most: u64) -> Result<Bytes, OciError> {
        let what = "read the component";
        let url = self.url(what, &format!("blobs/sha256:{digest}"))?;
        let answer = self.ask(what, Method::GET, &url, None).await?;
        let bytes = self.bytes(what, answer, most).await?;
        let found = Digest::of(&bytes);
        match found == digest {
            true => Ok(bytes),
            false => Err(OciError::Digest {
                reference: self.reference.to_string(),
                wanted: digest,
                found,
            }),
        }
    }

    /// Puts a blob where it is not there yet.
    pub async fn put_blob(&self, bytes: &Bytes) -> Result<(), OciError> {
        let what = "write a blob";
        let digest = format!("sha256:{}", Digest::of(bytes));
        // Asking to write first has the registry say which rights it wants to see.
        let begin = self.url(what, "blobs/uploads/")?;
        let begun = self
            .ask(what, Method::POST, &begin, Some(Body::none()))
            .await?;
        let place = begun.headers().get(LOCATION);
        let place = place.and_then(|place| place.to_str().ok());
        let place = place.and_then(|place| begin.join(place).ok());
        let mut place = place.ok_or_else(|| self.answer(what, "it names no place to write to"))?;
        place.query_pairs_mut().append_pair("digest", &digest);
        let body = Body {
            kind: "application/octet-stream",
            bytes,
        };
        self.ask(what, Method::PUT, &place, Some(body)).await?;
        Ok(())
    }

    /// Puts a manifest under the reference's tag, or where it has none under its digest.
    pub async fn put_manifest(&self, digest: Digest, bytes: &Bytes) -> Result<(), OciError> {
        let what = "write the manifest";
        let named = self.named(Some(digest));
        let url = self.url(what, &format!("manifests/{named}"))?;
        let body = Body {
            kind: MANIFEST,
            bytes,
        };
        self.ask(what, Method::PUT, &url, Some(body)).await?;
        Ok(())
    }

    /// What a manifest is called: by its digest where one is wanted, else by its tag.
    fn named(&self, digest: Option<Digest>) -> String {
        let Reference {
            tag,
            digest: pinned,
            ..
        } = &self.reference;
        match (pinned, tag, digest) {
            (Some(digest), _, None) => format!("sha256:{digest}"),
            (_, Some(tag), _) => tag.clone(),
            (_, None, Some(digest)) => format!("sha256:{digest}"),
            (None, None, None) => "latest".to_owned(),
        }
    }

    fn url(&self, what: &'static str, path: &str) -> Result<Url, OciError> {
        let Reference {
            registry,
            repository,
            ..
        } = &self.reference;
        let scheme = if self.reference.is_local() {
            "http"
        } else {
            "https"
        };
        let url = Url::parse(&format!("{scheme}://{registry}/v2/{repository}/{path}"));
        url.map_err(|error| self.answer(what, &error.to_string()))
    }

    /// Asks, and where the registry wants to know who asks, tells it and asks again.
    async fn ask(
        &self,
        what: &'static str,
        method: Method,
        url: &Url,
        body: Option<Body<'_>>,
    ) -> Result<Response, OciError> {
        let answer = self.ask_once(what, &method, url, body.as_ref()).await?;
        if answer.status() != StatusCode::UNAUTHORIZED {
            return self.good(what, answer).await;
        }
        let challenge = answer.headers().get(WWW_AUTHENTICATE);
        let challenge = challenge.and_then(|challenge| challenge.to_str().ok());
        let Some(authorization) = self.authorized(challenge.unwrap_or_default()).await? else {
            return self.good(what, answer).await;
        };
        *self.authorization.lock().await = Some(authorization);
        let answer = self.ask_once(what, &method, url, body.as_ref()).await?;
        self.good(what, answer).await
    }

    async fn ask_once(
        &self,
        what: &'static str,
        method: &Method,
        url: &Url,
        body: Option<&Body<'_>>,
    ) -> Result<Response, OciError> {
        let mut request = self.http.request(method.clone(), url.clone());
        request = request.header(ACCEPT, MANIFEST).header(ACCEPT, "*/*");
        if let Some(body) = body {
            request = request
                .header(CONTENT_TYPE, body.kind)
                .body(body.bytes.clone());
        }
        // Where else it may send us to write, that is told no secret.
        let home = self.url(what, "")?;
        if (url.host_str(), url.port_or_known_default())
            == (home.host_str(), home.port_or_known_default())
            && let Some(authorization) = &*self.authorization.lock().await
        {
            request = request.header(AUTHORIZATION, authorization);
        }
        self.send(what, request).await
    }

    async fn send(
        &self,
        what: &'static str,
        request: RequestBuilder,
    ) -> Result<Response, OciError> {
        request.send().await.map_err(|source| OciError::Http {
            what,
            registry: self.reference.registry.clone(),
            source: source.without_url(),
        })
    }

    /// What the registry wants to see, by its challenge. `None`: there is nothing to show it.
    async fn authorized(&self, challenge: &str) -> Result<Option<String>, OciError> {
        let (scheme, rest) = challenge.split_once(' ').unwrap_or((challenge, ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Ok(self.credentials.as_ref().map(Credentials::basic));
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Ok(None);
        }
        let what = "ask for a token";
        let parameter = |name: &str| parameter(rest, name);
        let realm = parameter("realm").and_then(|realm| Url::parse(&realm).ok());
        let mut realm = realm.ok_or_else(|| self.answer(what, "it does not say where"))?;
        for name in ["service", "scope"] {
            if let Some(value) = parameter(name) {
                realm.query_pairs_mut().append_pair(name, &value);
            }
        }
        let mut request = self.http.get(realm);
        if let Some(credentials) = &self.credentials {
            request = request.header(AUTHORIZATION, credentials.basic());
        }
        let answer = self.good(what, self.send(what, request).await?).await?;
        let answer = self.bytes(what, answer, MOST_MANIFEST).await?;
        let token: Result<Token, _> = serde_json::from_slice(&answer);
        let token = token.map_err(|_| self.answer(what, "it gives none"))?;
        let token = token.token.or(token.access_token);
        let token = token.ok_or_else(|| self.answer(what, "it gives none"))?;
        Ok(Some(format!("Bearer {token}")))
    }

    async fn good(&self, what: &'static str, answer: Response) -> Result<Response, OciError> {
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let said = self
            .bytes(what, answer, MOST_SAID)
            .await
            .unwrap_or_default();
        let said = serde_json::from_slice(&said).unwrap_or(Said { errors: Vec::new() });
        let said = said
            .errors
            .first()
            .map(|said| format!(" ({})", said.message));
        let todo = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                "set ASSAY_REGISTRY to its host, and ASSAY_REGISTRY_USERNAME and ASSAY_REGISTRY_PASSWORD to those who may"
            }
            StatusCode::NOT_FOUND => "see whether it was pushed, and under this name",
            _ => "see what the registry's log says",
        };
        Err(OciError::Refused {
            what,
            registry: self.reference.registry.clone(),
            status: status.as_u16(),
            said: said.unwrap_or_default(),
            todo,
        })
    }

    async fn bytes(
        &self,
        what: &'static str,
        mut answer: Response,
        most: u64,
    ) -> Result<Bytes, OciError> {
        let mut bytes = BytesMut::new();
        loop {
            let chunk = answer.chunk().await.map_err(|source| OciError::Http {
                what,
                registry: self.reference.registry.clone(),
                source: source.without_url(),
            })?;
            let Some(chunk) = chunk else {
                return Ok(bytes.freeze());
            };
            if (bytes.len() + chunk.len()) as u64 > most {
                return Err(OciError::TooLarge {
                    reference: self.reference.to_string(),
                    allowed: most,
                });
            }
            bytes.extend_from_slice(&chunk);
        }
    }

    fn answer(&self, what: &'static str, problem: &str) -> OciError {
        OciError::Answer {
            what,
            registry: self.reference.registry.clone(),
            problem: problem.to_owned(),
        }
    }
}

#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

#[derive(Deserialize)]
struct Said {
    errors: Vec<Problem>,
}

#[derive(Deserialize)]
struct Problem {
    #[serde(default)]
    message: String,
}

impl Body<'static> {
    fn none() -> Self {
        static NONE: Bytes = Bytes::new();
        Self {
            kind: "application/octet-stream",
            bytes: &NONE,
        }
    }
}
