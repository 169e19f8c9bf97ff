use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Server, host, host_on, pipeline, rows, sales};
use crate::kafka;
use crate::place::Place;

/// Gives a tenant quotas, or other ones than before.
fn allow(pipeline: &Path, quota: &str) {
    let text = std::fs::read_to_string(pipeline).unwrap();
    let before = text.split("[quota]").next().unwrap();
    std::fs::write(pipeline, format!("{before}[quota]\n{quota}\n")).unwrap();
}

/// How a tenant does; nothing where the host has not taken it up yet.
fn status(server: &Server, tenant: &str) -> Value {
    let answer = server.get(&format!("/v1/tenants/{tenant}"));
    match answer.status {
        404 => Value::Null,
        _ => answer.well(),
    }
}

fn taken(server: &Server, tenant: &str) -> u64 {
    status(server, tenant)["rows"]["bronze"]
        .as_u64()
        .unwrap_or_default()
}

fn reason(server: &Server, tenant: &str) -> String {
    let status = status(server, tenant);
    status["reason"].as_str().unwrap_or_default().to_owned()
}

/// The value of a metric of a tenant.
fn metric(server: &Server, name: &str, tenant: &str) -> f64 {
    let text = server.get("/metrics").text;
    let begin = format!("{name}{{tenant=\"{tenant}\"}} ");
    let value = text.lines().find_map(|line| line.strip_prefix(&begin));
    value
        .unwrap_or_else(|| panic!("{begin}\n{text}"))
        .parse()
        .unwrap()
}

fn books_balance(place: &Place, tenants: &[&str]) {
    let books = place.assay(&["verify"]).well();
    for tenant in tenants {
        let balance = format!("{tenant}: the books balance");
        assert!(books.contains(&balance), "{books}");
    }
}

#[test]
fn a_tenant_over_its_rows_a_second_is_slowed_alone_until_its_toml_allows_more() {
    const ROWS: u32 = 12_000;
    let place = Place::new();
    let (_, slow) = pipeline(&place, "slow", 0..ROWS);
    allow(&slow, "rows_per_second = 100");
    pipeline(&place, "free", 0..ROWS);
    let (mut host, server) = host(&place, &["pipelines"]);
    let begun = Instant::now();
    // A chunk of the source is taken as a whole; after that it is a hundred a second.
    let most = || 8_192 + 200 + begun.elapsed().as_secs() * 100;
    host.until("the one without a quota has everything", |_| {
        assert!(taken(&server, "slow") <= most());
        taken(&server, "free") == u64::from(ROWS)
    });
    host.until("the other is slowed, and says so", |_| {
        reason(&server, "slow").contains("[quota] rows_per_second")
    });
    let ready = server.get("/readyz");
    assert_eq!(ready.status, 200, "slowed is not broken: {ready:?}");
    let stands = taken(&server, "slow");
    assert!(stands <= most() && stands < u64::from(ROWS), "{stands}");
    let slowed = || metric(&server, "assay_quota_slowed_seconds_total", "slow");
    host.until("the time counts", |_| slowed() > 2.0);
    assert_eq!(
        metric(&server, "assay_quota_slowed_seconds_total", "free"),
        0.0
    );

    allow(&slow, "rows_per_second = 100000");
    host.until("it goes on by itself", |_| {
        taken(&server, "slow") == u64::from(ROWS)
    });
    host.until("all is in gold", |_| {
        rows(&place, "slow/silver") == ROWS as usize
    });
    let (ended, log) = host.stop();
    assert!(ended.success(), "{log}");
    books_balance(&place, &["slow", "free"]);
}

#[test]
fn a_tenant_over_its_lake_bytes_stands_still_loudly_and_goes_on_when_they_are_raised() {
    let place = Place::new();
    let (events, full) = pipeline(&place, "full", 0..3_000);
    allow(&full, "lake_bytes = 20000");
    let (others, _) = pipeline(&place, "free", 0..10);
    let (mut running, server) = host(&place, &["pipelines"]);
    running.until("it is over its quota", |_| {
        reason(&server, "full").contains("[quota] lake_bytes = 20000")
    });
    let said = |log: &str| {
        let mut lines = log.lines();
        lines.any(|line| line.contains("ERROR") && line.contains("[quota] lake_bytes"))
    };
    running.until("its log says so", |host| said(&host.log()));
    let ready = server.get("/readyz");
    assert_eq!(ready.status, 503, "{ready:?}");
    assert_eq!(metric(&server, "assay_quota_exceeded", "full"), 1.0);
    assert_eq!(metric(&server, "assay_quota_exceeded", "free"), 0.0);
    running.until("the bytes are counted", |_| {
        metric(&server, "assay_lake_bytes", "full") > 20_000.0
    });
    let usage = place
        .assay(&["tenant", "usage", "--host", &server.url])
        .well();
    let mut lines = usage.lines().skip_while(|line| !line.starts_with("full "));
    assert!(
        lines.next().is_some_and(|line| line.contains("running")),
        "{usage}"
    );
    assert!(
        lines.next().is_some_and(|line| line.contains("lake_bytes")),
        "{usage}"
    );

    place.append(&events, &sales(3_000..4_000));
    place.append(&others, &sales(10..20));
    running.until("the other goes on", |_| taken(&server, "free") == 20);
    let stands = taken(&server, "full");
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(taken(&server, "full"), stands, "it takes nothing in");
    assert!(stands <= 3_000);

    // A run that is to end would wait for ever.
    let toml = full.to_str().unwrap();
    let (ended, log) = running.stop();
    assert!(ended.success(), "{log}");
    let until = ["run", toml, "--until-caught-up"];
    let said = place.assay(&until).badly();
    assert!(said.contains("[quota] lake_bytes = 20000"), "{said}");

    let (mut running, server) = host(&place, &["pipelines"]);
    running.until("a restart keeps it", |_| {
        reason(&server, "full").contains("[quota] lake_bytes")
    });
    allow(&full, "lake_bytes = 1000000000");
    running.until("it goes on by itself", |_| {
        rows(&place, "full/silver") == 4_000
    });
    running.until("it is well", |_| server.get("/readyz").status == 200);
    let (ended, log) = running.stop();
    assert!(ended.success(), "{log}");
    books_balance(&place, &["full", "free"]);
}

