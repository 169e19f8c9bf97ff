//! The files of a new project: a small rule of each step that works, with its tests and cases.

use toml::Value;

use super::{Sdk, sdk};
use crate::author::Language;
use crate::plugin::Step;

const README: &str = include_str!("template/README.md");

/// What a template calls the crate, the component's type, and the rest that differs.
const CRATE: &str = "new-rule";
const TYPE: &str = "NewRule";
const STEP: &str = "new-step";
const SDK: &str = "new-sdk";
const USE: &str = "new-use";
const VERSION: &str = "new-version";

type Files = &'static [(&'static str, &'static str)];

macro_rules! files {
    ($step:literal: $($name:literal),+ $(,)?) => {
        &[$(($name, include_str!(concat!("template/", $step, "/", $name)))),+]
    };
}

const CLEANSE: Files = files!("cleanse":
    "lib.rs",
    "cases/ids/rows.ndjson", "cases/ids/expected.ndjson",
    "cases/short-limit/params.json", "cases/short-limit/rows.ndjson",
    "cases/short-limit/expected.ndjson",
);
const VALIDATE: Files = files!("validate":
    "lib.rs",
    "cases/prices/rows.ndjson", "cases/prices/expected.ndjson",
    "cases/higher-floor/params.json", "cases/higher-floor/rows.ndjson",
    "cases/higher-floor/expected.ndjson",
    "cases/floor-below-zero/params.json", "cases/floor-below-zero/rows.ndjson",
    "cases/floor-below-zero/error.txt",
);
const ENRICH: Files = files!("enrich":
    "lib.rs",
    "cases/taxes/rows.ndjson", "cases/taxes/product.csv", "cases/taxes/expected.ndjson",
);
const AGGREGATE: Files = files!("aggregate":
    "lib.rs",
    "cases/two-stores/rows.ndjson", "cases/two-stores/expected.ndjson",
);

/// Fuel that an interpreter needs for a row is several times what a tenant allows without saying so.
const SCRIPT_LIMITS: &str = "limits = { fuel_per_row = 1_000_000 }";

/// What a project in another language is made of, beside its cases, which are those of Rust's.
struct Script {
    manifest: (&'static str, &'static str),
    readme: &'static str,
    sdk: (&'static str, &'static str),
    /// What stands beside the SDK.
    more: Files,
    /// The rule's file, and what stands in it for each step.
    rule: (&'static str, fn(Step) -> &'static str),
}

macro_rules! rules {
    ($folder:literal, $extension:literal) => {
        |step| match step {
            Step::Cleanse => include_str!(concat!("template/", $folder, "/cleanse.", $extension)),
            Step::Validate => include_str!(concat!("template/", $folder, "/validate.", $extension)),
            Step::Enrich => include_str!(concat!("template/", $folder, "/enrich.", $extension)),
            Step::Aggregate => {
                include_str!(concat!("template/", $folder, "/aggregate.", $extension))
            }
        }
    };
}

const JAVASCRIPT: Script = Script {
    manifest: (
        "package.json",
        include_str!("template/javascript/package.json"),
    ),
    readme: include_str!("template/javascript/README.md"),
    sdk: (
        "assay-rules.js",
        include_str!("../../../../plugins/sdk/javascript/assay-rules.js"),
    ),
    more: &[],
    rule: ("rule.js", rules!("javascript", "js")),
};
/// Those of JavaScript, which say nothing of types: the SDK's declarations do. So the rules are the same.
const TYPESCRIPT: Script = Script {
    readme: include_str!("template/typescript/README.md"),
    more: &[
        (
            "assay-rules.d.ts",
            include_str!("../../../../plugins/sdk/javascript/assay-rules.d.ts"),
        ),
        (
            "tsconfig.json",
            include_str!("../../../../plugins/sdk/javascript/tsconfig.json"),
        ),
    ],
    rule: ("rule.ts", rules!("javascript", "js")),
    ..JAVASCRIPT
};
const PYTHON: Script = Script {
    manifest: (
        "pyproject.toml",
        include_str!("template/python/pyproject.toml"),
    ),
    readme: include_str!("template/python/README.md"),
    sdk: (
        "assay_rules.py",
        include_str!("../../../../plugins/sdk/python/assay_rules.py"),
    ),
    more: &[],
    rule: ("rule.py", rules!("python", "py")),
};

/// A project's files by their paths in it, and which of them is the SDK. `None` for Rust, whose
/// projects need more.
pub(super) fn script(
    name: &str,
    step: Step,
    language: Language,
) -> Option<(&'static str, Vec<(String, String)>)> {
    let script = match language {
        Language::Rust => return None,
        Language::JavaScript => JAVASCRIPT,
        Language::TypeScript => TYPESCRIPT,
        Language::Python => PYTHON,
    };
    let filled = |text: &str| {
        text.replace(CRATE, name)
            .replace(STEP, step.as_str())
            .replace(VERSION, env!("CARGO_PKG_VERSION"))
            .replace(USE, &format!("{}\n{SCRIPT_LIMITS}", used(name, step)))
    };
    let (sdk, library) = script.sdk;
    let (rule, text) = script.rule;
    let (manifest, said) = script.manifest;
    let mut files = vec![
        (manifest.to_owned(), filled(said)),
        ("README.md".to_owned(), filled(script.readme)),
        (".gitignore".to_owned(), "/*.wasm\n".to_owned()),
        (rule.to_owned(), text(step).to_owned()),
        (sdk.to_owned(), library.to_owned()),
    ];
    let cases = template(step)
        .iter()
        .filter(|(path, _)| path.starts_with("cases/"));
    let as_they_are = script.more.iter().chain(cases);
    files.extend(as_they_are.map(|(path, text)| ((*path).to_owned(), (*text).to_owned())));
    Some((sdk, files))
}

