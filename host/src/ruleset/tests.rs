use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::compute::concat_batches;
use arrow::datatypes::Schema;

use super::entry::schema;
use super::held::CHANGES_HELD;
use super::{Cause, Registry, RuleSetError, State, Who};
use crate::lake::{Commit, Lake, TableSpec};
use crate::medallion::definition::Definition;
use crate::medallion::gate::Gate;
use crate::medallion::layer::commit_of;
use crate::names::{RuleSetNumber, Tenant};
use crate::plugin::{Compiler, Sandbox};

fn definition(zone: &str) -> Definition {
    Definition {
        zone: zone.to_owned(),
        ..Definition::without_rules(Vec::new())
    }
}

fn tenant() -> Tenant {
    "north".parse().unwrap()
}

fn who() -> Who {
    Who {
        by: "ann".to_owned(),
        why: "a test".to_owned(),
    }
}

async fn open(lake: &Lake) -> Registry {
    let sandbox = Sandbox::new(Compiler::Within).unwrap();
    Registry::open(lake, &tenant(), sandbox).await.unwrap()
}

fn number(number: i64) -> RuleSetNumber {
    RuleSetNumber(number)
}

/// A table as versions wrote it that knew of activations and re-pins alone.
async fn older_table(lake: &Lake) {
    let fields = schema()
        .fields()
        .iter()
        .take(12)
        .cloned()
        .collect::<Vec<_>>();
    let older = Arc::new(Schema::new(fields));
    let spec = TableSpec {
        schema: older.clone(),
        partition_by: Vec::new(),
        description: String::new(),
        properties: BTreeMap::new(),
    };
    let path = format!("{}/rulesets", tenant());
    let mut table = lake.create_table(&path, &spec).await.unwrap();
    let columns = older.fields().iter().map(|field| -> ArrayRef {
        match field.name().as_str() {
            "number" => Arc::new(Int64Array::from(vec![1])),
            "kind" => Arc::new(StringArray::from(vec!["activate"])),
            "at" => Arc::new(TimestampMicrosecondArray::from(vec![7]).with_timezone("UTC")),
            "by" | "why" => Arc::new(StringArray::from(vec!["bob"])),
            "definition" => {
                let text = serde_json::to_string(&definition("UTC")).unwrap();
                Arc::new(StringArray::from(vec![text]))
            }
            "partition" => Arc::new(Int32Array::from(vec![None])),
            "topic" | "source" => Arc::new(StringArray::from(vec![None::<&str>])),
            _ => Arc::new(Int64Array::from(vec![None])),
        }
    });
    let rows = RecordBatch::try_new(older.clone(), columns.collect()).unwrap();
    let mut commit = commit_of("WRITE");
    commit.adds = table.writer().write(&rows).await.unwrap();
    table.commit(&commit).await.unwrap();
}

#[tokio::test]
async fn a_table_of_an_older_version_goes_on_as_the_control_plane() {
    let lake = Lake::open("memory:///").unwrap();
    older_table(&lake).await;
    let mut registry = open(&lake).await;
    assert_eq!(registry.active(), Some(number(1)));
    // What it activated came from a TOML, so a start with the same one has nothing to do.
    assert_eq!(registry.toml(), Some(&definition("UTC")));

    // One who follows the table meanwhile keeps up with its new columns.
    let mut other = open(&lake).await;
    let staged = registry.stage(&definition("CET"), &who(), 8).await.unwrap();
    assert_eq!(staged, number(2));
    let cause = Cause::Promotion { of: staged };
    other
        .activate(&definition("CET"), cause, &who(), 9)
        .await
        .unwrap();
    let read = open(&lake).await;
    assert_eq!(read.active(), Some(number(3)));
    let state = |of: i64| read.state(read.set(number(of)).unwrap());
    assert_eq!(
        [1, 2, 3].map(state),
        [State::Retired, State::Active, State::Active]
    );
    let before = open(&lake).await.before_active().await.unwrap();
    assert_eq!(before, Some(number(1)));
}

