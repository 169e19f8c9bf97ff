use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use assay::source::Producer;
use serde_json::{Value, json};

use crate::chaos::say;
use crate::kafka;
use crate::place::{Place, told};
use crate::rules_swap::{LOOSE, STRICT, number, sale, stage, version};
use crate::serve::{Server, host, token};

const PARTITIONS: i32 = 8;

const STORES: u32 = 60;
/// Sales of a business day, of all stores: at thousands a second a day is over within seconds, and each
/// store's is as large as a large store's.
const A_DAY: u32 = 500_000;

/// Sales as [`sale`] makes them, each of its number, in one of many stores and on one of many days.
/// Made once and filled in: what makes tens of thousands a second must not take the host's processor.
struct Spread {
    /// The text around the number, the store, the quantity and the date.
    parts: [String; 5],
    text: String,
}

impl Spread {
    fn new() -> Self {
        let sale = sale(0);
        let mut left = sale.trim_end();
        let mut until = |mark: &str| {
            let (before, after) = left.split_once(mark).unwrap();
            left = after;
            before.to_owned()
        };
        let parts = [
            until("T0") + "T",
            until("001"),
            until("quantity\":1,") + "quantity\":",
            ",".to_owned() + &until("2025-03-01"),
        ];
        let [number, store, quantity, date] = parts;
        Self {
            parts: [number, store, quantity, date, left.to_owned()],
            text: String::new(),
        }
    }

    fn sale(&mut self, id: u32) -> &str {
        use std::fmt::Write as _;
        let [number, store, quantity, date, rest] = &self.parts;
        // Months of 28 days are all there.
        let day = id / A_DAY;
        let (shop, pieces) = (id % STORES + 1, id % 10 + 1);
        let (year, month, day) = (2020 + day / 336, 1 + day / 28 % 12, 1 + day % 28);
        self.text.clear();
        write!(
            self.text,
            "{number}{id}{store}{shop:03}{quantity}{pieces}{date}{year}-{month:02}-{day:02}{rest}"
        )
        .unwrap();
        &self.text
    }
}

