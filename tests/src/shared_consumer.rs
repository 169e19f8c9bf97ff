use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use assay::source::Producer;

use crate::guest::around;
use crate::kafka;
use crate::place::{Host, Place};
use crate::till::CLASSIC;

const PARTITIONS: usize = 3;
/// How long rows may take into silver where nobody waits for anybody.
const SOON: Duration = Duration::from_secs(60);
/// How long the component loops, twice, before its tenant stops: longer than all that is waited for
/// meanwhile.
const DEADLINE: &str = "5m";

/// Tenants of one host, a topic each, in one consumer group.
struct Market {
    place: Place,
    group: String,
    properties: String,
    producer: Producer,
    /// How many sales each tenant's topic has.
    sold: BTreeMap<&'static str, u32>,
}

impl Market {
    async fn new(group: &str, properties: &str, tenants: &[&'static str]) -> Self {
        let broker = kafka::shared();
        for tenant in tenants {
            broker.create_topic(&format!("{group}-{tenant}"), 3).await;
        }
        Self {
            place: Place::new(),
            group: group.to_owned(),
            properties: properties.to_owned(),
            producer: Producer::new(&broker.brokers(), &BTreeMap::new()).unwrap(),
            sold: BTreeMap::new(),
        }
    }

    /// A tenant's TOML comes into the folder.
    fn open(&self, tenant: &str, more: &str) -> PathBuf {
        let (brokers, group) = (kafka::shared().brokers(), &self.group);
        let properties = &self.properties;
        let toml = format!(
            "version = 1\ntenant = \"{tenant}\"\n[source]\nkind = \"kafka\"\n\
             brokers = \"{brokers}\"\ntopics = [\"{group}-{tenant}\"]\n\
             [source.properties]\n{properties}\n[batch]\nrows = 50\nevery = \"50ms\"\n{more}\n\
             [event.fields]\ntransaction_id = \"string\"\nquantity = \"integer\"\n\
             timestamp = \"timestamp\"\n"
        );
        self.place.write(&format!("tenants/{tenant}.toml"), toml)
    }

    fn run(&self) -> Host {
        let group = ["--group", &self.group];
        self.place.host(&[&["run", "tenants"][..], &group].concat())
    }

    /// Sells so often into each partition of a tenant's topic.
    fn sell(&mut self, tenant: &'static str, count: u32, quantity: u32) {
        let topic = format!("{}-{tenant}", self.group);
        let sold = self.sold.entry(tenant).or_default();
        for partition in 0..PARTITIONS {
            for _ in 0..count {
                let sale = format!(
                    r#"{{"transaction_id":"T{sold}","quantity":{quantity},"timestamp":"2025-03-01T10:00:00Z"}}"#
                );
                let number = Some(i32::try_from(partition).unwrap());
                let sent = self
                    .producer
                    .send_to(&topic, number, None, Some(sale.as_bytes()));
                sent.unwrap();
                *sold += 1;
            }
        }
        self.producer.flush().unwrap();
    }

    /// The sales of a tenant's table, as often as they are there.
    fn sales(&self, tenant: &str, table: &str) -> Vec<u32> {
        let table = format!("{tenant}/{table}");
        if !self.place.lake().join(&table).join("_delta_log").exists() {
            return Vec::new();
        }
        let rows = self.place.columns(&table, &["transaction_id"]);
        let ids = rows
            .iter()
            .map(|row| row["transaction_id"].as_str().unwrap());
        let mut ids: Vec<u32> = ids.map(|id| id[1..].parse().unwrap()).collect();
        ids.sort_unstable();
        ids
    }

    fn has_each_once(&self, tenant: &'static str) -> bool {
        let sold = 0..self.sold.get(tenant).copied().unwrap_or_default();
        let each_once = |table| self.sales(tenant, table).into_iter().eq(sold.clone());
        // Silver is the last to have it.
        each_once("silver") && each_once("bronze")
    }

    fn until_each_once(&self, host: &Host, tenant: &'static str) {
        let since = Instant::now();
        while !self.has_each_once(tenant) {
            let late = since.elapsed() > SOON;
            assert!(!late, "{tenant} waits\n{}", host.log());
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// How often a tenant was given partitions.
fn times_assigned(host: &Host, tenant: &str) -> usize {
    let log = host.log();
    let own = format!("tenant={tenant}}}");
    let lines = log.lines().filter(|line| line.contains(&own));
    lines
        .filter(|line| line.contains("partition assigned"))
        .count()
}

async fn three_tenants_share(group: &str, properties: &str) {
    let tenants = ["looping", "steady", "leaving", "joining"];
    let mut market = Market::new(group, properties, &tenants).await;
    let wasm = around("validator", "(loop $ever (br $ever))", "");
    market.place.write("tenants/looping.wasm", wasm);
    let fuel = "9000000000000000";
    let limits = format!(
        "[limits]\nfuel = {fuel}\ndeadline = \"{DEADLINE}\"\n\
         [[validate]]\ncomponent = \"looping.wasm\""
    );
    market.open("looping", &limits);
    market.open("steady", "");
    let leaving = market.open("leaving", "");
    let mut host = market.run();
    for tenant in ["looping", "steady", "leaving"] {
        host.until("each is given its partitions", |host| {
            times_assigned(host, tenant) >= PARTITIONS
        });
    }
    assert_eq!(host.threads("rdk:main"), 1, "all read by one client");

    // One loops, with much behind it; the others do not wait for it.
    market.sell("looping", 20_000, 13);
    for _ in 0..3 {
        for tenant in ["steady", "leaving"] {
            market.sell(tenant, 100, 1);
            market.until_each_once(&host, tenant);
        }
    }

    // One leaves and one joins while rows flow.
    std::fs::remove_file(leaving).unwrap();
    for _ in 0..20 {
        market.sell("steady", 10, 1);
        std::thread::sleep(Duration::from_millis(100));
    }
    host.until("it is let go of", |host| host.log().contains("let go of"));
    market.open("joining", "");
    market.sell("joining", 100, 1);
    for _ in 0..20 {
        market.sell("steady", 10, 1);
        std::thread::sleep(Duration::from_millis(100));
    }
    market.until_each_once(&host, "joining");
    market.until_each_once(&host, "steady");
    assert_eq!(
        times_assigned(&host, "steady"),
        PARTITIONS,
        "{}",
        host.log()
    );
    assert!(!market.has_each_once("looping"), "it was to loop");

    let since = Instant::now();
    let (ended, log) = host.stop();
    assert!(ended.success(), "{log}");
    assert!(since.elapsed() < Duration::from_secs(10), "{log}");
    for tenant in ["steady", "leaving", "joining"] {
        assert!(market.has_each_once(tenant), "{tenant}\n{log}");
    }
}

#[tokio::test]
async fn one_consumer_reads_for_all_and_nobody_waits_for_another() {
    three_tenants_share("shared-cooperative", CLASSIC).await;
}

#[tokio::test]
async fn so_it_does_by_the_brokers_own_assignment() {
    three_tenants_share("shared-consumer", "\"group.protocol\" = \"consumer\"\n").await;
}

/// A host that was known to its group by fewer topics is given those that are new.
#[tokio::test]
async fn a_tenant_that_came_while_the_host_was_away_is_read() {
    // A member of that name would be missed within the test, were it not for this.
    let long = "\"session.timeout.ms\" = \"45000\"\n";
    let mut market = Market::new("shared-away", long, &["first", "second"]).await;
    market.open("first", "");
    let mut host = market.run();
    market.sell("first", 10, 1);
    host.until("it reads", |host| {
        times_assigned(host, "first") >= PARTITIONS
    });
    market.until_each_once(&host, "first");
    let (ended, log) = host.stop();
    assert!(ended.success(), "{log}");
    market.open("second", "");
    market.sell("second", 10, 1);
    market.sell("first", 10, 1);
    let host = market.run();
    market.until_each_once(&host, "second");
    market.until_each_once(&host, "first");
}

/// Two that read one topic, in the host's own group: each has all of it.
#[tokio::test]
async fn two_tenants_of_a_topic_both_have_all_of_it() {
    let mut market = Market::new("shared-twice", CLASSIC, &["first"]).await;
    let first = market.open("first", "");
    let second = std::fs::read_to_string(first).unwrap();
    let second = second.replace("tenant = \"first\"", "tenant = \"second\"");
    market.place.write("tenants/second.toml", second);
    market.sell("first", 50, 1);
    let host = market.run();
    market.until_each_once(&host, "first");
    market.sold.insert("second", market.sold["first"]);
    market.until_each_once(&host, "second");
    assert!(
        host.log().contains("in a group of its own"),
        "{}",
        host.log()
    );
}
