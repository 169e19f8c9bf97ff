//! What decoding promises, and a slow second opinion on thousands of generated messages.

use std::collections::BTreeMap;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, Date32Array, Decimal128Array, Int64Array, RecordBatch,
    StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Decimal128Type, Field, Int64Type};
use arrow::util::display::array_value_to_string;

use super::{Decoded, Decoder, EventSchema, Unknown};
use crate::schema::NamedType;

pub fn schema(fields: &[(&str, &str)], unknown: Unknown) -> EventSchema {
    let fields = fields.iter().map(|(name, field_type)| NamedType {
        name: (*name).into(),
        field_type: field_type.parse().unwrap(),
    });
    EventSchema {
        fields: fields.collect(),
        explode: None,
        unknown,
    }
}

pub fn sales(unknown: Unknown) -> EventSchema {
    let fields = [
        ("id", "string"),
        ("quantity", "integer"),
        ("price", "decimal(8,2)"),
        ("at", "timestamp"),
        ("on", "date"),
        ("gift", "boolean"),
        ("extras", "json"),
    ];
    schema(&fields, unknown)
}

fn baskets(unknown: Unknown) -> EventSchema {
    EventSchema {
        explode: Some("lines".into()),
        ..sales(unknown)
    }
}

const COLUMNS: Unknown = Unknown::Columns { max: 200 };

pub fn decode(schema: &EventSchema, messages: &[&str]) -> Decoded {
    let raw: Vec<&[u8]> = messages.iter().map(|message| message.as_bytes()).collect();
    Decoder::new(schema, Vec::new()).decode(&BinaryArray::from(raw))
}

/// A cell as text; `~` where it is null.
pub fn cell(rows: &RecordBatch, column: &str, row: usize) -> String {
    let column = rows.column_by_name(column).unwrap();
    match column.is_null(row) {
        true => "~".into(),
        false => array_value_to_string(column, row).unwrap(),
    }
}

fn column(rows: &RecordBatch, name: &str) -> Vec<String> {
    (0..rows.num_rows())
        .map(|row| cell(rows, name, row))
        .collect()
}