#[tokio::test]
async fn of_two_activations_at_once_one_looks_again() {
    let lake = Lake::open("memory:///").unwrap();
    let (mut one, mut other) = (open(&lake).await, open(&lake).await);
    let first = one
        .activate(&definition("UTC"), Cause::Toml, &who(), 1)
        .await;
    assert_eq!(first.unwrap(), Some(number(1)));
    let second = other
        .activate(&definition("CET"), Cause::Toml, &who(), 2)
        .await;
    assert_eq!(second.unwrap(), None);
    assert_eq!(other.active(), Some(number(1)));
    let again = other
        .activate(&definition("CET"), Cause::Toml, &who(), 3)
        .await;
    assert_eq!(again.unwrap(), Some(number(2)));
}

#[tokio::test]
async fn where_hosts_fall_back_at_once_one_does_and_no_number_is_used_again() {
    let lake = Lake::open("memory:///").unwrap();
    let mut one = open(&lake).await;
    one.activate(&definition("UTC"), Cause::Toml, &who(), 1)
        .await
        .unwrap();
    one.activate(&definition("CET"), Cause::Toml, &who(), 2)
        .await
        .unwrap();
    let mut other = open(&lake).await;
    one.fall_back(number(2), "it is gone", "host", 3)
        .await
        .unwrap();
    other
        .fall_back(number(2), "gone too", "host", 4)
        .await
        .unwrap();
    for registry in [&one, &other] {
        assert_eq!(registry.active(), Some(number(3)));
        assert_eq!(registry.active_definition(), Some(&definition("UTC")));
        let failed = registry.set(number(2)).unwrap();
        assert_eq!(failed.failed.as_deref(), Some("it is gone"));
        assert_eq!(registry.history().len(), 3);
    }
    // A set that was the first has none before it.
    let mut first = open(&Lake::open("memory:///").unwrap()).await;
    first
        .activate(&definition("UTC"), Cause::Toml, &who(), 1)
        .await
        .unwrap();
    assert!(first.fall_back(number(1), "-", "host", 2).await.is_err());
}

#[tokio::test]
async fn one_staged_set_at_a_time_is_a_shadow_until_it_is_told_to_stop_fails_or_takes_over() {
    let lake = Lake::open("memory:///").unwrap();
    let mut registry = open(&lake).await;
    let first = definition("UTC");
    registry
        .activate(&first, Cause::Toml, &who(), 1)
        .await
        .unwrap();
    let one = registry.stage(&definition("CET"), &who(), 2).await.unwrap();
    let other = registry.stage(&definition("EET"), &who(), 3).await.unwrap();
    let states =
        |registry: &Registry| [one, other].map(|set| registry.state(registry.set(set).unwrap()));
    registry.note_shadow(one, true, &who(), 4).await.unwrap();
    assert_eq!(states(&registry), [State::Shadow, State::Staged]);
    assert_eq!(open(&lake).await.shadow(), Some(one));
    registry.note_shadow(other, true, &who(), 5).await.unwrap();
    assert_eq!(states(&open(&lake).await), [State::Staged, State::Shadow]);
    // What is over already stops nobody else.
    registry.note_shadow(one, false, &who(), 6).await.unwrap();
    assert_eq!(registry.shadow(), Some(other));
    registry.note_shadow(other, false, &who(), 7).await.unwrap();
    assert_eq!(states(&open(&lake).await), [State::Staged, State::Staged]);

    registry.note_shadow(one, true, &who(), 8).await.unwrap();
    registry.fail(one, &who(), 9).await.unwrap();
    assert_eq!(registry.shadow(), None);
    registry.note_shadow(other, true, &who(), 10).await.unwrap();
    let cause = Cause::Promotion { of: other };
    let definition = registry.as_activated(other).unwrap();
    let now = registry.activate(&definition, cause, &who(), 11).await;
    let read = open(&lake).await;
    assert_eq!(states(&read), [State::Failed, State::Active]);
    assert_eq!((read.shadow(), read.active()), (None, now.unwrap()));
}

