//! Rules in JavaScript, TypeScript and Python: one that gives the answers of the same one in Rust, and
//! projects to begin with.

use std::path::Path;

use super::shell_beside_others as shell;
use crate::place::repository;

const RUST: &str = "plugins/validate-sales";
const SCRIPTS: [&str; 3] = [
    "plugins/languages/validate-sales-js",
    "plugins/languages/validate-sales-ts",
    "plugins/languages/validate-sales-py",
];

/// What `plugin new` takes, the rule that it writes, and the SDK beside it.
const LANGUAGES: [(&str, &str, &str); 3] = [
    ("javascript", "rule.js", "assay-rules.js"),
    ("typescript", "rule.ts", "assay-rules.js"),
    ("python", "rule.py", "assay_rules.py"),
];
const STEPS: [&str; 4] = ["cleanse", "validate", "enrich", "aggregate"];

#[test]
fn the_rule_in_other_languages_passes_the_cases_of_the_one_in_rust() {
    let cases = repository()
        .join(RUST)
        .join("cases")
        .canonicalize()
        .unwrap();
    let there = std::fs::read_dir(&cases).unwrap().count();
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
        assert_eq!(good.count(), there, "{said}");
    }
    // Made once, it stands: building it again takes no more than reading its sources.
    let again = format!("assay plugin build {}", SCRIPTS.join(" "));
    let again = shell(&repository(), &again).well();
    let unchanged = again.matches(", unchanged)").count();
    assert_eq!(unchanged, SCRIPTS.len(), "{again}");
}

#[test]
#[ignore = "makes twelve components of interpreters, and compiles them: `make languages`"]
fn a_new_project_of_each_step_in_each_language_passes_its_cases() {
    let folder = tempfile::tempdir().unwrap();
    for (language, ..) in LANGUAGES {
        for step in STEPS {
            let name = new(folder.path(), language, step).0;
            let cases = shell(&folder.path().join(&name), "assay plugin test").well();
            assert!(
                cases.contains("  case ") && !cases.contains("note:"),
                "{name}\n{cases}"
            );
        }
    }
}

#[test]
fn a_new_project_in_another_language_says_what_it_is_and_what_comes_next() {
    let folder = tempfile::tempdir().unwrap();
    for (language, rule, sdk) in LANGUAGES {
        for step in STEPS {
            let (name, said) = new(folder.path(), language, step);
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

/// A project, and what was said of it.
fn new(folder: &Path, language: &str, step: &str) -> (String, String) {
    let name = format!("{step}-in-{language}");
    let line = format!("assay plugin new {name} --step {step} --lang {language}");
    let said = shell(folder, &line).well();
    (name, said)
}

/// A column that is not read, a rule that is not declared, a value that may be absent, an amount as a float,
/// what no rule has, and syntax that is more than types.
const ILL_TYPED: &str = r#"import { amount, integer, required, validator, warn } from "./assay-rules.js";
export const validation = validator({
  reads: { quantity: required(integer) },
  rules: { few: warn("Few are sold.") },
  params: { floor: amount(2, "0.10") },
  validate(sale, params, refuse) {
    if (sale.price === null) refuse("few");
    refuse("fewer");
    refuse("few", String(sale.quantity + 1n));
    const floor: number = params.floor;
    console.log(floor);
  },
});
export enum Kind { Sale }
"#;

#[test]
fn a_type_that_is_wrong_is_shown_with_its_line_and_nothing_is_built() {
    let folder = tempfile::tempdir().unwrap();
    let (name, _) = new(folder.path(), "typescript", "validate");
    let project = folder.path().join(&name);
    std::fs::write(project.join("rule.ts"), ILL_TYPED).unwrap();
    let said = shell(folder.path(), &format!("assay plugin build {name}")).badly();
    for (line, problem) in [
        (7, "Property 'price' does not exist"),
        (8, "\"fewer\"' is not assignable"),
        (9, "'sale.quantity' is possibly 'null'"),
        (10, "'bigint' is not assignable to type 'number'"),
        (11, "Cannot find name 'console'"),
        (14, "not allowed when 'erasableSyntaxOnly'"),
    ] {
        let place = format!("rule.ts({line},");
        let found = said.lines().find(|said| said.starts_with(&place));
        let found = found.unwrap_or_else(|| panic!("no {place}\n{said}"));
        assert!(found.contains(problem), "{problem}\n{said}");
    }
    let end = format!("{name} could not be made a component");
    assert!(said.contains(&end), "{said}");
    assert!(!project.join(format!("{name}.wasm")).exists());
}

#[test]
fn a_rule_in_typescript_imports_files_by_each_of_their_names_and_what_it_throws_has_its_own_line() {
    let folder = tempfile::tempdir().unwrap();
    let (name, _) = new(folder.path(), "typescript", "validate");
    let project = folder.path().join(&name);
    std::fs::write(project.join("more.ts"), "export const more: number = 1;\n").unwrap();
    let rule = "import { more } from \"./more\";\nimport { more as js } from \"./more.js\";\n\
                import { more as ts } from \"./more.ts\";\ninterface Sum {\n  readonly of: number;\n}\n\
                const sum: Sum = { of: more + js + ts };\nif (sum.of === 3) throw new Error(\"all of them\");\n";
    std::fs::write(project.join("rule.ts"), rule).unwrap();
    let said = shell(folder.path(), &format!("assay plugin build {name}")).badly();
    assert!(said.contains("rule.ts:8:25 Error: all of them"), "{said}");
}

#[test]
fn a_manifest_without_a_step_is_named_with_what_to_write() {
    let folder = tempfile::tempdir().unwrap();
    for (language, manifest, named, cure) in [
        (
            "javascript",
            "package.json",
            "\"assay\": { \"step\": \"validate\" }",
            "add \"assay\": { \"step\": \"validate\" }",
        ),
        (
            "python",
            "pyproject.toml",
            "step = \"validate\"",
            "add [tool.assay] with step = \"validate\"",
        ),
    ] {
        let (name, _) = new(folder.path(), language, "validate");
        let path = folder.path().join(&name).join(manifest);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(named), "{text}");
        let text = text.replace(named, "").replace("\"module\",", "\"module\"");
        std::fs::write(&path, text).unwrap();
        for line in ["build", "test"] {
            let said = shell(folder.path(), &format!("assay plugin {line} {name}")).badly();
            let problem = format!("{name} is no plugin: its {manifest} does not say which step");
            assert!(said.contains(&problem) && said.contains(cure), "{said}");
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
