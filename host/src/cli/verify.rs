//! `assay verify`: whether the books balance.

use anyhow::bail;

use super::common::{LakeArgs, block_on, sandbox};
use crate::cli::out::say;
use crate::names::Tenant;
use crate::pipeline::verify::{Report, verify};

/// Hold the tables against each other, row by row: every message is exactly once in silver or in
/// quarantine, and gold is what silver adds up to, to the cent
#[derive(clap::Args)]
pub struct Args {
    /// The tenants to look at; all of the lake's without it
    tenants: Vec<Tenant>,
    #[command(flatten)]
    lake: LakeArgs,
}

/// # Errors
/// Tables that can't be read, or books that do not balance.
pub fn run(args: Args) -> anyhow::Result<()> {
    block_on(async {
        let lake = args.lake.existing()?;
        let sandbox = sandbox()?;
        let mut tenants = args.tenants;
        if tenants.is_empty() {
            let tables = lake.list_tables("").await?;
            let names = tables
                .iter()
                .filter_map(|table| table.strip_suffix("/bronze"));
            tenants = names.filter_map(|name| name.parse().ok()).collect();
        }
        if tenants.is_empty() {
            bail!("no tenant in this lake; name the lake with --lake");
        }
        let mut off = Vec::new();
        for tenant in tenants {
            if lake
                .open_table(&format!("{tenant}/bronze"))
                .await?
                .is_none()
            {
                bail!(
                    "tenant {tenant} has no bronze table in this lake; name the lake with --lake"
                );
            }
            let report = verify(&lake, &tenant, sandbox.clone()).await?;
            print(&tenant, &report);
            if !report.balances() {
                off.push(tenant.to_string());
            }
        }
        if !off.is_empty() {
            bail!("the books of {} do not balance", off.join(", "));
        }
        Ok(())
    })
}

/// Shows a report as lines.
pub fn print(tenant: &Tenant, report: &Report) {
    let quarantine: Vec<String> = report
        .quarantine
        .iter()
        .map(|(action, rows)| format!("{rows} {action}"))
        .collect();
    say!(
        "{tenant}: {} rows = {} in silver + {}",
        report.rows,
        report.silver,
        if quarantine.is_empty() {
            "0 in quarantine".to_owned()
        } else {
            quarantine.join(" + ")
        },
    );
    for (table, rows) in &report.gold {
        say!("{tenant}: gold {table}: {rows} rows, recomputed from silver");
    }
    for problem in &report.problems {
        say!("{tenant}: WRONG: {problem}");
    }
    let unnamed = report.count.saturating_sub(report.problems.len() as u64);
    if unnamed > 0 {
        say!("{tenant}: WRONG: and {unnamed} more");
    }
    if report.balances() {
        say!("{tenant}: the books balance");
    }
}
