//! One data file of a table, as the log describes it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

/// The value of each partition column; `None` is null.
pub type PartitionValues = BTreeMap<String, Option<String>>;

/// One data file: written but not seen yet, or live in the table.
#[derive(Clone, Debug)]
pub struct File {
    /// Where it lies, from the table's folder.
    pub path: String,
    /// In bytes.
    pub size: i64,
    pub partition_values: PartitionValues,
    /// `None` where another writer did not say.
    pub rows: Option<i64>,
    /// False for a file that only packs rows of other files anew.
    pub data_change: bool,
    /// In milliseconds since 1970.
    pub modified: i64,
    /// Smallest and largest value of the columns whose names begin with `_`, where known. A text
    /// longer than 32 characters is bounded, not exact.
    pub bounds: Vec<(Arc<str>, Bound)>,
    /// The statistics as the log holds them. Only there between writing and committing.
    pub(super) stats: Option<String>,
    /// The schema it was written under. Only there between writing and committing.
    pub(super) schema: Option<SchemaRef>,
}

/// The smallest and the largest value of a column in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bound {
    Integer(i64, i64),
    Text(Box<str>, Box<str>),
}

impl File {
    /// The bounds of a column, if its name begins with `_` and they are known.
    pub fn bound(&self, column: &str) -> Option<&Bound> {
        self.bounds
            .iter()
            .find(|(name, _)| &**name == column)
            .map(|(_, bound)| bound)
    }

    /// Whether the file's partition has all the values of `subset`.
    pub fn lies_in(&self, subset: &PartitionValues) -> bool {
        subset
            .iter()
            .all(|(column, value)| self.partition_values.get(column) == Some(value))
    }

    /// A file that is nowhere, of a partition and as large as is said.
    #[cfg(test)]
    pub fn of(partition_values: PartitionValues, size: i64) -> Self {
        Self {
            path: String::new(),
            size,
            partition_values,
            rows: None,
            data_change: true,
            modified: 0,
            bounds: Vec::new(),
            stats: None,
            schema: None,
        }
    }
}

/// What is kept of a file's statistics.
#[derive(Default)]
pub(super) struct Kept {
    pub(super) rows: Option<i64>,
    pub(super) bounds: Vec<(Arc<str>, Bound)>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Statistics {
    num_records: Option<i64>,
    #[serde(default)]
    min_values: OurValues,
    #[serde(default)]
    max_values: OurValues,
}

/// The values of `_` columns; all others are skipped without being built.
#[derive(Default)]
struct OurValues(BTreeMap<String, Value>);

/// The names of columns, shared between the files of a table.
#[derive(Default)]
pub(super) struct Names(BTreeMap<String, Arc<str>>);

impl Names {
    fn share(&mut self, name: String) -> Arc<str> {
        self.0
            .entry(name)
            .or_insert_with_key(|name| Arc::from(&**name))
            .clone()
    }

    /// Takes from a file's statistics what is kept. Statistics are hints: what can't be read is
    /// as if it were not there.
    pub(super) fn keep(&mut self, stats: Option<&str>) -> Kept {
        let Some(stats) = stats.and_then(|text| serde_json::from_str::<Statistics>(text).ok())
        else {
            return Kept::default();
        };
        let mut largest = stats.max_values.0;
        let mut bounds = Vec::new();
        for (name, smallest) in stats.min_values.0 {
            let bound = match (smallest, largest.remove(&name)) {
                (Value::Number(low), Some(Value::Number(high))) => low
                    .as_i64()
                    .zip(high.as_i64())
                    .map(|(low, high)| Bound::Integer(low, high)),
                (Value::String(low), Some(Value::String(high))) => {
                    Some(Bound::Text(low.into(), high.into()))
                }
                _ => None,
            };
            bounds.extend(bound.map(|bound| (self.share(name), bound)));
        }
        Kept {
            rows: stats.num_records,
            bounds,
        }
    }
}

impl<'de> Deserialize<'de> for OurValues {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OurValuesVisitor)
    }
}

struct OurValuesVisitor;

impl<'de> Visitor<'de> for OurValuesVisitor {
    type Value = OurValues;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of values by column")
    }

    fn visit_unit<E>(self) -> Result<OurValues, E> {
        Ok(OurValues::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<OurValues, A::Error> {
        let mut values = BTreeMap::new();
        while let Some(name) = map.next_key_seed(NameSeed)? {
            match name {
                Some(name) => {
                    values.insert(name, map.next_value()?);
                }
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(OurValues(values))
    }
}

/// Reads a key, and keeps it only if it begins with `_`.
struct NameSeed;

impl<'de> DeserializeSeed<'de> for NameSeed {
    type Value = Option<String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for NameSeed {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a column's name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Option<String>, E> {
        Ok(name.starts_with('_').then(|| name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_hosts_own_columns_keep_their_bounds() {
        let kept = Names::default().keep(Some(
            r#"{"numRecords":3,"minValues":{"_offset":1,"price":2.5,"_topic":"a","_x":{"y":1}},
                "maxValues":{"_offset":9,"price":3.5,"_topic":"b"},"nullCount":{"_offset":0}}"#,
        ));
        assert_eq!(kept.rows, Some(3));
        assert_eq!(
            kept.bounds,
            [
                (Arc::from("_offset"), Bound::Integer(1, 9)),
                (Arc::from("_topic"), Bound::Text("a".into(), "b".into())),
            ]
        );
    }

    #[test]
    fn broken_statistics_are_as_none() {
        assert!(Names::default().keep(Some("{")).rows.is_none());
        assert!(Names::default().keep(None).bounds.is_empty());
        let kept = Names::default().keep(Some(r#"{"numRecords":1,"minValues":null}"#));
        assert_eq!(kept.rows, Some(1));
    }
}
