use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;

use serde_json::json;

use super::{Server, host, pipeline, token, url};
use crate::place::Place;

#[test]
fn requests_that_are_too_large_malformed_or_misled_are_answered_and_the_host_goes_on() {
    let place = Place::new();
    pipeline(&place, "retail", 0..3);
    let (mut host, server) = host(&place, &["pipelines"]);
    host.until("it is ready", |_| server.get("/readyz").status == 200);
    let operator = server.with(&token(&place, "--all", "operator"));

    let long = "x".repeat(100_000);
    operator
        .post("/v1/tenants/retail/pause", &json!({ "why": long }))
        .badly(413);
    let parts = [("component", Some("a.wasm"), vec![0; 65 << 20])];
    operator.form("/v1/tenants/retail/rules", &parts).badly(413);
    operator
        .send("/v1/tenants/retail/pause", "application/json", b"{")
        .badly(400);
    operator
        .send("/v1/tenants/retail/pause", "text/plain", b"{}")
        .badly(415);
    operator
        .post("/v1/tenants/retail/pause", &json!({ "wy": "a slip" }))
        .badly(422);
    for nothing in ["", " ", "one\n2026-11-27  active  another", "\u{1b}[2K"] {
        let paused = operator.post("/v1/tenants/retail/pause", &json!({ "why": nothing }));
        assert!(paused.badly(422).contains("say why"), "{nothing:?}");
    }
    operator
        .send("/v1/tenants/retail/rules", "application/json", b"{}")
        .badly(400);
    operator
        .get("/v1/tenants/retail/rules/1/diff?agianst=1")
        .badly(400);
    // Whoever may not ask is told that, and nothing of what was wrong with it.
    let author = server.with(&token(&place, "retail", "author"));
    for (whose, status) in [(&server, 401), (&author, 403)] {
        for path in ["pause", "resume", "rollback", "rules/1/promote"] {
            let path = format!("/v1/tenants/retail/{path}");
            whose.send(&path, "application/json", b"{").badly(status);
            whose.send(&path, "text/plain", b"{}").badly(status);
        }
        let rules = "/v1/tenants/retail/rules";
        let status = if status == 403 { 400 } else { status };
        whose.send(rules, "application/json", b"{}").badly(status);
    }
    for path in [
        "/v1/tenants/..%2F..%2Fetc/rules",
        "/v1/tenants/Retail/rules",
        "/v1/tenants/%00/rules",
    ] {
        operator.get(path).badly(400);
    }
    operator.get("/v1/tenants/retail/rules/one").badly(400);
    operator.get("/v1/nothing").badly(404);
    operator.post("/metrics", &json!({})).badly(405);

    // A request whose headers are endless, one that is none, and one that never ends.
    let address = server.url.strip_prefix("http://").unwrap();
    let mut raw = TcpStream::connect(address).unwrap();
    let head = format!(
        "GET /healthz HTTP/1.1\r\nhost: x\r\nx-long: {}\r\n\r\n",
        "y".repeat(100_000)
    );
    let _ = raw.write_all(head.as_bytes());
    let mut said = String::new();
    let _ = raw.read_to_string(&mut said);
    assert!(
        said.starts_with("HTTP/1.1 431") || said.is_empty(),
        "{said}"
    );
    let mut slow = TcpStream::connect(address).unwrap();
    slow.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\nx-slow: ")
        .unwrap();
    let mut said = String::new();
    let _ = slow.read_to_string(&mut said);
    assert!(!said.contains("200"), "{said}");
    assert_eq!(server.get("/healthz").status, 200);
    let (ended, log) = host.stop();
    assert!(ended.success() && !log.contains("panicked"), "{log}");
}

#[test]
fn the_description_of_the_interface_is_what_it_answers_to() {
    let place = Place::new();
    pipeline(&place, "retail", 0..3);
    let (mut host, server) = host(&place, &["pipelines"]);
    host.until("it is ready", |_| server.get("/readyz").status == 200);
    let described = server.get("/openapi.json").well();
    let paths = described["paths"].as_object().unwrap();
    assert!(paths.len() >= 12, "{paths:?}");
    let misled = [("host", "evil.example")];
    for (path, methods) in paths {
        let path = path.replace("{tenant}", "retail").replace("{number}", "1");
        for (method, operation) in methods.as_object().unwrap() {
            assert!(
                operation["summary"]
                    .as_str()
                    .is_some_and(|text| !text.is_empty()),
                "{path}"
            );
            let answers = operation["responses"].as_object().unwrap();
            let status = match method.as_str() {
                "get" => server.get_as(&path, &misled).status,
                "post" if path.ends_with("/rules") => server.form(&path, &[]).status,
                "post" => server.post(&path, &json!({ "why": "a test" })).status,
                "delete" if path.ends_with("/shadow") => {
                    server.delete(&path, &json!({ "why": "-" })).status
                }
                "delete" => {
                    server
                        .delete(&path, &json!({ "confirm": "retail", "why": "-" }))
                        .status
                }
                other => panic!("{other} {path}"),
            };
            assert!(
                answers.contains_key(&status.to_string()),
                "{method} {path}: {status}"
            );
            let is_open = ["/healthz", "/readyz"].contains(&path.as_str());
            assert_eq!(status == 401, !is_open, "{method} {path}: {status}");
        }
    }
}

#[test]
fn other_machines_are_spoken_to_over_tls_or_not_at_all() {
    let place = Place::new();
    pipeline(&place, "retail", 0..3);
    let clear = place
        .assay(&["run", "pipelines", "--listen", "0.0.0.0:0"])
        .badly();
    assert!(
        clear.contains("--tls-cert") && clear.contains("--insecure"),
        "{clear}"
    );
    let made = Command::new("openssl")
        .args([
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
        ])
        .args([
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
        ])
        .args(["-keyout", "key.pem", "-out", "cert.pem"])
        .current_dir(place.path())
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let tls = ["--tls-cert", "cert.pem", "--tls-key", "key.pem"];
    let listen = ["run", "pipelines", "--listen", "127.0.0.1:0"];
    let mut host = place.host(&[&listen[..], &tls].concat());
    let url = url(&mut host);
    assert!(url.starts_with("https://"), "{url}");

    let pem = std::fs::read(place.path().join("cert.pem")).unwrap();
    let cert = ureq::tls::Certificate::from_pem(&pem).unwrap();
    let roots = ureq::tls::RootCerts::new_with_certs(&[cert]);
    let tls = ureq::tls::TlsConfig::builder()
        .provider(ureq::tls::TlsProvider::NativeTls)
        .root_certs(roots)
        .build();
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .tls_config(tls);
    let server = Server {
        agent: config.build().into(),
        ..Server::at(&url)
    };
    host.until("it is ready", |_| server.get("/readyz").status == 200);
    let author = server.with(&token(&place, "retail", "author"));
    assert_eq!(author.get("/v1/tenants/retail/rules").status, 200);
    // In the clear there is no answer.
    let plain = Server::at(&url.replace("https", "http"));
    let got = plain.agent.get(format!("{}/healthz", plain.url)).call();
    assert!(got.is_err(), "{got:?}");
    let swapped = ["--tls-cert", "key.pem", "--tls-key", "cert.pem"];
    let said = place.assay(&[&listen[..], &swapped].concat()).badly();
    assert!(said.contains("PKCS #8"), "{said}");
}
