use std::collections::BTreeMap;

use axum::extract::Query;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse as _;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;

use super::client::Client;
use super::credentials::Credentials;
use super::*;
use crate::trust::SecretKey;

fn contents(signatures: Signatures) -> Contents {
    Contents {
        component: Bytes::from_static(b"component"),
        signatures,
        title: "check.wasm".to_owned(),
        exports: vec!["assay:rules/validation@0.1.0".to_owned()],
        imports: Vec::new(),
    }
}

#[test]
fn names_are_read_as_registries_mean_them_and_written_back() {
    let digest = "a".repeat(64);
    for (text, registry, repository, tag, pinned) in [
        (
            "ghcr.io/team/check-sales:1.2",
            "ghcr.io",
            "team/check-sales",
            Some("1.2"),
            false,
        ),
        ("localhost:5000/a", "localhost:5000", "a", None, false),
        (
            "oci://localhost/a/b.c/d__e:X",
            "localhost",
            "a/b.c/d__e",
            Some("X"),
            false,
        ),
        (
            &format!("10.0.0.1:5000/a@sha256:{digest}"),
            "10.0.0.1:5000",
            "a",
            None,
            true,
        ),
        (
            &format!("r.example/a:1@sha256:{digest}"),
            "r.example",
            "a",
            Some("1"),
            true,
        ),
    ] {
        let read: Reference = text.parse().unwrap();
        assert_eq!(
            (read.registry.as_str(), read.repository.as_str()),
            (registry, repository)
        );
        assert_eq!(
            (read.tag.as_deref(), read.digest.is_some()),
            (tag, pinned),
            "{text}"
        );
        assert_eq!(
            read.to_string(),
            format!("oci://{}", text.trim_start_matches("oci://"))
        );
        assert_eq!(read.pinned().is_ok(), pinned);
    }
    let long = format!("r.example/a:{}", "x".repeat(129));
    for wrong in [
        "check.wasm",
        "team/check-sales:1",
        "ghcr.io",
        "ghcr.io/",
        "ghcr.io/Team/a",
        "ghcr.io/a/../b",
        "ghcr.io/a//b",
        "ghcr.io/a:",
        "ghcr.io/a:-x",
        "ghcr.io/a@sha512:00",
        "ghcr.io/a@sha256:00",
        "user:secret@ghcr.io/a",
        "https://ghcr.io/a",
        "ghcr.io/a?b=c",
        &long,
    ] {
        assert!(wrong.parse::<Reference>().is_err(), "{wrong}");
    }
}

#[test]
fn an_artifact_is_of_the_cncfs_layout_and_the_same_contents_make_the_same_one() {
    let artifact = contents(Signatures::default()).artifact();
    let manifest: serde_json::Value = serde_json::from_slice(&artifact.manifest).unwrap();
    let config: serde_json::Value = serde_json::from_slice(&artifact.config).unwrap();
    assert_eq!(manifest["schemaVersion"], 2);
    assert_eq!(
        manifest["config"]["mediaType"],
        "application/vnd.wasm.config.v0+json"
    );
    let of_config = format!("sha256:{}", Digest::of(&artifact.config));
    assert_eq!(manifest["config"]["digest"], of_config);
    assert_eq!(manifest["config"]["size"], artifact.config.len());
    let layer = &manifest["layers"][0];
    assert_eq!(layer["mediaType"], "application/wasm");
    let of_component = format!("sha256:{}", Digest::of(b"component"));
    assert_eq!(
        (&layer["digest"], &layer["size"]),
        (&of_component.as_str().into(), &9.into())
    );
    assert_eq!(
        (&config["architecture"], &config["os"]),
        (&"wasm".into(), &"wasip2".into())
    );
    assert_eq!(config["layerDigests"][0], of_component);
    assert_eq!(
        config["component"]["exports"][0],
        "assay:rules/validation@0.1.0"
    );
    assert_eq!(
        contents(Signatures::default()).artifact().manifest,
        artifact.manifest
    );
    let read = artifact::layer(&artifact.manifest).unwrap();
    assert_eq!(read.digest, Digest::of(b"component"));
    assert_eq!(read.signatures, Signatures::default());
}

