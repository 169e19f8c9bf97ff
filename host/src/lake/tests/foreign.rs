//! What others may have done to a log, and damage.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use deltalake::Path;
use deltalake::logstore::object_store::ObjectStoreExt as _;
use serde_json::json;

use super::faults::{Fault, Faulty, SLOW};
use super::*;
use crate::lake::table::{ReadAt, STALE};
use crate::lake::{CommitError, LakeError};

/// Puts a version of the log as another engine would.
async fn put(table: &Table, version: i64, lines: &[serde_json::Value]) {
    let text: Vec<_> = lines.iter().map(ToString::to_string).collect();
    put_bytes(table, version, text.join("\n").into()).await;
}

async fn put_bytes(table: &Table, version: i64, bytes: Bytes) {
    let path = Path::from(format!("_delta_log/{version:020}.json"));
    table.log.objects().put(&path, bytes.into()).await.unwrap();
}

fn metadata(table: &Table, key: &str, value: &str) -> serde_json::Value {
    let mut metadata = table.state.metadata.clone();
    metadata
        .configuration
        .insert(key.to_owned(), value.to_owned());
    json!({ "metaData": metadata })
}

#[tokio::test]
async fn a_foreign_property_that_asks_more_of_writers_stops_the_committer_by_name() {
    let lake = Lake::open("memory:///").unwrap();
    let mut table = table(&lake).await;
    put(
        &table,
        1,
        &[metadata(&table, "delta.enableChangeDataFeed", "true")],
    )
    .await;
    for _ in 0..2 {
        let error = table.commit(&append(vec![], vec![])).await.unwrap_err();
        assert!(
            matches!(&error, CommitError::Refused(text) if text.contains("enableChangeDataFeed")),
            "{error}"
        );
    }
    assert!(table.refresh().await.is_err());
    let error = lake.open_table("north/silver").await.unwrap_err();
    assert!(matches!(error, LakeError::Refused { .. }), "{error}");
}

#[tokio::test]
async fn a_harmless_property_only_asks_for_the_batch_to_be_made_anew() {
    let lake = Lake::open("memory:///").unwrap();
    let mut table = table(&lake).await;
    put(&table, 1, &[metadata(&table, "owner", "sales")]).await;
    let commit = append(vec![], vec![]);
    let error = table.commit(&commit).await.unwrap_err();
    assert!(matches!(error, CommitError::MetadataChanged), "{error}");
    assert!(table.refresh().await.unwrap()[0].metadata_changed);
    assert_eq!(table.commit(&commit).await.unwrap().version, 2);
    assert_eq!(table.properties()["owner"], "sales");
}

#[tokio::test]
async fn a_restore_or_a_replacement_stops_the_table_but_leaves_it_readable() {
    for operation in ["RESTORE", "CREATE OR REPLACE TABLE AS SELECT"] {
        let lake = Lake::open("memory:///").unwrap();
        let mut table = table(&lake).await;
        add(&mut table, 1, "a").await;
        put(
            &table,
            2,
            &[json!({"commitInfo": {"operation": operation}})],
        )
        .await;
        let error = table.commit(&append(vec![], vec![])).await.unwrap_err();
        assert!(
            matches!(&error, CommitError::Refused(text) if text.contains(operation)),
            "{error}"
        );
        let mut again = lake.open_table("north/silver").await.unwrap().unwrap();
        assert!(again.refresh().await.is_err());
        assert_eq!(everything(&again).await.len(), 1);
    }
}

#[tokio::test]
async fn an_empty_or_torn_version_is_damage_and_not_a_winner() {
    let whole = br#"{"commitInfo":{"operation":"WRITE"}}"#;
    for bytes in [&b""[..], &b"\n"[..], &whole[..20]] {
        let lake = Lake::open("memory:///").unwrap();
        let mut table = table(&lake).await;
        put_bytes(&table, 1, Bytes::copy_from_slice(bytes)).await;
        for _ in 0..2 {
            let error = table.commit(&append(vec![], vec![])).await.unwrap_err();
            assert!(
                matches!(
                    error,
                    CommitError::Lake(LakeError::TornLog { version: 1, .. })
                ),
                "{error}"
            );
        }
        assert!(table.refresh().await.is_err());
        put_bytes(&table, 1, Bytes::from_static(whole)).await;
        let committed = table.commit(&append(vec![], vec![])).await.unwrap();
        assert_eq!(committed.version, 2, "restored, it goes on");
    }
}

#[tokio::test]
async fn a_tail_that_slept_is_read_anew_and_does_not_put_into_a_hole() {
    let lake = Lake::open("memory:///").unwrap();
    let (mut here, _) = of_a_cleaned_log(&lake).await;
    here.read_at.monotonic -= STALE + Duration::from_secs(1);
    let mut commit = append(vec![], vec![]);
    commit.watched = vec![partition("a")];
    let error = here.commit(&commit).await.unwrap_err();
    assert!(
        matches!(&error, CommitError::PartitionTouched { files } if files.len() == 3),
        "{error}"
    );
    let seen = here.refresh().await.unwrap();
    assert!(seen[0].reloaded && seen[0].version == 3);
    assert_eq!(here.commit(&commit).await.unwrap().version, 4);
}

/// A tail at version 0, in a log of which others cleaned the first three of four versions away, and
/// one of the others.
async fn of_a_cleaned_log(lake: &Lake) -> (Table, Table) {
    let here = table(lake).await;
    let mut there = table(lake).await;
    for offset in 0..3 {
        add(&mut there, offset, "a").await;
    }
    there.maintenance_now().run().await.unwrap();
    for version in 0..3 {
        let path = Path::from(format!("_delta_log/{version:020}.json"));
        here.log.objects().delete(&path).await.unwrap();
    }
    (here, there)
}

