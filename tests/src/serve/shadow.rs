use assay::lake::Lake;
use assay::names::RuleSetNumber;
use assay::pipeline::change::Changes;
use assay::pipeline::what_if::{Against, Scope, WhatIfError, Written, what_if};
use assay::plugin::{Compiler, Sandbox};
use serde_json::{Value, json};

use super::{LOOSE, STRICT, Server, host, pipeline, rows, sales, token, version};
use crate::place::{Place, assay};

/// Without what differs from time to time: what it cost.
fn without_cost(answer: &Value) -> Value {
    let mut answer = answer.clone();
    let comparison = answer["comparison"].as_object_mut().unwrap();
    comparison.remove("cost").unwrap();
    answer
}

fn printed(place: &Place, arguments: &[&str]) -> Value {
    let said = place.assay(&[&["rules"], arguments, &["--json"]].concat());
    serde_json::from_str(&said.well()).unwrap()
}

/// A tenant that leaves what judges beside a whole core, and a stricter set that is staged.
fn with_a_staged_set(place: &Place) -> (std::path::PathBuf, crate::place::Host, Server, i64) {
    let (events, file) = pipeline(place, "retail", 0..10);
    let beside = version(
        place,
        &file,
        "\n[event]",
        "\n[shadow]\ncpu = 1.0\n\n[event]",
    );
    std::fs::rename(beside, &file).unwrap();
    let strict = version(place, &file, LOOSE, STRICT);
    let (mut host, server) = host(place, &["pipelines"]);
    host.until("the first sales are judged", |_| {
        rows(place, "retail/silver") == 10
    });
    let author = server.with(&token(place, "retail", "author"));
    let staged = author.stage("retail", &strict, "a test").well();
    let number = staged["number"].as_i64().unwrap();
    (events, host, author, number)
}

#[test]
fn a_shadow_over_http_reports_what_the_command_line_prints_and_the_page_shows() {
    let place = Place::new();
    let (events, mut host, author, number) = with_a_staged_set(&place);
    let at = |what: &str| format!("/v1/tenants/retail/rules/{number}/{what}");
    let why = json!({ "why": "see what it does" });
    assert_eq!(
        author.get("/v1/tenants/retail").well()["shadow"],
        json!(null)
    );

    let said = author.get(&at("report")).badly(404);
    assert!(said.contains("no report of rule set"), "{said}");
    author
        .post("/v1/tenants/retail/rules/1/shadow", &why)
        .badly(409);
    author
        .post("/v1/tenants/retail/rules/77/shadow", &why)
        .badly(404);
    let begun = author.post(&at("shadow"), &why).well();
    let wanted = json!({ "tenant": "retail", "number": number, "state": "shadow" });
    assert_eq!(begun, wanted);
    let judges = format!("rule set {number} judges beside");
    host.until("it judges beside", |host| host.log().contains(&judges));
    place.append(&events, &sales(10..30));
    host.until("all of it is looked at", |_| {
        let report = author.get(&at("report"));
        report.status == 200 && report.json()["comparison"]["rows"] == 20
    });

    let report = author.get(&at("report")).well();
    assert_eq!(
        report,
        printed(&place, &["report", "retail", &number.to_string()])
    );
    assert_eq!(
        (&report["state"], &report["comparison"]["changed"]),
        (&json!("shadow"), &json!(10))
    );
    // Without a token, who is on this machine sees sums of it and no rows.
    let anyone = Server {
        token: None,
        ..author.clone()
    };
    let shown = anyone.get("/v1/tenants/retail").well()["shadow"].clone();
    assert_eq!(
        (&shown["number"], &shown["against"]),
        (&json!(number), &json!(1))
    );
    assert_eq!(
        (&shown["rows"], &shown["changed"]),
        (&json!(20), &json!(10))
    );
    let money = shown["money"].as_array().unwrap();
    let net = money
        .iter()
        .find(|sum| sum["measure"] == "daily_sales.net_amount")
        .unwrap();
    // Of each ten sales of 1 to 10 pieces, those of 6 to 10 go.
    assert_eq!(
        (&net["before"], &net["after"], &net["difference"]),
        (&json!("275.00"), &json!("75.00"), &json!("-200.00"))
    );
    anyone.get(&at("report")).badly(401);

    let approver = author.with(&token(&place, "retail", "approver"));
    let ended = author.delete(&at("shadow"), &why).well();
    assert_eq!(ended["state"], "staged");
    host.until("the page shows it no more", |_| {
        author.get("/v1/tenants/retail").well()["shadow"] == json!(null)
    });
    // What was found stays.
    assert_eq!(
        approver.get(&at("report")).well()["comparison"],
        report["comparison"]
    );
    let audit = author.get("/v1/tenants/retail/audit").well();
    let told: Vec<String> = audit
        .as_array()
        .unwrap()
        .iter()
        .filter(|row| row["action"] == "rules shadow")
        .map(|row| {
            let text = |name: &str| row[name].as_str().unwrap_or_default();
            format!("{} {} {}", text("via"), text("target"), text("result"))
        })
        .collect();
    let wanted = [
        "http of rule set 1 failed".to_owned(),
        "http of rule set 77 failed".to_owned(),
        format!("http of rule set {number} done"),
        format!("http no more of rule set {number} done"),
    ];
    assert_eq!(told, wanted);
    let (ended, log) = host.stop();
    assert!(ended.success(), "{log}");
}

