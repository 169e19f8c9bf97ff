//! A rule set's definition: everything that can change what a row becomes, as text. Two hosts
//! that read the same definition and its blobs judge alike.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::decode::{EventSchema, Unknown};
use super::dimension::DimensionSpec;
use super::gate::Gate;
use crate::names::Digest;
use crate::plugin::Limits;
use crate::schema::{FieldType, NamedType};
use crate::trust::Signature;

/// Everything that can change what a row becomes. Its blobs are named by their digests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// The event's declared fields, in the order of the tables' columns.
    pub fields: Vec<NamedType>,
    pub explode: Option<String>,
    /// How many columns bronze may grow to; absent: undeclared fields go to `_rescued`.
    pub max_columns: Option<usize>,
    pub key: Vec<String>,
    pub time: String,
    pub zone: String,
    pub zone_from: Option<ZoneLookUp>,
    pub cleanse: Vec<RuleUse>,
    pub validate: Vec<RuleUse>,
    pub enrich: Vec<RuleUse>,
    pub gold: Vec<GoldUse>,
    pub dimensions: BTreeMap<String, DimensionUse>,
    /// What another set must show as a shadow before it is promoted in this one's place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promotion: Option<Gate>,
    /// What another set that took this one's place must hold to, or this one judges again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback: Option<Gate>,
}

/// A dimension's field that names a row's time zone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ZoneLookUp {
    pub dimension: String,
    /// Pairs of (the event's field, the dimension's key column).
    pub on: Vec<(String, String)>,
    pub field: String,
}

/// A component with its params.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleUse {
    /// The file's name without its ending: for people.
    pub name: String,
    pub component: Digest,
    pub params: serde_json::Value,
    /// What a call of it may use. The deadline is the host's own and not kept here.
    #[serde(default)]
    pub limits: Limits,
    /// Who vouched for the component's bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<Signature>,
}

/// A gold table and the component that makes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoldUse {
    pub table: String,
    pub partition_by: Vec<String>,
    #[serde(flatten)]
    pub rule: RuleUse,
}

/// A dimension and the blob of its rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DimensionUse {
    pub key: Vec<String>,
    pub columns: BTreeMap<String, FieldType>,
    /// Absent: nothing was loaded yet, and no look-up finds anything.
    pub rows: Option<Digest>,
}

impl DimensionUse {
    pub fn spec(&self, name: &str) -> DimensionSpec {
        DimensionSpec {
            name: name.to_owned(),
            key: self.key.clone(),
            columns: self
                .columns
                .iter()
                .map(|(name, field_type)| NamedType {
                    name: name.clone(),
                    field_type: *field_type,
                })
                .collect(),
        }
    }
}

impl Definition {
    /// No rules and no gold: events of these fields, keyed by `transaction_id`, with the date of
    /// their `timestamp` in UTC. What they have beside goes to `_rescued`.
    pub fn without_rules(fields: Vec<NamedType>) -> Self {
        Self {
            fields,
            explode: None,
            max_columns: None,
            key: vec!["transaction_id".to_owned()],
            time: "timestamp".to_owned(),
            zone: "UTC".to_owned(),
            zone_from: None,
            cleanse: Vec::new(),
            validate: Vec::new(),
            enrich: Vec::new(),
            gold: Vec::new(),
            dimensions: BTreeMap::new(),
            promotion: None,
            rollback: None,
        }
    }

    pub fn event_schema(&self) -> EventSchema {
        EventSchema {
            fields: self.fields.clone(),
            explode: self.explode.clone(),
            unknown: match self.max_columns {
                Some(max) => Unknown::Columns { max },
                None => Unknown::Rescue,
            },
        }
    }

    /// Whether the rules are the same, whatever rows the dimensions have.
    pub fn has_rules_of(&self, other: &Self) -> bool {
        let without_rows = |definition: &Self| {
            let mut definition = definition.clone();
            for dimension in definition.dimensions.values_mut() {
                dimension.rows = None;
            }
            definition
        };
        without_rows(self) == without_rows(other)
    }

    /// Every component, with its step.
    pub fn rules(&self) -> impl Iterator<Item = (&'static str, &RuleUse)> {
        let steps = [
            ("cleanse", &self.cleanse),
            ("validate", &self.validate),
            ("enrich", &self.enrich),
        ];
        let rows = steps.into_iter();
        let rows = rows.flat_map(|(step, uses)| uses.iter().map(move |used| (step, used)));
        rows.chain(self.gold.iter().map(|gold| ("gold", &gold.rule)))
    }

    /// The ids of the keys that its components are signed with; none where one of them is not.
    pub fn signers(&self) -> BTreeSet<String> {
        let signers = self.rules().map(|(_, used)| {
            let signature = used.signature.as_ref();
            signature.map(|signature| signature.key.id())
        });
        signers.collect::<Option<_>>().unwrap_or_default()
    }

    /// Every blob that the definition names.
    pub fn blobs(&self) -> impl Iterator<Item = Digest> {
        let components = self.rules().map(|(_, rule)| rule.component);
        let rows = self.dimensions.values().filter_map(|d| d.rows);
        components.chain(rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_without_limits_has_those_that_it_was_made_under() {
        let digest = Digest::of(b"component");
        let text = format!(r#"{{"name":"check","component":"{digest}","params":{{}}}}"#);
        let before: RuleUse = serde_json::from_str(&text).unwrap();
        assert_eq!(before.limits, Limits::default());
        assert_eq!(before.limits.memory, 67_108_864);
        assert_eq!(before.limits.fuel, 50_000_000);
        let mut wide = before.clone();
        wide.limits.memory *= 2;
        wide.limits.deadline *= 2;
        let kept: RuleUse = serde_json::from_str(&serde_json::to_string(&wide).unwrap()).unwrap();
        assert_eq!(kept.limits.memory, wide.limits.memory);
        assert_eq!(kept.limits.deadline, before.limits.deadline);
    }
}
