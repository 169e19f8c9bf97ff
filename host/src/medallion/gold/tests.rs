use std::sync::Arc;

use arrow::array::StringArray;

use super::States;
use super::merging::portions;
use crate::lake::{File, PartitionValues};

const MIB: usize = 1 << 20;

fn partition(day: usize) -> PartitionValues {
    PartitionValues::from([("day".into(), Some(format!("2026-01-{day:02}")))])
}

/// States of groups, each on its day, of as many bytes as are given.
fn states(days: &[usize], bytes: usize) -> States {
    let names = days.iter().map(|day| format!("{day:02}"));
    let text = "x".repeat(bytes);
    States {
        keys: vec![Arc::new(StringArray::from_iter_values(names))],
        state: vec![Arc::new(StringArray::from_iter_values(
            days.iter().map(|_| &text),
        ))],
    }
}

#[test]
fn each_group_is_merged_once_and_with_all_files_of_its_partition() {
    let days = [3, 1, 2, 3, 1, 4, 3];
    let added = states(&days, MIB / 2);
    let files: Vec<File> = [1, 2, 2, 3, 4, 4, 5]
        .map(|day| File::of(partition(day), MIB as i64))
        .into();
    let of_days = days.iter().map(|day| partition(*day)).collect();
    let portions = portions(of_days, &added, &files);

    // Day 1 has 2 MiB and day 2 nearly 3, day 3 nearly 3 and day 4 as much: none go together.
    assert_eq!(portions.len(), 4);
    let mut rows: Vec<u32> = Vec::new();
    for (of_portion, files) in &portions {
        rows.extend(of_portion.values());
        let day = days[of_portion.value(0) as usize];
        for row in of_portion.values() {
            assert_eq!(days[*row as usize], day);
        }
        let held = files.iter().map(|file| &file.partition_values);
        assert!(held.clone().all(|held| *held == partition(day)));
        assert_eq!(held.count(), [1, 2, 1, 2][day - 1]);
    }
    rows.sort_unstable();
    assert_eq!(rows, [0, 1, 2, 3, 4, 5, 6]);
}

#[test]
fn small_partitions_are_merged_together_and_a_large_one_alone() {
    let days: Vec<usize> = (1..=30).collect();
    let added = states(&days, 8);
    let files: Vec<File> = days
        .iter()
        .map(|day| File::of(partition(*day), if *day == 15 { 64 << 20 } else { 1_000 }))
        .collect();
    let of_days = days.iter().map(|day| partition(*day)).collect();
    let portions = portions(of_days, &added, &files);
    let days: Vec<usize> = portions.iter().map(|(rows, _)| rows.len()).collect();
    assert_eq!(days, [14, 1, 15]);
}

#[test]
fn a_table_without_partitions_is_merged_at_once() {
    let added = states(&[1, 2], 8);
    let of_rows = vec![PartitionValues::new(); 2];
    let files = [File::of(PartitionValues::new(), i64::MIN)];
    let portions = portions(of_rows, &added, &files);
    assert_eq!(portions.len(), 1);
    assert_eq!(portions[0].1.len(), 1);
}
