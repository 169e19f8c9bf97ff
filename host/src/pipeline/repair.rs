//! Healing a tenant's tables: when a version that was cut short may be given up.
//!
//! It may where nothing was built on it. Progress goes back with it, so its rows come again; what
//! must not be is a later layer that has them already, or a row that names the rule set in it.

use std::time::Duration;

use crate::lake::{Bound, Damage, File, Lake, LakeError, Torn};
use crate::medallion::layer::{DUPLICATES, START};
use crate::names::Tenant;

/// A file that was written this recently may still be on its way.
const SETTLED: Duration = Duration::from_secs(60);

/// Why a table was not healed. Nothing of it was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RepairError {
    #[error(transparent)]
    Lake(#[from] LakeError),
    #[error(
        "{table}: its last version, {version}, is torn ({reason}), but {why}; nothing was changed: restore _delta_log/{version:020}.json from a copy, or move the tenant's tables away and have them built again"
    )]
    Relied {
        table: String,
        version: i64,
        reason: String,
        why: String,
    },
    #[error(
        "{table}: its last version, {version}, was written {seconds} s ago and may still be on its way; nothing was changed: try again in a minute"
    )]
    Young {
        table: String,
        version: i64,
        seconds: u64,
    },
}

/// What is wrong with a table, and what is (or would be) done about it.
#[derive(Debug, PartialEq, Eq)]
pub struct Repaired {
    pub table: String,
    /// A sentence for each damage; none: the table is whole.
    pub told: Vec<String>,
}

/// Heals one table of a tenant, as `silver` or `gold/daily_sales`. `None`: there is no such table.
///
/// # Errors
/// Damage that can't be healed from what is there without a wrong row.
pub async fn repair(
    lake: &Lake,
    tenant: &Tenant,
    table: &str,
    dry_run: bool,
) -> Result<Option<Repaired>, RepairError> {
    let path = format!("{tenant}/{table}");
    let Some(damage) = lake.inspect(&path).await? else {
        return Ok(None);
    };
    if let Some(torn) = damage.torn() {
        check_torn(lake, tenant, table, &damage, torn).await?;
    }
    let told = damage.told();
    if !told.is_empty() && !dry_run {
        damage.heal().await?;
    }
    Ok(Some(Repaired { table: path, told }))
}

async fn check_torn(
    lake: &Lake,
    tenant: &Tenant,
    table: &str,
    damage: &Damage,
    torn: &Torn,
) -> Result<(), RepairError> {
    let path = format!("{tenant}/{table}");
    if torn.age < SETTLED {
        return Err(RepairError::Young {
            table: path,
            version: torn.version,
            seconds: torn.age.as_secs(),
        });
    }
    let relied = match &torn.engine {
        Some(engine) if !engine.starts_with("assay/") => Some(format!("{engine} wrote it")),
        _ => match damage.missing_file().await? {
            Some(file) => Some(format!("without it {file} is missing")),
            None if table == "rulesets" => pinned(lake, tenant, torn.version).await?,
            None => built_on(lake, tenant, table, damage).await?,
        },
    };
    match relied {
        None => Ok(()),
        Some(why) => Err(RepairError::Relied {
            table: path,
            version: torn.version,
            reason: torn.reason.clone(),
            why,
        }),
    }
}

/// Whether a row of bronze may name a rule set of this number.
async fn pinned(lake: &Lake, tenant: &Tenant, number: i64) -> Result<Option<String>, RepairError> {
    let Some(bronze) = lake.open_table(&format!("{tenant}/bronze")).await? else {
        return Ok(None);
    };
    let below = |file: &File| match file.bound("_ruleset") {
        Some(Bound::Integer(_, last)) => *last < number,
        _ => false,
    };
    let names = bronze.files().any(|file| !below(file));
    Ok(names.then(|| format!("rows of bronze may name rule set {number}")))
}

/// Whether a layer after this one is past its progress without the torn version.
async fn built_on(
    lake: &Lake,
    tenant: &Tenant,
    table: &str,
    damage: &Damage,
) -> Result<Option<String>, RepairError> {
    let before = damage.transactions();
    for later in later_than(lake, tenant, table).await? {
        let Some(later) = lake.open_table(&later).await? else {
            continue;
        };
        for (app_id, at) in later.transactions() {
            // Of quarantine, silver is built on what rules refused; it is the duplicates that are
            // built on silver.
            let duplicates = app_id.ends_with(DUPLICATES);
            let earlier = table == "silver" && later.path().ends_with("/quarantine") && !duplicates;
            if app_id.ends_with(START) || earlier {
                continue;
            }
            // Duplicates are found once silver has the rest.
            let layer = app_id.strip_suffix(DUPLICATES).unwrap_or(app_id);
            let ours = before.get(layer).map(|txn| txn.version);
            if ours.is_none_or(|ours| ours < at.version) {
                return Ok(Some(format!(
                    "{} is at {} in {app_id}, and this table without that version at {}",
                    later.path(),
                    at.version,
                    ours.map_or_else(|| "nothing".to_owned(), |ours| ours.to_string()),
                )));
            }
        }
    }
    Ok(None)
}

/// The tables that are built from this one.
async fn later_than(lake: &Lake, tenant: &Tenant, table: &str) -> Result<Vec<String>, RepairError> {
    let layers: &[&str] = match table {
        "bronze" => &["quarantine", "silver"],
        "quarantine" => &["silver"],
        "silver" => &["quarantine"],
        _ => return Ok(Vec::new()),
    };
    let mut later: Vec<String> = layers
        .iter()
        .map(|name| format!("{tenant}/{name}"))
        .collect();
    later.extend(lake.list_tables(&format!("{tenant}/gold")).await?);
    Ok(later)
}

#[cfg(test)]
mod tests;
