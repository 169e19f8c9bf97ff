//! States on their way into a table: merged with what its touched partitions hold, and written to
//! files, beside whoever commits them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::SchemaRef;
use arrow::row::OwnedRow;

use super::states::{KeyRows, States, finish, merge, merge_all, stored_states};
use crate::lake::{
    Commit, File, FileReader, FileWriter, PartitionValues, Table, partition_value_of,
};
use crate::medallion::layer::{LayerError, commit_of, evolved};
use crate::medallion::rules::{GoldRule, Rules};
use crate::processor::Share;

/// Bytes of files and of states that are merged at once, if one partition does not have more. Files are
/// packed, so their rows take several times as much.
const BYTES_AT_ONCE: u64 = 4 << 20;

/// States to be merged into a table as it was when this was made. It holds nothing of the table, which
/// goes on meanwhile.
pub struct Merging {
    rules: Arc<Rules>,
    /// The gold table's name.
    table: String,
    /// The columns that the rules write.
    schema: SchemaRef,
    partition_by: Vec<String>,
    states: Vec<States>,
    /// Lacks the files that it adds, and progress.
    commit: Commit,
    as_of: i64,
    reader: FileReader,
    writer: FileWriter,
    share: Share,
}

/// What states became: a commit that lacks nothing but progress.
pub struct Merged {
    pub(super) rules: Arc<Rules>,
    pub(super) commit: Commit,
    /// The version of the table that it was made for.
    pub(super) as_of: i64,
    /// Should it have to be made anew.
    pub(super) states: Option<States>,
}

impl Merging {
    pub(super) fn new(
        table: &Table,
        rules: &Arc<Rules>,
        rule: &GoldRule,
        states: Vec<States>,
    ) -> Result<Self, LayerError> {
        let schema = super::schema(rules, rule);
        let mut touched = BTreeSet::new();
        for states in &states {
            touched.extend(partitions_of(table.partition_by(), rule, states));
        }
        let mut commit = commit_of("WRITE");
        if !touched.is_empty() {
            let replaced = table.files();
            let replaced = replaced.filter(|file| touched.contains(&file.partition_values));
            commit.removes = replaced.cloned().collect();
            commit.watched = touched.into_iter().collect();
            commit.schema = evolved(table, &schema)?;
        }
        let held = commit.schema.as_ref().unwrap_or(table.schema());
        Ok(Self {
            rules: rules.clone(),
            table: rule.table.clone(),
            partition_by: table.partition_by().to_vec(),
            states,
            as_of: table.version(),
            reader: table.reader(),
            writer: table.writer().with_schema(held.clone()),
            share: table.share().clone(),
            schema,
            commit,
        })
    }

    /// Reads what the touched partitions hold, merges, and writes the files that take its place, some
    /// partitions after the other.
    ///
    /// # Errors
    /// A component's error with its group, or what the lake says. Files that were written are seen by
    /// nobody.
    pub async fn run(mut self) -> Result<Merged, LayerError> {
        let rules = self.rules.clone();
        let rule = rules.gold.iter().find(|rule| rule.table == self.table);
        let mut states = None;
        if let Some(rule) = rule {
            let parts = std::mem::take(&mut self.states);
            states = self.share.here(|| merge_all(rule, parts)).await?;
            if let Some(added) = &states {
                let partitions = partitions_of(&self.partition_by, rule, added);
                for (rows, files) in portions(partitions, added, &self.commit.removes) {
                    let rows = self.merged(rule, added.take(&rows)?, &files).await?;
                    self.commit.adds.extend(self.writer.write(&rows).await?);
                }
            }
        }
        Ok(Merged {
            rules,
            states,
            commit: self.commit,
            as_of: self.as_of,
        })
    }

    /// The rows of some partitions: those of its files, with the added states merged in.
    async fn merged(
        &self,
        rule: &GoldRule,
        added: States,
        files: &[&File],
    ) -> Result<RecordBatch, LayerError> {
        let mut stored = Vec::new();
        for file in files {
            stored.extend(self.reader.read(file, None).await?);
        }
        let join = || match stored.first() {
            None => finish(rule, &added, &self.schema),
            Some(first) => {
                let stored = concat_batches(&first.schema(), &stored)?;
                joined(rule, &stored, &added, &self.schema)
            }
        };
        self.share.here(join).await
    }
}

