use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::guest::around;
use crate::place::{Host, Place};
use crate::rules_swap::{
    LOOSE, STRICT, books_balance, number, promote, rules, run, stage, state, taken, version,
};

/// Sales of one piece, two pieces … ten pieces, and over again, at two stores on a day of March.
fn sales(ids: std::ops::Range<u32>, day: u32) -> String {
    ids.map(|id| {
        let (quantity, store) = (id % 10 + 1, id % 2 + 1);
        format!(
            r#"{{"transaction_id":"T{id}","store_id":"S00{store}","product_id":"P1","customer_id":"C1","quantity":{quantity},"unit_price":2.55,"timestamp":"2025-03-0{day}T10:00:00Z"}}"#
        ) + "\n"
    })
    .collect()
}

/// The retail pipeline on a file of sales, with a whole core for what judges beside.
fn retail(place: &Place, more: &str) -> (PathBuf, PathBuf) {
    let events = place.write("events/sales.ndjson", sales(0..10, 1));
    let beside = format!(
        "\n[batch]\nrows = 5000\nevery = \"100ms\"\n\n[shadow]\ncpu = 1.0\n{more}\n[event]"
    );
    let replace = [
        ("\n[event]", beside.as_str()),
        ("every = \"5s\"", "every = \"200ms\""),
    ];
    let pipeline = place.retail_from_files(&events, &replace);
    (events, pipeline)
}

fn shadow(place: &Place, host: &mut Host, set: i64) {
    rules(place, &["shadow", "retail", &set.to_string()]);
    host.until("the shadow judges", |host| {
        let judges = format!("rule set {set} judges beside");
        host.log().contains(&judges)
    });
}

/// What hosts found of a set, if they found anything.
fn report(place: &Place, set: i64) -> Option<Value> {
    let said = place.assay(&["rules", "report", "retail", &set.to_string(), "--json"]);
    said.good.then(|| serde_json::from_str(&said.out).unwrap())
}

fn rows(place: &Place, set: i64) -> u64 {
    report(place, set).map_or(0, |report| report["comparison"]["rows"].as_u64().unwrap())
}

/// Without what differs from time to time: what it cost.
fn without_cost(comparison: &Value) -> Value {
    let mut comparison = comparison.clone();
    comparison.as_object_mut().unwrap().remove("cost");
    comparison
}

/// Net amounts of gold by store, of a day.
fn net(place: &Place, day: &str) -> BTreeMap<String, String> {
    let rows = place.rows("retail/gold/daily_sales").into_iter();
    let of_day = rows.filter(|row| row["sale_date"] == day);
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    of_day
        .map(|row| (text(&row["store_id"]), text(&row["net_amount"])))
        .collect()
}

fn cents(amount: &str) -> i64 {
    let (whole, part) = amount.split_once('.').unwrap_or((amount, "0"));
    whole.parse::<i64>().unwrap() * 100 + format!("{part:0<2}").parse::<i64>().unwrap()
}

/// The transactions of a table's rows that are of a range.
fn ids(rows: &[Value], of: std::ops::Range<u32>) -> BTreeSet<u32> {
    let id = |row: &Value| match row.get("transaction_id").and_then(Value::as_str) {
        Some(id) => id[1..].parse().unwrap(),
        None => {
            let raw: Value = serde_json::from_str(row["_raw"].as_str().unwrap()).unwrap();
            raw["transaction_id"].as_str().unwrap()[1..]
                .parse()
                .unwrap()
        }
    };
    rows.iter().map(id).filter(|id| of.contains(id)).collect()
}

