//! A seed says what happens to whom, and when. `make chaos` runs it for long; `ASSAY_CHAOS_SEED`
//! runs a seed again, `ASSAY_CHAOS_SECONDS` says for how long things happen.
//!
//! What the operating system and the network make of it is not in the seed's hands: the same seed
//! brings the same faults in the same order at the same moments, not the same interleaving.
//!
//! `ASSAY_CHAOS_ONLY` names what alone is to happen, as in `kill` or `stop,broker`: `kill`, `freeze`,
//! `stop` (SIGTERM, and the next time that host joins again), `broker`. `ASSAY_CHAOS_PAUSE` says how
//! many milliseconds lie between, up to twice as many; `ASSAY_CHAOS_AT_ONCE` to how many of the three
//! hosts it happens at once; `ASSAY_CHAOS_RATE` how many events a second are produced meanwhile.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use crate::kafka::Kafka;
use crate::place::{Host, Place, told};
use crate::waits;

const PARTITIONS: i32 = 16;
const MACHINES: usize = 3;
/// Events a second, while things happen.
const RATE: u64 = 1_500;
/// A batch holds so many events at most, or what comes in within so many milliseconds.
const ROWS: u64 = 400;
const EVERY: u64 = 150;
/// After which the group takes a member for gone.
const SESSION: Duration = Duration::from_secs(3);
/// Within which a host that is told to stop has to be gone.
const FAREWELL: Duration = Duration::from_secs(10);

/// No partition that has messages waits longer for its next commit, whatever happens to one host at
/// a time. Where hosts are killed faster than the group notices, one can be moved from a dead host to
/// the next that dies; where the only broker is restarted over and over, there is none for most of the
/// time. So this holds where something else happens too.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// Within which there is a new commit after a restart, in nearly all cases.
const FIRST_COMMIT: Duration = Duration::from_secs(10);
/// What may happen to a host that runs, and how often of ten times.
const THINGS: [(&str, usize); 4] = [("kill", 5), ("freeze", 2), ("stop", 2), ("broker", 1)];

/// How a group's members share partitions.
const PROTOCOLS: [(&str, &str); 3] = [
    ("eager", "\"partition.assignment.strategy\" = \"range\""),
    (
        "cooperative",
        "\"partition.assignment.strategy\" = \"cooperative-sticky\"",
    ),
    ("KIP-848", "\"group.protocol\" = \"consumer\""),
];

/// A tenant's hosts, and what was done to them.
struct Chaos {
    place: Place,
    kafka: Kafka,
    pipeline: PathBuf,
    random: ChaCha8Rng,
    hosts: [Option<Host>; MACHINES],
    done: BTreeMap<&'static str, u32>,
    /// What may happen, as often as it shall.
    things: Vec<&'static str>,
    /// To how many hosts at once.
    at_once: usize,
    /// When a host that had been killed was started again.
    restarts: Vec<SystemTime>,
}

impl Chaos {
    async fn new(seed: u64, rate: u64, protocol: &str) -> Self {
        let place = Place::new();
        let kafka = Kafka::start();
        kafka.create_topic("sales", PARTITIONS).await;
        let properties = match protocol.contains("group.protocol") {
            true => protocol.to_owned(),
            false => {
                let session = SESSION.as_millis();
                format!(
                    "{protocol}\n\"session.timeout.ms\" = \"{session}\"\n\"heartbeat.interval.ms\" = \"500\""
                )
            }
        };
        // What came in while nobody read must be caught up, of all partitions at once: a host may have
        // a second until it is hurt again.
        let rows = ROWS.max(10 * rate);
        let source = format!(
            "\n[source.properties]\n{properties}\n\n[batch]\nrows = {rows}\nevery = \"{EVERY}ms\"\n\n[event]"
        );
        let pipeline = place.pipeline(
            "retail",
            &[
                ("localhost:9092", &kafka.brokers()),
                ("\n[event]", &source),
                ("every = \"5s\"", "every = \"500ms\""),
            ],
        );
        Self {
            place,
            kafka,
            pipeline,
            random: ChaCha8Rng::seed_from_u64(seed),
            hosts: [const { None }; MACHINES],
            done: BTreeMap::new(),
            things: things(),
            at_once: told("ASSAY_CHAOS_AT_ONCE").map_or(1, |hosts| usize::try_from(hosts).unwrap()),
            restarts: Vec::new(),
        }
    }