#[tokio::test]
async fn the_set_before_guards_one_that_took_over_of_late_and_no_rollback() {
    let lake = Lake::open("memory:///").unwrap();
    let mut registry = open(&lake).await;
    let mut first = definition("UTC");
    first.rollback = Some(Gate {
        rows: 10,
        trapped: None,
        quarantine_change: None,
        money_change: None,
        money: Vec::new(),
        cost: None,
    });
    let second = definition("CET");
    registry
        .activate(&first, Cause::Toml, &who(), 1)
        .await
        .unwrap();
    assert!(registry.guarded(2).is_none(), "there is none before it");
    let cause = Cause::Promotion { of: number(1) };
    registry.activate(&second, cause, &who(), 5).await.unwrap();
    let (before, gate) = registry.guarded(6).unwrap();
    assert_eq!((before, gate.rows), (number(1), 10));
    let day = 86_400_000_000;
    assert!(
        registry.guarded(5 + day).is_none(),
        "its first rows were long ago"
    );
    let cause = Cause::Rollback { of: number(1) };
    registry.activate(&first, cause, &who(), 7).await.unwrap();
    assert!(registry.guarded(8).is_none());
}

#[tokio::test]
async fn sets_that_say_the_same_are_held_once_however_often_they_take_over() {
    let lake = Lake::open("memory:///").unwrap();
    let mut registry = open(&lake).await;
    let mut numbers = Vec::new();
    for swap in 0..40 {
        let set = definition(if swap % 2 == 0 { "UTC" } else { "CET" });
        let number = registry.activate(&set, Cause::Toml, &who(), swap).await;
        numbers.push(number.unwrap().unwrap());
    }
    for held in [registry, open(&lake).await] {
        let shared = |number: &RuleSetNumber| held.set(*number).unwrap().definition.clone();
        for pair in numbers.chunks(2) {
            assert!(Arc::ptr_eq(&shared(&pair[0]), &shared(&numbers[0])));
            assert!(Arc::ptr_eq(&shared(&pair[1]), &shared(&numbers[1])));
        }
    }
}

#[tokio::test]
async fn a_change_whose_row_can_not_be_read_yet_is_taken_up_when_it_can() {
    let folder = tempfile::tempdir().unwrap();
    let lake = Lake::open(folder.path().to_str().unwrap()).unwrap();
    let (mut ours, mut theirs) = (open(&lake).await, open(&lake).await);
    let active = |registry: &Registry| registry.active_definition().map(|set| set.zone.clone());
    let ann = who();
    let first = definition("UTC");
    let first = ours.activate(&first, Cause::Toml, &ann, 1).await;
    first.unwrap();
    theirs.refresh().await.unwrap();

    let second = definition("Asia/Tokyo");
    let second = ours.activate(&second, Cause::Toml, &ann, 2).await;
    second.unwrap();
    let table = folder.path().join("north/rulesets");
    let away = folder.path().join("away");
    std::fs::create_dir(&away).unwrap();
    let files = || -> Vec<_> {
        let entries = std::fs::read_dir(&table).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name());
        names
            .filter(|name| name.to_str().unwrap().ends_with(".parquet"))
            .collect()
    };
    let moved = files();
    assert_eq!(moved.len(), 2);
    for name in &moved {
        std::fs::rename(table.join(name), away.join(name)).unwrap();
    }
    theirs.refresh().await.unwrap_err();
    let third = definition("Asia/Seoul");
    let third = theirs.activate(&third, Cause::Toml, &ann, 3).await;
    third.unwrap_err();
    assert_eq!(active(&theirs), Some("UTC".to_owned()));
    for name in &moved {
        std::fs::rename(away.join(name), table.join(name)).unwrap();
    }
    theirs.refresh().await.unwrap();
    assert_eq!(active(&theirs), Some("Asia/Tokyo".to_owned()));
    assert_eq!(theirs.history().len(), 2);
}

