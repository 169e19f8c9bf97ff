use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use crate::place::Place;

/// Sales with everything that goes wrong in them, and the truth about them.
fn generate(place: &Place, count: u32, seed: u64) {
    let arguments = [
        "generate",
        "sales",
        "--count",
        &count.to_string(),
        "--seed",
        &seed.to_string(),
        "--conflicts",
        "0.002",
        "--returns",
        "0.02",
        "--discounts",
        "0.1",
        "--ids",
    ];
    place.assay(&arguments).well();
}

#[test]
fn every_generated_sale_ends_where_it_should_and_gold_is_exact() {
    let place = Place::new();
    generate(&place, 50_000, 7);
    let pipeline = place.retail_from_files(&place.path().join("sales/events"), &[]);
    place.run_to_the_end(&pipeline);
    place.holds_expected(&[]);
    // Nothing new came: running again changes nothing.
    place.run_to_the_end(&pipeline);
    place.holds_expected(&[]);
}

#[test]
fn killed_ten_times_at_random_the_tables_end_the_same() {
    let place = Place::new();
    generate(&place, 60_000, 11);
    // Small batches, so that there is much to be killed in.
    let small = "\n[batch]\nrows = 2000\nevery = \"50ms\"\n\n[event]";
    let pipeline = place.retail_from_files(
        &place.path().join("sales/events"),
        &[
            ("\n[event]", small),
            ("every = \"5s\"", "every = \"200ms\""),
        ],
    );
    let mut random = ChaCha8Rng::seed_from_u64(11);
    for _ in 0..10 {
        let mut host = place.start(&["run", pipeline.to_str().unwrap(), "--until-caught-up"]);
        std::thread::sleep(Duration::from_millis(u64::from(random.next_u32() % 1_200)));
        host.kill().unwrap();
        host.wait().unwrap();
    }
    place.run_to_the_end(&pipeline);
    place.holds_expected(&[]);
}

#[test]
fn what_comes_behind_a_first_batch_that_failed_does_not_take_its_place() {
    let place = Place::new();
    generate(&place, 40_000, 13);
    let sales = std::fs::read_to_string(place.path().join("sales/events/sales.ndjson")).unwrap();
    let (first, rest) = sales.split_at(sales.find('\n').unwrap() + 1);
    place.write("events/a.ndjson", first);
    let pipeline = place.retail_from_files(
        &place.path().join("events"),
        &[("\n[event]", "\n[batch]\nrows = 2000\n\n[event]")],
    );
    place.run_to_the_end(&pipeline);

    // Bronze knows nothing of the second file, and can't be written when its first batch comes.
    place.write("events/b.ndjson", rest);
    let bronze = std::fs::read_dir(place.lake().join("retail/bronze")).unwrap();
    let mut folders = bronze.map(|entry| entry.unwrap().path());
    let folder = folders
        .find(|path| path.to_string_lossy().contains("_ingest_date="))
        .unwrap();
    let aside = place.path().join("aside");
    std::fs::rename(&folder, &aside).unwrap();
    std::fs::write(&folder, "in the way").unwrap();
    let mut host = place.host(&["run", pipeline.to_str().unwrap()]);
    host.until("it can't write", |host| host.log().contains("trying again"));
    std::fs::remove_file(&folder).unwrap();
    std::fs::rename(&aside, &folder).unwrap();
    let lake = place.lake();
    let arguments = [lake.to_str().unwrap(), "retail", "sales/expected.json"];
    let is_right = || place.try_reader("check_expected.py", &arguments).good;
    host.until("everything is in gold", |_| is_right());
    let (ended, log) = host.stop();
    assert!(ended.success(), "{log}");
    place.holds_expected(&[]);
}

#[test]
fn duplicates_are_found_exactly_where_the_keys_do_not_fit_the_memory() {
    let place = Place::new();
    generate(&place, 20_000, 23);
    // As they are, the keys would take a megabyte.
    let small = "\n[batch]\nrows = 2000\nevery = \"50ms\"\n\n[dedup]\nbytes = 200000\n\n[event]";
    let events = place.path().join("sales/events");
    let pipeline = place.retail_from_files(&events, &[("\n[event]", small)]);
    place.run_to_the_end(&pipeline);
    place.holds_expected(&[]);
    let nothing = small.replace("200000", "2000");
    let pipeline = place.retail_from_files(&events, &[("\n[event]", &nothing)]);
    let other = place.path().join("other");
    let run = ["run", pipeline.to_str().unwrap(), "--until-caught-up"];
    let said = place
        .assay(&[&run[..], &["--lake", other.to_str().unwrap()]].concat())
        .badly();
    assert!(said.contains("[dedup]"), "{said}");
}
