//! Packing small files: the same rows before and after, whoever else is at work.

use std::sync::atomic::Ordering;

use arrow::array::ArrayRef;
use deltalake::Path;
use deltalake::logstore::object_store::ObjectStoreExt as _;

use super::faults::{Fault, Faulty};
use super::*;
use crate::lake::{CommitError, LakeError, Packed, Packing};

/// A batch of one store, with names beside the offsets.
fn named(offsets: &[i64]) -> RecordBatch {
    let names = offsets.iter().map(|offset| match offset % 3 {
        0 => None,
        _ => Some(format!("{offset} {}", "long ".repeat(9))),
    });
    RecordBatch::try_from_iter([
        (
            "_offset",
            Arc::new(Int64Array::from(offsets.to_vec())) as ArrayRef,
        ),
        (
            "store",
            Arc::new(StringArray::from(vec!["a"; offsets.len()])),
        ),
        ("name", Arc::new(StringArray::from_iter(names))),
    ])
    .unwrap()
}

async fn add_named(table: &mut Table, offsets: &[i64]) {
    let files = table.writer().write(&named(offsets)).await.unwrap();
    table.commit(&append(files, vec![])).await.unwrap();
}

/// A table whose store "a" has 40 small files of two rows, committed latest first.
async fn scattered(lake: &Lake) -> Table {
    let mut table = table(lake).await;
    for first in (0..40).rev() {
        add_named(&mut table, &[first * 2, first * 2 + 1]).await;
    }
    table
}

async fn packed(table: &mut Table) -> Packed {
    let due = table.compaction(Packing::Dense).unwrap();
    due.run().await.unwrap()
}

fn count(table: &Table, store: &str) -> usize {
    table.files_in(&partition(store)).count()
}

async fn exists(table: &Table, path: &str) -> bool {
    let path = Path::parse(path).unwrap();
    table.log.objects().head(&path).await.is_ok()
}

/// The lines of a version.
async fn lines(table: &Table, version: i64) -> Vec<serde_json::Value> {
    let bytes = table.log.read(version).await.unwrap().unwrap();
    let text = std::str::from_utf8(&bytes).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test]
async fn many_small_files_become_one_with_the_same_rows() {
    let folder = tempfile::tempdir().unwrap();
    for uri in ["memory:///", folder.path().to_str().unwrap()] {
        let lake = Lake::open(uri).unwrap();
        let mut table = scattered(&lake).await;
        add(&mut table, 100, "b").await;
        let before = everything(&table).await;
        let packed = packed(&mut table).await;
        assert_eq!(count(&table, "a"), 40, "nobody sees it yet");
        let replaced = packed.commit(&mut table).await.unwrap().unwrap();
        assert_eq!(replaced.old.len(), 40);
        assert_eq!([count(&table, "a"), count(&table, "b")], [1, 1]);
        assert_eq!(everything(&table).await, before);

        let again = lake.open_table("north/silver").await.unwrap().unwrap();
        assert_eq!(everything(&again).await, before);
        let mut foreign = deltalake::DeltaTable::new(again.log.store.clone());
        foreign.load().await.unwrap();
        assert_eq!(foreign.get_file_uris().unwrap().count(), 2);
        assert!(table.compaction(Packing::Dense).is_none());
    }
}

#[tokio::test]
async fn a_packed_file_is_described_as_if_it_had_been_written_whole_and_in_order() {
    let lake = Lake::open("memory:///").unwrap();
    let mut table = scattered(&lake).await;
    let all: Vec<i64> = (0..80).collect();
    let whole = table.writer().write(&named(&all)).await.unwrap();
    let packed = packed(&mut table).await;
    assert_eq!(packed.written.stats, whole[0].stats);
    assert_eq!(packed.written.bounds, whole[0].bounds);
    assert_eq!(packed.written.rows, Some(80));
    let found = table.reader().read(&packed.written, None).await.unwrap();
    let found = arrow::compute::concat_batches(table.schema(), &found).unwrap();
    assert_eq!(found.columns(), named(&all).columns());
}

