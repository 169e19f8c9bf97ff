//! Whether a tenant's books balance, by identity: every message is exactly once in silver or in
//! quarantine, and gold is what silver adds up to. Recomputed from the tables alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{BooleanArray, Int32Array, Int64Array, StringArray};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::record_batch::RecordBatch;
use arrow::row::{OwnedRow, RowConverter, SortField};

use super::tenant::TenantError;
use crate::lake::{Lake, Table};
use crate::medallion::cut::Cut;
use crate::medallion::decode::Decoder;
use crate::medallion::gold::{by_rule_set, columns_read, fold, merge_all, recomputed};
use crate::medallion::layer::{self, DUPLICATES, LayerError, column};
use crate::medallion::rules::{GoldRule, Rules};
use crate::names::{Offset, Partition, RuleSetNumber, Tenant};
use crate::plugin::Sandbox;
use crate::ruleset::Registry;

/// Offending identities that a report names; the rest are counted.
const MOST_NAMED: usize = 20;

/// What was compared, and what did not balance.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Rows of messages that are in both silver's and quarantine's progress.
    pub rows: u64,
    pub silver: u64,
    /// Rows in quarantine by action.
    pub quarantine: BTreeMap<String, u64>,
    /// Rows of each gold table.
    pub gold: BTreeMap<String, u64>,
    /// The first things that do not balance.
    pub problems: Vec<String>,
    /// How many there are in all.
    pub count: u64,
}

impl Report {
    pub fn balances(&self) -> bool {
        self.count == 0
    }

    fn problem(&mut self, text: impl FnOnce() -> String) {
        self.count += 1;
        if self.problems.len() < MOST_NAMED {
            self.problems.push(text());
        }
    }
}

/// (offset, line) of rows, by partition.
type Identities = BTreeMap<Partition, Vec<(Offset, i32)>>;

/// Holds a tenant's tables against each other.
///
/// # Errors
/// Tables that can't be read. What does not balance is in the report.
pub async fn verify(
    lake: &Lake,
    tenant: &Tenant,
    sandbox: Arc<Sandbox>,
) -> Result<Report, TenantError> {
    let mut report = Report::default();
    let mut registry = Registry::open(lake, tenant, sandbox).await?;
    let open = async |name: &str| {
        let table = lake.open_table(&format!("{tenant}/{name}")).await;
        table.map_err(LayerError::from)
    };
    let Some(mut bronze) = open("bronze").await? else {
        return Ok(report);
    };
    // A host may run meanwhile. The later tables are looked at first, so that what they hold is in
    // the earlier ones, and the rule sets last: what lands in between is beyond the progress.
    let mut gold = Vec::new();
    if let Some(active) = registry.active() {
        let rules = registry.rules(active).await?;
        for rule in &rules.gold {
            if let Some(table) = open(&format!("gold/{}", rule.table)).await? {
                gold.push((rule.table.clone(), table));
            }
        }
    }
    let quarantine = open("quarantine").await?;
    let silver = open("silver").await?;
    bronze.refresh().await.map_err(LayerError::from)?;
    registry.refresh().await?;
    let ends = ends(&bronze, quarantine.as_ref(), tenant);
    let silver_rows = match &silver {
        Some(table) => read(table, None).await?,
        None => Vec::new(),
    };
    let mut there = Identities::new();
    for rows in &silver_rows {
        report.silver += gather(rows, &ends, &mut there);
    }
    if let Some(table) = &quarantine {
        for rows in read(table, None).await? {
            gather(&rows, &ends, &mut there);
            count_actions(&rows, &ends, &mut report);
        }
    }
    compare(&bronze, &mut registry, &ends, there, &mut report).await?;
    for (name, table) in gold {
        compare_gold(
            &name,
            &table,
            &silver_rows,
            tenant,
            &mut registry,
            &mut report,
        )
        .await?;
    }
    Ok(report)
}

