mod compile;

mod limits;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::guest::{Text, around, corpus, hostile};
use crate::place::{Place, assay, most_memory};

/// Rows that each tenant is given, and the one of them that its component is hostile to.
const ROWS: usize = 40;
const GUILTY: usize = 20;

/// What is to become of a tenant whose component is hostile.
#[derive(Debug)]
enum End {
    /// The guilty row is in quarantine under this rule, all others are in silver.
    Rule(String),
    /// All rows are in silver.
    Silver,
    /// It does not start, and these words say why.
    Refused(Vec<String>),
}

struct Hostile {
    name: String,
    step: &'static str,
    wasm: Vec<u8>,
    end: End,
}

/// A file of the corpus, with what is to come of it.
fn read(file: &Path) -> Hostile {
    let Text { end, step, wasm } = hostile(file);
    let end = match end.split_once(' ') {
        None if end == "silver" => End::Silver,
        None => End::Rule(end),
        Some(("refused", words)) => End::Refused(words.split(", ").map(str::to_owned).collect()),
        Some(_) => panic!("{}: {end}", file.display()),
    };
    Hostile {
        name: file.file_stem().unwrap().to_str().unwrap().to_owned(),
        step: step.as_str(),
        wasm,
        end,
    }
}

/// One whose file is larger than a tenant allows.
fn huge_file() -> Hostile {
    let words = ["huge-file.toml:7", "component allows 33554432"];
    Hostile {
        name: "huge-file".to_owned(),
        step: "validate",
        wasm: compile::function_of(50_000_000),
        end: End::Refused(words.map(str::to_owned).to_vec()),
    }
}

/// A tenant of its own for a component, over the events that all of them have.
fn tenant(place: &Place, name: &str, step: &str, wasm: &[u8], more: &str) {
    place.write(&format!("tenants/{name}.wasm"), wasm);
    let toml = format!(
        "version = 1\ntenant = \"{name}\"\n[source]\nkind = \"file\"\n\
         path = \"../events/sales.ndjson\"\n\
         [[{step}]]\ncomponent = \"{name}.wasm\"\n{more}\
         [event.fields]\ntransaction_id = \"string\"\nquantity = \"integer\"\n\
         timestamp = \"timestamp\"\n"
    );
    place.write(&format!("tenants/{name}.toml"), toml);
}

fn events(place: &Place, quantity: impl Fn(usize) -> usize) {
    let sales: String = (0..ROWS)
        .map(|row| {
            format!(
                "{{\"transaction_id\":\"T{row}\",\"quantity\":{},\"timestamp\":\"2025-03-01T10:00:00Z\"}}\n",
                quantity(row)
            )
        })
        .collect();
    place.write("events/sales.ndjson", sales);
}

/// 13 in the guilty row alone.
fn quantity(row: usize) -> usize {
    if row == GUILTY { 13 } else { row + 100 }
}

/// Runs every tenant in one host. Answers with what it said and its own peak of memory, in bytes:
/// what its compilers' processes take is not the host's.
fn run(place: &Place) -> (bool, String, u64) {
    let log = place.path().join("host.log");
    let said = std::fs::File::create(&log).unwrap();
    let mut host = Command::new(assay())
        .args(["run", "tenants", "--until-caught-up"])
        .current_dir(place.path())
        .env("ASSAY_LAKE", place.lake())
        // Nothing that was compiled before is to be found.
        .env("XDG_CACHE_HOME", place.path().join("cache"))
        .stdin(Stdio::null())
        .stdout(said.try_clone().unwrap())
        .stderr(said)
        .spawn()
        .unwrap();
    let mut peak = 0;
    let ended = loop {
        peak = peak.max(most_memory(host.id()).unwrap_or_default());
        if let Some(ended) = host.try_wait().unwrap() {
            break ended;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let log = std::fs::read_to_string(log).unwrap();
    (ended.success(), log, peak)
}

/// How a tenant's rows ended, by their number: in silver, or in quarantine under a rule.
fn ends(place: &Place, tenant: &str) -> BTreeMap<usize, String> {
    let mut ends = BTreeMap::new();
    let lines = std::fs::read_to_string(place.path().join("events/sales.ndjson")).unwrap();
    let mut at = 0;
    let numbers: BTreeMap<i64, usize> = lines
        .lines()
        .enumerate()
        .map(|(row, line)| {
            let begin = at;
            at += line.len() as i64 + 1;
            (begin, row)
        })
        .collect();
    let mut note = |row: &serde_json::Value, end: String| {
        let row = numbers[&row["_offset"].as_i64().unwrap()];
        let before = ends.insert(row, end);
        assert!(before.is_none(), "{tenant}: row {row} is in {before:?} too");
    };
    for row in place.rows(&format!("{tenant}/silver")) {
        note(&row, "silver".to_owned());
    }
    for row in place.rows(&format!("{tenant}/quarantine")) {
        note(&row, row["rule"].as_str().unwrap().to_owned());
    }
    ends
}

/// The line of a host's log that says why a tenant stopped.
fn error_of<'a>(log: &'a str, tenant: &str) -> &'a str {
    let named = format!("tenant={tenant}");
    let mut lines = log.lines();
    let line = lines.find(|line| line.contains("ERROR") && line.contains(&named));
    line.unwrap_or_else(|| panic!("{tenant} is not named:\n{log}"))
}

