//! What an author is told who slips: what, where, and what to do.

use super::shell;
use crate::place::repository;

#[test]
fn a_name_or_a_file_that_begins_with_a_hyphen_is_told_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let said = shell(folder.path(), "assay plugin new -x --step validate").badly();
    assert!(
        said.contains("\"-x\" is no plugin") && said.contains("begin with a letter"),
        "{said}"
    );
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    let wasm = repository().join("plugins/validate-sales/validate-sales.wasm");
    std::fs::copy(wasm, folder.path().join("-x.wasm")).unwrap();
    let said = shell(folder.path(), "assay plugin check -x.wasm").badly();
    assert!(said.contains("write ./-x.wasm"), "{said}");
    shell(folder.path(), "assay plugin check ./-x.wasm").well();
    let other = shell(folder.path(), "assay plugin check --x.wasm").badly();
    assert!(!other.contains("write ./"), "{other}");
}

#[test]
fn a_key_is_not_written_over_and_the_public_one_does_not_sign() {
    let folder = tempfile::tempdir().unwrap();
    shell(folder.path(), "assay plugin keygen ann.key").well();
    let keys = || ["ann.key", "ann.key.pub"].map(|key| std::fs::read(folder.path().join(key)));
    let before = keys().map(Result::unwrap);
    for (remove, told) in [
        ("true", "ann.key.pub is there"),
        ("rm ann.key.pub", "ann.key is there"),
    ] {
        let line = format!("{remove}; assay plugin keygen ann.key");
        let said = shell(folder.path(), &line).badly();
        assert!(
            said.contains(told) && said.contains("name another file"),
            "{said}"
        );
    }
    assert_eq!(keys()[0].as_ref().unwrap(), &before[0]);
    std::fs::write(folder.path().join("ann.key.pub"), &before[1]).unwrap();

    let wasm = repository().join("plugins/validate-sales/validate-sales.wasm");
    let sign = |key: &str| {
        let line = format!(
            "cp {} a.wasm; assay plugin sign a.wasm --key {key}",
            wasm.display()
        );
        shell(folder.path(), &line)
    };
    let said = sign("ann.key.pub").badly();
    assert!(
        said.contains("ann.key.pub is a public key")
            && said.contains("name the private one, ann.key"),
        "{said}"
    );
    assert!(!said.contains("chmod"), "{said}");
    assert!(!folder.path().join("a.wasm.sig").exists());
    sign("ann.key").well();
}