/// Up to where each partition's books are closed: the progress of its duplicates.
fn ends(
    bronze: &Table,
    quarantine: Option<&Table>,
    tenant: &Tenant,
) -> BTreeMap<Partition, Offset> {
    let partitions = bronze.transactions().keys();
    let partitions = partitions.filter_map(|app_id| Partition::of_app_id(tenant, app_id));
    partitions
        .map(|partition| {
            let start = layer::progress(bronze, tenant, &partition, layer::START);
            let end = quarantine.and_then(|q| layer::progress(q, tenant, &partition, DUPLICATES));
            let end = end.or(start).unwrap_or_default();
            (partition, end)
        })
        .collect()
}

async fn read(table: &Table, names: Option<&[&str]>) -> Result<Vec<RecordBatch>, LayerError> {
    let reader = table.reader();
    let mut batches = Vec::new();
    for file in table.files() {
        batches.extend(reader.read(file, names).await?);
    }
    Ok(batches)
}

/// Whose each row is; `None` for what this version did not write.
fn partition_at(rows: &RecordBatch, row: usize) -> Option<Partition> {
    Some(Partition {
        topic: column::<StringArray>(rows, "_topic")?.value(row).into(),
        source: column::<StringArray>(rows, "_source")?.value(row).into(),
        number: column::<Int32Array>(rows, "_partition")?.value(row),
    })
}

/// Calls `with` for each row before its partition's end.
fn each_row(
    rows: &RecordBatch,
    ends: &BTreeMap<Partition, Offset>,
    mut with: impl FnMut(&Partition, Offset, usize),
) {
    let Some(offsets) = column::<Int64Array>(rows, "_offset") else {
        return;
    };
    // Neighbours mostly share a partition, and comparing beats building one for each row.
    let mut last: Option<Partition> = None;
    for (row, offset) in offsets.values().iter().enumerate() {
        let same = last.as_ref().is_some_and(|last| {
            column::<Int32Array>(rows, "_partition").is_some_and(|c| c.value(row) == last.number)
                && column::<StringArray>(rows, "_topic")
                    .is_some_and(|c| c.value(row) == &*last.topic)
                && column::<StringArray>(rows, "_source")
                    .is_some_and(|c| c.value(row) == &*last.source)
        });
        if !same {
            last = partition_at(rows, row);
        }
        if let Some(partition) = &last
            && ends.get(partition).is_none_or(|end| offset < end)
        {
            with(partition, *offset, row);
        }
    }
}

fn gather(rows: &RecordBatch, ends: &BTreeMap<Partition, Offset>, into: &mut Identities) -> u64 {
    let lines = column::<Int32Array>(rows, "_line");
    let mut count = 0;
    each_row(rows, ends, |partition, offset, row| {
        let line = lines.map_or(0, |lines| lines.value(row));
        match into.get_mut(partition) {
            Some(identities) => identities.push((offset, line)),
            None => {
                into.insert(partition.clone(), vec![(offset, line)]);
            }
        }
        count += 1;
    });
    count
}

fn count_actions(rows: &RecordBatch, ends: &BTreeMap<Partition, Offset>, report: &mut Report) {
    let Some(actions) = column::<StringArray>(rows, "action") else {
        return;
    };
    each_row(rows, ends, |_, _, row| {
        let action = actions.value(row);
        match report.quarantine.get_mut(action) {
            Some(count) => *count += 1,
            None => {
                report.quarantine.insert(action.to_owned(), 1);
            }
        }
    });
}

