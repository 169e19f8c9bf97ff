//! A rule set made ready to judge: components compiled and configured, dimensions in memory, and
//! every column that a component reads bound to where it comes from. What can't fit is refused
//! here, before it meets a row.

mod alone;
mod bind;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, SchemaRef, TimeUnit};
use bytes::Bytes;

pub use self::alone::Only;
use self::bind::Binder;
use super::definition::{Definition, DimensionUse, GoldUse, RuleUse};
use super::dimension::{Dimension, DimensionSpec};
use super::gate::Gate;
use crate::names::{Digest, RuleSetNumber};
use crate::plugin::{
    Component, Configured, Description, GroupDescription, HostLimits, Limits, PluginError,
    RowDescription, Sandbox, Step,
};
use crate::trust::Distrust;

/// Why a definition can't be made ready.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RulesError {
    #[error("{step} component {name}: {source}")]
    Component {
        step: &'static str,
        name: String,
        source: PluginError,
    },
    #[error("{step} component {name}: {problem}")]
    Unfit {
        step: &'static str,
        name: String,
        problem: String,
    },
    #[error("{step} component {name}: {source}")]
    Untrusted {
        step: &'static str,
        name: String,
        source: Distrust,
    },
    #[error(
        "[{section}] money names {name}, and no gold table has such a decimal measure; there are: {known}"
    )]
    Gate {
        section: &'static str,
        name: String,
        known: String,
    },
    #[error("dimension {name}: {problem}")]
    Dimension { name: String, problem: String },
    #[error(
        "blob {digest} is missing from the lake; it may have been deleted by hand: restore it, or activate another rule set"
    )]
    MissingBlob { digest: Digest },
}

/// Compiled components and loaded dimensions, by digest: what rule sets share.
pub struct Workshop {
    sandbox: Arc<Sandbox>,
    limits: HostLimits,
    components: BTreeMap<(Digest, &'static str), Component>,
    /// By what they are looked up by, too: the same rows may be asked for by another key.
    dimensions: BTreeMap<(Digest, DimensionSpec), Arc<Dimension>>,
}

/// A rule set that is ready.
pub struct Rules {
    pub number: RuleSetNumber,
    pub definition: Definition,
    pub cleanse: Vec<RowRule>,
    pub validate: Vec<RowRule>,
    pub enrich: Vec<RowRule>,
    pub gold: Vec<GoldRule>,
    pub dimensions: BTreeMap<String, Arc<Dimension>>,
    /// The columns of silver that rows of this rule set have, `_` columns first.
    pub silver: SchemaRef,
    /// What components ask of dimensions that lack it: said once, not an error.
    pub notes: Vec<String>,
}

/// A component of a step that works row by row.
pub struct RowRule {
    pub name: String,
    pub step: &'static str,
    pub configured: Configured,
    pub description: RowDescription,
}

/// A component that makes a gold table.
pub struct GoldRule {
    pub table: String,
    pub partition_by: Vec<String>,
    pub name: String,
    pub configured: Configured,
    pub description: GroupDescription,
}

/// Components and dimensions that are kept though no rule set in memory uses them.
const MOST_KEPT: usize = 64;

/// The zone-aware columns that the host makes from the event's time.
pub const SALE_DATE: &str = "sale_date";
pub const SALE_HOUR: &str = "sale_hour";

/// Microseconds in UTC: the type of every timestamp column.
pub fn timestamp_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

impl Workshop {
    pub fn new(sandbox: Arc<Sandbox>) -> Self {
        Self {
            sandbox,
            limits: HostLimits::default(),
            components: BTreeMap::new(),
            dimensions: BTreeMap::new(),
        }
    }

    pub fn sandbox(&self) -> Arc<Sandbox> {
        self.sandbox.clone()
    }

    /// Sets what the host allows components that are made ready from now on.
    pub fn set_host_limits(&mut self, limits: HostLimits) {
        self.limits = limits;
    }

    pub fn host_limits(&self) -> HostLimits {
        self.limits
    }

