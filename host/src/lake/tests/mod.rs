//! The lake against a store that fails in every way a store can, and against what others may do
//! to a log.

mod cloud;
mod commits;
mod compact;
mod disk;
mod faults;
mod files;
mod foreign;
mod fuzz;
mod storm;
mod upkeep;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::{Commit, File, Lake, Move, PartitionValues, Table, TableSpec};

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("_offset", DataType::Int64, true),
        Field::new("store", DataType::Utf8, true),
        Field::new("name", DataType::Utf8, true),
    ]))
}

fn spec() -> TableSpec {
    TableSpec {
        schema: schema(),
        partition_by: vec!["store".to_owned()],
        description: "what was sold".to_owned(),
        properties: BTreeMap::new(),
    }
}

fn rows(rows: &[(i64, Option<&str>)]) -> RecordBatch {
    let offsets = rows.iter().map(|(offset, _)| *offset);
    let stores: Vec<_> = rows.iter().map(|(_, store)| *store).collect();
    RecordBatch::try_from_iter([
        (
            "_offset",
            Arc::new(Int64Array::from_iter_values(offsets)) as _,
        ),
        ("store", Arc::new(StringArray::from(stores)) as _),
    ])
    .unwrap()
}

fn step(from: Option<i64>, to: i64) -> Move {
    Move {
        app_id: "assay/north/sales/5f/0".to_owned(),
        from,
        to,
    }
}

fn append(adds: Vec<File>, transactions: Vec<Move>) -> Commit {
    Commit {
        adds,
        transactions,
        operation: "WRITE",
        blind_append: true,
        batch_id: uuid::Uuid::new_v4().to_string(),
        ..Commit::default()
    }
}

fn partition(store: &str) -> PartitionValues {
    BTreeMap::from([("store".to_owned(), Some(store.to_owned()))])
}

async fn table(lake: &Lake) -> Table {
    lake.create_table("north/silver", &spec()).await.unwrap()
}

/// Writes one file a store, and commits them with nothing else.
async fn add(table: &mut Table, offset: i64, store: &str) -> File {
    let files = table
        .writer()
        .write(&rows(&[(offset, Some(store))]))
        .await
        .unwrap();
    table.commit(&append(files.clone(), vec![])).await.unwrap();
    files.into_iter().next().unwrap()
}

/// All rows of the live files, as (offset, store), sorted.
async fn everything(table: &Table) -> Vec<(i64, Option<String>)> {
    let reader = table.reader();
    let mut all = Vec::new();
    for file in table.files() {
        for batch in reader
            .read(file, Some(&["store", "_offset"]))
            .await
            .unwrap()
        {
            let store = batch
                .column(0)
                .as_any()
                .downcast_ref::<StringArray>()
                .unwrap();
            let offset = batch
                .column(1)
                .as_any()
                .downcast_ref::<Int64Array>()
                .unwrap();
            let stores = store.iter().map(|store| store.map(str::to_owned));
            all.extend(offset.values().iter().copied().zip(stores));
        }
    }
    all.sort();
    all
}
