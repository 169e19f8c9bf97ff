//! What is written comes back, through paths, types and schemas.

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Date32Array, Decimal128Array, ListBuilder,
    StringBuilder, TimestampMicrosecondArray,
};
use arrow::datatypes::{Int64Type, TimeUnit};

use super::*;
use crate::lake::{Bound, LakeError, Packing};

const ODD: [Option<&str>; 9] = [
    Some("a b"),
    Some("ü"),
    Some("x=y"),
    Some("%"),
    Some("/"),
    Some(".."),
    Some("a%20b"),
    Some("__HIVE_DEFAULT_PARTITION__"),
    None,
];

#[tokio::test]
async fn odd_partition_values_are_read_back_also_by_other_readers() {
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::open(folder.path().to_str().unwrap()).unwrap();
    let mut table = table(&lake).await;
    let written: Vec<_> = (0..).zip(ODD).collect();
    let files = table.writer().write(&rows(&written)).await.unwrap();
    assert_eq!(files.len(), ODD.len());
    table.commit(&append(files, vec![])).await.unwrap();

    let again = lake.open_table("north/silver").await.unwrap().unwrap();
    let expected: Vec<_> = written
        .iter()
        .map(|(o, s)| (*o, s.map(str::to_owned)))
        .collect();
    assert_eq!(everything(&again).await, expected);

    let mut foreign = deltalake::DeltaTable::new(again.log.store.clone());
    foreign.load().await.unwrap();
    for path in foreign.get_file_uris().unwrap() {
        assert!(std::path::Path::new(&path).is_file(), "{path}");
    }
    assert_eq!(foreign.get_file_uris().unwrap().count(), ODD.len());
}

#[tokio::test]
async fn a_value_that_can_be_no_partition_is_refused() {
    let lake = Lake::open("memory:///").unwrap();
    let table = table(&lake).await;
    for bad in ["", &"x".repeat(300)] {
        let error = table
            .writer()
            .write(&rows(&[(1, Some(bad))]))
            .await
            .unwrap_err();
        assert!(matches!(error, LakeError::PartitionValue { .. }), "{error}");
    }
}

#[tokio::test]
async fn rows_are_split_by_partition_and_keep_their_order() {
    let lake = Lake::open("memory:///").unwrap();
    let table = table(&lake).await;
    let mixed = [
        (1, Some("b")),
        (2, Some("a")),
        (3, Some("b")),
        (4, None),
        (5, Some("a")),
    ];
    let files = table.writer().write(&rows(&mixed)).await.unwrap();
    let mut found = Vec::new();
    for file in &files {
        let batches = table.reader().read(file, Some(&["_offset"])).await.unwrap();
        found.push(
            batches[0]
                .column(0)
                .as_primitive::<Int64Type>()
                .values()
                .to_vec(),
        );
    }
    assert_eq!(found, [vec![1, 3], vec![2, 5], vec![4]]);
    assert_eq!(files[0].bound("_offset"), Some(&Bound::Integer(1, 3)));
    assert_eq!(files[0].rows, Some(2));
    assert!(table.writer().write(&rows(&[])).await.unwrap().is_empty());
}

fn every_type() -> RecordBatch {
    let mut lists = ListBuilder::new(StringBuilder::new());
    lists.append_value([Some("r1"), Some("r2")]);
    lists.append_null();
    let at = TimestampMicrosecondArray::from(vec![Some(1_700_000_000_000_001), None]);
    let money = Decimal128Array::from(vec![Some(i128::MAX / 4), None]);
    let small = Decimal128Array::from(vec![Some(-1250), None]);
    RecordBatch::try_from_iter([
        (
            "_raw",
            Arc::new(BinaryArray::from_opt_vec(vec![Some(b"\xff"), None])) as ArrayRef,
        ),
        ("day", Arc::new(Date32Array::from(vec![Some(20_000), None]))),
        ("at", Arc::new(at.with_timezone("UTC"))),
        (
            "sum",
            Arc::new(money.with_precision_and_scale(38, 2).unwrap()),
        ),
        (
            "price",
            Arc::new(small.with_precision_and_scale(18, 2).unwrap()),
        ),
        ("rules", Arc::new(lists.finish())),
        (
            "returned",
            Arc::new(BooleanArray::from(vec![Some(true), None])),
        ),
        ("name", Arc::new(StringArray::from(vec![Some("tea"), None]))),
    ])
    .unwrap()
}