#[tokio::test]
async fn the_log_says_that_no_data_changed_and_nobody_progressed() {
    let lake = Lake::open("memory:///").unwrap();
    let mut table = scattered(&lake).await;
    let progress = append(vec![], vec![step(None, 7)]);
    table.commit(&progress).await.unwrap();
    let before = table.transactions().clone();
    packed(&mut table).await.commit(&mut table).await.unwrap();
    assert_eq!(*table.transactions(), before);

    let mut kinds = BTreeMap::new();
    for line in lines(&table, table.version()).await {
        let (kind, action) = line.as_object().unwrap().iter().next().unwrap();
        *kinds.entry(kind.clone()).or_insert(0) += 1;
        match kind.as_str() {
            "commitInfo" => {
                assert_eq!(action["operation"], "OPTIMIZE");
                assert_eq!(action["isBlindAppend"], false);
            }
            "add" | "remove" => {
                assert_eq!(action["dataChange"], false, "{action}");
                assert_eq!(action["partitionValues"]["store"], "a");
            }
            _ => panic!("{line}"),
        }
    }
    let kinds: Vec<_> = kinds.into_iter().collect();
    let expected = [("add", 1), ("commitInfo", 1), ("remove", 40)];
    assert_eq!(kinds, expected.map(|(kind, n)| (kind.to_owned(), n)));
}

#[tokio::test]
async fn it_is_due_only_where_one_partition_has_many_small_files() {
    let lake = Lake::open("memory:///").unwrap();
    let mut table = table(&lake).await;
    for offset in 0..62 {
        add(&mut table, offset, if offset % 2 == 0 { "a" } else { "b" }).await;
    }
    assert!(table.compaction(Packing::Quick).is_none(), "31 files each");
    add(&mut table, 62, "a").await;
    assert!(table.compaction(Packing::Quick).is_none(), "just looked");
    for offset in 63..94 {
        add(&mut table, offset, "c").await;
    }
    let due = table.compaction(Packing::Quick).unwrap();
    assert!(due.files.iter().all(|file| file.lies_in(&partition("a"))));
    assert_eq!(due.files.len(), 32);
    assert!(table.compaction(Packing::Quick).is_none(), "handed out");
}

#[tokio::test]
async fn large_files_stay_and_no_more_is_packed_at_once_than_memory_is_meant_to_hold() {
    let lake = Lake::open("memory:///").unwrap();
    let mut table = table(&lake).await;
    for offset in 0..60 {
        let batch = rows(&[(offset, Some("a"))]);
        let mut files = table.writer().write(&batch).await.unwrap();
        files[0].size = if offset < 20 { 16 << 20 } else { 3 << 20 };
        table.commit(&append(files, vec![])).await.unwrap();
    }
    let before = everything(&table).await;
    let packed = packed(&mut table).await;
    let oldest: Vec<_> = packed.files.iter().map(|file| &file.bounds[0].1).collect();
    assert_eq!(oldest.len(), 21, "of 3 MiB each");
    let expected: Vec<_> = (20..41)
        .map(|offset| crate::lake::Bound::Integer(offset, offset))
        .collect();
    assert_eq!(oldest, expected.iter().collect::<Vec<_>>());
    packed.commit(&mut table).await.unwrap().unwrap();
    assert_eq!(everything(&table).await, before);
    assert!(table.compaction(Packing::Quick).is_none(), "20 are left");
}

#[tokio::test]
async fn partitions_are_packed_one_after_the_other_without_waiting() {
    let lake = Lake::open("memory:///").unwrap();
    let mut table = table(&lake).await;
    for offset in 0..70 {
        let both = [(offset, Some("a")), (offset, Some("b"))];
        let files = table.writer().write(&rows(&both)).await.unwrap();
        table.commit(&append(files, vec![])).await.unwrap();
    }
    let before = everything(&table).await;
    for _ in 0..2 {
        packed(&mut table).await.commit(&mut table).await.unwrap();
    }
    assert!(table.compaction(Packing::Quick).is_none());
    assert_eq!(table.files().count(), 2);
    assert_eq!(everything(&table).await, before);
}

#[tokio::test]
async fn two_that_pack_the_same_files_do_not_double_their_rows() {
    let lake = Lake::open("memory:///").unwrap();
    let mut here = scattered(&lake).await;
    let mut there = table(&lake).await;
    let before = everything(&here).await;
    let (ours, theirs) = (packed(&mut here).await, packed(&mut there).await);
    let [kept, gone] = [ours.written.path.clone(), theirs.written.path.clone()];
    assert!(ours.commit(&mut here).await.unwrap().is_some());
    assert!(exists(&there, &gone).await);
    assert!(theirs.commit(&mut there).await.unwrap().is_none());
    assert!(exists(&there, &kept).await && !exists(&there, &gone).await);
    for table in [&here, &there, &table(&lake).await] {
        assert_eq!(everything(table).await, before);
        assert_eq!(count(table, "a"), 1);
    }
}

