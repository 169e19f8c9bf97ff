//! Which texts were seen: exact, and stored as the sorted texts, each after its length.

use std::borrow::Cow;
use std::cmp::Ordering;

use crate::column::append;

/// Which texts were seen, each counted once. Its state grows with their number.
#[derive(Debug)]
pub enum Distinct {}

/// The texts of a [`Distinct`], while they are gathered.
#[derive(Clone, Debug)]
pub struct DistinctTexts<'a> {
    // `None`: not known. Neither sorted nor without repetitions, until it is stored.
    texts: Option<Vec<&'a [u8]>>,
}

impl Default for DistinctTexts<'_> {
    fn default() -> Self {
        Self {
            texts: Some(Vec::new()),
        }
    }
}

impl<'a> DistinctTexts<'a> {
    /// Sees a text; an absent one changes nothing.
    pub fn see(&mut self, text: impl Into<Option<&'a str>>) {
        if let (Some(text), Some(texts)) = (text.into(), &mut self.texts) {
            // The lines of one sale follow each other.
            let text = text.as_bytes();
            if texts.last().is_none_or(|last| order(last, text).is_ne()) {
                texts.push(text);
            }
        }
    }

    /// How many. `None`: not known for this group, because its gold row is older than the part.
    pub fn count(&self) -> Option<i64> {
        let texts = sorted(self.texts.clone()?);
        i64::try_from(texts.len()).ok()
    }

    /// Each text once, in the order of their bytes. `None`: as of [`DistinctTexts::count`].
    pub fn texts(&self) -> Option<Vec<Cow<'a, str>>> {
        let texts = sorted(self.texts.clone()?);
        Some(texts.into_iter().map(String::from_utf8_lossy).collect())
    }

    pub(super) const fn unknown() -> Self {
        Self { texts: None }
    }

    pub(super) fn join(&mut self, other: Self) {
        match (&mut self.texts, other.texts) {
            (Some(texts), Some(others)) => texts.extend(others),
            (texts, _) => *texts = None,
        }
    }

    pub(super) fn encode(self) -> Result<Option<Vec<u8>>, String> {
        let Some(texts) = self.texts else {
            return Ok(None);
        };
        let texts = sorted(texts);
        let mut bytes = Vec::with_capacity(texts.iter().map(|text| text.len() + 2).sum());
        for text in texts {
            let mut length = u32::try_from(text.len()).map_err(|error| error.to_string())?;
            // Seven bits a byte, the lowest first; the highest bit says that more follow.
            while length >= 0x80 {
                bytes.push((length & 0x7f) as u8 | 0x80);
                length >>= 7;
            }
            bytes.push(length as u8);
            append(&mut bytes, text);
        }
        Ok(Some(bytes))
    }

    pub(super) fn decode(mut bytes: &'a [u8]) -> Result<Self, String> {
        let mut texts = Vec::new();
        while !bytes.is_empty() {
            let text = take_text(&mut bytes).ok_or("the stored texts are cut short")?;
            texts.push(text);
        }
        Ok(Self { texts: Some(texts) })
    }
}

fn sorted(mut texts: Vec<&[u8]>) -> Vec<&[u8]> {
    // What was stored is sorted already.
    if texts.is_sorted_by(|one, next| order(one, next).is_lt()) {
        return texts;
    }
    // Two sorted lists, one after the other, are what this sort is quickest with.
    texts.sort_by(|one, other| order(one, other));
    texts.dedup_by(|next, one| order(one, next).is_eq());
    texts
}

/// The order of texts by their bytes. Ids differ at their ends: eight bytes are compared at once.
#[inline]
fn order(one: &[u8], other: &[u8]) -> Ordering {
    let (words, rest) = one.as_chunks::<8>();
    let (other_words, other_rest) = other.as_chunks::<8>();
    for (word, other) in words.iter().zip(other_words) {
        if word != other {
            return u64::from_be_bytes(*word).cmp(&u64::from_be_bytes(*other));
        }
    }
    if words.len() == other_words.len() {
        return rest.cmp(other_rest);
    }
    let compared = 8 * words.len().min(other_words.len());
    one.get(compared..).cmp(&other.get(compared..))
}

fn take_text<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let mut length = 0_usize;
    for shift in [0, 7, 14, 21, 28] {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        length |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            let (text, rest) = bytes.split_at_checked(length)?;
            *bytes = rest;
            return Some(text);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen<'a>(texts: &[&'a str]) -> DistinctTexts<'a> {
        let mut state = DistinctTexts::default();
        texts.iter().for_each(|text| state.see(*text));
        state
    }

    #[test]
    fn a_text_counts_once_however_often_and_in_whatever_order() {
        assert_eq!(seen(&["b", "b", "a", "b", "", "a"]).count(), Some(3));
        let bytes = seen(&["b", "a", "b"]).encode().unwrap().unwrap();
        assert_eq!(bytes, seen(&["a", "b"]).encode().unwrap().unwrap());
        assert_eq!(bytes, [1, b'a', 1, b'b']);
        assert_eq!(
            seen(&["b", "é", "a", "b"]).texts().unwrap(),
            ["a", "b", "é"]
        );
        assert_eq!(DistinctTexts::unknown().texts(), None);
    }

    #[test]
    fn texts_stand_in_the_order_of_their_bytes() {
        let texts: Vec<String> = (0..20)
            .flat_map(|n| ["", "a", "b", "\u{ff}"].map(|end| format!("{}{end}", "x".repeat(n))))
            .collect();
        for one in &texts {
            for other in &texts {
                let (one, other) = (one.as_bytes(), other.as_bytes());
                assert_eq!(order(one, other), one.cmp(other));
            }
        }
    }

    #[test]
    fn texts_of_every_length_are_read_back() {
        let texts: Vec<String> = [0, 1, 127, 128, 300, 16_384]
            .map(|n| "x".repeat(n))
            .to_vec();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let bytes = seen(&texts).encode().unwrap().unwrap();
        let back = DistinctTexts::decode(&bytes).unwrap();
        assert_eq!(
            back.texts.unwrap(),
            texts.iter().map(|t| t.as_bytes()).collect::<Vec<_>>()
        );
    }

    #[test]
    fn a_stored_state_that_is_cut_short_is_an_error() {
        let bytes = seen(&["abc", "d"]).encode().unwrap().unwrap();
        for end in [1, 3, 5] {
            assert!(DistinctTexts::decode(&bytes[..end]).is_err(), "{end}");
        }
        assert!(DistinctTexts::decode(&[0xff; 9]).is_err());
    }
}
