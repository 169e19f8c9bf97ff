use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use arrow::array::{ArrayRef, Int64Array};
use arrow::record_batch::RecordBatch;

use super::*;
use crate::lake::{Commit, Move, Table, TableSpec};
use crate::medallion::layer::commit_of;

const APP: &str = "assay/north/sales/5f/0";

/// A tenant's tables on disk.
struct Place {
    folder: tempfile::TempDir,
    lake: Lake,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let lake = Lake::open(folder.path().to_str().unwrap()).unwrap();
        Self { folder, lake }
    }

    /// A table with a commit of one row for each progress of an application.
    async fn table(&self, name: &str, column: &str, moves: &[(&str, i64)]) -> Table {
        let rows = |at: i64| {
            let column = (column, Arc::new(Int64Array::from(vec![at])) as ArrayRef);
            RecordBatch::try_from_iter([column]).unwrap()
        };
        let spec = TableSpec {
            schema: rows(0).schema(),
            partition_by: Vec::new(),
            description: String::new(),
            properties: BTreeMap::new(),
        };
        let path = format!("north/{name}");
        let mut table = self.lake.create_table(&path, &spec).await.unwrap();
        for (ending, to) in moves {
            let app_id = format!("{APP}{ending}");
            let from = table.transactions().get(&app_id).map(|txn| txn.version);
            let to = *to;
            let commit = Commit {
                adds: table.writer().write(&rows(to)).await.unwrap(),
                transactions: vec![Move { app_id, from, to }],
                ..commit_of("WRITE")
            };
            table.commit(&commit).await.unwrap();
        }
        table
    }

    fn log(&self, table: &str, name: &str) -> PathBuf {
        self.folder
            .path()
            .join(format!("north/{table}/_delta_log/{name}"))
    }

    fn version(&self, table: &str, version: i64) -> PathBuf {
        self.log(table, &format!("{version:020}.json"))
    }

    async fn repair(&self, table: &str) -> Result<Vec<String>, RepairError> {
        let tenant = "north".parse().unwrap();
        let dry = repair(&self.lake, &tenant, table, true).await;
        let done = repair(&self.lake, &tenant, table, false).await;
        if let (Ok(dry), Ok(done)) = (&dry, &done) {
            assert_eq!(dry, done, "the dry run says the same and changes nothing");
        }
        let again = repair(&self.lake, &tenant, table, true).await;
        if let Ok(Some(again)) = again {
            assert!(again.told.is_empty(), "{again:?}");
        }
        Ok(done?.unwrap().told)
    }

    async fn opened(&self, table: &str) -> Table {
        let path = format!("north/{table}");
        self.lake.open_table(&path).await.unwrap().unwrap()
    }
}

/// Cuts a file short, a while ago.
fn tear(path: &Path, keep: usize) {
    let bytes = std::fs::read(path).unwrap();
    std::fs::write(path, &bytes[..keep.min(bytes.len() - 1)]).unwrap();
    let file = std::fs::File::options().write(true).open(path).unwrap();
    let past = SystemTime::now() - Duration::from_secs(300);
    file.set_modified(past).unwrap();
}

type Harm = fn(&Place);

fn progress_of(table: &Table) -> Option<i64> {
    table.transactions().get(APP).map(|txn| txn.version)
}

#[tokio::test]
async fn a_torn_last_version_that_nothing_was_built_on_is_given_up_and_can_be_put_again() {
    for keep in [0, 300] {
        let place = Place::new();
        let bronze = [("", 5), ("", 9)];
        place.table("bronze", "_ruleset", &bronze).await;
        place.table("quarantine", "_offset", &[("", 5)]).await;
        place.table("silver", "_offset", &[("", 5)]).await;
        tear(&place.version("bronze", 2), keep);
        let told = place.repair("bronze").await.unwrap();
        assert!(told[0].contains("last version, 2, is torn"), "{told:?}");
        let aside = place.log("bronze", "00000000000000000002.json.damaged");
        assert!(aside.exists());
        let table = place.opened("bronze").await;
        assert_eq!((table.version(), progress_of(&table)), (2, Some(5)));
        assert_eq!(table.files().count(), 1);
        let table = place.table("bronze", "_ruleset", &[("", 9)]).await;
        assert_eq!((table.version(), progress_of(&table)), (3, Some(9)));
    }
}

