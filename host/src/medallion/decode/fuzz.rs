//! Messages that nobody wrote, decoded alone and among others, and read by `serde_json` too.

use arrow::array::{Array, BinaryArray, RecordBatch};
use serde_json::{Map, Value};

use super::tests::sales;
use super::{Decoded, Decoder, EventSchema, Unknown};
use crate::edits::{Edit, Seeds, Tried};
use crate::kept::Kept;

/// What a message is decoded among.
const NEIGHBOURS: [&[u8]; 2] = [
    br#"{"id":"T1","quantity":3,"price":12.50,"at":"2025-03-01T10:00:00.5+01:00","lines":[{"id":"a"},{}]}"#,
    br#"{"id":"T2","quantity":"7","colour":"red","on":"2025-03-01"}"#,
];

const TOKENS: &[&[u8]] = &[
    b"\"",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"\\",
    b"\\u",
    b"\\ud800",
    b"null",
    b"true",
    b"-",
    b"0",
    b"1e400",
    b"e",
    b".",
    b"\"id\":",
    b"\"lines\":",
    b"\xff",
    b"\x00",
    b" ",
    b"\xc3\xa9",
    b"99999999999999999999",
    b"\"2025-02-30T25:61:00Z\"",
];

fn exploding(schema: EventSchema, array: &str) -> EventSchema {
    EventSchema {
        explode: Some(array.to_owned()),
        ..schema
    }
}

fn decode(schema: &EventSchema, messages: &[&[u8]]) -> Decoded {
    let decoded = Decoder::new(schema, Vec::new()).decode(&BinaryArray::from_iter_values(messages));
    for rows in [&decoded.rows, &decoded.messages] {
        for column in rows.columns() {
            column.to_data().validate_full().unwrap();
        }
    }
    let rows = decoded.rows.num_rows();
    assert_eq!(decoded.messages.num_rows(), messages.len());
    for length in [
        decoded.message.len(),
        decoded.line.len(),
        decoded.content.len(),
    ] {
        assert_eq!(length, rows);
    }
    decoded
}

/// The rows of one message among those of others.
fn rows_of(decoded: &Decoded, message: u32) -> (RecordBatch, Vec<[u8; 16]>) {
    let places = || decoded.message.iter().enumerate();
    let first = places().find(|(_, of)| **of == message);
    let count = places().filter(|(_, of)| **of == message).count();
    let first = first.map_or(0, |(place, _)| place);
    (
        decoded.rows.slice(first, count),
        decoded.content[first..first + count].to_vec(),
    )
}

/// Whether some schema takes it.
fn check(schemas: &[EventSchema], message: &[u8]) -> bool {
    let mut taken = false;
    for schema in schemas {
        let alone = decode(schema, &[message]);
        let among = decode(schema, &[NEIGHBOURS[0], message, NEIGHBOURS[1]]);
        assert_eq!(rows_of(&alone, 0), rows_of(&among, 1));
        taken |= alone.malformed.is_empty();
        if schema.explode.is_none() {
            as_serde_json_says(&alone, message);
        }
    }
    taken
}

#[test]
fn a_message_is_decoded_alone_as_among_others_and_is_malformed_where_serde_json_says_so() {
    let schemas = [
        sales(Unknown::Columns { max: 12 }),
        sales(Unknown::Rescue),
        exploding(sales(Unknown::Columns { max: 12 }), "lines"),
    ];
    let kept = Kept::of("messages");
    let seeds = Seeds {
        seeds: kept.replay(|message| check(&schemas, message)),
        tokens: TOKENS,
    };
    let tried = Tried::new("messages");
    bolero::check!()
        .with_type::<(u8, Vec<Edit>)>()
        .for_each(|(seed, edits)| {
            let message = seeds.edited(*seed, edits);
            kept.try_one(|| message.clone(), || tried.one(check(&schemas, &message)));
        });
    tried.end();
}

fn as_serde_json_says(decoded: &Decoded, message: &[u8]) {
    let said = decoded.malformed.first().map(|(_, said)| said.as_str());
    let other = serde_json::from_slice::<Map<String, Value>>(message);
    let told = other.as_ref().map_err(ToString::to_string).err();
    let told = told.as_deref().unwrap_or_default();
    // It lets the last of two equal names win, and either has limits of its own.
    if said.is_some_and(|said| said.contains("twice") || said.contains("nested deeper"))
        || told.contains("out of range")
        || told.contains("recursion limit")
    {
        return;
    }
    assert_eq!(said.is_some(), other.is_err(), "{said:?}, {other:?}");
}
