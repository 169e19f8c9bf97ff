//! What the sandbox costs, and how soon it is rid of who means harm: each figure beside what it must
//! keep to. Components are compiled by the built `assay`, as a host's are.
//!
//! `make bench-sandbox`
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a benchmark ends where something is wrong"
)]

#[path = "../../src/guest.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod guest;
mod neighbour;
#[path = "../../src/place.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod place;

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Int64Array};
use assay::author::bench::roomy;
use assay::author::trial::{Rows, Setting, Trial};
use assay::plugin::{
    CallError, Cause, CompileLimits, Compiler, Configured, Cost, Limits, Sandbox, Step,
};
use assay_rules::{testing, validate};
use validate_sales::ValidateSales;

/// Rows that cross at once.
const ROWS: usize = 8_192;
/// Rows among which one is guilty.
const MANY: usize = 65_536;
/// How often what is quick is measured; the median counts.
const RUNS: usize = 41;
/// Of a call that runs for ever.
const DEADLINE: Duration = Duration::from_millis(500);

fn main() {
    if cfg!(debug_assertions) {
        println!("This is a debug build: the figures say nothing.\n");
    }
    println!("| | measured | must be |\n| --- | --- | --- |");
    validation();
    swap_in();
    trapping_row();
    looping_row();
    runaway();
    neighbour::beside_the_corpus();
}

fn line(what: &str, measured: &str, most: &str) {
    println!("| {what} | {measured} | {most} |");
}

fn sandbox() -> Arc<Sandbox> {
    Sandbox::new(Compiler::Process(place::assay())).unwrap()
}

