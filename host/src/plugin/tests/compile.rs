//! What is no component of ours is told so before it meets a row.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};

use super::guests::{DECIMAL, Guest, INTEGER, REFUSE, TEXT, component};
use super::{compile, configured, sandbox};
use crate::plugin::{
    Cause, CompileLimits, Component, Description, Kind, Limits, PluginError, Step,
};

fn refused(wasm: &[u8], step: Step) -> PluginError {
    compile(wasm, step).err().expect("it was taken")
}

fn not_configured(guest: &Guest) -> PluginError {
    let component = compile(&guest.build(), guest.step).unwrap();
    component
        .configure("{}", &Limits::default())
        .err()
        .expect("it was taken")
}

fn compile_any(wasm: &[u8]) -> Result<Component, PluginError> {
    sandbox().compile_any(wasm, &CompileLimits::default())
}

fn validator() -> Guest {
    Guest::new(Step::Validate, "unreachable")
}

#[test]
fn garbage_is_no_webassembly() {
    for bytes in [&b""[..], b"PK\x03\x04", b"[package]\nname"] {
        assert!(matches!(
            refused(bytes, Step::Cleanse),
            PluginError::NotWasm { .. }
        ));
    }
}

#[test]
fn compiled_code_is_never_run_as_it_is_given() {
    let engine = wasmtime::Engine::default();
    let native = engine.precompile_component(&validator().build()).unwrap();
    let error = refused(&native, Step::Validate);
    assert!(matches!(error, PluginError::NotWasm { .. }), "{error}");
}

#[test]
fn a_core_module_is_told_how_to_become_a_component() {
    let error = refused(&wat::parse_str("(module)").unwrap(), Step::Cleanse);
    assert!(matches!(error, PluginError::CoreModule));
    assert!(error.to_string().contains("assay plugin build"));
}

#[test]
fn a_torn_component_is_broken() {
    let mut wasm = validator().build();
    wasm.truncate(wasm.len() / 2);
    assert!(matches!(
        refused(&wasm, Step::Validate),
        PluginError::Broken { .. }
    ));
}

#[test]
fn a_component_of_no_wit_of_ours_is_told_what_it_exports() {
    let text = r#"(component (instance $i) (export "wasi:cli/run@0.2.0" (instance $i)))"#;
    let error = refused(&wat::parse_str(text).unwrap(), Step::Enrich).to_string();
    assert!(error.contains("wasi:cli/run@0.2.0"), "{error}");
    assert!(error.contains("assay:rules/enrichment@0.1.1"), "{error}");
}

#[test]
fn a_component_for_another_step_is_told_which_step_it_is_of() {
    let error = refused(&validator().build(), Step::Aggregate);
    let PluginError::OtherStep { found, wanted } = error else {
        panic!("{error}")
    };
    assert_eq!((found, wanted), (Step::Validate, Step::Aggregate));
}

#[test]
fn a_component_of_another_version_of_the_contract_is_told_both() {
    for version in ["0.7.0", "0.1.2", "1.0.0"] {
        let exports = format!(
            "(component (instance $i) (export \"assay:rules/cleansing@{version}\" (instance $i)))"
        );
        let imports = format!(
            "(component (import \"assay:rules/host@{version}\" (instance))
              (instance $i) (export \"assay:rules/cleansing@0.1.0\" (instance $i)))"
        );
        for text in [exports, imports] {
            let error = refused(&wat::parse_str(text).unwrap(), Step::Cleanse);
            let error = error.to_string();
            assert!(
                error.contains(&format!("@{version}")) && error.contains("@0.1.1"),
                "{error}"
            );
        }
    }
}

#[test]
fn a_component_of_every_published_version_of_the_contract_is_called() {
    let contracts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/contracts");
    let folders = std::fs::read_dir(contracts).unwrap();
    let mut versions = 0;
    for folder in folders.map(|folder| folder.unwrap().path()) {
        let version = folder.file_name().unwrap().to_str().unwrap();
        for step in Step::ALL {
            let guest = Guest::new(step, "unreachable").build_against(version, &folder);
            let component = compile(&guest, step).unwrap();
            assert_eq!(component.contract(), format!("assay:rules@{version}"));
            let configured = component.configure("{}", &Limits::default()).unwrap();
            assert_eq!(configured.step(), step);
            if step == Step::Validate {
                let row: ArrayRef = Arc::new(Int64Array::from(vec![1]));
                let judged = configured.judge(1, &[Some(row)], 1).unwrap();
                assert_eq!(judged.guilty[0].cause, Cause::Trap);
            }
        }
        versions += 1;
    }
    assert!(versions >= 1);
    let ours = compile_any(&validator().build()).unwrap();
    assert_eq!(ours.contract(), "assay:rules@0.1.1");
}

#[test]
fn a_component_that_wants_more_than_a_log_is_told_what_it_imports() {
    let text = r#"(component
        (import "wasi:filesystem/types@0.2.0" (instance))
        (import "wasi:clocks/wall-clock@0.2.0" (instance))
        (instance $i) (export "assay:rules/cleansing@0.1.1" (instance $i)))"#;
    let error = refused(&wat::parse_str(text).unwrap(), Step::Cleanse);
    assert!(matches!(error, PluginError::Import { .. }), "{error}");
    let said = error.to_string();
    for import in [
        "wasi:filesystem/types@0.2.0",
        "wasi:clocks/wall-clock@0.2.0",
    ] {
        assert!(said.contains(import), "{said}");
    }
}

