//! Whether a rule set's rows would fit the tables that there are. Asked before a switch, so that a
//! set that can't be written is refused while the one before it still judges.

use std::collections::BTreeMap;

use arrow::datatypes::Schema;

use crate::lake::{Lake, Table};
use crate::medallion::layer::{LayerError, evolved};
use crate::medallion::rules::{GoldRule, Rules};
use crate::medallion::{bronze, gold};
use crate::names::Tenant;

/// What a tenant's tables declare, as those are looked at again and again who change its rules: read
/// once and then followed, since a log of thousands of versions takes its time. By name.
#[derive(Default)]
pub struct Declared(BTreeMap<String, Table>);

impl Declared {
    /// Holds a rule set against a tenant's tables; those that there are not yet will fit.
    ///
    /// # Errors
    /// `Clash` or `Refused`, which say what to do; `Lake` for a table that can't be read.
    pub async fn fits(
        &mut self,
        lake: &Lake,
        tenant: &Tenant,
        rules: &Rules,
    ) -> Result<(), LayerError> {
        if let Some(bronze) = self.table(lake, tenant, "bronze").await? {
            fits_bronze(bronze, rules)?;
        }
        if let Some(silver) = self.table(lake, tenant, "silver").await? {
            fits_silver(silver, rules)?;
        }
        for rule in &rules.gold {
            let name = format!("gold/{}", rule.table);
            if let Some(table) = self.table(lake, tenant, &name).await? {
                fits_gold(table, rules, rule)?;
            }
        }
        Ok(())
    }

    async fn table(
        &mut self,
        lake: &Lake,
        tenant: &Tenant,
        name: &str,
    ) -> Result<Option<&Table>, LayerError> {
        let followed = match self.0.remove(name) {
            // One that can't be followed any more is opened, which says why.
            Some(mut table) => table.refresh().await.ok().map(|_| table),
            None => None,
        };
        let table = match followed {
            Some(table) => Some(table),
            None => lake.open_table(&format!("{tenant}/{name}")).await?,
        };
        let Some(mut table) = table else {
            return Ok(None);
        };
        table.forget_files();
        Ok(Some(self.0.entry(name.to_owned()).or_insert(table)))
    }
}

/// # Errors
/// `Clash`.
pub fn fits_bronze(table: &Table, rules: &Rules) -> Result<(), LayerError> {
    evolved(table, &Schema::new(bronze::declared(rules))).map(|_| ())
}

/// # Errors
/// `Clash`.
pub fn fits_silver(table: &Table, rules: &Rules) -> Result<(), LayerError> {
    evolved(table, &rules.silver).map(|_| ())
}

/// # Errors
/// `Clash`, or `Refused` where the table is partitioned otherwise.
pub fn fits_gold(table: &Table, rules: &Rules, rule: &GoldRule) -> Result<(), LayerError> {
    if table.partition_by() != rule.partition_by {
        return Err(LayerError::Refused {
            table: table.path().to_owned(),
            detail: format!(
                "it is partitioned by {:?}, the pipeline wants {:?}; give the table another name",
                table.partition_by(),
                rule.partition_by
            ),
        });
    }
    evolved(table, &gold::schema(rules, rule)).map(|_| ())
}
