use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use crate::emulator::Emulator;
use crate::place::{Host, Place};

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
    let books = place.assay(&["verify"]).well();
    assert!(books.contains("the books balance"), "{books}");
    let expected = ["sales/expected.json", "--ids", "sales/expected-ids.csv"];
    let arguments = [&[store.uri, "retail"][..], &expected].concat();
    let said = place.reader("check_expected.py", &arguments);
    assert!(said.contains("OK 6000 events"), "{said}");
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