#[test]
fn a_component_that_makes_handles_in_the_hosts_tables_is_refused() {
    let text = r#"(component (component
        (type $handle (resource (rep i32)))
        (core func $make (canon resource.new $handle))))"#;
    let error = refused(&wat::parse_str(text).unwrap(), Step::Validate);
    assert!(matches!(error, PluginError::Resources), "{error}");
}

#[test]
fn a_component_of_whichever_step_is_known_by_what_it_exports() {
    for step in Step::ALL {
        let guest = Guest::new(step, "unreachable").build();
        assert_eq!(compile_any(&guest).unwrap().step(), step);
    }
    let text = r#"(component (instance $i) (export "wasi:cli/run@0.2.0" (instance $i)))"#;
    let error = compile_any(&wat::parse_str(text).unwrap());
    let said = error.err().expect("it was taken").to_string();
    assert!(
        said.contains("wasi:cli/run@0.2.0") && said.contains("aggregation@0.1.1"),
        "{said}"
    );
}

#[test]
fn a_component_with_our_names_but_other_types_is_refused() {
    let text = r#"(component (instance $i) (export "assay:rules/cleansing@0.1.1" (instance $i)))"#;
    let error = refused(&wat::parse_str(text).unwrap(), Step::Cleanse);
    assert!(matches!(error, PluginError::Contract { .. }), "{error}");
}

#[test]
fn what_a_component_says_of_itself_is_handed_on() {
    let mut guest = validator();
    guest.reads = vec![
        ("unit_price", DECIMAL, 2, true),
        ("currency", TEXT, 0, false),
    ];
    guest.rules = vec!["price_negative", "unknown_currency"];
    let Description::Rows(said) = configured(&guest, &Limits::default()).description else {
        panic!()
    };
    let reads: Vec<_> = said
        .reads
        .iter()
        .map(|f| (f.name.as_str(), f.kind, f.required))
        .collect();
    assert_eq!(
        reads,
        [
            ("unit_price", Kind::Decimal(2), true),
            ("currency", Kind::Text, false)
        ]
    );
    let rules: Vec<_> = said.rules.iter().map(|rule| rule.name.as_str()).collect();
    assert_eq!(rules, ["price_negative", "unknown_currency"]);
}

#[test]
fn params_that_a_component_refuses_are_its_own_words() {
    let mut guest = validator();
    guest.configure = REFUSE.to_owned();
    let error = not_configured(&guest);
    let PluginError::Params { problem } = error else {
        panic!("{error}")
    };
    assert_eq!(problem, "it hurts");
}

#[test]
fn a_component_that_fails_while_it_is_configured_is_refused_with_the_cause() {
    for (body, pages, wanted) in [
        ("unreachable", 2, Cause::Trap),
        ("(loop $ever (br $ever)) unreachable", 2, Cause::Fuel),
        (
            "(drop (memory.grow (i32.const 2000))) i32.const 16",
            2,
            Cause::Memory,
        ),
        ("i32.const 16", 2_000, Cause::Memory),
    ] {
        let mut guest = validator();
        guest.configure = body.to_owned();
        guest.pages = pages;
        let error = not_configured(&guest);
        let PluginError::Failed { cause, .. } = error else {
            panic!("{body}: {error}")
        };
        assert_eq!(cause, wanted, "{body}");
    }
}

#[test]
fn a_description_that_does_not_hold_is_refused() {
    let mut twice = validator();
    twice.reads = vec![("sku", TEXT, 0, true), ("sku", TEXT, 0, true)];
    let mut shouting = validator();
    shouting.rules = vec!["NoPrice"];
    let mut repeated = validator();
    repeated.rules = vec!["no_price", "no_price"];
    let mut writing = validator();
    writing.writes = vec![("city", TEXT, 0, false)];
    let mut hidden = Guest::new(Step::Enrich, "unreachable");
    hidden.writes = vec![("_offset", INTEGER, 0, false)];
    let mut deep = validator();
    deep.reads = vec![("price", DECIMAL, 19, true)];
    let mut keyless = Guest::new(Step::Aggregate, "unreachable");
    keyless.keys = vec!["store_id"];
    for (guest, said) in [
        (twice, "reads: sku stands there twice"),
        (shouting, "\"NoPrice\" is no name for a rule"),
        (repeated, "two rules are called no_price"),
        (writing, "writes no columns"),
        (hidden, "\"_offset\" is no name for a new column"),
        (deep, "decimal(19)"),
        (keyless, "the key store_id is not among"),
    ] {
        let error = not_configured(&guest);
        assert!(matches!(error, PluginError::Description { .. }), "{error}");
        assert!(error.to_string().contains(said), "{error}");
    }
}

#[test]
fn an_unknown_kind_in_a_description_is_the_components_fault() {
    let mut guest = validator();
    guest.reads = vec![("sku", 99, 0, true)];
    let error = not_configured(&guest);
    let PluginError::Failed {
        function, cause, ..
    } = error
    else {
        panic!("{error}")
    };
    assert_eq!((function, cause), ("describe", Cause::Answer));
}

#[test]
fn every_world_of_the_contract_can_be_compiled() {
    for step in Step::ALL {
        let guest = Guest::new(step, "unreachable");
        assert_eq!(configured(&guest, &Limits::default()).step(), step);
    }
    let nothing = r#"(module (memory (export "memory") 1))"#;
    let core = wat::parse_str(nothing).unwrap();
    assert!(std::panic::catch_unwind(|| component(core, "validator")).is_err());
}
