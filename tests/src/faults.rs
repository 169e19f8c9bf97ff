use std::path::PathBuf;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use crate::place::{Place, told};

const SHARES: &str = "lost=0.2,unavailable=0.05,conflict=0.02,stall=0.01,stall-ms=100,torn=0.005,io=0.002,full=0.0005,upkeep=1";

/// Files of sales, in many small ones so that there are many batches.
fn sales(count: u64) -> (Place, PathBuf) {
    let place = Place::new();
    let count = count.to_string();
    let shares = ["--ids", "--conflicts", "0.002", "--returns", "0.02"];
    let arguments = ["generate", "sales", "--count", &count, "--stores", "10"];
    place.assay(&[&arguments[..], &shares].concat()).well();
    let events = place.path().join("sales/events");
    let all = std::fs::read_to_string(events.join("sales.ndjson")).unwrap();
    let lines: Vec<&str> = all.split_inclusive('\n').collect();
    for (number, lines) in lines.chunks(250).enumerate() {
        place.write(&format!("many/{number:05}.ndjson"), lines.concat());
    }
    let small = ("\n[event]", "\n[batch]\nrows = 250\n\n[event]");
    let pipeline = place.retail_from_files(&place.path().join("many"), &[small]);
    (place, pipeline)
}

/// Ends what is left in calm, and judges by identity.
fn judge(place: &Place, pipeline: &std::path::Path) {
    place.run_to_the_end(pipeline);
    place.holds_expected_ids();
}

/// `ASSAY_FAULTS_SEED` says where to begin, `ASSAY_FAULTS_EVENTS` how many events there are.
#[test]
fn a_lake_that_loses_replies_turns_commits_away_and_tears_files_costs_no_row() {
    let (place, pipeline) = sales(told("ASSAY_FAULTS_EVENTS").unwrap_or(6_000));
    let run = ["run", pipeline.to_str().unwrap(), "--until-caught-up"];
    let first = told("ASSAY_FAULTS_SEED").unwrap_or(1);
    let mut said = String::new();
    // A run that is to end gives up after some tries in a row.
    for seed in first..first + 100 {
        let ended = place.assay_under(&format!("seed={seed},{SHARES}"), &run);
        said = ended.err;
        if ended.good {
            break;
        }
        let known = said.contains("gave up after") || said.contains("made up");
        assert!(known, "seed {seed}: {said}");
    }
    assert!(said.contains("under made-up faults"), "{said}");
    judge(&place, &pipeline);
}

#[test]
fn a_tenant_that_can_not_start_for_an_error_of_the_lake_starts_once_it_can() {
    let (place, pipeline) = sales(500);
    // Its rules can't be written, twice.
    let run = ["run", pipeline.to_str().unwrap()];
    let mut host = place.host_at("rulesets.put=2*return", "late", &[], &run);
    host.until("it reads", |host| {
        host.said().contains("partition assigned")
    });
    let said = host.said();
    let late = said.matches("the tenant can't start; nothing is lost, trying again");
    assert_eq!(late.count(), 2, "{said}");
    let (ended, log) = host.stop();
    assert!(ended.success(), "{log}");
    judge(&place, &pipeline);
}

#[test]
fn a_process_that_dies_at_any_put_goes_on_where_it_was() {
    let (place, pipeline) = sales(1_500);
    let run = ["run", pipeline.to_str().unwrap(), "--until-caught-up"];
    let first = told("ASSAY_FAULTS_SEED").unwrap_or(1);
    let mut random = ChaCha8Rng::seed_from_u64(first);
    let deaths = told("ASSAY_FAULTS_DEATHS").unwrap_or(12);
    for seed in first..first + deaths {
        let die = 1 + random.next_u32() % 30;
        let faults = format!("seed={seed},die={die}");
        let ended = place.assay_under(&faults, &run);
        // It may have come to its end first.
        assert!(!ended.good || seed > first, "{faults}: {}", ended.err);
    }
    judge(&place, &pipeline);
}

#[test]
fn a_build_for_users_knows_no_faults() {
    let (mut place, pipeline) = sales(250);
    place.set("ASSAY_FAULTS", "io=1,unavailable=1");
    judge(&place, &pipeline);
}
