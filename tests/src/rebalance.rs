//! `ASSAY_REBALANCE_DEATHS` says how often a host dies in a rebalance, all protocols together;
//! `ASSAY_REBALANCE_SEED` where to begin.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::chaos::say;
use crate::place::{Host, told};
use crate::till::{CLASSIC, Till};

const PARTITIONS: usize = 6;
/// The points at which a host dies, as `lake::fault` names them.
const POINTS: [&str; 3] = ["assigned", "revoked", "revoked.landed"];
/// How long a host may live before it comes to its point.
const LIFE: Duration = Duration::from_secs(90);

/// How a group's members share partitions, in a topic's name and as librdkafka's property.
const PROTOCOLS: [(&str, &str); 3] = [
    ("eager", "\"partition.assignment.strategy\" = \"range\"\n"),
    (
        "cooperative",
        "\"partition.assignment.strategy\" = \"cooperative-sticky\"\n",
    ),
    ("consumer", "\"group.protocol\" = \"consumer\"\n"),
];

/// A host that comes and goes, so that partitions move.
struct Guest(Option<Host>);

impl Guest {
    fn turn(&mut self, till: &Till) {
        match self.0.take() {
            None => self.0 = Some(till.place.host_on("guest", &till.run())),
            Some(host) => {
                let (ended, log) = host.stop();
                assert!(ended.success(), "{log}");
            }
        }
    }
}

/// A host joins and dies at a point of a rebalance, while sales go on.
fn die(till: &mut Till, guest: &mut Guest, point: &str) {
    let lives = till.below(2);
    let points = format!("{point}={lives}*off->1*return(die)");
    let mut mortal = till.place.mortal_on("mortal", &points, &till.run());
    let since = Instant::now();
    let mut turned = Instant::now();
    while mortal.ended().is_none() {
        till.sell(1);
        let is_in = mortal.said().contains("partition assigned");
        if is_in && turned.elapsed() > Duration::from_secs(2) {
            guest.turn(till);
            turned = Instant::now();
        }
        let late = since.elapsed() > LIFE;
        assert!(!late, "{point} is never passed\n{}", mortal.said());
        std::thread::sleep(Duration::from_millis(100));
    }
    let said = mortal.said();
    assert!(said.contains(&format!("dies at {point}")), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_dies_in_a_rebalance_leaves_each_sale_once() {
    let seed = told("ASSAY_REBALANCE_SEED").unwrap_or(1);
    let deaths = told("ASSAY_REBALANCE_DEATHS").unwrap_or(3);
    let each = usize::try_from(deaths).unwrap().div_ceil(PROTOCOLS.len());
    for (number, (name, protocol)) in PROTOCOLS.into_iter().enumerate() {
        let properties = match name {
            "consumer" => protocol.to_owned(),
            _ => format!("{protocol}{CLASSIC}"),
        };
        let topic = format!("rebalance-{name}");
        let mut till = Till::new(&topic, PARTITIONS, seed, &properties, "earliest").await;
        let mut counted: BTreeMap<&str, u32> = BTreeMap::new();
        let mut steady = till.place.host_on("steady", &till.run());
        let mut guest = Guest(None);
        for round in 0..each {
            let point = POINTS[(number + round) % POINTS.len()];
            die(&mut till, &mut guest, point);
            *counted.entry(point).or_default() += 1;
        }
        assert!(steady.ended().is_none(), "{}", steady.said());
        for host in [Some(steady), guest.0].into_iter().flatten() {
            let (ended, log) = host.stop();
            assert!(ended.success(), "{log}");
        }
        till.judge();
        say(&format!(
            "rebalance: seed {seed}, {name}: deaths {counted:?}; {} sales, each once",
            till.expected.len()
        ));
    }
}
