//! A rule set made ready to judge: components compiled and configured, dimensions in memory, and
//! every column that a component reads bound to where it comes from. What can't fit is refused
//! here, before it meets a row.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use bytes::Bytes;

use super::definition::{Definition, GoldUse, RuleUse};
use super::dimension::Dimension;
use crate::names::{Digest, RuleSetNumber};
use crate::plugin::{
    Component, Configured, Description, GroupDescription, Limits, LookUp, PluginError,
    RowDescription, Sandbox, Step,
};

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
    components: BTreeMap<(Digest, &'static str), Component>,
    dimensions: BTreeMap<(Digest, String), Arc<Dimension>>,
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
            components: BTreeMap::new(),
            dimensions: BTreeMap::new(),
        }
    }

    /// Makes a definition ready. `blobs` holds the bytes of every blob that it names.
    ///
    /// # Errors
    /// The first thing that does not fit, in the words of who wrote it.
    pub fn prepare(
        &mut self,
        number: RuleSetNumber,
        definition: &Definition,
        blobs: &BTreeMap<Digest, Bytes>,
    ) -> Result<Rules, RulesError> {
        let dimensions = self.dimensions(definition, blobs)?;
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
        let silver = binder.silver();
        let mut gold = Vec::new();
        for gold_use in &definition.gold {
            let rule = self.gold_rule(gold_use, blobs)?;
            binder.bind_gold(&rule)?;
            gold.push(rule);
        }
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
        definition: &Definition,
        blobs: &BTreeMap<Digest, Bytes>,
    ) -> Result<BTreeMap<String, Arc<Dimension>>, RulesError> {
        let mut ready = BTreeMap::new();
        for (name, used) in &definition.dimensions {
            let Some(digest) = used.rows else { continue };
            let key = (digest, name.clone());
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
            let dimension =
                Dimension::new(&used.spec(name), rows).map_err(|e| wrong(e.to_string()))?;
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
                let component = self.sandbox.compile(bytes, step).map_err(wrong)?;
                self.components.insert(key, component.clone());
                component
            }
        };
        component
            .configure(&rule.params.to_string(), &Limits::default())
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

fn unfit(step: &'static str, name: &str, problem: String) -> RulesError {
    RulesError::Unfit {
        step,
        name: name.to_owned(),
        problem,
    }
}

/// Which columns there are, step by step.
struct Binder<'a> {
    definition: &'a Definition,
    dimensions: &'a BTreeMap<String, Arc<Dimension>>,
    /// Readable by components, by name.
    readable: BTreeMap<String, DataType>,
    /// The event's fields and what was written, in order.
    rows: Vec<(String, DataType)>,
    notes: Vec<String>,
}

impl<'a> Binder<'a> {
    fn new(definition: &'a Definition, dimensions: &'a BTreeMap<String, Arc<Dimension>>) -> Self {
        let rows: Vec<(String, DataType)> = definition
            .fields
            .iter()
            .map(|field| (field.name.clone(), field.field_type.arrow()))
            .collect();
        let mut readable: BTreeMap<_, _> = rows.iter().cloned().collect();
        readable.insert("_rescued".into(), DataType::Utf8);
        readable.insert("_ingested_at".into(), timestamp_type());
        readable.insert("_now".into(), timestamp_type());
        Self {
            definition,
            dimensions,
            readable,
            rows,
            notes: Vec::new(),
        }
    }

    fn add_host_columns(&mut self) {
        self.readable.insert(SALE_DATE.into(), DataType::Date32);
        self.readable.insert(SALE_HOUR.into(), DataType::Int64);
    }

    fn bind(&mut self, rule: &RowRule) -> Result<(), RulesError> {
        self.reads(rule.step, &rule.name, &rule.description.reads)?;
        let mut joined = BTreeMap::new();
        for look_up in &rule.description.look_ups {
            self.look_up(rule, look_up, &mut joined)?;
        }
        for field in &rule.description.writes {
            let written = field.kind.arrow();
            let known = self.rows.iter().find(|(name, _)| *name == field.name);
            match (rule.step, known) {
                ("cleanse", Some((_, held))) if !same_kind(held, &written) => {
                    return Err(unfit(
                        rule.step,
                        &rule.name,
                        format!(
                            "it writes {} as {written}, where the event's field is {held}",
                            field.name
                        ),
                    ));
                }
                ("cleanse", Some(_)) => {}
                (_, Some(_)) => {
                    return Err(unfit(
                        rule.step,
                        &rule.name,
                        format!(
                            "it writes {}, which is there already; only cleansing replaces a column",
                            field.name
                        ),
                    ));
                }
                (_, None)
                    if field.name.starts_with('_') || self.readable.contains_key(&field.name) =>
                {
                    return Err(unfit(
                        rule.step,
                        &rule.name,
                        format!("it writes {}, which is the host's", field.name),
                    ));
                }
                (_, None) => {
                    self.readable.insert(field.name.clone(), written.clone());
                    self.rows.push((field.name.clone(), written));
                }
            }
        }
        Ok(())
    }