fn default_validation() -> Vec<u8> {
    let path = place::repository().join("plugins/validate-sales/validate-sales.wasm");
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The median of some runs.
fn median<T: Ord + Copy>(mut run: impl FnMut() -> T) -> T {
    middle((0..RUNS).map(|_| run()))
}

fn middle<T: Ord + Copy>(all: impl Iterator<Item = T>) -> T {
    let mut all: Vec<T> = all.collect();
    all.sort_unstable();
    all[all.len() / 2]
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let begun = Instant::now();
    let made = work();
    (made, begun.elapsed())
}

fn a_row(all: Duration) -> f64 {
    all.as_secs_f64() * 1e9 / ROWS as f64
}

fn millis(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}

/// Sales that are well, as most are, with just what the rules read.
fn sales() -> Vec<String> {
    let sale = |row: usize| {
        format!(
            "{{\"quantity\":{},\"unit_price\":{}.{:02},\"timestamp\":\"2025-03-01T10:00:00Z\",\
             \"currency\":\"EUR\",\"payment_method\":\"card\",\"_now\":\"2025-03-01T10:00:01Z\"}}",
            row % 9 + 1,
            row % 90,
            row % 99 + 1
        )
    };
    (0..ROWS).map(sale).collect()
}

/// The default validation as a tenant has it, and rows for it.
fn trial(sales: &[String]) -> (Trial, Rows) {
    let component = sandbox()
        .compile(
            &default_validation(),
            Step::Validate,
            &CompileLimits::default(),
        )
        .unwrap();
    let configured = component.configure("{}", &roomy()).unwrap();
    let setting = Setting::of_component(&configured.description, &[]).unwrap();
    let trial = Trial::new("validate-sales", configured, setting).unwrap();
    let rows = trial.read(sales.join("\n").as_bytes()).unwrap();
    (trial, rows)
}

/// The default validation: its boundary, and the component against the same code built natively. The
/// two take turns, and what counts is each pair's ratio: a machine whose clock goes down, or that does
/// something else for a while, has both in the same moment.
fn validation() {
    let sales = sales();
    let (trial, rows) = trial(&sales);
    let rules: ValidateSales = testing::validator("{}").unwrap();
    let description = validate::describe(&rules);
    let mut written = String::new();
    write!(written, "[{}]", sales.join(",")).unwrap();
    let batch = testing::batch(&description.reads, &description.look_ups, &written).unwrap();
    let pair = || {
        let cost = trial.measure(&rows).unwrap();
        let native = timed(|| validate::batch(&rules, &batch).unwrap()).1;
        (cost, native)
    };
    // The first is for the processor's caches, and the instance's memory.
    pair();
    let pairs: Vec<(Cost, Duration)> = (0..RUNS).map(|_| pair()).collect();

    let boundary = middle(pairs.iter().map(|(cost, _)| cost.lend + cost.take));
    let boundary = format!("{:.1} ns a row", a_row(boundary));
    line("boundary of the default validation", &boundary, "10 ns");
    let mut ratios: Vec<f64> = pairs
        .iter()
        .map(|(cost, native)| cost.work.as_secs_f64() / native.as_secs_f64())
        .collect();
    ratios.sort_unstable_by(f64::total_cmp);
    let wasm = format!(
        "{:.2} times ({:.0} and {:.0} ns a row)",
        ratios[ratios.len() / 2],
        a_row(middle(pairs.iter().map(|(cost, _)| cost.work))),
        a_row(middle(pairs.iter().map(|(_, native)| *native)))
    );
    line("the same in Wasm and natively", &wasm, "3 times");
}

/// A component that was compiled before, in a host that has just begun.
fn swap_in() {
    let wasm = default_validation();
    let limits = CompileLimits::default();
    let took = median(|| {
        let sandbox = sandbox();
        let (_, took) = timed(|| {
            let component = sandbox.compile(&wasm, Step::Validate, &limits).unwrap();
            component.configure("{}", &Limits::default()).unwrap()
        });
        took
    });
    line("taking up a known component", &millis(took), "5 ms");
}

fn hostile(at_13: &str, limits: &Limits) -> Configured {
    let wasm = guest::around("validator", at_13, "");
    let compiled = sandbox().compile(&wasm, Step::Validate, &CompileLimits::default());
    compiled.unwrap().configure("{}", limits).unwrap()
}

/// One row of 13 among many that are not.
fn one_guilty(rows: usize) -> [Option<ArrayRef>; 1] {
    let mut values = vec![1; rows];
    values[rows * 5 / 8 + 1] = 13;
    [Some(Arc::new(Int64Array::from(values)))]
}

fn search(rule: &Configured, cause: Cause) -> Duration {
    let columns = one_guilty(MANY);
    let (judged, took) = timed(|| rule.judge(MANY, &columns, 1).unwrap());
    assert_eq!(judged.guilty.len(), 1);
    assert_eq!(judged.guilty[0].cause, cause);
    took
}

fn trapping_row() {
    let rule = hostile("unreachable", &Limits::default());
    let took = median(|| search(&rule, Cause::Trap));
    line("finding one trapping row of 65,536", &millis(took), "50 ms");
}

fn looping_row() {
    let limits = Limits::default();
    let rule = hostile("(loop $ever (br $ever))", &limits);
    let took = search(&rule, Cause::Fuel);
    let most = millis(3 * limits.deadline);
    line("finding one looping row of 65,536", &millis(took), &most);
}

/// A component that has more fuel than time.
fn runaway() {
    let limits = Limits {
        fuel: u64::MAX / 2,
        deadline: DEADLINE,
        ..Limits::default()
    };
    let rule = hostile("(loop $ever (br $ever))", &limits);
    let columns = one_guilty(MANY);
    let over = (0..9).map(|_| {
        let (judged, took) = timed(|| rule.judge(MANY, &columns, 1));
        assert!(matches!(judged, Err(CallError::Deadline { .. })));
        took.saturating_sub(DEADLINE)
    });
    let most = over.max().unwrap_or_default();
    let what = "a runaway, past its deadline (the worst of 9)";
    line(what, &millis(most), "10 ms");
}