#[test]
fn a_shadow_reports_what_its_promotion_then_does_by_identity_and_to_the_cent() {
    let place = Place::new();
    let (events, pipeline) = retail(&place, "");
    let mut host = run(&place, &pipeline);
    host.until("the first sales are taken in", |_| taken(&place) == 10);
    let begins = std::fs::metadata(&events).unwrap().len();
    let strict = version(&place, &pipeline, "strict", &[(LOOSE, STRICT)]);
    let set = number(&stage(&place, &strict));
    shadow(&place, &mut host, set);
    assert_eq!(state(&place, set).0, "shadow");

    // One half of a day before a restart, the other behind it: the shadow goes on.
    place.append(&events, &sales(1_000..1_200, 2));
    host.until("half of it is looked at", |_| rows(&place, set) == 200);
    let (ended, log) = host.stop();
    assert!(ended.success(), "{log}");
    let mut host = run(&place, &pipeline);
    let judges = format!("rule set {set} judges beside");
    host.until("the shadow judges again", |host| {
        host.log().matches(&judges).count() == 2
    });
    place.append(&events, &sales(1_200..1_400, 2));
    host.until("all of it is looked at", |_| rows(&place, set) == 400);
    let ends = std::fs::metadata(&events).unwrap().len();
    let found = report(&place, set).unwrap();
    assert_eq!(found["starts"], 2);
    assert_eq!(found["coverage"]["messages_left_out"], 0);
    let found = &found["comparison"];
    assert_eq!(found["before"]["silver"], 400);
    assert_eq!(
        (&found["after"]["silver"], &found["after"]["quarantine"]),
        (&json!(200), &json!(200))
    );
    let turn = &found["verdicts"][0];
    assert_eq!(found["verdicts"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&turn["rows"], &turn["before"]["end"]),
        (&json!(200), &json!("silver"))
    );
    assert_eq!(
        turn["after"],
        json!({"end":"quarantine","step":"validate","rule":"quantity_absurd"})
    );
    assert_eq!(turn["samples"].as_array().unwrap().len(), 5);
    assert_eq!(found["columns"], json!({}));

    // The same over bronze, with no host's help.
    let range = ["--from", &begins.to_string(), "--to", &ends.to_string()];
    let of = [
        "what-if",
        "retail",
        &set.to_string(),
        "--topic",
        "sales.ndjson",
        "--partition",
        "0",
    ];
    let what_if = rules(&place, &[&of[..], &range].concat());
    assert_eq!(without_cost(&what_if["comparison"]), without_cost(found));

    // Nothing of it is in the tables; then it takes over, and the same sales come again.
    assert_eq!(ids(&place.rows("retail/silver"), 1_000..1_400).len(), 400);
    assert!(place.rows_if_any("retail/quarantine").is_empty());
    promote(&place, set);
    host.until("it takes over", |host| {
        host.log().contains("takes over with the next batch")
    });
    place.append(&events, &sales(2_000..2_400, 3));
    host.until("they are taken in", |_| taken(&place) == 810);
    let (ended, log) = host.stop();
    assert!(ended.success(), "{log}");
    assert!(!log.contains("ERROR"), "{log}");

    let silver = ids(&place.rows("retail/silver"), 2_000..2_400);
    let refused = ids(&place.rows("retail/quarantine"), 2_000..2_400);
    assert_eq!((silver.len(), refused.len()), (200, 200));
    assert!(refused.iter().all(|id| id % 10 >= 5));
    for sample in turn["samples"].as_array().unwrap() {
        let event: Value = serde_json::from_str(sample["event"].as_str().unwrap()).unwrap();
        let id: u32 = event["transaction_id"].as_str().unwrap()[1..]
            .parse()
            .unwrap();
        assert!(refused.contains(&(id + 1_000)), "T{id} was to be refused");
    }
    let (before, after) = (net(&place, "2025-03-02"), net(&place, "2025-03-03"));
    for store in ["S001", "S002"] {
        let group = &found["gold"]["daily_sales"]["groups"]
            [format!("sale_date=2025-03-02/store_id={store}")];
        let said = |side: &str| cents(group["net_amount"][side].as_str().unwrap());
        assert_eq!(said("before"), cents(&before[store]), "{store}");
        assert_eq!(said("after"), cents(&after[store]), "{store}");
        assert!(said("after") < said("before"));
    }
    books_balance(&place);

    // Held against what judged each row, the first set differs on the last day alone.
    let pinned = ["what-if", "retail", "1", "--against", "pinned"];
    let back = rules(&place, &pinned);
    let turns = back["comparison"]["verdicts"].as_array().unwrap();
    assert_eq!(turns.len(), 1);
    assert_eq!(
        (&turns[0]["rows"], &turns[0]["after"]["end"]),
        (&json!(200), &json!("silver"))
    );
}

/// A tenant with one validator, which does `at_13` where a quantity is 13.
fn validated(place: &Place, name: &str, at_13: &str, top: &str) -> PathBuf {
    place.write(
        &format!("{name}/check.wasm"),
        around("validator", at_13, top),
    );
    let events = place.path().join("events/sales.ndjson");
    place.write(
        &format!("{name}/retail.toml"),
        format!(
            "version = 1\ntenant = \"retail\"\n[source]\nkind = \"file\"\npath = \"{}\"\n\
             [batch]\nevery = \"50ms\"\n[breaker]\nwindow = 20\n[shadow]\ncpu = 1.0\n\
             [limits]\nfuel = 1000000\nfuel_per_row = 1000\n\
             [[validate]]\ncomponent = \"check.wasm\"\n[event.fields]\n\
             transaction_id = \"string\"\nquantity = \"integer\"\ntimestamp = \"timestamp\"\n",
            events.display()
        ),
    )
}

