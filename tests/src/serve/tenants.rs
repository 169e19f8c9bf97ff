use serde_json::{Value, json};

use super::{Server, host, host_on, pipeline, rows, sales, token};
use crate::place::Place;

fn state(server: &Server, tenant: &str) -> Option<String> {
    let all = server.get("/v1/tenants").well();
    let found = all
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["tenant"] == tenant);
    found.map(|one| one["state"].as_str().unwrap().to_owned())
}

#[test]
fn a_toml_that_is_dropped_in_is_taken_up_and_one_that_is_removed_let_go_of() {
    let place = Place::new();
    let (events, _) = pipeline(&place, "retail", 0..10);
    let (mut host, server) = host(&place, &["pipelines"]);
    host.until("the first tenant's sales are in", |_| {
        rows(&place, "retail/silver") == 10
    });

    let (northern, north) = pipeline(&place, "north", 0..20);
    host.until("the new tenant's sales are in", |_| {
        rows(&place, "north/silver") == 20
    });
    place.write("pipelines/broken.toml", "version = 1\ntenant = \"broken");
    host.until("the broken one is an error", |host| {
        let log = host.log();
        log.lines()
            .any(|line| line.contains("ERROR") && line.contains("broken.toml"))
    });
    place.append(&events, &sales(10..20));
    host.until("nothing else stops", |_| {
        rows(&place, "retail/silver") == 20
    });

    let text = std::fs::read(&north).unwrap();
    std::fs::remove_file(&north).unwrap();
    host.until("it is let go of", |_| state(&server, "north").is_none());
    assert!(host.log().contains("let go of"));
    place.append(&northern, &sales(20..30));
    place.append(&events, &sales(20..30));
    host.until("the other goes on", |_| rows(&place, "retail/silver") == 30);
    assert_eq!(
        rows(&place, "north/silver"),
        20,
        "its tables stay, and stand still"
    );

    std::fs::write(&north, text).unwrap();
    host.until("it is taken up where it was", |_| {
        rows(&place, "north/silver") == 30
    });
    let (ended, log) = host.stop();
    assert!(ended.success(), "{log}");
    let books = place.assay(&["verify"]).well();
    for tenant in ["retail", "north"] {
        assert!(
            books.contains(&format!("{tenant}: the books balance")),
            "{books}"
        );
    }
}

#[test]
fn a_tenant_is_paused_on_every_host_also_after_a_restart_and_deleted_with_a_trace() {
    let place = Place::new();
    let (events, _) = pipeline(&place, "retail", 0..10);
    pipeline(&place, "north", 0..10);
    let (mut running, server) = host(&place, &["pipelines"]);
    running.until("the sales are in", |_| {
        rows(&place, "retail/silver") == 10 && rows(&place, "north/silver") == 10
    });
    let twice = place
        .assay(&["tenant", "resume", "retail", "--why", "-"])
        .badly();
    assert!(twice.contains("running already"), "{twice}");
    let early = [
        "tenant",
        "delete",
        "retail",
        "--confirm",
        "retail",
        "--why",
        "-",
    ];
    let early = place.assay(&early).badly();
    assert!(early.contains("assay tenant pause retail"), "{early}");
    let typo = place
        .assay(&["tenant", "pause", "retial", "--why", "-"])
        .badly();
    assert!(typo.contains("retial has no table"), "{typo}");

    place
        .assay(&["tenant", "pause", "retail", "--why", "stocktaking"])
        .well();
    running.until("it stands still", |_| {
        state(&server, "retail").as_deref() == Some("paused")
    });
    assert_eq!(
        server.get("/readyz").status,
        200,
        "it does what it was told"
    );
    place.append(&events, &sales(10..20));
    let (ended, log) = running.stop();
    assert!(ended.success(), "{log}");

    let (mut running, server) = host_on("again", &place, &["pipelines"]);
    running.until("a restart keeps it", |_| {
        state(&server, "retail").as_deref() == Some("paused")
    });
    let list = place.assay(&["tenant", "list"]).well();
    assert!(
        list.contains("retail\tpaused since") && list.contains("(stocktaking)"),
        "{list}"
    );
    assert!(list.contains("north\tto run"), "{list}");
    let list = place.assay(&["tenant", "list", "--json"]).well();
    let list: Value = serde_json::from_str(&list).unwrap();
    assert_eq!(list[0]["tenant"], "north");
    assert_eq!(
        (&list[0]["wanted"], &list[1]["wanted"]),
        (&json!("running"), &json!("paused"))
    );
    assert_eq!(list[1]["why"], "stocktaking");
    assert_eq!(rows(&place, "retail/silver"), 10);

    let operator = server.with(&token(&place, "--all", "operator"));
    let why = json!({ "why": "it is over" });
    operator.post("/v1/tenants/retail/resume", &why).well();
    operator.post("/v1/tenants/retail/resume", &why).badly(409);
    running.until("it goes on", |_| rows(&place, "retail/silver") == 20);

    let path = "/v1/tenants/north";
    let good = json!({ "confirm": "north", "why": "they left" });
    operator.delete(path, &good).badly(409);
    operator
        .post("/v1/tenants/north/pause", &json!({ "why": "they leave" }))
        .well();
    running.until("it stands still", |_| {
        state(&server, "north").as_deref() == Some("paused")
    });
    let slip = operator
        .delete(path, &json!({ "confirm": "nort", "why": "-" }))
        .badly(400);
    assert!(slip.contains("not the tenant's name"), "{slip}");
    let soon = operator.delete(path, &good).badly(409);
    assert!(soon.contains("try again in"), "{soon}");
    assert!(place.lake().join("north/bronze/_delta_log").exists());
    running.until("hosts have settled", |_| {
        operator.delete(path, &good).status == 200
    });
    assert!(!place.lake().join("north").exists());
    running.until("the host knows", |_| {
        state(&server, "north").as_deref() == Some("deleted")
    });

    let audit = operator.get("/v1/tenants/north/audit").well();
    let audit = audit.as_array().unwrap();
    let last: &Value = audit.last().unwrap();
    assert_eq!(
        (&last["action"], &last["result"]),
        (&json!("tenant delete"), &json!("done"))
    );
    assert_eq!(last["why"], "they left");
    let printed = place.assay(&["audit"]).well();
    assert!(printed.contains("tenant delete: tenant north"), "{printed}");
    assert!(
        !place.lake().join("north").exists(),
        "nobody begins it anew"
    );
    let (ended, log) = running.stop();
    assert!(ended.success(), "{log}");
    let again = place.assay(&["run", "pipelines", "--until-caught-up"]);
    again.well();
    assert!(!place.lake().join("north").exists());
}
