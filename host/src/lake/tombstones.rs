//! Files that were removed from a table and still lie there, for readers that began before.
//!
//! A host that commits often remembers hundreds of thousands of them, so of a path its UUID is kept, and
//! what comes before and after that once for all: each engine names its files alike.

use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;

/// How long a UUID is as text.
const UUID: usize = 36;

/// Removed files, and since when.
#[derive(Default)]
pub(super) struct Tombstones {
    gone: Vec<Gone>,
    texts: Texts,
}

struct Gone {
    /// In milliseconds since 1970.
    since: i64,
    path: Path,
}

/// A path, by the numbers of its texts.
#[derive(Clone, Copy)]
enum Path {
    Named { before: u32, id: Uuid, after: u32 },
    Whole(u32),
}

impl Tombstones {
    pub(super) fn push(&mut self, path: &str, since: i64) {
        let path = match split(path) {
            Some((before, id, after)) => Path::Named {
                before: self.texts.number(before),
                id,
                after: self.texts.number(after),
            },
            None => Path::Whole(self.texts.number(path)),
        };
        self.gone.push(Gone { since, path });
    }

    /// Takes out the paths of those that were removed earlier than `before`, in milliseconds since 1970.
    pub(super) fn take(&mut self, before: i64) -> Vec<String> {
        let Self { gone, texts } = self;
        let old = gone.extract_if(.., |gone| gone.since < before);
        let old = old.map(|gone| texts.path(gone.path)).collect();
        if gone.is_empty() {
            self.clear();
        } else {
            gone.shrink_to(2 * gone.len());
        }
        old
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// A path around the first UUID that its file's name has, where that is spelled as a UUID is.
fn split(path: &str) -> Option<(&str, Uuid, &str)> {
    let name = path.rfind('/').map_or(0, |slash| slash + 1);
    let last = path.len().checked_sub(UUID)?;
    (name..=last).find_map(|start| {
        let (before, rest) = path.split_at_checked(start)?;
        let (text, after) = rest.split_at_checked(UUID)?;
        let id = Uuid::try_parse(text).ok()?;
        let spelled = *id.hyphenated().encode_lower(&mut Uuid::encode_buffer()) == *text;
        spelled.then_some((before, id, after))
    })
}

/// Texts that are kept once.
#[derive(Default)]
struct Texts {
    numbers: BTreeMap<Arc<str>, u32>,
    all: Vec<Arc<str>>,
}

impl Texts {
    fn number(&mut self, text: &str) -> u32 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        // Four thousand million of them would not fit in memory.
        let number = u32::try_from(self.all.len()).unwrap_or(u32::MAX);
        let text: Arc<str> = text.into();
        self.all.push(text.clone());
        self.numbers.insert(text, number);
        number
    }

    fn text(&self, number: u32) -> &str {
        self.all.get(number as usize).map_or("", |text| text)
    }

    fn path(&self, path: Path) -> String {
        match path {
            Path::Named { before, id, after } => {
                format!("{}{id}{}", self.text(before), self.text(after))
            }
            Path::Whole(number) => self.text(number).to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_come_back_as_they_were_once_their_time_is_over() {
        let paths = [
            "part-00000-0b2f8f9e-6d0a-4c7e-9f59-0f3a1b6c7d8e-c000.snappy.parquet",
            "sale_date=2011-01-04/part-00000-0b2f8f9e-6d0a-4c7e-9f59-0f3a1b6c7d8f-c000.zstd.parquet",
            "sale_date=2011-01-04/part-00001-0B2F8F9E-6D0A-4C7E-9F59-0F3A1B6C7D8F.c000.parquet",
            "0b2f8f9e-6d0a-4c7e-9f59-0f3a1b6c7d8e/no id.parquet",
            "ü=é/üüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüü",
            "0b2f8f9e-6d0a-4c7e-9f59-0f3a1b6c7d8e",
            "{0b2f8f9e-6d0a-4c7e-9f59-0f3a1b6c7d8e}0b2f8f9e6d0a4c7e9f590f3a1b6c7d8e0000",
            "",
        ];
        let mut tombstones = Tombstones::default();
        for (at, path) in (0_i64..).zip(paths) {
            tombstones.push(path, at);
        }
        assert_eq!(tombstones.take(0), Vec::<String>::new());
        assert_eq!(tombstones.take(3), paths[..3]);
        assert_eq!(tombstones.take(i64::MAX), paths[3..]);
        assert_eq!(tombstones.take(i64::MAX), Vec::<String>::new());
    }
}
