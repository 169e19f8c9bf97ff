//! Who wins a version, and who learns of it.

use std::sync::atomic::Ordering;

use super::faults::{Fault, Faulty};
use super::*;
use crate::lake::{CommitError, LakeError};

#[tokio::test]
async fn a_commit_is_seen_by_another_host_with_its_rows_and_its_progress() {
    let lake = Lake::open("memory:///").unwrap();
    let mut here = table(&lake).await;
    let mut there = table(&lake).await;
    let files = here
        .writer()
        .write(&rows(&[(1, Some("a")), (2, Some("b"))]))
        .await
        .unwrap();
    let commit = append(files, vec![step(None, 3)]);
    assert_eq!(here.commit(&commit).await.unwrap().version, 1);

    let seen = there.refresh().await.unwrap();
    let [seen] = &seen[..] else {
        panic!("{seen:?}")
    };
    assert_eq!(seen.batch_id.as_ref(), Some(&commit.batch_id));
    assert_eq!(seen.added.len(), 2);
    assert_eq!(seen.transactions, [(step(None, 3).app_id, 3)]);
    assert_eq!(there.transactions(), here.transactions());
    let both = [(1, Some("a".to_owned())), (2, Some("b".to_owned()))];
    assert_eq!(everything(&there).await, both);
    assert!(there.refresh().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_commit_whose_reply_was_lost_is_found_again_and_not_put_twice() {
    let (store, lake) = Faulty::lake();
    let mut table = table(&lake).await;
    store.next(Fault::LostReply);
    let commit = append(vec![], vec![step(None, 5)]);
    assert_eq!(table.commit(&commit).await.unwrap().version, 1);
    let next = table
        .commit(&append(vec![], vec![step(Some(5), 9)]))
        .await
        .unwrap();
    assert_eq!(next.version, 2);
    assert!(next.seen.is_empty(), "our own commits are not handed out");
}

#[tokio::test]
async fn a_table_is_made_though_the_store_says_that_its_first_version_exists() {
    let (store, lake) = Faulty::lake();
    store.next(Fault::Conflict);
    store.next(Fault::Conflict);
    assert_eq!(table(&lake).await.version(), 0);
}

#[tokio::test]
async fn a_put_that_never_arrived_is_put_again_at_the_same_version() {
    let (store, lake) = Faulty::lake();
    let mut table = table(&lake).await;
    for fault in [Fault::LostPut, Fault::Conflict, Fault::LostPut] {
        store.next(fault);
    }
    let committed = table
        .commit(&append(vec![], vec![step(None, 5)]))
        .await
        .unwrap();
    assert_eq!(committed.version, 1);
    let other = super::table(&lake).await;
    assert_eq!(other.version(), 1);
}

#[tokio::test]
async fn a_store_that_takes_nothing_is_an_error_after_which_the_tail_still_works() {
    let (store, lake) = Faulty::lake();
    let mut table = table(&lake).await;
    (0..6).for_each(|_| store.next(Fault::LostPut));
    let commit = append(vec![], vec![step(None, 5)]);
    let error = table.commit(&commit).await.unwrap_err();
    assert!(
        matches!(error, CommitError::Lake(LakeError::Store { .. })),
        "{error}"
    );
    assert_eq!(table.commit(&commit).await.unwrap().version, 1);
}

#[tokio::test]
async fn nothing_is_put_while_it_is_not_known_who_won() {
    let (store, lake) = Faulty::lake();
    let mut table = table(&lake).await;
    store.next(Fault::LostReply);
    store.blind.store(true, Ordering::Relaxed);
    let first = append(vec![], vec![step(None, 5)]);
    let error = table.commit(&first).await.unwrap_err();
    assert!(
        matches!(error, CommitError::Unsettled { version: 1, .. }),
        "{error}"
    );
    let [_, puts, _] = store.counts();
    let second = append(vec![], vec![step(None, 5)]);
    assert!(table.commit(&second).await.is_err());
    assert_eq!(store.counts()[1], puts, "nothing was put");

    store.blind.store(false, Ordering::Relaxed);
    let error = table.commit(&second).await.unwrap_err();
    assert!(
        matches!(error, CommitError::Fenced { found: Some(5), .. }),
        "the lost one had come true: {error}"
    );
}

#[tokio::test]
async fn progress_that_moved_on_fences_and_progress_that_lacks_is_a_gap() {
    let lake = Lake::open("memory:///").unwrap();
    let mut here = table(&lake).await;
    let mut there = table(&lake).await;
    let gap = here
        .commit(&append(vec![], vec![step(Some(4), 5)]))
        .await
        .unwrap_err();
    assert!(
        matches!(
            gap,
            CommitError::Gap {
                expected: Some(4),
                found: None,
                ..
            }
        ),
        "{gap}"
    );
    there
        .commit(&append(vec![], vec![step(None, 5)]))
        .await
        .unwrap();

    let fenced = here
        .commit(&append(vec![], vec![step(None, 5)]))
        .await
        .unwrap_err();
    assert!(
        matches!(
            fenced,
            CommitError::Fenced {
                expected: None,
                found: Some(5),
                ..
            }
        ),
        "{fenced}"
    );
    let gap = here
        .commit(&append(vec![], vec![step(Some(6), 9)]))
        .await
        .unwrap_err();
    assert!(
        matches!(gap, CommitError::Gap { found: Some(5), .. }),
        "{gap}"
    );
    here.commit(&append(vec![], vec![step(Some(5), 9)]))
        .await
        .unwrap();
    assert_eq!(here.version(), 2);
}

#[tokio::test]
async fn hosts_with_partitions_of_their_own_overtake_each_other_without_harm() {
    let lake = Lake::open("memory:///").unwrap();
    let mut hosts = [table(&lake).await, table(&lake).await, table(&lake).await];
    for round in 0..10 {
        for (number, host) in hosts.iter_mut().enumerate() {
            let from = (round > 0).then_some(round);
            let step = Move {
                app_id: number.to_string(),
                from,
                to: round + 1,
            };
            let files = host
                .writer()
                .write(&rows(&[(round, Some("a"))]))
                .await
                .unwrap();
            let committed = host.commit(&append(files, vec![step])).await.unwrap();
            let expected = if round == 0 { number } else { 2 };
            assert_eq!(committed.seen.len(), expected);
        }
    }
    let last = table(&lake).await;
    assert_eq!(last.version(), 30);
    assert!(last.transactions().values().all(|txn| txn.version == 10));
    assert_eq!(everything(&last).await.len(), 30);
}

#[tokio::test]
async fn a_file_added_to_a_watched_partition_refuses_the_commit_until_it_was_handed_out() {
    let lake = Lake::open("memory:///").unwrap();
    let mut here = table(&lake).await;
    let mut there = table(&lake).await;
    add(&mut there, 1, "b").await;
    let mut commit = append(vec![], vec![]);
    commit.watched = vec![partition("a")];
    assert_eq!(
        here.commit(&commit).await.unwrap().seen.len(),
        1,
        "another partition"
    );

    let file = add(&mut there, 2, "a").await;
    commit.batch_id = "second".to_owned();
    for _ in 0..2 {
        let touched = here.commit(&commit).await.unwrap_err();
        let CommitError::PartitionTouched { files } = touched else {
            panic!("{touched}")
        };
        assert_eq!(files.len(), 1);
        assert_eq!(files[0].path, file.path);
    }
    assert_eq!(here.refresh().await.unwrap().len(), 1);
    here.commit(&commit).await.unwrap();
}

#[tokio::test]
async fn two_hosts_that_replace_one_file_do_not_both_win() {
    let lake = Lake::open("memory:///").unwrap();
    let mut here = table(&lake).await;
    let old = add(&mut here, 1, "a").await;
    let mut there = table(&lake).await;
    for (host, wins) in [(&mut here, true), (&mut there, false)] {
        let files = host.writer().write(&rows(&[(2, Some("a"))])).await.unwrap();
        let mut commit = append(files, vec![]);
        commit.removes = vec![old.clone()];
        match host.commit(&commit).await {
            Ok(_) => assert!(wins),
            Err(CommitError::FileGone { path }) => assert!(!wins && path == old.path),
            Err(error) => panic!("{error}"),
        }
    }
    let last = table(&lake).await;
    assert_eq!(everything(&last).await, [(2, Some("a".to_owned()))]);
}

#[tokio::test]
async fn a_column_added_by_another_asks_for_the_batch_to_be_made_anew() {
    let lake = Lake::open("memory:///").unwrap();
    let mut here = table(&lake).await;
    let mut there = table(&lake).await;
    let mut fields = schema().fields().to_vec();
    fields.push(Arc::new(Field::new("colour", DataType::Int64, true)));
    let mut evolve = append(vec![], vec![]);
    evolve.schema = Some(Arc::new(Schema::new(fields.clone())));
    there.commit(&evolve).await.unwrap();

    fields.pop();
    fields.push(Arc::new(Field::new("colour", DataType::Utf8, true)));
    let clashing = Arc::new(Schema::new(fields));
    let writer = here.writer().with_schema(clashing.clone());
    let files = writer.write(&rows(&[(1, Some("a"))])).await.unwrap();
    let mut commit = append(files, vec![]);
    commit.schema = Some(clashing);
    let error = here.commit(&commit).await.unwrap_err();
    assert!(matches!(error, CommitError::MetadataChanged), "{error}");
    assert!(here.refresh().await.unwrap()[0].metadata_changed);
    assert!(here.schema().field_with_name("colour").is_ok());
    let error = here.commit(&commit).await.unwrap_err();
    assert!(
        matches!(&error, CommitError::Refused(text) if text.contains("colour")),
        "{error}"
    );
    commit.schema = None;
    let error = here.commit(&commit).await.unwrap_err();
    assert!(
        matches!(error, CommitError::MetadataChanged),
        "old files, other column: {error}"
    );
}

#[tokio::test]
async fn one_application_moves_once_in_a_commit() {
    let lake = Lake::open("memory:///").unwrap();
    let mut table = table(&lake).await;
    let commit = append(vec![], vec![step(None, 1), step(None, 2)]);
    let error = table.commit(&commit).await.unwrap_err();
    assert!(matches!(error, CommitError::Refused(_)), "{error}");
}

#[tokio::test]
async fn a_commit_costs_one_put_however_long_the_log() {
    let (store, lake) = Faulty::lake();
    let mut table = table(&lake).await;
    let [reads, puts, lists] = store.counts();
    let mut from = None;
    for to in 1..=300 {
        let files = table
            .writer()
            .write(&rows(&[(to, Some("a"))]))
            .await
            .unwrap();
        table
            .commit(&append(files, vec![step(from, to)]))
            .await
            .unwrap();
        from = Some(to);
    }
    assert_eq!(store.counts(), [reads, puts + 300, lists]);
    assert_eq!(table.version(), 300);
}