#[tokio::test]
async fn what_is_added_meanwhile_stays_and_what_others_did_is_handed_out() {
    let lake = Lake::open("memory:///").unwrap();
    let mut here = scattered(&lake).await;
    let mut there = table(&lake).await;
    let packed = packed(&mut here).await;
    for offset in 100..103 {
        add(&mut here, offset, "a").await;
        add(&mut there, offset + 100, "a").await;
    }
    let added = add(&mut there, 300, "a").await;
    packed.commit(&mut here).await.unwrap().unwrap();
    assert_eq!(count(&here, "a"), 8);
    assert_eq!(everything(&here).await.len(), 87);
    let seen = here.refresh().await.unwrap();
    assert_eq!(seen.last().unwrap().added[0].path, added.path);
}

#[tokio::test]
async fn a_commit_that_watches_the_partition_is_not_disturbed() {
    let lake = Lake::open("memory:///").unwrap();
    let mut here = scattered(&lake).await;
    let mut there = table(&lake).await;
    packed(&mut here).await.commit(&mut here).await.unwrap();
    let mut commit = append(vec![], vec![]);
    commit.watched = vec![partition("a")];
    there.commit(&commit).await.unwrap();
    assert_eq!(count(&there, "a"), 1);
}

#[tokio::test]
async fn it_is_given_up_when_one_of_its_files_is_gone() {
    let lake = Lake::open("memory:///").unwrap();
    let mut here = scattered(&lake).await;
    let mut there = table(&lake).await;
    let packed = packed(&mut here).await;
    let batch = rows(&[(1_000, Some("a"))]);
    let files = there.writer().write(&batch).await.unwrap();
    let mut replace = append(files, vec![]);
    replace.removes = there.files().take(1).cloned().collect();
    there.commit(&replace).await.unwrap();
    let path = packed.written.path.clone();
    assert!(packed.commit(&mut here).await.unwrap().is_none());
    assert!(!exists(&here, &path).await);
    assert_eq!(everything(&here).await.len(), 79);
    assert_eq!(everything(&here).await, everything(&there).await);
}

fn wider() -> SchemaRef {
    let mut fields = schema().fields().to_vec();
    fields.insert(0, Arc::new(Field::new("_colour", DataType::Utf8, true)));
    Arc::new(Schema::new(fields))
}

fn coloured(offset: i64) -> RecordBatch {
    RecordBatch::try_from_iter([
        (
            "_offset",
            Arc::new(Int64Array::from(vec![offset])) as ArrayRef,
        ),
        ("store", Arc::new(StringArray::from(vec!["a"]))),
        ("_colour", Arc::new(StringArray::from(vec!["red"]))),
    ])
    .unwrap()
}

async fn widen(table: &mut Table, offset: i64) {
    let writer = table.writer().with_schema(wider());
    let files = writer.write(&coloured(offset)).await.unwrap();
    let mut commit = append(files, vec![]);
    commit.schema = Some(wider());
    table.commit(&commit).await.unwrap();
}

async fn colours(table: &Table) -> usize {
    let mut colours = 0;
    for file in table.files() {
        let read = table.reader().read(file, Some(&["_colour"])).await;
        for rows in read.unwrap() {
            colours += rows.num_rows() - rows.column(0).null_count();
        }
    }
    colours
}

#[tokio::test]
async fn files_from_before_a_column_was_added_are_packed_with_those_from_after() {
    let lake = Lake::open("memory:///").unwrap();
    let mut table = scattered(&lake).await;
    widen(&mut table, 100).await;
    let before = everything(&table).await;
    let packed = packed(&mut table).await;
    let stats: serde_json::Value =
        serde_json::from_str(packed.written.stats.as_ref().unwrap()).unwrap();
    assert_eq!(stats["nullCount"]["_colour"], 80);
    assert_eq!(stats["maxValues"]["_colour"], "red");
    packed.commit(&mut table).await.unwrap().unwrap();
    assert_eq!(everything(&table).await, before);
    assert_eq!((count(&table, "a"), colours(&table).await), (1, 1));
}

#[tokio::test]
async fn a_column_that_we_add_meanwhile_is_no_hindrance_and_one_that_another_adds_is() {
    let lake = Lake::open("memory:///").unwrap();
    let mut here = scattered(&lake).await;
    let mut there = table(&lake).await;
    let (ours, theirs) = (packed(&mut here).await, packed(&mut there).await);
    widen(&mut here, 100).await;
    assert!(theirs.commit(&mut there).await.unwrap().is_none());
    assert!(ours.commit(&mut here).await.unwrap().is_some());
    assert_eq!(everything(&here).await.len(), 81);
    assert_eq!((count(&here, "a"), colours(&here).await), (2, 1));
}