fn thirteens(ids: std::ops::Range<u32>) -> String {
    ids.map(|id| {
        format!(
            "{{\"transaction_id\":\"T{id}\",\"quantity\":13,\"timestamp\":\"2025-03-01T10:00:00Z\"}}\n"
        )
    })
    .collect()
}

#[test]
fn a_shadow_that_traps_loops_or_eats_memory_fails_by_itself_and_the_active_set_never_notices() {
    let place = Place::new();
    let events = place.write("events/sales.ndjson", thirteens(0..20));
    let pipeline = validated(&place, "calm", "nop", "");
    let mut host = run(&place, &pipeline);
    host.until("the first sales are taken in", |_| taken(&place) == 20);
    let mut next = 20;
    for (name, at_13, words) in [
        ("trapping", "unreachable", "fail on"),
        ("looping", "(loop $ever (br $ever))", "fail on"),
        (
            "hungry",
            "(loop $ever (drop (memory.grow (i32.const 64))) (br $ever))",
            "fail on",
        ),
    ] {
        let staged = stage(&place, &validated(&place, name, at_13, ""));
        let set = number(&staged);
        shadow(&place, &mut host, set);
        place.append(&events, &thirteens(next..next + 40));
        next += 40;
        host.until("the shadow fails", |_| state(&place, set).0 == "failed");
        let (_, reason) = state(&place, set);
        assert!(
            reason.contains("as a shadow of 1") && reason.contains(words),
            "{reason}"
        );
        let loud = format!("rule set {set} failed beside rule set 1");
        let log = host.log();
        assert!(
            log.lines()
                .any(|l| l.contains("ERROR") && l.contains(&loud)),
            "{log}"
        );
        let said = place.assay(&["rules", "promote", "retail", &set.to_string(), "--why", "-"]);
        assert!(said.badly().contains("fail on"));
    }
    host.until("all is taken in", |_| taken(&place) == next as usize);
    let (ended, log) = host.stop();
    assert!(ended.success(), "{log}");
    let silver = place.rows("retail/silver");
    assert_eq!(ids(&silver, 0..next).len(), next as usize);
    assert!(silver.iter().all(|row| row["_ruleset"] == 1));
    assert!(place.rows_if_any("retail/quarantine").is_empty());
    books_balance(&place);
}

#[test]
fn a_promotion_waits_for_what_the_gates_ask_for_and_a_changed_toml_is_staged_at_start() {
    let place = Place::new();
    let gates = "\n[promotion]\nrows = 400\nquarantine_change = 0.1\nmoney_change = 0.3\nmoney = [\"daily_sales.net_amount\"]\n";
    let (events, pipeline) = retail(&place, gates);
    let mut host = run(&place, &pipeline);
    host.until("the first sales are taken in", |_| taken(&place) == 10);
    let refused = |set: i64| {
        let set = set.to_string();
        place
            .assay(&["rules", "promote", "retail", &set, "--why", "-"])
            .badly()
    };
    let strict = number(&stage(
        &place,
        &version(&place, &pipeline, "strict", &[(LOOSE, STRICT)]),
    ));
    let said = refused(strict);
    assert!(said.contains("0 of 400 rows were compared"), "{said}");
    shadow(&place, &mut host, strict);
    place.append(&events, &sales(1_000..1_400, 2));
    host.until("the strict one is looked at", |_| {
        rows(&place, strict) == 400
    });
    let said = refused(strict);
    for words in [
        "50 % of the rows more end in quarantine, 0 -> 200 (10 % allowed)",
        "daily_sales.net_amount changes by 72.7273 %",
    ] {
        assert!(said.contains(words), "{said}");
    }
    assert!(!said.contains("rows were compared"), "{said}");

    // One piece less is not much.
    let mild = version(&place, &pipeline, "mild", &[(LOOSE, "max_quantity = 9")]);
    let mild = number(&stage(&place, &mild));
    shadow(&place, &mut host, mild);
    assert_eq!(state(&place, strict).0, "staged");
    place.append(&events, &sales(2_000..2_400, 3));
    host.until("the mild one is looked at", |_| rows(&place, mild) == 400);
    let now = promote(&place, mild);
    // What was found beside another set does not count beside this one.
    let said = refused(strict);
    assert!(said.contains("0 of 400 rows were compared"), "{said}");
    host.until("it takes over", |host| {
        host.log().contains("takes over with the next batch")
    });
    let (ended, log) = host.stop();
    assert!(ended.success(), "{log}");

    // A host that starts with other rules has them wait, too.
    let text = std::fs::read_to_string(&pipeline).unwrap();
    std::fs::write(&pipeline, text.replace(LOOSE, "max_quantity = 3")).unwrap();
    let said = place.assay(&["run", pipeline.to_str().unwrap(), "--until-caught-up"]);
    assert!(said.err.contains("they are staged as"), "{}", said.err);
    said.well();
    let again = place.assay(&["run", pipeline.to_str().unwrap(), "--until-caught-up"]);
    assert!(again.err.contains("and not promoted"), "{}", again.err);
    again.well();
    assert_eq!(number(&rules(&place, &["show", "retail"])), now);
    let despite = [
        "promote",
        "retail",
        &strict.to_string(),
        "--despite-gates",
        "--why",
        "an emergency",
    ];
    let forced = number(&rules(&place, &despite));
    let history = rules(&place, &["history", "retail"]);
    let mut changes = history.as_array().unwrap().iter();
    let change = changes.find(|change| change["number"] == forced).unwrap();
    assert_eq!(change["why"], "despite the gates: an emergency");
    books_balance(&place);
}