#[test]
fn an_event_becomes_typed_columns() {
    let decoded = decode(
        &sales(COLUMNS),
        &[
            r#" {"id":"a\u00e9\n","quantity":3,"price":12.5,"at":"2025-03-01T01:00:00+01:00","on":"2025-03-01","gift":true,"extras":{ "a" : [1, 2] }} "#,
            r#"{"extras":"x","gift":null,"price":1e2,"quantity":3.0}"#,
        ],
    );
    let rows = &decoded.rows;
    let expected: Vec<(&str, ArrayRef)> = vec![
        (
            "id",
            std::sync::Arc::new(StringArray::from(vec![Some("aé\n"), None])),
        ),
        (
            "quantity",
            std::sync::Arc::new(Int64Array::from(vec![3, 3])),
        ),
        (
            "price",
            std::sync::Arc::new(
                Decimal128Array::from(vec![1250, 10_000])
                    .with_precision_and_scale(8, 2)
                    .unwrap(),
            ),
        ),
        (
            "at",
            std::sync::Arc::new(
                TimestampMicrosecondArray::from(vec![Some(1_740_787_200_000_000), None])
                    .with_timezone("UTC"),
            ),
        ),
        (
            "on",
            std::sync::Arc::new(Date32Array::from(vec![Some(20_148), None])),
        ),
        (
            "gift",
            std::sync::Arc::new(arrow::array::BooleanArray::from(vec![Some(true), None])),
        ),
        (
            "extras",
            std::sync::Arc::new(StringArray::from(vec![r#"{"a":[1,2]}"#, r#""x""#])),
        ),
    ];
    for (name, expected) in expected {
        assert_eq!(rows.column_by_name(name).unwrap(), &expected, "{name}");
    }
    assert_eq!(column(rows, "_rescued"), ["~", "~"]);
    assert_eq!(decoded.messages, decoded.rows);
    assert_eq!((decoded.message, decoded.line), (vec![0, 1], vec![0, 0]));
}

#[test]
fn a_declared_field_of_the_wrong_type_is_null_and_stands_in_rescued_as_it_came() {
    let decoded = decode(
        &sales(COLUMNS),
        &[
            r#"{"id":7,"quantity":"3","price":"1.5","at":"yesterday","on":"2025-02-30","gift":"yes"}"#,
            r#"{"quantity":1.5,"price":1.005,"at":5,"on":true,"gift":0}"#,
            r#"{"quantity":9223372036854775808,"price":1000000.00,"id":{"a": 1}}"#,
            r#"{"quantity":-9223372036854775808,"price":-999999.99}"#,
        ],
    );
    for (row, rescued) in [
        r#"{"id":7,"quantity":"3","price":"1.5","at":"yesterday","on":"2025-02-30","gift":"yes"}"#,
        r#"{"quantity":1.5,"price":1.005,"at":5,"on":true,"gift":0}"#,
        r#"{"quantity":9223372036854775808,"price":1000000.00,"id":{"a":1}}"#,
        "~",
    ]
    .iter()
    .enumerate()
    {
        assert_eq!(cell(&decoded.rows, "_rescued", row), *rescued);
        assert_eq!(cell(&decoded.messages, "_rescued", row), *rescued);
    }
    assert_eq!(
        column(&decoded.rows, "quantity"),
        ["~", "~", "~", "-9223372036854775808"]
    );
    assert_eq!(
        column(&decoded.rows, "price"),
        ["~", "~", "~", "-999999.99"]
    );
    assert_eq!(column(&decoded.rows, "id"), ["~"; 4]);
}

#[test]
fn a_malformed_message_is_one_null_row_with_a_reason_and_harms_no_other() {
    let deep = |n: usize| format!(r#"{{"x":{}{}}}"#, "[".repeat(n), "]".repeat(n));
    let (deepest, too_deep) = (deep(63), deep(64));
    let cases: Vec<(&[u8], &str)> = vec![
        (b"", "empty"),
        (b"{", "JSON"),
        (b"nul", "JSON"),
        (b"[1]", "an array, not a JSON object"),
        (b"3", "a number, not a JSON object"),
        (br#"{"id":"a"} x"#, "JSON"),
        (br#"{"id":"a",}"#, "JSON"),
        (br#"{"id":01}"#, "JSON"),
        (br#"{"id":NaN}"#, "JSON"),
        (b"{\"id\":\"a\nb\"}", "JSON"),
        (br#"{"id":"\ud800"}"#, "JSON"),
        (b"{\"id\":\"\xff\"}", "no UTF-8 from byte 7"),
        (br#"{"id":"a","id":"a"}"#, r#""id" stands twice"#),
        (br#"{"id":"a","\u0069d":"a"}"#, r#""id" stands twice"#),
        (br#"{"x":[{"b":1,"b":2}]}"#, r#""b" stands twice"#),
        (too_deep.as_bytes(), "deeper than 64"),
    ];
    let mut raw: Vec<Option<&[u8]>> = vec![None];
    for (message, _) in &cases {
        raw.extend([Some(br#"{"id":"good"}"#.as_slice()), Some(message)]);
    }
    raw.push(Some(deepest.as_bytes()));
    let decoded = Decoder::new(&sales(COLUMNS), Vec::new()).decode(&BinaryArray::from(raw));
    let mut malformed = decoded.malformed.iter();
    assert_eq!(
        malformed.next().unwrap(),
        &(0, "the message is empty".to_owned())
    );
    for (number, (message, reason)) in cases.iter().enumerate() {
        let (row, said) = malformed.next().unwrap();
        assert_eq!(
            *row as usize,
            2 + 2 * number,
            "{}",
            String::from_utf8_lossy(message)
        );
        assert!(said.contains(reason), "{said}");
        assert_eq!(cell(&decoded.rows, "id", *row as usize), "~");
        assert_eq!(cell(&decoded.rows, "id", *row as usize - 1), "good");
    }
    assert_eq!(malformed.next(), None);
    assert_eq!(decoded.messages.num_rows(), 2 * cases.len() + 2);
}

#[test]
fn a_new_field_becomes_a_column_typed_by_its_first_value() {
    let mut decoder = Decoder::new(&sales(COLUMNS), Vec::new());
    let mut next = |message: &str| decoder.decode(&BinaryArray::from(vec![message.as_bytes()]));
    let first = next(
        r#"{"id":"a","flag":true,"count":5,"rate":0.25,"note":"n","later":null,"tree":{"a":1},"fine":0.12345}"#,
    );
    let types: Vec<(&str, &DataType)> = first
        .new_columns
        .iter()
        .map(|f| (f.name().as_str(), f.data_type()))
        .collect();
    assert_eq!(
        types,
        [
            ("flag", &DataType::Boolean),
            ("count", &DataType::Int64),
            ("rate", &DataType::Decimal128(18, 4)),
            ("note", &DataType::Utf8),
        ]
    );
    assert_eq!(cell(&first.messages, "rate", 0), "0.2500");
    assert_eq!(
        cell(&first.messages, "_rescued", 0),
        r#"{"tree":{"a":1},"fine":0.12345}"#
    );
    assert_eq!(cell(&first.rows, "_rescued", 0), "~");
    let second = next(r#"{"count":"5","rate":7,"later":1,"note":"m"}"#);
    assert_eq!(cell(&second.messages, "count", 0), "~");
    assert_eq!(cell(&second.messages, "_rescued", 0), r#"{"count":"5"}"#);
    assert_eq!(cell(&second.messages, "rate", 0), "7.0000");
    assert_eq!(cell(&second.messages, "later", 0), "1");
    assert_eq!(second.new_columns.len(), 5);
}

#[test]
fn names_that_can_be_no_column_and_columns_beyond_the_most_are_rescued() {
    let decoded = decode(
        &sales(Unknown::Columns { max: 9 }),
        &[
            r#"{"_offset":1,"Quantity":2,"a b":3,"":4,"a.b":5,"one":6,"ONE":7,"two":8,"three":9}"#,
            r#"{"three":10,"two":11}"#,
        ],
    );
    let names: Vec<&String> = decoded.new_columns.iter().map(Field::name).collect();
    assert_eq!(names, ["one", "two"]);
    assert_eq!(
        column(&decoded.messages, "_rescued"),
        [
            r#"{"_offset":1,"Quantity":2,"a b":3,"":4,"a.b":5,"ONE":7,"three":9}"#,
            r#"{"three":10}"#
        ]
    );
    assert_eq!(column(&decoded.messages, "two"), ["8", "11"]);
}

#[test]
fn without_new_columns_every_unknown_field_is_rescued_for_bronze_and_for_rules() {
    let decoded = decode(
        &sales(Unknown::Rescue),
        &[r#"{"id":"a","note":"n","x":null,"y":[1, 2]}"#],
    );
    assert_eq!(decoded.new_columns, []);
    assert_eq!(
        cell(&decoded.rows, "_rescued", 0),
        r#"{"note":"n","y":[1,2]}"#
    );
    assert_eq!(decoded.messages, decoded.rows);
}

#[test]
fn what_a_row_becomes_does_not_depend_on_the_columns_that_bronze_has() {
    let message = r#"{"id":"a","note":5,"quantity":"x","Note":1,"price":1}"#;
    let raw = BinaryArray::from(vec![message.as_bytes()]);
    let fresh = Decoder::new(&sales(COLUMNS), Vec::new()).decode(&raw);
    for known in [
        vec![Field::new("note", DataType::Utf8, true)],
        vec![
            Field::new("NOTE", DataType::Int64, true),
            Field::new("Price", DataType::Float64, false),
        ],
    ] {
        let other = Decoder::new(&sales(COLUMNS), known.clone()).decode(&raw);
        assert_eq!((&other.rows, &other.content), (&fresh.rows, &fresh.content));
        assert_ne!(other.messages, fresh.messages);
        for field in known {
            let column = other.messages.column_by_name(field.name()).unwrap();
            assert_eq!(column.data_type(), field.data_type());
        }
    }
    assert_eq!(cell(&fresh.rows, "_rescued", 0), r#"{"quantity":"x"}"#);
}

#[test]
fn equal_events_have_equal_content_however_they_are_spelled() {
    let spellings = [
        r#"{"id":"é/","quantity":100,"price":12.50,"x":{"a":[1,"b c"]},"gift":false}"#,
        r#" { "gift" : false, "x":{ "a" : [1,"b c" ] } , "price":12.5,"quantity":1e2,"id":"\u00e9\/" } "#,
        r#"{"extras":null,"i\u0064":"é/","quantity":100.0,"price":1250e-2,"x":{"a":[1,"b c"]},"gift":false}"#,
    ];
    let decoded = decode(&sales(COLUMNS), &spellings);
    assert_eq!(decoded.content[0], decoded.content[1]);
    assert_eq!(decoded.content[0], decoded.content[2]);
    let other_schema = schema(&[("price", "string")], Unknown::Rescue);
    assert_eq!(decode(&other_schema, &spellings).content, decoded.content);
}

#[test]
fn events_that_differ_anywhere_differ_in_content() {
    let mut messages: Vec<String> = [
        r#"{"id":"a","x":1}"#,
        r#"{"id":"a","x":2}"#,
        r#"{"id":"a","y":1}"#,
        r#"{"id":"a","x":"1"}"#,
        r#"{"id":"a","x":true}"#,
        r#"{"id":"a","x":[1]}"#,
        r#"{"id":"a","x":"[1]"}"#,
        r#"{"id":"a","x":[1.0]}"#,
        r#"{"id":"a"}"#,
        r#"{"id":"","x":"a"}"#,
        r#"{"id":"ax","x":""}"#,
        r#"{"i":"da","x":1}"#,
        r#"{"id":"A","x":1}"#,
        r#"{"id":"a","x":-1}"#,
        r#"{"id":"a","x":"é"}"#,
        "{}",
    ]
    .map(String::from)
    .into();
    for length in 60..68 {
        messages.push(format!(r#"{{"id":"{}"}}"#, "z".repeat(length)));
        messages.push(format!(r#"{{"id":"{}","x":"z"}}"#, "z".repeat(length - 1)));
    }
    let messages: Vec<&str> = messages.iter().map(String::as_str).collect();
    let content = decode(&sales(COLUMNS), &messages).content;
    let mut seen = BTreeMap::new();
    for (message, content) in messages.iter().zip(content) {
        assert_eq!(seen.insert(content, message), None, "{message}");
    }
}

#[test]
fn a_basket_becomes_a_row_a_line_and_stays_one_message() {
    let decoded = decode(
        &baskets(COLUMNS),
        &[
            r#"{"id":"a","gift":true,"till":4,"lines":[{"quantity":1,"price":2},{"id":"b","quantity":"2","till":9,"gift":null}],"on":"2025-03-01"}"#,
            "broken",
            r#"{"id":"c","quantity":"x","lines":[{},{"quantity":3}]}"#,
        ],
    );
    assert_eq!(decoded.message, [0, 0, 1, 2, 2]);
    assert_eq!(decoded.line, [0, 1, 0, 0, 1]);
    assert_eq!(column(&decoded.rows, "id"), ["a", "b", "~", "c", "c"]);
    assert_eq!(
        column(&decoded.rows, "gift"),
        ["true", "true", "~", "~", "~"]
    );
    assert_eq!(
        column(&decoded.rows, "on"),
        ["2025-03-01", "2025-03-01", "~", "~", "~"]
    );
    assert_eq!(column(&decoded.rows, "quantity"), ["1", "~", "~", "~", "3"]);
    assert_eq!(
        column(&decoded.rows, "_rescued"),
        [
            "~",
            r#"{"quantity":"2","till":9}"#,
            "~",
            r#"{"quantity":"x"}"#,
            "~"
        ]
    );
    assert_eq!(column(&decoded.messages, "id"), ["a", "~", "c"]);
    assert_eq!(column(&decoded.messages, "till"), ["4", "~", "~"]);
    assert_eq!(
        column(&decoded.messages, "_rescued"),
        ["~", "~", r#"{"quantity":"x"}"#]
    );
    assert_eq!(decoded.malformed.first().unwrap().0, 2);
    let alone = decode(
        &sales(COLUMNS),
        &[r#"{"on":"2025-03-01","gift":true,"till":9,"quantity":"2","id":"b"}"#],
    );
    assert_eq!(decoded.content[1], alone.content[0]);
}

#[test]
fn a_basket_without_lines_is_malformed() {
    let messages = [
        (r#"{"id":"a"}"#, r#"field "lines" has no lines"#),
        (r#"{"lines":[]}"#, r#"field "lines" has no lines"#),
        (r#"{"lines":null}"#, r#"field "lines" has no lines"#),
        (
            r#"{"lines":{"quantity":1}}"#,
            r#"field "lines" has no lines"#,
        ),
        (r#"{"lines":[{},3]}"#, "line 1 is a number"),
        (r#"{"lines":[{"id":"a","id":"b"}]}"#, r#""id" stands twice"#),
        (
            r#"{"id":"a","lines":[{"id":"b"}],"id":"c"}"#,
            r#""id" stands twice"#,
        ),
        (r#"{"lines":[{}],"lines":[{}]}"#, r#""lines" stands twice"#),
    ];
    let decoded = decode(&baskets(COLUMNS), &messages.map(|(message, _)| message));
    for ((row, said), (number, (message, reason))) in
        decoded.malformed.iter().zip(messages.iter().enumerate())
    {
        assert_eq!(*row as usize, number, "{message}");
        assert!(said.contains(reason), "{said}");
    }
    assert_eq!(decoded.malformed.len(), messages.len());
}

#[test]
fn a_basket_made_to_fill_the_memory_is_malformed_and_a_large_one_is_not() {
    let head = "h".repeat(500_000);
    let bomb = format!(
        r#"{{"id":"{head}","lines":[{}{{}}]}}"#,
        "{},".repeat(150_000)
    );
    let line = r#"{"quantity":1,"price":2.50}"#;
    let lines = vec![line; 5000].join(",");
    let large = format!(r#"{{"id":"T0042-0000000000","on":"2025-03-01","lines":[{lines}]}}"#);
    let decoded = decode(&baskets(COLUMNS), &[&bomb, &large]);
    assert!(decoded.malformed.first().unwrap().1.contains("repeat"));
    assert_eq!(decoded.malformed.len(), 1);
    assert_eq!(decoded.rows.num_rows(), 5001);
}

#[test]
fn a_declared_array_is_kept_in_bronze_beside_its_lines() {
    let mut schema = baskets(COLUMNS);
    schema.fields.push(NamedType {
        name: "lines".into(),
        field_type: "json".parse().unwrap(),
    });
    let decoded = decode(
        &schema,
        &[r#"{"lines":[{"quantity": 1}, {"quantity": 2}]}"#],
    );
    assert_eq!(
        column(&decoded.messages, "lines"),
        [r#"[{"quantity":1},{"quantity":2}]"#]
    );
    assert_eq!(column(&decoded.rows, "lines"), ["~", "~"]);
    assert_eq!(column(&decoded.rows, "quantity"), ["1", "2"]);
}

#[test]
fn ever_new_names_are_forgotten_and_nothing_else_is() {
    let mut decoder = Decoder::new(&sales(Unknown::Columns { max: 8 }), Vec::new());
    let mut contents = Vec::new();
    for round in 0..3 {
        let mut messages: Vec<String> = (0..5000)
            .map(|n| format!(r#"{{"n{round}_{n}":null,"id":"{n}","first":1}}"#))
            .collect();
        messages.push(r#"{"first":2,"id":"same","other":3}"#.into());
        let raw = BinaryArray::from_iter_values(&messages);
        let decoded = decoder.decode(&raw);
        assert_eq!(
            decoded.rows.column(0).as_string::<i32>().value(4999),
            "4999"
        );
        let first = decoded.messages.column_by_name("first").unwrap();
        assert_eq!(first.as_primitive::<Int64Type>().value(5000), 2);
        assert_eq!(cell(&decoded.messages, "_rescued", 5000), r#"{"other":3}"#);
        contents.push(decoded.content[5000]);
    }
    assert_eq!(contents[0], contents[1]);
    assert_eq!(contents[0], contents[2]);
}

#[test]
fn a_megabyte_in_one_field_is_decoded() {
    let id = "é".repeat(500_000);
    let decoded = decode(&sales(COLUMNS), &[&format!(r#"{{"price":1,"id":"{id}"}}"#)]);
    assert_eq!(decoded.rows.column(0).as_string::<i32>().value(0), id);
    let price = decoded.rows.column_by_name("price").unwrap();
    assert_eq!(price.as_primitive::<Decimal128Type>().value(0), 100);
}