#[tokio::test]
async fn a_file_that_does_not_hold_what_the_log_says_is_not_packed() {
    let lake = Lake::open("memory:///").unwrap();
    let mut table = scattered(&lake).await;
    let mut due = table.compaction(Packing::Quick).unwrap();
    due.files[3].rows = Some(3);
    let error = due.run().await.err().unwrap();
    let two_of_three = matches!(
        error,
        LakeError::RowsDiffer {
            noted: 3,
            found: 2,
            ..
        }
    );
    assert!(two_of_three, "{error}");
    assert_eq!(table.version(), 40);
    assert!(table.compaction(Packing::Quick).is_none(), "not at once");
}

#[tokio::test]
async fn a_file_that_can_not_be_read_is_an_error_and_the_table_stays() {
    let lake = Lake::open("memory:///").unwrap();
    let mut table = scattered(&lake).await;
    let due = table.compaction(Packing::Quick).unwrap();
    let path = Path::parse(&due.files[3].path).unwrap();
    table.log.objects().delete(&path).await.unwrap();
    let error = due.run().await.err().unwrap();
    assert!(matches!(error, LakeError::Store { .. }), "{error}");
    assert_eq!((table.version(), count(&table, "a")), (40, 40));
}

#[tokio::test]
async fn a_damaged_file_is_tried_once_and_is_in_nobodys_way() {
    let lake = Lake::open("memory:///").unwrap();
    let mut table = scattered(&lake).await;
    for offset in 100..135 {
        add(&mut table, offset, "b").await;
    }
    let due = table.compaction(Packing::Quick).unwrap();
    let damaged = due.files[3].path.clone();
    let path = Path::parse(&damaged).unwrap();
    let objects = table.log.objects();
    objects.put(&path, "no Parquet".into()).await.unwrap();
    assert!(due.run().await.is_err());

    let before = table.file(&damaged).cloned();
    for _ in 0..2 {
        table.looked = 0;
        let due = table.compaction(Packing::Quick).unwrap();
        due.run().await.unwrap().commit(&mut table).await.unwrap();
    }
    assert_eq!((count(&table, "a"), count(&table, "b")), (2, 1));
    assert!(before.is_some() && table.file(&damaged).is_some());
}

#[tokio::test]
async fn a_commit_that_may_have_come_true_keeps_its_file() {
    let (store, lake) = Faulty::lake();
    let mut table = scattered(&lake).await;
    let before = everything(&table).await;
    let packed = packed(&mut table).await;
    store.next(Fault::LostReply);
    store.blind.store(true, Ordering::Relaxed);
    assert!(packed.commit(&mut table).await.is_err());
    store.blind.store(false, Ordering::Relaxed);
    table.refresh().await.unwrap();
    assert_eq!(count(&table, "a"), 1, "it had come true");
    assert_eq!(everything(&table).await, before);
}

#[tokio::test]
async fn nothing_is_packed_where_nothing_may_be_removed() {
    let lake = Lake::open("memory:///").unwrap();
    let mut spec = spec();
    let append_only = ("delta.appendOnly".to_owned(), "true".to_owned());
    spec.properties.extend([append_only]);
    let mut table = lake.create_table("north/silver", &spec).await.unwrap();
    for offset in 0..40 {
        add(&mut table, offset, "a").await;
    }
    assert!(table.compaction(Packing::Quick).is_none());
    let mut commit = append(vec![], vec![]);
    commit.removes = table.files().cloned().collect();
    let error = table.commit(&commit).await.unwrap_err();
    assert!(matches!(error, CommitError::Refused(_)), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_checkpoint_holds_what_was_packed_and_the_small_files_go_when_their_time_is_over() {
    let lake = Lake::open("memory:///").unwrap();
    let mut short = spec();
    let retention = "delta.deletedFileRetentionDuration".to_owned();
    short
        .properties
        .insert(retention, "interval 0 seconds".to_owned());
    let mut table = lake.create_table("north/silver", &short).await.unwrap();
    for offset in 0..40 {
        add(&mut table, offset, "a").await;
    }
    let before = everything(&table).await;
    packed(&mut table).await.commit(&mut table).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(3)).await;
    let done = table.maintenance_now().run().await.unwrap();
    assert_eq!((done.checkpoint, done.files_removed), (Some(41), 40));
    for version in 0..=41 {
        let path = Path::from(format!("_delta_log/{version:020}.json"));
        table.log.objects().delete(&path).await.unwrap();
    }
    let again = lake.open_table("north/silver").await.unwrap().unwrap();
    assert_eq!(everything(&again).await, before);
    assert_eq!(count(&again, "a"), 1);
}
