use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::kafka;
use crate::place::{Place, told};

const PARTITIONS: i32 = 8;
/// What a host may take, in MiB, however long its lake is silent: 512, and what a debug build's
/// larger code takes beside a release's.
const MOST_MEMORY: u64 = 640;
/// Within which a host that is told to stop has to be gone.
const FAREWELL: Duration = Duration::from_secs(10);

/// A topic that is full of sales, and the pipeline that reads it.
async fn sales(place: &Place, topic: &str, count: u64) -> PathBuf {
    let broker = kafka::shared();
    broker.create_topic(topic, PARTITIONS).await;
    let (count, brokers) = (count.to_string(), broker.brokers());
    let arguments = ["generate", "sales", "--count", &count, "--ids"];
    let target = ["--kafka", &brokers, "--topic", topic];
    place.assay(&[&arguments[..], &target].concat()).well();
    place.pipeline(
        "retail",
        &[
            ("localhost:9092", &brokers),
            (
                "topics = [\"sales\"]",
                &format!("topics = [\"{topic}\"]\ngroup = \"{topic}\""),
            ),
        ],
    )
}

/// `ASSAY_SILENCE_SECONDS` says for how long, `ASSAY_SILENCE_EVENTS` how many wait meanwhile, and
/// `ASSAY_SILENCE_FROM` how many milliseconds after its start the host must read, 2,500 without it.
#[tokio::test]
async fn a_lake_that_does_not_answer_for_long_costs_bounded_memory_and_the_host_goes_on_by_itself()
{
    let place = Place::new();
    let seconds = told("ASSAY_SILENCE_SECONDS").unwrap_or(8);
    let count = told("ASSAY_SILENCE_EVENTS").unwrap_or(200_000);
    let pipeline = sales(&place, "silence", count).await;
    let from = told("ASSAY_SILENCE_FROM").unwrap_or(2_500);
    let silence = format!("silent-from-ms={from},silent-ms={}", seconds * 1_000);
    let mut host = place.host_under(&silence, &["run", pipeline.to_str().unwrap()]);
    host.until("it reads", |host| host.log().contains("partition assigned"));
    std::thread::sleep(Duration::from_millis(from) + Duration::from_secs(seconds));
    let meanwhile = host.most_memory();
    let lake = place.lake();
    let bronze = || place.columns("retail/bronze", &["_offset"]).len() as u64;
    let taken = bronze();
    assert!(
        taken < count,
        "all was taken in before the lake fell silent"
    );

    let since = Instant::now();
    let (most, expected) = (seconds + 240, "sales/expected.json");
    let is_right = || {
        let arguments = [
            lake.to_str().unwrap(),
            "retail",
            expected,
            "--ids",
            "sales/expected-ids.csv",
        ];
        place.try_reader("check_expected.py", &arguments).good
    };
    while bronze() < count || !is_right() {
        assert!(host.ended().is_none(), "{}", host.log());
        assert!(
            since.elapsed() < Duration::from_secs(most),
            "{}",
            host.log()
        );
        std::thread::sleep(Duration::from_secs(1));
    }
    let memory = host.most_memory();
    let (ended, log) = host.stop();
    assert!(ended.success(), "{log}");
    crate::chaos::say(&format!(
        "silence: {seconds} s after {taken} of {count} events: {meanwhile} MiB at its end, {memory} MiB at most; 0 lost, 0 doubled"
    ));
    assert!(memory < MOST_MEMORY, "{memory} MiB");
}

#[tokio::test]
async fn a_host_is_gone_in_time_though_its_lake_does_not_answer() {
    let place = Place::new();
    let pipeline = sales(&place, "silence-stop", 30_000).await;
    let silence = "silent-from-ms=2500,silent-ms=600000";
    let mut host = place.host_under(silence, &["run", pipeline.to_str().unwrap()]);
    host.until("it reads", |host| host.log().contains("partition assigned"));
    std::thread::sleep(Duration::from_secs(4));
    let since = Instant::now();
    let (ended, log) = host.stop();
    let took = since.elapsed();
    assert!(took < FAREWELL, "it took {took:?}\n{log}");
    assert!(ended.success(), "{ended}\n{log}");
    assert!(log.contains("nothing is lost"), "{log}");
    place.run_to_the_end(&pipeline);
    let lake = place.lake();
    let arguments = [lake.to_str().unwrap(), "retail", "sales/expected.json"];
    place.reader("check_expected.py", &arguments);
}