fn template(step: Step) -> Files {
    match step {
        Step::Cleanse => CLEANSE,
        Step::Validate => VALIDATE,
        Step::Enrich => ENRICH,
        Step::Aggregate => AGGREGATE,
    }
}

/// How a tenant's TOML names the component.
fn used(name: &str, step: Step) -> String {
    let component = format!("component = \"{name}/{name}.wasm\"");
    match step {
        Step::Aggregate => format!(
            "[[gold]]\nname = \"{}\"\n{component}\npartition_by = [\"sale_date\"]",
            name.replace('-', "_")
        ),
        step => format!("[[{step}]]\n{component}"),
    }
}

/// A project's files in Rust, but for the SDK's, by their paths in it.
pub(super) fn files(name: &str, component: &str, step: Step, sdk: &Sdk) -> Vec<(String, String)> {
    let mut files = vec![
        ("Cargo.toml".to_owned(), manifest(name, sdk)),
        ("README.md".to_owned(), readme(name, step, sdk)),
    ];
    if *sdk == (Sdk::Copy) || matches!(sdk, Sdk::Checkout { member: false, .. }) {
        files.push((".gitignore".to_owned(), "/target\n/*.wasm\n".to_owned()));
    }
    for (path, text) in template(step) {
        match *path {
            "lib.rs" => files.push(("src/lib.rs".to_owned(), text.replace(TYPE, component))),
            path => files.push((path.to_owned(), (*text).to_owned())),
        }
    }
    files
}

fn manifest(name: &str, sdk: &Sdk) -> String {
    let workspace = sdk::workspace();
    let written = |path: [&str; 2]| {
        let value = workspace.get(path[0]).and_then(|table| table.get(path[1]));
        value.map(Value::to_string).unwrap_or_default()
    };
    let (edition, rust) = (
        written(["package", "edition"]),
        written(["package", "rust-version"]),
    );
    let serde = written(["dependencies", "serde"]);
    let (path, member) = match sdk {
        Sdk::Checkout { path, member } => (path.display().to_string(), *member),
        Sdk::Copy | Sdk::File { .. } => (sdk::NAME.to_owned(), false),
    };
    let own = if member { "" } else { "\n[workspace]\n" };
    format!(
        "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = {edition}\nrust-version = {rust}\n\
         publish = false\n\n\
         [lib]\n# The first is what becomes a component, the second what tests link to.\n\
         crate-type = [\"cdylib\", \"rlib\"]\n\n\
         [dependencies]\nassay-rules = {{ path = \"{path}\" }}\nserde = {serde}\n{own}"
    )
}

fn readme(name: &str, step: Step, sdk: &Sdk) -> String {
    let about_sdk = match sdk {
        Sdk::Checkout { path, .. } => {
            format!("- The SDK is the checkout's, in `{}`.", path.display())
        }
        Sdk::Copy | Sdk::File { .. } => format!(
            "- `{}/` is the SDK with the contract, as of the `assay` ({}) that made this project. Leave it as it is; \
             to have a newer one,\n  copy the folder from a new project.",
            sdk::NAME,
            env!("CARGO_PKG_VERSION")
        ),
    };
    README
        .replace(CRATE, name)
        .replace(STEP, step.as_str())
        .replace(SDK, &about_sdk)
        .replace(USE, &used(name, step))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The names that lines with one of these beginnings give to what they export.
    fn exported(text: &str, beginnings: &[&str]) -> BTreeSet<String> {
        let name = |line: &str| {
            let rest = beginnings
                .iter()
                .find_map(|begin| line.strip_prefix(begin))?;
            let end = rest.find(|c: char| !c.is_alphanumeric())?;
            Some(rest[..end].to_owned())
        };
        text.lines().filter_map(name).collect()
    }

    #[test]
    fn what_the_sdk_exports_in_javascript_has_a_type_and_nothing_else_has() {
        let (_, library) = TYPESCRIPT.sdk;
        let (_, types) = TYPESCRIPT.more[0];
        let there = exported(library, &["export const ", "export function "]);
        let typed = exported(
            types,
            &["export declare const ", "export declare function "],
        );
        assert_eq!(there, typed);
        assert!(there.contains("validator") && there.contains("timesRate"));
    }

    #[test]
    fn a_project_in_typescript_has_the_types_beside_the_sdk() {
        let (sdk, files) = script("first", Step::Enrich, Language::TypeScript).unwrap();
        assert_eq!(sdk, "assay-rules.js");
        let files: BTreeSet<&str> = files.iter().map(|(path, _)| path.as_str()).collect();
        for file in [
            "rule.ts",
            sdk,
            "assay-rules.d.ts",
            "tsconfig.json",
            "package.json",
        ] {
            assert!(files.contains(file), "{file} is not among {files:?}");
        }
        assert!(!files.contains("rule.js"));
    }
}
