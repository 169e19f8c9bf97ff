use std::path::Path;

use serde_json::Value;

use crate::emulator::Registry;
use crate::place::Place;
use crate::rules_swap::rules;
use crate::signed::{key, pipeline, sales, sign, validator};

/// Has a pipeline name its component otherwise.
fn rename(toml: &Path, from: &str, to: &str) {
    let text = std::fs::read_to_string(toml).unwrap();
    assert!(text.contains(from), "{from:?}");
    std::fs::write(toml, text.replace(from, to)).unwrap();
}

fn push(place: &Place, component: &Path, to: &str) -> String {
    let said = place.assay(&["plugin", "push", component.to_str().unwrap(), to]);
    said.well().trim().to_owned()
}

fn caches(place: &mut Place) {
    let cache = place.path().join("cache");
    place.set("XDG_CACHE_HOME", cache.to_str().unwrap());
}

#[test]
fn what_is_pushed_is_pulled_by_its_digest_and_judges_signed_as_it_was_without_the_registry_too() {
    let mut place = Place::new();
    caches(&mut place);
    let registry = Registry::open();
    place.write("events/sales.ndjson", sales(0..5));
    let (ann, anns, id) = key(&place, "ann");
    let (component, toml) = pipeline(&place, "mine", &validator("nop"), &[&anns]);
    let bytes = std::fs::read(&component).unwrap();
    sign(&place, &component, &ann);
    let to = format!("{}/team/check-sales:1.0", registry.host);
    let line = push(&place, &component, &to);
    assert_eq!(
        push(&place, &component, &to),
        line,
        "another digest for the same"
    );
    let pinned = line.split('"').nth(1).unwrap().to_owned();
    assert!(pinned.starts_with(&format!("oci://{}/team/check-sales@sha256:", registry.host)));
    // Without a tag it is there by its digest; with other bytes it has another.
    let untagged = push(&place, &component, &format!("{}/team/other", registry.host));
    assert_eq!(untagged.rsplit('@').next(), line.rsplit('@').next());

    // Anybody reads it as the CNCF lays it out.
    let manifest: Value =
        serde_json::from_str(&registry.get("/v2/team/check-sales/manifests/1.0")).unwrap();
    assert_eq!(
        manifest["config"]["mediaType"],
        "application/vnd.wasm.config.v0+json"
    );
    assert_eq!(manifest["layers"][0]["mediaType"], "application/wasm");

    // A tag may name another thing tomorrow, so a TOML must name the digest.
    let tagged = format!("oci://{to}");
    rename(&toml, "check.wasm", &tagged);
    let said = place.assay(&["check", toml.to_str().unwrap()]).badly();
    assert!(
        said.contains("retail.toml:13: ") && said.contains("names no digest"),
        "{said}"
    );
    rename(&toml, &tagged, &pinned);
    std::fs::remove_file(&component).unwrap();
    let checked = place.assay(&["check", toml.to_str().unwrap()]).well();
    assert!(checked.contains("validate check-sales"), "{checked}");
    place.run_to_the_end(&toml);
    let set = rules(&place, &["show", "retail"]);
    let used = &set["definition"]["validate"][0];
    assert_eq!(used["name"], "check-sales");
    assert_eq!(used["signature"]["key"], Value::from(anns.clone()));

    for (from, file) in [
        (pinned.as_str(), "by-digest.wasm"),
        (to.as_str(), "by-tag.wasm"),
    ] {
        let said = place.assay(&["plugin", "pull", from, "--to", file]).well();
        assert!(said.contains(&pinned), "{said}");
        assert_eq!(std::fs::read(place.path().join(file)).unwrap(), bytes);
        let shown = place.assay(&["plugin", "inspect", file]).well();
        assert!(shown.contains(&format!("signed    with {id}\n")), "{shown}");
    }

    // What was pulled once is there when the registry is not; damaged, it is not used.
    drop(registry);
    place.append(&place.path().join("events/sales.ndjson"), &sales(5..10));
    place.run_to_the_end(&toml);
    assert_eq!(place.rows("retail/silver").len(), 10);
    for file in std::fs::read_dir(place.path().join("cache/assay/oci")).unwrap() {
        std::fs::write(file.unwrap().path(), "something else").unwrap();
    }
    let said = place
        .assay(&["run", toml.to_str().unwrap(), "--until-caught-up"])
        .badly();
    assert!(said.contains("can be reached from here"), "{said}");
}

#[test]
fn a_registry_that_holds_other_bytes_or_wants_a_password_is_told_from_one_that_does_not() {
    let mut place = Place::new();
    caches(&mut place);
    let registry = Registry::with_a_password();
    let component = place.write("check.wasm", validator("nop"));
    let to = format!("{}/team/check-sales:1.0", registry.host);
    let push = |place: &Place| place.assay(&["plugin", "push", component.to_str().unwrap(), &to]);
    let said = push(&place).badly();
    assert!(
        said.contains("401") && said.contains("ASSAY_REGISTRY_USERNAME"),
        "{said}"
    );
    place.set("ASSAY_REGISTRY_USERNAME", registry.username);
    place.set("ASSAY_REGISTRY_PASSWORD", registry.password);
    let said = push(&place).badly();
    assert!(said.contains("ASSAY_REGISTRY names the registry"), "{said}");
    // They are for the registry alone that is named.
    place.set("ASSAY_REGISTRY", "registry.example");
    assert!(push(&place).badly().contains("401"));
    place.set("ASSAY_REGISTRY", &registry.host);
    let line = push(&place).well();
    let pinned = line.split('"').nth(1).unwrap();
    place.assay(&["plugin", "pull", pinned]).well();

    // Somebody who writes to its disk.
    registry.damage();
    std::fs::remove_dir_all(place.path().join("cache")).unwrap();
    let before = std::fs::read(place.path().join("check-sales.wasm")).unwrap();
    let said = place.assay(&["plugin", "pull", pinned]).badly();
    assert!(said.contains("is not used"), "{said}");
    assert_eq!(
        std::fs::read(place.path().join("check-sales.wasm")).unwrap(),
        before
    );

    let gone = pinned.replace("check-sales", "nothing");
    let said = place.assay(&["plugin", "pull", &gone]).badly();
    assert!(
        said.contains("404") && said.contains("whether it was pushed"),
        "{said}"
    );
    for said in [said, line.clone()] {
        assert!(!said.contains(registry.password));
    }
}
