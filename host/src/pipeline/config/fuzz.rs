//! TOMLs that nobody wrote.

use std::path::Path;

use super::Config;
use crate::edits::{Edit, Seeds, Tried};

const TOMLS: Seeds<'static> = Seeds {
    seeds: &[
        include_bytes!("../../../../pipelines/retail.toml"),
        include_bytes!("../../../../pipelines/online-retail.toml"),
        b"version = 1\ntenant = \"t\"\n[source]\nkind = \"file\"\npath = \"in\"\n[event]\nkey = [\"id\"]\ntime = \"at\"\n[event.fields]\nid = \"string\"\nat = \"timestamp\"\n[limits]\nmemory = \"64 MiB\"\n",
    ],
    tokens: &[
        b"\"", b"\n", b"[", b"]", b"[[gold]]\n", b"{", b"}", b"=", b",", b"'''", b"\\", b"#", b"..", b"/",
        b"-1", b"0", b"1e999", b"99999999999999999999", b"true", b"\"decimal(99,99)\"", b"\"1000000y\"",
        b"${HOME}", b"\xff", b"\x00", b"\xc3\xa9",
    ],
};

#[test]
fn a_toml_is_taken_or_refused_by_its_name() {
    let tried = Tried::new("TOMLs");
    bolero::check!()
        .with_type::<(u8, Vec<Edit>)>()
        .for_each(|(seed, edits)| {
            let text = TOMLS.edited(*seed, edits);
            let text = String::from_utf8_lossy(&text);
            let parsed = Config::parse(&text, Path::new("edited.toml"));
            tried.one(parsed.is_ok());
            match parsed {
                Err(error) => assert!(error.to_string().contains("edited.toml"), "{error}"),
                Ok(config) => assert!(config.components().all(|path| !path.as_os_str().is_empty())),
            }
        });
    tried.end();
}
