//! What differs between two rule sets, in an operator's words.

use std::collections::{BTreeMap, BTreeSet};

use arrow::record_batch::RecordBatch;
use arrow::row::{OwnedRow, RowConverter, SortField};
use serde::Serialize;
use serde_json::Value;

use crate::medallion::definition::{Definition, DimensionUse, RuleUse};
use crate::medallion::gate::Gate;

/// One thing that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Which part: `event`, `validate validate-sales`, `gold daily_sales`, `dimension product` …
    pub part: String,
    pub change: String,
}

/// What differs. `rows` reads a dimension's contents, where they are at hand.
pub fn diff(
    before: &Definition,
    after: &Definition,
    rows: impl Fn(&DimensionUse) -> Option<RecordBatch>,
) -> Vec<Difference> {
    let mut found = Found::default();
    found.event(before, after);
    let steps = [
        ("cleanse", &before.cleanse, &after.cleanse),
        ("validate", &before.validate, &after.validate),
        ("enrich", &before.enrich, &after.enrich),
    ];
    for (step, before, after) in steps {
        found.step(step, before, after);
    }
    found.gold(before, after);
    found.dimensions(before, after, rows);
    found.gate(
        "promotion",
        before.promotion.as_ref(),
        after.promotion.as_ref(),
    );
    found.gate(
        "rollback",
        before.rollback.as_ref(),
        after.rollback.as_ref(),
    );
    found.0
}

#[derive(Default)]
struct Found(Vec<Difference>);

impl Found {
    fn say(&mut self, part: &str, change: impl Into<String>) {
        self.0.push(Difference {
            part: part.to_owned(),
            change: change.into(),
        });
    }

    /// Says so where two values differ.
    fn value<T: PartialEq>(
        &mut self,
        part: &str,
        name: &str,
        before: &T,
        after: &T,
        shown: impl Fn(&T) -> String,
    ) {
        if before != after {
            self.say(
                part,
                format!("{name} {} -> {}", shown(before), shown(after)),
            );
        }
    }

    fn event(&mut self, before: &Definition, after: &Definition) {
        let absent = |text: &Option<String>| text.clone().unwrap_or_else(|| "none".to_owned());
        self.value("event", "key", &before.key, &after.key, |key| {
            key.join(", ")
        });
        self.value("event", "time", &before.time, &after.time, Clone::clone);
        self.value("event", "zone", &before.zone, &after.zone, Clone::clone);
        self.value(
            "event",
            "zone_from",
            &before.zone_from,
            &after.zone_from,
            |from| {
                from.as_ref().map_or("none".to_owned(), |from| {
                    format!("{}.{}", from.dimension, from.field)
                })
            },
        );
        self.value("event", "explode", &before.explode, &after.explode, absent);
        self.value(
            "event",
            "max_columns",
            &before.max_columns,
            &after.max_columns,
            |most| {
                most.map_or(
                    "none (undeclared fields go to _rescued)".to_owned(),
                    |most| most.to_string(),
                )
            },
        );
        let types = |definition: &Definition| -> BTreeMap<String, String> {
            let fields = definition.fields.iter();
            fields
                .map(|field| (field.name.clone(), field.field_type.to_string()))
                .collect()
        };
        self.maps("event", "field", &types(before), &types(after));
    }

    /// Names that came, went or mean something else.
    fn maps(
        &mut self,
        part: &str,
        what: &str,
        before: &BTreeMap<String, String>,
        after: &BTreeMap<String, String>,
    ) {
        let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        for name in names {
            match (before.get(name), after.get(name)) {
                (None, Some(value)) => self.say(part, format!("{what} {name} added: {value}")),
                (Some(value), None) => {
                    self.say(part, format!("{what} {name} removed: it was {value}"));
                }
                (Some(old), Some(new)) if old != new => {
                    self.say(part, format!("{what} {name} {old} -> {new}"));
                }
                _ => {}
            }
        }
    }

    fn step(&mut self, step: &str, before: &[RuleUse], after: &[RuleUse]) {
        let names = |uses: &[RuleUse]| -> Vec<String> {
            uses.iter().map(|used| used.name.clone()).collect()
        };
        let (old, new) = (names(before), names(after));
        let mut unmatched: Vec<&RuleUse> = before.iter().collect();
        for used in after {
            let part = format!("{step} {}", used.name);
            match unmatched.iter().position(|held| held.name == used.name) {
                Some(place) => {
                    let held = unmatched.remove(place);
                    self.rule(&part, held, used);
                }
                None => self.say(&part, format!("added: component {}", short(used))),
            }
        }
        for gone in unmatched {
            let part = format!("{step} {}", gone.name);
            self.say(&part, format!("removed: component {}", short(gone)));
        }
        let kept = |names: &[String], others: &[String]| -> Vec<String> {
            let names = names.iter().filter(|name| others.contains(name));
            names.cloned().collect()
        };
        let (was, is) = (kept(&old, &new), kept(&new, &old));
        if was != is {
            self.say(
                step,
                format!("order {} -> {}", was.join(", "), is.join(", ")),
            );
        }
    }

