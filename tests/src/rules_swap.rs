use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::kafka;
use crate::place::{Host, Place, repository};

/// Sales of one piece, two pieces … ten pieces, and over again.
pub fn sale(id: u32) -> String {
    let quantity = id % 10 + 1;
    format!(
        r#"{{"transaction_id":"T{id}","store_id":"S001","product_id":"P1","customer_id":"C1","quantity":{quantity},"unit_price":2.50,"timestamp":"2025-03-01T10:00:00Z","payment_method":"card","channel":"pos","register_id":1}}"#
    ) + "\n"
}

fn sales(ids: std::ops::Range<u32>) -> String {
    ids.map(sale).collect()
}

/// The retail pipeline on a file of sales, in small batches.
fn retail(place: &Place, first: std::ops::Range<u32>) -> (PathBuf, PathBuf) {
    let events = place.write("events/sales.ndjson", sales(first));
    let pipeline = place.retail_from_files(
        &events,
        &[
            (
                "\n[event]",
                "\n[batch]\nrows = 200\nevery = \"50ms\"\n\n[event]",
            ),
            ("every = \"5s\"", "every = \"200ms\""),
        ],
    );
    (events, pipeline)
}

/// Another version of a pipeline, in a folder of its own.
pub fn version(place: &Place, pipeline: &Path, name: &str, replace: &[(&str, &str)]) -> PathBuf {
    let mut text = std::fs::read_to_string(pipeline).unwrap();
    for (from, to) in replace {
        assert!(text.contains(from), "{from:?}");
        text = text.replace(from, to);
    }
    place.write(&format!("{name}/retail.toml"), text)
}

pub const LOOSE: &str = "max_quantity = 10000";
pub const STRICT: &str = "max_quantity = 5";

pub fn rules(place: &Place, arguments: &[&str]) -> Value {
    let said = place.assay(&[&["rules"], arguments, &["--json"]].concat());
    serde_json::from_str(&said.well()).unwrap()
}

pub fn stage(place: &Place, pipeline: &Path) -> Value {
    let pipeline = pipeline.to_str().unwrap();
    rules(place, &["stage", "retail", "--pipeline", pipeline])
}

pub fn promote(place: &Place, number: i64) -> i64 {
    let number = number.to_string();
    let arguments = ["promote", "retail", &number, "--why", "a test"];
    rules(place, &arguments)["number"].as_i64().unwrap()
}

pub fn number(said: &Value) -> i64 {
    said["number"].as_i64().unwrap()
}

