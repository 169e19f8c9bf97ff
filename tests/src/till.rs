//! A till that sells into a Kafka topic of its own, and remembers every sale, so that each can be
//! looked for where it belongs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use assay::source::Producer;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use crate::kafka;
use crate::place::{Host, Place};
use crate::rules_swap::sale;

/// How long hosts may take for what is waited for, where everything else runs too.
const PATIENCE: Duration = Duration::from_secs(90);
/// Members that are gone are missed soon, and topics that change are seen soon.
pub const CLASSIC: &str = r#""session.timeout.ms" = "3000"
"heartbeat.interval.ms" = "500"
"topic.metadata.refresh.interval.ms" = "500"
"#;

/// A topic of the shared broker, the sales in it, and a tenant that reads it.
pub struct Till {
    pub place: Place,
    pub topic: String,
    pub pipeline: PathBuf,
    pub random: ChaCha8Rng,
    /// The sales of each partition, in the order of their offsets.
    pub sent: Vec<Vec<u32>>,
    /// The sales that the tables must hold.
    pub expected: BTreeSet<u32>,
    /// Those that came again: quarantine has them, as often.
    pub repeated: Vec<u32>,
    producer: Producer,
    next: u32,
}

impl Till {
    /// `properties` are librdkafka's, as in a TOML; `start` is where a topic begins.
    pub async fn new(
        topic: &str,
        partitions: usize,
        seed: u64,
        properties: &str,
        start: &str,
    ) -> Self {
        let place = Place::new();
        let broker = kafka::shared();
        let brokers = broker.brokers();
        let count = i32::try_from(partitions).unwrap();
        broker.create_topic(topic, count).await;
        let event = format!(
            "\n[source.properties]\n{properties}\n[batch]\nrows = 50\nevery = \"50ms\"\n\n[event]"
        );
        let named = format!("topics = [\"{topic}\"]\ngroup = \"{topic}\"");
        let pipeline = place.pipeline(
            "retail",
            &[
                ("localhost:9092", &brokers),
                ("topics = [\"sales\"]", &named),
                ("start = \"earliest\"", &format!("start = \"{start}\"")),
                ("\n[event]", &event),
                ("every = \"5s\"", "every = \"200ms\""),
            ],
        );
        Self {
            producer: Producer::new(&brokers, &BTreeMap::new()).unwrap(),
            place,
            topic: topic.to_owned(),
            pipeline,
            random: ChaCha8Rng::seed_from_u64(seed),
            sent: vec![Vec::new(); partitions],
            expected: BTreeSet::new(),
            repeated: Vec::new(),
            next: 0,
        }
    }

    /// The topic is deleted, and made again with as many partitions.
    pub async fn make_again(&mut self) {
        let (broker, partitions) = (kafka::shared(), self.sent.len());
        broker.delete_topic(&self.topic).await;
        let count = i32::try_from(partitions).unwrap();
        broker.create_topic(&self.topic, count).await;
        self.sent = vec![Vec::new(); partitions];
        // A producer that knew the old one counts on where it was.
        self.producer = Producer::new(&broker.brokers(), &BTreeMap::new()).unwrap();
    }

    /// The topic gets one more partition.
    pub async fn grow(&mut self) {
        let broker = kafka::shared();
        self.sent.push(Vec::new());
        broker.add_partitions(&self.topic, self.sent.len()).await;
        // A producer that knew the topic would not know it at once.
        self.producer = Producer::new(&broker.brokers(), &BTreeMap::new()).unwrap();
    }

    pub fn below(&mut self, end: u32) -> u32 {
        self.random.next_u32() % end
    }

    /// Sells so often into one partition.
    pub fn sell_into(&mut self, partition: usize, count: u32) {
        for id in self.next..self.next + count {
            let number = Some(i32::try_from(partition).unwrap());
            let sale = sale(id);
            let sent = self
                .producer
                .send_to(&self.topic, number, None, Some(sale.as_bytes()));
            sent.unwrap();
            self.sent[partition].push(id);
            self.expected.insert(id);
        }
        self.next += count;
        self.producer.flush().unwrap();
    }

