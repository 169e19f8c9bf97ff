//! One rule in three languages: each gives the answers of the same cases.

use super::shell;
use crate::place::repository;

const RUST: &str = "plugins/validate-sales";
const SCRIPTS: [&str; 2] = [
    "plugins/languages/validate-sales-js",
    "plugins/languages/validate-sales-py",
];

#[test]
#[ignore = "compiles 30 MB of components, for minutes in a debug build: `make languages`"]
fn the_rule_in_javascript_and_python_passes_the_cases_of_the_one_in_rust() {
    let cases = repository()
        .join(RUST)
        .join("cases")
        .canonicalize()
        .unwrap();
    for script in SCRIPTS {
        let own = repository().join(script).join("cases");
        assert_eq!(own.canonicalize().unwrap(), cases, "{script}");
    }
    let line = format!("assay plugin test {}", SCRIPTS.join(" "));
    let said = shell(&repository(), &line).well();
    for script in SCRIPTS {
        let name = script.rsplit('/').next().unwrap();
        let (_, after) = said.split_once(&format!("{script}/{name}.wasm\n")).unwrap();
        let good = after.lines().take_while(|line| line.contains(": good ("));
        assert_eq!(good.count(), 6, "{said}");
    }
    // Made once, it stands: building it again takes no more than reading its sources.
    let again = format!("assay plugin build {}", SCRIPTS.join(" "));
    let again = shell(&repository(), &again).well();
    assert_eq!(again.matches(", unchanged)").count(), 2, "{again}");
}

#[test]
fn a_new_project_in_javascript_or_python_says_what_it_is_and_what_comes_next() {
    let folder = tempfile::tempdir().unwrap();
    for (language, rule, sdk) in [
        ("javascript", "rule.js", "assay-rules.js"),
        ("python", "rule.py", "assay_rules.py"),
    ] {
        for step in ["cleanse", "validate", "enrich", "aggregate"] {
            let name = format!("{step}-in-{language}");
            let line = format!("assay plugin new {name} --step {step} --lang {language}");
            let said = shell(folder.path(), &line).well();
            assert!(
                said.contains(&format!("a copy of its own, ./{name}/{sdk}")),
                "{said}"
            );
            assert!(said.contains("&& assay plugin test"), "{said}");
            let project = folder.path().join(&name);
            for file in [rule, sdk, "README.md", "cases"] {
                assert!(project.join(file).exists(), "{name} has no {file}");
            }
            let page = std::fs::read_to_string(project.join("README.md")).unwrap();
            assert!(page.contains(&name) && !page.contains("new-"), "{page}");
        }
    }
}

#[test]
fn what_building_needs_and_is_not_there_is_named_with_how_to_get_it() {
    let folder = tempfile::tempdir().unwrap();
    let line = "assay plugin new first --step validate --lang javascript >&2; \
                assay=$(command -v assay); PATH=/nowhere \"$assay\" plugin build first";
    let said = shell(folder.path(), line).badly();
    assert!(
        said.contains("node is needed to build rules in JavaScript") && said.contains("nodejs npm"),
        "{said}"
    );
    assert!(!folder.path().join("first/first.wasm").exists());
}