/// Every (message, line) of bronze must be exactly once in `there`, and nothing else may be.
async fn compare(
    bronze: &Table,
    registry: &mut Registry,
    ends: &BTreeMap<Partition, Offset>,
    mut there: Identities,
    report: &mut Report,
) -> Result<(), TenantError> {
    let mut wanted = Identities::new();
    let reader = bronze.reader();
    for file in bronze.files() {
        for rows in reader.read(file, None).await.map_err(LayerError::from)? {
            for (number, rows) in by_rule_set(&rows)? {
                let rules = registry.rules(RuleSetNumber(number)).await?;
                match rules.definition.explode {
                    None => {
                        gather(&rows, ends, &mut wanted);
                    }
                    Some(_) => gather_lines(&rows, &rules, ends, &mut wanted)?,
                }
            }
        }
    }
    for (partition, mut wanted) in wanted {
        let mut there = there.remove(&partition).unwrap_or_default();
        wanted.sort_unstable();
        there.sort_unstable();
        report.rows += wanted.len() as u64;
        balance(&partition, &wanted, &there, report);
    }
    for (partition, there) in there {
        for (offset, line) in there {
            report.problem(|| {
                format!("{partition} offset {offset} line {line} is in silver or quarantine, but not in bronze")
            });
        }
    }
    Ok(())
}

fn gather_lines(
    rows: &RecordBatch,
    rules: &Rules,
    ends: &BTreeMap<Partition, Offset>,
    wanted: &mut Identities,
) -> Result<(), LayerError> {
    let cut = Cut {
        ranges: Vec::new(),
        messages: rows.clone(),
    };
    let decoded = Decoder::new(&rules.definition.event_schema(), Vec::new()).decode(&cut.raw());
    let mut lines: BTreeMap<usize, Vec<i32>> = BTreeMap::new();
    for (message, line) in decoded.message.iter().zip(&decoded.line) {
        lines.entry(*message as usize).or_default().push(*line);
    }
    each_row(rows, ends, |partition, offset, row| {
        let identities = wanted.entry(partition.clone()).or_default();
        let lines = lines.get(&row).map_or(&[0][..], Vec::as_slice);
        identities.extend(lines.iter().map(|line| (offset, *line)));
    });
    Ok(())
}

/// Both sides are sorted; each identity must stand once on each.
fn balance(
    partition: &Partition,
    wanted: &[(Offset, i32)],
    there: &[(Offset, i32)],
    report: &mut Report,
) {
    let counts = |identities: &[(Offset, i32)]| {
        let mut counts: BTreeMap<(Offset, i32), u32> = BTreeMap::new();
        for identity in identities {
            *counts.entry(*identity).or_default() += 1;
        }
        counts
    };
    if wanted == there && wanted.windows(2).all(|pair| pair.first() != pair.last()) {
        return;
    }
    let (wanted, there) = (counts(wanted), counts(there));
    for ((offset, line), times) in &wanted {
        if *times > 1 {
            report.problem(|| {
                format!("{partition} offset {offset} line {line} is {times} times in bronze")
            });
        }
        match there.get(&(*offset, *line)) {
            Some(1) => {}
            Some(times) => report.problem(|| {
                format!("{partition} offset {offset} line {line} is {times} times in silver and quarantine")
            }),
            None => report.problem(|| {
                format!("{partition} offset {offset} line {line} is neither in silver nor in quarantine")
            }),
        }
    }
    for (offset, line) in there
        .keys()
        .filter(|identity| !wanted.contains_key(identity))
    {
        report.problem(|| {
            format!("{partition} offset {offset} line {line} is in silver or quarantine, but not in bronze")
        });
    }
}

