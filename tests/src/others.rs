use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};

use crate::kafka;
use crate::till::{CLASSIC, Till};

const SHARED: &str = "\"partition.assignment.strategy\" = \"range\"\n";
/// How long others may stand still here, in seconds.
const PATIENCE: u64 = 4;

/// A member of a group that takes the partitions that it is given, and does nothing with them.
struct Idle {
    enough: Arc<AtomicBool>,
    polls: JoinHandle<()>,
}

impl Idle {
    /// It joins, and has what it is given.
    fn of(topic: &str) -> Self {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", kafka::shared().brokers())
            .set("group.id", topic)
            .set("partition.assignment.strategy", "range")
            .set("session.timeout.ms", "6000")
            .set("enable.auto.commit", "false")
            .create()
            .unwrap();
        consumer.subscribe(&[topic]).unwrap();
        let since = Instant::now();
        while consumer.assignment().unwrap().count() == 0 {
            drop(consumer.poll(Duration::from_millis(50)));
            assert!(
                since.elapsed() < Duration::from_secs(60),
                "it is given nothing"
            );
        }
        let enough = Arc::new(AtomicBool::new(false));
        let told = enough.clone();
        let polls = std::thread::spawn(move || {
            while !told.load(Ordering::Relaxed) {
                drop(consumer.poll(Duration::from_millis(50)));
            }
        });
        Self { enough, polls }
    }

    fn leave(self) {
        self.enough.store(true, Ordering::Relaxed);
        self.polls.join().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_to_end_gives_up_on_another_member_that_stands_still_and_says_where() {
    let properties = format!("{CLASSIC}{SHARED}");
    let mut till = Till::new("others", 2, 1, &properties, "earliest").await;
    till.sell(10);
    let idle = Idle::of("others");
    till.place
        .set("ASSAY_PATIENCE_WITH_OTHERS", &PATIENCE.to_string());
    let since = Instant::now();
    let run = [&till.run()[..], &["--until-caught-up"]].concat();
    let said = till.place.assay_under("seed=1", &run).badly();
    let took = since.elapsed();
    assert!(took > Duration::from_secs(PATIENCE), "it took {took:?}");
    for part in [
        "another member of the group has it",
        "stood at offset 0",
        "10 was its end",
    ] {
        assert!(said.contains(part), "{part:?} is not in: {said}");
    }
    // Its own partition is in gold.
    assert_eq!(till.taken().len(), 10);
    idle.leave();
    till.judge();
}
