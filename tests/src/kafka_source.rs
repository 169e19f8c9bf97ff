use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{Array as _, AsArray as _};
use assay::names::Partition;
use assay::source::{
    Event, KafkaOptions, KafkaSource, Producer, Records, Source as _, SourceError, Start,
};
use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use crate::kafka::{self, Kafka};

/// A topic of its own for each test, and a reader of it.
fn options(kafka: &Kafka, topic: &str, instance: &str, more: &[(&str, &str)]) -> KafkaOptions {
    let quick = [
        ("session.timeout.ms", "2000"),
        ("heartbeat.interval.ms", "300"),
        ("topic.metadata.refresh.interval.ms", "500"),
    ];
    // A group of the newer protocol has its times from the broker.
    let quick = if more.contains(&("group.protocol", "consumer")) {
        &quick[2..]
    } else {
        &quick
    };
    KafkaOptions {
        brokers: kafka.brokers(),
        topics: vec![topic.to_owned()],
        group: format!("assay-{topic}"),
        instance: instance.to_owned(),
        properties: quick
            .iter()
            .chain(more)
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        until_caught_up: true,
    }
}

fn source(kafka: &Kafka, topic: &str) -> KafkaSource {
    KafkaSource::new(options(kafka, topic, "one", &[])).unwrap()
}

fn produce(kafka: &Kafka, topic: &str, partitions: i32, texts: impl Iterator<Item = String>) {
    let mut producer = Producer::new(&kafka.brokers(), &BTreeMap::new()).unwrap();
    for (index, text) in texts.enumerate() {
        let partition = i32::try_from(index).unwrap() % partitions;
        producer
            .send_to(topic, Some(partition), None, Some(text.as_bytes()))
            .unwrap();
    }
    producer.flush().unwrap();
}

fn numbers(from: i32, to: i32) -> impl Iterator<Item = String> {
    (from..to).map(|number| number.to_string())
}

/// The next event that a person would not only read about.
async fn event(source: &mut KafkaSource) -> Event {
    loop {
        let next = tokio::time::timeout(Duration::from_secs(60), source.next()).await;
        match next
            .expect("an event in time")
            .expect("a source that goes on")
        {
            Event::Degraded { text } => println!("degraded: {text}"),
            event => return event,
        }
    }
}

async fn assigned(source: &mut KafkaSource, start: Start) -> (u64, Vec<Partition>) {
    loop {
        match event(source).await {
            Event::Assigned {
                epoch,
                partitions,
                starts,
            } => {
                let answer = partitions
                    .iter()
                    .map(|partition| (partition.clone(), start));
                starts.send(answer.collect()).unwrap();
                return (epoch, partitions);
            }
            Event::Revoked { done, .. } => done.send(()).unwrap(),
            Event::CaughtUp | Event::Records(_) => {}
            other @ Event::Stopped { .. } => panic!("{other:?}"),
            Event::Degraded { .. } => unreachable!(),
        }
    }
}

async fn until_caught_up(source: &mut KafkaSource) -> Vec<Records> {
    let mut found = Vec::new();
    loop {
        match event(source).await {
            Event::Records(records) => found.push(records),
            Event::CaughtUp => return found,
            other => panic!("{other:?}"),
        }
    }
}

async fn stopped(source: &mut KafkaSource) -> SourceError {
    loop {
        match event(source).await {
            Event::Stopped { reason, .. } => return reason,
            Event::Records(_) | Event::CaughtUp => {}
            other => panic!("{other:?}"),
        }
    }
}

fn texts(found: &[Records]) -> Vec<String> {
    let mut texts = Vec::new();
    for records in found {
        let raw = records
            .rows
            .column_by_name("_raw")
            .unwrap()
            .as_binary::<i32>();
        texts.extend(
            raw.iter()
                .map(|raw| String::from_utf8_lossy(raw.unwrap()).into_owned()),
        );
    }
    texts
}

#[tokio::test]
async fn every_message_comes_once_and_each_partition_without_a_gap() {
    let kafka = kafka::shared();
    kafka.create_topic("once", 4).await;
    produce(kafka, "once", 4, numbers(0, 100_000));
    let mut source = source(kafka, "once");
    let (_, partitions) = assigned(&mut source, Start::Earliest).await;
    assert_eq!(partitions.len(), 4);
    let found = until_caught_up(&mut source).await;
    let mut at: BTreeMap<Partition, i64> = BTreeMap::new();
    for records in &found {
        let before = at
            .insert(records.partition.clone(), records.to)
            .unwrap_or(0);
        assert_eq!(records.from, before);
    }
    let texts = texts(&found);
    assert_eq!(texts.len(), 100_000);
    assert_eq!(
        texts.into_iter().collect::<BTreeSet<_>>(),
        numbers(0, 100_000).collect()
    );
    let progress: Vec<_> = at.into_iter().collect();
    assert!(source.lag(&progress).await.iter().all(|(_, lag)| *lag == 0));
    source.close().await;
}