fn all_but(guilty: &str) -> BTreeMap<usize, String> {
    let end = |row| if row == GUILTY { guilty } else { "silver" };
    (0..ROWS).map(|row| (row, end(row).to_owned())).collect()
}

fn neighbour(place: &Place) {
    tenant(
        place,
        "neighbour",
        "validate",
        &around("validator", "nop", ""),
        "",
    );
}

#[test]
fn hostile_components_harm_their_own_guilty_rows_or_their_own_start_alone() {
    let alone = Place::new();
    events(&alone, quantity);
    neighbour(&alone);
    let (good, log, usual) = run(&alone);
    assert!(good, "{log}");

    let place = Place::new();
    events(&place, quantity);
    neighbour(&place);
    let files = std::fs::read_dir(corpus().join("hostile")).unwrap();
    let mut hostile: Vec<Hostile> = files.map(|file| read(&file.unwrap().path())).collect();
    assert!(hostile.len() >= 15);
    hostile.push(huge_file());
    for one in &hostile {
        tenant(&place, &one.name, one.step, &one.wasm, "");
    }
    let (good, log, peak) = run(&place);
    assert!(!good, "those who were refused go unsaid:\n{log}");
    assert_eq!(ends(&place, "neighbour"), all_but("silver"));
    for one in &hostile {
        let name = &one.name;
        match &one.end {
            End::Rule(rule) => assert_eq!(ends(&place, name), all_but(rule), "{name}\n{log}"),
            End::Silver => assert_eq!(ends(&place, name), all_but("silver"), "{name}\n{log}"),
            End::Refused(words) => {
                let line = error_of(&log, name);
                for word in words {
                    assert!(line.contains(word.as_str()), "{name}: {word}: {line}");
                }
                assert!(!place.lake().join(name).join("silver").exists(), "{name}");
            }
        }
    }
    // 8 KiB of each of a call's log at most, whatever is logged for ever.
    assert!(log.len() < 512 << 10, "{} bytes of log", log.len());
    let more = peak.saturating_sub(usual) >> 20;
    println!(
        "{} components: {more} MiB above {} MiB",
        hostile.len(),
        usual >> 20
    );
    assert!(more < 64, "the host took {more} MiB more");
}

#[test]
fn what_a_component_keeps_of_a_call_is_gone_in_the_next() {
    let place = Place::new();
    // A call is given 8,192 rows at most.
    let rows = 20_000;
    let sale = |row| {
        format!(
            "{{\"transaction_id\":\"T{row}\",\"quantity\":13,\
             \"timestamp\":\"2025-03-01T10:00:00Z\"}}\n"
        )
    };
    place.write(
        "events/sales.ndjson",
        (0..rows).map(sale).collect::<String>(),
    );
    let hostile = read(&corpus().join("hostile/kept-state.wat"));
    tenant(&place, "kept", "validate", &hostile.wasm, "");
    let (good, log, _) = run(&place);
    assert!(good, "{log}");
    let silver = (0..rows).map(|row| (row, "silver".to_owned()));
    assert_eq!(ends(&place, "kept"), silver.collect());
}

