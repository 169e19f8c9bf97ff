use std::collections::VecDeque;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use crate::emulator::Emulator;
use crate::place::{Host, Place, told};

/// How long two hosts may take for all that there is, where everything else runs too.
const PATIENCE: Duration = Duration::from_secs(240);

#[test]
fn two_hosts_and_a_kill_on_azure_leave_each_sale_once() {
    two_hosts_and_a_kill(&Emulator::azure());
}

#[test]
fn two_hosts_and_a_kill_on_s3_leave_each_sale_once() {
    two_hosts_and_a_kill(&Emulator::s3());
}

/// Every other line goes to either host, so that the copies of a sale come to both.
fn two_hosts_and_a_kill(store: &Emulator) {
    let mut place = Place::new();
    place.set("ASSAY_LAKE", store.uri);
    let generate = ["generate", "sales", "--count", "6000", "--seed", "31"];
    let copies = ["--duplicates", "0.2", "--ids"];
    place.assay(&[&generate[..], &copies].concat()).well();
    let [first, second] = halves(&place, store);

    let said = place.assay(&["check", first.to_str().unwrap()]).badly();
    assert!(said.contains("keep the host from running"), "{said}");
    place.set("LAKE_SECRET", store.secret);
    if let Some((name, value)) = store
        .environment
        .iter()
        .find(|(name, _)| *name == "AZURITE_BLOB_STORAGE_URL")
    {
        place.set(name, value);
    }
    let said = place.assay(&["check", first.to_str().unwrap()]).well();
    assert!(said.contains("lake: good"), "{said}");
    assert_eq!(store.objects(), [""; 0], "a check leaves nothing behind");

    let run = |machine, pipeline: &PathBuf| {
        place.host_on(
            machine,
            &["run", pipeline.to_str().unwrap(), "--until-caught-up"],
        )
    };
    let mut killed = run("killed", &first);
    let mut other = run("other", &second);
    killed.until("it writes", |_| {
        let of_silver = |name: &String| name.contains("/silver/sale_date=");
        store.objects().iter().any(of_silver)
    });
    killed.signal("KILL");
    drop(killed);
    let mut again = run("again", &first);
    assert!(end_of(&mut again).success(), "{}", again.log());
    assert!(end_of(&mut other).success(), "{}", other.log());
    for log in [again.log(), other.log()] {
        assert!(!log.contains(store.secret), "{log}");
    }

    store.tell(&mut place);
    holds_all(&place, store, "6000");
}

#[test]
fn two_hosts_that_are_killed_in_turn_on_azure_leave_each_sale_once() {
    kills_in_turn("azure", &Emulator::azure());
}

#[test]
fn two_hosts_that_are_killed_in_turn_on_s3_leave_each_sale_once() {
    kills_in_turn("s3", &Emulator::s3());
}

/// `ASSAY_STORE_KILLS` says how often either host is killed and started again, in turn, while more
/// comes in; `ASSAY_STORE_SEED` where to begin.
fn kills_in_turn(name: &str, store: &Emulator) {
    let kills = told("ASSAY_STORE_KILLS").unwrap_or(2);
    let seed = told("ASSAY_STORE_SEED").unwrap_or(1);
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut place = Place::new();
    place.set("ASSAY_LAKE", store.uri);
    let (count, text) = ((1_000 + kills * 400).to_string(), seed.to_string());
    let generate = ["generate", "sales", "--count", &count, "--seed", &text];
    let copies = ["--duplicates", "0.2", "--stores", "10", "--ids"];
    place.assay(&[&generate[..], &copies].concat()).well();
    let pipelines = halves(&place, store);
    place.set("LAKE_SECRET", store.secret);
    store.tell(&mut place);

    let events = ["first", "second"].map(|name| place.path().join(format!("{name}/{name}.ndjson")));
    let mut left = events.each_ref().map(|file| {
        let text = std::fs::read_to_string(file).unwrap();
        std::fs::write(file, "").unwrap();
        text.split_inclusive('\n')
            .map(str::to_owned)
            .collect::<VecDeque<_>>()
    });
    let sell = |left: &mut [VecDeque<String>; 2], share: u64| {
        for (file, left) in events.iter().zip(left) {
            let some = left.len().div_ceil(usize::try_from(share).unwrap());
            let text: String = left.drain(..some).collect();
            place.append(file, &text);
        }
    };
    let run = |which: usize| {
        let machine = ["first", "second"][which];
        place.host_on(machine, &["run", pipelines[which].to_str().unwrap()])
    };
    sell(&mut left, kills + 1);
    let mut hosts = [run(0), run(1)];
    for kill in 0..kills {
        sell(&mut left, kills - kill);
        // Anywhere from its start to its rest.
        let moment = 300 + u64::from(random.next_u32() % 5_000);
        std::thread::sleep(Duration::from_millis(moment));
        for host in &mut hosts {
            assert!(host.ended().is_none(), "{}", host.said());
        }
        let which = usize::try_from(kill % 2).unwrap();
        hosts[which].signal("KILL");
        hosts[which] = run(which);
    }
    for host in hosts {
        let (ended, log) = host.stop();
        assert!(ended.success() || ended.code().is_none(), "{ended}\n{log}");
    }
    for pipeline in &pipelines {
        let run = ["run", pipeline.to_str().unwrap(), "--until-caught-up"];
        place.assay(&run).well();
    }
    holds_all(&place, store, &count);
    crate::chaos::say(&format!(
        "{name}: seed {seed}: {kills} kills of two hosts; {count} events, 0 lost, 0 doubled, gold exact"
    ));
}

/// The books balance, and each sale is where it was meant to be.
fn holds_all(place: &Place, store: &Emulator, count: &str) {
    let books = place.assay(&["verify"]).well();
    assert!(books.contains("the books balance"), "{books}");
    let expected = ["sales/expected.json", "--ids", "sales/expected-ids.csv"];
    let arguments = [&[store.uri, "retail"][..], &expected].concat();
    let said = place.reader("check_expected.py", &arguments);
    assert!(said.contains(&format!("OK {count} events")), "{said}");
}

/// A pipeline for each half of the lines.
fn halves(place: &Place, store: &Emulator) -> [PathBuf; 2] {
    let sales = std::fs::read_to_string(place.path().join("sales/events/sales.ndjson")).unwrap();
    let small = format!(
        "\n[lake.options]\n{}\n\n[batch]\nrows = 300\nevery = \"50ms\"\n\n[event]",
        store.options
    );
    ["first", "second"].map(|name| {
        let turn = usize::from(name == "second");
        let half = sales.lines().skip(turn).step_by(2);
        let lines: String = half.map(|line| format!("{line}\n")).collect();
        place.write(&format!("{name}/{name}.ndjson"), lines);
        let events = place.path().join(name);
        let pipeline = place.retail_from_files(&events, &[("\n[event]", &small)]);
        let named = pipeline.with_file_name(format!("{name}.toml"));
        std::fs::rename(&pipeline, &named).unwrap();
        named
    })
}

fn end_of(host: &mut Host) -> ExitStatus {
    let since = Instant::now();
    loop {
        if let Some(ended) = host.ended() {
            return ended;
        }
        assert!(
            since.elapsed() < PATIENCE,
            "it does not end:\n{}",
            host.log()
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}
