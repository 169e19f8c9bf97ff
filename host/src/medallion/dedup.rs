//! Which rows are here already: an exact index of silver's keys, a business date at a time.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

use super::key::KeyHash;

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

/// The keys of one business date, and the silver files that they were read from.
#[derive(Default)]
struct Date {
    keys: Keys,
    files: HashSet<String>,
    used: u64,
}

/// The keys of the dates that rows arrive for.
pub struct Index {
    dates: BTreeMap<i32, Date>,
    /// The key's columns; an index of other columns is of no use.
    key: Vec<String>,
    most_keys: usize,
    uses: u64,
}

/// More keys than the index may hold, though only the dates of one batch are in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the duplicates index of {dates} business dates needs more than {most_keys} keys; nothing was written: raise ASSAY_DEDUP_KEYS (about 64 bytes of memory a key) or send fewer dates at once"
)]
pub struct IndexFull {
    dates: usize,
    most_keys: usize,
}

impl Index {
    /// An index of at most `most_keys` keys.
    pub fn new(most_keys: usize) -> Self {
        Self {
            dates: BTreeMap::new(),
            key: Vec::new(),
            most_keys,
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
        self.dates
            .get(&date)
            .is_some_and(|d| d.files.contains(file))
    }

    /// Adds a silver file's keys and contents.
    pub fn add(&mut self, date: i32, file: &str, rows: impl Iterator<Item = (KeyHash, u128)>) {
        self.uses += 1;
        let date = self.dates.entry(date).or_default();
        date.used = self.uses;
        date.files.insert(file.to_owned());
        for (key, content) in rows {
            // The first row of a key is the one in silver.
            date.keys.entry(key).or_insert(content);
        }
    }

    /// A file took the place of others: it is known where all of them were.
    pub fn replaced(&mut self, date: i32, old: &[String], new: &str) {
        let Some(date) = self.dates.get_mut(&date) else {
            return;
        };
        let known = old.iter().filter(|file| date.files.remove(*file));
        if known.count() == old.len() {
            date.files.insert(new.to_owned());
        }
    }

    /// Makes room by forgetting the dates that were not asked for longest.
    ///
    /// # Errors
    /// `IndexFull` when the dates that are needed now do not fit.
    pub fn make_room(&mut self, needed: &HashSet<i32>) -> Result<(), IndexFull> {
        let held =
            |dates: &BTreeMap<i32, Date>| dates.values().map(|d| d.keys.len()).sum::<usize>();
        while held(&self.dates) > self.most_keys {
            let oldest = self
                .dates
                .iter()
                .filter(|(date, _)| !needed.contains(date))
                .min_by_key(|(_, d)| d.used)
                .map(|(date, _)| *date);
            match oldest {
                Some(date) => self.dates.remove(&date),
                None => {
                    return Err(IndexFull {
                        dates: needed.len(),
                        most_keys: self.most_keys,
                    });
                }
            };
        }
        Ok(())
    }

    /// What each row is, in order, beside silver and the rows before it.
    pub fn judge(&self, date: &[i32], key: &[KeyHash], content: &[[u8; 16]]) -> Vec<Fate> {
        let mut pending: HashMap<(i32, KeyHash), u128> = HashMap::with_capacity(key.len());
        date.iter()
            .zip(key)
            .zip(content)
            .map(|((date, key), content)| {
                let content = u128::from_le_bytes(*content);
                let held = self
                    .dates
                    .get(date)
                    .and_then(|d| d.keys.get(key))
                    .or_else(|| pending.get(&(*date, *key)));
                match held {
                    Some(held) if *held == content => Fate::Duplicate,
                    Some(_) => Fate::Conflict,
                    None => {
                        pending.insert((*date, *key), content);
                        Fate::First
                    }
                }
            })
            .collect()
    }

    /// The content of the row that holds a key.
    pub fn content(&self, date: i32, key: KeyHash) -> Option<u128> {
        self.dates.get(&date)?.keys.get(&key).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: [u8; 16] = [1; 16];
    const B: [u8; 16] = [2; 16];

    fn index() -> Index {
        let mut index = Index::new(10);
        index.for_key(&["id".to_owned()]);
        index.add(1, "f", [(7, u128::from_le_bytes(A))].into_iter());
        index
    }

    #[test]
    fn the_same_key_with_other_content_is_a_conflict_not_a_duplicate() {
        let fates = index().judge(&[1, 1, 2], &[7, 7, 7], &[A, B, A]);
        assert_eq!(fates, [Fate::Duplicate, Fate::Conflict, Fate::First]);
    }

    #[test]
    fn rows_of_one_batch_meet_each_other() {
        let fates = index().judge(&[3, 3, 3], &[9, 9, 9], &[A, A, B]);
        assert_eq!(fates, [Fate::First, Fate::Duplicate, Fate::Conflict]);
    }

    #[test]
    fn a_packed_file_is_known_if_all_that_it_holds_was() {
        let mut index = index();
        index.add(1, "g", std::iter::empty());
        index.replaced(1, &["f".to_owned(), "g".to_owned()], "fg");
        assert!(index.knows(1, "fg") && !index.knows(1, "f") && !index.knows(1, "g"));
        index.replaced(1, &["fg".to_owned(), "unread".to_owned()], "all");
        assert!(!index.knows(1, "all") && !index.knows(1, "fg"));
        assert_eq!(index.judge(&[1], &[7], &[A]), [Fate::Duplicate]);
        index.replaced(2, &["h".to_owned()], "i");
        assert!(!index.knows(2, "i"), "a date that is not here");
    }

    #[test]
    fn a_date_that_is_not_needed_makes_room_and_one_that_is_does_not() {
        let mut index = index();
        index.add(2, "g", (0..10).map(|key| (key, 0)));
        let needed = HashSet::from([2]);
        index.make_room(&needed).unwrap();
        assert!(!index.knows(1, "f"));
        assert!(index.knows(2, "g"));
        index.add(2, "h", (20..30).map(|key| (key, 0)));
        assert!(index.make_room(&needed).is_err());
    }
}
