use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use assay::source::Producer;
use serde_json::Value;

use crate::guest::around;
use crate::kafka;
use crate::place::{Host, Place, told};
use crate::serve::{Server, host};

/// What a well-behaved tenant gets, in events a second.
const GOOD_RATE: u64 = 200;

/// A tenant of its own on a topic of its own, with a component that does something to rows of 13.
fn tenant(place: &Place, name: &str, topic: &str, at_13: &str) {
    let brokers = kafka::shared().brokers();
    let component = around("validator", at_13, "");
    place.write(&format!("pipelines/{name}.wasm"), component);
    let toml = format!(
        "version = 1\ntenant = \"{name}\"\n[source]\nkind = \"kafka\"\nbrokers = \"{brokers}\"\n\
         topics = [\"{topic}\"]\n\
         [[validate]]\ncomponent = \"{name}.wasm\"\n[breaker]\nshare = 1.0\n\
         [event.fields]\ntransaction_id = \"string\"\nquantity = \"integer\"\n\
         timestamp = \"timestamp\"\n"
    );
    place.write(&format!("pipelines/{name}.toml"), toml);
}

/// Sends events to a topic until it is told to stop, so many a second. Every fourth has a quantity of
/// 13 where they are bad.
fn sell(topic: &str, rate: u64, bad: bool, stop: &Arc<AtomicBool>) -> JoinHandle<u64> {
    let (topic, stop) = (topic.to_owned(), stop.clone());
    let brokers = kafka::shared().brokers();
    std::thread::spawn(move || {
        let mut producer = Producer::new(&brokers, &BTreeMap::new()).unwrap();
        let (begun, mut sent) = (Instant::now(), 0);
        let mut event = String::new();
        while !stop.load(Ordering::Relaxed) {
            let due = (begun.elapsed().as_secs_f64() * rate as f64) as u64;
            while sent < due {
                event.clear();
                let quantity = if bad && sent % 4 == 0 { 13 } else { 1 };
                write!(
                    event,
                    "{{\"transaction_id\":\"T{sent}\",\"quantity\":{quantity},\"timestamp\":\"2025-03-01T10:00:00Z\"}}"
                )
                .unwrap();
                producer.send(&topic, None, Some(event.as_bytes())).unwrap();
                sent += 1;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        producer.flush().unwrap();
        sent
    })
}

/// What became of the well-behaved tenants.
struct Figures {
    /// From a message's arrival at the broker to its commit in silver, in milliseconds: the slowest
    /// tenant's.
    p50: u64,
    p99: u64,
    /// How long a batch waited for the processor, in milliseconds: the slowest tenant's.
    wait: f64,
    /// CPU time of each tenant, in seconds.
    cpu: BTreeMap<String, f64>,
}

/// Runs so many well-behaved tenants for a while among such that have nothing to do, alone or beside one
/// that floods and two whose rules loop for as long as their fuel lasts.
async fn run(good: u64, idle: u64, length: Duration, flood: Option<u64>) -> Figures {
    let place = Place::new();
    let broker = kafka::shared();
    let phase = if flood.is_some() { "beside" } else { "alone" };
    let stop = Arc::new(AtomicBool::new(false));
    let mut selling = Vec::new();
    let mut tenants: Vec<(String, u64, &str)> = (0..good)
        .map(|number| (format!("good-{number}"), GOOD_RATE, "nop"))
        .collect();
    if let Some(rate) = flood {
        let endless = "(loop $ever (br $ever))";
        tenants.push(("floods".to_owned(), rate, "nop"));
        tenants.push(("loops".to_owned(), 100, endless));
        tenants.push(("loops-too".to_owned(), 100, endless));
    }
    tenants.extend((0..idle).map(|number| (format!("idle-{number}"), 0, "nop")));
    for (name, ..) in &tenants {
        broker
            .create_topic(&format!("fair-{phase}-{name}"), 1)
            .await;
    }
    for (name, _, at_13) in &tenants {
        tenant(&place, name, &format!("fair-{phase}-{name}"), at_13);
    }
    let group = format!("fair-{phase}");
    let (mut running, server) = host(&place, &["pipelines", "--group", &group]);
    running.until("all are ready", |_| server.get("/readyz").status == 200);
    for (name, rate, at_13) in tenants.iter().filter(|(_, rate, _)| *rate > 0) {
        let topic = format!("fair-{phase}-{name}");
        selling.push(sell(&topic, *rate, *at_13 != "nop", &stop));
    }
    std::thread::sleep(length);
    let figures = figures(&server, good);
    stop.store(true, Ordering::Relaxed);
    let sent: Vec<u64> = selling.into_iter().map(|one| one.join().unwrap()).collect();
    good_ones_get_everything(&mut running, &server, &sent[..good as usize]);
    // What the others have left may take long.
    running.signal("KILL");
    figures
}

fn figures(server: &Server, good: u64) -> Figures {
    let all = server.get("/v1/tenants").well();
    let mut figures = Figures {
        p50: 0,
        p99: 0,
        wait: 0.0,
        cpu: BTreeMap::new(),
    };
    for tenant in all.as_array().unwrap() {
        let name = tenant["tenant"].as_str().unwrap().to_owned();
        let usage = |figure: &str| tenant["usage"][figure].as_f64().unwrap();
        if name.starts_with("good-") {
            let at = |share: &str| tenant["latency"][share].as_u64().unwrap();
            figures.p50 = figures.p50.max(at("p50"));
            figures.p99 = figures.p99.max(at("p99"));
            let batches = tenant["batches"].as_f64().unwrap();
            figures.wait = figures.wait.max(usage("cpu_wait_seconds") * 1e3 / batches);
        }
        figures.cpu.insert(name, usage("cpu_seconds"));
    }
    let counted = figures.cpu.keys().filter(|name| name.starts_with("good-"));
    assert_eq!(counted.count() as u64, good);
    figures
}

fn good_ones_get_everything(running: &mut Host, server: &Server, sent: &[u64]) {
    let taken = |tenant: &Value| tenant["rows"]["silver"].as_u64().unwrap();
    running.until("the good ones have everything", |_| {
        let mut sent = sent.iter().enumerate();
        sent.all(|(number, sent)| {
            let path = format!("/v1/tenants/good-{number}");
            taken(&server.get(&path).well()) == *sent
        })
    });
}

/// `ASSAY_FAIR_TENANTS`, `ASSAY_FAIR_IDLE` (tenants that have nothing to do), `ASSAY_FAIR_SECONDS` and `ASSAY_FAIR_FLOOD` (events a second) say how much
/// of it is run. What is held to is the order in which the processor is given out: the latencies of a
/// machine that does much else are printed.
#[tokio::test]
async fn who_floods_and_who_loops_take_the_processor_from_nobody_else() {
    let good = told("ASSAY_FAIR_TENANTS").unwrap_or(3);
    let idle = told("ASSAY_FAIR_IDLE").unwrap_or(2);
    let length = Duration::from_secs(told("ASSAY_FAIR_SECONDS").unwrap_or(10));
    let flood = told("ASSAY_FAIR_FLOOD").unwrap_or(5_000);
    let alone = run(good, idle, length, None).await;
    let beside = run(good, idle, length, Some(flood)).await;
    for (phase, figures) in [("alone", &alone), ("beside", &beside)] {
        println!(
            "{good} good tenants and {idle} idle ones {phase}: p50 {} ms, p99 {} ms; a batch waits {:.1} ms for the processor",
            figures.p50, figures.p99, figures.wait
        );
    }
    println!(
        "p99 is {:.2} times what it is alone; CPU seconds beside: {:?}",
        beside.p99 as f64 / alone.p99 as f64,
        beside.cpu
    );
    // They were as bad as they were meant to be.
    let had = |name: &str| beside.cpu[name];
    let bad = ["floods", "loops", "loops-too"].map(had);
    let wanted = length.as_secs_f64() * 0.01;
    assert!(bad.iter().all(|cpu| *cpu > wanted), "{bad:?}");
    // A batch asks a dozen times, and whoever has a core looks up a hundred times a second, where the
    // machine lets it. Behind loops that are not looked into, each time would be seconds.
    assert!(beside.wait < 3_000.0, "{} ms", beside.wait);
}
