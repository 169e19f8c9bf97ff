//! Components that are written as WebAssembly text.

use std::path::PathBuf;

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