#[tokio::test]
async fn a_torn_version_that_a_later_layer_is_built_on_is_refused_by_name() {
    // The torn table, and what others hold that was built on its last version.
    let cases = [
        ("bronze", "quarantine", ""),
        ("bronze", "silver", ""),
        ("bronze", "gold/daily", ""),
        ("quarantine", "silver", ""),
        ("silver", "quarantine", DUPLICATES),
        ("silver", "gold/daily", ""),
    ];
    for (torn, later, ending) in cases {
        let place = Place::new();
        place.table(torn, "_offset", &[("", 5), ("", 9)]).await;
        place
            .table(later, "_offset", &[(ending, 5), (ending, 9)])
            .await;
        let path = place.version(torn, 2);
        tear(&path, 40);
        let before = std::fs::read(&path).unwrap();
        let error = place.repair(torn).await.unwrap_err().to_string();
        assert!(error.contains(&format!("north/{later} is at 9")), "{error}");
        assert!(error.contains("nothing was changed"), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }
}

#[tokio::test]
async fn silver_may_go_back_where_only_quarantine_s_refusals_are_ahead_and_gold_always_may() {
    let place = Place::new();
    place.table("silver", "_offset", &[("", 5), ("", 9)]).await;
    let quarantine = [("", 9), (DUPLICATES, 5)];
    place.table("quarantine", "_offset", &quarantine).await;
    place
        .table("gold/daily", "_offset", &[("", 4), ("", 5)])
        .await;
    tear(&place.version("silver", 2), 300);
    assert_eq!(place.repair("silver").await.unwrap().len(), 1);
    tear(&place.version("gold/daily", 2), 300);
    assert_eq!(place.repair("gold/daily").await.unwrap().len(), 1);
    assert_eq!(progress_of(&place.opened("gold/daily").await), Some(4));
}

#[tokio::test]
async fn a_torn_rule_set_is_given_up_unless_rows_may_name_it() {
    for (pinned, healed) in [(1, true), (2, false)] {
        let place = Place::new();
        place.table("rulesets", "number", &[("", 1), ("", 2)]).await;
        place.table("bronze", "_ruleset", &[("", pinned)]).await;
        tear(&place.version("rulesets", 2), 10);
        let repaired = place.repair("rulesets").await;
        assert_eq!(repaired.is_ok(), healed, "{repaired:?}");
        if let Err(error) = repaired {
            assert!(error.to_string().contains("may name rule set 2"), "{error}");
        }
    }
}

#[tokio::test]
async fn a_version_that_another_engine_wrote_or_that_is_young_or_not_the_last_is_refused() {
    let place = Place::new();
    place.table("silver", "_offset", &[("", 5), ("", 9)]).await;
    let path = place.version("silver", 2);
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..400]).unwrap();
    let error = place.repair("silver").await.unwrap_err();
    assert!(matches!(error, RepairError::Young { .. }), "{error}");

    let foreign = r#"{"commitInfo":{"engineInfo":"Spark/4"}}"#.to_owned() + "\n{\"add\"";
    std::fs::write(&path, foreign + "     ").unwrap();
    tear(&path, usize::MAX);
    let error = place.repair("silver").await.unwrap_err().to_string();
    assert!(error.contains("Spark/4 wrote it"), "{error}");

    std::fs::write(&path, whole).unwrap();
    tear(&place.version("silver", 1), 40);
    let error = place.repair("silver").await.unwrap_err().to_string();
    assert!(
        error.contains("version 1") && error.contains("torn"),
        "{error}"
    );
}

#[tokio::test]
async fn a_version_without_which_a_file_is_missing_is_refused() {
    let place = Place::new();
    let table = place.table("silver", "_offset", &[("", 5), ("", 9)]).await;
    let before: Vec<_> = table.files().map(|file| file.path.clone()).collect();
    tear(&place.version("silver", 2), 40);
    for path in before {
        let _ = std::fs::remove_file(place.folder.path().join("north/silver").join(path));
    }
    let error = place.repair("silver").await.unwrap_err().to_string();
    assert!(error.contains("is missing"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn checkpoints_and_their_note_are_healed_and_the_rows_stay() {
    let damages: [(&str, Harm); 4] = [
        ("damaged", |place| {
            tear(
                &place.log("silver", "00000000000000000003.checkpoint.parquet"),
                99,
            );
        }),
        ("missing or damaged", |place| {
            let path = place.log("silver", "00000000000000000003.checkpoint.parquet");
            std::fs::remove_file(path).unwrap();
        }),
        ("can't be read", |place| {
            tear(&place.log("silver", "_last_checkpoint"), 5);
        }),
        ("names checkpoint 77", |place| {
            let note = r#"{"version":77,"size":1}"#;
            std::fs::write(place.log("silver", "_last_checkpoint"), note).unwrap();
        }),
    ];
    for (said, damage) in damages {
        let place = Place::new();
        let moves = [("", 5), ("", 9), ("", 12)];
        let mut table = place.table("silver", "_offset", &moves).await;
        table.maintenance_now().run().await.unwrap();
        place.table("silver", "_offset", &[("", 20)]).await;
        damage(&place);
        let told = place.repair("silver").await.unwrap();
        assert!(told.iter().any(|told| told.contains(said)), "{told:?}");
        let checkpoint = place.log("silver", "00000000000000000004.checkpoint.parquet");
        assert!(checkpoint.exists(), "{said}: no new checkpoint");
        for version in 0..=4 {
            std::fs::remove_file(place.version("silver", version)).unwrap();
        }
        let table = place.opened("silver").await;
        assert_eq!((table.version(), progress_of(&table)), (4, Some(20)));
        assert_eq!(table.files().count(), 4);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_checkpoint_that_the_log_needs_is_not_healed_away() {
    let place = Place::new();
    let mut table = place.table("silver", "_offset", &[("", 5), ("", 9)]).await;
    table.maintenance_now().run().await.unwrap();
    std::fs::remove_file(place.version("silver", 0)).unwrap();
    let path = place.log("silver", "00000000000000000002.checkpoint.parquet");
    tear(&path, 99);
    let error = place.repair("silver").await.unwrap_err().to_string();
    assert!(error.contains("00000000000000000002.checkpoint"), "{error}");
    assert!(path.exists());
}