#[tokio::test]
async fn headers_keys_and_times_come_along() {
    let kafka = kafka::shared();
    kafka.create_topic("headers", 1).await;
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", kafka.brokers());
    let producer: BaseProducer = config.create().unwrap();
    let headers = OwnedHeaders::new()
        .insert(Header {
            key: "till",
            value: Some("7 \"B\""),
        })
        .insert(Header {
            key: "trace",
            value: Some(&[0xff_u8, 0x01][..]),
        })
        .insert(Header {
            key: "till",
            value: None::<&str>,
        });
    let record = BaseRecord::to("headers")
        .key("k")
        .payload("{}")
        .headers(headers);
    producer.send(record.timestamp(1_740_787_200_123)).unwrap();
    producer.flush(Duration::from_secs(20)).unwrap();
    let mut source = source(kafka, "headers");
    assigned(&mut source, Start::At(0)).await;
    let found = until_caught_up(&mut source).await;
    let rows = &found[0].rows;
    let column = |name| rows.column_by_name(name).unwrap();
    assert_eq!(
        column("_headers").as_string::<i32>().value(0),
        r#"[["till","7 \"B\""],["trace",{"hex":"ff01"}],["till",null]]"#
    );
    assert_eq!(column("_key").as_binary::<i32>().value(0), b"k");
    let times = column("_timestamp").as_primitive::<arrow::datatypes::TimestampMicrosecondType>();
    assert_eq!(times.value(0), 1_740_787_200_123_000);
    source.close().await;
}

#[tokio::test]
async fn a_start_by_time_takes_the_first_record_of_that_moment() {
    let kafka = kafka::shared();
    kafka.create_topic("times", 1).await;
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", kafka.brokers());
    let producer: BaseProducer = config.create().unwrap();
    for (text, millis) in [("a", 1_000), ("b", 2_000), ("c", 3_000)] {
        let record: BaseRecord<'_, str, str> = BaseRecord::to("times").payload(text);
        producer
            .send(record.timestamp(1_740_000_000_000 + millis))
            .unwrap();
    }
    producer.flush(Duration::from_secs(20)).unwrap();
    for (micros, expected) in [
        (1_500_000, 1),
        (2_000_000, 1),
        (2_000_001, 2),
        (9_000_000, 3),
    ] {
        let mut source = source(kafka, "times");
        assigned(&mut source, Start::Time(1_740_000_000_000_000 + micros)).await;
        let found = until_caught_up(&mut source).await;
        assert_eq!(found[0].from, expected, "{micros}");
        source.close().await;
    }
}

#[tokio::test]
async fn a_topic_that_there_is_not_stops_at_once() {
    let kafka = kafka::shared();
    let since = Instant::now();
    let mut source = source(kafka, "nowhere");
    let reason = stopped(&mut source).await;
    assert!(matches!(&reason, SourceError::NoSuchTopic { topic, .. } if topic == "nowhere"));
    assert!(since.elapsed() < Duration::from_secs(10));
    source.close().await;
}

#[tokio::test]
async fn a_topic_that_was_made_again_is_another_source() {
    let kafka = kafka::shared();
    kafka.create_topic("again", 1).await;
    produce(kafka, "again", 1, numbers(0, 3));
    let mut source = source(kafka, "again");
    let (_, partitions) = assigned(&mut source, Start::At(0)).await;
    until_caught_up(&mut source).await;
    assert_eq!(
        source.source_of("again").await.unwrap(),
        partitions[0].source
    );
    kafka.delete_topic("again").await;
    let gone = source.source_of("again").await;
    assert!(
        matches!(gone, Err(SourceError::NoSuchTopic { .. })),
        "{gone:?}"
    );
    kafka.create_topic("again", 1).await;
    assert_ne!(
        source.source_of("again").await.unwrap(),
        partitions[0].source
    );
    source.close().await;
}

#[tokio::test]
async fn a_topic_that_is_deleted_while_it_is_read_stops() {
    let kafka = kafka::shared();
    kafka.create_topic("deleted", 1).await;
    produce(kafka, "deleted", 1, numbers(0, 3));
    let mut source = source(kafka, "deleted");
    assigned(&mut source, Start::At(0)).await;
    until_caught_up(&mut source).await;
    kafka.delete_topic("deleted").await;
    loop {
        match event(&mut source).await {
            // The group may take the partitions away before the client notices, and it may notice
            // before this is answered.
            Event::Revoked { done, .. } => drop(done.send(())),
            Event::Stopped { reason, .. } => {
                assert!(
                    matches!(reason, SourceError::NoSuchTopic { .. }),
                    "{reason}"
                );
                break;
            }
            Event::Records(_) | Event::CaughtUp => {}
            other => panic!("{other:?}"),
        }
    }
    source.close().await;
}

