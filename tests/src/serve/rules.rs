use serde_json::{Value, json};

use super::{LOOSE, STRICT, host, pipeline, rows, sales, token, version};
use crate::place::Place;

#[test]
fn rules_over_http_are_those_of_the_command_line_and_every_change_is_in_the_audit() {
    let place = Place::new();
    let (events, file) = pipeline(&place, "retail", 0..10);
    let strict = version(&place, &file, LOOSE, STRICT);
    let (mut host, server) = host(&place, &["pipelines"]);
    host.until("the first sales are judged", |_| {
        rows(&place, "retail/silver") == 10
    });
    let author = server.with(&token(&place, "retail", "author"));
    let approver = server.with(&token(&place, "retail", "approver"));

    let staged = author
        .stage("retail", &strict, "bulk sales go elsewhere")
        .well();
    assert_eq!(staged["state"], "staged");
    let wanted = "param max_quantity 10000 -> 5";
    assert_eq!(staged["differences"][0]["change"], wanted);
    // The command line finds the very same set there.
    let pipeline = strict.to_str().unwrap();
    let arguments = ["rules", "stage", "retail", "--pipeline", pipeline, "--json"];
    let again: Value = serde_json::from_str(&place.assay(&arguments).well()).unwrap();
    assert_eq!(
        (&again["already"], &again["number"]),
        (&json!(true), &staged["number"])
    );
    let number = staged["number"].as_i64().unwrap();

    let diff = author
        .get(&format!("/v1/tenants/retail/rules/{number}/diff"))
        .well();
    assert_eq!(diff["differences"][0]["change"], wanted);
    let back = format!("/v1/tenants/retail/rules/1/diff?against={number}");
    let back = author.get(&back).well();
    assert_eq!(
        back["differences"][0]["change"],
        "param max_quantity 5 -> 10000"
    );
    let shown = author
        .get(&format!("/v1/tenants/retail/rules/{number}"))
        .well();
    let printed = place.assay(&["rules", "show", "retail", &number.to_string(), "--json"]);
    assert_eq!(
        shown,
        serde_json::from_str::<Value>(&printed.well()).unwrap()
    );

    let promote = format!("/v1/tenants/retail/rules/{number}/promote");
    let why = json!({ "why": "as agreed" });
    let answer = approver.post(&promote, &why);
    let request = answer.request.clone();
    let active = answer.well()["number"].as_i64().unwrap();
    approver.post(&promote, &why).badly(409);
    place.append(&events, &sales(10..20));
    host.until("the next ones are judged", |_| {
        rows(&place, "retail/silver") + rows(&place, "retail/quarantine") == 20
    });
    let refused = place.rows("retail/quarantine");
    assert_eq!(refused.len(), 5);
    assert!(
        refused
            .iter()
            .all(|row| row["_ruleset"] == active && row["rule"] == "quantity_absurd")
    );

    let rollback = json!({ "why": "they do not" });
    let restored = approver
        .post("/v1/tenants/retail/rollback", &rollback)
        .well();
    assert_eq!(restored["of"], 1);
    let history = author.get("/v1/tenants/retail/rules").well();
    let printed = place
        .assay(&["rules", "history", "retail", "--json"])
        .well();
    assert_eq!(history, serde_json::from_str::<Value>(&printed).unwrap());
    let by = history.as_array().unwrap().last().unwrap()["by"]
        .as_str()
        .unwrap();
    assert!(by.starts_with("a-test (token "), "{by}");
    let missing = author.get("/v1/tenants/retail/rules/77").badly(404);
    assert!(missing.contains("no rule set 77"), "{missing}");

    place
        .assay(&["rules", "rollback", "retail", "--why", "by hand"])
        .well();
    place.load_product(&file, "Tea");
    let audit = author.get("/v1/tenants/retail/audit").well();
    let told: Vec<String> = audit
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            let text = |name: &str| row[name].as_str().unwrap_or_default();
            format!("{} {} {}", text("via"), text("action"), text("result"))
        })
        .collect();
    let wanted = [
        "cli token create done",
        "cli token create done",
        "http rules stage done",
        "cli rules stage done",
        "http rules promote done",
        "http rules promote failed",
        "http rules rollback done",
        "cli rules rollback done",
        "cli dimension load done",
    ];
    assert_eq!(told, wanted);
    let promoted = &audit[4];
    assert_eq!(promoted["request"], request);
    assert_eq!(promoted["why"], "as agreed");
    assert!(
        promoted["address"]
            .as_str()
            .unwrap()
            .starts_with("127.0.0.1:")
    );
    let printed = place.assay(&["audit", "retail"]).well();
    assert_eq!(printed.lines().count(), wanted.len(), "{printed}");
    // Any reader of Delta tables reads it.
    assert_eq!(rows(&place, "retail/audit"), 7);
    let (ended, log) = host.stop();
    assert!(ended.success(), "{log}");
    let books = place.assay(&["verify"]).well();
    assert!(books.contains("retail: the books balance"), "{books}");
}

#[test]
fn what_does_not_fit_is_refused_in_words_and_nothing_is_staged() {
    let place = Place::new();
    let (_, file) = pipeline(&place, "retail", 0..3);
    let (mut host, server) = host(&place, &["pipelines"]);
    host.until("it is ready", |_| server.get("/readyz").status == 200);
    let author = server.with(&token(&place, "retail", "author"));
    let before = author.get("/v1/tenants/retail/rules").well();

    let wrong = version(&place, &file, LOOSE, "most_quantity = 5");
    let said = author.stage("retail", &wrong, "").badly(422);
    assert!(said.contains("most_quantity"), "{said}");
    let wrong = version(
        &place,
        &file,
        "quantity = \"integer\"",
        "quantity = \"number\"",
    );
    let said = author.stage("retail", &wrong, "").badly(422);
    assert!(
        said.starts_with("pipeline.toml") && said.contains("quantity"),
        "{said}"
    );
    let wrong = version(&place, &file, "tenant = \"retail\"", "tenant = \"north\"");
    let said = author.stage("retail", &wrong, "").badly(422);
    assert!(said.contains("of tenant north"), "{said}");
    // The host's own files are none of those that were sent.
    let text = std::fs::read(&file).unwrap();
    let path = "/v1/tenants/retail/rules";
    let said = author
        .form(path, &[("pipeline", None, text.clone())])
        .badly(422);
    assert!(said.contains("no file of that name was sent"), "{said}");
    for name in ["../validate-sales.wasm", "/etc/passwd", "..", ".hidden"] {
        let parts = [
            ("pipeline", None, text.clone()),
            ("component", Some(name), Vec::new()),
        ];
        let said = author.form(path, &parts).badly(422);
        assert!(said.contains("is no name of a file"), "{name}: {said}");
    }
    author.form(path, &[("other", None, Vec::new())]).badly(400);
    author.form(path, &[]).badly(422);
    // The active set itself changes nothing.
    author.stage("retail", &file, "").badly(409);
    assert_eq!(author.get("/v1/tenants/retail/rules").well(), before);
    let (ended, log) = host.stop();
    assert!(ended.success(), "{log}");
}
