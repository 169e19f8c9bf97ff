//! Checkpoints, and what may be thrown away.

use bytes::Bytes;
use deltalake::Path;
use deltalake::logstore::object_store::ObjectStoreExt as _;

use super::*;
use crate::lake::LakeError;

/// A table of some versions, with files replaced and progress of several applications.
async fn busy(lake: &Lake) -> Table {
    let mut table = lake.create_table("north/gold", &spec()).await.unwrap();
    for round in 0..12_i64 {
        let stores = [(round, Some("a")), (round, None), (round, Some("ü/%"))];
        let files = table.writer().write(&rows(&stores)).await.unwrap();
        let from = (round >= 4).then_some(round - 4);
        let moved = Move {
            app_id: format!("app/{}", round % 4),
            from,
            to: round,
        };
        let mut commit = append(files, vec![moved]);
        if round % 3 == 2 {
            commit.removes = table.files_in(&partition("a")).cloned().collect();
        }
        table.commit(&commit).await.unwrap();
    }
    table
}

fn described(table: &Table) -> Vec<String> {
    let files = table.files().map(|file| {
        let File {
            path,
            size,
            partition_values,
            rows,
            bounds,
            ..
        } = file;
        format!("{path} {size} {partition_values:?} {rows:?} {bounds:?}")
    });
    let transactions = table
        .transactions()
        .iter()
        .map(|(id, txn)| format!("{id} {txn:?}"));
    files.chain(transactions).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_table_opened_from_its_checkpoint_has_the_same_files_and_progress() {
    let lake = Lake::open("memory:///").unwrap();
    let mut table = busy(&lake).await;
    assert!(table.maintenance().is_none(), "nothing is due yet");
    let done = table.maintenance_now().run().await.unwrap();
    assert_eq!(done.checkpoint, Some(12));
    for version in 0..=12 {
        let path = Path::from(format!("_delta_log/{version:020}.json"));
        table.log.objects().delete(&path).await.unwrap();
    }
    add(&mut table, 99, "b").await;
    let again = lake.open_table("north/gold").await.unwrap().unwrap();
    assert_eq!(again.version(), 13);
    assert_eq!(described(&again), described(&table));
    assert_eq!(again.schema(), table.schema());
    assert_eq!(again.partition_by(), table.partition_by());
    assert_eq!(again.properties(), table.properties());
    assert_eq!(everything(&again).await, everything(&table).await);
}

#[tokio::test]
async fn a_hint_at_a_checkpoint_that_is_gone_does_no_harm() {
    let lake = Lake::open("memory:///").unwrap();
    let mut table = busy(&lake).await;
    table.maintenance_now().run().await.unwrap();
    let objects = table.log.objects();
    let gone = Path::from(format!("_delta_log/{:020}.checkpoint.parquet", 12));
    objects.delete(&gone).await.unwrap();
    let again = lake.open_table("north/gold").await.unwrap().unwrap();
    assert_eq!(described(&again), described(&table));
    let hint = Path::from("_delta_log/_last_checkpoint");
    objects
        .put(&hint, Bytes::from_static(b"{").into())
        .await
        .unwrap();
    assert!(lake.open_table("north/gold").await.unwrap().is_some());
}

#[tokio::test]
async fn a_torn_checkpoint_is_passed_over_where_the_versions_before_it_are_there() {
    let lake = Lake::open("memory:///").unwrap();
    let mut table = busy(&lake).await;
    table.maintenance_now().run().await.unwrap();
    add(&mut table, 99, "b").await;
    let objects = table.log.objects();
    let torn = Path::from(format!("_delta_log/{:020}.checkpoint.parquet", 12));
    objects.put(&torn, "PAR1 and no more".into()).await.unwrap();
    let again = lake.open_table("north/gold").await.unwrap().unwrap();
    assert_eq!(described(&again), described(&table));

    let first = Path::from(format!("_delta_log/{:020}.json", 0));
    objects.delete(&first).await.unwrap();
    let error = lake.open_table("north/gold").await.unwrap_err();
    assert!(matches!(error, LakeError::Checkpoint { .. }), "{error}");
}

#[tokio::test]
async fn two_hosts_need_only_one_checkpoint() {
    let lake = Lake::open("memory:///").unwrap();
    let mut here = busy(&lake).await;
    let mut there = lake.open_table("north/gold").await.unwrap().unwrap();
    assert!(
        here.maintenance_now()
            .run()
            .await
            .unwrap()
            .checkpoint
            .is_some()
    );
    assert!(
        there
            .maintenance_now()
            .run()
            .await
            .unwrap()
            .checkpoint
            .is_none()
    );
}

#[tokio::test]
async fn a_checkpoint_is_due_every_200_versions() {
    let lake = Lake::open("memory:///").unwrap();
    let mut table = table(&lake).await;
    let mut due = Vec::new();
    for _ in 0..450 {
        table.commit(&append(vec![], vec![])).await.unwrap();
        if let Some(maintenance) = table.maintenance() {
            due.push(maintenance.run().await.unwrap().checkpoint);
        }
    }
    assert_eq!(due, [Some(199), Some(399)]);
}

#[tokio::test]
async fn a_replaced_file_is_removed_when_its_time_is_over_and_a_live_one_never() {
    let lake = Lake::open("memory:///").unwrap();
    let mut short = spec();
    let retention = "delta.deletedFileRetentionDuration".to_owned();
    short
        .properties
        .insert(retention, "interval 0 seconds".to_owned());
    let mut table = lake.create_table("north/gold", &short).await.unwrap();
    let old = add(&mut table, 1, "a").await;
    let kept = add(&mut table, 2, "b").await;
    let files = table
        .writer()
        .write(&rows(&[(3, Some("a"))]))
        .await
        .unwrap();
    let mut commit = append(files, vec![]);
    commit.removes = vec![old.clone()];
    table.commit(&commit).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(3)).await;

    let done = table.maintenance_now().run().await.unwrap();
    assert_eq!(done.files_removed, 1);
    let there = |file: File| {
        let objects = table.log.objects();
        async move {
            objects
                .head(&Path::parse(&file.path).unwrap())
                .await
                .is_ok()
        }
    };
    assert!(!there(old).await);
    assert!(there(kept).await);
    assert_eq!(everything(&table).await.len(), 2);
}

