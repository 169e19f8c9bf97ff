//! Which columns of silver differ, over rows that are in it by both rule sets.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, UInt32Array, new_null_array};
use arrow::compute::kernels::cmp::distinct;
use arrow::compute::take;
use arrow::error::ArrowError;
use arrow::util::display::array_value_to_string;

use super::sample::{Change, Places, cut};
use crate::medallion::verdict::Candidates;

/// The rows of both, paired.
#[derive(Default)]
pub(super) struct Pairs {
    before: Vec<u32>,
    after: Vec<u32>,
}

impl Pairs {
    pub fn push(&mut self, before: usize, after: usize) {
        self.before.push(u32::try_from(before).unwrap_or(u32::MAX));
        self.after.push(u32::try_from(after).unwrap_or(u32::MAX));
    }

    /// The columns that differ in some rows, warnings among them.
    pub fn changes(
        self,
        places: &Places<'_>,
        before: &Candidates,
        after: &Candidates,
    ) -> Result<BTreeMap<String, Change>, ArrowError> {
        let mut changes = BTreeMap::new();
        let (old, new) = (
            UInt32Array::from(self.before),
            UInt32Array::from(self.after),
        );
        let place = |row: usize| {
            let at = old.value(row) as usize;
            let message = before.message.get(at).copied().unwrap_or_default();
            places.of((message, before.line.get(at).copied().unwrap_or_default()))
        };
        let names: BTreeSet<&String> = before.columns.keys().chain(after.columns.keys()).collect();
        for name in names {
            let pick = |columns: &BTreeMap<String, ArrayRef>, rows: &UInt32Array| {
                let column = columns.get(name);
                column.map(|column| take(column, rows, None)).transpose()
            };
            let (was, is) = (pick(&before.columns, &old)?, pick(&after.columns, &new)?);
            let nulls = |like: &ArrayRef| new_null_array(like.data_type(), like.len());
            let (was, is) = match (was, is) {
                (Some(was), Some(is)) => (was, is),
                (Some(was), None) => (was.clone(), nulls(&was)),
                (None, Some(is)) => (nulls(&is), is),
                (None, None) => continue,
            };
            let differs = differing(&was, &is)?;
            let mut change = Change::default();
            for row in (0..differs.len()).filter(|row| differs.value(*row)) {
                change.add(&place(row), || (shown(&was, row), shown(&is, row)));
            }
            if change.rows > 0 {
                changes.insert(name.clone(), change);
            }
        }
        let mut warnings = Change::default();
        for (row, (at, to)) in old.values().iter().zip(new.values()).enumerate() {
            let (was, is) = (
                before.warnings.get(*at as usize),
                after.warnings.get(*to as usize),
            );
            if was != is {
                let text = |warnings: Option<&Vec<String>>| warnings.map(|list| list.join(", "));
                warnings.add(&place(row), || (text(was), text(is)));
            }
        }
        if warnings.rows > 0 {
            changes.insert("_warnings".to_owned(), warnings);
        }
        Ok(changes)
    }
}

fn differing(was: &ArrayRef, is: &ArrayRef) -> Result<BooleanArray, ArrowError> {
    if was.data_type() == is.data_type() {
        return distinct(was, is);
    }
    // Another type: what people would see decides.
    let rows = 0..was.len();
    Ok(rows
        .map(|row| Some(shown(was, row) != shown(is, row)))
        .collect())
}

fn shown(column: &ArrayRef, row: usize) -> Option<String> {
    let column: &dyn Array = Arc::as_ref(column);
    if column.is_null(row) {
        return None;
    }
    let text = array_value_to_string(column, row);
    Some(cut(&text.unwrap_or_default()))
}
