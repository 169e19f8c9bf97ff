use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::chaos::say;
use crate::machine::Machine;
use crate::place::{Host, Place, told};
use crate::till::{CLASSIC, Till, counted};

const DAY: i64 = 24 * 60 * 60;
/// How far the wall clock is off, in days, one after the other: forwards twice, and back twice.
const TURNS: [i64; 4] = [1, 0, -1, 0];
/// Jumps between restarts.
const RESTART: u64 = 8;
/// Within which all that was sold around a jump is in gold.
const LONGEST: Duration = Duration::from_secs(30);
/// What a host says of a clock that went backwards.
const SET_BACK: &str = "was set back";

fn start(till: &Till, machine: &Machine) -> Host {
    let variables = machine.variables();
    let variables = variables.each_ref().map(|(name, value)| (*name, &**value));
    till.place.host_where("clock", &variables, &till.run())
}

/// How long it takes until every sale is in gold.
fn wait(till: &Till, host: &mut Host) -> Duration {
    let since = Instant::now();
    while counted(&till.place) != i64::try_from(till.expected.len()).unwrap() {
        assert!(host.ended().is_none(), "it ended\n{}", host.said());
        let late = since.elapsed() > LONGEST;
        assert!(!late, "gold stands still\n{}", host.said());
        std::thread::sleep(Duration::from_millis(100));
    }
    since.elapsed()
}

/// `ASSAY_CLOCK_JUMPS` says how often the clock jumps, half of it forwards; `ASSAY_CLOCK_SEED`
/// where to begin.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wall_clock_that_jumps_a_day_either_way_stops_nothing_and_costs_no_row() {
    let jumps = told("ASSAY_CLOCK_JUMPS").unwrap_or(4);
    let seed = told("ASSAY_CLOCK_SEED").unwrap_or(1);
    let mut till = Till::new("clock", 2, seed, CLASSIC, "earliest").await;
    let machine = Machine::new(&till.place.lake());
    till.sell(20);
    let mut host = start(&till, &machine);
    wait(&till, &mut host);
    let (mut longest, mut back) = (Duration::ZERO, 0);
    for jump in 0..jumps {
        if jump % RESTART == RESTART - 1 {
            let (ended, log) = host.stop();
            assert!(ended.success(), "{log}");
            host = start(&till, &machine);
            back = 0;
        }
        let some = 1 + till.below(30);
        till.sell(some);
        let moment = u64::from(till.below(400));
        std::thread::sleep(Duration::from_millis(moment));
        let turn = usize::try_from(jump).unwrap() % TURNS.len();
        machine.set_clock(TURNS[turn] * DAY);
        let some = 1 + till.below(30);
        till.sell(some);
        till.sell_again();
        longest = longest.max(wait(&till, &mut host));
        // Kafka's client waits by that clock, so it must be another one since.
        back += usize::from(TURNS[turn] < TURNS[(turn + TURNS.len() - 1) % TURNS.len()]);
        host.until(
            "its Kafka client is made anew after each jump back",
            |host| host.said().matches(SET_BACK).count() >= back,
        );
    }
    let (ended, log) = host.stop();
    assert!(ended.success(), "{log}");
    machine.set_clock(0);
    till.judge();
    let dates = ingest_dates(&till.place);
    assert_eq!(dates.len(), 3, "{dates:?}");
    say(&format!(
        "clock: seed {seed}: {jumps} jumps of a day; {} sales, each once, {} duplicates found; in gold within {longest:?}",
        till.expected.len(),
        till.repeated.len()
    ));
}

/// The dates that bronze is partitioned by, each of which is that of its rows' moment.
fn ingest_dates(place: &Place) -> BTreeSet<String> {
    let rows = place.columns("retail/bronze", &["_ingest_date", "_ingested_at"]);
    let mut dates = BTreeSet::new();
    for row in rows {
        let date = row["_ingest_date"].as_str().unwrap();
        let moment = row["_ingested_at"].as_str().unwrap();
        assert!(moment.starts_with(date), "{row}");
        dates.insert(date.to_owned());
    }
    dates
}
