//! The command itself, run to the end of what there is.

use std::path::Path;
use std::time::{Duration, Instant};

use wait4::Wait4 as _;

use crate::kafka;
use crate::place::Place;

const TOPIC: &str = "sales";
const PARTITIONS: i32 = 8;

/// What one run took.
struct Taken {
    wall: Duration,
    cpu: Duration,
    /// In bytes.
    memory: u64,
    /// The broker's, meanwhile.
    broker: Duration,
}

pub fn heading(events: u64) {
    println!(
        "{events} events with what goes wrong in them, into bronze, quarantine, silver and two gold tables"
    );
    println!(
        "{:<13}{:>9}{:>13}{:>13}{:>12}{:>20}",
        "from", "wall", "events/s", "CPU/event", "peak RSS", "broker's CPU/event"
    );
}

/// Sales, and the truth about them beside.
fn generate(place: &Place, events: u64, more: &[&str]) {
    let events = events.to_string();
    let arguments = ["generate", "sales", "--count", &events];
    let wrong = [
        "--conflicts",
        "0.001",
        "--returns",
        "0.02",
        "--discounts",
        "0.1",
    ];
    place.assay(&[&arguments[..], &wrong, more].concat()).well();
}

pub fn from_file(events: u64, runs: usize) {
    let place = Place::new();
    generate(&place, events, &[]);
    let pipeline = place.retail_from_files(&place.path().join("sales/events"), &[]);
    report("a file", events, runs, &place, &pipeline, || Duration::ZERO);
}

pub async fn from_kafka(events: u64, runs: usize) {
    let place = Place::new();
    let broker = kafka::Kafka::start();
    broker.create_topic(TOPIC, PARTITIONS).await;
    generate(
        &place,
        events,
        &["--kafka", &broker.brokers(), "--topic", TOPIC],
    );
    let pipeline = place.pipeline("retail", &[("localhost:9092", &broker.brokers())]);
    report("Apache Kafka", events, runs, &place, &pipeline, || {
        broker.cpu()
    });
}

/// Runs the pipeline as often as asked for, each time into a lake of its own, and prints what the
/// run with the median CPU time took.
fn report(
    from: &str,
    events: u64,
    runs: usize,
    place: &Place,
    pipeline: &Path,
    broker: impl Fn() -> Duration,
) {
    // Compiled components are kept: their compiling is not what is measured.
    place.assay(&["check", pipeline.to_str().unwrap()]).well();
    let mut taken: Vec<Taken> = (0..runs.max(1))
        .map(|run| {
            let lake = place.path().join(format!("lake-{run}"));
            let before = broker();
            let mut taken = timed(place, pipeline, &lake);
            taken.broker = broker().saturating_sub(before);
            let (lake, truth) = (lake.to_str().unwrap(), "sales/expected.json");
            let said = place.reader("check_expected.py", &[lake, "retail", truth]);
            assert!(said.contains("OK"), "{said}");
            taken
        })
        .collect();
    taken.sort_by_key(|taken| taken.cpu);
    let median = &taken[taken.len() / 2];
    let each = |time: Duration| format!("{:.2} us", time.as_secs_f64() * 1e6 / events as f64);
    println!(
        "{from:<13}{:>7.2} s{:>13.0}{:>13}{:>8} MiB{:>20}",
        median.wall.as_secs_f64(),
        events as f64 / median.wall.as_secs_f64(),
        each(median.cpu),
        median.memory >> 20,
        each(median.broker),
    );
}

fn timed(place: &Place, pipeline: &Path, lake: &Path) -> Taken {
    let run = ["run", pipeline.to_str().unwrap(), "--until-caught-up"];
    let lake = ["--lake", lake.to_str().unwrap()];
    let began = Instant::now();
    let host = place.start(&[&run[..], &lake].concat());
    let ended = host.wait4().unwrap();
    assert!(ended.status.success(), "the run failed: {:?}", ended.status);
    Taken {
        wall: began.elapsed(),
        cpu: ended.rusage.utime + ended.rusage.stime,
        memory: ended.rusage.maxrss,
        broker: Duration::ZERO,
    }
}
