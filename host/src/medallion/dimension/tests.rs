//! What dimensions promise: every fault in a file named by its line, and every row found that
//! holds, and no other.

use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Decimal128Type};
use arrow::util::display::array_value_to_string;
use tempfile::TempDir;

use super::{Dimension, DimensionError, DimensionSpec, read_file};
use crate::schema::NamedType;

fn spec(key: &[&str], columns: &[(&str, &str)]) -> DimensionSpec {
    let columns = columns.iter().map(|(name, field_type)| NamedType {
        name: (*name).into(),
        field_type: field_type.parse().unwrap(),
    });
    DimensionSpec {
        name: "product".into(),
        key: key.iter().map(|name| (*name).into()).collect(),
        columns: columns.collect(),
    }
}

fn file(name: &str, text: impl AsRef<[u8]>) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    (folder, path)
}

fn read(spec: &DimensionSpec, name: &str, text: &str) -> Result<RecordBatch, DimensionError> {
    let (_folder, path) = file(name, text);
    read_file(spec, &path)
}

fn dimension(spec: &DimensionSpec, text: &str) -> Dimension {
    Dimension::new(spec, read(spec, "a.csv", text).unwrap()).unwrap()
}

/// What is wrong with a file, without its folder.
fn fault(spec: &DimensionSpec, name: &str, text: &str) -> String {
    let error = read(spec, name, text).unwrap_err().to_string();
    error
        .split_once(name)
        .map(|(_, rest)| rest.to_owned())
        .unwrap_or(error)
}