#[tokio::test]
async fn an_offset_that_has_expired_stops_the_partition() {
    let kafka = kafka::shared();
    kafka.create_topic("expired", 1).await;
    produce(kafka, "expired", 1, numbers(0, 10));
    kafka.delete_records("expired", 0, 4).await;
    let mut source = source(kafka, "expired");
    assigned(&mut source, Start::At(3)).await;
    let reason = stopped(&mut source).await;
    assert!(
        matches!(
            reason,
            SourceError::Expired {
                progress: 3,
                begin: 4,
                ..
            }
        ),
        "{reason}"
    );
    source.restart();
    assigned(&mut source, Start::At(4)).await;
    assert_eq!(texts(&until_caught_up(&mut source).await).len(), 6);
    source.close().await;
}

#[tokio::test]
async fn progress_past_the_end_of_the_log_stops_the_partition() {
    let kafka = kafka::shared();
    kafka.create_topic("truncated", 1).await;
    produce(kafka, "truncated", 1, numbers(0, 10));
    let mut source = source(kafka, "truncated");
    assigned(&mut source, Start::At(11)).await;
    let reason = stopped(&mut source).await;
    assert!(
        matches!(
            reason,
            SourceError::Truncated {
                progress: 11,
                end: 10,
                ..
            }
        ),
        "{reason}"
    );
    source.close().await;
}

#[tokio::test]
async fn what_was_rolled_back_is_a_hole_that_is_read_over() {
    let kafka = kafka::shared();
    kafka.create_topic("rolled-back", 1).await;
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", kafka.brokers())
        .set("transactional.id", "till");
    let producer: BaseProducer = config.create().unwrap();
    let patience = Duration::from_secs(30);
    producer.init_transactions(patience).unwrap();
    for (text, commit) in [("kept", true), ("rolled back", false)] {
        producer.begin_transaction().unwrap();
        let record: BaseRecord<'_, str, str> = BaseRecord::to("rolled-back").payload(text);
        producer.send(record).unwrap();
        producer.flush(patience).unwrap();
        if commit {
            producer.commit_transaction(patience).unwrap();
        } else {
            producer.abort_transaction(patience).unwrap();
        }
    }
    let mut source = source(kafka, "rolled-back");
    assigned(&mut source, Start::At(0)).await;
    let found = until_caught_up(&mut source).await;
    assert_eq!(texts(&found), ["kept"]);
    // One record and a mark, twice.
    assert_eq!(found.last().unwrap().to, 4);
    source.close().await;
}

#[tokio::test]
async fn a_new_partition_is_read_once_what_is_held_has_landed() {
    let kafka = kafka::shared();
    kafka.create_topic("grows", 1).await;
    produce(kafka, "grows", 1, numbers(0, 3));
    let mut source = source(kafka, "grows");
    let (first, _) = assigned(&mut source, Start::At(0)).await;
    until_caught_up(&mut source).await;
    kafka.add_partitions("grows", 2).await;
    let Event::Revoked {
        epoch,
        partitions,
        done,
    } = event(&mut source).await
    else {
        panic!("what is held must be landed first");
    };
    assert_eq!((epoch, partitions.len()), (first, 1));
    done.send(()).unwrap();
    let (second, partitions) = assigned(&mut source, Start::Earliest).await;
    assert!(second > first);
    assert_eq!(partitions.len(), 2);
    source.close().await;
}

/// Two hosts of a group read everything, each partition by one of them, under this protocol.
async fn two_hosts_share(topic: &str, more: &[(&str, &str)]) {
    let kafka = kafka::shared();
    kafka.create_topic(topic, 4).await;
    produce(kafka, topic, 4, numbers(0, 400));
    let mut one = KafkaSource::new(options(kafka, topic, "one", more)).unwrap();
    let (_, all) = assigned(&mut one, Start::At(0)).await;
    assert_eq!(all.len(), 4);
    assert_eq!(texts(&until_caught_up(&mut one).await).len(), 400);
    let mut two = KafkaSource::new(options(kafka, topic, "two", more)).unwrap();
    let other = tokio::spawn(async move {
        let mut mine = Vec::new();
        while mine.len() < 2 {
            mine = assigned(&mut two, Start::At(90)).await.1;
        }
        (until_caught_up(&mut two).await, two)
    });
    let mut kept = all;
    while kept.len() > 2 {
        kept = assigned(&mut one, Start::At(100)).await.1;
    }
    let (found, two) = other.await.unwrap();
    assert_eq!(texts(&found).len(), 20);
    let moved: BTreeSet<i32> = found
        .iter()
        .map(|records| records.partition.number)
        .collect();
    assert!(
        kept.iter()
            .all(|partition| !moved.contains(&partition.number))
    );
    one.close().await;
    two.close().await;
}