#[test]
fn what_a_tenant_used_is_counted_by_tenant() {
    let place = Place::new();
    pipeline(&place, "busy", 0..5_000);
    let (_, idle) = pipeline(&place, "idle", 0..1);
    allow(&idle, "cpu_share = 50\nrows_per_second = 7");
    let (mut host, server) = host(&place, &["pipelines"]);
    host.until("all is taken in", |_| {
        taken(&server, "busy") == 5_000 && taken(&server, "idle") == 1
    });
    let fuel = |tenant: &str| status(&server, tenant)["usage"]["fuel"].as_u64().unwrap();
    host.until("its fuel counts", |_| {
        fuel("busy") > 5_000 && fuel("idle") > 0
    });
    assert!(fuel("busy") > fuel("idle"));
    let cpu = |tenant| metric(&server, "assay_tenant_cpu_seconds_total", tenant);
    assert!(cpu("busy") > cpu("idle") && cpu("idle") > 0.0);
    // What is counted is of the process, and not more than the process had.
    let process = server.get("/metrics").text;
    let process = process.lines().find_map(|line| {
        let value = line.strip_prefix("process_cpu_seconds_total ")?;
        value.parse::<f64>().ok()
    });
    assert!(cpu("busy") + cpu("idle") <= process.unwrap() + 0.1);
    let limits = server.get("/metrics").text;
    for line in [
        "assay_quota_limit{tenant=\"idle\",quota=\"cpu_share\"} 50.0",
        "assay_quota_limit{tenant=\"idle\",quota=\"rows_per_second\"} 7.0",
        "assay_quota_limit{tenant=\"busy\",quota=\"cpu_share\"} 100.0",
    ] {
        assert!(limits.contains(line), "{line}\n{limits}");
    }
    assert_eq!(status(&server, "idle")["quota"]["rows_per_second"], 7);
    let (ended, log) = host.stop();
    assert!(ended.success(), "{log}");
}

#[tokio::test]
async fn a_tenant_that_is_slowed_for_long_gives_partitions_to_another_host_all_the_same() {
    let place = Place::new();
    let broker = kafka::shared();
    broker.create_topic("slowed", 2).await;
    let topic = "topics = [\"slowed\"]\ngroup = \"slowed\"";
    let replace = [
        ("localhost:9092", broker.brokers()),
        ("topics = [\"sales\"]", topic.to_owned()),
        ("every = \"5s\"", "every = \"500ms\"".to_owned()),
    ];
    let replace = replace.each_ref().map(|(from, to)| (*from, to.as_str()));
    let made = place.pipeline("retail", &replace);
    std::fs::create_dir_all(place.path().join("pipelines")).unwrap();
    let toml = place.path().join("pipelines/retail.toml");
    std::fs::rename(made, &toml).unwrap();
    allow(&toml, "rows_per_second = 20");
    let brokers = broker.brokers();
    let sales = ["generate", "sales", "--ids", "--count", "20000"];
    let to = ["--kafka", &brokers, "--topic", "slowed"];
    place.assay(&[&sales[..], &to].concat()).well();

    let (mut one, server) = host(&place, &["pipelines"]);
    one.until("it is slowed", |_| {
        reason(&server, "retail").contains("rows_per_second")
    });
    let begun = Instant::now();
    let (mut other, others) = host_on("other", &place, &["pipelines"]);
    other.until("it has a partition", |_| {
        status(&others, "retail")["partitions"] == 1
    });
    let waited = begun.elapsed();
    println!("the other had its partition after {waited:.1?}");
    assert!(waited < Duration::from_secs(30), "{waited:?}");
    let taken = |server: &Server| taken(server, "retail");
    assert!(taken(&server) + taken(&others) < 20_000);

    allow(&toml, "rows_per_second = 1000000");
    one.until("all is taken in", |_| {
        taken(&server) + taken(&others) >= 20_000
    });
    for host in [one, other] {
        let (ended, log) = host.stop();
        assert!(ended.success(), "{log}");
    }
    place.run_to_the_end(&toml);
    place.holds_expected_ids();
}
