//! TOMLs that nobody wrote.

use std::path::Path;

use super::Config;
use crate::edits::{Edit, Seeds, Tried};
use crate::kept::Kept;

const TOKENS: &[&[u8]] = &[
    b"\"",
    b"\n",
    b"[",
    b"]",
    b"[[gold]]\n",
    b"{",
    b"}",
    b"=",
    b",",
    b"'''",
    b"\\",
    b"#",
    b"..",
    b"/",
    b"-1",
    b"0",
    b"1e999",
    b"99999999999999999999",
    b"true",
    b"\"decimal(99,99)\"",
    b"\"1000000y\"",
    b"${HOME}",
    b"\xff",
    b"\x00",
    b"\xc3\xa9",
];

/// Whether it was taken.
fn check(text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text);
    let parsed = Config::parse(&text, Path::new("edited.toml"));
    match &parsed {
        Err(error) => assert!(error.to_string().contains("edited.toml"), "{error}"),
        Ok(config) => assert!(config.components().all(|path| !path.as_os_str().is_empty())),
    }
    parsed.is_ok()
}

#[test]
fn a_toml_is_taken_or_refused_by_its_name() {
    let kept = Kept::of("tomls");
    let mut seeds = kept.replay(check);
    for shipped in [
        include_bytes!("../../../../pipelines/retail.toml").as_slice(),
        include_bytes!("../../../../pipelines/online-retail.toml"),
    ] {
        assert!(check(shipped));
        seeds.push(shipped.to_vec());
    }
    let seeds = Seeds {
        seeds,
        tokens: TOKENS,
    };
    let tried = Tried::new("TOMLs");
    bolero::check!()
        .with_type::<(u8, Vec<Edit>)>()
        .for_each(|(seed, edits)| {
            let text = seeds.edited(*seed, edits);
            kept.try_one(|| text.clone(), || tried.one(check(&text)));
        });
    tried.end();
}