#[tokio::test]
async fn every_type_is_read_back_from_columns_and_from_partitions() {
    let lake = Lake::open("memory:///").unwrap();
    let rows = every_type();
    for partition in [
        None,
        Some("day"),
        Some("at"),
        Some("price"),
        Some("returned"),
    ] {
        let path = format!("t/{}", partition.unwrap_or("none"));
        let spec = TableSpec {
            schema: rows.schema(),
            partition_by: partition.map(str::to_owned).into_iter().collect(),
            description: String::new(),
            properties: BTreeMap::new(),
        };
        let mut table = lake.create_table(&path, &spec).await.unwrap();
        assert_eq!(*table.schema(), rows.schema());
        for packing in [Packing::Quick, Packing::Dense] {
            let writer = table.writer().with_packing(packing);
            let files = writer.write(&rows).await.unwrap();
            let mut found = Vec::new();
            for file in &files {
                found.extend(table.reader().read(file, None).await.unwrap());
            }
            let found = arrow::compute::concat_batches(&rows.schema(), &found).unwrap();
            assert_eq!(found, rows, "{partition:?}");
            table.commit(&append(files, vec![])).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_table_that_gained_a_column_reads_old_files_with_nulls() {
    let lake = Lake::open("memory:///").unwrap();
    let mut table = table(&lake).await;
    add(&mut table, 1, "a").await;
    let mut fields = schema().fields().to_vec();
    fields.push(Arc::new(Field::new("colour", DataType::Utf8, true)));
    let wider = Arc::new(Schema::new(fields));
    let rows = RecordBatch::try_from_iter([
        ("_offset", Arc::new(Int64Array::from(vec![2])) as ArrayRef),
        ("colour", Arc::new(StringArray::from(vec!["red"]))),
        ("store", Arc::new(StringArray::from(vec!["b"]))),
    ])
    .unwrap();
    let error = table.writer().write(&rows).await.unwrap_err();
    assert!(matches!(error, LakeError::NoColumn { .. }), "{error}");
    let writer = table.writer().with_schema(Arc::clone(&wider));
    let mut commit = append(writer.write(&rows).await.unwrap(), vec![]);
    commit.schema = Some(Arc::clone(&wider));
    table.commit(&commit).await.unwrap();

    let again = lake.open_table("north/silver").await.unwrap().unwrap();
    assert_eq!(*again.schema(), wider);
    let mut colours = Vec::new();
    for store in ["a", "b"] {
        for file in again.files_in(&partition(store)) {
            let batches = again
                .reader()
                .read(file, Some(&["colour", "name"]))
                .await
                .unwrap();
            let colour = batches[0].column(0).as_string::<i32>();
            colours.push(colour.iter().next().flatten().map(str::to_owned));
            assert_eq!(batches[0].column(1).null_count(), 1);
        }
    }
    assert_eq!(colours, [None, Some("red".to_owned())]);
}

#[tokio::test]
async fn columns_are_never_dropped_or_changed_by_a_commit() {
    let lake = Lake::open("memory:///").unwrap();
    let mut table = table(&lake).await;
    let fewer = Schema::new(schema().fields()[..2].to_vec());
    let mut other = schema().fields().to_vec();
    other[2] = Arc::new(Field::new("name", DataType::Int64, true));
    let mut strict = schema().fields().to_vec();
    strict.push(Arc::new(Field::new("colour", DataType::Utf8, false)));
    for bad in [fewer, Schema::new(other), Schema::new(strict)] {
        let mut commit = append(vec![], vec![]);
        commit.schema = Some(Arc::new(bad));
        let error = table.commit(&commit).await.unwrap_err();
        assert!(
            matches!(error, crate::lake::CommitError::Refused(_)),
            "{error}"
        );
    }
    assert_eq!(table.version(), 0);
}

#[tokio::test]
async fn a_type_that_does_not_fit_is_refused_and_not_cast() {
    let lake = Lake::open("memory:///").unwrap();
    let table = table(&lake).await;
    let time = DataType::Timestamp(TimeUnit::Microsecond, None);
    let zoneless = TimestampMicrosecondArray::from(vec![1]).with_data_type(time);
    let rows = RecordBatch::try_from_iter([("_offset", Arc::new(zoneless) as ArrayRef)]).unwrap();
    let error = table.writer().write(&rows).await.unwrap_err();
    assert!(matches!(error, LakeError::ColumnType { .. }), "{error}");
}

#[tokio::test]
async fn blobs_are_put_once_and_tables_are_listed() {
    let lake = Lake::open("memory:///").unwrap();
    table(&lake).await;
    let mut second = spec();
    second.partition_by = vec![];
    lake.create_table("north/gold/daily_sales", &second)
        .await
        .unwrap();
    lake.put_blob("north/blobs/5f", bytes::Bytes::from_static(b"wasm"))
        .await
        .unwrap();
    lake.put_blob("north/blobs/5f", bytes::Bytes::from_static(b"wasm"))
        .await
        .unwrap();
    assert_eq!(
        lake.get_blob("north/blobs/5f").await.unwrap().unwrap(),
        &b"wasm"[..]
    );
    assert_eq!(lake.get_blob("north/blobs/60").await.unwrap(), None);
    let tables = ["north/gold/daily_sales", "north/silver"];
    assert_eq!(lake.list_tables("").await.unwrap(), tables);
    assert_eq!(lake.list_tables("north/gold").await.unwrap(), tables[..1]);
    assert!(lake.list_tables("south").await.unwrap().is_empty());
    for bad in ["", "/a", "a/", "../a", "a//b", "a b"] {
        assert!(lake.open_table(bad).await.is_err(), "{bad:?}");
    }
}

#[test]
fn a_lake_that_can_not_be_is_a_clear_error() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let under = file.path().join("lake");
    for bad in [
        under.to_str().unwrap(),
        "/proc/lake",
        "nosuch://bucket/lake",
    ] {
        let error = Lake::open(bad).unwrap_err().to_string();
        assert!(error.contains(bad), "{error}");
    }
}

#[tokio::test]
async fn of_a_large_file_only_the_groups_of_rows_that_may_matter_are_read() {
    let lake = Lake::open("memory:///").unwrap();
    let table = table(&lake).await;
    let all: Vec<_> = (0..300_000).map(|offset| (offset, Some("a"))).collect();
    let files = table.writer().write(&rows(&all)).await.unwrap();
    let within = ("_offset", 200_000..200_001);
    let reader = table.reader();
    let gathered = reader.gather(
        &files[0],
        Some(&["_offset"]),
        within,
        Vec::new(),
        |found, rows| {
            found.extend_from_slice(rows.column(0).as_primitive::<Int64Type>().values());
            Ok(())
        },
    );
    let found = gathered.await.unwrap();
    assert!(found.contains(&200_000) && found.len() < 150_000);
}
