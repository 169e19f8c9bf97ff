//! Which tables may be worked with: an allow-list, since a feature that is not known can't be kept.
//!
//! A table whose writers must check, generate or track something that the committer does not do
//! would be damaged by every commit. So what is not listed here is refused, by name.

use std::time::Duration;

use super::LakeError;
use super::action::{Metadata, Protocol};
use super::columns;

/// Table features that ask nothing of a writer of appends and whole-file replacements.
const FEATURES: &[&str] = &["appendOnly", "invariants"];

/// Properties that change nothing about what a commit must hold.
const HARMLESS: &[&str] = &[
    "delta.appendOnly",
    "delta.autoOptimize.autoCompact",
    "delta.autoOptimize.optimizeWrite",
    "delta.checkpoint.writeStatsAsJson",
    "delta.checkpoint.writeStatsAsStruct",
    "delta.checkpointInterval",
    "delta.dataSkippingNumIndexedCols",
    "delta.dataSkippingStatsColumns",
    "delta.deletedFileRetentionDuration",
    "delta.enableExpiredLogCleanup",
    "delta.logRetentionDuration",
    "delta.minReaderVersion",
    "delta.minWriterVersion",
    "delta.parquet.compression.codec",
    "delta.targetFileSize",
    "delta.tuneFileSizesForRewrites",
];

/// Properties that are harmless with one value, which is also what they mean when absent.
const OFF: &[(&str, &str)] = &[
    ("delta.checkpointPolicy", "classic"),
    ("delta.columnMapping.mode", "none"),
    ("delta.enableChangeDataFeed", "false"),
    ("delta.enableDeletionVectors", "false"),
    ("delta.enableIcebergCompatV1", "false"),
    ("delta.enableIcebergCompatV2", "false"),
    ("delta.enableInCommitTimestamps", "false"),
    ("delta.enableRowTracking", "false"),
    ("delta.enableTypeWidening", "false"),
    ("delta.isolationLevel", "WriteSerializable"),
    ("delta.randomizeFilePrefixes", "false"),
];

/// The log must be kept at least this long: a committer that slept may still put into it.
const SHORTEST_LOG_RETENTION: Duration = Duration::from_secs(24 * 60 * 60);

/// The protocol of a new table: every reader of Delta can read it.
pub(super) fn plainest() -> Protocol {
    Protocol {
        min_reader_version: 1,
        min_writer_version: 2,
        reader_features: None,
        writer_features: None,
    }
}

/// Checks that commits to a table keep what the table promises.
///
/// # Errors
/// `Refused` names the feature, the property or the column in the way.
pub(super) fn check(
    table: &str,
    protocol: &Protocol,
    metadata: &Metadata,
) -> Result<(), LakeError> {
    let reason = version_in_the_way(protocol)
        .or_else(|| feature_in_the_way(protocol))
        .or_else(|| format_in_the_way(metadata))
        .or_else(|| {
            let mut properties = metadata.configuration.iter();
            properties.find_map(|(key, value)| property_in_the_way(key, value))
        });
    if let Some(reason) = reason {
        return Err(LakeError::Refused {
            table: table.to_owned(),
            reason,
        });
    }
    match columns::rule_of_columns(&metadata.schema_string)? {
        None => Ok(()),
        Some((column, rule)) => Err(LakeError::Refused {
            table: table.to_owned(),
            reason: format!("its column {column} has {rule}, which is not kept here; remove it"),
        }),
    }
}

fn version_in_the_way(protocol: &Protocol) -> Option<String> {
    let reader = protocol.min_reader_version;
    let writer = protocol.min_writer_version;
    // Up to reader 2 and writer 6 a feature is in use only if a property or a column says so.
    let legacy = (1..=2).contains(&reader) && (1..=6).contains(&writer);
    let featured = (1..=3).contains(&reader) && writer == 7;
    (!legacy && !featured).then(|| {
        format!("its protocol (reader {reader}, writer {writer}) is not known to this version")
    })
}

fn feature_in_the_way(protocol: &Protocol) -> Option<String> {
    let features = [&protocol.reader_features, &protocol.writer_features];
    let mut features = features.into_iter().flatten().flatten();
    let feature = features.find(|feature| !FEATURES.contains(&&***feature))?;
    Some(format!(
        "it has the table feature {feature}; drop that feature (ALTER TABLE … DROP FEATURE)"
    ))
}

fn format_in_the_way(metadata: &Metadata) -> Option<String> {
    let provider = &metadata.format.provider;
    (provider != "parquet").then(|| format!("its files are {provider}, not parquet"))
}

