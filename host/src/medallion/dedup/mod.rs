//! Which rows are here already: an exact index of silver's keys, a business date at a time.
//!
//! A date's keys are in memory with their contents. Dates that no rows arrive for make room for
//! those that need it; a date that is needed and does not fit keeps a filter for each of its files
//! instead, and what the filters say yes to is looked up in silver. Either way the answer is exact.

mod filter;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

use self::filter::Filter;
use super::key::KeyHash;

/// The memory that a key with its content takes in the index, in bytes: 32 of its own, in a table
/// that is between 7/16 and 7/8 full.
const BYTES_A_KEY: usize = 64;

/// What a row is, seen beside the rows before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// No row has its key: it goes to silver.
    First,
    /// A row has its key and its content.
    Duplicate,
    /// A row has its key and another content.
    Conflict,
}

/// Keys are the output of a hash already: their low bits will do.
#[derive(Default)]
struct Passing(u64);

impl Hasher for Passing {
    fn write(&mut self, bytes: &[u8]) {
        let mut low = [0; 8];
        for (to, from) in low.iter_mut().zip(bytes) {
            *to = *from;
        }
        self.0 = u64::from_le_bytes(low);
    }

    fn write_u128(&mut self, hash: u128) {
        // The low 64 bits, on purpose.
        self.0 = (hash & u128::from(u64::MAX)) as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

type Keys = HashMap<KeyHash, u128, BuildHasherDefault<Passing>>;

/// Keys of one date that were looked up in silver, with their contents.
#[derive(Default)]
pub struct Found(BTreeMap<i32, Keys>);

impl Found {
    pub fn add(&mut self, date: i32, key: KeyHash, content: u128) {
        // The first row of a key is the one in silver.
        let keys = self.0.entry(date).or_default();
        keys.entry(key).or_insert(content);
    }
}

/// What is known of one business date's keys.
struct Date {
    held: Held,
    used: u64,
}

enum Held {
    /// All of them, and the silver files that they are from.
    Exact {
        keys: Keys,
        files: HashSet<String>,
    },
    Filtered(BTreeMap<String, Filter>),
}

/// The keys of the dates that rows arrive for.
pub struct Index {
    dates: BTreeMap<i32, Date>,
    /// The key's columns; an index of other columns is of no use.
    key: Vec<String>,
    most_bytes: usize,
    uses: u64,
}

/// What making room came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Room {
    Enough,
    /// A date that is needed gave up its keys: its files are to be read again, into filters.
    ReadAgain,
}

/// The dates of one batch do not fit the index, not even as filters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the duplicates index of {dates} business dates needs more than {most_bytes} bytes; nothing was written: raise `bytes` under [dedup], or send fewer dates at once"
)]
pub struct IndexFull {
    dates: usize,
    most_bytes: usize,
}

impl Index {
    /// An index of at most about `most_bytes` of memory.
    pub fn new(most_bytes: usize) -> Self {
        Self {
            dates: BTreeMap::new(),
            key: Vec::new(),
            most_bytes,
            uses: 0,
        }
    }

    /// Begins anew where the key's columns are others than before.
    pub fn for_key(&mut self, key: &[String]) {
        if self.key != key {
            self.dates.clear();
            self.key = key.to_vec();
        }
    }

    pub fn key(&self) -> &[String] {
        &self.key
    }

    /// Forgets everything; it is read from silver again when it is needed.
    pub fn clear(&mut self) {
        self.dates.clear();
    }

    /// Whether this file's keys of `date` are here.
    pub fn knows(&self, date: i32, file: &str) -> bool {
        self.dates.get(&date).is_some_and(|d| match &d.held {
            Held::Exact { files, .. } => files.contains(file),
            Held::Filtered(filters) => filters.contains_key(file),
        })
    }

    /// Adds a silver file's keys and contents.
    pub fn add(&mut self, date: i32, file: &str, rows: impl Iterator<Item = (KeyHash, u128)>) {
        self.uses += 1;
        let date = self.dates.entry(date).or_insert_with(|| Date {
            held: Held::Exact {
                keys: Keys::default(),
                files: HashSet::new(),
            },
            used: 0,
        });
        date.used = self.uses;
        match &mut date.held {
            Held::Exact { keys, files } => {
                files.insert(file.to_owned());
                for (key, content) in rows {
                    // The first row of a key is the one in silver.
                    keys.entry(key).or_insert(content);
                }
            }
            Held::Filtered(filters) => {
                let filter = Filter::of(rows.map(|(key, _)| key));
                filters.insert(file.to_owned(), filter);
            }
        }
    }