#[test]
fn what_if_over_http_is_that_of_the_command_line_for_who_has_a_token() {
    let place = Place::new();
    let (_, host, author, number) = with_a_staged_set(&place);
    let at = |query: &str| format!("/v1/tenants/retail/rules/{number}/what-if{query}");
    let set = number.to_string();

    let found = author.get(&at("")).well();
    assert_eq!(
        (&found["against"], &found["comparison"]["changed"]),
        (&json!("1"), &json!(5))
    );
    let same = printed(&place, &["what-if", "retail", &set]);
    assert_eq!(without_cost(&found), without_cost(&same));
    let query = "?topic=retail.ndjson&partition=0&from=1&to=2025-03-01&against=pinned";
    let found = author.get(&at(query)).well();
    assert_eq!(
        (&found["against"], &found["comparison"]["rows"]),
        (&json!("each row's own"), &json!(0))
    );
    let found = author.get(&at("?from=2025-03-01")).well();
    assert_eq!(found["comparison"]["rows"], 10);

    for (query, says) in [
        ("?from=soon", "is no moment"),
        ("?from=7", "of which partition"),
        ("?topic=retail.ndjson", "give both"),
        ("?against=none", "is no rule set"),
        ("?until=2025-03-01", "unknown field"),
    ] {
        let said = author.get(&at(query)).badly(400);
        assert!(said.contains(says), "{query}: {said}");
    }
    author.get(&at("?against=77")).badly(404);
    author.get("/v1/tenants/retail/rules/77/what-if").badly(404);
    Server {
        token: None,
        ..author.clone()
    }
    .get(&at(""))
    .badly(401);
    let other = author.with(&token(&place, "north", "author"));
    other.get(&at("")).badly(403);
    // Nothing was changed by it.
    let audit = author.get("/v1/tenants/retail/audit").well();
    assert!(
        audit
            .as_array()
            .unwrap()
            .iter()
            .all(|row| !row["action"].as_str().unwrap().contains("what"))
    );
    let (ended, log) = host.stop();
    assert!(ended.success(), "{log}");
}

#[test]
fn of_those_who_ask_what_if_at_once_one_is_answered_and_the_others_are_told_to_come_again() {
    let place = Place::new();
    let (_, host, author, number) = with_a_staged_set(&place);
    let at = format!("/v1/tenants/retail/rules/{number}/what-if");
    let together = std::sync::Barrier::new(8);
    let answers = std::thread::scope(|scope| {
        let ask = || {
            together.wait();
            author.get(&at)
        };
        let asking: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
        let answers = asking.into_iter().map(|one| one.join().unwrap());
        answers.collect::<Vec<_>>()
    });
    let (answered, told): (Vec<_>, Vec<_>) =
        answers.into_iter().partition(|answer| answer.status == 200);
    assert!(!answered.is_empty() && !told.is_empty(), "{}", told.len());
    for one in answered {
        assert_eq!(one.json()["comparison"]["rows"], 10);
    }
    for one in told {
        let said = one.badly(503);
        assert!(said.contains("asking what-if"), "{said}");
    }
    // The place is free again.
    author.get(&at).well();
    let (ended, log) = host.stop();
    assert!(ended.success(), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn more_messages_than_a_what_if_may_have_are_refused_by_the_log_or_as_they_are_counted() {
    let place = Place::new();
    let (_, file) = pipeline(&place, "retail", 0..10);
    place.run_to_the_end(&file);
    let lake = Lake::open(place.lake().to_str().unwrap()).unwrap();
    let tenant = "retail".parse().unwrap();
    let sandbox = Sandbox::new(Compiler::Process(assay())).unwrap();
    let mut registry = Changes::open(&lake, &tenant, sandbox)
        .await
        .unwrap()
        .registry;
    let of_partition = Written {
        topic: Some("retail.ndjson".to_owned()),
        partition: Some(0),
        ..Written::default()
    };
    for (scope, most, fits) in [
        (Scope::all(), 9, false),
        (Scope::all(), 10, true),
        (Scope::of(&of_partition).unwrap(), 9, false),
        (Scope::of(&of_partition).unwrap(), 10, true),
    ] {
        let scope = Scope { most, ..scope };
        let one = RuleSetNumber(1);
        let mut read = 0;
        let found = what_if(
            &lake,
            &tenant,
            &mut registry,
            one,
            Against::Pinned,
            &scope,
            |progress| read = progress.messages,
        );
        match found.await {
            Ok(found) => assert!(fits && found.rows == 10),
            Err(error) => {
                assert!(
                    !fits && matches!(error, WhatIfError::TooMany { most: 9 }),
                    "{error}"
                );
                assert_eq!(read, 0, "it went on");
            }
        }
    }
}
