//! What another rule set would do, for people: as tables of text.

use std::fmt::Write as _;

use anyhow::{Context as _, bail};
use chrono::DateTime;

use crate::cli::out::{put, say};
use crate::lake::Lake;
use crate::medallion::compare::{Change, Comparison, Cost, GoldChange, Sample, Sums};
use crate::names::{RuleSetNumber, Tenant};
use crate::pipeline::answers;
use crate::pipeline::shadow::{Merged, merged};
use crate::ruleset::Registry;

/// Groups of a gold table, and ways in which verdicts changed, that are shown; JSON has all.
const MOST_SHOWN: usize = 10;
/// Samples that are shown of each change; JSON has all.
const SAMPLES: usize = 2;

/// Shows what hosts found of a shadow.
pub(super) async fn show(
    lake: &Lake,
    tenant: &Tenant,
    registry: &mut Registry,
    number: Option<RuleSetNumber>,
    as_json: bool,
) -> anyhow::Result<()> {
    let number = number.or(registry.shadow());
    let number = number.with_context(|| {
        format!(
            "no rule set is a shadow; begin with `assay rules shadow {tenant} NUMBER`, or name one"
        )
    })?;
    let state = registry.state(registry.set(number)?).as_str();
    let Some(report) = merged(lake, tenant, registry, number, None).await? else {
        bail!(
            "there is no report of rule set {number}, which is {state}: no host has looked at a batch with it yet"
        );
    };
    if as_json {
        say!("{}", answers::report(tenant, registry, &report)?);
        return Ok(());
    }
    put!("{tenant}: {}", shadow(&report));
    Ok(())
}

/// A shadow's report, as lines.
fn shadow(report: &Merged) -> String {
    let moment = |micros| {
        let at = DateTime::from_timestamp_micros(micros).unwrap_or_default();
        at.format("%Y-%m-%d %H:%M:%SZ").to_string()
    };
    let coverage = report.coverage;
    let against: Vec<String> = report.against.iter().map(ToString::to_string).collect();
    let mut text = format!(
        "rule set {} beside {}, from {} to {}\n",
        report.number,
        against.join(", "),
        moment(report.since),
        moment(report.until),
    );
    let batches = coverage.batches + coverage.batches_left_out;
    let _ = writeln!(
        text,
        "{} of {batches} batches were looked at; {} messages were left out; {} ms of CPU",
        coverage.batches, coverage.messages_left_out, coverage.cpu_millis,
    );
    text + &comparison(&report.comparison)
}

/// A comparison, as lines.
pub(super) fn comparison(found: &Comparison) -> String {
    let mut text = format!(
        "{} rows of {} messages, before duplicates are left out: {} end otherwise\n",
        found.rows, found.messages, found.changed
    );
    let (before, after) = (found.before, found.after);
    for (name, before, after) in [
        ("silver", before.silver, after.silver),
        ("quarantine", before.quarantine, after.quarantine),
        ("drop", before.drop, after.drop),
        ("of quarantine: trapped", before.trapped, after.trapped),
    ] {
        if before + after > 0 {
            let _ = writeln!(text, "  {name:<24} {before:>12} -> {after}");
        }
    }
    verdicts(found, &mut text);
    if !found.columns.is_empty() {
        text.push_str("columns of silver, in rows that are there both times\n");
    }
    for (name, change) in &found.columns {
        let _ = writeln!(text, "  {name}: {} rows", change.rows);
        samples(change, &mut text);
    }
    for (table, change) in &found.gold {
        gold(table, change, &mut text);
    }
    costs(found, &mut text);
    text
}

fn verdicts(found: &Comparison, text: &mut String) {
    if !found.verdicts.is_empty() {
        text.push_str("verdicts\n");
    }
    let mut turns: Vec<_> = found.verdicts.iter().collect();
    turns.sort_by_key(|(_, change)| std::cmp::Reverse(change.rows));
    for ((before, after), change) in turns.iter().take(MOST_SHOWN) {
        let _ = writeln!(text, "  {} rows: {before} -> {after}", change.rows);
        samples(change, text);
    }
    let more = turns.len().saturating_sub(MOST_SHOWN);
    if more > 0 || found.partial {
        let least = if found.partial { "at least " } else { "" };
        let _ = writeln!(text, "  and {least}{more} other ways; see --json");
    }
}

fn samples(change: &Change, text: &mut String) {
    for sample in change.samples.iter().take(SAMPLES) {
        let Sample {
            topic,
            partition,
            offset,
            line,
            before,
            after,
            event,
            ..
        } = sample;
        let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
        let _ = writeln!(
            text,
            "      {topic}/{partition} offset {offset} line {line}: {} -> {}\n        {event}",
            shown(before),
            shown(after)
        );
    }
}

fn gold(table: &str, change: &GoldChange, text: &mut String) {
    let differs = |sums: &Sums| !sums.difference().is_zero();
    let measures = change.measures.iter();
    let measures: Vec<_> = measures.filter(|(_, m)| differs(&m.sums)).collect();
    if measures.is_empty() {
        let _ = writeln!(text, "gold {table}: nothing differs");
        return;
    }
    let _ = writeln!(text, "gold {table}");
    for (name, measure) in &measures {
        line(name, measure.sums, text);
    }
    // Money says most about a group.
    let (name, _) = match measures
        .iter()
        .find(|(name, m)| m.money && *name == "net_amount")
    {
        Some(found) => *found,
        None => match measures.iter().find(|(_, m)| m.money).or(measures.first()) {
            Some(found) => *found,
            None => return,
        },
    };
    let groups = change.groups.iter();
    let groups = groups.filter_map(|(group, sums)| Some((group, *sums.get(name)?)));
    let mut groups: Vec<_> = groups.filter(|(_, sums)| differs(sums)).collect();
    groups.sort_by(|(_, one), (_, other)| {
        let size = |sums: &Sums| sums.difference().about().abs();
        size(other).total_cmp(&size(one))
    });
    let of = if change.partial { "some of the" } else { "the" };
    let _ = writeln!(text, "  {name} in {of} {} groups that differ", groups.len());
    for (group, sums) in groups.iter().take(MOST_SHOWN) {
        line(group, *sums, text);
    }
}

fn line(name: &str, sums: Sums, text: &mut String) {
    let Sums { before, after } = sums;
    let difference = sums.difference();
    let _ = writeln!(
        text,
        "    {name:<36} {before:>16} -> {after:>16}  {difference:>+16}"
    );
}

fn costs(found: &Comparison, text: &mut String) {
    let a_row = |cost: Cost, what: u64| what as f64 / cost.rows.max(1) as f64;
    let show = |cost: Cost| match cost.rows {
        0 => format!("{:>10} {:>12}", "-", "-"),
        _ => format!(
            "{:>7.0} ns {:>7.0} fuel",
            a_row(cost, cost.nanos),
            a_row(cost, cost.fuel)
        ),
    };
    text.push_str("cost a row, on the same thread\n");
    for (component, costs) in &found.cost {
        let (before, after) = (show(costs.before), show(costs.after));
        let _ = writeln!(text, "  {component:<36} {before} -> {after}");
    }
}
