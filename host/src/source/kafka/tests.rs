//! A group member against the broker in the process. What more than one member sees, and what a
//! cluster refuses, needs a real Kafka and is tested with one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{Array as _, AsArray as _};
use arrow::datatypes::Int64Type;

use super::*;
use crate::names::{Offset, Partition};
use crate::source::SourceError;
use crate::source::{Broker, Producer, Records, Source as _, Start};

mod hub;

const TOPIC: &str = "sales";

fn broker(partitions: i32) -> Broker {
    let broker = Broker::start().unwrap();
    broker.create_topic(TOPIC, partitions).unwrap();
    broker
}

fn options(broker: &Broker, instance: &str) -> KafkaOptions {
    KafkaOptions {
        brokers: broker.bootstrap_servers().unwrap(),
        topics: vec![TOPIC.to_owned()],
        group: "assay-test".to_owned(),
        instance: instance.to_owned(),
        properties: [
            ("session.timeout.ms", "6000"),
            ("heartbeat.interval.ms", "500"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into(),
        until_caught_up: true,
    }
}

fn produce(broker: &Broker, partitions: i32, texts: impl Iterator<Item = String>) {
    produce_to(broker, TOPIC, partitions, texts);
}

fn produce_to(broker: &Broker, topic: &str, partitions: i32, texts: impl Iterator<Item = String>) {
    let mut producer =
        Producer::new(&broker.bootstrap_servers().unwrap(), &BTreeMap::new()).unwrap();
    for (index, text) in texts.enumerate() {
        let partition = i32::try_from(index).unwrap() % partitions;
        producer
            .send_to(topic, Some(partition), None, Some(text.as_bytes()))
            .unwrap();
    }
    producer.flush().unwrap();
}

async fn next(source: &mut KafkaSource) -> Event {
    let event = tokio::time::timeout(Duration::from_secs(40), source.next()).await;
    event
        .expect("an event in time")
        .expect("a source that goes on")
}

/// The next event that is not about the broker's ways.
async fn event(source: &mut KafkaSource) -> Event {
    loop {
        match next(source).await {
            Event::Degraded { text } => println!("degraded: {text}"),
            event => return event,
        }
    }
}

async fn assigned(source: &mut KafkaSource, start: Start) -> (u64, Vec<Partition>) {
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
            (epoch, partitions)
        }
        other => panic!("{other:?}"),
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

fn texts(found: &[Records]) -> Vec<String> {
    let mut texts = Vec::new();
    for records in found {
        let raw = records.rows.column(4).as_binary::<i32>();
        texts.extend(
            raw.iter()
                .map(|raw| String::from_utf8_lossy(raw.unwrap()).into_owned()),
        );
    }
    texts
}

#[tokio::test]
async fn every_message_comes_once_and_in_order() {
    let broker = broker(3);
    let sent: BTreeSet<String> = (0..5_000).map(|number| format!("sale {number}")).collect();
    produce(&broker, 3, sent.iter().cloned());
    let mut source = KafkaSource::new(options(&broker, "one")).unwrap();
    let (epoch, partitions) = assigned(&mut source, Start::Earliest).await;
    assert_eq!(partitions.len(), 3);
    let found = until_caught_up(&mut source).await;
    let mut at: BTreeMap<Partition, Offset> = BTreeMap::new();
    for records in &found {
        assert_eq!(records.epoch, epoch);
        let expected = at
            .insert(records.partition.clone(), records.to)
            .unwrap_or(0);
        assert_eq!(records.from, expected);
        let offsets = records.rows.column(0).as_primitive::<Int64Type>();
        assert!(
            offsets
                .values()
                .iter()
                .copied()
                .eq(records.from..records.to)
        );
    }
    let texts = texts(&found);
    assert_eq!(texts.len(), sent.len());
    assert_eq!(texts.into_iter().collect::<BTreeSet<_>>(), sent);
    let progress: Vec<_> = at.into_iter().collect();
    source.commit_for_monitors(&progress).await;
    assert!(source.lag(&progress).await.iter().all(|(_, lag)| *lag == 0));
    let id = source.source_of(TOPIC).await.unwrap();
    assert!(partitions.iter().all(|partition| partition.source == id));
    source.close().await;
}

#[tokio::test]
async fn a_restart_goes_back_to_where_the_tables_stand() {
    let broker = broker(1);
    produce(&broker, 1, (0..100).map(|number| number.to_string()));
    let mut source = KafkaSource::new(options(&broker, "one")).unwrap();
    let (first, _) = assigned(&mut source, Start::At(0)).await;
    assert_eq!(texts(&until_caught_up(&mut source).await).len(), 100);
    source.restart();
    let (second, _) = assigned(&mut source, Start::At(97)).await;
    assert!(second > first);
    let found = until_caught_up(&mut source).await;
    assert_eq!(texts(&found), ["97", "98", "99"]);
    assert!(found.iter().all(|records| records.epoch == second));
    source.close().await;
}

#[tokio::test]
async fn nothing_is_read_before_the_start_is_known() {
    let broker = broker(1);
    produce(&broker, 1, (0..3).map(|number| number.to_string()));
    let mut source = KafkaSource::new(options(&broker, "one")).unwrap();
    let Event::Assigned {
        partitions, starts, ..
    } = event(&mut source).await
    else {
        panic!("the first event must ask for the starts");
    };
    let early = tokio::time::timeout(Duration::from_millis(500), source.next()).await;
    assert!(early.is_err(), "{early:?}");
    starts
        .send(vec![(partitions[0].clone(), Start::Latest)])
        .unwrap();
    let found = until_caught_up(&mut source).await;
    let [start] = &found[..] else {
        panic!("{found:?}");
    };
    assert_eq!((start.from, start.to, start.rows.num_rows()), (3, 3, 0));
    source.close().await;
}

#[tokio::test]
async fn progress_that_the_topic_does_not_have_stops_the_partition() {
    let broker = broker(1);
    produce(&broker, 1, (0..3).map(|number| number.to_string()));
    let mut source = KafkaSource::new(options(&broker, "one")).unwrap();
    assigned(&mut source, Start::At(4)).await;
    match event(&mut source).await {
        Event::Stopped {
            partition: Some(partition),
            reason: SourceError::Truncated { progress, end, .. },
        } => assert_eq!((partition.number, progress, end), (0, 4, 3)),
        other => panic!("{other:?}"),
    }
    source.close().await;
}

#[tokio::test]
async fn a_message_without_a_payload_is_a_row_with_a_null() {
    let broker = broker(1);
    let mut producer =
        Producer::new(&broker.bootstrap_servers().unwrap(), &BTreeMap::new()).unwrap();
    producer.send(TOPIC, Some(b"till"), None).unwrap();
    producer.flush().unwrap();
    let mut source = KafkaSource::new(options(&broker, "one")).unwrap();
    assigned(&mut source, Start::At(0)).await;
    let found = until_caught_up(&mut source).await;
    let rows = &found[0].rows;
    assert!(rows.column(1).is_valid(0));
    assert_eq!(rows.column(2).as_binary::<i32>().value(0), b"till");
    assert!(rows.column(3).is_null(0));
    assert!(rows.column(4).is_null(0));
    source.close().await;
}

#[tokio::test]
async fn a_topics_partitions_and_their_bounds_can_be_asked_for() {
    let broker = broker(2);
    produce(&broker, 1, (0..3).map(|number| number.to_string()));
    let brokers = broker.bootstrap_servers().unwrap();
    let found = partitions_of(&brokers, &[TOPIC.to_owned()], &BTreeMap::new())
        .await
        .unwrap();
    assert_eq!(found, [(TOPIC.to_owned(), 2)]);
    let found = bounds(&brokers, TOPIC, &BTreeMap::new()).await.unwrap();
    let ends: Vec<_> = found
        .iter()
        .map(|(p, begin, end)| (p.number, *begin, *end))
        .collect();
    assert_eq!(ends, [(0, 0, 3), (1, 0, 0)]);
    assert!(
        found
            .iter()
            .all(|(partition, ..)| &*partition.source != NO_ID)
    );
}

#[tokio::test]
async fn a_broker_that_is_away_is_reported_and_does_not_hang_the_close() {
    let broker = broker(1);
    let mut options = options(&broker, "one");
    options.brokers = "127.0.0.1:1".to_owned();
    let mut source = KafkaSource::new(options).unwrap();
    assert!(matches!(next(&mut source).await, Event::Degraded { .. }));
    let since = Instant::now();
    source.close().await;
    assert!(since.elapsed() < FAREWELL + Duration::from_secs(2));
    let error = partitions_of("127.0.0.1:1", &[TOPIC.to_owned()], &BTreeMap::new()).await;
    assert!(error.unwrap_err().is_transient());
}
