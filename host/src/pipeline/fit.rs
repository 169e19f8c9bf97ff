//! Whether a rule set's rows would fit the tables that there are. Asked before a switch, so that a
//! set that can't be written is refused while the one before it still judges.

use arrow::datatypes::Schema;

use crate::lake::{Lake, Table};
use crate::medallion::layer::{LayerError, evolved};
use crate::medallion::rules::{GoldRule, Rules};
use crate::medallion::{bronze, gold};
use crate::names::Tenant;

/// Holds a rule set against a tenant's tables; those that there are not yet will fit.
///
/// # Errors
/// `Clash` or `Refused`, which say what to do; `Lake` for a table that can't be read.
pub async fn fits_lake(lake: &Lake, tenant: &Tenant, rules: &Rules) -> Result<(), LayerError> {
    let open = async |name: &str| lake.open_table(&format!("{tenant}/{name}")).await;
    if let Some(bronze) = open("bronze").await? {
        fits_bronze(&bronze, rules)?;
    }
    if let Some(silver) = open("silver").await? {
        fits_silver(&silver, rules)?;
    }
    for rule in &rules.gold {
        if let Some(table) = open(&format!("gold/{}", rule.table)).await? {
            fits_gold(&table, rules, rule)?;
        }
    }
    Ok(())
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
