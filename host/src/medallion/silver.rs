//! Silver: valid rows, each once, with what the rules added.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Int32Array, Int64Array, UInt32Array,
};
use arrow::compute::{filter_record_batch, take};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use chrono::{Days, NaiveDate};

use super::cut::{Cut, repeated};
use super::dedup::{Fate, Found, Index, Room};
use super::gold::columns_read;
use super::judge::{Candidates, Refusal, Verdict, to_schema};
use super::key::{KeyHash, key_hashes};
use super::layer::{self, LayerError, Put, column, commit_of, evolved, moves, put, retention};
use super::quarantine::texts;
use super::rules::{Rules, SALE_DATE};
use super::stored::{IDENTITY, Stored};
use crate::lake::{Commit, File, Lake, LakeError, Packed, Table, TableSpec};
use crate::names::{Offset, Partition, Tenant};

/// How often a batch is deduplicated anew because other writers touched its dates.
const MOST_TRIES: usize = 100;

/// A tenant's silver table, and the index of its keys.
pub struct Silver {
    pub table: Table,
    tenant: Tenant,
    index: Index,
}

/// What a batch became in silver.
pub struct Landed {
    /// The rows that are in silver now, with the columns that gold is made from.
    pub rows: RecordBatch,
    /// The rows that were there before.
    pub duplicates: Vec<Refusal>,
}

impl Silver {
    /// Opens the table, or makes it. `most_bytes` bounds the duplicates index.
    ///
    /// # Errors
    /// A lake that can't be reached or written, or a table that is not ours to write.
    pub async fn open(
        lake: &Lake,
        tenant: &Tenant,
        rules: &Rules,
        most_bytes: usize,
    ) -> Result<Self, LayerError> {
        let spec = TableSpec {
            schema: rules.silver.clone(),
            partition_by: vec![SALE_DATE.into()],
            description: "Valid rows, each once, with what the rules added".into(),
            properties: retention(),
        };
        let table = lake
            .create_table(&format!("{tenant}/silver"), &spec)
            .await?;
        Ok(Self {
            table,
            tenant: tenant.clone(),
            index: Index::new(most_bytes),
        })
    }

    pub fn progress(&self, partition: &Partition) -> Option<Offset> {
        layer::progress(&self.table, &self.tenant, partition, "")
    }

    /// Memory that the duplicates index takes, about, in bytes.
    pub fn index_bytes(&self) -> usize {
        self.index.bytes()
    }

    /// Deduplicates a batch's candidates, writes those that are first, and commits them with the
    /// batch's progress.
    ///
    /// # Errors
    /// `Fenced` or `Changed` where another writer was here; else what the lake says.
    pub async fn put(
        &mut self,
        cut: &Cut,
        rules: &Rules,
        candidates: &Candidates,
    ) -> Result<Landed, LayerError> {
        self.index.for_key(&rules.definition.key);
        let all = rows(cut, rules, candidates)?;
        let for_gold = columns_for_gold(&all, rules)?;
        let dates: HashSet<i32> = candidates.date.iter().copied().collect();
        for _ in 0..MOST_TRIES {
            self.read_keys(&dates).await?;
            let (date, key) = (&candidates.date, &candidates.key);
            let found = self.look_up(date, key).await?;
            let fates = self.index.judge(&found, date, key, &candidates.content);
            let first: Vec<bool> = fates.iter().map(|fate| *fate == Fate::First).collect();
            let landed = filter_record_batch(&for_gold, &BooleanArray::from(first.clone()))?;
            let schema = evolved(&self.table, &rules.silver)?;
            let mut writer = self.table.writer();
            if let Some(schema) = &schema {
                writer = writer.with_schema(schema.clone());
            }
            let files = match landed.num_rows() {
                0 => Vec::new(),
                _ => writer.write_some(&all, chosen(&first)).await?,
            };
            let commit = Commit {
                transactions: moves(&self.table, &self.tenant, &cut.ranges, ""),
                adds: files,
                schema,
                watched: dates.iter().map(|date| partition_of(*date)).collect(),
                ..commit_of("WRITE")
            };
            if let Put::Touched = put(&mut self.table, &commit).await? {
                continue;
            }
            self.join(&commit.adds, candidates, &first);
            return Ok(Landed {
                rows: landed,
                duplicates: duplicates(candidates, &fates),
            });
        }
        Err(LayerError::Refused {
            table: self.table.path().to_owned(),
            detail: format!(
                "other writers added rows to its dates {MOST_TRIES} times in a row; stop them, or give them other dates"
            ),
        })
    }

