//! Components that are written as WebAssembly text.

use std::path::{Path, PathBuf};

use assay::plugin::Step;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use crate::place::repository;

/// Where the texts are.
pub fn corpus() -> PathBuf {
    repository().join("tests/plugins")
}

/// A core module of a world of the contract as a component.
pub fn component(text: &str, world: &str) -> Vec<u8> {
    let mut core = wat::parse_str(text).unwrap_or_else(|error| panic!("{error}"));
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(repository().join("wit")).unwrap();
    let world = resolve.select_world(&[package], Some(world)).unwrap();
    embed_component_metadata(&mut core, &resolve, world, StringEncoding::UTF8).unwrap();
    let encoder = ComponentEncoder::default().validate(true);
    encoder.module(&core).unwrap().encode().unwrap()
}

/// One of the corpus's modules around what it does to a row of 13, and beside its functions.
pub fn around(kind: &str, at_13: &str, top: &str) -> Vec<u8> {
    let module = std::fs::read_to_string(corpus().join(format!("{kind}.wat"))).unwrap();
    // Comments come first, and they name the places too.
    let body = module.find("(module").unwrap();
    let text = module[body..].replace("AT13", &format!("\n{at_13}\n"));
    component(&text.replace("TOP", top), kind)
}

/// A hostile component of the corpus.
pub struct Text {
    /// What is to come of it, as its first line says.
    pub end: String,
    pub step: Step,
    pub wasm: Vec<u8>,
}

/// Reads a file of the corpus. Its first line says `;; KIND END…: why`.
pub fn hostile(file: &Path) -> Text {
    let text = std::fs::read_to_string(file).unwrap();
    let (head, body) = text.split_once('\n').unwrap();
    let head = head.strip_prefix(";; ").unwrap();
    let (head, _) = head.rsplit_once(": ").unwrap();
    let (kind, end) = head.split_once(' ').unwrap();
    let (at_13, top) = body.split_once(";; top\n").unwrap_or((body, ""));
    Text {
        end: end.to_owned(),
        step: match kind {
            "enricher" => Step::Enrich,
            _ => Step::Validate,
        },
        wasm: match kind {
            "component" => wat::parse_str(body).unwrap(),
            kind => around(kind, at_13, top),
        },
    }
}
