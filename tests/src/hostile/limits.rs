//! Each limit that a tenant's TOML may set, met by a component that the usual limits let through.

use super::{all_but, ends, error_of, events, neighbour, quantity, run, tenant};
use crate::guest::around;
use crate::place::Place;
use crate::rules_swap::sale;

/// Over rows of which one is 13: a component does `at_13` there. With the limits of `wide` that row ends
/// as the first of `ends_as` says, with each of `narrow` as the second.
fn holds(at_13: &str, ends_as: [&str; 2], wide: &str, narrow: &[&str]) -> (Place, String) {
    let [widely, narrowly] = ends_as;
    let place = Place::new();
    events(&place, quantity);
    let wasm = around("validator", at_13, "");
    tenant(&place, "wide", "validate", &wasm, wide);
    for (at, limits) in narrow.iter().enumerate() {
        tenant(&place, &format!("narrow-{at}"), "validate", &wasm, limits);
    }
    let (good, log, _) = run(&place);
    assert!(good, "{log}");
    assert_eq!(ends(&place, "wide"), all_but(widely), "{log}");
    for at in 0..narrow.len() {
        let name = format!("narrow-{at}");
        assert_eq!(ends(&place, &name), all_but(narrowly), "{name}: {log}");
    }
    let books = place.assay(&["verify"]).well();
    assert!(books.contains("narrow-0: the books balance"), "{books}");
    (place, log)
}

#[test]
fn fuel() {
    let work = "(local.set $n (i32.const 100000))
        (loop $on
          (local.set $n (i32.sub (local.get $n) (i32.const 1))) (br_if $on (local.get $n)))";
    let own = "limits = { fuel = 100000, fuel_per_row = 100 }\n";
    let all = "[limits]\nfuel = 100000\nfuel_per_row = 100\n";
    holds(work, ["silver", "out_of_fuel"], "", &[own, all]);
}

#[test]
fn memory() {
    // 256 pages, 16 MiB, and a trap where they are not to be had.
    let grow = "(if (i32.eq (memory.grow (i32.const 256)) (i32.const -1)) (then unreachable))";
    let own = "limits = { memory = 8388608 }\n";
    let all = "[limits]\nmemory = 8388608\n";
    holds(grow, ["silver", "out_of_memory"], "", &[own, all]);
}

#[test]
fn output() {
    // A reason of a million bytes.
    let reason = "(drop (call $alloc (i32.const 1100000)))
        (call $refuse (i32.const 0) (local.get $i))
        (i32.store offset=8 (i32.const 2048) (i32.const 70000))
        (i32.store offset=12 (i32.const 2048) (i32.const 1000000))
        (local.set $n (i32.const 1))";
    let own = "limits = { output = 100000, output_per_row = 10 }\n";
    let all = "[limits]\noutput = 100000\noutput_per_row = 10\n";
    holds(reason, ["hurts", "output_too_large"], "", &[own, all]);
}

#[test]
fn log() {
    // A hundred lines of a hundred bytes.
    let lines = "(memory.fill (i32.const 70000) (i32.const 0x6c) (i32.const 100))
        (local.set $n (i32.const 100))
        (loop $on
          (call $log (i32.const 2) (i32.const 70000) (i32.const 100))
          (local.set $n (i32.sub (local.get $n) (i32.const 1))) (br_if $on (local.get $n)))";
    let own = "limits = { log = 1000 }\n";
    let (_place, log) = holds(
        lines,
        ["silver", "silver"],
        "[limits]\nlog = 100000\n",
        &[own, ""],
    );
    let said = |tenant: &str| {
        let line = "l".repeat(100);
        let theirs = |l: &&str| l.contains(tenant) && l.contains(&line);
        log.lines().filter(theirs).count()
    };
    assert_eq!(said("wide"), 100, "{log}");
    assert!((5..=10).contains(&said("narrow-0")), "{log}");
    assert!((70..=82).contains(&said("narrow-1")), "{log}");
}

#[test]
fn search() {
    let place = Place::new();
    // Every other row burns all its fuel: the search for them is given up, by a limit of its own.
    events(&place, |row| if row % 2 == 0 { 13 } else { row + 100 });
    neighbour(&place);
    let wasm = around("validator", "(loop $ever (br $ever))", "");
    let fuel = "fuel = 1000000\nfuel_per_row = 1000\n";
    tenant(
        &place,
        "patient",
        "validate",
        &wasm,
        &format!("[limits]\n{fuel}search = 1000000000\n[breaker]\nwindow = 1000\n"),
    );
    let short = format!("[limits]\n{fuel}search = 5000000\n[breaker]\nwindow = 1000\n");
    tenant(&place, "short", "validate", &wasm, &short);
    let (good, log, _) = run(&place);
    assert!(!good, "{log}");
    let line = error_of(&log, "short");
    assert!(
        line.contains("fails on too many rows") && line.contains("re-pin"),
        "{line}"
    );
    assert!(place.rows_if_any("short/quarantine").is_empty());
    assert!(place.rows_if_any("short/silver").is_empty());
    let patient = ends(&place, "patient");
    assert!(
        patient.iter().all(|(row, end)| end
            == match row % 2 {
                0 => "out_of_fuel",
                _ => "silver",
            }),
        "{patient:?}"
    );
    assert_eq!(ends(&place, "neighbour"), all_but("silver"));
}

#[test]
fn deadline() {
    let place = Place::new();
    events(&place, quantity);
    neighbour(&place);
    let wasm = around("validator", "(loop $ever (br $ever))", "");
    let limits =
        "[limits]\nfuel = 1000000000000\nfuel_per_row = 1000000000\ndeadline = \"200ms\"\n";
    tenant(&place, "endless", "validate", &wasm, limits);
    let (good, log, _) = run(&place);
    assert!(!good, "{log}");
    let line = error_of(&log, "endless");
    assert!(line.contains("took longer than 200ms"), "{line}");
    // It convicts nobody.
    assert!(place.rows_if_any("endless/quarantine").is_empty());
    assert!(place.rows_if_any("endless/silver").is_empty());
    assert_eq!(ends(&place, "neighbour"), all_but("silver"));
}

#[test]
fn a_groups_state_may_be_as_large_as_its_rows_made_it() {
    let place = Place::new();
    // All of one store's day, whose state holds each id.
    let sales: String = (0..40_000).map(sale).collect();
    let events = place.write("events/sales.ndjson", sales);
    let lean =
        "\n[limits]\nfuel = 1000000\nfuel_per_row = 2000\n\n[batch]\nrows = 10000\n\n[event]";
    let pipeline = place.retail_from_files(&events, &[("\n[event]", lean)]);
    place.run_to_the_end(&pipeline);
    let gold = place.rows("retail/gold/daily_sales");
    assert_eq!(gold.len(), 1);
    assert_eq!(gold[0]["transactions"], 40_000);
}