#[tokio::test]
async fn house_is_kept_for_one_who_adds_rows_and_forgot_which_files_there_are() {
    let lake = Lake::open("memory:///").unwrap();
    let mut table = lake.create_table("north/gold", &spec()).await.unwrap();
    for store in 0..250 {
        add(&mut table, store, "a").await;
        table.forget_files();
        assert_eq!(table.wants_keeping(), store == 198);
    }
    let all = everything(&lake.open_table("north/gold").await.unwrap().unwrap()).await;
    assert_eq!(all.len(), 250);
    lake.keep_house("north/gold").await.unwrap();
    let mut kept = lake.open_table("north/gold").await.unwrap().unwrap();
    assert_eq!(kept.files().count(), 1);
    assert_eq!(everything(&kept).await, all);
    let hint = kept.log.hint().await.unwrap();
    assert_eq!(hint, Some(kept.version()));

    // It goes on past what was done beside it; and rows that are packed with many are left as they are.
    let many: Vec<_> = (250..1_000).map(|store| (store, Some("a"))).collect();
    let files = table.writer().write(&rows(&many)).await.unwrap();
    table.commit(&append(files, vec![])).await.unwrap();
    for store in 1_000..1_040 {
        add(&mut table, store, "a").await;
    }
    lake.keep_house("north/gold").await.unwrap();
    kept.refresh().await.unwrap();
    let large: Vec<File> = kept.files().cloned().collect();
    assert_eq!(large.len(), 1);
    table.refresh().await.unwrap();
    for store in 1_040..1_080 {
        add(&mut table, store, "a").await;
    }
    lake.keep_house("north/gold").await.unwrap();
    kept.refresh().await.unwrap();
    assert_eq!(kept.files().count(), 2);
    assert!(kept.file(&large[0].path).is_some());
    assert_eq!(everything(&kept).await.len(), 1_080);
    lake.keep_house("north/none").await.unwrap();
}