    /// The duplicates among candidates whose batch is in silver already: those whose identity is
    /// not there.
    ///
    /// # Errors
    /// A lake that can't be read.
    pub async fn duplicates_of(
        &mut self,
        cut: &Cut,
        rules: &Rules,
        candidates: &Candidates,
    ) -> Result<Vec<Refusal>, LayerError> {
        self.index.for_key(&rules.definition.key);
        self.read_keys(&candidates.date.iter().copied().collect())
            .await?;
        let found = self.look_up(&candidates.date, &candidates.key).await?;
        let mut there = BTreeSet::new();
        for range in &cut.ranges {
            there.extend(self.landed(&range.partition, range.from, range.to).await?);
        }
        let offsets = cut.column("_offset");
        let offsets = offsets.as_any().downcast_ref::<Int64Array>();
        let fates: Vec<Fate> = (0..candidates.message.len())
            .map(|row| {
                let offset = candidates
                    .message
                    .get(row)
                    .and_then(|message| Some(offsets?.value(*message as usize)));
                let line = candidates.line.get(row).copied();
                if let (Some(offset), Some(line)) = (offset, line)
                    && there.contains(&(offset, line))
                {
                    return Fate::First;
                }
                let date = candidates.date.get(row).copied().unwrap_or_default();
                let key = candidates.key.get(row).copied().unwrap_or_default();
                let content = candidates.content.get(row).copied().unwrap_or_default();
                match self.index.content(&found, date, key) {
                    Some(held) if held != u128::from_le_bytes(content) => Fate::Conflict,
                    _ => Fate::Duplicate,
                }
            })
            .collect();
        Ok(duplicates(candidates, &fates))
    }

    /// The (offset, line) of silver's rows of a partition, from `from` on, before `to`.
    ///
    /// # Errors
    /// A lake that can't be read.
    pub async fn landed(
        &self,
        partition: &Partition,
        from: Offset,
        to: Offset,
    ) -> Result<BTreeSet<(Offset, i32)>, LayerError> {
        let range = (from, to);
        let stored = Stored::read(&self.table, partition, range, Some(&IDENTITY), usize::MAX);
        Ok(stored.await?.identities(|_, _| true))
    }

    /// Silver's rows of a partition from `from` on, at most about `most_rows`, and before which
    /// offset (`to` or earlier) they are all.
    ///
    /// # Errors
    /// A lake that can't be read.
    pub async fn read_on(
        &self,
        partition: &Partition,
        from: Offset,
        to: Offset,
        most_rows: usize,
    ) -> Result<(Vec<RecordBatch>, Offset), LayerError> {
        let stored = Stored::read(&self.table, partition, (from, to), None, most_rows).await?;
        Ok((stored.rows, stored.end))
    }

    /// Has the table hold a packed file: its keys are those of the files that it replaces.
    ///
    /// # Errors
    /// What the lake says.
    pub async fn pack(&mut self, packed: Packed) -> Result<(), LakeError> {
        if let Some(replaced) = packed.commit(&mut self.table).await?
            && let Some(date) = date_of(&replaced.new)
        {
            self.index.replaced(date, &replaced.old, &replaced.new.path);
        }
        Ok(())
    }

    /// Forgets the index; it is read again as rows arrive.
    pub fn forget(&mut self) {
        self.index.clear();
    }

    /// Brings the index of these dates up to silver's tail.
    async fn read_keys(&mut self, dates: &HashSet<i32>) -> Result<(), LayerError> {
        self.table.refresh().await?;
        'again: loop {
            for (date, file) in self.unread(dates) {
                let keys = self.keys_of(&file).await?;
                self.index.add(date, &file.path, keys.into_iter());
                if self.index.make_room(dates)? == Room::ReadAgain {
                    continue 'again;
                }
            }
            // Batches that joined since take room too.
            if self.index.make_room(dates)? == Room::Enough {
                return Ok(());
            }
        }
    }

    /// The live files of these dates whose keys are not in the index.
    fn unread(&mut self, dates: &HashSet<i32>) -> Vec<(i32, File)> {
        for date in dates {
            let table = &self.table;
            self.index
                .keep_live(*date, |path| table.file(path).is_some());
        }
        let files = self.table.files();
        let dated = files.filter_map(|file| Some((date_of(file)?, file)));
        dated
            .filter(|(date, file)| dates.contains(date) && !self.index.knows(*date, &file.path))
            .map(|(date, file)| (date, file.clone()))
            .collect()
    }

    /// The keys and contents of a file's rows.
    async fn keys_of(&self, file: &File) -> Result<Vec<(KeyHash, u128)>, LayerError> {
        let key = self.index.key();
        let mut names: Vec<&str> = key.iter().map(String::as_str).collect();
        names.push("_content");
        let mut found = Vec::new();
        for rows in self.table.reader().read(file, Some(&names)).await? {
            let columns: Vec<(&str, ArrayRef)> = key
                .iter()
                .filter_map(|name| Some((name.as_str(), rows.column_by_name(name)?.clone())))
                .collect();
            let Some(contents) = column::<BinaryArray>(&rows, "_content") else {
                continue;
            };
            let hashes = key_hashes(&columns, rows.num_rows());
            for (hash, content) in hashes.into_iter().zip(contents) {
                if let (Ok(hash), Some(content)) = (hash, content) {
                    found.push((hash, content_of(content)));
                }
            }
        }
        Ok(found)
    }

    /// Looks those keys up in silver that the index only has filters for.
    async fn look_up(&self, dates: &[i32], keys: &[KeyHash]) -> Result<Found, LayerError> {
        let mut found = Found::default();
        for (path, suspects) in self.index.suspects(dates, keys) {
            let file = self.table.file(&path);
            let Some((date, file)) = file.and_then(|file| Some((date_of(file)?, file))) else {
                continue;
            };
            for (key, content) in self.keys_of(file).await? {
                if suspects.contains(&key) {
                    found.add(date, key, content);
                }
            }
        }
        Ok(found)
    }

    /// Lets a batch's keys count, now that its commit is durable.
    fn join(&mut self, files: &[File], candidates: &Candidates, first: &[bool]) {
        let mut by_date: BTreeMap<i32, Vec<(u128, u128)>> = BTreeMap::new();
        let rows = candidates
            .date
            .iter()
            .zip(&candidates.key)
            .zip(&candidates.content);
        for (((date, key), content), first) in rows.zip(first) {
            if *first {
                let rows = by_date.entry(*date).or_default();
                rows.push((*key, u128::from_le_bytes(*content)));
            }
        }
        for file in files {
            if let Some(date) = date_of(file) {
                let rows = by_date.remove(&date).unwrap_or_default();
                self.index.add(date, &file.path, rows.into_iter());
            }
        }
    }
}