#[tokio::test]
async fn a_table_that_others_packed_tells_nothing_twice() {
    let lake = Lake::open("memory:///").unwrap();
    let mut registry = open(&lake).await;
    for (at, zone) in ["UTC", "Asia/Tokyo", "CET"].into_iter().enumerate() {
        let set = definition(zone);
        let number = registry
            .activate(&set, Cause::Toml, &who(), at as i64)
            .await;
        number.unwrap().unwrap();
    }
    let told = |registry: &Registry| {
        let changes = registry.history().iter();
        changes.map(|change| change.number).collect::<Vec<_>>()
    };
    let before = told(&registry);
    assert_eq!(before.len(), 3);

    let path = format!("{}/rulesets", tenant());
    let mut table = lake.open_table(&path).await.unwrap().unwrap();
    let (mut rows, reader) = (Vec::new(), table.reader());
    for file in table.files() {
        rows.extend(reader.read(file, None).await.unwrap());
    }
    let rows = concat_batches(table.schema(), &rows).unwrap();
    let commit = Commit {
        adds: table.writer().write(&rows).await.unwrap(),
        removes: table.files().cloned().collect(),
        ..commit_of("OPTIMIZE")
    };
    table.commit(&commit).await.unwrap();

    registry.refresh().await.unwrap();
    assert_eq!(told(&registry), before);
    let set = definition("PST8PDT");
    let fourth = registry.activate(&set, Cause::Toml, &who(), 4).await;
    let fourth = fourth.unwrap().unwrap();
    assert_eq!(fourth, number(before[2].0 + 2), "the packing has a version");
    assert_eq!(told(&registry), [&before[..], &[fourth]].concat());
    let anew = open(&lake).await;
    assert_eq!(told(&anew), told(&registry));
    assert_eq!(anew.active(), registry.active());
}

/// What a set is to whoever asks: where it stands, and what it says.
fn told(registry: &Registry, of: RuleSetNumber) -> (State, Definition, Option<String>) {
    let set = registry.set(of).unwrap();
    let definition = Definition::clone(&set.definition);
    (registry.state(set), definition, set.failed.clone())
}