fn guarded(place: &Place) -> (PathBuf, PathBuf) {
    retail(
        place,
        "\n[rollback]\nrows = 200\nquarantine_change = 0.2\ntrapped = 0.01\n",
    )
}

fn promoted(place: &Place, host: &mut Host, pipeline: &Path, name: &str, limit: &str) -> i64 {
    let edited = version(place, pipeline, name, &[(LOOSE, limit)]);
    let set = promote(place, number(&stage(place, &edited)));
    let watched = format!("ruleset={set} before=1");
    host.until("its first rows are watched", |host| {
        let log = host.log();
        log.lines()
            .any(|line| line.contains("rows are held") && line.contains(&watched))
    });
    set
}

#[test]
fn a_promotion_whose_first_rows_differ_too_much_is_rolled_back_by_the_host_itself() {
    let place = Place::new();
    let (events, pipeline) = guarded(&place);
    let mut host = run(&place, &pipeline);
    host.until("the first sales are taken in", |_| taken(&place) == 10);
    let set = promoted(&place, &mut host, &pipeline, "strict", STRICT);
    place.append(&events, &sales(1_000..1_400, 2));
    host.until("it is rolled back", |host| {
        let loud = format!("rule set {set} is rolled back to 1");
        host.log()
            .lines()
            .any(|l| l.contains("ERROR") && l.contains(&loud))
    });
    host.until("the one before judges", |_| {
        number(&rules(&place, &["show", "retail"])) > set
    });
    let now = rules(&place, &["show", "retail"]);
    let first = rules(&place, &["show", "retail", "1"]);
    assert_eq!(now["definition"], first["definition"]);
    let history = rules(&place, &["history", "retail"]);
    let why = history.as_array().unwrap().last().unwrap()["why"]
        .as_str()
        .unwrap();
    let words = "50 % of the rows more end in quarantine, 0 -> 200 (20 % allowed)";
    assert!(why.contains(words), "{why}");
    place.append(&events, &sales(2_000..2_400, 3));
    host.until("all is taken in", |_| taken(&place) == 810);
    let (ended, log) = host.stop();
    assert!(ended.success(), "{log}");
    // What came meanwhile was judged as its pin says; what comes now, as before.
    assert_eq!(ids(&place.rows("retail/silver"), 1_000..1_400).len(), 200);
    assert_eq!(ids(&place.rows("retail/silver"), 2_000..2_400).len(), 400);
    books_balance(&place);
}

#[test]
fn a_promotion_whose_first_rows_differ_little_stays() {
    let place = Place::new();
    let (events, pipeline) = guarded(&place);
    let mut host = run(&place, &pipeline);
    host.until("the first sales are taken in", |_| taken(&place) == 10);
    let set = promoted(&place, &mut host, &pipeline, "mild", "max_quantity = 9");
    place.append(&events, &sales(1_000..1_400, 2));
    host.until("it may stay", |host| {
        host.log().contains("are as [rollback] allows")
    });
    let (ended, log) = host.stop();
    assert!(ended.success(), "{log}");
    assert!(!log.contains("ERROR"), "{log}");
    assert_eq!(number(&rules(&place, &["show", "retail"])), set);
    books_balance(&place);
}
