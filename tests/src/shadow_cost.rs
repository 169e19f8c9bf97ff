use std::path::Path;
use std::time::{Duration, Instant};

use crate::place::{Place, told};
use crate::rules_swap::{LOOSE, STRICT, number, rules, stage, version};

/// What one run took.
struct Taken {
    wall: Duration,
    /// The processor time of the whole process.
    cpu: Duration,
    /// That of what judged beside.
    shadow: Duration,
    /// Messages that were judged beside.
    looked_at: u64,
}

impl Taken {
    /// The processor time of what every run does.
    fn active(&self) -> Duration {
        self.cpu.saturating_sub(self.shadow)
    }
}

/// Runs the events into a lake of their own, beside a staged set or not.
fn run(place: &Place, lake: &Path, events: &Path, beside: bool) -> Taken {
    // There must be a rule set before another can judge beside it.
    let first = place.write("first/sales.ndjson", "");
    let begin = place.retail_from_files(&first, &[]);
    let until = ["run", begin.to_str().unwrap(), "--until-caught-up"];
    let mut place_of_lake = Place::new();
    place_of_lake.set("ASSAY_LAKE", lake.to_str().unwrap());
    place_of_lake.assay(&until).well();
    let pipeline = place.retail_from_files(events, &[]);
    let strict = version(place, &pipeline, "strict", &[(LOOSE, STRICT)]);
    let set = number(&stage(&place_of_lake, &strict)).to_string();
    if beside {
        rules(&place_of_lake, &["shadow", "retail", &set]);
    }
    let until = ["run", pipeline.to_str().unwrap(), "--until-caught-up"];
    let begun = Instant::now();
    let cpu = place_of_lake.measured(&until);
    let wall = begun.elapsed();
    let (mut shadow, mut looked_at) = (Duration::ZERO, 0);
    if beside {
        let report = rules(&place_of_lake, &["report", "retail", &set]);
        let millis = report["coverage"]["cpu_millis"].as_u64().unwrap();
        shadow = Duration::from_millis(millis);
        looked_at = report["comparison"]["rows"].as_u64().unwrap();
    }
    let books = place_of_lake.assay(&["verify"]).well();
    assert!(books.contains("retail: the books balance"), "{books}");
    Taken {
        wall,
        cpu,
        shadow,
        looked_at,
    }
}

fn median(runs: &[Taken], of: impl Fn(&Taken) -> Duration) -> f64 {
    let mut all: Vec<Duration> = runs.iter().map(of).collect();
    all.sort_unstable();
    all[all.len() / 2].as_secs_f64()
}

/// `ASSAY_SHADOW_EVENTS` and `ASSAY_SHADOW_RUNS` say how much of it is run: as often with a shadow as
/// without, in turn, of the same events. What it costs is printed; of a build that is not for release
/// that says little, and of a short run, in which the shadow may not get round to a row, nothing.
#[test]
#[ignore = "a measurement, for a release build and many events"]
fn what_a_shadow_costs_those_who_judge() {
    let events = told("ASSAY_SHADOW_EVENTS").unwrap_or(300_000);
    let runs = told("ASSAY_SHADOW_RUNS").unwrap_or(5);
    let place = Place::new();
    let generate = ["generate", "sales", "--count", &events.to_string()];
    place.assay(&generate).well();
    let sold = place.path().join("sales/events");
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for number in 0..runs {
        let lake = |kind: &str| place.path().join(format!("lake-{number}-{kind}"));
        alone.push(run(&place, &lake("alone"), &sold, false));
        beside.push(run(&place, &lake("beside"), &sold, true));
    }
    let ratio = |of: fn(&Taken) -> Duration| median(&beside, of) / median(&alone, of) - 1.0;
    let looked_at: Vec<u64> = beside.iter().map(|taken| taken.looked_at).collect();
    println!(
        "{events} events, {runs} runs each, medians: alone {:.2} s and {:.2} s of CPU; beside a shadow {:.2} s and {:.2} s of CPU, and {:.2} s of the shadow's own for {looked_at:?} rows: {:+.1} % time, {:+.1} % CPU of those who judge",
        median(&alone, |taken| taken.wall),
        median(&alone, Taken::active),
        median(&beside, |taken| taken.wall),
        median(&beside, Taken::active),
        median(&beside, |taken| taken.shadow),
        100.0 * ratio(|taken| taken.wall),
        100.0 * ratio(Taken::active),
    );
    assert!(looked_at.iter().all(|rows| *rows > 0), "{looked_at:?}");
}