    fn below(&mut self, end: u32) -> u32 {
        self.random.next_u32() % end
    }

    fn wait(&mut self, least: u64, most: u32) {
        let more = u64::from(self.below(most));
        std::thread::sleep(Duration::from_millis(least + more));
    }

    fn note(&mut self, what: &'static str) {
        *self.done.entry(what).or_default() += 1;
    }

    fn start(&mut self, machine: usize) {
        let run = ["run", self.pipeline.to_str().unwrap()];
        let host = self.place.host_on(&format!("machine-{machine}"), &run);
        self.hosts[machine] = Some(host);
    }

    /// Has a host stop, and holds it to its time. One that has only just begun has no handler yet.
    fn stop(&mut self, machine: usize, what: &'static str) {
        let Some(host) = self.hosts[machine].take() else {
            return;
        };
        let since = Instant::now();
        let (ended, log) = host.stop();
        let took = since.elapsed();
        assert!(took < FAREWELL, "{what}: it took {took:?} to stop\n{log}");
        let killed = ended.code().is_none();
        assert!(ended.success() || killed, "{what}: {ended}\n{log}");
        self.note(what);
    }

    /// Nobody may end by himself.
    fn check_alive(&mut self) {
        for host in self.hosts.iter_mut().flatten() {
            let ended = host.ended();
            assert!(ended.is_none(), "a host ended: {ended:?}\n{}", host.log());
        }
    }

    /// One thing happens.
    fn happen(&mut self) {
        self.check_alive();
        let first = self.below(MACHINES as u32) as usize;
        let what = self.below(u32::try_from(self.things.len()).unwrap());
        let what = self.things[what as usize];
        let machines = (first..first + self.at_once.min(MACHINES)).map(|at| at % MACHINES);
        let (here, gone): (Vec<_>, Vec<_>) =
            machines.partition(|machine| self.hosts[*machine].is_some());
        for machine in gone {
            self.start(machine);
            self.note("joins");
        }
        if here.is_empty() {
            return;
        }
        // A group is not without members because all of them left: another comes first.
        let stays = self.hosts.iter().flatten().count() > here.len();
        let absent = self.hosts.iter().position(Option::is_none);
        if let ("stop", false, Some(absent)) = (what, stays, absent) {
            self.start(absent);
            self.note("joins");
            return;
        }
        match what {
            "kill" => self.kill(&here),
            "freeze" => self.freeze(&here),
            "stop" => here
                .into_iter()
                .for_each(|machine| self.stop(machine, "SIGTERM")),
            _ => {
                self.kafka.stop();
                self.note("broker restarts");
                self.wait(300, 1_500);
                if self.below(2) == 0 {
                    here.into_iter()
                        .for_each(|machine| self.stop(machine, "SIGTERM without a broker"));
                }
                self.kafka.resume();
            }
        }
    }

    fn kill(&mut self, machines: &[usize]) {
        for machine in machines {
            self.hosts[*machine] = None;
            self.note("kill -9");
        }
        self.wait(0, 600);
        for machine in machines {
            self.restarts.push(SystemTime::now());
            self.start(*machine);
        }
    }

    fn freeze(&mut self, machines: &[usize]) {
        for machine in machines {
            self.hosts[*machine].as_ref().unwrap().signal("STOP");
            self.note("SIGSTOP past the session");
        }
        std::thread::sleep(SESSION);
        self.wait(500, 2_000);
        for machine in machines {
            self.hosts[*machine].as_ref().unwrap().signal("CONT");
        }
    }

    fn only(&self, what: &str) -> bool {
        self.things.iter().all(|thing| *thing == what)
    }

    /// Lays what the hosts said where it stays. Answers with where that is.
    fn keep_logs(&self, seed: &str) -> String {
        let folder = std::env::temp_dir().join(format!("assay-chaos-{seed}"));
        std::fs::create_dir_all(&folder).unwrap();
        for machine in 0..MACHINES {
            let name = format!("machine-{machine}.log");
            std::fs::copy(self.place.path().join(&name), folder.join(&name)).unwrap();
        }
        format!("what the hosts said is in {}", folder.display())
    }