#[tokio::test]
async fn what_is_held_does_not_grow_with_the_changes_and_what_counts_or_is_asked_for_is_at_hand() {
    let lake = Lake::open("memory:///").unwrap();
    let mut registry = open(&lake).await;
    let zoned = |of: usize| definition(&format!("zone {of}"));
    let first = registry.activate(&zoned(0), Cause::Toml, &who(), 0).await;
    let first = first.unwrap().unwrap();
    let waits = registry.stage(&zoned(1), &who(), 1).await.unwrap();
    let fails = registry.stage(&zoned(2), &who(), 2).await.unwrap();
    registry.fail(fails, &who(), 3).await.unwrap();
    let mut most = (0, 0);
    for swap in 3..230 {
        let of = registry.stage(&zoned(swap), &who(), 4).await.unwrap();
        let cause = Cause::Promotion { of };
        let promoted = registry.activate(&zoned(swap), cause, &who(), 5).await;
        promoted.unwrap().unwrap();
        registry.let_go();
        most = (
            most.0.max(registry.history().len()),
            most.1.max(registry.sets().count()),
        );
    }
    assert!(most.0 <= 2 * CHANGES_HELD + 2, "{most:?}");
    assert!(most.1 <= 2 * CHANGES_HELD + 8, "{most:?}");
    assert!(registry.set(fails).is_err(), "it is held");

    // What counts is held all the same.
    assert_eq!(told(&registry, waits).0, State::Staged);
    assert!(registry.set(first).is_ok(), "{waits} was staged over it");
    let before = registry.before_active().await.unwrap().unwrap();
    assert_eq!(registry.definition(before), Some(&zoned(228)));

    // Whoever asks for another finds what one finds who read all.
    let whole = open(&lake).await;
    assert_eq!(whole.history().len(), 4 + 2 * 227);
    for set in whole.sets() {
        registry.reach(set.number).await.unwrap();
        assert_eq!(told(&registry, set.number), told(&whole, set.number));
        registry.let_go();
        assert_eq!(told(&registry, set.number), told(&whole, set.number));
    }
    let sets = registry.sets().count();
    assert!(sets <= (2 + 8) * CHANGES_HELD + 8, "{sets} are held");
    registry.rules(fails).await.unwrap();
    let unknown = registry.reach(number(i64::MIN)).await;
    assert!(unknown.is_ok() && registry.set(number(i64::MIN)).is_err());
    registry.reach_all().await.unwrap();
    let told = |registry: &Registry| {
        let changes = registry.history().iter();
        changes
            .map(|one| (one.number, one.what.clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(told(&registry), told(&whole));

    // The table itself does not become slower to open with each change either.
    let table = lake.open_table("north/rulesets").await.unwrap().unwrap();
    let files = table.files().count();
    assert!(
        files < 220,
        "{files} files for {} changes",
        whole.history().len()
    );
}

/// Changes that are no sets, until all but what counts is let go of.
async fn pass_by(registry: &mut Registry, of: RuleSetNumber) {
    for turn in 0..=2 * CHANGES_HELD {
        let begins = turn % 2 == 0;
        let noted = registry.note_shadow(of, begins, &who(), 9).await;
        noted.unwrap();
    }
    registry.let_go();
}

#[tokio::test]
async fn where_one_falls_back_to_what_fails_as_well_the_one_before_that_judges_and_then_none() {
    let lake = Lake::open("memory:///").unwrap();
    let mut registry = open(&lake).await;
    for zone in ["UTC", "CET", "EET", "CET"] {
        let zoned = definition(zone);
        let activated = registry.activate(&zoned, Cause::Toml, &who(), 1).await;
        activated.unwrap();
    }
    let waits = registry.stage(&definition("MST"), &who(), 2).await.unwrap();
    pass_by(&mut registry, waits).await;
    for zone in ["EET", "UTC"] {
        let failed = registry.active().unwrap();
        registry.fall_back(failed, "-", "host", 3).await.unwrap();
        assert_eq!(registry.active_definition(), Some(&definition(zone)));
        // What another host says of it later does not count.
        let now = registry.active();
        registry.fall_back(failed, "-", "host", 4).await.unwrap();
        assert_eq!(registry.active(), now);
    }
    let failed = registry.active().unwrap();
    let none = registry.fall_back(failed, "-", "host", 5).await;
    assert!(matches!(none, Err(RuleSetError::NothingBefore { .. })));
    assert_eq!(registry.active(), Some(failed));
}

#[tokio::test]
async fn after_one_failed_whoever_goes_back_comes_to_what_judged_before_though_it_was_let_go_of() {
    let lake = Lake::open("memory:///").unwrap();
    let mut registry = open(&lake).await;
    for zone in ["UTC", "CET", "EET"] {
        let zoned = definition(zone);
        let activated = registry.activate(&zoned, Cause::Toml, &who(), 1).await;
        activated.unwrap();
    }
    let staged = registry.stage(&definition("MST"), &who(), 1).await.unwrap();
    let cause = Cause::Promotion { of: staged };
    let activated = registry
        .activate(&definition("MST"), cause, &who(), 1)
        .await;
    activated.unwrap();
    let waits = registry.stage(&definition("-"), &who(), 2).await.unwrap();
    let mut other = open(&lake).await;
    pass_by(&mut registry, waits).await;
    other.refresh().await.unwrap();
    other.let_go();
    // The staged set that judges is held as long as it does.
    assert_eq!(told(&other, staged).0, State::Active);
    assert!(other.set(number(2)).is_err());

    let failed = registry.active().unwrap();
    registry.fall_back(failed, "-", "host", 3).await.unwrap();
    assert_eq!(registry.active_definition(), Some(&definition("EET")));
    other.refresh().await.unwrap();
    let before = other.before_active().await.unwrap().unwrap();
    assert_eq!(other.definition(before), Some(&definition("CET")));
}
