//! One component as the whole of a rule set, for authors: bound and refused as in a tenant's, but
//! with columns given to it that other components would have written.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::DataType;

use super::bind::Binder;
use super::{GoldRule, RowRule, Rules, RulesError};
use crate::medallion::definition::Definition;
use crate::medallion::dimension::Dimension;
use crate::names::RuleSetNumber;

/// The one component of a rule set.
pub enum Only<'a> {
    Rows(&'a RowRule),
    Groups(&'a GoldRule),
}

impl Rules {
    /// What stands around one component: `definition` names none itself. `given` are columns beside
    /// the event's own.
    ///
    /// # Errors
    /// What the component reads and does not find.
    pub fn alone(
        definition: Definition,
        dimensions: BTreeMap<String, Arc<Dimension>>,
        given: &[(String, DataType)],
        only: &Only<'_>,
    ) -> Result<Self, RulesError> {
        let mut binder = Binder::new(&definition, &dimensions);
        binder.give(given);
        let after_cleansing = !matches!(only, Only::Rows(rule) if rule.step == "cleanse");
        if after_cleansing {
            binder.add_host_columns();
        }
        match only {
            Only::Rows(rule) => binder.bind(rule)?,
            Only::Groups(rule) => binder.bind_gold(rule)?,
        }
        let silver = binder.silver();
        let notes = binder.notes;
        Ok(Self {
            number: RuleSetNumber(0),
            definition,
            cleanse: Vec::new(),
            validate: Vec::new(),
            enrich: Vec::new(),
            gold: Vec::new(),
            dimensions,
            silver,
            notes,
        })
    }
}
