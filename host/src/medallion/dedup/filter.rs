//! Which keys a silver file may hold, in a fourteenth of the memory that the keys themselves take.

use std::collections::HashSet;

use xorf::{BinaryFuse32, Filter as _};

use super::KeyHash;

/// A filter over one file's keys. Files never change, so neither does it.
///
/// It says yes to every key of the file, and to another key with a probability of 2^-32
/// (Graf and Lemire, "Binary Fuse Filters", 2022): a yes is looked up in the file.
pub(super) enum Filter {
    /// The file has no keys.
    Empty,
    Fuse(Box<BinaryFuse32>),
    /// No filter could be made of these keys; the file is always looked at.
    Anything,
}

impl Filter {
    pub(super) fn of(keys: impl Iterator<Item = KeyHash>) -> Self {
        // Equal hashes would keep the filter from being built.
        let keys: HashSet<u64> = keys.map(low_bits).collect();
        if keys.is_empty() {
            return Self::Empty;
        }
        let keys: Vec<u64> = keys.into_iter().collect();
        match BinaryFuse32::try_from(&keys) {
            Ok(filter) => Self::Fuse(Box::new(filter)),
            Err(_) => Self::Anything,
        }
    }

    pub(super) fn may_hold(&self, key: KeyHash) -> bool {
        match self {
            Self::Empty => false,
            Self::Fuse(filter) => filter.contains(&low_bits(key)),
            Self::Anything => true,
        }
    }

    /// The memory that it takes, in bytes.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Fuse(filter) => size_of::<BinaryFuse32>() + filter.len() * size_of::<u32>(),
            Self::Empty | Self::Anything => 0,
        }
    }
}

/// Keys are the output of a hash already: their low bits will do.
fn low_bits(key: KeyHash) -> u64 {
    (key & u128::from(u64::MAX)) as u64
}