fn texts(values: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

fn spelled(column: &ArrayRef) -> Vec<String> {
    let cell = |row| match column.is_null(row) {
        true => "~".into(),
        false => array_value_to_string(column, row).unwrap(),
    };
    (0..column.len()).map(cell).collect()
}

const PRODUCTS: &str = "name,product_id,price\nPear,P2,1.5\n\"Fig, dried\",P1,\nPlum,P3,0.99\n";

#[test]
fn a_csv_file_and_its_ndjson_twin_are_the_same_rows_sorted_by_key() {
    let spec = spec(&["product_id"], &[("price", "decimal(18,2)")]);
    let csv = read(&spec, "a.csv", PRODUCTS).unwrap();
    let ndjson = concat!(
        "{\"name\":\"Pear\",\"product_id\":\"P2\",\"price\":1.50}\n\n",
        "{\"product_id\":\"P1\",\"name\":\"Fig, dried\",\"price\":null}\r\n",
        "{\"price\":\"0.99\",\"name\":\"Plum\",\"product_id\":\"P3\"}",
    );
    assert_eq!(read(&spec, "a.ndjson", ndjson).unwrap(), csv);
    assert_eq!(spelled(csv.column(0)), ["P1", "P2", "P3"]);
    assert_eq!(spelled(csv.column(1)), ["Fig, dried", "Pear", "Plum"]);
    assert_eq!(spelled(csv.column(2)), ["~", "1.50", "0.99"]);
}

#[test]
fn columns_have_the_types_that_the_pipeline_names() {
    let spec = spec(
        &["id"],
        &[
            ("id", "integer"),
            ("new", "boolean"),
            ("since", "date"),
            ("at", "timestamp"),
            ("more", "json"),
        ],
    );
    let rows = read(
        &spec,
        "a.jsonl",
        "{\"id\":10,\"new\":true,\"since\":\"2025-01-02\",\"at\":\"2025-01-02T00:00:00Z\",\"more\":{\"a\": \"b\"}}\n{\"id\":9,\"more\":\"text\",\"size\":4}",
    )
    .unwrap();
    assert_eq!(spelled(rows.column(0)), ["9", "10"]);
    assert_eq!(
        spelled(rows.column_by_name("more").unwrap()),
        ["\"text\"", "{\"a\":\"b\"}"]
    );
    assert_eq!(spelled(rows.column_by_name("size").unwrap()), ["4", "~"]);
    assert_eq!(
        spelled(rows.column_by_name("since").unwrap()),
        ["~", "2025-01-02"]
    );
    assert_eq!(
        rows.column_by_name("at").unwrap().data_type(),
        &super::FieldType::Timestamp.arrow()
    );
}

#[test]
fn every_fault_in_a_file_is_named_by_its_line_and_key() {
    let spec = spec(
        &["product_id", "size"],
        &[("price", "decimal(6,2)"), ("more", "json")],
    );
    let head = "product_id,size,price\n";
    for (rows, said) in [
        (
            "P1,S,1\nP2,S,2\nP1,S,3\n",
            ":4: key \"P1\", \"S\" stands in line 2 already; keep one",
        ),
        ("P1,S,1\n,S,2\n", ":3: key column product_id is empty"),
        ("P1,S,1\nP2,,2\n", ":3: key column size is empty"),
        (
            "P1,S,1.005\n",
            ":2: key \"P1\", \"S\": \"1.005\" in column price is no decimal(6,2)",
        ),
        (
            "P1,S,cheap\n",
            ":2: key \"P1\", \"S\": \"cheap\" in column price is no decimal(6,2)",
        ),
        (
            "P1,S,99999\n",
            ":2: key \"P1\", \"S\": \"99999\" in column price",
        ),
        ("\"P\n1\",S,1\nP2,S\n", ":4: "),
    ] {
        let fault = fault(&spec, "a.csv", &format!("{head}{rows}"));
        assert!(fault.starts_with(said), "{fault}");
    }
    for (text, said) in [
        (
            "product_id,price\nP1,1\n",
            ": dimension product has no column \"size\"",
        ),
        ("", ": dimension product has no column \"product_id\""),
        (
            "product_id,size,_x\n",
            ":1: \"_x\" can't be a column's name",
        ),
        (
            "product_id,size,Size\n",
            ":1: columns \"size\" and \"Size\" differ by case at most",
        ),
    ] {
        let fault = fault(&spec, "a.csv", text);
        assert!(fault.starts_with(said), "{fault}");
    }
    for (text, said) in [
        (
            "{\"product_id\":\"a\",\"size\":\"\"}",
            ":1: key column size is empty",
        ),
        (
            "{\"product_id\":\"a\",\"size\":\"b\"}\n{\"product_id\"",
            ":2: no JSON",
        ),
        ("\n[]", ":2: the message is an array"),
        (
            "{\"product_id\":\"a\",\"size\":\"b\",\"a.b\":1}",
            ":1: \"a.b\" can't be a column's name",
        ),
    ] {
        let fault = fault(&spec, "a.ndjson", text);
        assert!(fault.starts_with(said), "{fault}");
    }
    assert!(fault(&spec, "a.xlsx", "").contains("ends in .csv"));
    let (_folder, path) = file("a.csv", b"product_id,size\nP1,\xff\n");
    assert!(
        read_file(&spec, &path)
            .unwrap_err()
            .to_string()
            .contains("a.csv:2:")
    );
    assert!(read_file(&spec, &path.with_file_name("b.csv")).is_err());
}

#[test]
fn rows_are_joined_by_one_text_key() {
    let spec = spec(&["product_id"], &[("price", "decimal(18,2)")]);
    let products = dimension(&spec, PRODUCTS);
    let asked = texts(&[
        Some("P3"),
        None,
        Some("P1"),
        Some("P9"),
        Some(""),
        Some("P3"),
    ]);
    let fields = [
        ("name", DataType::Utf8),
        ("cost", DataType::Utf8),
        ("price", DataType::Decimal128(18, 4)),
    ];
    let joined = products
        .look_up(&[(asked, "product_id")], None, &fields)
        .unwrap();
    let found: Vec<bool> = joined.found.iter().flatten().collect();
    assert_eq!(found, [true, false, true, false, false, true]);
    let [Some(name), None, Some(price)] = joined.fields.as_slice() else {
        panic!("{:?}", joined.fields);
    };
    assert_eq!(spelled(name), ["Plum", "~", "Fig, dried", "~", "~", "Plum"]);
    assert_eq!(spelled(price), ["0.9900", "~", "~", "~", "~", "0.9900"]);
    assert_eq!(price.as_primitive::<Decimal128Type>().value(0), 9900);
}

#[test]
fn a_composite_key_is_found_in_whatever_order_it_is_given_and_never_by_its_parts_run_together() {
    let spec = spec(&["store", "till"], &[("till", "integer")]);
    let tills = dimension(&spec, "till,store,name\n1,S1,a\n11,S,b\n2,S1,c\n");
    let stores = texts(&[Some("S1"), Some("S"), Some("S1"), Some("S11"), Some("S1")]);
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![
        Some(2),
        Some(11),
        Some(11),
        Some(1),
        None,
    ]));
    let on = [(numbers, "till"), (stores.clone(), "store")];
    let joined = tills
        .look_up(&on, None, &[("name", DataType::Utf8)])
        .unwrap();
    let name = joined.fields.first().unwrap().as_ref().unwrap();
    assert_eq!(spelled(name), ["c", "b", "~", "~", "~"]);
    let half = tills
        .look_up(&[(stores.clone(), "store")], None, &[])
        .unwrap();
    assert_eq!((half.found.true_count(), half.found.len()), (0, 5));
    let wrong = tills.look_up(&[(stores.clone(), "store"), (stores, "till")], None, &[]);
    assert!(matches!(wrong, Err(DimensionError::WrongType { column, .. }) if column == "till"));
}

const PRICES: &str = "id,price,valid_from,valid_to\n\
    A,2,2025-02-01T00:00:00Z,2025-03-01T00:00:00Z\n\
    A,1,,2025-01-15T00:00:00Z\n\
    A,3,2025-03-01T01:00:00+01:00,\n\
    B,4,2025-02-01T00:00:00Z,\n";

