use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::guest::around;
use crate::place::Place;
use crate::rules_swap::{number, promote, rules, run, state, taken};

/// Makes a key. Answers with its file, its public half and its id.
pub fn key(place: &Place, name: &str) -> (PathBuf, String, String) {
    let file = place.path().join(format!("{name}.key"));
    let said = place
        .assay(&["plugin", "keygen", file.to_str().unwrap()])
        .well();
    let public = std::fs::read_to_string(place.path().join(format!("{name}.key.pub"))).unwrap();
    let public = public.trim().to_owned();
    assert!(said.contains(&format!("keys = [\"{public}\"]")), "{said}");
    let id = said
        .strip_prefix("key ")
        .unwrap()
        .split(' ')
        .next()
        .unwrap();
    (file, public, id.to_owned())
}

pub fn sign(place: &Place, component: &Path, key: &Path) -> String {
    let (component, key) = (component.to_str().unwrap(), key.to_str().unwrap());
    place
        .assay(&["plugin", "sign", component, "--key", key])
        .well()
}

/// A validator that finds nothing wrong. Those that do another `thing` have other bytes.
pub fn validator(thing: &str) -> Vec<u8> {
    around("validator", thing, "")
}

/// A pipeline of one validator, in a folder of its own, which trusts these keys alone. Answers with
/// the component and the TOML.
pub fn pipeline(
    place: &Place,
    name: &str,
    component: &[u8],
    trusted: &[&str],
) -> (PathBuf, PathBuf) {
    let component = place.write(&format!("{name}/check.wasm"), component);
    let events = place.path().join("events/sales.ndjson");
    let keys: Vec<String> = trusted.iter().map(|key| format!("\"{key}\"")).collect();
    let trust = match keys.is_empty() {
        true => String::new(),
        false => format!("[trust]\nkeys = [{}]\n", keys.join(", ")),
    };
    let toml = format!(
        "version = 1\ntenant = \"retail\"\n{trust}[source]\nkind = \"file\"\npath = \"{}\"\n\
         [batch]\nevery = \"50ms\"\n[shadow]\ncpu = 1.0\n[[validate]]\ncomponent = \"check.wasm\"\n\
         [event.fields]\ntransaction_id = \"string\"\nquantity = \"integer\"\ntimestamp = \"timestamp\"\n",
        events.display()
    );
    (component, place.write(&format!("{name}/retail.toml"), toml))
}

pub fn sales(ids: std::ops::Range<u32>) -> String {
    ids.map(|id| {
        format!(
            "{{\"transaction_id\":\"T{id}\",\"quantity\":13,\"timestamp\":\"2025-03-01T10:00:00Z\"}}\n"
        )
    })
    .collect()
}

/// Why a pipeline is neither checked, staged nor started.
fn refused(place: &Place, toml: &Path) -> String {
    let toml = toml.to_str().unwrap();
    let checked = place.assay(&["check", toml]);
    assert!(
        !checked.good && checked.out.contains("rules: WRONG"),
        "{checked:?}"
    );
    let staged = place.assay(&["rules", "stage", "retail", "--pipeline", toml]);
    let started = place.assay(&["run", toml, "--until-caught-up"]);
    let said = staged.badly();
    let why = said.trim().lines().last().unwrap();
    let why = why.split_once("retail.toml:").unwrap().1.to_owned();
    assert!(checked.out.contains(&why), "{}\n{why}", checked.out);
    let started = started.badly();
    assert!(started.contains(&why), "{started}\n{why}");
    why
}

