//! The host's own rules, which no component can switch off.

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef, StringArray};

use super::{JudgeError, Leave, Verdict, Work};
use crate::lake::partition_value_fits;
use crate::medallion::business_date::BusinessDates;
use crate::medallion::decode::Decoded;
use crate::medallion::key::key_hashes;
use crate::medallion::rules::{Rules, SALE_DATE, SALE_HOUR};

impl Work<'_> {
    pub(super) fn refuse_malformed(&mut self, decoded: &Decoded) -> Result<(), JudgeError> {
        let leaving = decoded
            .malformed
            .iter()
            .map(|(row, reason)| host_rule(*row as usize, "decode", "malformed", reason.clone()))
            .collect();
        self.leave(leaving)
    }

    pub(super) fn refuse_without_key_or_date(&mut self, rules: &Rules) -> Result<(), JudgeError> {
        let key = rules.definition.key.iter();
        let columns: Vec<(&str, ArrayRef)> = key
            .filter_map(|name| Some((name.as_str(), self.columns.get(name)?.clone())))
            .collect();
        let hashes = key_hashes(&columns, self.rows());
        let made = BusinessDates::make(rules, &self.columns, self.rows())?;
        let mut leaving: BTreeMap<usize, Leave> = BTreeMap::new();
        for row in made.absent {
            let reason = format!("{} is absent or no timestamp", rules.definition.time);
            leaving.insert(row, host_rule(row, "host", "no_business_date", reason));
        }
        for (row, hash) in hashes.iter().enumerate() {
            if let Err(absent) = hash {
                let reason = format!("{absent} is absent or empty");
                leaving.insert(row, host_rule(row, "host", "no_key", reason));
            }
        }
        self.columns.insert(SALE_DATE.into(), made.date);
        self.columns.insert(SALE_HOUR.into(), made.hour);
        self.key = hashes
            .into_iter()
            .map(|hash| hash.unwrap_or_default())
            .collect();
        self.leave(leaving.into_values().collect())
    }

    pub(super) fn refuse_bad_partition_values(&mut self, rules: &Rules) -> Result<(), JudgeError> {
        let mut names: Vec<&String> = rules.gold.iter().flat_map(|g| &g.partition_by).collect();
        names.sort_unstable();
        names.dedup();
        let mut bad: BTreeMap<usize, String> = BTreeMap::new();
        for name in names {
            let Some(column) = self.columns.get(name) else {
                continue;
            };
            for row in 0..column.len() {
                if let Some(reason) = bad_partition_value(name, column, row) {
                    bad.entry(row).or_insert(reason);
                }
            }
        }
        let leaving = bad
            .into_iter()
            .map(|(row, reason)| host_rule(row, "host", "bad_partition_value", reason))
            .collect();
        self.leave(leaving)
    }
}

pub(super) fn host_rule(row: usize, step: &'static str, rule: &str, reason: String) -> Leave {
    Leave {
        row,
        step,
        rule: rule.to_owned(),
        reason,
        rules: vec![rule.to_owned()],
        action: Verdict::Quarantine,
    }
}

/// Why a value can't name a folder of a table, if it can't.
fn bad_partition_value(name: &str, column: &ArrayRef, row: usize) -> Option<String> {
    if column.is_null(row) {
        return Some(format!(
            "{name} is absent, and a gold table is partitioned by it"
        ));
    }
    let texts = column.as_any().downcast_ref::<StringArray>()?;
    let value = texts.value(row);
    (!partition_value_fits(name, value)).then(|| match value.len() {
        0 => format!("{name} is empty, and a gold table is partitioned by it"),
        bytes => format!(
            "{name} of {bytes} bytes is too long for a path, and a gold table is partitioned by it"
        ),
    })
}
