//! The files of a new project: a small rule of each step that works, with its tests and cases.

use toml::Value;

use super::{Sdk, sdk};
use crate::plugin::Step;

const README: &str = include_str!("template/README.md");

/// What a template calls the crate, the component's type, and the rest that differs.
const CRATE: &str = "new-rule";
const TYPE: &str = "NewRule";
const STEP: &str = "new-step";
const SDK: &str = "new-sdk";
const USE: &str = "new-use";

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

/// A project's files, but for the SDK's, by their paths in it.
pub(super) fn files(name: &str, component: &str, step: Step, sdk: &Sdk) -> Vec<(String, String)> {
    let mut files = vec![
        ("Cargo.toml".to_owned(), manifest(name, sdk)),
        ("README.md".to_owned(), readme(name, step, sdk)),
    ];
    if *sdk == (Sdk::Copy) || matches!(sdk, Sdk::Checkout { member: false, .. }) {
        files.push((".gitignore".to_owned(), "/target\n/*.wasm\n".to_owned()));
    }
    let template = match step {
        Step::Cleanse => CLEANSE,
        Step::Validate => VALIDATE,
        Step::Enrich => ENRICH,
        Step::Aggregate => AGGREGATE,
    };
    for (path, text) in template {
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
        Sdk::Copy => (sdk::NAME.to_owned(), false),
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
        Sdk::Copy => format!(
            "- `{}/` is the SDK with the contract, as of the `assay` ({}) that made this project. Leave it as it is; \
             to have a newer one,\n  copy the folder from a new project.",
            sdk::NAME,
            env!("CARGO_PKG_VERSION")
        ),
    };
    let component = format!("component = \"{name}/{name}.wasm\"");
    let used = match step {
        Step::Aggregate => format!(
            "[[gold]]\nname = \"{}\"\n{component}\npartition_by = [\"sale_date\"]",
            name.replace('-', "_")
        ),
        step => format!("[[{step}]]\n{component}"),
    };
    README
        .replace(CRATE, name)
        .replace(STEP, step.as_str())
        .replace(SDK, &about_sdk)
        .replace(USE, &used)
}