fn content_of(bytes: &[u8]) -> u128 {
    let mut content = [0; 16];
    for (to, from) in content.iter_mut().zip(bytes) {
        *to = *from;
    }
    u128::from_le_bytes(content)
}

fn epoch() -> NaiveDate {
    NaiveDate::default()
}

/// A business date as silver's partition values.
fn partition_of(date: i32) -> BTreeMap<String, Option<String>> {
    let days = Days::new(u64::from(date.unsigned_abs()));
    let day = match date < 0 {
        true => epoch().checked_sub_days(days),
        false => epoch().checked_add_days(days),
    };
    BTreeMap::from([(SALE_DATE.to_owned(), day.map(|day| day.to_string()))])
}

fn date_of(file: &File) -> Option<i32> {
    let text = file.partition_values.get(SALE_DATE)?.as_ref()?;
    let day: NaiveDate = text.parse().ok()?;
    i32::try_from(day.signed_duration_since(epoch()).num_days()).ok()
}

fn duplicates(candidates: &Candidates, fates: &[Fate]) -> Vec<Refusal> {
    let rows = candidates.message.iter().zip(&candidates.line).zip(fates);
    rows.filter_map(|((message, line), fate)| {
        let (rule, reason, action) = match fate {
            Fate::First => return None,
            Fate::Duplicate => (
                "duplicate",
                "its key and content are in silver",
                Verdict::Duplicate,
            ),
            Fate::Conflict => (
                "conflicting_duplicate",
                "its key is in silver with other content",
                Verdict::Quarantine,
            ),
        };
        Some(Refusal {
            message: *message,
            line: *line,
            step: "dedup",
            rule: rule.to_owned(),
            reason: reason.to_owned(),
            rules: vec![rule.to_owned()],
            action,
        })
    })
    .collect()
}

/// The places of the rows that are first, unless all are.
fn chosen(first: &[bool]) -> Option<Vec<u32>> {
    let places = || (0_u32..).zip(first).filter(|(_, first)| **first);
    (!first.iter().all(|first| *first)).then(|| places().map(|(row, _)| row).collect())
}

/// Of silver's rows the columns that some gold table is made from.
fn columns_for_gold(rows: &RecordBatch, rules: &Rules) -> Result<RecordBatch, ArrowError> {
    let wanted: BTreeSet<&str> = rules.gold.iter().flat_map(columns_read).collect();
    let schema = rows.schema();
    let places = wanted.iter().filter_map(|name| schema.index_of(name).ok());
    rows.project(&places.collect::<Vec<usize>>())
}

/// Candidates as silver's rows.
fn rows(cut: &Cut, rules: &Rules, candidates: &Candidates) -> Result<RecordBatch, LayerError> {
    let n = candidates.message.len();
    let messages = UInt32Array::from(candidates.message.clone());
    let mut columns = candidates.columns.clone();
    for name in ["_topic", "_source", "_partition", "_offset"] {
        let column = cut.column(name);
        // Mostly all of a batch's messages are of one topic.
        let column = match (name, cut.only_topic()) {
            ("_topic", Some((topic, _))) => repeated(topic, n),
            ("_source", Some((_, source))) => repeated(source, n),
            _ => take(&column, &messages, None)?,
        };
        columns.insert(name.into(), column);
    }
    columns.insert(
        "_line".into(),
        Arc::new(Int32Array::from(candidates.line.clone())),
    );
    let number = Int64Array::from_value(rules.number.0, n);
    columns.insert("_ruleset".into(), Arc::new(number));
    let content = BinaryArray::from_iter_values(&candidates.content);
    columns.insert("_content".into(), Arc::new(content));
    let warnings = texts(candidates.warnings.iter().map(Vec::as_slice));
    columns.insert("_warnings".into(), warnings);
    Ok(to_schema(&columns, &rules.silver, n)?)
}
