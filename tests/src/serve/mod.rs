//! A host that is asked over HTTP, as monitors, scripts and people do.

mod health;
mod limits;
mod quota;
mod rights;
mod rules;
mod shadow;
mod signed;
mod tenants;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::place::{Host, Place};

/// What the server answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    text: String,
    request: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// What it says, where it went well.
    pub fn well(self) -> Value {
        assert!((200..300).contains(&self.status), "{self:?}");
        self.json()
    }

    /// The error, which has all that an error has, where it did not.
    fn badly(self, status: u16) -> String {
        assert_eq!(self.status, status, "{self:?}");
        let said = self.json();
        assert!(
            said["what_to_do"]
                .as_str()
                .is_some_and(|text| !text.is_empty()),
            "{said}"
        );
        said["error"].as_str().unwrap().to_owned()
    }
}

/// A host's server, and whose token is shown to it.
#[derive(Clone)]
pub struct Server {
    url: String,
    token: Option<String>,
    agent: ureq::Agent,
}

/// Starts a host that answers, with more arguments.
pub fn host(place: &Place, arguments: &[&str]) -> (Host, Server) {
    host_on("host", place, arguments)
}

/// The same, of a machine of this name.
fn host_on(name: &str, place: &Place, arguments: &[&str]) -> (Host, Server) {
    let listen = ["--listen", "127.0.0.1:0"];
    let mut host = place.host_on(name, &[&["run"], arguments, &listen].concat());
    let url = url(&mut host);
    (host, Server::at(&url))
}

/// Where a host says that it answers.
fn url(host: &mut Host) -> String {
    let said = |log: &str| {
        let mut lines = log
            .lines()
            .filter_map(|line| line.strip_prefix("listening on "));
        lines.next().map(str::to_owned)
    };
    // Another may have said so before, on the same machine.
    host.until("it listens", |host| said(&host.said()).is_some());
    said(&host.said()).unwrap()
}

impl Server {
    fn at(url: &str) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(60)))
            // A host closes what was silent for ten seconds, and not in the middle of a request.
            .max_idle_age(Duration::from_secs(5))
            .build();
        Self {
            url: url.to_owned(),
            token: None,
            agent: config.into(),
        }
    }

    /// The same, showing a token.
    pub fn with(&self, token: &str) -> Self {
        Self {
            token: Some(token.to_owned()),
            ..self.clone()
        }
    }

    pub fn get(&self, path: &str) -> Answer {
        self.get_as(path, &[])
    }

    fn get_as(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = self.agent.get(format!("{}{path}", self.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        answer(request.call())
    }

    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(path, "application/json", body.to_string().as_bytes())
    }

    fn delete(&self, path: &str, body: &Value) -> Answer {
        let request = self.agent.delete(format!("{}{path}", self.url));
        let request = request.header("content-type", "application/json");
        let request = match &self.token {
            Some(token) => request.header("authorization", format!("Bearer {token}")),
            None => request,
        };
        answer(request.force_send_body().send(body.to_string().as_bytes()))
    }

    fn send(&self, path: &str, kind: &str, body: &[u8]) -> Answer {
        let request = self.agent.post(format!("{}{path}", self.url));
        let mut request = request.header("content-type", kind);
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        answer(request.send(body))
    }

    /// Sends a pipeline with its components, as a form of parts.
    pub fn stage(&self, tenant: &str, pipeline: &Path, why: &str) -> Answer {
        let text = std::fs::read_to_string(pipeline).unwrap();
        let mut files = Vec::new();
        for quoted in text.split('"').filter(|quoted| quoted.ends_with(".wasm")) {
            let file = PathBuf::from(quoted);
            let name = file.file_name().unwrap().to_str().unwrap().to_owned();
            files.push((name, std::fs::read(&file).unwrap()));
        }
        let mut form = vec![
            ("pipeline", None, text.into_bytes()),
            ("why", None, why.into()),
        ];
        for (name, bytes) in &files {
            form.push(("component", Some(name.as_str()), bytes.clone()));
        }
        self.form(&format!("/v1/tenants/{tenant}/rules"), &form)
    }

    fn form(&self, path: &str, parts: &[(&str, Option<&str>, Vec<u8>)]) -> Answer {
        let mut body = Vec::new();
        for (name, file, bytes) in parts {
            let file = file
                .map(|file| format!("; filename=\"{file}\""))
                .unwrap_or_default();
            let head =
                format!("--part\r\ncontent-disposition: form-data; name=\"{name}\"{file}\r\n\r\n");
            body.extend_from_slice(head.as_bytes());
            body.extend_from_slice(bytes);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(b"--part--\r\n");
        self.send(path, "multipart/form-data; boundary=part", &body)
    }
}

fn answer(said: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Answer {
    let mut said = said.unwrap();
    let request = said.headers().get("x-request-id");
    Answer {
        status: said.status().as_u16(),
        request: request.map_or_else(String::new, |id| id.to_str().unwrap().to_owned()),
        text: said.body_mut().read_to_string().unwrap(),
    }
}

/// Makes a token on the command line.
pub fn token(place: &Place, whose: &str, role: &str) -> String {
    let arguments = ["token", "create", whose, "--role", role, "--name", "a-test"];
    place.assay(&arguments).well().trim().to_owned()
}

/// Sales of one piece, two pieces … ten pieces, and over again.
fn sales(ids: std::ops::Range<u32>) -> String {
    let sale = |id: u32| {
        let quantity = id % 10 + 1;
        format!(
            r#"{{"transaction_id":"T{id}","store_id":"S001","product_id":"P1","customer_id":"C1","quantity":{quantity},"unit_price":2.50,"timestamp":"2025-03-01T10:00:00Z","payment_method":"card","channel":"pos","register_id":1}}"#
        ) + "\n"
    };
    ids.map(sale).collect()
}

/// A pipeline of a tenant in the folder `pipelines`, on a file of sales of its own.
fn pipeline(place: &Place, tenant: &str, ids: std::ops::Range<u32>) -> (PathBuf, PathBuf) {
    let events = place.write(&format!("events/{tenant}.ndjson"), sales(ids));
    let made = place.retail_from_files(
        &events,
        &[
            ("tenant = \"retail\"", &format!("tenant = \"{tenant}\"")),
            ("every = \"5s\"", "every = \"200ms\""),
            ("\n[event]", "\n[batch]\nevery = \"50ms\"\n\n[event]"),
        ],
    );
    let place = place
        .path()
        .join("pipelines")
        .join(format!("{tenant}.toml"));
    std::fs::create_dir_all(place.parent().unwrap()).unwrap();
    std::fs::rename(made, &place).unwrap();
    (events, place)
}

/// Another version of a pipeline, outside of the folder.
fn version(place: &Place, pipeline: &Path, from: &str, to: &str) -> PathBuf {
    let text = std::fs::read_to_string(pipeline).unwrap();
    assert!(text.contains(from), "{from:?}");
    let name = pipeline.file_name().unwrap().to_str().unwrap();
    place.write(&format!("other/{name}"), text.replace(from, to))
}

const LOOSE: &str = "max_quantity = 10000";
const STRICT: &str = "max_quantity = 5";

fn rows(place: &Place, table: &str) -> usize {
    place.rows_if_any(table).len()
}
