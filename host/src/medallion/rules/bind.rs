//! Which columns there are, step by step, and whether each component finds what it reads.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::{
    GoldRule, RowRule, RulesError, SALE_DATE, SALE_HOUR, identity_fields, text_list,
    timestamp_type, unfit,
};
use crate::medallion::definition::Definition;
use crate::medallion::dimension::{Dimension, can_ask};
use crate::plugin::LookUp;

/// Which columns there are, step by step.
pub(super) struct Binder<'a> {
    definition: &'a Definition,
    dimensions: &'a BTreeMap<String, Arc<Dimension>>,
    /// Readable by components, by name.
    readable: BTreeMap<String, DataType>,
    /// The event's fields and what was written, in order.
    rows: Vec<(String, DataType)>,
    /// A gold table reads the hour, so silver keeps it.
    keeps_hour: bool,
    pub(super) notes: Vec<String>,
}

impl<'a> Binder<'a> {
    pub(super) fn new(
        definition: &'a Definition,
        dimensions: &'a BTreeMap<String, Arc<Dimension>>,
    ) -> Self {
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
            keeps_hour: false,
            notes: Vec::new(),
        }
    }

    /// Columns beside the event's own, as if a component before had written them.
    pub(super) fn give(&mut self, columns: &[(String, DataType)]) {
        self.readable.extend(columns.iter().cloned());
        self.rows.extend(columns.iter().cloned());
    }

    pub(super) fn add_host_columns(&mut self) {
        self.readable.insert(SALE_DATE.into(), DataType::Date32);
        self.readable.insert(SALE_HOUR.into(), DataType::Int64);
    }

    pub(super) fn bind(&mut self, rule: &RowRule) -> Result<(), RulesError> {
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
        self.keys_fit(look_up, joined).map_err(wrong)?;
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
            let note = format!(
                "dimension {name} is empty: load it with `assay dimension load`, or where a component is tried put {name}.csv beside the rows"
            );
            if !self.notes.contains(&note) {
                self.notes.push(note);
            }
        }
        Ok(())
    }

    /// Whether the columns that a dimension is looked up by can be compared with its key.
    fn keys_fit(
        &self,
        look_up: &LookUp,
        joined: &BTreeMap<String, DataType>,
    ) -> Result<(), String> {
        let name = &look_up.dimension;
        let Some(dimension) = self.dimensions.get(name) else {
            return Ok(());
        };
        for (column, key) in &look_up.on {
            let asked = joined.get(column).or_else(|| self.readable.get(column));
            let held = dimension.rows().column_by_name(key);
            if let (Some(asked), Some(held)) = (asked, held)
                && !can_ask(asked, held.data_type())
            {
                return Err(format!(
                    "it looks dimension {name} up by {column}, which is {asked}, but its key {key} is {}; set the type of one under [event.fields] or [dimension.{name}] columns",
                    held.data_type()
                ));
            }
        }
        Ok(())
    }

    pub(super) fn bind_gold(&mut self, rule: &GoldRule) -> Result<(), RulesError> {
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
            if matches!(field.name.as_str(), "_rescued" | "_ingested_at" | "_now") {
                return Err(unfit(
                    "gold",
                    &rule.name,
                    format!("it reads {}, which silver does not keep", field.name),
                ));
            }
            self.keeps_hour |= field.name == SALE_HOUR;
        }
        Ok(())
    }

    /// Silver's columns: whose they are, how they were judged, then the row, then its hour if a gold
    /// table reads it, and its partition.
    pub(super) fn silver(&self) -> SchemaRef {
        let mut fields = identity_fields();
        fields.push(Field::new("_line", DataType::Int32, false));
        fields.push(Field::new("_ruleset", DataType::Int64, false));
        fields.push(Field::new("_content", DataType::Binary, false));
        fields.push(Field::new("_warnings", text_list(), true));
        for (name, data_type) in &self.rows {
            fields.push(Field::new(name, data_type.clone(), true));
        }
        if self.keeps_hour {
            fields.push(Field::new(SALE_HOUR, DataType::Int64, true));
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
