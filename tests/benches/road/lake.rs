//! The lake alone, on this machine's disk.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Date32Array, Decimal128Array, Int64Array, StringArray};
use arrow::record_batch::RecordBatch;
use assay::lake::{Commit, Lake, LakeOptions, Move, Table, TableSpec};
use assay::medallion::layer::commit_of;

const COMMITS: i64 = 5_000;
const DAYS: i32 = 365;
const STORES: i32 = 60;

fn open(folder: &tempfile::TempDir, fsync: bool) -> Lake {
    Lake::open_with(
        folder.path().to_str().unwrap(),
        LakeOptions {
            fsync,
            ..LakeOptions::default()
        },
    )
    .unwrap()
}

async fn create(lake: &Lake, rows: &RecordBatch, partition_by: &[&str]) -> Table {
    let spec = TableSpec {
        schema: rows.schema(),
        partition_by: partition_by.iter().map(|name| (*name).to_owned()).collect(),
        description: String::new(),
        properties: BTreeMap::new(),
    };
    lake.create_table("bench/table", &spec).await.unwrap()
}

/// Keeps the log as the host does, beside what is measured.
fn keep(table: &mut Table) {
    if let Some(due) = table.maintenance() {
        tokio::spawn(due.run());
    }
}

/// Appends of one file with its progress, and how long each takes once the file is written: as the
/// host does it, forced to disk, and without.
pub async fn commits() {
    for fsync in [true, false] {
        some_commits(fsync).await;
    }
}

async fn some_commits(fsync: bool) {
    let folder = tempfile::tempdir().unwrap();
    let offsets: ArrayRef = Arc::new(Int64Array::from_iter_values(0..100));
    let rows = RecordBatch::try_from_iter([("_offset", offsets)]).unwrap();
    let mut table = create(&open(&folder, fsync), &rows, &[]).await;
    let mut taken = Vec::new();
    for version in 1..=COMMITS {
        let commit = Commit {
            adds: table.writer().write(&rows).await.unwrap(),
            transactions: vec![Move {
                app_id: "assay/bench/topic/source/0".to_owned(),
                from: (version > 1).then_some(version - 1),
                to: version,
            }],
            blind_append: true,
            ..commit_of("WRITE")
        };
        let began = Instant::now();
        table.commit(&commit).await.unwrap();
        taken.push(began.elapsed());
        keep(&mut table);
    }
    let count = taken.len() / 10;
    println!(
        "\na log commit, {}: {} over the first {count}, {} over the last {count} of {COMMITS} (medians); 99 of 100 within {}",
        if fsync {
            "forced to disk"
        } else {
            "not forced"
        },
        shown(at(&taken[..count], 50)),
        shown(at(&taken[taken.len() - count..], 50)),
        shown(at(&taken, 99)),
    );
}

/// A gold table with a file for each day and store.
pub async fn open_gold() {
    let folder = tempfile::tempdir().unwrap();
    let lake = open(&folder, false);
    let mut table = create(&lake, &day(0), &["sale_date", "store_id"]).await;
    for date in 0..DAYS {
        let commit = Commit {
            adds: table.writer().write(&day(date)).await.unwrap(),
            ..commit_of("WRITE")
        };
        table.commit(&commit).await.unwrap();
        if let Some(due) = table.maintenance() {
            due.run().await.unwrap();
        }
    }
    let mut taken = Vec::new();
    for _ in 0..9 {
        let began = Instant::now();
        let opened = lake.open_table("bench/table").await.unwrap().unwrap();
        taken.push(began.elapsed());
        assert_eq!(opened.files().count(), (DAYS * STORES) as usize);
    }
    println!(
        "gold of {DAYS} days and {STORES} stores, a file each: opens in {} (median of {})",
        shown(at(&taken, 50)),
        taken.len()
    );
}

fn day(date: i32) -> RecordBatch {
    let rows = STORES as usize;
    let columns: [(&str, ArrayRef); 4] = [
        (
            "sale_date",
            Arc::new(Date32Array::from_value(20_000 + date, rows)),
        ),
        (
            "store_id",
            Arc::new(StringArray::from_iter_values(
                (0..STORES).map(|n| format!("S{n:03}")),
            )),
        ),
        (
            "sales",
            Arc::new(Int64Array::from_iter_values(0..i64::from(STORES))),
        ),
        (
            "net_amount",
            Arc::new(
                Decimal128Array::from_iter_values(0..i128::from(STORES))
                    .with_precision_and_scale(38, 2)
                    .unwrap(),
            ),
        ),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

fn at(taken: &[Duration], percent: usize) -> Duration {
    let mut sorted = taken.to_vec();
    sorted.sort_unstable();
    sorted[(sorted.len() - 1) * percent / 100]
}

fn shown(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}
