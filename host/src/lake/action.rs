//! The lines of the log: what a version changes, as Delta's protocol spells it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::LakeError;
use super::file::PartitionValues;

/// One line of the log. Lines of other kinds are left out: the features that would need them are
/// refused by the table's protocol.
#[derive(Clone, Debug)]
pub(super) enum Action {
    CommitInfo(CommitInfo),
    Protocol(Protocol),
    Metadata(Metadata),
    Txn(Txn),
    Add(Add),
    Remove(Remove),
}

/// What is read of a commit's own description.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CommitInfo {
    pub(super) operation: Option<String>,
    /// Ours: the batch's id. Other engines put an id of their own here.
    pub(super) txn_id: Option<String>,
    /// Ours: the number of lines, so that a file cut at a line's end is seen to be torn.
    pub(super) assay_lines: Option<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Protocol {
    pub(super) min_reader_version: i32,
    pub(super) min_writer_version: i32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) reader_features: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) writer_features: Option<Vec<String>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Metadata {
    pub(super) id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) description: Option<String>,
    pub(super) format: Format,
    pub(super) schema_string: String,
    #[serde(default)]
    pub(super) partition_columns: Vec<String>,
    #[serde(default)]
    pub(super) configuration: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) created_time: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Format {
    pub(super) provider: String,
    #[serde(default)]
    pub(super) options: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Txn {
    pub(super) app_id: String,
    pub(super) version: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) last_updated: Option<i64>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Add {
    pub(super) path: String,
    #[serde(default)]
    pub(super) partition_values: PartitionValues,
    pub(super) size: i64,
    pub(super) modification_time: i64,
    pub(super) data_change: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) stats: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) deletion_vector: Option<Value>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Remove {
    pub(super) path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) deletion_timestamp: Option<i64>,
    #[serde(default)]
    pub(super) data_change: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) extended_file_metadata: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) partition_values: Option<PartitionValues>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) size: Option<i64>,
}

/// A line as it is spelled: an object with one of these keys.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    commit_info: Option<CommitInfo>,
    protocol: Option<Protocol>,
    meta_data: Option<Metadata>,
    txn: Option<Txn>,
    add: Option<Add>,
    remove: Option<Remove>,
}

/// Reads a version of the log.
///
/// # Errors
/// `TornLog` for an empty file, a line that is no JSON, or fewer lines than its writer put there:
/// such a file is not a version that won, it is damage.
pub(super) fn parse(table: &str, version: i64, bytes: &[u8]) -> Result<Vec<Action>, LakeError> {
    let torn = |reason: String| LakeError::TornLog {
        table: table.to_owned(),
        version,
        reason,
    };
    let mut actions = Vec::new();
    let mut lines = 0;
    let mut promised = None;
    for line in bytes.split(|byte| *byte == b'\n') {
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        lines += 1;
        let line: Line =
            serde_json::from_slice(line).map_err(|error| torn(format!("line {lines}: {error}")))?;
        promised = promised.or(line.commit_info.as_ref().and_then(|info| info.assay_lines));
        actions.extend(line.into_action());
    }
    if lines == 0 {
        return Err(torn("it is empty".to_owned()));
    }
    match promised {
        Some(promised) if promised != lines => {
            Err(torn(format!("it has {lines} lines of {promised}")))
        }
        _ => Ok(actions),
    }
}

impl Line {
    fn into_action(self) -> Option<Action> {
        self.add
            .map(Action::Add)
            .or(self.remove.map(Action::Remove))
            .or(self.txn.map(Action::Txn))
            .or(self.commit_info.map(Action::CommitInfo))
            .or(self.meta_data.map(Action::Metadata))
            .or(self.protocol.map(Action::Protocol))
    }
}

/// A version of the log, to be put.
pub(super) struct Body {
    lines: Vec<Value>,
}

impl Body {
    pub(super) fn new() -> Self {
        Self { lines: Vec::new() }
    }

    pub(super) fn push(&mut self, key: &str, action: &impl Serialize) -> serde_json::Result<()> {
        let mut line = serde_json::Map::new();
        line.insert(key.to_owned(), serde_json::to_value(action)?);
        self.lines.push(Value::Object(line));
        Ok(())
    }

    /// The bytes to put: `info` first, with the number of lines added to it.
    pub(super) fn into_bytes(self, mut info: serde_json::Map<String, Value>) -> Vec<u8> {
        info.insert("assayLines".to_owned(), (self.lines.len() + 1).into());
        let mut text = serde_json::json!({ "commitInfo": info }).to_string();
        for line in self.lines {
            text.push('\n');
            text.push_str(&line.to_string());
        }
        text.push('\n');
        text.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_cut_anywhere_is_torn_and_not_a_version() {
        let mut body = Body::new();
        for version in 0..3 {
            let txn = Txn {
                app_id: "a".to_owned(),
                version,
                last_updated: None,
            };
            body.push("txn", &txn).unwrap();
        }
        let bytes = body.into_bytes(serde_json::Map::new());
        assert_eq!(parse("t", 1, &bytes).unwrap().len(), 4);
        for end in 0..bytes.len() - 1 {
            assert!(parse("t", 1, &bytes[..end]).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn lines_of_kinds_not_known_here_are_passed_over() {
        let text = br#"{"domainMetadata":{"domain":"d"}}
{"commitInfo":{"operation":"WRITE","operationParameters":{"mode":"Append"},"txnId":"x"}}"#;
        let actions = parse("t", 1, text).unwrap();
        assert!(matches!(&actions[..], [Action::CommitInfo(info)]
            if info.txn_id.as_deref() == Some("x")));
    }
}