#[test]
fn where_keys_are_trusted_only_what_one_of_them_signed_is_checked_staged_and_started() {
    let place = Place::new();
    place.write("events/sales.ndjson", sales(0..5));
    let (ann, anns, ann_id) = key(&place, "ann");
    let (bob, _, bob_id) = key(&place, "bob");
    let mode = std::fs::metadata(&ann).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let again = place
        .assay(&["plugin", "keygen", ann.to_str().unwrap()])
        .badly();
    assert!(again.contains("ann.key"), "{again}");

    let (component, toml) = pipeline(&place, "mine", &validator("nop"), &[&anns]);
    let why = refused(&place, &toml);
    // The line of the TOML, what is wrong, and what to do.
    assert!(why.starts_with("13: component "), "{why}");
    assert!(
        why.contains("is not signed") && why.contains("assay plugin sign"),
        "{why}"
    );
    let said = sign(&place, &component, &bob);
    assert!(said.contains(&format!("signed with {bob_id}")), "{said}");
    let why = refused(&place, &toml);
    let words = format!("signed with key {bob_id}, which is none of [trust] keys ({ann_id})");
    assert!(why.contains(&words), "{why}");
    sign(&place, &component, &ann);
    std::fs::write(&component, validator("(drop (i32.const 1))")).unwrap();
    let why = refused(&place, &toml);
    assert!(
        why.contains(&format!("changed after it was signed with key {ann_id}")),
        "{why}"
    );
    assert!(rules_are_none(&place), "something was refused and is there");
    std::fs::write(place.path().join("mine/check.wasm.sig"), "something else").unwrap();
    let why = refused(&place, &toml);
    assert!(why.contains("holds no signatures"), "{why}");
    std::fs::remove_file(place.path().join("mine/check.wasm.sig")).unwrap();

    std::fs::write(&component, validator("nop")).unwrap();
    sign(&place, &component, &bob);
    sign(&place, &component, &ann);
    let shown = place
        .assay(&["plugin", "inspect", component.to_str().unwrap()])
        .well();
    for id in [&ann_id, &bob_id] {
        assert!(shown.contains(&format!("signed    with {id}\n")), "{shown}");
    }
    place.run_to_the_end(&toml);
    let history = rules(&place, &["history", "retail"]);
    let what = history.as_array().unwrap().last().unwrap()["what"]
        .as_str()
        .unwrap();
    assert!(what.ends_with(&format!("; signed with {ann_id}")), "{what}");
    let set = rules(&place, &["show", "retail"]);
    assert_eq!(
        set["definition"]["validate"][0]["signature"]["key"],
        Value::from(anns)
    );
    // It ends with a key that others may read, and with what is no component.
    std::fs::set_permissions(&ann, std::fs::Permissions::from_mode(0o644)).unwrap();
    let sign = |file: &str| {
        let key = ann.to_str().unwrap();
        place.assay(&["plugin", "sign", file, "--key", key]).badly()
    };
    assert!(sign(component.to_str().unwrap()).contains("chmod 600"));
    std::fs::set_permissions(&ann, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert!(sign(toml.to_str().unwrap()).contains("is not signed"));
}

fn rules_are_none(place: &Place) -> bool {
    let said = place.assay(&["rules", "history", "retail", "--json"]);
    !said.good || said.out.trim() == "[]"
}

#[test]
fn what_others_stage_without_a_signature_neither_judges_nor_shadows_on_a_host_that_asks_for_one() {
    let place = Place::new();
    let events = place.write("events/sales.ndjson", sales(0..5));
    let (ann, anns, _) = key(&place, "ann");
    let (component, toml) = pipeline(&place, "mine", &validator("nop"), &[&anns]);
    sign(&place, &component, &ann);
    let mut host = run(&place, &toml);
    host.until("the first sales are taken in", |_| taken(&place) == 5);

    // Whoever writes into the lake may stage by a TOML that trusts anybody.
    let staged = |name: &str, thing: &str| {
        let (_, toml) = pipeline(&place, name, &validator(thing), &[]);
        let toml = toml.to_str().unwrap();
        number(&rules(&place, &["stage", "retail", "--pipeline", toml]))
    };
    let set = staged("other", "unreachable");
    rules(&place, &["shadow", "retail", &set.to_string()]);
    place.append(&events, &sales(5..10));
    host.until("the shadow fails", |_| state(&place, set).0 == "failed");
    assert!(state(&place, set).1.contains("is not signed"));
    let set = staged("another", "(drop (i32.const 1))");
    let active = promote(&place, set);
    host.until("it gives way", |_| state(&place, active).0 == "failed");
    assert!(state(&place, active).1.contains("is not signed"));
    place.append(&events, &sales(10..15));
    host.until("the next sales are taken in", |_| taken(&place) == 15);
    let (ended, log) = host.stop();
    assert!(ended.success(), "{log}");
    let loud = format!("rule set {active} can't be taken up");
    assert!(
        log.lines()
            .any(|l| l.contains("ERROR") && l.contains(&loud)),
        "{log}"
    );
    let by: Vec<_> = place
        .rows("retail/bronze")
        .iter()
        .map(|row| row["_ruleset"].as_i64().unwrap())
        .collect();
    assert!(!by.contains(&active), "{by:?}");
    assert_eq!(place.rows("retail/silver").len(), 15);

    // The key itself is nowhere but in its file.
    let secret = std::fs::read_to_string(&ann).unwrap();
    assert!(!log.contains(secret.lines().nth(1).unwrap()));
}

#[test]
fn under_watch_a_rebuilt_component_waits_for_its_signature_and_judges_once_it_is_there() {
    let place = Place::new();
    place.write("events/sales.ndjson", sales(0..5));
    let (ann, anns, _) = key(&place, "ann");
    let (component, toml) = pipeline(&place, "mine", &validator("nop"), &[&anns]);
    sign(&place, &component, &ann);
    let mut host = place.host(&["run", toml.to_str().unwrap(), "--watch"]);
    host.until("the first sales are taken in", |_| taken(&place) == 5);
    let sets = || number(&rules(&place, &["show", "retail"]));
    let first = sets();

    std::fs::write(&component, validator("(drop (i32.const 1))")).unwrap();
    host.until("it is refused", |host| {
        let log = host.log();
        let mut lines = log.lines();
        lines.any(|line| line.contains("ERROR") && line.contains("changed after it was signed"))
    });
    assert_eq!(sets(), first);
    // The component is as it was refused: its signature alone is new.
    sign(&place, &component, &ann);
    host.until("it judges", |host| {
        host.log().contains("validate check: component")
    });
    assert!(sets() > first);
    let (ended, log) = host.stop();
    assert!(ended.success(), "{log}");
}

#[test]
fn a_set_that_would_be_rolled_back_to_one_that_nobody_signed_goes_on_and_the_host_says_so_once() {
    let place = Place::new();
    let events = place.write("events/sales.ndjson", sales(0..5));
    let (ann, anns, _) = key(&place, "ann");
    let guarded = |toml: &Path| {
        let text = std::fs::read_to_string(toml).unwrap();
        std::fs::write(toml, text + "[rollback]\nrows = 200\ncost = 2\n").unwrap();
    };
    let (_, toml) = pipeline(&place, "anyone's", &validator("nop"), &[]);
    guarded(&toml);
    place.run_to_the_end(&toml);
    let work = "(drop (i32.const 1))".repeat(2_000);
    let (component, toml) = pipeline(&place, "ann's", &validator(&work), &[&anns]);
    guarded(&toml);
    sign(&place, &component, &ann);
    let mut host = run(&place, &toml);
    host.until("its first rows are watched", |host| {
        host.log().contains("rows are held")
    });
    place.append(&events, &sales(5..405));
    let told = |log: &str| {
        let told = log.lines().filter(|line| {
            line.contains("rule set 2 should be rolled back") && line.contains("is not signed")
        });
        told.count()
    };
    host.until("it can't be rolled back", |host| told(&host.log()) == 1);
    place.append(&events, &sales(405..410));
    host.until("the next sales are taken in", |_| taken(&place) == 410);
    let (ended, log) = host.stop();
    assert!(ended.success(), "{log}");
    assert_eq!(told(&log), 1, "{log}");
    assert_eq!(
        rules(&place, &["history", "retail"])
            .as_array()
            .unwrap()
            .len(),
        2
    );
    assert_eq!(state(&place, 2).0, "active");
    assert_eq!(place.rows("retail/silver").len(), 410);
}
