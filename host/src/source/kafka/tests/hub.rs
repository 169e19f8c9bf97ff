//! Members of one client: each sees its own topics, and nothing of what becomes of the others.

use super::*;
use crate::source::kafka::hub::Command;

/// A broker with these topics, of two partitions each, and what the members of one client share.
fn shared(topics: &[&str]) -> (Broker, KafkaClients) {
    let broker = Broker::start().unwrap();
    for topic in topics {
        broker.create_topic(topic, 2).unwrap();
    }
    (broker, KafkaClients::default())
}

fn join(clients: &KafkaClients, broker: &Broker, topic: &str) -> KafkaSource {
    let options = KafkaOptions {
        topics: vec![topic.to_owned()],
        ..options(broker, "one")
    };
    clients.source(&options).unwrap()
}

fn numbers(from: u32, to: u32) -> impl Iterator<Item = String> {
    (from..to).map(|number| format!("{number:05}"))
}

/// Reads until so many records have come, of this topic and this epoch.
async fn read(source: &mut KafkaSource, topic: &str, epoch: u64, count: usize) -> Vec<String> {
    let mut found = Vec::new();
    while found.len() < count {
        match event(source).await {
            Event::Records(records) => {
                assert_eq!((&*records.partition.topic, records.epoch), (topic, epoch));
                found.extend(texts(&[records]));
            }
            Event::CaughtUp => {}
            other => panic!("{other:?}"),
        }
    }
    found.sort();
    found
}

/// Nothing of a rebalance is heard for a while.
async fn is_left_alone(source: &mut KafkaSource) {
    let until = Instant::now() + Duration::from_millis(1_500);
    while let Ok(event) = tokio::time::timeout(
        until.saturating_duration_since(Instant::now()),
        source.next(),
    )
    .await
    {
        let is_calm = matches!(event, Some(Event::CaughtUp | Event::Degraded { .. }));
        assert!(is_calm, "{event:?}");
    }
}

#[tokio::test]
async fn members_of_a_client_see_their_own_topics() {
    let (broker, clients) = shared(&["north", "south"]);
    produce_to(&broker, "north", 2, numbers(0, 100));
    produce_to(&broker, "south", 2, numbers(100, 300));
    let mut north = join(&clients, &broker, "north");
    let mut south = join(&clients, &broker, "south");
    assert!(Arc::ptr_eq(&north.hub, &south.hub));
    let (first, partitions) = assigned(&mut north, Start::At(0)).await;
    assert_eq!(partitions.len(), 2);
    let (second, others) = assigned(&mut south, Start::At(0)).await;
    assert_eq!(others.len(), 2);
    let found = read(&mut north, "north", first, 100).await;
    assert!(found.into_iter().eq(numbers(0, 100)));
    let found = read(&mut south, "south", second, 200).await;
    assert!(found.into_iter().eq(numbers(100, 300)));
    let ends = south.ends().await.unwrap();
    assert!(
        ends.iter()
            .all(|(partition, end)| &*partition.topic == "south" && *end == 100)
    );
    north.close().await;
    south.close().await;
}

