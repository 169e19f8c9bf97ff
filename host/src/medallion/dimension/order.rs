//! The order of a dimension's rows, by key and then by the time from which they hold, and the
//! check that no key has two rows for one moment.

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::TimestampMicrosecondType;

use super::keys::Keys;

/// From when a row holds; null: since ever.
pub const VALID_FROM: &str = "valid_from";
/// Until just before when a row holds; null: for ever.
pub const VALID_TO: &str = "valid_to";

/// When each row holds, in microseconds: from the first, to just before the second.
pub type Periods = Vec<(i64, i64)>;

/// What is wrong with rows.
#[derive(Debug, PartialEq, Eq)]
pub enum Clash {
    NullKey {
        row: usize,
    },
    NeverValid {
        row: usize,
    },
    /// The two hold at the same moment.
    Both {
        first: usize,
        second: usize,
    },
}

/// When each row holds; `None` where the rows hold at any time.
pub fn periods(rows: &RecordBatch) -> Option<Periods> {
    let moments = |name: &str, open: i64| -> Option<Vec<i64>> {
        let column = rows.column_by_name(name)?;
        let column = column.as_primitive_opt::<TimestampMicrosecondType>()?;
        Some(column.iter().map(|moment| moment.unwrap_or(open)).collect())
    };
    let from = moments(VALID_FROM, i64::MIN);
    let to = moments(VALID_TO, i64::MAX);
    if from.is_none() && to.is_none() {
        return None;
    }
    let from = from.unwrap_or_else(|| vec![i64::MIN; rows.num_rows()]);
    let to = to.unwrap_or_else(|| vec![i64::MAX; rows.num_rows()]);
    Some(from.into_iter().zip(to).collect())
}

/// The rows' order.
///
/// # Errors
/// The first clash, in the order of the rows.
pub fn order(keys: &Keys<'_>, rows: usize, periods: Option<&Periods>) -> Result<Vec<u32>, Clash> {
    let mut buffer = Vec::new();
    let mut all = Vec::with_capacity(rows);
    for row in 0..rows {
        let period = periods.and_then(|periods| periods.get(row));
        let (from, to) = period.copied().unwrap_or((i64::MIN, i64::MAX));
        let key = keys.bytes(row, &mut buffer);
        let key = key.ok_or(Clash::NullKey { row })?.to_vec();
        if to <= from {
            return Err(Clash::NeverValid { row });
        }
        all.push((key, from, row, to));
    }
    all.sort_unstable();
    let clashes = all.windows(2).filter_map(|pair| match pair {
        [(a, _, first, to), (b, from, second, _)] if a == b && from < to => {
            Some(((*first).max(*second), (*first).min(*second)))
        }
        _ => None,
    });
    match clashes.min() {
        Some((second, first)) => Err(Clash::Both { first, second }),
        None => Ok(all
            .into_iter()
            .filter_map(|(_, _, row, _)| u32::try_from(row).ok())
            .collect()),
    }
}

/// The key columns of rows, in the key's order, or the name of the one that they lack.
pub fn key_columns<'k>(rows: &RecordBatch, key: &'k [String]) -> Result<Vec<ArrayRef>, &'k str> {
    let columns = key
        .iter()
        .map(|name| rows.column_by_name(name).cloned().ok_or(name.as_str()));
    columns.collect()
}
