use std::time::{Duration, Instant};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use crate::kafka;
use crate::place::{Host, Place};
use crate::till::Till;

const PARTITIONS: i32 = 4;

/// A topic of the shared broker with generated sales in it, and a pipeline that reads it.
async fn sales(place: &Place, topic: &str, count: u32, seed: u64) -> std::path::PathBuf {
    let broker = kafka::shared();
    broker.create_topic(topic, PARTITIONS).await;
    generate(place, topic, count, seed);
    place.pipeline(
        "retail",
        &[
            ("localhost:9092", &broker.brokers()),
            (
                "topics = [\"sales\"]",
                &format!("topics = [\"{topic}\"]\ngroup = \"{topic}\""),
            ),
            (
                "\n[event]",
                "\n[batch]\nrows = 4000\nevery = \"100ms\"\n\n[event]",
            ),
            ("every = \"5s\"", "every = \"300ms\""),
        ],
    )
}

fn generate(place: &Place, topic: &str, count: u32, seed: u64) {
    let (count, seed) = (count.to_string(), seed.to_string());
    let brokers = kafka::shared().brokers();
    let arguments = [
        "generate",
        "sales",
        "--count",
        &count,
        "--seed",
        &seed,
        "--conflicts",
        "0.002",
        "--returns",
        "0.02",
        "--discounts",
        "0.1",
        "--kafka",
        &brokers,
        "--topic",
        topic,
    ];
    place.assay(&arguments).well();
}

#[tokio::test]
async fn killed_ten_times_at_random_the_tables_end_as_if_nothing_had_been() {
    let place = Place::new();
    let pipeline = sales(&place, "road-killed", 60_000, 5).await;
    let mut random = ChaCha8Rng::seed_from_u64(5);
    for _ in 0..10 {
        let mut host = place.start(&["run", pipeline.to_str().unwrap(), "--until-caught-up"]);
        std::thread::sleep(Duration::from_millis(
            300 + u64::from(random.next_u32() % 2_500),
        ));
        host.kill().unwrap();
        host.wait().unwrap();
    }
    let began = Instant::now();
    place.run_to_the_end(&pipeline);
    place.holds_expected(&[]);
    // A member that is known again need not wait for its own session to end (45 s).
    assert!(
        began.elapsed() < Duration::from_secs(40),
        "it did not rejoin at once"
    );
}

#[tokio::test]
async fn a_member_of_a_name_that_was_killed_waits_until_its_group_lets_go_of_it() {
    let place = Place::new();
    let pipeline = sales(&place, "road-held", 4_000, 6).await;
    let text = std::fs::read_to_string(&pipeline).unwrap();
    let named = "[source.properties]\n\"group.protocol\" = \"consumer\"\n\"group.instance.id\" = \"till-7\"\n\n[batch]";
    std::fs::write(&pipeline, text.replace("[batch]", named)).unwrap();
    let run = ["run", pipeline.to_str().unwrap()];
    let mut host = place.host(&run);
    host.until("it reads", |host| host.log().contains("partition assigned"));
    drop(host);

    let mut host = place.host_on("again", &run);
    let held = "the group still has a member of the name \"till-7\"";
    host.until("its name is held", |host| host.log().contains(held));
    let lake = place.lake();
    let expected = [lake.to_str().unwrap(), "retail", "sales/expected.json"];
    let is_right = || place.try_reader("check_expected.py", &expected).good;
    host.until("everything is in gold", |_| is_right());
    let (ended, log) = host.stop();
    assert!(ended.success(), "{log}");
    place.holds_expected(&[]);
}

#[tokio::test]
async fn a_topic_that_was_made_again_stops_the_tenant_until_it_is_told_to_go_on() {
    let place = Place::new();
    let pipeline = sales(&place, "road-again", 2_000, 1).await;
    place.run_to_the_end(&pipeline);
    let before = place.rows("retail/bronze").len();
    let broker = kafka::shared();
    broker.delete_topic("road-again").await;
    broker.create_topic("road-again", PARTITIONS).await;
    generate(&place, "road-again", 3_000, 2);

    let run = ["run", pipeline.to_str().unwrap(), "--until-caught-up"];
    let said = place.assay(&run).badly();
    assert!(said.contains("deleted and made again"), "{said}");
    assert!(
        said.contains("assay source new-generation retail road-again"),
        "{said}"
    );
    assert_eq!(
        place.rows("retail/bronze").len(),
        before,
        "it took something of the new topic"
    );

    let told = ["source", "new-generation", "retail", "road-again"];
    let more = ["--pipeline", pipeline.to_str().unwrap()];
    place.assay(&[&told[..], &more].concat()).well();
    place.run_to_the_end(&pipeline);
    assert_eq!(place.rows("retail/bronze").len(), before + 3_000);
}

#[tokio::test]
async fn messages_that_expired_unread_stop_the_tenant_until_the_gap_is_accepted() {
    let place = Place::new();
    let pipeline = sales(&place, "road-expired", 2_000, 3).await;
    place.run_to_the_end(&pipeline);
    let taken = place.rows("retail/bronze").len();
    let end = place
        .rows("retail/bronze")
        .iter()
        .filter(|row| row["_partition"] == 0)
        .map(|row| row["_offset"].as_i64().unwrap() + 1)
        .max()
        .unwrap();
    generate(&place, "road-expired", 2_000, 4);
    kafka::shared()
        .delete_records("road-expired", 0, end + 10)
        .await;

    let run = ["run", pipeline.to_str().unwrap(), "--until-caught-up"];
    let said = place.assay(&run).badly();
    assert!(said.contains("expired"), "{said}");
    assert!(said.contains("accept-gap"), "{said}");

    let to = (end + 10).to_string();
    place
        .assay(&[
            "source",
            "accept-gap",
            "retail",
            "road-expired",
            "0",
            "--to",
            &to,
        ])
        .well();
    place.run_to_the_end(&pipeline);
    assert_eq!(place.rows("retail/bronze").len(), taken + 2_000 - 10);
}

#[test]
fn a_missing_topic_and_an_absent_broker_are_clear_errors() {
    let place = Place::new();
    let broker = kafka::shared().brokers();
    let pipeline = place.pipeline(
        "retail",
        &[
            ("localhost:9092", &broker),
            ("topics = [\"sales\"]", "topics = [\"nowhere\"]"),
        ],
    );
    let run = ["run", pipeline.to_str().unwrap(), "--until-caught-up"];
    let said = place.assay(&run).badly();
    assert!(said.contains("nowhere"), "{said}");
    let pipeline = place.pipeline("retail", &[("localhost:9092", "127.0.0.1:1")]);
    let said = place.assay(&["check", pipeline.to_str().unwrap()]);
    assert!(!said.good && said.out.contains("127.0.0.1:1"), "{said:?}");
}

/// A member that was killed keeps its partitions until its session ends, and a run that is to end
/// has others meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_to_end_waits_for_the_partitions_of_a_member_that_was_killed() {
    let newer = "\"group.protocol\" = \"consumer\"\n";
    let mut till = Till::new("road-others", 4, 7, newer, "earliest").await;
    till.sell(5);
    let mut killed = till.place.host_on("killed", &till.run());
    assert!(till.has_all(&mut killed), "{}", killed.said());
    let mut leaves = till.place.host_on("leaves", &till.run());
    let reads = |host: &Host| host.said().contains("partition assigned");
    leaves.until("it has its share", reads);
    till.sell(5);
    assert!(till.has_all(&mut leaves), "{}", leaves.said());
    drop(killed);
    let (ended, log) = leaves.stop();
    assert!(ended.success(), "{log}");
    till.sell(5);
    till.judge();
}