#[tokio::test]
async fn one_that_stands_still_holds_no_other() {
    let (broker, clients) = shared(&["north", "south"]);
    produce_to(&broker, "north", 2, numbers(0, 90_000));
    produce_to(&broker, "south", 2, numbers(0, 100));
    let mut north = join(&clients, &broker, "north");
    let (_, _) = assigned(&mut north, Start::At(0)).await;
    // Nothing of it is taken from here on.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let mut south = join(&clients, &broker, "south");
    let (epoch, _) = assigned(&mut south, Start::At(0)).await;
    read(&mut south, "south", epoch, 100).await;
    for round in 0..7 {
        let (from, to) = (100 + round * 100, 200 + round * 100);
        produce_to(&broker, "south", 2, numbers(from, to));
        let since = Instant::now();
        let found = read(&mut south, "south", epoch, 100).await;
        assert!(found.into_iter().eq(numbers(from, to)));
        assert!(since.elapsed() < Duration::from_secs(1), "{since:?}");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    // It has missed nothing, though its partitions were paused meanwhile.
    let mut found = Vec::new();
    while found.len() < 90_000 {
        if let Event::Records(records) = event(&mut north).await {
            found.extend(texts(&[records]));
        }
    }
    found.sort();
    assert!(found.into_iter().eq(numbers(0, 90_000)));
    north.close().await;
    south.close().await;
}

#[tokio::test]
async fn a_restart_is_its_own() {
    let (broker, clients) = shared(&["north", "south"]);
    produce_to(&broker, "north", 2, numbers(0, 100));
    let mut north = join(&clients, &broker, "north");
    let mut south = join(&clients, &broker, "south");
    let (before, _) = assigned(&mut north, Start::At(0)).await;
    let (epoch, _) = assigned(&mut south, Start::At(0)).await;
    assert_eq!(texts(&until_caught_up(&mut north).await).len(), 100);
    north.restart();
    is_left_alone(&mut south).await;
    let (after, _) = assigned(&mut north, Start::At(40)).await;
    assert!(after > before);
    let found = read(&mut north, "north", after, 20).await;
    assert!(found.into_iter().eq(numbers(80, 100)));
    produce_to(&broker, "south", 2, numbers(0, 10));
    read(&mut south, "south", epoch, 10).await;
    north.close().await;
    south.close().await;
}

#[tokio::test]
async fn who_leaves_and_who_joins_disturbs_no_other() {
    let (broker, clients) = shared(&["north", "south", "west"]);
    let mut north = join(&clients, &broker, "north");
    let mut south = join(&clients, &broker, "south");
    assigned(&mut north, Start::At(0)).await;
    let (epoch, _) = assigned(&mut south, Start::At(0)).await;
    let since = Instant::now();
    north.close().await;
    assert!(since.elapsed() < Duration::from_secs(1));
    is_left_alone(&mut south).await;
    let mut west = join(&clients, &broker, "west");
    assert!(Arc::ptr_eq(&west.hub, &south.hub));
    assigned(&mut west, Start::At(0)).await;
    // One that comes back is given what it had.
    let mut north = join(&clients, &broker, "north");
    assigned(&mut north, Start::At(0)).await;
    is_left_alone(&mut south).await;
    produce_to(&broker, "south", 2, numbers(0, 10));
    read(&mut south, "south", epoch, 10).await;
    for source in [north, south, west] {
        source.close().await;
    }
}

#[tokio::test]
async fn one_whose_topic_is_not_there_stops_alone() {
    let (broker, clients) = shared(&["south"]);
    let mut nowhere = join(&clients, &broker, "Nowhere at all");
    let mut south = join(&clients, &broker, "south");
    let Event::Stopped {
        partition: None, ..
    } = event(&mut nowhere).await
    else {
        panic!("a topic of that name can't be");
    };
    let (epoch, _) = assigned(&mut south, Start::At(0)).await;
    produce_to(&broker, "south", 2, numbers(0, 10));
    read(&mut south, "south", epoch, 10).await;
    nowhere.close().await;
    south.close().await;
}

#[tokio::test]
async fn a_topic_has_one_reader_of_a_client() {
    let (broker, clients) = shared(&["north", "south"]);
    let own = options(&broker, "one");
    let read = |topics: &[&str], group: &str| KafkaOptions {
        topics: topics.iter().map(|topic| (*topic).to_owned()).collect(),
        group: group.to_owned(),
        ..own.clone()
    };
    let first = clients.source(&read(&["north"], "shop")).unwrap();
    let second = read(&["south", "north"], "shop");
    assert!(clients.is_read(&second));
    assert!(clients.source_alone(&second).unwrap().is_none());
    let second = clients.source(&second).unwrap();
    assert!(!Arc::ptr_eq(&first.hub, &second.hub));
    // Another group is another client, whatever it reads.
    let other = read(&["south"], "office");
    assert!(!clients.is_read(&other));
    let other = clients.source_alone(&other).unwrap().unwrap();
    assert!(!Arc::ptr_eq(&first.hub, &other.hub));
    first.close().await;
    assert!(!clients.is_read(&read(&["west"], "shop")));
    assert!(clients.is_read(&read(&["north"], "shop")));
    second.close().await;
    assert!(!clients.is_read(&read(&["north"], "shop")));
    other.close().await;
}

#[tokio::test]
async fn a_client_whose_clock_was_set_back_ends_for_all_and_is_made_anew() {
    let (broker, clients) = shared(&["north", "south"]);
    let mut north = join(&clients, &broker, "north");
    let mut south = join(&clients, &broker, "south");
    assigned(&mut north, Start::At(0)).await;
    assigned(&mut south, Start::At(0)).await;
    north.hub.end();
    north.hub.command(Command::Forsake(60));
    for source in [&mut north, &mut south] {
        loop {
            match event(source).await {
                Event::CaughtUp => {}
                Event::Stopped {
                    partition: None,
                    reason: SourceError::ClockSetBack { by: 60 },
                } => break,
                other => panic!("{other:?}"),
            }
        }
    }
    north.close().await;
    let mut again = join(&clients, &broker, "north");
    assert!(!Arc::ptr_eq(&again.hub, &south.hub));
    assigned(&mut again, Start::At(0)).await;
    south.close().await;
    again.close().await;
}
