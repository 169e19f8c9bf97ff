//! Inputs that nobody wrote: what is well formed, changed in a few places. Made for fuzzing, since
//! bytes of pure chance would all be refused at the first one.

use std::sync::atomic::{AtomicU64, Ordering};

use bolero::TypeGenerator;

/// One change. Places and lengths are taken within what there is.
#[derive(Clone, Copy, Debug, TypeGenerator)]
pub enum Edit {
    Set { at: u16, byte: u8 },
    Insert { at: u16, token: u8 },
    Remove { at: u16, bytes: u8 },
    Repeat { at: u16, bytes: u8, times: u8 },
    CutOff { at: u16 },
}

/// Seeds and what may be put between their bytes.
pub struct Seeds {
    pub seeds: Vec<Vec<u8>>,
    pub tokens: &'static [&'static [u8]],
}

impl Seeds {
    /// The seed of this number with the first changes made, one after the other: one to seven, since
    /// what is changed all over is refused for the first of them.
    pub fn edited(&self, seed: u8, edits: &[Edit]) -> Vec<u8> {
        let most = 1 + 2 * usize::from(seed / 64);
        let mut bytes = self.seeds[usize::from(seed) % self.seeds.len()].clone();
        for edit in edits.iter().take(most) {
            let place = |at: u16| usize::from(at) % (bytes.len() + 1);
            let range = |at: u16, length: u8| {
                let from = place(at);
                from..bytes.len().min(from + usize::from(length))
            };
            match *edit {
                Edit::Set { at, byte } => {
                    let range = range(at, 1);
                    bytes.splice(range, [byte]);
                }
                Edit::Insert { at, token } => {
                    let (place, token) = (place(at), usize::from(token) % self.tokens.len());
                    bytes.splice(place..place, self.tokens[token].iter().copied());
                }
                Edit::Remove { at, bytes: length } => {
                    let range = range(at, length);
                    bytes.drain(range);
                }
                Edit::Repeat {
                    at,
                    bytes: length,
                    times,
                } => {
                    let range = range(at, length % 32);
                    let part = bytes[range.clone()].repeat(usize::from(times % 16));
                    bytes.splice(range.end..range.end, part);
                }
                Edit::CutOff { at } => bytes.truncate(place(at)),
            }
        }
        bytes
    }
}

/// Counts what was tried, and says so at its end.
pub struct Tried {
    what: &'static str,
    all: AtomicU64,
    good: AtomicU64,
}

impl Tried {
    pub fn new(what: &'static str) -> Self {
        Self {
            what,
            all: AtomicU64::new(0),
            good: AtomicU64::new(0),
        }
    }

    pub fn one(&self, good: bool) {
        self.all.fetch_add(1, Ordering::Relaxed);
        self.good.fetch_add(u64::from(good), Ordering::Relaxed);
    }

    /// Says what was tried.
    ///
    /// # Panics
    /// Where of many all or none was well formed: then the edits do not try what they should.
    pub fn end(self) {
        let (all, good) = (self.all.into_inner(), self.good.into_inner());
        println!("{}: {all} inputs, {good} of them taken", self.what);
        let tells = all >= 1_000;
        assert!(
            !tells || (0 < good && good < all),
            "{good} of {all} {}",
            self.what
        );
    }
}
