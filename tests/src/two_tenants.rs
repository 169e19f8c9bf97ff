use std::path::{Path, PathBuf};
use std::process::Command;

use crate::kafka;
use crate::place::{Host, Place, repository};

/// The real week as events, one a line.
fn week(place: &Place) -> Vec<String> {
    let folder = repository().join("pipelines/online-retail");
    let file = place.path().join("week.ndjson");
    let converted = Command::new("python3")
        .arg(folder.join("convert.py"))
        .arg(folder.join("online_retail_week.csv"))
        .arg("-o")
        .arg(&file)
        .output()
        .unwrap();
    assert!(converted.status.success(), "{converted:?}");
    let text = std::fs::read_to_string(file).unwrap();
    text.lines().map(|line| format!("{line}\n")).collect()
}

/// A folder with the pipelines of both tenants: retail from a topic, the web shop from a file.
fn both(place: &Place, topic: &str) -> PathBuf {
    place.pipeline(
        "retail",
        &[
            ("localhost:9092", &kafka::shared().brokers()),
            (
                "topics = [\"sales\"]",
                &format!("topics = [\"{topic}\"]\ngroup = \"{topic}\""),
            ),
            ("every = \"5s\"", "every = \"500ms\""),
        ],
    );
    place.pipeline(
        "online-retail",
        &[
            ("path = \"online-retail/events\"", "path = \"events\""),
            ("every = \"5s\"", "every = \"500ms\""),
        ],
    );
    place.path().to_owned()
}

fn retail_is_right(place: &Place) -> bool {
    let lake = place.lake();
    let arguments = [lake.to_str().unwrap(), "retail", "sales/expected.json"];
    place.try_reader("check_expected.py", &arguments).good
}

fn the_week_is_right(place: &Place) -> bool {
    let lake = place.lake();
    place
        .try_reader("online_retail.py", &[lake.to_str().unwrap()])
        .good
}

fn books_balance(place: &Place, tenants: &[&str]) {
    let books = place.assay(&["verify"]).well();
    for tenant in tenants {
        assert!(
            books.contains(&format!("{tenant}: the books balance")),
            "{books}"
        );
    }
}

fn run(place: &Place, pipelines: &Path) -> Host {
    place.host(&["run", pipelines.to_str().unwrap()])
}

#[tokio::test]
async fn two_tenants_in_one_host_both_end_right() {
    let place = Place::new();
    let broker = kafka::shared();
    broker.create_topic("two-tenants", 2).await;
    let pipelines = both(&place, "two-tenants");
    let week = week(&place);
    let (begin, end) = week.split_at(week.len() / 2);
    let events = place.write("events/week.ndjson", begin.concat());
    let mut host = run(&place, &pipelines);

    // What both sell comes while the host runs.
    let brokers = broker.brokers();
    let to = ["--kafka", &brokers, "--topic", "two-tenants"];
    let sales = ["generate", "sales", "--count", "5000", "--returns", "0.02"];
    place.assay(&[&sales[..], &to].concat()).well();
    place.append(&events, &end.concat());
    host.until("the retailer's tables are right", |_| {
        retail_is_right(&place)
    });
    host.until("the week's tables are right", |_| the_week_is_right(&place));
    let (ended, log) = host.stop();
    assert!(ended.success(), "{log}");
    assert!(
        retail_is_right(&place) && the_week_is_right(&place),
        "{log}"
    );
    books_balance(&place, &["retail", "online-retail"]);
}

#[test]
fn a_tenant_that_must_stop_is_named_and_the_other_goes_on() {
    let place = Place::new();
    let pipelines = both(&place, "two-tenants-nowhere");
    let week = week(&place);
    let (begin, end) = week.split_at(week.len() / 2);
    let events = place.write("events/week.ndjson", begin.concat());
    let mut host = run(&place, &pipelines);
    host.until("the retailer stops", |host| {
        let log = host.log();
        let stopped = log.lines().find(|line| line.contains("ERROR"));
        stopped.is_some_and(|line| {
            line.contains("tenant=retail") && line.contains("two-tenants-nowhere")
        })
    });
    place.append(&events, &end.concat());
    host.until("the week's tables are right", |_| the_week_is_right(&place));
    let (ended, log) = host.stop();
    assert_eq!(ended.code(), Some(1), "{log}");
    let last = log.lines().last().unwrap();
    assert!(
        last.starts_with("assay: ") && last.contains("tenant retail;"),
        "{log}"
    );
    assert!(the_week_is_right(&place), "{log}");
    books_balance(&place, &["online-retail"]);
}
