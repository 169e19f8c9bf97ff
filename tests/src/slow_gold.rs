use std::time::{Duration, Instant, SystemTime};

use crate::place::Place;
use crate::rules_swap::sale;
use crate::waits;

/// How long a file of gold takes.
const FILE: Duration = Duration::from_secs(2);

#[test]
fn sales_land_while_gold_is_being_written() {
    let place = Place::new();
    let events = place.write("events/sales.ndjson", sale(0));
    let often = [
        ("\n[event]", "\n[batch]\nevery = \"50ms\"\n\n[event]"),
        ("every = \"5s\"", "every = \"200ms\""),
    ];
    let pipeline = place.retail_from_files(&events, &often);
    let slow = format!("gold/daily_sales.file=sleep({})", FILE.as_millis());
    let run = ["run", pipeline.to_str().unwrap()];
    let host = place.host_at(&slow, "slow", &[], &run);
    let begun = Instant::now();
    for id in 1.. {
        place.append(&events, &sale(id));
        std::thread::sleep(Duration::from_millis(100));
        if begun.elapsed() > 4 * FILE {
            break;
        }
    }
    let waits = waits::of(&place, SystemTime::now());
    let (ended, log) = host.stop();
    assert!(ended.success(), "{log}");
    let (longest, told) = waits.longest();
    assert!(longest < FILE * 3 / 4, "{told}\n{log}");
    place.run_to_the_end(&pipeline);
}
