use serde_json::json;

use super::{LOOSE, STRICT, Server, host, pipeline, token, version};
use crate::place::Place;

/// What each request is answered with: reading, staging, promoting, rolling back, pausing.
fn tried(server: &Server, tenant: &str, toml: &std::path::Path) -> [u16; 5] {
    let at = |path: &str| format!("/v1/tenants/{tenant}{path}");
    let why = json!({ "why": "a test" });
    [
        server.get(&at("/rules")).status,
        server.stage(tenant, toml, "a test").status,
        // Of a set that is active already, and to one that there is not: allowed, and impossible.
        server.post(&at("/rules/1/promote"), &why).status,
        server
            .post(&at("/rollback"), &json!({ "why": "a test", "to": 77 }))
            .status,
        server.post(&at("/resume"), &why).status,
    ]
}

#[test]
fn each_role_may_do_what_it_is_for_on_its_own_tenant_and_nothing_else() {
    let place = Place::new();
    let (_, retail) = pipeline(&place, "retail", 0..3);
    pipeline(&place, "north", 0..3);
    let strict = version(&place, &retail, LOOSE, STRICT);
    let (mut host, server) = host(&place, &["pipelines"]);
    host.until("it is ready", |_| server.get("/readyz").status == 200);

    assert_eq!(tried(&server, "retail", &strict), [401; 5], "no token");
    assert_eq!(tried(&server.with("assay_00"), "retail", &strict), [401; 5]);
    // The one that stages first makes the rule set, the others find it there.
    let operator = server.with(&token(&place, "--all", "operator"));
    assert_eq!(
        tried(&operator, "retail", &strict),
        [200, 201, 409, 404, 409]
    );
    let [author, approver, own] =
        ["author", "approver", "operator"].map(|role| server.with(&token(&place, "retail", role)));
    assert_eq!(tried(&author, "retail", &strict), [200, 200, 403, 403, 403]);
    assert_eq!(
        tried(&approver, "retail", &strict),
        [200, 403, 409, 404, 403]
    );
    assert_eq!(tried(&own, "retail", &strict), [200, 200, 409, 404, 409]);
    for other in [&author, &approver, &own] {
        assert_eq!(tried(other, "north", &strict), [403; 5], "another's tenant");
        // One that there is not is answered like one that is not theirs.
        assert_eq!(tried(other, "nowhere", &strict), [403; 5]);
        let seen = other.get("/v1/tenants").well();
        let seen: Vec<_> = seen
            .as_array()
            .unwrap()
            .iter()
            .map(|t| t["tenant"].clone())
            .collect();
        assert_eq!(seen, ["retail"]);
    }
    assert_eq!(operator.get("/v1/tenants/nowhere/rules").status, 404);

    // What was made on the command line is refused within a second of its end there.
    let list = place.assay(&["token", "list"]).well();
    assert!(!list.contains(author.token.as_ref().unwrap().trim_start_matches("assay_")));
    let line = list
        .lines()
        .find(|line| line.contains("\tauthor\t"))
        .unwrap();
    let id = line.split('\t').next().unwrap();
    place.assay(&["token", "revoke", id]).well();
    host.until("it is refused", |_| {
        author.get("/v1/tenants/retail/rules").status == 401
    });
    let again = place.assay(&["token", "revoke", id]).badly();
    assert!(again.contains("revoked already"), "{again}");
    let short = [
        "token",
        "create",
        "retail",
        "--role",
        "author",
        "--name",
        "x",
        "--expires",
        "10s",
    ];
    let short = server.with(place.assay(&short).well().trim());
    assert_eq!(short.get("/v1/tenants/retail/rules").status, 200);
    host.until("it expires", |_| {
        short.get("/v1/tenants/retail/rules").status == 401
    });

    let lake = std::fs::read_dir(place.lake().join("_assay/tokens")).unwrap();
    let shown = author.token.unwrap();
    for file in lake
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
    {
        let bytes = std::fs::read(file).unwrap();
        assert!(
            !bytes
                .windows(shown.len())
                .any(|part| part == shown.as_bytes())
        );
    }
    let (ended, log) = host.stop();
    assert!(ended.success() && !log.contains(&shown), "{log}");
}
