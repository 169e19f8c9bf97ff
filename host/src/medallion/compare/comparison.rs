//! What a comparison found: counts and exact sums that can be written down, read back and put
//! together, however the rows were parted.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::sample::{Change, rank};
use crate::amount::Amount;

/// Ways in which a verdict changed that are told apart.
const MOST_TURNS: usize = 500;
/// Groups of a gold table that are told apart: sixty stores on sixteen days.
const MOST_GROUPS: usize = 1_000;

/// What two rule sets make of the same messages, *before* being the one that judges and *after* the
/// one that would. Rows are compared as the rules leave them, before they are deduplicated: a
/// message that comes twice counts twice, on both sides.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    pub messages: u64,
    /// Rows that either made of them.
    pub rows: u64,
    pub before: Ends,
    pub after: Ends,
    /// Rows whose end, step or rule changed.
    pub changed: u64,
    /// Those, by what changed.
    #[serde(with = "turns")]
    pub verdicts: BTreeMap<(Outcome, Outcome), Change>,
    /// There are more ways in which verdicts changed than are told apart here.
    #[serde(default)]
    pub partial: bool,
    /// Columns of silver, over rows that are in it both times.
    pub columns: BTreeMap<String, Change>,
    pub gold: BTreeMap<String, GoldChange>,
    /// By step and component, or `gold` and table.
    pub cost: BTreeMap<String, Costs>,
}

/// Where rows end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ends {
    pub silver: u64,
    pub quarantine: u64,
    pub drop: u64,
    /// Of those in quarantine: rows that a component could not be got over.
    pub trapped: u64,
}

/// Where one row ends, and by which rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Outcome {
    pub end: End,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub step: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub rule: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum End {
    Silver,
    Quarantine,
    Drop,
    /// The message has no such line: it is exploded otherwise.
    Absent,
}

/// How a gold table differs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GoldChange {
    /// Measures that are decimals (`money`) or integers, over all groups.
    pub measures: BTreeMap<String, Measure>,
    /// The same by the table's partitions, as `sale_date=2025-03-01/store_id=S001`.
    pub groups: BTreeMap<String, BTreeMap<String, Sums>>,
    /// There are more groups than are told apart here; which ones are depends on their names alone.
    #[serde(default)]
    pub partial: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Measure {
    pub money: bool,
    #[serde(flatten)]
    pub sums: Sums,
}

/// A measure by both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sums {
    pub before: Amount,
    pub after: Amount,
}

/// What a component took by both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Costs {
    pub before: Cost,
    pub after: Cost,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// Rows that it was given.
    pub rows: u64,
    /// Nanoseconds of the processor, on the thread that compares.
    pub nanos: u64,
    pub fuel: u64,
}

/// Which of the two rule sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Before,
    After,
}

impl Comparison {
    /// Takes in what was found in other rows.
    pub fn merge(&mut self, other: Self) {
        self.messages += other.messages;
        self.rows += other.rows;
        self.before.add(other.before);
        self.after.add(other.after);
        self.changed += other.changed;
        self.partial |= other.partial;
        for (turn, change) in other.verdicts {
            self.verdicts.entry(turn).or_default().merge(change);
        }
        self.partial |= keep(&mut self.verdicts, MOST_TURNS, |(before, after)| {
            rank(&format!("{before} -> {after}"))
        });
        for (name, change) in other.columns {
            self.columns.entry(name).or_default().merge(change);
        }
        for (table, change) in other.gold {
            self.gold.entry(table).or_default().merge(change);
        }
        for (component, costs) in other.cost {
            let held = self.cost.entry(component).or_default();
            held.before.add(costs.before);
            held.after.add(costs.after);
        }
    }

    pub(super) fn cost_of(&mut self, component: String, side: Side) -> &mut Cost {
        let costs = self.cost.entry(component).or_default();
        match side {
            Side::Before => &mut costs.before,
            Side::After => &mut costs.after,
        }
    }

    /// What all components together took.
    pub fn costs(&self) -> Costs {
        let mut all = Costs::default();
        for costs in self.cost.values() {
            all.before.add(costs.before);
            all.after.add(costs.after);
        }
        all
    }

    /// By how much the share of rows that end in quarantine grows; below zero where it shrinks.
    pub fn quarantine_change(&self) -> f64 {
        let (before, after) = (self.before.quarantine as f64, self.after.quarantine as f64);
        (after - before) / self.rows.max(1) as f64
    }