    /// Everything that was produced is where it belongs, and others read the same.
    fn judge(&self) {
        self.place.run_to_the_end(&self.pipeline);
        for reader in ["polars", "duckdb"] {
            let ids = ["--ids", "sales/expected-ids.csv"];
            self.place
                .holds_expected(&[&ids[..], &["--reader", reader]].concat());
        }
    }
}

/// What may happen, as the environment says.
fn things() -> Vec<&'static str> {
    let only = std::env::var("ASSAY_CHAOS_ONLY").ok();
    let wanted = |name: &str| {
        only.as_ref()
            .is_none_or(|only| only.split(',').any(|o| o == name))
    };
    let things = THINGS.iter().filter(|(name, _)| wanted(name));
    let things: Vec<_> = things
        .flat_map(|(name, often)| vec![*name; *often])
        .collect();
    assert!(
        !things.is_empty(),
        "ASSAY_CHAOS_ONLY names none of {THINGS:?}"
    );
    things
}

/// Runs a seed. Answers with what was done how often.
async fn run(seed: u64, length: Duration) -> BTreeMap<&'static str, u32> {
    let (name, protocol) = PROTOCOLS[(seed % 3) as usize];
    let rate = told("ASSAY_CHAOS_RATE").unwrap_or(RATE);
    let mut chaos = Chaos::new(seed, rate, protocol).await;
    let count = rate * length.as_secs();
    say(&format!(
        "chaos: seed {seed}, {name}, {count} events over {length:?}"
    ));
    let (count, rate, seed) = (count.to_string(), rate.to_string(), seed.to_string());
    let brokers = chaos.kafka.brokers();
    let mut producer = chaos.place.start(&[
        "generate",
        "sales",
        "--ids",
        "--count",
        &count,
        "--rate",
        &rate,
        "--seed",
        &seed,
        "--stores",
        "40",
        "--conflicts",
        "0.002",
        "--returns",
        "0.02",
        "--kafka",
        &brokers,
        "--topic",
        "sales",
    ]);
    (0..MACHINES).for_each(|machine| chaos.start(machine));
    let pause = told("ASSAY_CHAOS_PAUSE");
    let (least, more) = pause.map_or((300, 2_000), |pause| (pause, pause + 1));
    let more = u32::try_from(more).unwrap();
    let (since, produced) = (Instant::now(), SystemTime::now() + length);
    while since.elapsed() < length {
        chaos.wait(least, more);
        chaos.happen();
    }
    assert!(
        producer.wait().unwrap().success(),
        "seed {seed}: not all was produced"
    );
    chaos.check_alive();
    (0..MACHINES).for_each(|machine| chaos.stop(machine, "SIGTERM"));
    chaos.judge();
    let waits = waits::of(&chaos.place, produced);
    say(&format!(
        "chaos: seed {seed}, {name}: {:?}; 0 lost, 0 doubled, gold exact; {}",
        chaos.done,
        waits.told(&chaos.restarts)
    ));
    // Where most hosts are hurt at the same time, over and over, there may be none for a partition.
    if chaos.at_once == 1 {
        let (longest, where_it_was) = waits.longest();
        if longest > LONGEST_WAIT && !chaos.only("kill") && !chaos.only("broker") {
            panic!("{where_it_was}\n{}", chaos.keep_logs(&seed));
        }
        let first = waits.first_commit(&chaos.restarts);
        if first > FIRST_COMMIT {
            let logs = chaos.keep_logs(&seed);
            panic!("the first commit after a restart took {first:?}\n{logs}");
        }
    }
    chaos.done
}

/// Past the test's own output, which is shown for failures only.
pub fn say(text: &str) {
    use std::io::Write as _;
    writeln!(std::io::stderr(), "{text}").unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_that_are_killed_frozen_and_moved_lose_and_double_nothing() {
    let seed = told("ASSAY_CHAOS_SEED").unwrap_or(1);
    let length = Duration::from_secs(told("ASSAY_CHAOS_SECONDS").unwrap_or(15));
    let rounds = told("ASSAY_CHAOS_ROUNDS").unwrap_or(1);
    let mut all: BTreeMap<&str, u32> = BTreeMap::new();
    for seed in seed..seed + rounds {
        for (what, count) in run(seed, length).await {
            *all.entry(what).or_default() += count;
        }
    }
    say(&format!(
        "chaos: {rounds} seeds from {seed}: {all:?}; 0 lost, 0 doubled, gold exact"
    ));
}