    /// The blobs of a definition that making it ready needs the bytes of.
    pub fn wants(&self, definition: &Definition) -> BTreeSet<Digest> {
        let steps = [
            ("cleanse", &definition.cleanse),
            ("validate", &definition.validate),
            ("enrich", &definition.enrich),
        ];
        let rows = steps.into_iter().flat_map(|(step, uses)| {
            let uses = uses.iter();
            uses.map(move |used| (used.component, step))
        });
        let gold = definition.gold.iter();
        let gold = gold.map(|gold| (gold.rule.component, "gold"));
        let components = rows.chain(gold);
        let components = components.filter(|key| !self.components.contains_key(key));
        let dimensions = definition.dimensions.iter();
        let dimensions = dimensions.filter_map(|(name, used)| Some((used.rows?, used.spec(name))));
        let dimensions = dimensions.filter(|key| !self.dimensions.contains_key(key));
        components
            .map(|(digest, _)| digest)
            .chain(dimensions.map(|(digest, _)| digest))
            .collect()
    }

    /// Lets go of what no rule set uses, once there is much of it.
    pub fn tidy(&mut self) {
        if self.components.len() + self.dimensions.len() > MOST_KEPT {
            self.components.retain(|_, component| component.is_shared());
            self.dimensions
                .retain(|_, dimension| Arc::strong_count(dimension) > 1);
        }
    }

    /// Makes a definition ready. `blobs` holds the bytes of every blob that it [`wants`](Self::wants).
    ///
    /// # Errors
    /// The first thing that does not fit, in the words of who wrote it.
    pub fn prepare(
        &mut self,
        number: RuleSetNumber,
        definition: &Definition,
        blobs: &BTreeMap<Digest, Bytes>,
    ) -> Result<Rules, RulesError> {
        let dimensions = self.dimensions(&definition.dimensions, blobs)?;
        let mut binder = Binder::new(definition, &dimensions);
        let mut steps = [Vec::new(), Vec::new(), Vec::new()];
        let uses = [
            (Step::Cleanse, "cleanse", &definition.cleanse),
            (Step::Validate, "validate", &definition.validate),
            (Step::Enrich, "enrich", &definition.enrich),
        ];
        for ((step, name, uses), rules) in uses.into_iter().zip(&mut steps) {
            if name == "validate" {
                binder.add_host_columns();
            }
            for rule_use in uses {
                let rule = self.row_rule(step, name, rule_use, blobs)?;
                binder.bind(&rule)?;
                rules.push(rule);
            }
        }
        let mut gold = Vec::new();
        for gold_use in &definition.gold {
            let rule = self.gold_rule(gold_use, blobs)?;
            binder.bind_gold(&rule)?;
            gold.push(rule);
        }
        let silver = binder.silver();
        check_gate("promotion", definition.promotion.as_ref(), &gold)?;
        check_gate("rollback", definition.rollback.as_ref(), &gold)?;
        let notes = binder.notes;
        let [cleanse, validate, enrich] = steps;
        Ok(Rules {
            number,
            definition: definition.clone(),
            cleanse,
            validate,
            enrich,
            gold,
            dimensions,
            silver,
            notes,
        })
    }

    fn dimensions(
        &mut self,
        uses: &BTreeMap<String, DimensionUse>,
        blobs: &BTreeMap<Digest, Bytes>,
    ) -> Result<BTreeMap<String, Arc<Dimension>>, RulesError> {
        let mut ready = BTreeMap::new();
        for (name, used) in uses {
            let Some(digest) = used.rows else { continue };
            let key = (digest, used.spec(name));
            if let Some(known) = self.dimensions.get(&key) {
                ready.insert(name.clone(), known.clone());
                continue;
            }
            let bytes = blobs
                .get(&digest)
                .ok_or(RulesError::MissingBlob { digest })?;
            let wrong = |problem: String| RulesError::Dimension {
                name: name.clone(),
                problem,
            };
            let rows = super::parquet_blob::read(bytes).map_err(|e| wrong(e.to_string()))?;
            let dimension = Dimension::new(&key.1, rows).map_err(|e| wrong(e.to_string()))?;
            let dimension = Arc::new(dimension);
            self.dimensions.insert(key, dimension.clone());
            ready.insert(name.clone(), dimension);
        }
        Ok(ready)
    }

