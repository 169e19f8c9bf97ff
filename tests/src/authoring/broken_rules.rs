//! What an author gets wrong, and what `assay plugin test` shows of it.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{share_builds, shell};

/// A project whose rule has some of its text replaced. Builds are shared, so names are not.
fn project(folder: &TempDir, name: &str, step: &str, replace: &[(&str, &str)]) -> PathBuf {
    let line = format!("assay plugin new {name} --step {step}");
    shell(folder.path(), &line).well();
    let project = folder.path().join(name);
    share_builds(&project);
    let path = project.join("src/lib.rs");
    let mut text = std::fs::read_to_string(&path).unwrap();
    for (from, to) in replace {
        assert!(text.contains(from), "no {from:?} in\n{text}");
        text = text.replacen(from, to, 1);
    }
    std::fs::write(path, text).unwrap();
    project
}

/// What a test that fails shows.
fn failing(project: &Path) -> String {
    let said = shell(project, "assay plugin test");
    assert!(!said.good, "{}", said.out);
    assert!(said.err.contains("cases are wrong"), "{}", said.err);
    said.out
}

#[test]
fn another_answer_is_shown_beside_the_expected_one_with_its_row_until_it_is_blessed() {
    let folder = tempfile::tempdir().unwrap();
    let change = [("Decimal::of_units(10)", "Decimal::of_units(11)")];
    let project = project(&folder, "other-floor", "validate", &change);
    let said = failing(&project);
    for line in [
        "case prices: WRONG",
        "row 2: {\"quantity\": 1, \"unit_price\": 0.10}",
        "  - {\"row\":2}",
        "  + {\"row\":2,\"verdicts\":[\"quarantine price_below_floor: unit_price is 0.10, the floor is 0.11\"]}",
        "case higher-floor: good",
    ] {
        assert!(said.contains(line), "{line}\n{said}");
    }
    assert!(!said.contains("row 1:"), "{said}");
    // Cases that can't be read are wrong, and the others are run.
    for (case, expected) in [("a-riddle", "what?"), ("a-void", "")] {
        let case = project.join("cases").join(case);
        std::fs::create_dir(&case).unwrap();
        if !expected.is_empty() {
            std::fs::write(case.join("rows.ndjson"), "{}\n").unwrap();
            std::fs::write(case.join("expected.ndjson"), expected).unwrap();
        }
    }
    let told = failing(&project);
    for line in [
        "case a-riddle: WRONG",
        "expected.ndjson:1: ",
        "case a-void: WRONG",
        "rows.ndjson: ",
        "case higher-floor: good",
    ] {
        assert!(told.contains(line), "{line}\n{told}");
    }
    for case in ["a-riddle", "a-void"] {
        std::fs::remove_dir_all(project.join("cases").join(case)).unwrap();
    }

    let said = shell(&project, "assay plugin test --bless && assay plugin test").well();
    assert!(said.contains("case prices: written anew"), "{said}");
    assert!(said.contains("case prices: good"), "{said}");
}

#[test]
fn a_row_that_traps_is_shown_with_the_panics_message_and_the_rest_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let change = [(
        "let floor = self.floor;",
        "let floor = self.floor; assert!(sale.quantity != Some(-1) || sale.kind.is_some(), \"no returns on a Sunday\");",
    )];
    let project = project(&folder, "trapping-rule", "validate", &change);
    let said = failing(&project);
    for line in [
        "row 4: {\"quantity\": -1, \"unit_price\": 2.50}",
        "\"failed\":\"trap: panicked at src/lib.rs:",
        "no returns on a Sunday",
    ] {
        assert!(said.contains(line), "{line}\n{said}");
    }
    assert!(
        !said.contains("row 3:") && !said.contains("row 5:"),
        "{said}"
    );
    assert!(!said.contains("backtrace"), "{said}");

    let said = shell(&project, "assay plugin test --symbols");
    assert!(!said.good, "{}", said.out);
    let (_, trace) = said.out.split_once("\"backtrace\":[\"").unwrap();
    let (trace, _) = trace.split_once("]}").unwrap();
    assert!(trace.contains("validat"), "{trace}");
    assert!(!trace.contains("panicking"), "{trace}");
}

#[test]
fn a_rule_that_remembers_the_rows_before_is_found_by_cutting() {
    let folder = tempfile::tempdir().unwrap();
    let change = [(
        "let floor = self.floor;",
        "static SEEN: std::sync::atomic::AtomicI64 = std::sync::atomic::AtomicI64::new(0);
         if SEEN.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 2 { refuse.because(Rule::quantity_negative, \"the third\"); }
         let floor = self.floor;",
    )];
    let project = project(&folder, "counting-rule", "validate", &change);
    shell(&project, "assay plugin test --bless").badly();
    let said = failing(&project);
    assert!(
        said.contains("does not hold: a batch may be split anywhere: split before row 2"),
        "{said}"
    );
}

#[test]
fn a_merge_that_depends_on_the_order_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let first = "
pub struct First;
impl assay_rules::Part for First {
    type Kind = Integer;
    type State<'a> = Number;
    fn read<'a>(value: Option<i64>) -> Result<Number, String> where 'a: 'a { Ok(Number(value)) }
    fn merge<'a>(state: &mut Number, other: Number) where 'a: 'a { state.0 = state.0.or(other.0); }
    fn write<'a>(state: Number) -> Result<Option<i64>, String> where 'a: 'a { Ok(state.0) }
}
#[derive(Clone, Copy, Debug, Default)]
pub struct Number(Option<i64>);
state! {";
    let change = [
        ("\nstate! {", first),
        ("lines: Count,", "lines: First,"),
        (
            "day.lines.one_more();",
            "day.lines.0 = day.lines.0.or(Some(sale.net_amount.map_or(0, Decimal::units)));",
        ),
        ("lines: day.lines.get(),", "lines: day.lines.0,"),
    ];
    let project = project(&folder, "first-amount", "aggregate", &change);
    shell(&project, "assay plugin test --bless").badly();
    let said = failing(&project);
    assert!(
        said.contains("does not hold: merge is commutative"),
        "{said}"
    );
    assert!(
        !said.contains("does not hold: merge is associative"),
        "{said}"
    );
    assert!(
        !said.contains("does not hold: a batch may be split"),
        "{said}"
    );
}