    /// Sells something that was sold before.
    pub fn sell_again(&mut self) {
        let known: Vec<u32> = self.expected.iter().copied().collect();
        let id = known[self.below(u32::try_from(known.len()).unwrap()) as usize];
        let sale = sale(id);
        let sent = self
            .producer
            .send_to(&self.topic, Some(0), None, Some(sale.as_bytes()));
        sent.unwrap();
        self.producer.flush().unwrap();
        self.repeated.push(id);
    }

    /// Sells so often into each partition.
    pub fn sell(&mut self, count: u32) {
        (0..self.sent.len()).for_each(|partition| self.sell_into(partition, count));
    }

    /// What runs the tenant.
    pub fn run(&self) -> [&str; 2] {
        ["run", self.pipeline.to_str().unwrap()]
    }

    /// Runs the tenant until it can't go on. Answers with what it says.
    pub fn fails(&self) -> String {
        let run = [&self.run()[..], &["--until-caught-up"]].concat();
        self.place.assay(&run).badly()
    }

    /// The sales that bronze has taken in.
    pub fn taken(&self) -> BTreeSet<u32> {
        ids_in(&self.place, "retail/bronze").into_iter().collect()
    }

    /// Waits until bronze has every sale, or the host ends; whether it has them.
    pub fn has_all(&self, host: &mut Host) -> bool {
        let since = Instant::now();
        while self.taken() != self.expected {
            if host.ended().is_some() {
                return false;
            }
            let late = since.elapsed() > PATIENCE;
            assert!(!late, "not everything comes in\n{}", host.said());
            std::thread::sleep(Duration::from_millis(200));
        }
        true
    }

    /// Everything comes in, in calm, and each sale is once in bronze and in silver, and nothing
    /// else; gold is the fold of silver.
    pub fn judge(&self) {
        self.place.run_to_the_end(&self.pipeline);
        self.has_each_once();
    }

    pub fn has_each_once(&self) {
        has_each_once(&self.place, &self.expected, &self.repeated);
    }
}

/// The sales that gold has counted.
pub fn counted(place: &Place) -> i64 {
    let rows = place.rows_if_any("retail/gold/daily_sales");
    rows.iter().filter_map(|row| row["sales"].as_i64()).sum()
}

/// The sales of a table of the tenant `retail`, as often as they are there.
fn ids_in(place: &Place, table: &str) -> Vec<u32> {
    let column = "transaction_id";
    if !place.lake().join(table).join("_delta_log").exists() {
        return Vec::new();
    }
    let rows = place.columns(table, &[column]);
    let ids = rows
        .iter()
        .map(|row| row[column].as_str().unwrap()[1..].parse().unwrap());
    let mut ids: Vec<u32> = ids.collect();
    ids.sort_unstable();
    ids
}

/// Each sale is once in bronze and in silver, and those that came again are in quarantine.
pub fn has_each_once(place: &Place, expected: &BTreeSet<u32>, repeated: &[u32]) {
    let sorted = |ids: &mut dyn Iterator<Item = u32>| {
        let mut ids: Vec<u32> = ids.collect();
        ids.sort_unstable();
        ids
    };
    let once = sorted(&mut expected.iter().copied());
    let again = sorted(&mut repeated.iter().copied());
    let all = sorted(&mut once.iter().chain(&again).copied());
    // Of duplicates, quarantine keeps no payload; which they are is what `assay verify` looks at.
    let refused = place.columns("retail/quarantine", &["rule"]);
    assert_eq!(refused.len(), again.len(), "{refused:?}");
    assert!(refused.iter().all(|row| row["rule"] == "duplicate"));
    for (table, wanted) in [("retail/bronze", all), ("retail/silver", once)] {
        let found = ids_in(place, table);
        let lost: Vec<_> = wanted.iter().filter(|id| !found.contains(id)).collect();
        let strange: Vec<_> = found.iter().filter(|id| !wanted.contains(id)).collect();
        assert!(
            found == wanted,
            "{table}: {} of {}; lost {lost:?}, never sold {strange:?}",
            found.len(),
            wanted.len()
        );
    }
}