    fn reads(
        &self,
        step: &'static str,
        name: &str,
        reads: &[crate::plugin::Field],
    ) -> Result<(), RulesError> {
        for field in reads {
            match self.readable.get(&field.name) {
                None if field.required => {
                    return Err(unfit(
                        step,
                        name,
                        format!(
                            "it needs the column {}, which the events of this tenant do not have; declare it under [event.fields]",
                            field.name
                        ),
                    ));
                }
                Some(held) if !field.kind.accepts(held) => {
                    return Err(unfit(
                        step,
                        name,
                        format!(
                            "it reads {} as {:?}, but the column is {held}",
                            field.name, field.kind
                        ),
                    ));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn look_up(
        &mut self,
        rule: &RowRule,
        look_up: &LookUp,
        joined: &mut BTreeMap<String, DataType>,
    ) -> Result<(), RulesError> {
        let wrong = |problem| unfit(rule.step, &rule.name, problem);
        let name = &look_up.dimension;
        let used = self.definition.dimensions.get(name).ok_or_else(|| {
            wrong(format!("it looks things up in dimension {name}, which the pipeline does not have; add [dimension.{name}]"))
        })?;
        let mut keys: Vec<&str> = look_up.on.iter().map(|(_, key)| key.as_str()).collect();
        let mut wanted: Vec<&str> = used.key.iter().map(String::as_str).collect();
        keys.sort_unstable();
        wanted.sort_unstable();
        if keys != wanted {
            return Err(wrong(format!(
                "it looks dimension {name} up by {keys:?}, whose key is {wanted:?}"
            )));
        }
        for (column, _) in &look_up.on {
            if !self.readable.contains_key(column) && !joined.contains_key(column) {
                return Err(wrong(format!(
                    "it looks dimension {name} up by column {column}, which there is not"
                )));
            }
        }
        if let Some(column) = &look_up.as_of
            && self.readable.get(column) != Some(&timestamp_type())
        {
            return Err(wrong(format!(
                "it looks dimension {name} up as of {column}, which is no timestamp column"
            )));
        }
        let dimension = self.dimensions.get(name);
        for field in &look_up.fields {
            let held = dimension.and_then(|d| d.rows().column_by_name(&field.name));
            match (held, dimension.is_some()) {
                (Some(held), _) if !field.kind.accepts(held.data_type()) => {
                    return Err(wrong(format!(
                        "it reads {name}.{} as {:?}, but the dimension has it as {}; set its type under [dimension.{name}] columns",
                        field.name,
                        field.kind,
                        held.data_type()
                    )));
                }
                (None, true) if field.required => {
                    return Err(wrong(format!(
                        "it needs {name}.{}, which the dimension does not have",
                        field.name
                    )));
                }
                (None, true) => {
                    let note = format!(
                        "{} {}: dimension {name} has no {}; it is null in every row",
                        rule.step, rule.name, field.name
                    );
                    if !self.notes.contains(&note) {
                        self.notes.push(note);
                    }
                }
                _ => {}
            }
            joined.insert(format!("{name}.{}", field.name), field.kind.arrow());
        }
        joined.insert(format!("{name}.found"), DataType::Boolean);
        if dimension.is_none() {
            let note = format!("dimension {name} is empty: load it with `assay dimension load`");
            if !self.notes.contains(&note) {
                self.notes.push(note);
            }
        }
        Ok(())
    }

    fn bind_gold(&self, rule: &GoldRule) -> Result<(), RulesError> {
        self.reads("gold", &rule.name, &rule.description.reads)?;
        for key in &rule.description.keys {
            if !self.readable.contains_key(key) {
                return Err(unfit(
                    "gold",
                    &rule.name,
                    format!("its key {key} is a column that silver does not have"),
                ));
            }
        }
        for field in &rule.description.reads {
            if matches!(
                field.name.as_str(),
                "_rescued" | "_ingested_at" | "_now" | SALE_HOUR
            ) {
                return Err(unfit(
                    "gold",
                    &rule.name,
                    format!("it reads {}, which silver does not keep", field.name),
                ));
            }
        }
        Ok(())
    }

    /// Silver's columns: whose they are, how they were judged, then the row, then its partition.
    fn silver(&self) -> SchemaRef {
        let mut fields = identity_fields();
        fields.push(Field::new("_line", DataType::Int32, false));
        fields.push(Field::new("_ruleset", DataType::Int64, false));
        fields.push(Field::new("_content", DataType::Binary, false));
        fields.push(Field::new("_warnings", text_list(), true));
        for (name, data_type) in &self.rows {
            fields.push(Field::new(name, data_type.clone(), true));
        }
        fields.push(Field::new(SALE_DATE, DataType::Date32, true));
        Arc::new(Schema::new(fields))
    }
}

/// Two types that differ in a decimal's precision at most.
fn same_kind(held: &DataType, written: &DataType) -> bool {
    match (held, written) {
        (DataType::Decimal128(_, a), DataType::Decimal128(_, b)) => a == b,
        _ => held == written,
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
