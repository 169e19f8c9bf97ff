//! `ASSAY_TOPICS_TIMES` says how often each thing happens to a topic, `ASSAY_TOPICS_SEED` where to
//! begin. Every other time a host runs meanwhile, else it starts behind it.

use crate::chaos::say;
use crate::kafka;
use crate::place::{Host, told};
use crate::till::{CLASSIC, Till};

const PARTITIONS: usize = 2;

fn times() -> u64 {
    told("ASSAY_TOPICS_TIMES").unwrap_or(1)
}

async fn till(topic: &str, start: &str) -> Till {
    let seed = told("ASSAY_TOPICS_SEED").unwrap_or(1);
    Till::new(topic, PARTITIONS, seed, CLASSIC, start).await
}

/// A host that has taken in everything so far.
fn host(till: &Till) -> Host {
    let mut host = till.place.host(&till.run());
    assert!(till.has_all(&mut host), "{}", host.said());
    host
}

fn text(till: &Till) -> [String; 2] {
    let pipeline = till.pipeline.to_str().unwrap().to_owned();
    [till.topic.clone(), pipeline]
}

/// The topic is made again with fewer messages than before in each partition, or with more: where
/// there are more, offsets alone would tell nothing.
async fn is_made_again(till: &mut Till, longer: bool, live: bool) {
    let more = 20 + till.below(40);
    till.sell(more);
    let mut host = if live {
        Some(host(till))
    } else {
        till.judge();
        None
    };
    let before: Vec<u32> = till.sent.iter().map(|sent| sent.len() as u32).collect();
    let taken = till.expected.clone();
    till.make_again().await;
    for (partition, before) in before.into_iter().enumerate() {
        let count = match longer {
            true => before + 1 + till.below(20),
            false => till.below(before),
        };
        till.sell_into(partition, count);
    }
    if let Some(host) = &mut host {
        host.ends("the topic is another");
        let said = host.said();
        let loud = said.contains("deleted and made again") || said.contains("there is no topic");
        assert!(loud, "{said}");
    }
    let [topic, pipeline] = text(till);
    let said = till.fails();
    let advice = format!("assay source new-generation retail {topic}");
    assert!(said.contains("deleted and made again"), "{said}");
    assert!(said.contains(&advice), "{said}");
    assert_eq!(till.taken(), taken, "something of the new topic was taken");
    let told = ["source", "new-generation", "retail", &topic];
    let told = [&told[..], &["--pipeline", &pipeline]].concat();
    till.place.assay(&told).well();
    till.judge();
}

async fn is_made_again_often(topic: &str, longer: bool) {
    let mut till = till(topic, "earliest").await;
    for round in 0..times() {
        is_made_again(&mut till, longer, round % 2 == 0).await;
    }
    say(&format!(
        "{topic}: made again {} times, each a loud stop; {} sales, each once",
        times(),
        till.expected.len()
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_made_again_with_fewer_messages_stops_until_it_is_accepted() {
    is_made_again_often("made-shorter", false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_made_again_with_more_messages_stops_until_it_is_accepted() {
    is_made_again_often("made-longer", true).await;
}

/// Messages of a partition expire that were not read; a host that runs is frozen meanwhile, and
/// may have some of them at hand. Whether it stopped.
async fn expires(till: &mut Till, live: bool) -> bool {
    let some = 5 + till.below(20);
    till.sell(some);
    let mut host = if live {
        Some(host(till))
    } else {
        till.judge();
        None
    };
    if let Some(host) = &host {
        host.signal("STOP");
    }
    let end = till.sent[0].len();
    let unread = 12 + till.below(20);
    till.sell_into(0, unread);
    till.sell_into(1, 3);
    let keep = end + 1 + till.below(unread) as usize;
    let keep_offset = i64::try_from(keep).unwrap();
    kafka::shared()
        .delete_records(&till.topic, 0, keep_offset)
        .await;
    let said = match &mut host {
        Some(host) => {
            host.signal("CONT");
            if till.has_all(host) {
                return false;
            }
            host.said()
        }
        None => till.fails(),
    };
    assert!(said.contains("expired"), "{said}");
    assert!(said.contains("accept-gap"), "{said}");
    let taken = till.taken();
    let (expired, kept) = till.sent[0].split_at(keep);
    assert!(
        kept.iter().all(|id| !taken.contains(id)),
        "something was taken from behind the gap"
    );
    let lost: Vec<u32> = expired
        .iter()
        .copied()
        .filter(|id| !taken.contains(id))
        .collect();
    assert!(!lost.is_empty(), "it stopped without a gap");
    till.expected.retain(|id| !lost.contains(id));
    let (topic, keep) = (till.topic.clone(), keep.to_string());
    let told = ["source", "accept-gap", "retail", &topic, "0", "--to", &keep];
    till.place.assay(&told).well();
    till.judge();
    true
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_that_expire_unread_stop_the_tenant_and_no_other_is_missed() {
    let mut till = till("expires", "earliest").await;
    let mut stopped = 0;
    for round in 0..times() {
        stopped += u64::from(expires(&mut till, round % 2 == 1).await);
    }
    till.judge();
    say(&format!(
        "expires: {} times, {stopped} loud stops, else it had them at hand; {} sales, each once",
        times(),
        till.expected.len()
    ));
}

/// A pipeline that begins with the latest must not begin there with a partition that is added.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_that_is_added_is_read_from_its_first_message() {
    let mut till = till("added", "latest").await;
    till.judge();
    for round in 0..times() {
        let mut host = (round % 2 == 0).then(|| host(&till));
        till.grow().await;
        let some = 1 + till.below(5);
        till.sell(some);
        match &mut host {
            None => till.judge(),
            Some(host) => assert!(till.has_all(host), "{}", host.said()),
        }
        if let Some(host) = host {
            let (ended, log) = host.stop();
            assert!(ended.success(), "{log}");
            till.has_each_once();
        }
    }
    till.judge();
    say(&format!(
        "added: {} partitions; {} sales, each once",
        times(),
        till.expected.len()
    ));
}
