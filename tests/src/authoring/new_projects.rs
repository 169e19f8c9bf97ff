//! A project is good as it is written: in each step, in a checkout and outside of one.

use super::{share_builds, shell};
use crate::place::repository;

#[test]
fn a_new_project_of_each_step_passes_its_tests_and_its_cases_outside_of_a_checkout() {
    let folder = tempfile::tempdir().unwrap();
    for step in ["cleanse", "validate", "enrich", "aggregate"] {
        let name = format!("first-{step}");
        let said = shell(
            folder.path(),
            &format!("assay plugin new {name} --step {step}"),
        )
        .well();
        assert!(said.contains("a copy of its own"), "{said}");
        let project = folder.path().join(&name);
        share_builds(&project);
        let native = shell(&project, "cargo test --quiet").well();
        assert!(native.contains("2 passed"), "{native}");
        let cases = shell(&project, "assay plugin test").well();
        assert!(
            cases.contains("  case ") && !cases.contains("note:"),
            "{cases}"
        );
        let text = std::fs::read_to_string(project.join("src/lib.rs")).unwrap();
        let format = format!(
            "rustfmt --edition 2024 --check src/lib.rs >&2; grep -q {} Cargo.toml",
            name
        );
        shell(&project, &format).well();
        assert!(
            text.contains(&format!("(First{}", &step[..1].to_uppercase())),
            "{text}"
        );
    }
}

#[test]
fn a_project_among_the_plugins_of_a_checkout_uses_its_sdk() {
    // A checkout in small: what a project needs of it.
    let folder = tempfile::tempdir().unwrap();
    let copy = format!(
        "cp -r {0}/wit . && mkdir plugins && cp -r {0}/plugins/sdk plugins/sdk && \
         sed 's/members = .*/members = [\"plugins\\/*\"]/; /default-members/d' {0}/Cargo.toml > Cargo.toml",
        repository().display()
    );
    shell(folder.path(), &copy).well();
    share_builds(folder.path());
    let said = shell(
        folder.path(),
        "assay plugin new daily-baskets --step aggregate",
    )
    .well();
    assert!(
        said.contains("this checkout's (../sdk from there)"),
        "{said}"
    );
    let project = folder.path().join("plugins/daily-baskets");
    assert!(!project.join("assay-rules").exists());
    let cases = shell(folder.path(), "assay plugin test").well();
    assert!(
        cases.contains("plugins/daily-baskets/daily-baskets.wasm"),
        "{cases}"
    );
    assert!(
        cases.contains("case two-stores: good (5 rows, cut in 11 ways)"),
        "{cases}"
    );
}

#[test]
fn a_language_that_there_is_not_is_told_which_there_are() {
    let folder = tempfile::tempdir().unwrap();
    let said = shell(
        folder.path(),
        "assay plugin new rule --step validate --lang cobol",
    )
    .badly();
    assert!(
        said.contains("possible values: rust, javascript, typescript, python"),
        "{said}"
    );
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