    /// The share of rows that a component of the set that would judge can't be got over.
    pub fn trapped_share(&self) -> f64 {
        self.after.trapped as f64 / self.rows.max(1) as f64
    }

    /// What the set that would judge burns of fuel, as a multiple of what is burnt now.
    pub fn fuel_ratio(&self) -> f64 {
        let Costs { before, after } = self.costs();
        match (before.fuel, after.fuel) {
            (0, 0) => 1.0,
            (before, after) => after as f64 / before as f64,
        }
    }

    /// Every measure that is money, as `daily_sales.net_amount`.
    pub fn money(&self) -> impl Iterator<Item = (String, Sums)> {
        self.gold.iter().flat_map(|(table, change)| {
            let money = change.measures.iter().filter(|(_, measure)| measure.money);
            money.map(move |(name, measure)| (format!("{table}.{name}"), measure.sums))
        })
    }
}

impl Ends {
    fn add(&mut self, other: Self) {
        self.silver += other.silver;
        self.quarantine += other.quarantine;
        self.drop += other.drop;
        self.trapped += other.trapped;
    }
}

impl GoldChange {
    pub(super) fn merge(&mut self, other: Self) {
        self.partial |= other.partial;
        for (name, measure) in other.measures {
            let held = self.measures.entry(name).or_default();
            held.money |= measure.money;
            held.sums.add(measure.sums);
        }
        for (group, sums) in other.groups {
            let held = self.groups.entry(group).or_default();
            for (name, sums) in sums {
                held.entry(name).or_default().add(sums);
            }
        }
        self.partial |= keep(&mut self.groups, MOST_GROUPS, |group| rank(group));
    }
}

impl Sums {
    fn add(&mut self, other: Self) {
        self.before = self.before.plus(other.before);
        self.after = self.after.plus(other.after);
    }

    pub(super) fn side(&mut self, side: Side) -> &mut Amount {
        match side {
            Side::Before => &mut self.before,
            Side::After => &mut self.after,
        }
    }

    pub fn difference(self) -> Amount {
        self.after.minus(self.before)
    }

    /// How much it changes, as a share of what it is; without end where it is nothing.
    pub fn change(self) -> f64 {
        let difference = self.difference();
        match (difference.is_zero(), self.before.is_zero()) {
            (true, _) => 0.0,
            (false, true) => f64::INFINITY,
            (false, false) => (difference.about() / self.before.about()).abs(),
        }
    }
}

impl Cost {
    fn add(&mut self, other: Self) {
        self.rows += other.rows;
        self.nanos += other.nanos;
        self.fuel += other.fuel;
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { end, step, rule } = self;
        match end {
            End::Silver => f.write_str("silver"),
            End::Quarantine => write!(f, "quarantine by {step} {rule}"),
            End::Drop => write!(f, "drop by {step} {rule}"),
            End::Absent => f.write_str("no row"),
        }
    }
}

/// Keeps what comes first by rank. What is kept so of two parts is what is kept of the whole, with
/// nothing of it lost. True: something had to go.
fn keep<K: Ord + Clone, V>(
    map: &mut BTreeMap<K, V>,
    most: usize,
    rank: impl Fn(&K) -> u64,
) -> bool {
    if map.len() <= most {
        return false;
    }
    let mut ranked: Vec<(u64, K)> = map.keys().map(|key| (rank(key), key.clone())).collect();
    ranked.sort_unstable();
    for (_, key) in ranked.drain(most..) {
        map.remove(&key);
    }
    true
}

/// Changes of verdicts as a list, since JSON has texts alone as keys.
mod turns {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{Change, Outcome};

    #[derive(Serialize, Deserialize)]
    struct Turn<O, C> {
        before: O,
        after: O,
        #[serde(flatten)]
        change: C,
    }

    pub(super) fn serialize<S: Serializer>(
        verdicts: &BTreeMap<(Outcome, Outcome), Change>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_seq(verdicts.iter().map(|((before, after), change)| Turn {
            before,
            after,
            change,
        }))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<BTreeMap<(Outcome, Outcome), Change>, D::Error> {
        let turns = Vec::<Turn<Outcome, Change>>::deserialize(from)?;
        let turns = turns.into_iter();
        Ok(turns
            .map(|turn| ((turn.before, turn.after), turn.change))
            .collect())
    }
}