    fn rule(&mut self, part: &str, before: &RuleUse, after: &RuleUse) {
        if before.component != after.component {
            self.say(
                part,
                format!("component {} -> {}", short(before), short(after)),
            );
        }
        let signer = |used: &RuleUse| {
            let signature = used.signature.as_ref();
            signature.map_or("nobody".to_owned(), |signature| signature.key.id())
        };
        if before.signature != after.signature {
            let (before, after) = (signer(before), signer(after));
            self.say(part, format!("signed with {before} -> {after}"));
        }
        let params = |used: &RuleUse| -> BTreeMap<String, String> {
            match &used.params {
                Value::Object(params) => params
                    .iter()
                    .map(|(name, value)| (name.clone(), value.to_string()))
                    .collect(),
                _ => BTreeMap::new(),
            }
        };
        self.maps(part, "param", &params(before), &params(after));
    }

    fn gold(&mut self, before: &Definition, after: &Definition) {
        for table in &after.gold {
            let part = format!("gold {}", table.table);
            let Some(held) = before.gold.iter().find(|held| held.table == table.table) else {
                self.say(
                    &part,
                    format!("added: {} {}", table.rule.name, short(&table.rule)),
                );
                continue;
            };
            self.value(
                &part,
                "partition_by",
                &held.partition_by,
                &table.partition_by,
                |by| by.join(", "),
            );
            self.rule(&part, &held.rule, &table.rule);
        }
        for held in &before.gold {
            if !after.gold.iter().any(|table| table.table == held.table) {
                self.say(
                    &format!("gold {}", held.table),
                    "removed: it gets no more rows",
                );
            }
        }
    }

    fn gate(&mut self, part: &str, before: Option<&Gate>, after: Option<&Gate>) {
        let limits = |gate: Option<&Gate>| -> BTreeMap<String, String> {
            let value = gate.map(|gate| serde_json::to_value(gate).unwrap_or_default());
            match value {
                Some(Value::Object(limits)) => limits
                    .iter()
                    .map(|(name, limit)| (name.clone(), limit.to_string().replace('"', "")))
                    .collect(),
                _ => BTreeMap::new(),
            }
        };
        self.maps(part, "limit", &limits(before), &limits(after));
    }

    fn dimensions(
        &mut self,
        before: &Definition,
        after: &Definition,
        rows: impl Fn(&DimensionUse) -> Option<RecordBatch>,
    ) {
        for (name, used) in &after.dimensions {
            let part = format!("dimension {name}");
            let Some(held) = before.dimensions.get(name) else {
                self.say(&part, "added");
                continue;
            };
            self.value(&part, "key", &held.key, &used.key, |key| key.join(", "));
            let types = |used: &DimensionUse| -> BTreeMap<String, String> {
                let columns = used.columns.iter();
                columns
                    .map(|(name, held)| (name.clone(), held.to_string()))
                    .collect()
            };
            self.maps(&part, "column", &types(held), &types(used));
            if held.rows != used.rows {
                let change = match (rows(held), rows(used)) {
                    (Some(old), Some(new)) => compared(&old, &new, &used.key),
                    (None, Some(new)) => format!("loaded: {} rows", new.num_rows()),
                    _ => "other rows".to_owned(),
                };
                self.say(&part, change);
            }
        }
        for name in before.dimensions.keys() {
            if !after.dimensions.contains_key(name) {
                self.say(&format!("dimension {name}"), "removed");
            }
        }
    }
}

/// The first digits of a component's digest: enough to tell two apart.
fn short(used: &RuleUse) -> String {
    used.component.to_string().chars().take(12).collect()
}

/// How many rows came, went and changed between two loads of a dimension.
fn compared(old: &RecordBatch, new: &RecordBatch, key: &[String]) -> String {
    let (Some(old), Some(new)) = (by_key(old, key), by_key(new, key)) else {
        return format!(
            "other columns: {} rows -> {} rows",
            old.num_rows(),
            new.num_rows()
        );
    };
    let added = new.keys().filter(|key| !old.contains_key(*key)).count();
    let removed = old.keys().filter(|key| !new.contains_key(*key)).count();
    let changed = new
        .iter()
        .filter(|(key, rows)| old.get(*key).is_some_and(|held| held != *rows))
        .count();
    format!("rows of {added} keys added, {removed} removed, {changed} changed")
}

type ByKey = BTreeMap<OwnedRow, Vec<Vec<String>>>;

fn by_key(rows: &RecordBatch, key: &[String]) -> Option<ByKey> {
    let columns = key.iter().map(|name| rows.column_by_name(name).cloned());
    let columns = columns.collect::<Option<Vec<_>>>()?;
    let fields = columns
        .iter()
        .map(|c| SortField::new(c.data_type().clone()));
    let converter = RowConverter::new(fields.collect()).ok()?;
    let keys = converter.convert_columns(&columns).ok()?;
    let mut names: Vec<String> = rows
        .schema()
        .fields()
        .iter()
        .map(|field| field.name().clone())
        .collect();
    names.sort_unstable();
    let mut found = ByKey::new();
    for (row, key) in keys.iter().enumerate() {
        let values = names.iter().map(|name| {
            let column = rows.column_by_name(name)?;
            let text = arrow::util::display::array_value_to_string(column, row).ok()?;
            Some(format!("{name}={text}"))
        });
        found
            .entry(key.owned())
            .or_default()
            .push(values.collect::<Option<Vec<_>>>()?);
    }
    Some(found)
}
