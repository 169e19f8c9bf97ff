use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{LOOSE, STRICT, host, pipeline, rows, token, version};
use crate::kafka;
use crate::place::Place;

type Samples = Vec<(String, BTreeMap<String, String>, f64)>;

/// What Prometheus's own parser reads.
fn samples(place: &Place, text: &str) -> Samples {
    let file = place.write("metrics.txt", text);
    let read = place.reader("metrics.py", &[file.to_str().unwrap()]);
    read.lines()
        .map(|line| {
            let sample: Value = serde_json::from_str(line).unwrap();
            let labels = serde_json::from_value(sample["labels"].clone()).unwrap();
            let name = sample["name"].as_str().unwrap().to_owned();
            (name, labels, sample["value"].as_f64().unwrap())
        })
        .collect()
}

/// The only sample with these labels among others.
fn value(samples: &Samples, name: &str, labels: &[(&str, &str)]) -> f64 {
    let found: Vec<f64> = samples
        .iter()
        .filter(|(known, held, _)| {
            let mut wanted = labels.iter();
            known == name && wanted.all(|(key, value)| held.get(*key).is_some_and(|v| v == value))
        })
        .map(|(_, _, value)| *value)
        .collect();
    assert_eq!(found.len(), 1, "{name} {labels:?}: {found:?}");
    found[0]
}

/// How many rows a table holds, each counted once by what it is.
fn identities(rows: &[Value]) -> f64 {
    let identity = |row: &Value| {
        let names = ["_topic", "_partition", "_offset", "_line"];
        names.map(|name| row[name].to_string())
    };
    let all: BTreeSet<_> = rows.iter().map(identity).collect();
    assert_eq!(all.len(), rows.len(), "a row is there twice");
    all.len() as f64
}

#[test]
fn metrics_are_what_the_tables_hold_and_pass_the_parser_of_prometheus() {
    let place = Place::new();
    let (events, file) = pipeline(&place, "retail", 0..100);
    let strict = version(&place, &file, LOOSE, STRICT);
    std::fs::rename(strict, &file).unwrap();
    // Some of them twice.
    place.append(&events, &super::sales(0..7));
    let (mut host, server) = host(&place, &["pipelines"]);
    let is_done = || {
        let found =
            ["bronze", "silver", "quarantine"].map(|t| rows(&place, &format!("retail/{t}")));
        found == [107, 50, 57]
    };
    host.until("all is in the tables", |_| is_done());
    let metrics = || samples(&place, &server.get("/metrics").text);
    let landed = |samples: &Samples| {
        samples.iter().any(|(name, labels, value)| {
            let gold = labels
                .get("table")
                .is_some_and(|table| table == "gold/daily_sales");
            name == "assay_commit_seconds_count" && gold && *value > 0.0
        })
    };
    host.until(
        "gold is there, and the worker has said where it stands",
        |_| {
            let samples = metrics();
            landed(&samples)
                && samples
                    .iter()
                    .any(|(name, _, lag)| name == "assay_source_lag" && *lag == 0.0)
        },
    );

    let samples = metrics();
    let retail = ("tenant", "retail");
    for table in ["bronze", "silver", "quarantine"] {
        let counted = value(&samples, "assay_rows_total", &[retail, ("layer", table)]);
        let held = place.rows(&format!("retail/{table}"));
        assert_eq!(counted, identities(&held), "{table}");
    }
    let mut by_rule: BTreeMap<String, f64> = BTreeMap::new();
    for row in place.rows("retail/quarantine") {
        *by_rule
            .entry(row["rule"].as_str().unwrap().to_owned())
            .or_default() += 1.0;
    }
    assert_eq!(by_rule.len(), 2, "{by_rule:?}");
    for (rule, count) in by_rule {
        let counted = value(
            &samples,
            "assay_quarantined_rows_total",
            &[retail, ("rule", &rule)],
        );
        assert_eq!(counted, count, "{rule}");
    }
    let payload = std::fs::read_to_string(&events).unwrap();
    let bytes: usize = payload.lines().map(str::len).sum();
    assert_eq!(
        value(&samples, "assay_ingested_bytes_total", &[retail]),
        bytes as f64
    );
    let progress = [retail, ("layer", "silver")];
    assert_eq!(
        value(&samples, "assay_progress_position", &progress),
        payload.len() as f64
    );
    assert_eq!(value(&samples, "assay_ruleset_number", &[retail]), 1.0);
    assert_eq!(value(&samples, "assay_tenant_up", &[retail]), 1.0);
    assert_eq!(value(&samples, "assay_guilty_rows_total", &[retail]), 0.0);
    let batches = value(&samples, "assay_batches_total", &[retail]);
    let put = value(
        &samples,
        "assay_commit_seconds_count",
        &[retail, ("table", "silver")],
    );
    assert_eq!(put, batches);
    let component = [retail, ("component", "validate-sales")];
    assert!(value(&samples, "assay_component_fuel_total", &component) > 1_000.0);
    assert!(value(&samples, "assay_component_cpu_seconds_total", &component) > 0.0);
    assert!(value(&samples, "process_resident_memory_bytes", &[]) > 1e6);
    assert!(value(&samples, "assay_dedup_index_bytes", &[retail]) > 0.0);

    assert_eq!(server.get("/healthz").text, "ok\n");
    let ready = server.get("/readyz").well();
    assert_eq!(ready["tenants"][0]["state"], "running");
    // The page's own figures are the same ones.
    let status = server.get("/v1/tenants/retail").well();
    assert_eq!(status["rows"]["silver"], 50);
    assert_eq!(status["ruleset"], 1);
    let (ended, log) = host.stop();
    assert!(ended.success(), "{log}");
}

