//! Which messages of bronze are asked about: as people write it down, and as files are held to it.

use std::ops::Range;

use arrow::array::{BooleanArray, Int32Array, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::record_batch::RecordBatch;
use chrono::{DateTime, NaiveDate, Utc};

use crate::lake::{Bound, File};
use crate::medallion::layer::column;
use crate::names::Offset;

/// Which messages are looked at.
#[derive(Clone, Debug)]
pub struct Scope {
    /// When they were taken in, in microseconds since 1970.
    pub time: Range<i64>,
    /// Those of one partition alone, by topic and number.
    pub partition: Option<(String, i32)>,
    pub offsets: Range<Offset>,
    /// How many there may be.
    pub most: u64,
}

/// Which messages are looked at, as it is written.
#[derive(Clone, Debug, Default)]
pub struct Written {
    /// A moment, as 2025-03-01 or 2025-03-01T10:00:00Z, or an offset of the partition. Without it:
    /// from the first on.
    pub from: Option<String>,
    /// The same, of the first message that is not looked at any more.
    pub to: Option<String>,
    pub topic: Option<String>,
    pub partition: Option<i32>,
}

/// What is written is no scope.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScopeError {
    #[error("offset {offset} of which partition? name its topic and its number")]
    OfWhichPartition { offset: String },
    #[error("{text:?} is no moment: write 2025-03-01 or 2025-03-01T10:00:00Z")]
    NoMoment { text: String },
    #[error("a partition is named by its topic and its number; give both, or none")]
    HalfAPartition,
    #[error("nothing lies from there to there: the first message has to come before the end")]
    Reversed,
}

impl Scope {
    /// All messages.
    pub fn all() -> Self {
        Self {
            time: i64::MIN..i64::MAX,
            partition: None,
            offsets: Offset::MIN..Offset::MAX,
            most: u64::MAX,
        }
    }

    /// Reads what is written.
    ///
    /// # Errors
    /// What is neither a moment nor an offset, an offset of no partition, or a range of nothing.
    pub fn of(written: &Written) -> Result<Self, ScopeError> {
        let mut scope = Self::all();
        scope.partition = match (&written.topic, written.partition) {
            (Some(topic), Some(number)) => Some((topic.clone(), number)),
            (None, None) => None,
            _ => return Err(ScopeError::HalfAPartition),
        };
        let of_partition = scope.partition.is_some();
        for (text, begins) in [(&written.from, true), (&written.to, false)] {
            let Some(text) = text else { continue };
            let range = match (text.parse::<Offset>(), of_partition) {
                (Ok(offset), true) => Some((&mut scope.offsets, offset)),
                (Ok(_), false) => {
                    let offset = text.clone();
                    return Err(ScopeError::OfWhichPartition { offset });
                }
                (Err(_), _) => moment(text).map(|micros| (&mut scope.time, micros)),
            };
            match range {
                Some((range, at)) if begins => range.start = at,
                Some((range, at)) => range.end = at,
                None => return Err(ScopeError::NoMoment { text: text.clone() }),
            }
        }
        if scope.time.is_empty() || scope.offsets.is_empty() {
            return Err(ScopeError::Reversed);
        }
        Ok(scope)
    }

    /// Whether a file may hold such messages, as far as the log tells.
    pub(super) fn may_lie_in(&self, file: &File) -> bool {
        let in_time = taken_in(file)
            .is_none_or(|times| times.start < self.time.end && times.end > self.time.start);
        let in_offsets = match file.bound("_offset") {
            Some(Bound::Integer(first, last)) => {
                *first < self.offsets.end && *last >= self.offsets.start
            }
            _ => true,
        };
        in_time && in_offsets
    }

    /// How many of a file's messages are such ones for certain, as far as the log tells.
    pub(super) fn least_in(&self, file: &File) -> u64 {
        let all = Self::all();
        let by_time = self.partition.is_none() && self.offsets == all.offsets;
        let whole = by_time
            && (self.time == all.time
                || taken_in(file).is_some_and(|times| {
                    times.start >= self.time.start && times.end <= self.time.end
                }));
        match (whole, file.rows) {
            (true, Some(rows)) => u64::try_from(rows).unwrap_or_default(),
            _ => 0,
        }
    }

    pub(super) fn holds(&self, rows: &RecordBatch) -> BooleanArray {
        let topics = column::<StringArray>(rows, "_topic");
        let numbers = column::<Int32Array>(rows, "_partition");
        let (Some(offsets), Some(times)) = (
            column::<Int64Array>(rows, "_offset"),
            column::<TimestampMicrosecondArray>(rows, "_ingested_at"),
        ) else {
            return BooleanArray::from(vec![false; rows.num_rows()]);
        };
        let ours = |row: usize| match &self.partition {
            None => true,
            Some((topic, number)) => {
                topics.is_some_and(|topics| topics.value(row) == topic)
                    && numbers.is_some_and(|numbers| numbers.value(row) == *number)
            }
        };
        let rows = (0..rows.num_rows()).map(|row| {
            self.time.contains(&times.value(row))
                && self.offsets.contains(&offsets.value(row))
                && ours(row)
        });
        BooleanArray::from(rows.collect::<Vec<_>>())
    }
}

/// When a file's messages were taken in, as far as the log tells: none of them at another time.
fn taken_in(file: &File) -> Option<Range<i64>> {
    let moment = |text: &str| Some(text.parse::<DateTime<Utc>>().ok()?.timestamp_micros());
    let Some(Bound::Text(first, last)) = file.bound("_ingested_at") else {
        return None;
    };
    // Statistics have milliseconds at best.
    let slack = 1_000_000;
    let (first, last) = moment(first).zip(moment(last))?;
    Some(first.saturating_sub(slack)..last.saturating_add(slack))
}

/// Microseconds since 1970.
fn moment(text: &str) -> Option<i64> {
    let moment = text.parse::<DateTime<Utc>>().ok();
    let day = || {
        let day = text.parse::<NaiveDate>().ok()?;
        Some(day.and_hms_opt(0, 0, 0)?.and_utc())
    };
    moment.or_else(day).map(|moment| moment.timestamp_micros())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(from: &str, to: &str, topic: Option<&str>, partition: Option<i32>) -> Written {
        let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        Written {
            from: text(from),
            to: text(to),
            topic: topic.map(str::to_owned),
            partition,
        }
    }

    #[test]
    fn days_moments_and_offsets_of_a_partition_are_read_and_nothing_else() {
        let day = 1_740_787_200_000_000;
        let scope = Scope::of(&written("2025-03-01", "2025-03-01T01:00:00Z", None, None));
        let scope = scope.unwrap();
        assert_eq!(scope.time, day..day + 3_600_000_000);
        assert_eq!(scope.offsets, Scope::all().offsets);
        let scope = Scope::of(&written("7", "2025-03-01", Some("sales"), Some(2))).unwrap();
        assert_eq!(scope.offsets, 7..Offset::MAX);
        assert_eq!(scope.time, i64::MIN..day);
        assert_eq!(scope.partition, Some(("sales".to_owned(), 2)));
        for (wrong, says) in [
            (written("7", "", None, None), "of which partition"),
            (written("", "soon", None, None), "is no moment"),
            (written("", "", Some("sales"), None), "give both"),
            (written("", "", None, Some(2)), "give both"),
        ] {
            let said = Scope::of(&wrong).unwrap_err().to_string();
            assert!(said.contains(says), "{wrong:?}: {said}");
        }
    }
}
