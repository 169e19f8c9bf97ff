use std::process::Command;

use crate::place::{Place, repository};

#[test]
fn the_real_week_adds_up_to_what_an_independent_script_computes() {
    let place = Place::new();
    let folder = repository().join("pipelines/online-retail");
    let csv = folder.join("online_retail_week.csv");
    let events = place.path().join("events/week.ndjson");
    std::fs::create_dir_all(events.parent().unwrap()).unwrap();
    let converted = Command::new("python3")
        .arg(folder.join("convert.py"))
        .arg(&csv)
        .arg("-o")
        .arg(&events)
        .output()
        .unwrap();
    assert!(converted.status.success(), "{converted:?}");
    let pipeline = place.pipeline(
        "online-retail",
        &[("path = \"online-retail/events\"", "path = \"events\"")],
    );
    place.run_to_the_end(&pipeline);
    let said = place.reader("online_retail.py", &[place.lake().to_str().unwrap()]);
    assert!(said.contains("OK"), "{said}");
}
