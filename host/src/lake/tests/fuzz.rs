//! Versions of a log that nobody wrote.

use super::super::action::parse;
use crate::edits::{Edit, Seeds, Tried};
use crate::kept::Kept;

const TOKENS: &[&[u8]] = &[
    b"\"",
    b"{",
    b"}",
    b"\n",
    b",",
    b":",
    b"null",
    b"-1",
    b"1e99",
    b"99999999999999999999",
    b"\\u0000",
    b"\"assayLines\":2,",
    b"{\"cdc\":{}}\n",
    b"\xff",
];

/// Whether it could be read.
fn check(version: &[u8]) -> bool {
    let parsed = parse("table", 7, version);
    if let Err(error) = &parsed {
        let told = error.to_string();
        assert!(told.contains("table") && told.contains('7'), "{told}");
    }
    parsed.is_ok()
}

#[test]
fn a_version_is_read_or_told_to_be_torn() {
    let kept = Kept::of("versions");
    let seeds = Seeds {
        seeds: kept.replay(check),
        tokens: TOKENS,
    };
    let tried = Tried::new("versions of a log");
    bolero::check!()
        .with_type::<(u8, Vec<Edit>)>()
        .for_each(|(seed, edits)| {
            let version = seeds.edited(*seed, edits);
            kept.try_one(|| version.clone(), || tried.one(check(&version)));
        });
    tried.end();
}