/// The state of a rule set, and why it failed.
pub fn state(place: &Place, number: i64) -> (String, String) {
    let history = rules(place, &["history", "retail"]);
    let changes = history.as_array().unwrap();
    let change = changes.iter().find(|change| change["number"] == number);
    let text = |name: &str| {
        change.unwrap()[name]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    (text("state"), text("failed"))
}

pub fn run(place: &Place, pipeline: &Path) -> Host {
    place.host(&["run", pipeline.to_str().unwrap()])
}

pub fn id_of(row: &Value) -> u32 {
    let raw: Value = serde_json::from_str(row["_raw"].as_str().unwrap()).unwrap();
    let id = raw["transaction_id"].as_str().unwrap();
    id[1..].parse().unwrap()
}

pub fn taken(place: &Place) -> usize {
    place.rows_if_any("retail/bronze").len()
}

pub fn books_balance(place: &Place) {
    let books = place.assay(&["verify"]).well();
    assert!(books.contains("retail: the books balance"), "{books}");
}

/// The rule set of each sale, by its offset; and every sale is where that rule set has it.
fn judged(place: &Place, limits: &BTreeMap<i64, u32>) -> BTreeMap<i64, i64> {
    let mut by_offset = BTreeMap::new();
    let mut pinned = BTreeMap::new();
    for row in place.rows("retail/bronze") {
        let set = row["_ruleset"].as_i64().unwrap();
        let twice = by_offset.insert(row["_offset"].as_i64().unwrap(), set);
        assert!(twice.is_none(), "twice in bronze: {row}");
        pinned.insert(id_of(&row), set);
    }
    let mut seen = BTreeSet::new();
    for row in place.rows("retail/silver") {
        let id: u32 = row["transaction_id"].as_str().unwrap()[1..]
            .parse()
            .unwrap();
        let set = row["_ruleset"].as_i64().unwrap();
        assert_eq!(set, pinned[&id], "silver judged T{id} by another set");
        assert!(id % 10 < limits[&set], "T{id} is in silver under {set}");
        assert!(seen.insert(id), "T{id} twice");
    }
    for row in place.rows("retail/quarantine") {
        let id = id_of(&row);
        let set = row["_ruleset"].as_i64().unwrap();
        assert_eq!(set, pinned[&id], "quarantine judged T{id} by another set");
        assert_eq!(row["rule"], "quantity_absurd");
        assert!(
            id % 10 >= limits[&set],
            "T{id} is in quarantine under {set}"
        );
        assert!(seen.insert(id), "T{id} twice");
    }
    assert_eq!(seen.len(), pinned.len());
    by_offset
}

/// Offsets at which another rule set takes over, with its number.
fn cut_overs(by_offset: &BTreeMap<i64, i64>) -> Vec<(i64, i64)> {
    let mut found: Vec<(i64, i64)> = Vec::new();
    for (offset, set) in by_offset {
        if found.last().is_none_or(|(_, last)| last != set) {
            found.push((*offset, *set));
        }
    }
    found
}

#[test]
fn under_load_every_row_is_judged_by_one_set_and_the_switch_and_the_way_back_are_exact() {
    let place = Place::new();
    let (events, pipeline) = retail(&place, 0..2_000);
    let strict = version(&place, &pipeline, "strict", &[(LOOSE, STRICT)]);
    let mut host = run(&place, &pipeline);
    host.until("the first sales are taken in", |_| taken(&place) == 2_000);

    // Sales come all the while, a few at a time.
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let selling = std::thread::spawn({
        let events = events.clone();
        move || {
            use std::io::Write as _;
            let mut next = 2_000;
            let mut file = std::fs::OpenOptions::new()
                .append(true)
                .open(events)
                .unwrap();
            while stopped.try_recv().is_err() {
                file.write_all(sales(next..next + 20).as_bytes()).unwrap();
                next += 20;
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            next
        }
    });
    let staged = stage(&place, &strict);
    assert_eq!(staged["state"], "staged");
    assert_eq!(
        staged["differences"][0]["change"],
        "param max_quantity 10000 -> 5"
    );
    host.until("the staged set is compiled", |host| {
        host.log().contains("staged rule set is ready")
    });
    let before = staged["active"].as_i64().unwrap();
    let promoted = promote(&place, number(&staged));
    let judges = |host: &Host, set: i64| {
        host.log()
            .lines()
            .any(|line| line.contains("from offset") && line.contains(&format!("ruleset={set}")))
    };
    host.until("the new set judges", |host| judges(host, promoted));
    let arguments = ["rollback", "retail", "--why", "too strict"];
    let back = number(&rules(&place, &arguments));
    host.until("the old set judges again", |host| judges(host, back));
    stop.send(()).unwrap();
    let count = selling.join().unwrap();
    host.until("all is taken in", |_| taken(&place) == count as usize);
    let (ended, log) = host.stop();
    assert!(ended.success(), "{log}");
    assert!(!log.contains("ERROR"), "{log}");

    let limits = BTreeMap::from([(before, 10), (promoted, 5), (back, 10)]);
    let by_offset = judged(&place, &limits);
    let cuts = cut_overs(&by_offset);
    let sets: Vec<i64> = cuts.iter().map(|(_, set)| *set).collect();
    assert_eq!(sets, [before, promoted, back]);
    for (offset, set) in &cuts[1..] {
        let line = format!("rule set judges sales.ndjson/0 from offset {offset} on");
        let said = log.lines().find(|said| said.contains(&line));
        let said = said.unwrap_or_else(|| panic!("{line}\n{log}"));
        assert!(said.contains(&format!("ruleset={set}")), "{said}");
    }
    assert_eq!(state(&place, promoted).0, "retired");
    assert_eq!(state(&place, back).0, "active");
    books_balance(&place);
}

#[tokio::test]
async fn on_kafka_each_partition_switches_once_while_messages_stream_in() {
    let place = Place::new();
    let broker = kafka::shared();
    broker.create_topic("rules-swap", 4).await;
    let pipeline = place.pipeline(
        "retail",
        &[
            ("localhost:9092", &broker.brokers()),
            (
                "topics = [\"sales\"]",
                "topics = [\"rules-swap\"]\ngroup = \"rules-swap\"",
            ),
            (
                "\n[event]",
                "\n[batch]\nrows = 500\nevery = \"50ms\"\n\n[event]",
            ),
            ("every = \"5s\"", "every = \"300ms\""),
        ],
    );
    let strict = version(&place, &pipeline, "strict", &[(LOOSE, STRICT)]);
    let mut host = run(&place, &pipeline);
    let brokers = broker.brokers();
    let generate = |count: &str, seed: &str| {
        let sales = ["generate", "sales", "--count", count, "--seed", seed];
        let to = ["--kafka", &brokers, "--topic", "rules-swap"];
        place.assay(&[&sales[..], &to].concat()).well();
    };
    generate("2000", "1");
    host.until("the first sales are taken in", |_| taken(&place) == 2_000);
    let staged = number(&stage(&place, &strict));
    generate("20000", "2");
    let promoted = promote(&place, staged);
    // Whatever was left of them when the promotion came, these come behind it.
    generate("2000", "3");
    host.until("all is taken in", |_| taken(&place) == 24_000);
    let (ended, log) = host.stop();
    assert!(ended.success(), "{log}");

    let mut partitions: BTreeMap<i64, BTreeMap<i64, i64>> = BTreeMap::new();
    for row in place.rows("retail/bronze") {
        let [partition, offset, set] =
            ["_partition", "_offset", "_ruleset"].map(|name| row[name].as_i64().unwrap());
        let twice = partitions.entry(partition).or_default().insert(offset, set);
        assert!(twice.is_none(), "twice: {row}");
    }
    assert_eq!(partitions.len(), 4);
    for by_offset in partitions.values() {
        let cuts = cut_overs(by_offset);
        let sets: Vec<i64> = cuts.iter().map(|(_, set)| *set).collect();
        assert_eq!(sets, [1, promoted]);
    }
    books_balance(&place);
}

#[test]
fn a_restart_neither_undoes_a_promotion_nor_promotes_what_is_only_staged() {
    let place = Place::new();
    let (_, pipeline) = retail(&place, 0..10);
    place.run_to_the_end(&pipeline);
    let strict = version(&place, &pipeline, "strict", &[(LOOSE, STRICT)]);
    let until = ["run", pipeline.to_str().unwrap(), "--until-caught-up"];
    let active = || {
        rules(&place, &["show", "retail"])["number"]
            .as_i64()
            .unwrap()
    };

    // What was promoted by the command line stands, though the host's TOML is as it was.
    let promoted = promote(&place, number(&stage(&place, &strict)));
    let said = place.assay(&until);
    assert!(said.err.contains("goes on judging"), "{}", said.err);
    said.well();
    assert_eq!(active(), promoted);

    // The TOML is edited and staged: a restart, or a crash, leaves it staged.
    let text = std::fs::read_to_string(&pipeline).unwrap();
    std::fs::write(&pipeline, text.replace(LOOSE, "max_quantity = 7")).unwrap();
    let staged = number(&stage(&place, &pipeline));
    let said = place.assay(&until);
    assert!(said.err.contains("not promoted"), "{}", said.err);
    said.well();
    assert_eq!(active(), promoted);
    let seven = promote(&place, staged);
    place.assay(&until).well();
    assert_eq!(active(), seven);

    // An edit that nobody staged counts at the next start, as it always did.
    std::fs::write(&pipeline, text.replace(LOOSE, "max_quantity = 8")).unwrap();
    place.assay(&until).well();
    assert!(active() > seven);
    assert_eq!(state(&place, seven).0, "retired");
    books_balance(&place);
}

/// The validator's component with other bytes, which do the same.
fn other_component(place: &Place) -> PathBuf {
    let component = repository().join("plugins/validate-sales/validate-sales.wasm");
    let mut bytes = std::fs::read(component).unwrap();
    // A custom section of five bytes: the length of its name, and the name.
    bytes.extend_from_slice(b"\x00\x05\x04note");
    place.write("other/validate-sales.wasm", bytes)
}

/// Stages the pipeline with another component. Answers with its number, and where its blob lies.
fn stage_other(place: &Place, pipeline: &Path) -> (i64, PathBuf) {
    let component = other_component(place);
    let plugins = repository().join("plugins/validate-sales/validate-sales.wasm");
    let replace = [(plugins.to_str().unwrap(), component.to_str().unwrap())];
    let other = version(place, pipeline, "other", &replace);
    let blobs = || -> BTreeSet<PathBuf> {
        let listed = std::fs::read_dir(place.lake().join("retail/blobs")).unwrap();
        listed.map(|entry| entry.unwrap().path()).collect()
    };
    let before = blobs();
    let staged = stage(place, &other);
    let change = staged["differences"][0].clone();
    assert_eq!(change["part"], "validate validate-sales");
    assert!(change["change"].as_str().unwrap().contains("component"));
    let mut new = blobs().difference(&before).cloned().collect::<Vec<_>>();
    assert_eq!(new.len(), 1);
    (number(&staged), new.remove(0))
}

#[test]
fn a_set_that_a_running_host_cannot_take_up_gives_way_to_the_one_before_and_is_marked_failed() {
    let place = Place::new();
    let (events, pipeline) = retail(&place, 0..100);
    let mut host = run(&place, &pipeline);
    host.until("the first sales are taken in", |_| taken(&place) == 100);
    let before = rules(&place, &["show", "retail"]);

    // While the host is held up, a set is promoted whose component is then gone from the lake.
    host.signal("STOP");
    let (staged, blob) = stage_other(&place, &pipeline);
    let promoted = promote(&place, staged);
    std::fs::remove_file(blob).unwrap();
    host.signal("CONT");
    host.until("it says so", |host| {
        host.log().lines().any(|line| {
            line.contains("ERROR")
                && line.contains(&format!("rule set {promoted} can't be taken up"))
        })
    });
    place.append(&events, &sales(100..200));
    host.until("it goes on", |_| taken(&place) == 200);
    let (ended, log) = host.stop();
    assert!(ended.success(), "{log}");

    let (failed, reason) = state(&place, promoted);
    assert_eq!(failed, "failed");
    assert!(reason.contains("missing from the lake"), "{reason}");
    let after = rules(&place, &["show", "retail"]);
    assert!(number(&after) > promoted, "a number only grows");
    assert_eq!(after["definition"], before["definition"]);
    let limits = BTreeMap::from([(number(&before), 10), (number(&after), 10)]);
    judged(&place, &limits);
    books_balance(&place);
    let again = place.assay(&[
        "rules",
        "promote",
        "retail",
        &staged.to_string(),
        "--why",
        "-",
    ]);
    assert!(again.badly().contains("missing from the lake"));
}

#[test]
fn what_does_not_fit_is_refused_before_it_judges_and_the_active_set_stays() {
    let place = Place::new();
    let (_, pipeline) = retail(&place, 0..10);
    let replace = [("currency =", "note = \"string\"\ncurrency =")];
    let pipeline = version(&place, &pipeline, "noted", &replace);
    place.run_to_the_end(&pipeline);
    let active = number(&rules(&place, &["show", "retail"]));

    // A field of another type than its column in the tables.
    let replace = [("note = \"string\"", "note = \"integer\"")];
    let clash = version(&place, &pipeline, "clash", &replace);
    let arguments = [
        "rules",
        "stage",
        "retail",
        "--pipeline",
        clash.to_str().unwrap(),
    ];
    let said = place.assay(&arguments).badly();
    assert!(said.contains("column note is Utf8"), "{said}");
    // A param that the component does not know.
    let replace = [(LOOSE, "most_quantity = 5")];
    let wrong = version(&place, &pipeline, "wrong", &replace);
    let arguments = [
        "rules",
        "stage",
        "retail",
        "--pipeline",
        wrong.to_str().unwrap(),
    ];
    let said = place.assay(&arguments).badly();
    assert!(said.contains("most_quantity"), "{said}");

    // A component that is gone when it is to be promoted.
    let (staged, blob) = stage_other(&place, &pipeline);
    std::fs::remove_file(blob).unwrap();
    let text = staged.to_string();
    let promote = ["rules", "promote", "retail", &text, "--why", "-"];
    let said = place.assay(&promote).badly();
    assert!(said.contains("marked failed"), "{said}");
    assert_eq!(state(&place, staged).0, "failed");
    assert_eq!(number(&rules(&place, &["show", "retail"])), active);
    let never = place.assay(&["rules", "rollback", "retail", "--to", &text, "--why", "-"]);
    assert!(never.badly().contains("never judged"));
}

#[test]
fn a_promotion_keeps_what_was_loaded_since_and_a_rollback_has_the_rows_of_its_set() {
    let place = Place::new();
    let (_, pipeline) = retail(&place, 0..10);
    let load = |product| place.load_product(&pipeline, product);
    let rows = || {
        let shown = rules(&place, &["show", "retail"]);
        shown["definition"]["dimensions"]["product"]["rows"].clone()
    };
    load("Tea");
    let (tea, first) = (rows(), number(&rules(&place, &["show", "retail"])));
    let strict = version(&place, &pipeline, "strict", &[(LOOSE, STRICT)]);
    let staged = number(&stage(&place, &strict));
    load("Green tea");
    let green = rows();
    assert_ne!(tea, green);
    promote(&place, staged);
    assert_eq!(rows(), green);

    let to = first.to_string();
    let diff = rules(&place, &["diff", "retail", &to]);
    let texts: Vec<&str> = diff["differences"]
        .as_array()
        .unwrap()
        .iter()
        .map(|difference| difference["change"].as_str().unwrap())
        .collect();
    let wanted = [
        "param max_quantity 5 -> 10000",
        "rows of 0 keys added, 0 removed, 1 changed",
    ];
    assert_eq!(texts, wanted);
    let back = ["rollback", "retail", "--to", &to, "--why", "a test"];
    rules(&place, &[&back[..], &["--keep-dimensions"]].concat());
    assert_eq!(rows(), green);
    rules(&place, &back);
    assert_eq!(rows(), tea);
}

#[test]
fn under_watch_an_edit_or_a_rebuilt_component_judges_at_once_and_a_broken_edit_changes_nothing() {
    let place = Place::new();
    let (events, pipeline) = retail(&place, 0..10);
    let plugins = repository().join("plugins/validate-sales/validate-sales.wasm");
    let ours = place.path().join("rules/validate-sales.wasm");
    std::fs::create_dir_all(ours.parent().unwrap()).unwrap();
    std::fs::copy(&plugins, &ours).unwrap();
    let replace = [(plugins.to_str().unwrap(), ours.to_str().unwrap())];
    let pipeline = version(&place, &pipeline, "watched", &replace);
    let text = std::fs::read_to_string(&pipeline).unwrap();
    let mut host = place.host(&["run", pipeline.to_str().unwrap(), "--watch"]);
    host.until("the first sales are taken in", |_| taken(&place) == 10);
    let sets = || number(&rules(&place, &["show", "retail"]));
    let first = sets();

    std::fs::write(&pipeline, text.replace(LOOSE, STRICT)).unwrap();
    host.until("the edit judges", |host| {
        host.log().contains("param max_quantity 10000 -> 5")
    });
    let edited = sets();
    place.append(&events, &sales(10..20));
    host.until("more is taken in", |_| taken(&place) == 20);

    std::fs::write(&pipeline, text.replace(LOOSE, "most_quantity = 5")).unwrap();
    host.until("it says what is wrong", |host| {
        let log = host.log();
        let mut lines = log.lines();
        lines.any(|line| line.contains("ERROR") && line.contains("most_quantity"))
    });
    assert_eq!(sets(), edited);
    std::fs::write(&pipeline, &text).unwrap();
    host.until("the edit is taken back", |host| {
        host.log().contains("param max_quantity 5 -> 10000")
    });
    let back = sets();
    std::fs::copy(other_component(&place), &ours).unwrap();
    host.until("the component judges", |host| {
        host.log().contains("validate validate-sales: component")
    });
    let rebuilt = sets();
    place.append(&events, &sales(20..30));
    host.until("all is taken in", |_| taken(&place) == 30);
    let (ended, log) = host.stop();
    assert!(ended.success(), "{log}");
    let limits = BTreeMap::from([(first, 10), (edited, 5), (back, 10), (rebuilt, 10)]);
    let cuts = cut_overs(&judged(&place, &limits));
    let judging: Vec<i64> = cuts.iter().map(|(_, set)| *set).collect();
    assert_eq!(judging, [first, edited, rebuilt]);
    books_balance(&place);
}