/// Such a tail, of a store that can fail.
async fn before_a_hole() -> (Arc<Faulty>, Table, Table) {
    let (store, lake) = Faulty::lake();
    let (here, there) = of_a_cleaned_log(&lake).await;
    (store, here, there)
}

/// It was at the log's end so long ago that it is not yet stale, but will be before a slow answer.
fn nearly_stale() -> ReadAt {
    let mut read_at = ReadAt::now();
    read_at.monotonic -= STALE - SLOW / 2;
    read_at
}

#[tokio::test]
async fn a_put_that_went_into_a_hole_after_the_look_at_the_log_is_not_relied_on() {
    for fault in [Fault::Slow, Fault::SlowLostReply] {
        let (store, mut here, mut there) = before_a_hole().await;
        let files = here.writer().write(&rows(&[(7, Some("b"))])).await.unwrap();
        store.next(fault);
        here.read_at = nearly_stale();
        let commit = append(files.clone(), vec![step(None, 8)]);
        let error = here.commit(&commit).await.unwrap_err();
        assert!(error.to_string().contains("held up"), "{error}");
        assert!(here.log.read(1).await.unwrap().is_some(), "it lies there");

        let seen = here.refresh().await.unwrap();
        assert!(seen[0].reloaded && seen[0].added.len() == 3, "{seen:?}");
        assert!(here.transactions().is_empty(), "its progress counts");
        let again = append(files, vec![step(None, 8)]);
        assert_eq!(here.commit(&again).await.unwrap().version, 4);
        there.refresh().await.unwrap();
        assert_eq!(everything(&there).await, everything(&here).await);
        assert_eq!(everything(&there).await.len(), 4);
    }
}

#[tokio::test]
async fn a_put_that_took_long_counts_once_where_it_was_in_no_hole() {
    let (store, lake) = Faulty::lake();
    let mut here = table(&lake).await;
    let files = here.writer().write(&rows(&[(7, Some("b"))])).await.unwrap();
    store.next(Fault::Slow);
    here.read_at = nearly_stale();
    let commit = append(files, vec![step(None, 8)]);
    assert!(here.commit(&commit).await.is_err());
    let error = here.commit(&commit).await.unwrap_err();
    assert!(matches!(error, CommitError::Fenced { .. }), "{error}");
    assert_eq!(everything(&here).await.len(), 1);
}

#[tokio::test]
async fn what_lies_in_a_hole_is_not_read_by_who_stood_still_after_looking_at_the_clock() {
    let (store, mut here, there) = before_a_hole().await;
    put(&there, 1, &[json!({"commitInfo": {"operation": "WRITE"}})]).await;
    store.slow.store(true, Ordering::Relaxed);
    here.read_at = nearly_stale();
    let seen = here.refresh().await.unwrap();
    assert!(seen.len() == 1 && seen[0].reloaded, "{seen:?}");
    assert_eq!(here.version(), 3);
}

#[tokio::test]
async fn a_machine_that_slept_is_noticed_by_its_wall_clock() {
    let lake = Lake::open("memory:///").unwrap();
    let mut here = table(&lake).await;
    add(&mut table(&lake).await, 1, "a").await;
    here.read_at.wall -= STALE + Duration::from_secs(1);
    assert!(here.refresh().await.unwrap()[0].reloaded);
}

#[tokio::test]
async fn a_file_with_a_deletion_vector_or_out_of_the_table_is_refused() {
    let add = |path: &str| {
        json!({"path": path, "partitionValues": {}, "size": 1, "modificationTime": 1,
            "dataChange": true})
    };
    let mut deleted = add("a.parquet");
    deleted["deletionVector"] = json!({"storageType": "u"});
    for file in [deleted, add("s3://elsewhere/a.parquet")] {
        let lake = Lake::open("memory:///").unwrap();
        let mut table = table(&lake).await;
        put(&table, 1, &[json!({ "add": file })]).await;
        let error = table.refresh().await.unwrap_err();
        assert!(matches!(error, LakeError::Refused { .. }), "{error}");
        assert!(table.commit(&append(vec![], vec![])).await.is_err());
    }
}

#[tokio::test]
async fn a_log_with_a_hole_is_not_opened() {
    let lake = Lake::open("memory:///").unwrap();
    let mut table = table(&lake).await;
    for offset in 0..3 {
        add(&mut table, offset, "a").await;
    }
    let path = Path::from(format!("_delta_log/{:020}.json", 2));
    table.log.objects().delete(&path).await.unwrap();
    let error = lake.open_table("north/silver").await.unwrap_err();
    assert!(
        matches!(error, LakeError::HoleInLog { missing: 2, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn a_table_that_exists_must_be_the_one_that_is_wanted() {
    let lake = Lake::open("memory:///").unwrap();
    table(&lake).await;
    let mut other = spec();
    other.partition_by = vec![];
    let error = lake.create_table("north/silver", &other).await.unwrap_err();
    assert!(
        matches!(error, LakeError::PartitionColumns { .. }),
        "{error}"
    );
    let mut other = spec();
    other.schema = Arc::new(Schema::new(vec![
        Field::new("store", DataType::Utf8, true),
        Field::new("name", DataType::Int64, true),
        Field::new("colour", DataType::Utf8, true),
    ]));
    let error = lake.create_table("north/silver", &other).await.unwrap_err();
    assert!(
        matches!(&error, LakeError::ColumnType { column, .. } if column == "name"),
        "{error}"
    );
}