/// Sells a sale each, so many a second, until it is told to stop. Answers with how many.
fn sell(topic: &str, rate: u64, stop: &Arc<AtomicBool>) -> std::thread::JoinHandle<u32> {
    let (topic, stop) = (topic.to_owned(), stop.clone());
    let brokers = kafka::shared().brokers();
    std::thread::spawn(move || {
        // What packs more, or sends each sale alone, takes the processor that the host is to have.
        let quick = [("compression.type", "lz4"), ("linger.ms", "50")];
        let quick = quick.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut producer = Producer::new(&brokers, &BTreeMap::from(quick)).unwrap();
        let mut spread = Spread::new();
        let (begun, mut sent) = (Instant::now(), 0);
        while !stop.load(Ordering::Relaxed) {
            let due = (begun.elapsed().as_secs_f64() * rate as f64) as u32;
            while sent < due {
                let (key, event) = (sent.to_le_bytes(), spread.sale(sent).as_bytes());
                producer.send(&topic, Some(&key), Some(event)).unwrap();
                sent += 1;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        producer.flush().unwrap();
        sent
    })
}

fn change(server: &Server, path: &str, body: &Value) -> i64 {
    let said = server.post(&format!("/v1/tenants/retail/{path}"), body);
    number(&said.well())
}

/// `ASSAY_SWAPS`, `ASSAY_SWAP_RATE` (events a second) and `ASSAY_SWAP_PAUSE` (milliseconds between)
/// say how much of it is run.
#[tokio::test]
async fn swaps_under_load_lose_double_and_mix_nothing() {
    let swaps = told("ASSAY_SWAPS").unwrap_or(6);
    let rate = told("ASSAY_SWAP_RATE").unwrap_or(1_000);
    let pause = Duration::from_millis(told("ASSAY_SWAP_PAUSE").unwrap_or(700));
    let place = Place::new();
    let broker = kafka::shared();
    broker.create_topic("swap-figures", PARTITIONS).await;
    let topic = "topics = [\"swap-figures\"]\ngroup = \"swap-figures\"";
    let replace = [
        ("localhost:9092", broker.brokers()),
        ("topics = [\"sales\"]", topic.to_owned()),
    ];
    let replace = replace.each_ref().map(|(from, to)| (*from, to.as_str()));
    let pipeline = place.pipeline("retail", &replace);
    let strict = version(&place, &pipeline, "strict", &[(LOOSE, STRICT)]);
    let (mut running, server) = host(&place, &[pipeline.to_str().unwrap()]);
    running.until("it is ready", |_| server.get("/readyz").status == 200);
    let [author, approver] =
        ["author", "approver"].map(|role| server.with(&token(&place, "retail", role)));
    let stop = Arc::new(AtomicBool::new(false));
    let selling = sell("swap-figures", rate, &stop);
    let taken = || server.get("/v1/tenants/retail").well()["rows"]["silver"].as_u64();
    running.until("sales are taken in", |_| taken() > Some(0));

    let why = json!({ "why": "a swap of many" });
    let since = Instant::now();
    for swap in 0..swaps {
        if swap % 2 == 0 {
            let staged = author.stage("retail", &strict, "a swap of many");
            let staged = number(&staged.well());
            change(&approver, &format!("rules/{staged}/promote"), &why);
        } else {
            change(&approver, "rollback", &why);
        }
        std::thread::sleep(pause);
        if (swap + 1) % 50 == 0 {
            let (memory, rows) = (running.memory() >> 20, taken().unwrap());
            say(&format!(
                "{} swaps, {memory} MiB, {rows} rows in silver after {:.0?}",
                swap + 1,
                since.elapsed()
            ));
        }
    }
    stop.store(true, Ordering::Relaxed);
    let sent = selling.join().unwrap();
    let ended = || {
        let status = server.get("/v1/tenants/retail").well();
        let rows = |layer: &str| status["rows"][layer].as_u64().unwrap();
        rows("silver") + rows("quarantine") == u64::from(sent)
    };
    running.until("all is judged", |_| ended());
    let most = running.most_memory();
    let (ended, log) = running.stop();
    assert!(ended.success(), "{log}");

    let lake = place.lake();
    let arguments = [lake.to_str().unwrap(), "retail", &sent.to_string()];
    let found = place.reader("swaps.py", &arguments);
    println!("{swaps} swaps, {rate} events a second, {most} MiB at most: {found}");
    let found: Value = serde_json::from_str(&found).unwrap();
    assert_eq!(found["messages"], sent);
    for wrong in [
        "lost",
        "doubled",
        "by_two_sets",
        "against_its_set",
        "by_no_set",
        "backwards",
    ] {
        assert_eq!(found[wrong], 0, "{wrong}: {found}");
    }
    // The first set was activated by the start.
    assert_eq!(found["activations"], swaps + 1);
    let seen = found["took_effect"].as_u64().unwrap();
    assert!(seen > swaps / 2, "{found}");
}

/// `ASSAY_SWAPS_AT_ONCE` says how many swaps are made as quickly as they can be.
#[test]
fn many_swaps_leave_nothing_behind_in_memory() {
    let swaps = told("ASSAY_SWAPS_AT_ONCE").unwrap_or(60);
    let place = Place::new();
    let events = place.write("events/sales.ndjson", sale(0));
    let batch = "\n[batch]\nevery = \"10ms\"\n\n[event]";
    let pipeline = place.retail_from_files(&events, &[("\n[event]", batch)]);
    let strict = version(&place, &pipeline, "strict", &[(LOOSE, STRICT)]);
    let (mut running, server) = host(&place, &[pipeline.to_str().unwrap()]);
    running.until("it is ready", |_| server.get("/readyz").status == 200);
    let approver = server.with(&token(&place, "retail", "approver"));
    let why = json!({ "why": "a swap of many" });
    let loose = server.get("/v1/tenants/retail").well()["ruleset"].clone();
    let staged = number(&stage(&place, &strict));
    let strict = change(&approver, &format!("rules/{staged}/promote"), &why);

    let every = if swaps >= 10_000 {
        500
    } else {
        (swaps / 6).max(1)
    };
    let (mut begun, mut seen) = (Instant::now(), Vec::new());
    for swap in 1..=swaps {
        let to = if swap % 2 == 1 {
            loose.clone()
        } else {
            json!(strict)
        };
        let back = json!({ "why": "a swap of many", "to": to });
        change(&approver, "rollback", &back);
        place.append(&events, &sale(u32::try_from(swap).unwrap()));
        if swap % every == 0 {
            let memory = running.memory();
            let each = begun.elapsed() / u32::try_from(every).unwrap();
            println!(
                "after {swap} swaps: {} KiB resident, {each:.1?} a swap",
                memory >> 10
            );
            seen.push((swap, memory));
            begun = Instant::now();
        }
    }
    running.until("the last one judges", |_| {
        let status = server.get("/v1/tenants/retail").well();
        status["ruleset"].as_u64() >= Some(swaps)
    });
    let (ended, log) = running.stop();
    assert!(ended.success(), "{log}");
    assert!(!log.contains("ERROR"), "{log}");
    // The first third warms caches up.
    let (first, last) = (seen[seen.len() / 3], seen[seen.len() - 1]);
    let grown = last.1.saturating_sub(first.1);
    let slope = slope(&seen[seen.len() / 3..]);
    println!("{swaps} swaps: {slope:.0} bytes a swap");
    assert!(grown < 64 << 20, "{} MiB more", grown >> 20);
}

/// The least squares' slope of what was seen: memory goes up and down with what is packed.
fn slope(seen: &[(u64, u64)]) -> f64 {
    let of = |pick: fn(&(u64, u64)) -> u64| seen.iter().map(move |one| pick(one) as f64);
    let mean = |pick| of(pick).sum::<f64>() / seen.len() as f64;
    let (x, y) = (mean(|one| one.0), mean(|one| one.1));
    let both = of(|one| one.0).zip(of(|one| one.1));
    let rise: f64 = both.map(|(swap, bytes)| (swap - x) * (bytes - y)).sum();
    let run: f64 = of(|one| one.0).map(|swap| (swap - x).powi(2)).sum();
    rise / run
}