#[test]
fn a_component_that_fails_on_too_many_rows_stops_its_tenant_until_its_rows_are_re_pinned() {
    let place = Place::new();
    events(&place, |row| if row % 2 == 0 { 13 } else { row + 100 });
    neighbour(&place);
    let wasm = around("validator", "unreachable", "");
    let breaker = "[breaker]\nwindow = 20\n";
    tenant(&place, "broken", "validate", &wasm, breaker);
    let stopped = |log: &str| {
        let line = error_of(log, "broken");
        assert!(
            line.contains("circuit breaker") && line.contains("re-pin"),
            "{line}"
        );
        assert_eq!(place.rows("broken/bronze").len(), ROWS);
        assert!(place.rows_if_any("broken/quarantine").is_empty());
        assert!(place.rows_if_any("broken/silver").is_empty());
    };
    let (good, log, _) = run(&place);
    assert!(!good, "{log}");
    stopped(&log);
    assert_eq!(ends(&place, "neighbour"), all_but("silver"));

    // Mended: what comes is the new set's, what waits is still the old one's.
    tenant(
        &place,
        "broken",
        "validate",
        &around("validator", "nop", ""),
        breaker,
    );
    let (good, log, _) = run(&place);
    assert!(!good, "{log}");
    stopped(&log);
    let bronze = place.rows("broken/bronze");
    let sets = place.rows("broken/rulesets");
    let number = sets.iter().filter_map(|set| set["number"].as_i64()).max();
    let (topic, number) = (bronze[0]["_topic"].as_str().unwrap(), number.unwrap());
    let number = number.to_string();
    let which = [
        "rules", "re-pin", "broken", topic, "0", "--from", "0", "--to", "1000000",
    ];
    let why = ["--number", &number, "--why", "the component is mended"];
    place.assay(&[&which[..], &why].concat()).well();
    let (good, log, _) = run(&place);
    assert!(good, "{log}");
    assert_eq!(ends(&place, "broken"), all_but("silver"));
}

#[test]
fn a_rule_set_that_fails_on_too_many_rows_gives_way_to_the_one_before_where_the_toml_says_so() {
    let place = Place::new();
    let all = place.path().join("events/sales.ndjson");
    events(&place, |row| row + 100);
    let fall_back = "[breaker]\nwindow = 20\nthen = \"fall-back\"\n";
    let good = around("validator", "nop", "");
    let set_up = |name: &str, wasm: &[u8]| tenant(&place, name, "validate", wasm, fall_back);
    set_up("broken", &good);
    set_up("first", &around("validator", "unreachable", ""));
    let (well, log, _) = run(&place);
    assert!(well, "{log}");

    // The second set of one, the first of the other.
    let before = std::fs::read_to_string(&all).unwrap();
    events(&place, |row| if row % 2 == 0 { 13 } else { row + 100 });
    let more = std::fs::read_to_string(&all).unwrap().replace("\"T", "\"U");
    std::fs::write(&all, before + &more).unwrap();
    set_up("broken", &around("validator", "unreachable", ""));
    let (well, log, _) = run(&place);
    assert!(
        !well,
        "the one that has nothing to fall back to stops:\n{log}"
    );
    let of = |name: &str| {
        let said = format!("tenant={name}");
        let lines = log.lines().filter(|line| line.contains(&said));
        lines.map(str::to_owned).collect::<Vec<_>>().join("\n")
    };
    assert!(of("broken").contains("judges in its place"), "{log}");
    assert!(of("first").contains("circuit breaker"), "{log}");
    assert_eq!(ends(&place, "first").len(), ROWS);

    // Each row once, in silver; those of the set that failed are the next one's.
    let in_silver = || {
        (0..2 * ROWS)
            .map(|row| (row, "silver".to_owned()))
            .collect()
    };
    assert_eq!(ends(&place, "broken"), in_silver());
    let rows = place.rows("broken/silver");
    let mut sets: Vec<i64> = rows
        .iter()
        .map(|row| row["_ruleset"].as_i64().unwrap())
        .collect();
    sets.sort_unstable();
    sets.dedup();
    assert_eq!(sets.len(), 2, "{sets:?}");
    let history = place.assay(&["rules", "history", "broken"]).well();
    assert!(
        history.contains("failed") && history.contains("re-pinned"),
        "{history}"
    );
    let books = place.assay(&["verify", "broken"]).well();
    assert!(books.contains("broken: the books balance"), "{books}");

    // The TOML still names it: it is not taken up again.
    std::fs::remove_file(place.path().join("tenants/first.toml")).unwrap();
    let (well, log, _) = run(&place);
    assert!(well, "{log}");
    assert_eq!(ends(&place, "broken"), in_silver());
}
