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

    let hint = "where the new answer is right, say --bless";
    let said = shell(&project, "assay plugin test");
    assert!(said.err.contains(hint), "{}", said.err);
    let said = shell(&project, "assay plugin test --bless && assay plugin test").well();
    assert!(said.contains("case prices: written anew"), "{said}");
    // What is no answer can't be the right one: params that are refused, a field that no line has.
    for (file, text, told) in [
        (
            "params.json",
            "{\"floor\": -1}",
            "floor must not be below zero",
        ),
        (
            "expected.ndjson",
            "{\"row\":1}\n{\"row\":2,\"verdict\":[]}\n",
            "expected.ndjson:2: no line has a field `verdict`; did you mean `verdicts`? there are row, verdicts, failed",
        ),
    ] {
        let path = project.join("cases/prices").join(file);
        let before = std::fs::read(&path);
        std::fs::write(&path, text).unwrap();
        let said = shell(&project, "assay plugin test");
        assert!(!said.good && said.out.contains(told), "{}", said.out);
        assert!(!said.err.contains("--bless"), "{}", said.err);
        match before {
            Ok(before) => std::fs::write(&path, before).unwrap(),
            Err(_) => std::fs::remove_file(&path).unwrap(),
        }
    }
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
    // Rows that nobody wrote trap it, too: that is no fault of how they are cut.
    assert!(
        said.contains("rows that nobody wrote") && !said.contains("does not hold"),
        "{said}"
    );

    // Other tests' projects share the build, so that all is done in one turn.
    let line = "assay plugin build 2>/dev/null && cp trapping-rule.wasm shipped && \
                (assay plugin test --symbols || true) && cp trapping-rule.wasm named && \
                assay plugin build";
    let said = shell(&project, line);
    // The names were there: nothing is compiled for them, and nothing to be without them.
    assert!(said.good && !said.err.contains("Compiling"), "{said:?}");
    let [shipped, named, again] = ["shipped", "named", "trapping-rule.wasm"]
        .map(|file| std::fs::read(project.join(file)).unwrap());
    assert!(shipped == again && shipped.len() < named.len());
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
    for line in [
        "\n      group {\"sale_date\":\"2025-03-01\",\"store_id\":\"S001\"}\n",
        "\n        lines: 300 in order, 5 turned round\n",
    ] {
        assert!(said.contains(line), "{line}\n{said}");
    }
    assert!(
        !said.contains("does not hold: merge is associative"),
        "{said}"
    );
    assert!(
        !said.contains("does not hold: a batch may be split"),
        "{said}"
    );
}

#[test]
fn an_average_of_averages_that_the_authors_rows_hide_is_found_by_rows_that_nobody_wrote() {
    let folder = tempfile::tempdir().unwrap();
    let mean = "
/// The mean of two means, whatever they are of.
pub struct Mean;
impl assay_rules::Part for Mean {
    type Kind = Integer;
    type State<'a> = Units;
    fn read<'a>(value: Option<i64>) -> Result<Units, String> where 'a: 'a { Ok(Units(value)) }
    fn merge<'a>(state: &mut Units, other: Units) where 'a: 'a { state.see(other.0); }
    fn write<'a>(state: Units) -> Result<Option<i64>, String> where 'a: 'a { Ok(state.0) }
}
#[derive(Clone, Copy, Debug, Default)]
pub struct Units(Option<i64>);
impl Units {
    fn see(&mut self, other: Option<i64>) {
        self.0 = match (self.0, other) {
            (Some(one), Some(other)) => Some((one + other) / 2),
            (one, other) => one.or(other),
        };
    }
}
state! {";
    let change = [
        ("\nstate! {", mean),
        ("lines: Count,", "lines: Mean,"),
        (
            "day.lines.one_more();",
            "day.lines.see(sale.net_amount.map(Decimal::units));",
        ),
        ("lines: day.lines.get(),", "lines: day.lines.0,"),
    ];
    let project = project(&folder, "mean-amount", "aggregate", &change);
    // One row a group: nothing is ever merged.
    let rows = project.join("cases/two-stores/rows.ndjson");
    let row = |store: u32| {
        format!(
            "{{\"sale_date\":\"2025-03-01\",\"store_id\":\"S{store}\",\"transaction_id\":\"T1\",\"net_amount\":{store}.50}}\n"
        )
    };
    std::fs::write(rows, (1..4).map(row).collect::<String>()).unwrap();
    shell(
        &project,
        "assay plugin test --bless --generate 0 && assay plugin test --generate 0",
    )
    .well();

    let said = failing(&project);
    let again = "again: assay plugin test . --seed 1 --generate 48;";
    let (found, after) = said.split_once(again).unwrap();
    assert!(after.contains("put these rows into a case"), "{after}");
    let (_, found) = found.split_once("    does not hold: ").unwrap();
    assert!(!found.contains("commutative"), "{found}");
    let shown: Vec<&str> = found
        .lines()
        .filter(|line| line.starts_with("      {"))
        .collect();
    // Two sales may be averaged in any order, three may not.
    assert_eq!(shown.len(), 3, "{found}");
    for row in &shown {
        let row: serde_json::Value = serde_json::from_str(row).unwrap();
        assert!(row.get("net_amount").is_some(), "{found}");
    }
    assert!(found.contains("\n        lines: "), "{found}");
    assert_eq!(failing(&project), said, "the same seed, other rows");

    // What was found, as a case of its own, is found without any chance.
    let case = project.join("cases/found");
    std::fs::create_dir(&case).unwrap();
    std::fs::write(case.join("rows.ndjson"), shown.join("\n")).unwrap();
    let kept = shell(&project, "assay plugin test --bless --generate 0");
    assert!(
        !kept.good && kept.out.contains("case found: WRONG"),
        "{}",
        kept.out
    );
}
