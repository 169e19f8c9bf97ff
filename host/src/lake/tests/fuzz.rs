//! Versions of a log that nobody wrote.

use super::super::action::parse;
use crate::edits::{Edit, Seeds, Tried};

const VERSIONS: Seeds<'static> = Seeds {
    seeds: &[
        br#"{"commitInfo":{"operation":"WRITE","txnId":"t","assayLines":3}}
{"add":{"path":"a=1/part-0.parquet","partitionValues":{"a":"1"},"size":7,"modificationTime":1,"dataChange":true,"stats":"{\"numRecords\":1}"}}
{"txn":{"appId":"assay/t/topic/s/0","version":12}}
"#,
        br#"{"protocol":{"minReaderVersion":1,"minWriterVersion":2}}
{"metaData":{"id":"i","format":{"provider":"parquet","options":{}},"schemaString":"{\"type\":\"struct\",\"fields\":[]}","partitionColumns":["a"],"configuration":{},"createdTime":1}}
{"remove":{"path":"x","deletionTimestamp":5,"dataChange":true}}"#,
    ],
    tokens: &[
        b"\"", b"{", b"}", b"\n", b",", b":", b"null", b"-1", b"1e99", b"99999999999999999999", b"\\u0000",
        b"\"assayLines\":2,", b"{\"cdc\":{}}\n", b"\xff",
    ],
};

#[test]
fn a_version_is_read_or_told_to_be_torn() {
    let tried = Tried::new("versions of a log");
    bolero::check!()
        .with_type::<(u8, Vec<Edit>)>()
        .for_each(|(seed, edits)| {
            let parsed = parse("table", 7, &VERSIONS.edited(*seed, edits));
            tried.one(parsed.is_ok());
            if let Err(error) = parsed {
                let told = error.to_string();
                assert!(told.contains("table") && told.contains('7'), "{told}");
            }
        });
    tried.end();
}
