use super::*;

fn plugin(manifest: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("Cargo.toml"), manifest).unwrap();
    folder
}

const MANIFEST: &str = "[workspace]\n[package]\nname = \"check-sales\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\
                        [lib]\npath = \"lib.rs\"\ncrate-type = [\"cdylib\", \"rlib\"]\n";

#[test]
fn a_folder_that_makes_no_component_is_named_with_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let error = build(folder.path()).unwrap_err();
    assert!(
        error.to_string().contains("Cargo.toml can't be read"),
        "{error}"
    );

    let folder = plugin("[package]\nname = \"sdk\"\n");
    let error = build(folder.path()).unwrap_err();
    assert!(error.to_string().contains("cdylib"), "{error}");
    assert!(
        error.to_string().contains(folder.path().to_str().unwrap()),
        "{error}"
    );
}

#[test]
fn only_folders_with_a_plugin_are_found_in_their_order() {
    let parent = tempfile::tempdir().unwrap();
    for (name, manifest) in [
        ("b", MANIFEST),
        ("a", MANIFEST),
        ("sdk", "[package]\nname = \"sdk\"\n"),
        ("empty", ""),
    ] {
        std::fs::create_dir(parent.path().join(name)).unwrap();
        std::fs::write(parent.path().join(name).join("Cargo.toml"), manifest).unwrap();
    }
    let found = plugins_in(parent.path()).unwrap();
    assert_eq!(found, [parent.path().join("a"), parent.path().join("b")]);
}

#[test]
fn a_component_is_replaced_whole_and_only_by_another() {
    let folder = plugin(MANIFEST);
    let plugin = Plugin::read(folder.path()).unwrap();
    let Source::Rust(library) = &plugin.source else {
        panic!("it is in Rust")
    };
    assert_eq!(library.library, "check_sales");

    let first = plugin.write(b"one").unwrap();
    assert!(first.changed);
    assert_eq!(first.path, folder.path().join("check-sales.wasm"));
    assert!(!plugin.write(b"one").unwrap().changed);

    let second = plugin.write(b"another").unwrap();
    assert!(second.changed);
    assert_ne!(second.digest, first.digest);
    assert_eq!(std::fs::read(&second.path).unwrap(), b"another");
    let left = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, 2, "Cargo.toml and the component, no temporary file");
}

#[test]
fn what_exports_nothing_of_ours_compiles_but_is_no_component() {
    let folder = plugin(MANIFEST);
    std::fs::write(folder.path().join("lib.rs"), "pub fn rule() {}").unwrap();
    let error = build(folder.path()).unwrap_err();
    assert!(matches!(error, BuildError::BadComponent { .. }), "{error}");
    assert!(!folder.path().join("check-sales.wasm").exists());
}

#[test]
fn what_does_not_compile_leaves_the_old_component() {
    let folder = plugin(MANIFEST);
    std::fs::write(folder.path().join("lib.rs"), "this is no Rust").unwrap();
    std::fs::write(folder.path().join("check-sales.wasm"), "old").unwrap();
    let error = build(folder.path()).unwrap_err();
    assert!(matches!(error, BuildError::Cargo { .. }), "{error}");
    assert!(error.to_string().contains("check-sales"), "{error}");
    assert_eq!(
        std::fs::read(folder.path().join("check-sales.wasm")).unwrap(),
        b"old"
    );
}