/// Groups' rows by partition, with the files of that partition, as many partitions together as are
/// merged at once. Each row of `added` and each of its partitions' files is in one portion.
pub(super) fn portions<'a>(
    partitions: Vec<PartitionValues>,
    added: &States,
    files: &'a [File],
) -> Vec<(UInt32Array, Vec<&'a File>)> {
    let bytes_a_row = (added.bytes() / added.len().max(1)) as u64;
    let mut by_partition: BTreeMap<PartitionValues, (Vec<u32>, Vec<&File>)> = BTreeMap::new();
    for (partition, row) in partitions.into_iter().zip(0..) {
        by_partition.entry(partition).or_default().0.push(row);
    }
    for file in files {
        if let Some((_, files)) = by_partition.get_mut(&file.partition_values) {
            files.push(file);
        }
    }
    let mut portions: Vec<(Vec<u32>, Vec<&File>)> = Vec::new();
    let mut room = 0;
    for (rows, files) in by_partition.into_values() {
        let sizes = files.iter().map(|file| file.size.unsigned_abs());
        let bytes = bytes_a_row * rows.len() as u64 + sizes.sum::<u64>();
        match portions.last_mut() {
            Some((all_rows, all_files)) if bytes <= room => {
                all_rows.extend(rows);
                all_files.extend(files);
                room -= bytes;
            }
            _ => {
                portions.push((rows, files));
                room = BYTES_AT_ONCE.saturating_sub(bytes);
            }
        }
    }
    let portions = portions.into_iter();
    portions
        .map(|(rows, files)| (UInt32Array::from(rows), files))
        .collect()
}

/// The stored rows with the added states merged in.
fn joined(
    rule: &GoldRule,
    stored: &RecordBatch,
    added: &States,
    schema: &SchemaRef,
) -> Result<RecordBatch, LayerError> {
    let held = stored_states(rule, stored)?;
    let mut keys = KeyRows::new(&held.keys)?;
    let changed = keys.rows(&added.keys)?;
    let changed: BTreeSet<OwnedRow> = changed.into_iter().collect();
    let rows = keys.rows(&held.keys)?;
    let (mut same, mut old) = (Vec::new(), Vec::new());
    for (row, key) in rows.iter().enumerate() {
        let row = u32::try_from(row).unwrap_or(u32::MAX);
        match changed.contains(key) {
            true => old.push(row),
            false => same.push(row),
        }
    }
    let old = held.take(&UInt32Array::from(old))?;
    let merged = merge(rule, &old, added)?;
    let fresh = finish(rule, &merged, schema)?;
    if same.is_empty() {
        return Ok(fresh);
    }
    let same = take_record_batch(stored, &UInt32Array::from(same))?;
    let columns: Vec<ArrayRef> = schema
        .fields()
        .iter()
        .map(|field| match same.column_by_name(field.name()) {
            Some(column) => column.clone(),
            None => arrow::array::new_null_array(field.data_type(), same.num_rows()),
        })
        .collect();
    let same = RecordBatch::try_new(schema.clone(), columns)?;
    Ok(concat_batches(schema, [&same, &fresh])?)
}

/// The partition that each group is in, as the log writes it.
fn partitions_of(
    partition_by: &[String],
    rule: &GoldRule,
    states: &States,
) -> Vec<PartitionValues> {
    let mut names = Vec::new();
    for column in partition_by {
        let key = rule.description.keys.iter().position(|key| key == column);
        if let Some(values) = key.and_then(|key| states.keys.get(key)) {
            let texts: Vec<_> = (0..values.len())
                .map(|row| partition_value_of(values, row))
                .collect();
            names.push((column, texts));
        }
    }
    (0..states.len())
        .map(|row| {
            names
                .iter()
                .map(|(name, texts)| ((*name).clone(), texts.get(row).cloned().flatten()))
                .collect()
        })
        .collect()
}