    /// Forgets files that are no longer there. Keys that are held stay: their rows were packed into
    /// another file.
    pub fn keep_live(&mut self, date: i32, is_live: impl Fn(&str) -> bool) {
        match self.dates.get_mut(&date).map(|date| &mut date.held) {
            Some(Held::Exact { files, .. }) => files.retain(|file| is_live(file)),
            Some(Held::Filtered(filters)) => filters.retain(|file, _| is_live(file)),
            None => {}
        }
    }

    /// A file took the place of others: it is known where all of them were, unless only filters
    /// are: then it is to be read.
    pub fn replaced(&mut self, date: i32, old: &[String], new: &str) {
        let Some(date) = self.dates.get_mut(&date) else {
            return;
        };
        match &mut date.held {
            Held::Exact { files, .. } => {
                let known = old.iter().filter(|file| files.remove(*file));
                if known.count() == old.len() {
                    files.insert(new.to_owned());
                }
            }
            Held::Filtered(filters) => filters.retain(|file, _| !old.contains(file)),
        }
    }

    /// Makes room: dates that are not needed go, those first that were not asked for longest; then
    /// the largest of those that are needed gives up its keys for filters.
    ///
    /// # Errors
    /// `IndexFull` when all that are needed are filters already.
    pub fn make_room(&mut self, needed: &HashSet<i32>) -> Result<Room, IndexFull> {
        while self.bytes() > self.most_bytes {
            let spare = self.dates.iter().filter(|(date, _)| !needed.contains(date));
            if let Some(oldest) = spare.min_by_key(|(_, d)| d.used).map(|(date, _)| *date) {
                self.dates.remove(&oldest);
                continue;
            }
            let exact = self.dates.values_mut().filter(|date| !date.is_filtered());
            let Some(largest) = exact.max_by_key(|date| date.bytes()) else {
                return Err(IndexFull {
                    dates: needed.len(),
                    most_bytes: self.most_bytes,
                });
            };
            largest.held = Held::Filtered(BTreeMap::new());
            return Ok(Room::ReadAgain);
        }
        Ok(Room::Enough)
    }

    /// Memory that it takes, about.
    pub fn bytes(&self) -> usize {
        self.dates.values().map(Date::bytes).sum()
    }

    /// The files that may hold some of these keys, with those keys: what is to be looked up.
    pub fn suspects(&self, date: &[i32], key: &[KeyHash]) -> BTreeMap<String, HashSet<KeyHash>> {
        let mut suspects: BTreeMap<String, HashSet<KeyHash>> = BTreeMap::new();
        for (number, date_held) in &self.dates {
            let Held::Filtered(filters) = &date_held.held else {
                continue;
            };
            let rows = date.iter().zip(key).filter(|(date, _)| *date == number);
            let keys: Vec<KeyHash> = rows.map(|(_, key)| *key).collect();
            for (file, filter) in filters {
                let hits: HashSet<KeyHash> = keys
                    .iter()
                    .copied()
                    .filter(|key| filter.may_hold(*key))
                    .collect();
                if !hits.is_empty() {
                    suspects.insert(file.clone(), hits);
                }
            }
        }
        suspects
    }

    /// What each row is, in order, beside silver and the rows before it. `found`: what came of
    /// looking the suspects up.
    pub fn judge(
        &self,
        found: &Found,
        date: &[i32],
        key: &[KeyHash],
        content: &[[u8; 16]],
    ) -> Vec<Fate> {
        let mut pending: BTreeMap<i32, Keys> = BTreeMap::new();
        date.iter()
            .zip(key)
            .zip(content)
            .map(|((date, key), content)| {
                let content = u128::from_le_bytes(*content);
                let pending = pending.entry(*date).or_default();
                let held = self
                    .content(found, *date, *key)
                    .or_else(|| pending.get(key).copied());
                match held {
                    Some(held) if held == content => Fate::Duplicate,
                    Some(_) => Fate::Conflict,
                    None => {
                        pending.insert(*key, content);
                        Fate::First
                    }
                }
            })
            .collect()
    }

    /// The content of the row that holds a key.
    pub fn content(&self, found: &Found, date: i32, key: KeyHash) -> Option<u128> {
        match &self.dates.get(&date)?.held {
            Held::Exact { keys, .. } => keys.get(&key).copied(),
            Held::Filtered(_) => found.0.get(&date)?.get(&key).copied(),
        }
    }
}

impl Date {
    fn is_filtered(&self) -> bool {
        matches!(self.held, Held::Filtered(_))
    }

    fn bytes(&self) -> usize {
        match &self.held {
            Held::Exact { keys, .. } => keys.len() * BYTES_A_KEY,
            Held::Filtered(filters) => filters.values().map(Filter::bytes).sum(),
        }
    }
}

#[cfg(test)]
mod tests;