#[test]
fn a_versioned_row_holds_from_its_begin_to_just_before_its_end() {
    let spec = spec(&["id"], &[]);
    let prices = dimension(&spec, PRICES);
    let moments = [
        ("A", Some("1999-01-01T00:00:00Z"), "1"),
        ("A", Some("2025-01-14T23:59:59.999999Z"), "1"),
        ("A", Some("2025-01-15T00:00:00Z"), "~"),
        ("A", Some("2025-02-01T00:00:00Z"), "2"),
        ("A", Some("2025-02-28T23:59:59.999999Z"), "2"),
        ("A", Some("2025-03-01T00:00:00Z"), "3"),
        ("A", Some("2999-01-01T00:00:00Z"), "3"),
        ("A", None, "~"),
        ("B", Some("2025-01-31T00:00:00Z"), "~"),
        ("B", Some("2025-02-02T00:00:00Z"), "4"),
        ("C", Some("2025-02-02T00:00:00Z"), "~"),
    ];
    let ids = texts(&moments.map(|(id, ..)| Some(id)));
    let micros = |text: &str| {
        chrono::DateTime::parse_from_rfc3339(text)
            .unwrap()
            .timestamp_micros()
    };
    let at: TimestampMicrosecondArray = moments.iter().map(|(_, at, _)| at.map(micros)).collect();
    let at: ArrayRef = Arc::new(at.with_timezone("UTC"));
    let joined = prices
        .look_up(
            &[(ids.clone(), "id")],
            Some(&at),
            &[("price", DataType::Utf8)],
        )
        .unwrap();
    let price = joined.fields.first().unwrap().as_ref().unwrap();
    assert_eq!(spelled(price), moments.map(|(_, _, price)| price));
    let refused = prices.look_up(&[(ids, "id")], None, &[]);
    assert!(matches!(refused, Err(DimensionError::NoMoment { .. })));
}

#[test]
fn versions_of_one_key_that_overlap_or_never_hold_are_refused() {
    let spec = spec(&["id"], &[]);
    let overlap = format!("{PRICES}B,5,2024-01-01T00:00:00Z,2025-02-01T00:00:00.000001Z\n");
    let fault_of = |text: &str| fault(&spec, "a.csv", text);
    let said = fault_of(&overlap);
    assert!(
        said.starts_with(":6: key \"B\" stands in line 5 already; rows of one key"),
        "{said}"
    );
    let touching = format!("{PRICES}B,5,2024-01-01T00:00:00Z,2025-02-01T00:00:00Z\n");
    assert!(read(&spec, "a.csv", &touching).is_ok());
    let never = "id,valid_from,valid_to\nA,2025-02-01T00:00:00Z,2025-02-01T00:00:00Z\n";
    assert!(fault_of(never).starts_with(":2: key \"A\": valid_to is not after"));
    assert!(
        fault_of("id,valid_from\nA,2025-02-01\n").contains("in column valid_from is no timestamp")
    );
}

#[test]
fn rows_of_another_type_than_the_pipeline_names_are_refused_with_what_to_do() {
    let text = spec(&["product_id"], &[]);
    let typed = spec(&["product_id"], &[("price", "decimal(18,2)")]);
    let rows = read(&text, "a.csv", PRODUCTS).unwrap();
    let error = Dimension::new(&typed, rows.clone())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("price as Utf8") && error.contains("load it again"),
        "{error}"
    );
    let doubled = arrow::compute::concat_batches(&rows.schema(), [&rows, &rows]).unwrap();
    assert!(matches!(
        Dimension::new(&text, doubled),
        Err(DimensionError::Unfit { .. })
    ));
    assert!(matches!(
        Dimension::new(&spec(&["sku"], &[]), rows.clone()),
        Err(DimensionError::Unfit { .. })
    ));
    assert!(matches!(
        Dimension::new(&spec(&[], &[]), rows.clone()),
        Err(DimensionError::BadSpec { .. })
    ));
    let products = Dimension::new(&text, rows).unwrap();
    let on = [(texts(&[Some("P1")]), "product_id")];
    let refused = products.look_up(&on, None, &[("price", DataType::Int64)]);
    assert!(matches!(refused, Err(DimensionError::WrongType { .. })));
}

#[test]
fn an_integer_of_the_event_finds_a_text_key() {
    let tills = dimension(&spec(&["till"], &[]), "till,name\n7,a\n07,b\n");
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![7, 8]));
    let joined = tills
        .look_up(&[(numbers, "till")], None, &[("name", DataType::Utf8)])
        .unwrap();
    assert_eq!(
        spelled(joined.fields.first().unwrap().as_ref().unwrap()),
        ["a", "~"]
    );
    assert_eq!(tills.rows().num_rows(), 2);
}