fn property_in_the_way(key: &str, value: &str) -> Option<String> {
    if !key.starts_with("delta.") {
        return None;
    }
    if key == "delta.logRetentionDuration"
        && interval(value).is_none_or(|kept| kept < SHORTEST_LOG_RETENTION)
    {
        return Some(format!(
            "{key} = {value:?} keeps the log for less than a day; raise it"
        ));
    }
    let off = OFF
        .iter()
        .any(|(name, off)| *name == key && off.eq_ignore_ascii_case(value));
    let feature = key.strip_prefix("delta.feature.");
    let listed = HARMLESS.contains(&key) || off || feature.is_some_and(|f| FEATURES.contains(&f));
    (!listed).then(|| {
        format!(
            "its property {key} = {value:?} is not kept here; ALTER TABLE … UNSET TBLPROPERTIES"
        )
    })
}

/// Reads `interval 7 days` and the like, as table properties spell it. Months and years, whose
/// length is not fixed, are not read.
pub(super) fn interval(text: &str) -> Option<Duration> {
    let mut words = text.split_whitespace().peekable();
    words.next_if(|word| word.eq_ignore_ascii_case("interval"));
    let mut total = Duration::ZERO;
    words.peek()?;
    while let Some(number) = words.next() {
        let number: u64 = number.parse().ok()?;
        let seconds = match words.next()?.to_ascii_lowercase().trim_end_matches('s') {
            "second" => 1,
            "minute" => 60,
            "hour" => 60 * 60,
            "day" => 24 * 60 * 60,
            "week" => 7 * 24 * 60 * 60,
            _ => return None,
        };
        total = total.checked_add(Duration::from_secs(number.checked_mul(seconds)?))?;
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(properties: &[(&str, &str)]) -> Metadata {
        let configuration = properties
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        serde_json::from_value(serde_json::json!({
            "id": "1",
            "format": {"provider": "parquet", "options": {}},
            "schemaString": r#"{"type":"struct","fields":[]}"#,
            "partitionColumns": [],
            "configuration": configuration.collect::<std::collections::BTreeMap<_, _>>(),
        }))
        .unwrap()
    }

    fn refusal(properties: &[(&str, &str)]) -> Option<String> {
        let refused = check("t", &plainest(), &metadata(properties));
        refused.err().map(|error| error.to_string())
    }

    #[test]
    fn a_property_that_asks_something_of_writers_is_refused_by_name() {
        for (key, value) in [
            ("delta.enableChangeDataFeed", "true"),
            ("delta.constraints.positive", "a > 0"),
            ("delta.columnMapping.mode", "name"),
            ("delta.enableRowTracking", "true"),
            ("delta.enableInCommitTimestamps", "true"),
            ("delta.setTransactionRetentionDuration", "interval 7 days"),
            ("delta.logRetentionDuration", "interval 2 hours"),
            ("delta.feature.deletionVectors", "supported"),
            ("delta.isolationLevel", "Serializable"),
            ("delta.somethingNew", "1"),
        ] {
            let refusal = refusal(&[(key, value)]).unwrap();
            assert!(refusal.contains(key), "{refusal}");
        }
    }

    #[test]
    fn harmless_and_foreign_properties_pass() {
        assert_eq!(
            refusal(&[
                ("owner", "sales"),
                ("delta.enableChangeDataFeed", "FALSE"),
                ("delta.logRetentionDuration", "interval 1 days"),
                ("delta.feature.appendOnly", "supported"),
            ]),
            None
        );
    }

    #[test]
    fn a_feature_is_refused_unless_it_is_listed() {
        let mut protocol = plainest();
        protocol.min_reader_version = 3;
        protocol.min_writer_version = 7;
        protocol.writer_features = Some(vec!["appendOnly".to_owned()]);
        assert!(check("t", &protocol, &metadata(&[])).is_ok());
        protocol.reader_features = Some(vec!["deletionVectors".to_owned()]);
        let refusal = check("t", &protocol, &metadata(&[]))
            .unwrap_err()
            .to_string();
        assert!(refusal.contains("deletionVectors"), "{refusal}");
        protocol.reader_features = None;
        protocol.min_writer_version = 8;
        assert!(check("t", &protocol, &metadata(&[])).is_err());
    }

    #[test]
    fn intervals_are_read_as_properties_spell_them() {
        assert_eq!(
            interval("interval 2 weeks"),
            Some(Duration::from_secs(14 * 86_400))
        );
        assert_eq!(
            interval("1 day 2 hours"),
            Some(Duration::from_secs(26 * 3_600))
        );
        assert_eq!(interval("interval 1 month"), None);
        assert_eq!(interval(""), None);
    }
}