    fn component(
        &mut self,
        step: Step,
        name: &'static str,
        rule: &RuleUse,
        blobs: &BTreeMap<Digest, Bytes>,
    ) -> Result<Configured, RulesError> {
        let key = (rule.component, name);
        let wrong = |source| RulesError::Component {
            step: name,
            name: rule.name.clone(),
            source,
        };
        let component = match self.components.get(&key) {
            Some(component) => component.clone(),
            None => {
                let bytes = blobs.get(&rule.component).ok_or(RulesError::MissingBlob {
                    digest: rule.component,
                })?;
                let compiled = self.sandbox.compile(bytes, step, &self.limits.compile);
                let component = compiled.map_err(wrong)?;
                self.components.insert(key, component.clone());
                component
            }
        };
        let limits = Limits {
            deadline: self.limits.deadline,
            ..rule.limits.clone()
        };
        component
            .configure(&rule.params.to_string(), &limits)
            .map_err(wrong)
    }

    fn row_rule(
        &mut self,
        step: Step,
        name: &'static str,
        rule: &RuleUse,
        blobs: &BTreeMap<Digest, Bytes>,
    ) -> Result<RowRule, RulesError> {
        let configured = self.component(step, name, rule, blobs)?;
        let Description::Rows(description) = configured.description.clone() else {
            return Err(unfit(
                name,
                &rule.name,
                "it describes groups, not rows".into(),
            ));
        };
        Ok(RowRule {
            name: rule.name.clone(),
            step: name,
            configured,
            description,
        })
    }

    fn gold_rule(
        &mut self,
        gold: &GoldUse,
        blobs: &BTreeMap<Digest, Bytes>,
    ) -> Result<GoldRule, RulesError> {
        let configured = self.component(Step::Aggregate, "gold", &gold.rule, blobs)?;
        let Description::Groups(description) = configured.description.clone() else {
            return Err(unfit(
                "gold",
                &gold.rule.name,
                "it describes rows, not groups".into(),
            ));
        };
        for column in &gold.partition_by {
            if !description.keys.contains(column) {
                let keys = description.keys.join(", ");
                return Err(unfit(
                    "gold",
                    &gold.rule.name,
                    format!(
                        "table {} is partitioned by {column}, which is none of the component's keys ({keys})",
                        gold.table
                    ),
                ));
            }
        }
        Ok(GoldRule {
            table: gold.table.clone(),
            partition_by: gold.partition_by.clone(),
            name: gold.rule.name.clone(),
            configured,
            description,
        })
    }
}

fn check_gate(
    section: &'static str,
    gate: Option<&Gate>,
    gold: &[GoldRule],
) -> Result<(), RulesError> {
    let measures = |rule: &GoldRule| {
        let table = rule.table.clone();
        let measures = rule.description.measures.clone().into_iter();
        measures
            .filter(|measure| matches!(measure.kind.arrow(), DataType::Decimal128(..)))
            .map(move |measure| format!("{table}.{}", measure.name))
    };
    let known: Vec<String> = gold.iter().flat_map(measures).collect();
    let mut named = gate.into_iter().flat_map(|gate| &gate.money);
    match named.find(|name| !known.contains(name)) {
        None => Ok(()),
        Some(name) => Err(RulesError::Gate {
            section,
            name: name.clone(),
            known: known.join(", "),
        }),
    }
}

fn unfit(step: &'static str, name: &str, problem: String) -> RulesError {
    RulesError::Unfit {
        step,
        name: name.to_owned(),
        problem,
    }
}

/// The columns that every layer's rows begin with.
pub fn identity_fields() -> Vec<Field> {
    vec![
        Field::new("_topic", DataType::Utf8, false),
        Field::new("_source", DataType::Utf8, false),
        Field::new("_partition", DataType::Int32, false),
        Field::new("_offset", DataType::Int64, false),
    ]
}

/// A list of texts, as `_warnings` and `rules` hold them.
pub fn text_list() -> DataType {
    DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true)))
}
