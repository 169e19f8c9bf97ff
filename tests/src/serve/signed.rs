use serde_json::json;

use super::{host, token};
use crate::place::Place;
use crate::rules_swap::{number, rules};
use crate::signed::{key, pipeline, sales, sign, validator};

#[test]
fn what_is_sent_is_held_to_the_keys_of_the_hosts_own_toml() {
    let place = Place::new();
    place.write("events/sales.ndjson", sales(0..5));
    let (ann, anns, ann_id) = key(&place, "ann");
    let (bob, bobs, bob_id) = key(&place, "bob");
    let (component, _) = pipeline(&place, "mine", &validator("nop"), &[&anns]);
    sign(&place, &component, &ann);
    let (mut host, server) = host(&place, &["mine/retail.toml"]);
    host.until("it is ready", |_| server.get("/readyz").status == 200);
    let author = server.with(&token(&place, "retail", "author"));
    let approver = server.with(&token(&place, "retail", "approver"));

    // A TOML that trusts whom its author likes.
    let (component, toml) = pipeline(
        &place,
        "other",
        &validator("(drop (i32.const 1))"),
        &[&bobs],
    );
    let (bytes, toml) = (
        std::fs::read(&component).unwrap(),
        std::fs::read(toml).unwrap(),
    );
    let stage = |signed: bool| {
        let mut form = vec![
            ("pipeline", None, toml.clone()),
            ("component", Some("check.wasm"), bytes.clone()),
        ];
        if signed {
            let signatures = std::fs::read(place.path().join("other/check.wasm.sig")).unwrap();
            form.push(("signature", Some("check.wasm.sig"), signatures));
        }
        author.form("/v1/tenants/retail/rules", &form)
    };
    let said = stage(false).badly(422);
    assert!(
        said.starts_with("pipeline.toml:")
            && said.contains("component check.wasm: it is not signed"),
        "{said}"
    );
    sign(&place, &component, &bob);
    let said = stage(true).badly(422);
    assert!(
        said.contains(&format!(
            "key {bob_id}, which is none of [trust] keys ({ann_id})"
        )),
        "{said}"
    );
    sign(&place, &component, &ann);
    let said = stage(false).badly(422);
    assert!(said.contains("is not signed"), "{said}");
    let set = stage(true).well()["number"].as_i64().unwrap();
    let why = json!({ "why": "a test" });
    approver
        .post(&format!("/v1/tenants/retail/rules/{set}/promote"), &why)
        .well();

    // What was staged beside the host, by a TOML that trusts anybody.
    let (_, toml) = pipeline(&place, "forged", &validator("unreachable"), &[]);
    let toml = toml.to_str().unwrap();
    let forged = number(&rules(&place, &["stage", "retail", "--pipeline", toml]));
    let at = |what: &str| format!("/v1/tenants/retail/rules/{forged}/{what}");
    let shadow = author.post(&at("shadow"), &why).badly(422);
    let what_if = author.get(&at("what-if")).badly(422);
    let promote = approver.post(&at("promote"), &why).badly(422);
    for said in [shadow, what_if, promote] {
        assert!(said.contains("is not signed"), "{said}");
    }
    let (ended, log) = host.stop();
    assert!(ended.success(), "{log}");
}