#[test]
fn signatures_travel_with_the_component() {
    let digest = Digest::of(b"component");
    let mut signatures = Signatures::default();
    signatures.add(SecretKey::generate().unwrap().sign(digest).unwrap(), digest);
    let artifact = contents(signatures.clone()).artifact();
    let read = artifact::layer(&artifact.manifest).unwrap();
    assert_eq!(read.signatures, signatures);
    assert!(
        read.signatures
            .iter()
            .all(|signature| signature.is_of(read.digest))
    );
}

#[test]
fn what_is_no_wasm_artifact_is_refused_in_words() {
    let whole =
        String::from_utf8(contents(Signatures::default()).artifact().manifest.into()).unwrap();
    for (from, to, says) in [
        (
            "vnd.wasm.config.v0",
            "vnd.oci.image.config.v1",
            "its config is of type",
        ),
        (
            "application/wasm\"",
            "application/tar\"",
            "its layer is of type",
        ),
        ("\"layers\":[", "\"layers\":[],\"other\":[", "not one layer"),
        ("\"layers\"", "\"other\"", "can't be read"),
        (
            "\"annotations\":{",
            "\"annotations\":{\"assay.component.signatures\":\"x\",",
            "signatures can't be read",
        ),
    ] {
        assert!(whole.contains(from), "{from}");
        let said = artifact::layer(whole.replacen(from, to, 1).as_bytes()).unwrap_err();
        assert!(said.contains(says), "{says}: {said}");
    }
}

fn shows(headers: &HeaderMap, wanted: &str) -> bool {
    headers
        .get("authorization")
        .is_some_and(|shown| shown == wanted)
}

/// A registry that has tokens made elsewhere, as large ones do. Answers with its host.
async fn with_tokens(manifest: Bytes) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let challenge = format!(
        "Bearer realm=\"http://{host}/token\",service=\"tests\",scope=\"repository:team/rule:pull\""
    );
    let held = |headers: HeaderMap| async move {
        match shows(&headers, "Bearer of-the-day") {
            true => manifest.into_response(),
            false => (StatusCode::UNAUTHORIZED, [("www-authenticate", challenge)]).into_response(),
        }
    };
    let token = |Query(asked): Query<BTreeMap<String, String>>, headers: HeaderMap| async move {
        let for_what = ["service", "scope"].map(|name| asked.get(name).map(String::as_str));
        let right = for_what == [Some("tests"), Some("repository:team/rule:pull")];
        match right && shows(&headers, "Basic YW5uOnNlY3JldA==") {
            true => Json(json!({ "token": "of-the-day" })).into_response(),
            false => StatusCode::UNAUTHORIZED.into_response(),
        }
    };
    let routes = Router::new()
        .route("/v2/team/rule/manifests/1", get(held))
        .route("/token", get(token));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    host
}

#[tokio::test]
async fn where_a_registry_has_tokens_made_elsewhere_one_is_asked_for_there() {
    let manifest = contents(Signatures::default()).artifact().manifest;
    let host = with_tokens(manifest.clone()).await;
    let reference: Reference = format!("{host}/team/rule:1").parse().unwrap();
    let credentials = |password: &str| Credentials {
        username: "ann".to_owned(),
        password: password.to_owned(),
    };
    let client = Client::with(&reference, Some(credentials("secret"))).unwrap();
    assert_eq!(client.manifest().await.unwrap(), manifest);
    for other in [None, Some(credentials("guess"))] {
        let refused = Client::with(&reference, other).unwrap().manifest().await;
        let said = refused.unwrap_err().to_string();
        assert!(
            said.contains("ask for a token") && said.contains("401"),
            "{said}"
        );
    }
}
