//! Rules as their authors write them: projects of `assay plugin new`, in folders of their own.

mod broken_rules;

mod by_the_hour;

mod languages;

mod new_projects;

mod over_rows;

mod slips;

mod tutorial;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use crate::place::{Said, assay, repository};

/// Makes a project's build begin where the repository's stands, with the same dependencies: what is
/// tested is the project, and compiling the SDK's dependencies once more takes a minute.
fn share_builds(project: &Path) {
    let target = project.join("target");
    std::fs::create_dir_all(&target).unwrap();
    let built = repository().join("target/wasm");
    std::fs::create_dir_all(&built).unwrap();
    std::os::unix::fs::symlink(built, target.join("wasm")).unwrap();
    let lock = repository().join("Cargo.lock");
    std::fs::copy(lock, project.join("Cargo.lock")).unwrap();
}

/// Where the projects' own tests are built.
fn native_builds() -> PathBuf {
    assay().with_file_name("authoring")
}

/// A command line as an author types it, with `assay` on the PATH. One at a time: to cargo the SDKs of
/// projects that share a build are one, which each compiles anew.
fn shell(folder: &Path, line: &str) -> Said {
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    shell_beside_others(folder, line)
}

/// The same without a turn, for what builds nothing in Rust.
fn shell_beside_others(folder: &Path, line: &str) -> Said {
    let mut path = assay().parent().unwrap().as_os_str().to_owned();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap());
    let mut command = Command::new("sh");
    command
        .args(["-ec", line])
        .current_dir(folder)
        .env("PATH", path)
        .env("CARGO_TARGET_DIR", native_builds())
        .env_remove("RUSTFLAGS");
    command.output().unwrap().into()
}

#[test]
fn the_default_rules_pass_their_cases() {
    let said = shell(&repository(), "assay plugin test").well();
    for plugin in [
        "aggregate-daily-products",
        "aggregate-daily-sales",
        "cleanse-sales",
        "enrich-sales",
        "validate-online-retail",
        "validate-sales",
    ] {
        let (_, after) = said.split_once(&format!("{plugin}.wasm\n")).unwrap();
        assert!(
            after.starts_with("  case "),
            "{plugin} has no cases\n{said}"
        );
    }
}

#[test]
fn the_examples_pass_their_cases_and_the_authors_page_names_each() {
    let page = std::fs::read_to_string(repository().join("plugins/README.md")).unwrap();
    let said = shell(&repository(), "assay plugin test plugins/sdk/examples/*").well();
    let mut examples = 0;
    for entry in std::fs::read_dir(repository().join("plugins/sdk/examples")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let (_, after) = said.split_once(&format!("{name}.wasm\n")).unwrap();
        assert!(after.starts_with("  case "), "{name} has no cases\n{said}");
        let link = format!("[`{name}`](sdk/examples/{name}/src/lib.rs)");
        assert!(page.contains(&link), "plugins/README.md lacks {link}");
        examples += 1;
    }
    assert_eq!(examples, 13, "twelve, of which one is of two components");
}

#[test]
fn a_component_is_measured_against_another() {
    let line = "assay plugin bench plugins/validate-sales/validate-sales.wasm \
                --against plugins/validate-online-retail/validate-online-retail.wasm";
    let said = shell(&repository(), line).well();
    let number = |begin: &str, nth: usize| {
        let line = said.lines().filter(|line| line.starts_with(begin)).nth(nth);
        let line = line.unwrap_or_else(|| panic!("no {begin}\n{said}"));
        let word = line[begin.len()..].split_whitespace().next().unwrap();
        word.parse::<f64>().unwrap()
    };
    for part in ["compile ", "start ", "a row ", "fuel ", "memory "] {
        assert!(number(part, 0) > 0.0 && number(part, 1) > 0.0, "{said}");
    }
    // Fuel is the same on every machine, and these are other rules.
    assert!(
        (number("fuel ", 0) - number("fuel ", 1)).abs() > 1.0,
        "{said}"
    );
    assert!(number("the first takes ", 0) > 0.0, "{said}");

    let aggregate =
        "assay plugin bench plugins/aggregate-daily-products/aggregate-daily-products.wasm";
    let said = shell(&repository(), aggregate).well();
    assert!(said.contains("fuel "), "{said}");
}

#[test]
fn a_component_is_checked_and_says_what_it_is() {
    let folder = repository();
    let said = shell(
        &folder,
        "assay plugin inspect plugins/enrich-sales/enrich-sales.wasm --params '{\"dimensions\": [\"store\"]}'",
    )
    .well();
    for line in [
        "world     enricher of assay:rules@0.1.1 (step enrich)",
        "imports   assay:rules/host@0.1.1",
        "reads     quantity integer, required",
        "look-up   dimension store where store_id = store_id",
        "writes    net_amount decimal(2)",
        "rule      warn unknown_store: ",
    ] {
        assert!(said.contains(line), "{line}\n{said}");
    }
    assert!(!said.contains("dimension product"), "{said}");

    let wrong = shell(
        &folder,
        "assay plugin check plugins/*/*.wasm Cargo.toml --params '{\"max_quantity\": 0}'",
    );
    assert!(
        !wrong.good && wrong.err.contains("can't be used"),
        "{wrong:?}"
    );
    for line in [
        "validate-sales.wasm: it refuses its params: params: max_quantity must be above zero",
        "Cargo.toml: this is no WebAssembly",
    ] {
        assert!(wrong.out.contains(line), "{line}\n{}", wrong.out);
    }
}