#[tokio::test]
async fn two_hosts_share_a_topic_by_cooperative_rebalances() {
    two_hosts_share("cooperative", &[]).await;
}

#[tokio::test]
async fn two_hosts_share_a_topic_by_eager_rebalances() {
    two_hosts_share("eager", &[("partition.assignment.strategy", "range")]).await;
}

#[tokio::test]
async fn two_hosts_share_a_topic_by_the_brokers_own_assignment() {
    two_hosts_share("by-broker", &[("group.protocol", "consumer")]).await;
}

#[tokio::test]
async fn a_host_that_comes_back_under_its_name_has_its_partitions_at_once() {
    let kafka = kafka::shared();
    kafka.create_topic("rejoin", 2).await;
    produce(kafka, "rejoin", 2, numbers(0, 4));
    let long = [("session.timeout.ms", "45000")];
    let mut source = KafkaSource::new(options(kafka, "rejoin", "one", &long)).unwrap();
    assigned(&mut source, Start::At(0)).await;
    until_caught_up(&mut source).await;
    source.close().await;
    let since = Instant::now();
    let mut source = KafkaSource::new(options(kafka, "rejoin", "one", &long)).unwrap();
    let (_, partitions) = assigned(&mut source, Start::At(2)).await;
    assert_eq!(partitions.len(), 2);
    assert!(
        since.elapsed() < Duration::from_secs(10),
        "{:?}",
        since.elapsed()
    );
    source.close().await;
}

#[tokio::test]
async fn a_second_host_of_the_same_name_stops_the_first() {
    let kafka = kafka::shared();
    kafka.create_topic("twins", 1).await;
    let mut first = source(kafka, "twins");
    assigned(&mut first, Start::At(0)).await;
    until_caught_up(&mut first).await;
    let second = Arc::new(tokio::sync::Mutex::new(source(kafka, "twins")));
    let joined = second.clone();
    tokio::spawn(async move { assigned(&mut *joined.lock().await, Start::At(0)).await });
    loop {
        match event(&mut first).await {
            Event::Revoked { done, .. } => done.send(()).unwrap(),
            Event::Stopped { reason, .. } => {
                assert!(
                    matches!(reason, SourceError::InstanceTaken { .. }),
                    "{reason}"
                );
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    first.close().await;
}

#[tokio::test]
async fn a_broker_that_comes_back_is_read_on_where_it_was_left() {
    let kafka = Kafka::start();
    kafka.create_topic("restart", 1).await;
    produce(&kafka, "restart", 1, numbers(0, 3));
    let mut source = source(&kafka, "restart");
    assigned(&mut source, Start::At(0)).await;
    assert_eq!(until_caught_up(&mut source).await.last().unwrap().to, 3);
    kafka.stop();
    let next = tokio::time::timeout(Duration::from_secs(20), source.next()).await;
    assert!(matches!(next, Ok(Some(Event::Degraded { .. }))), "{next:?}");
    kafka.resume();
    produce(&kafka, "restart", 1, numbers(3, 5));
    let mut found = Vec::new();
    let mut from = 3;
    while found.len() < 2 {
        match event(&mut source).await {
            Event::Records(records) => {
                assert_eq!(records.from, from);
                from = records.to;
                found.extend(texts(&[records]));
            }
            Event::Revoked { done, .. } => done.send(()).unwrap(),
            Event::Assigned {
                partitions, starts, ..
            } => {
                let at = Start::At(from);
                starts
                    .send(partitions.into_iter().map(|p| (p, at)).collect())
                    .unwrap();
            }
            Event::CaughtUp => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(found, ["3", "4"]);
    kafka.stop();
    let since = Instant::now();
    source.close().await;
    assert!(since.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_slow_reader_holds_the_source_back_and_loses_nothing() {
    let kafka = kafka::shared();
    kafka.create_topic("slow", 2).await;
    let text = "x".repeat(1_000);
    produce(kafka, "slow", 2, (0..300_000).map(|_| text.clone()));
    let mut source = source(kafka, "slow");
    assigned(&mut source, Start::At(0)).await;
    // Longer than the source waits before it pauses its partitions.
    tokio::time::sleep(Duration::from_secs(8)).await;
    let found = until_caught_up(&mut source).await;
    let mut at: BTreeMap<i32, i64> = BTreeMap::new();
    for records in &found {
        let before = at.insert(records.partition.number, records.to).unwrap_or(0);
        assert_eq!(records.from, before);
        assert_eq!(records.rows.num_rows() as i64, records.to - records.from);
        assert!(records.rows.column_by_name("_raw").unwrap().null_count() == 0);
    }
    assert_eq!(at, BTreeMap::from([(0, 150_000), (1, 150_000)]));
    source.close().await;
}
