use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::place::{Place, assay};

const GOOD: &str = r#"{"transaction_id":"T0","store_id":"S001","product_id":"P00001","customer_id":"C1","quantity":1,"unit_price":2.50,"timestamp":"2025-03-01T10:00:00Z","payment_method":"card","channel":"pos","register_id":1}"#;

/// The good event with one field's value, or absence, changed.
fn with(id: &str, field: &str, value: Option<Value>) -> String {
    let mut event: Value = serde_json::from_str(GOOD).unwrap();
    event["transaction_id"] = id.into();
    match value {
        Some(value) => event[field] = value,
        None => {
            event.as_object_mut().unwrap().remove(field);
        }
    }
    event.to_string()
}

#[test]
fn whatever_comes_in_ends_in_silver_or_in_quarantine_with_its_rule() {
    let place = Place::new();
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let lines: Vec<(&str, Vec<u8>)> = vec![
        ("silver", GOOD.into()),
        ("malformed", b"{\"transaction_id\":\"T1\"".to_vec()),
        ("malformed", b"not json at all".to_vec()),
        ("malformed", b"[1,2]".to_vec()),
        ("malformed", b"{\"transaction_id\":\"\xff\xfe\"}".to_vec()),
        ("malformed", format!("{{\"a\":{deep}}}").into_bytes()),
        ("no_key", with("", "quantity", Some(1.into())).into_bytes()),
        ("no_key", with("x", "transaction_id", None).into_bytes()),
        (
            "no_key",
            with("x", "transaction_id", Some(Value::Null)).into_bytes(),
        ),
        (
            "no_business_date",
            with("T2", "timestamp", None).into_bytes(),
        ),
        (
            "no_business_date",
            with("T3", "timestamp", Some("yesterday".into())).into_bytes(),
        ),
        (
            "bad_partition_value",
            with("T4", "store_id", Some("S".repeat(300).into())).into_bytes(),
        ),
        (
            "bad_partition_value",
            with("T5", "store_id", Some("".into())).into_bytes(),
        ),
        (
            "bad_partition_value",
            with("T6", "store_id", None).into_bytes(),
        ),
        (
            "quantity_missing",
            with("T7", "quantity", Some("many".into())).into_bytes(),
        ),
        (
            "silver",
            with("T8", "quantity", Some("3".into())).into_bytes(),
        ),
        (
            "quantity_negative",
            with("T9", "quantity", Some((-3).into())).into_bytes(),
        ),
        (
            "silver",
            with("T10", "new_field", Some(true.into())).into_bytes(),
        ),
        (
            "silver",
            with("T11", "new_field", Some("now a text".into())).into_bytes(),
        ),
        (
            "silver",
            with("T12", "note", Some("x".repeat(1 << 20).into())).into_bytes(),
        ),
        (
            "silver",
            with("T13", "store_id", Some("a b/ü=%".into())).into_bytes(),
        ),
        (
            "conflicting_duplicate",
            with("T8", "quantity", Some("4".into())).into_bytes(),
        ),
        (
            "duplicate",
            with("T8", "quantity", Some("3".into())).into_bytes(),
        ),
    ];
    let mut bytes = Vec::new();
    let mut wanted = BTreeMap::new();
    for (end, line) in &lines {
        wanted.insert(bytes.len() as i64, (*end).to_owned());
        bytes.extend_from_slice(line);
        bytes.push(b'\n');
    }
    let events = place.write("events/bad.ndjson", bytes);
    let pipeline = place.retail_from_files(&events, &[]);
    place.run_to_the_end(&pipeline);

    let mut ends = BTreeMap::new();
    for row in place.rows("retail/silver") {
        assert!(
            ends.insert(row["_offset"].as_i64().unwrap(), "silver".to_owned())
                .is_none()
        );
    }
    for row in place.rows("retail/quarantine") {
        let rule = row["rule"].as_str().unwrap().to_owned();
        assert!(
            ends.insert(row["_offset"].as_i64().unwrap(), rule)
                .is_none()
        );
    }
    assert_eq!(ends, wanted);
    let bronze = place.rows("retail/bronze");
    let changed = bronze
        .iter()
        .find(|row| row["transaction_id"] == "T11")
        .unwrap();
    assert_eq!(changed["new_field"], Value::Null);
    assert_eq!(changed["_rescued"], r#"{"new_field":"now a text"}"#);
}

#[test]
fn a_wrong_pipeline_is_refused_with_the_file_the_line_and_what_to_do() {
    let place = Place::new();
    let events = place.write("events/good.ndjson", format!("{GOOD}\n"));
    let wrong = |replace: &[(&str, &str)], says: &[&str]| {
        let pipeline = place.retail_from_files(&events, replace);
        let said = place
            .assay(&["run", pipeline.to_str().unwrap(), "--until-caught-up"])
            .badly();
        for part in says {
            assert!(said.contains(part), "{part:?} is not in: {said}");
        }
        let check = place.assay(&["check", pipeline.to_str().unwrap()]);
        assert!(!check.good, "check finds nothing wrong: {}", check.out);
        assert!(
            !place.lake().join("retail/bronze").exists(),
            "something was written"
        );
    };
    wrong(
        &[("[[validate]]", "[[valdate]]")],
        &["retail.toml", "line", "valdate"],
    );
    wrong(
        &[("quantity = \"integer\"", "quantity = \"int\"")],
        &["retail.toml", "\"int\" is no type"],
    );
    wrong(
        &[(
            "validate-sales/validate-sales.wasm",
            "validate-sales/absent.wasm",
        )],
        &["absent.wasm", "assay plugin build"],
    );
    wrong(
        &[(
            "validate-sales/validate-sales.wasm",
            "enrich-sales/enrich-sales.wasm",
        )],
        &["enrich-sales", "enricher", "validat"],
    );
    wrong(
        &[("tenant = \"retail\"", "tenant = \"../retail\"")],
        &["../retail", "lower-case"],
    );
}

#[test]
fn a_file_that_is_no_component_is_refused_in_words() {
    let place = Place::new();
    let events = place.write("events/good.ndjson", format!("{GOOD}\n"));
    let pipeline = place.retail_from_files(&events, &[]);
    let text = std::fs::read_to_string(&pipeline).unwrap();
    let garbage = place.write("garbage.wasm", "this is no wasm");
    let begin = text.find("component = \"").unwrap() + "component = \"".len();
    let end = begin + text[begin..].find('"').unwrap();
    let text = format!("{}{}{}", &text[..begin], garbage.display(), &text[end..]);
    std::fs::write(&pipeline, text).unwrap();
    let said = place
        .assay(&["run", pipeline.to_str().unwrap(), "--until-caught-up"])
        .badly();
    assert!(said.contains("garbage"), "{said}");
    assert!(said.contains("component"), "{said}");
}

#[test]
fn a_lake_that_is_a_file_is_a_clear_error() {
    let place = Place::new();
    let events = place.write("events/good.ndjson", format!("{GOOD}\n"));
    place.write("lake", "not a folder");
    let pipeline = place.retail_from_files(&events, &[]);
    let said = place
        .assay(&["run", pipeline.to_str().unwrap(), "--until-caught-up"])
        .badly();
    assert!(said.contains("lake"), "{said}");
}

#[test]
fn a_dimension_with_a_key_twice_is_refused_with_its_line() {
    let place = Place::new();
    let events = place.write("events/good.ndjson", format!("{GOOD}\n"));
    let pipeline = place.retail_from_files(&events, &[]);
    let twice = place.write(
        "products.csv",
        "product_id,product_name,category,list_price,cost\nP1,Tea,grocery,2.50,1.00\nP1,Tea,grocery,2.50,1.00\n",
    );
    let arguments = [
        "dimension",
        "load",
        "retail",
        "product",
        twice.to_str().unwrap(),
    ];
    let more = ["--pipeline", pipeline.to_str().unwrap()];
    let said = place.assay(&[&arguments[..], &more].concat()).badly();
    assert!(said.contains("products.csv:3"), "{said}");
    assert!(said.contains("P1"), "{said}");
}

#[test]
fn what_a_person_mistypes_is_refused_in_words_and_changes_nothing() {
    let place = Place::new();
    let events = place.write("events/sales.ndjson", format!("{GOOD}\n"));
    let pipeline = place.retail_from_files(&events, &[]);
    place.run_to_the_end(&pipeline);
    let topic = place.rows("retail/bronze")[0]["_topic"].clone();
    let re_pin = [
        "rules",
        "re-pin",
        "retail",
        topic.as_str().unwrap(),
        "0",
        "--why",
        "-",
    ];
    let create = ["token", "create", "retail", "--role", "author"];
    let why = ["--why", "one\n2026-11-27 00:00:00Z  active   another"];
    let slips: [(&[&str], &[&str], &str); 9] = [
        (
            &re_pin,
            &["--from", "9", "--to", "3", "--number", "1"],
            "no message",
        ),
        (
            &re_pin,
            &["--from", "7000", "--to", "7001", "--number", "1"],
            "no message",
        ),
        (
            &create,
            &["--name", "ci", "--expires", "99999999999d"],
            "36525d",
        ),
        (
            &create,
            &["--name", "ci", "--expires", "0s"],
            "more than nothing",
        ),
        (&create, &["--name", ""], "whose it is"),
        (&["tenant", "pause", "retail"], &["--why", " "], "say why"),
        (&["rules", "rollback", "retail"], &why, "in one line"),
        (
            &["rules", "what-if", "retail", "1"],
            &["--from", "2025-03-02", "--to", "2025-03-01"],
            "before the end",
        ),
        (
            &["rules", "promote", "retail", "1"],
            &["--why", "again"],
            "never staged",
        ),
    ];
    let history = || {
        place
            .assay(&["rules", "history", "retail", "--json"])
            .well()
    };
    let before = history();
    for (command, more, told) in slips {
        let said = place.assay(&[command, more].concat()).badly();
        assert!(said.contains(told), "{command:?} {more:?}: {said}");
    }
    assert_eq!(history(), before);

    // Its own tables, or a neighbour's, are nobody's events.
    let text = std::fs::read_to_string(&pipeline).unwrap();
    let own = format!("path = \"{}\"", events.display());
    let source = format!(
        "path = \"{}\"",
        place.lake().join("retail/bronze").display()
    );
    let within = place.write("within.toml", text.replace(&own, &source));
    let nobody = place.write("nobody.toml", format!("{text}\n[trust]\nkeys = []\n"));
    for (pipeline, told) in [(within, "in the lake"), (nobody, "keys names none")] {
        let pipeline = pipeline.to_str().unwrap();
        let said = place.assay(&["run", pipeline, "--until-caught-up"]).badly();
        assert!(said.contains(told), "{said}");
        place.assay(&["rules", "check", pipeline]).badly();
    }
    assert_eq!(place.rows("retail/bronze").len(), 1);

    // One who stops reading is told nothing more, and nothing panics.
    let mut show = Command::new(assay());
    let show = show
        .args(["rules", "show", "retail"])
        .env("ASSAY_LAKE", place.lake());
    let mut shown = show
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(shown.stdout.take());
    let ended = shown.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&ended.stderr), "");
    assert_eq!(ended.status.code(), Some(1));
}