/// Gold's rows must be those that silver's rows in its progress add up to.
async fn compare_gold(
    name: &str,
    table: &Table,
    silver: &[RecordBatch],
    tenant: &Tenant,
    registry: &mut Registry,
    report: &mut Report,
) -> Result<(), TenantError> {
    let mut states = Vec::new();
    let mut latest: Option<Arc<Rules>> = None;
    for rows in silver {
        let rows = filter_record_batch(rows, &in_progress(rows, table, tenant))
            .map_err(LayerError::from)?;
        for (number, rows) in by_rule_set(&rows)? {
            let rules = registry.rules(RuleSetNumber(number)).await?;
            if let Some(rule) = rule_of(&rules, name) {
                let names = columns_read(rule);
                let schema = rows.schema();
                let columns: Vec<usize> = names
                    .iter()
                    .filter_map(|name| schema.index_of(name).ok())
                    .collect();
                let rows = rows.project(&columns).map_err(LayerError::from)?;
                states.extend(fold(rule, &rows)?);
                if latest
                    .as_ref()
                    .is_none_or(|latest| latest.number < rules.number)
                {
                    latest = Some(rules);
                }
            }
        }
    }
    let stored = read(table, None).await?;
    let Some(rules) = latest else {
        let rows: usize = stored.iter().map(RecordBatch::num_rows).sum();
        if rows > 0 {
            report.problem(|| format!("gold {name} has {rows} rows, but silver has none for it"));
        }
        return Ok(());
    };
    let Some(rule) = rule_of(&rules, name) else {
        return Ok(());
    };
    let wanted = match merge_all(rule, states)? {
        Some(states) => recomputed(&rules, rule, &states)?,
        None => return Ok(()),
    };
    let names: Vec<&str> = rule
        .description
        .keys
        .iter()
        .map(String::as_str)
        .chain(rule.description.measures.iter().map(|m| m.name.as_str()))
        .collect();
    let wanted = comparable(&[wanted], &names)?;
    let there = comparable(&stored, &names)?;
    report.gold.insert(name.to_owned(), there.len() as u64);
    for (row, text) in &wanted {
        if !there.contains_key(row) {
            report.problem(|| format!("gold {name} has no row {text}, which silver adds up to"));
        }
    }
    for (row, text) in &there {
        if !wanted.contains_key(row) {
            report.problem(|| {
                format!("gold {name} has a row {text}, which silver does not add up to")
            });
        }
    }
    let rows: usize = stored.iter().map(RecordBatch::num_rows).sum();
    if rows != there.len() {
        report.problem(|| {
            format!(
                "gold {name} has {rows} rows of which only {} differ",
                there.len()
            )
        });
    }
    Ok(())
}

fn rule_of<'a>(rules: &'a Rules, table: &str) -> Option<&'a GoldRule> {
    rules.gold.iter().find(|rule| rule.table == table)
}

/// Which rows a table has taken in.
fn in_progress(rows: &RecordBatch, table: &Table, tenant: &Tenant) -> BooleanArray {
    let mut ends = BTreeMap::new();
    let mut partitions = BTreeSet::new();
    each_row(rows, &BTreeMap::new(), |partition, _, _| {
        if !partitions.contains(partition) {
            partitions.insert(partition.clone());
        }
    });
    for partition in partitions {
        let end = layer::progress(table, tenant, &partition, "").unwrap_or_default();
        ends.insert(partition, end);
    }
    let mut mask = vec![false; rows.num_rows()];
    each_row(rows, &ends, |_, _, row| {
        if let Some(taken) = mask.get_mut(row) {
            *taken = true;
        }
    });
    BooleanArray::from(mask)
}

/// Rows as comparable values, each with its text for people.
fn comparable(
    batches: &[RecordBatch],
    names: &[&str],
) -> Result<BTreeMap<OwnedRow, String>, LayerError> {
    let Some(first) = batches.first() else {
        return Ok(BTreeMap::new());
    };
    let rows = concat_batches(&first.schema(), batches)?;
    let columns: Vec<_> = names
        .iter()
        .filter_map(|name| rows.column_by_name(name).cloned())
        .collect();
    let fields = columns
        .iter()
        .map(|column| SortField::new(column.data_type().clone()));
    let converter = RowConverter::new(fields.collect())?;
    let values = converter.convert_columns(&columns)?;
    let texts = (0..rows.num_rows()).map(|row| {
        let shown = names.iter().zip(&columns).map(|(name, column)| {
            let value = arrow::util::display::array_value_to_string(column, row);
            format!("{name}={}", value.unwrap_or_default())
        });
        shown.collect::<Vec<_>>().join(" ")
    });
    Ok(values.iter().map(|row| row.owned()).zip(texts).collect())
}