#[tokio::test]
async fn of_a_topic_they_say_what_waits_where_and_how_long_each_message_took() {
    let place = Place::new();
    let broker = kafka::shared();
    broker.create_topic("measured", 2).await;
    let brokers = broker.brokers();
    let topic = "topics = [\"measured\"]\ngroup = \"measured\"";
    let replace = [
        ("localhost:9092", brokers.as_str()),
        ("topics = [\"sales\"]", topic),
    ];
    let pipeline = place.pipeline("retail", &replace);
    let (mut host, server) = host(&place, &[pipeline.to_str().unwrap()]);
    let to = ["--kafka", &brokers, "--topic", "measured"];
    let sales = ["generate", "sales", "--count", "2000"];
    place.assay(&[&sales[..], &to].concat()).well();
    let metrics = || samples(&place, &server.get("/metrics").text);
    let retail = ("tenant", "retail");
    host.until("all messages are taken in", |_| {
        let samples = metrics();
        let progress = samples.iter().filter(|(name, labels, _)| {
            name == "assay_progress_position" && labels["layer"] == "duplicates"
        });
        progress.map(|(_, _, at)| at).sum::<f64>() == 2000.0
    });
    let samples = metrics();
    assert_eq!(
        value(&samples, "assay_silver_latency_seconds_count", &[retail]),
        2000.0
    );
    assert!(value(&samples, "assay_silver_latency_seconds_sum", &[retail]) > 0.0);
    assert_eq!(value(&samples, "assay_source_partitions", &[retail]), 2.0);
    let rows = place.rows("retail/bronze");
    for (partition, number) in [(0, "0"), (1, "1")] {
        let labels = [retail, ("topic", "measured"), ("partition", number)];
        assert_eq!(value(&samples, "assay_source_lag", &labels), 0.0);
        let bronze = [&labels[..], &[("layer", "bronze")]].concat();
        let there = rows.iter().filter(|row| row["_partition"] == partition);
        assert_eq!(
            value(&samples, "assay_progress_position", &bronze),
            there.count() as f64
        );
    }
    let (ended, log) = host.stop();
    assert!(ended.success(), "{log}");
}

#[test]
fn a_page_of_another_site_and_a_wrong_token_see_nothing() {
    let place = Place::new();
    pipeline(&place, "retail", 0..3);
    let (mut host, server) = host(&place, &["pipelines"]);
    host.until("it is ready", |_| server.get("/readyz").status == 200);
    assert_eq!(server.get("/metrics").status, 200);
    // Another site's name that was made to lead here.
    let rebound = [("host", "evil.example")];
    for path in ["/metrics", "/v1/tenants", "/v1/tenants/retail"] {
        server.get_as(path, &rebound).badly(401);
        server.with("assay_0").get(path).badly(401);
    }
    let good = server.with(&token(&place, "retail", "author"));
    let seen = good.get_as("/metrics", &rebound);
    assert!(
        seen.status == 200 && seen.text.contains("tenant=\"retail\""),
        "{seen:?}"
    );
    let page = server.get("/");
    assert!(page.text.starts_with("<!doctype html>"), "{page:?}");
    let elsewhere = ["http://", "https://", "src=", "@import"];
    let named = elsewhere.iter().find(|word| page.text.contains(**word));
    assert_eq!(named, None, "the page needs nothing from elsewhere");
}

#[test]
fn readyz_says_which_tenant_is_stopped_and_why_and_a_mended_toml_has_it_run() {
    let place = Place::new();
    pipeline(&place, "retail", 0..10);
    let (_, north) = pipeline(&place, "north", 0..10);
    let good = std::fs::read_to_string(&north).unwrap();
    let bad = good.replace("validate-sales.wasm", "no-such.wasm");
    std::fs::write(&north, bad).unwrap();
    let (mut host, server) = host(&place, &["pipelines"]);
    host.until("the other one is ready", |_| {
        let ready = server.get("/readyz");
        ready.status == 503 && ready.json()["tenants"][1]["ready"] == true
    });
    let said = server.get("/readyz").json();
    let stopped = &said["tenants"][0];
    assert_eq!(
        (&said["ready"], &stopped["tenant"]),
        (&Value::from(false), &Value::from("north"))
    );
    assert_eq!(stopped["state"], "stopped");
    let reason = stopped["reason"].as_str().unwrap();
    assert!(reason.contains("no-such.wasm"), "{reason}");

    std::fs::write(&north, good).unwrap();
    host.until("all are ready", |_| server.get("/readyz").status == 200);
    host.until("its sales are taken in", |_| {
        rows(&place, "north/silver") == 10
    });
    let (ended, log) = host.stop();
    assert!(ended.success(), "{log}");
}
