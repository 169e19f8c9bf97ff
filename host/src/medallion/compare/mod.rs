//! Two rule sets over the same messages: what the one that judges makes of them, and what the other
//! would. Both judge on the caller's thread in the same way, so that what they cost can be compared.

mod columns;
mod comparison;
mod gold;
mod sample;
#[cfg(test)]
mod tests;
mod within;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;

use self::comparison::Side;
pub use self::comparison::{
    Comparison, Cost, Costs, End, Ends, GoldChange, Measure, Outcome, Sums,
};
use self::gold::Tables;
use self::sample::Places;
pub use self::sample::{Change, Sample};
pub use self::within::exceeded;
use super::cut::Cut;
use super::decode::Decoder;
use super::gold::States;
use super::judge::{self, Judged, Refusal, Verdict};
use super::layer::LayerError;
use super::rules::Rules;
use crate::processor::thread_time;

/// Messages that are compared at once: what is worth a call of a component, and can be waited for.
pub const MESSAGES_AT_ONCE: usize = 8_192;

/// Why messages were not compared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompareError {
    /// The set that judges now can't judge them.
    #[error("rule set {number}: {source}")]
    Before { number: i64, source: LayerError },
    /// The set that would judge could not judge them: with it, the tenant would stop here.
    #[error("rule set {number}: {source}")]
    After { number: i64, source: LayerError },
    #[error("putting columns together: {0}")]
    Arrow(#[from] arrow::error::ArrowError),
}

/// Compares what two rule sets make of messages, batch after batch.
pub struct Comparer {
    before: Arc<Rules>,
    after: Arc<Rules>,
    done: Comparison,
    gold: Tables,
    turns: u64,
}

/// Where the rows of some messages end.
#[derive(Clone, Copy, Debug)]
pub struct Compared {
    pub rows: u64,
    pub before: Ends,
    pub after: Ends,
}

/// What one rule set made of a batch.
struct Made {
    judged: Judged,
    gold: Vec<Folded>,
}

/// What it made of it for one gold table.
struct Folded {
    table: String,
    states: Vec<States>,
    time: Duration,
    fuel: u64,
}

impl Comparer {
    /// `before` is the set that judges, `after` the one that would.
    pub fn new(before: Arc<Rules>, after: Arc<Rules>) -> Self {
        Self {
            before,
            after,
            done: Comparison::default(),
            gold: Tables::new(),
            turns: 0,
        }
    }

    /// Compares messages. Where one of the sets can't judge them, none of them counts. Answers with
    /// where these ones end.
    ///
    /// # Errors
    /// `Before` or `After`, by whose fault it is.
    pub fn compare(&mut self, messages: &RecordBatch) -> Result<Compared, CompareError> {
        let cut = Cut {
            ranges: Vec::new(),
            messages: messages.clone(),
        };
        // The second finds the caches warm, so they take turns.
        self.turns += 1;
        let (before, after);
        if self.turns.is_multiple_of(2) {
            after = self.by(&cut, Side::After)?;
            before = self.by(&cut, Side::Before)?;
        } else {
            before = self.by(&cut, Side::Before)?;
            after = self.by(&cut, Side::After)?;
        }
        let mut part = rows(&cut, &before.judged, &after.judged)?;
        part.messages = cut.len() as u64;
        let compared = Compared {
            rows: part.rows,
            before: part.before,
            after: part.after,
        };
        for (made, side) in [(&before, Side::Before), (&after, Side::After)] {
            costs(&mut part, made, side);
        }
        self.done.merge(part);
        for (at, made) in [before, after].into_iter().enumerate() {
            for folded in made.gold {
                let held = self.gold.entry(folded.table).or_default();
                if let Some(held) = held.get_mut(at) {
                    held.add(folded.states);
                }
            }
        }
        if self.gold.values().flatten().any(gold::Held::is_large) {
            self.done = self.comparison()?;
            self.gold.values_mut().flatten().for_each(gold::Held::clear);
        }
        Ok(compared)
    }

    /// What was found so far.
    ///
    /// # Errors
    /// A gold component that fails on what the rows come to.
    pub fn comparison(&mut self) -> Result<Comparison, CompareError> {
        let mut all = self.done.clone();
        let sides = [
            (self.before.clone(), Side::Before),
            (self.after.clone(), Side::After),
        ];
        for (at, (rules, side)) in sides.iter().enumerate() {
            for rule in &rules.gold {
                let held = self.gold.get_mut(&rule.table);
                let Some(held) = held.and_then(|held| held.get_mut(at)) else {
                    continue;
                };
                let into = all.gold.entry(rule.table.clone()).or_default();
                held.publish(rules, rule, *side, into)
                    .map_err(|source| failed(rules, *side, source))?;
            }
        }
        Ok(all)
    }

    fn by(&self, cut: &Cut, side: Side) -> Result<Made, CompareError> {
        let rules = match side {
            Side::Before => &self.before,
            Side::After => &self.after,
        };
        made(cut, rules).map_err(|source| failed(rules, side, source))
    }
}

fn failed(rules: &Rules, side: Side, source: LayerError) -> CompareError {
    let number = rules.number.0;
    match side {
        Side::Before => CompareError::Before { number, source },
        Side::After => CompareError::After { number, source },
    }
}

fn made(cut: &Cut, rules: &Rules) -> Result<Made, LayerError> {
    let decoded = Decoder::new(&rules.definition.event_schema(), Vec::new()).decode(&cut.raw());
    let judged = judge::judge(rules, cut, &decoded, 1)?;
    let mut gold = Vec::new();
    for rule in &rules.gold {
        let begun = thread_time();
        let (states, fuel) = gold::fold(rules, rule, &judged.candidates)?;
        gold.push(Folded {
            table: rule.table.clone(),
            states,
            time: thread_time().saturating_sub(begun),
            fuel,
        });
    }
    Ok(Made { judged, gold })
}

fn costs(part: &mut Comparison, made: &Made, side: Side) {
    let mut add = |component: String, rows: usize, time: Duration, fuel: u64| {
        let cost = part.cost_of(component, side);
        cost.rows += rows as u64;
        cost.nanos += u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        cost.fuel += fuel;
    };
    for spent in &made.judged.spent {
        let component = format!("{} {}", spent.step, spent.name);
        add(component, spent.rows, spent.time, spent.fuel);
    }
    let candidates = made.judged.candidates.message.len();
    for folded in &made.gold {
        let component = format!("gold {}", folded.table);
        add(component, candidates, folded.time, folded.fuel);
    }
}

/// Where a row of one rule set ended.
enum Fate<'a> {
    /// The candidate of this number.
    Silver(usize),
    Refused(&'a Refusal),
}

/// Every row by its message and line.
fn fates(judged: &Judged) -> BTreeMap<(u32, i32), Fate<'_>> {
    let candidates = &judged.candidates;
    let places = candidates
        .message
        .iter()
        .copied()
        .zip(candidates.line.iter().copied());
    let silver = places
        .enumerate()
        .map(|(at, place)| (place, Fate::Silver(at)));
    let refused = judged.refusals.iter();
    let refused = refused.map(|row| ((row.message, row.line), Fate::Refused(row)));
    silver.chain(refused).collect()
}

/// Compares where rows end, and the columns of those that end in silver both times.
fn rows(cut: &Cut, before: &Judged, after: &Judged) -> Result<Comparison, CompareError> {
    let mut part = Comparison {
        before: ends(before),
        after: ends(after),
        ..Comparison::default()
    };
    let (old, new) = (fates(before), fates(after));
    let mut both = columns::Pairs::default();
    let places = Places::of_cut(cut);
    let mut turn = |place: &(u32, i32), was: Option<&Fate<'_>>, is: Option<&Fate<'_>>| {
        part.rows += 1;
        if let (Some(Fate::Silver(was)), Some(Fate::Silver(is))) = (was, is) {
            both.push(*was, *is);
            return;
        }
        let (outcome_was, outcome_is) = (outcome(was), outcome(is));
        if outcome_was != outcome_is {
            part.changed += 1;
            let turned = part.verdicts.entry((outcome_was, outcome_is)).or_default();
            turned.add(&places.of(*place), || (reason(was), reason(is)));
        }
    };
    for (place, was) in &old {
        turn(place, Some(was), new.get(place));
    }
    for (place, is) in &new {
        if !old.contains_key(place) {
            turn(place, None, Some(is));
        }
    }
    part.columns = both.changes(&places, &before.candidates, &after.candidates)?;
    Ok(part)
}

fn ends(judged: &Judged) -> Ends {
    let count = |action| {
        let refusals = judged.refusals.iter();
        refusals.filter(|refusal| refusal.action == action).count() as u64
    };
    Ends {
        silver: judged.candidates.message.len() as u64,
        quarantine: count(Verdict::Quarantine),
        drop: count(Verdict::Drop),
        trapped: judged.guilty as u64,
    }
}

fn outcome(fate: Option<&Fate<'_>>) -> Outcome {
    let of = |end| Outcome {
        end,
        step: String::new(),
        rule: String::new(),
    };
    match fate {
        None => of(End::Absent),
        Some(Fate::Silver(_)) => of(End::Silver),
        Some(Fate::Refused(refusal)) => Outcome {
            end: match refusal.action {
                Verdict::Drop => End::Drop,
                Verdict::Quarantine | Verdict::Duplicate => End::Quarantine,
            },
            step: refusal.step.to_owned(),
            rule: refusal.rule.clone(),
        },
    }
}

fn reason(fate: Option<&Fate<'_>>) -> Option<String> {
    match fate {
        Some(Fate::Refused(refusal)) => Some(sample::cut(&refusal.reason)),
        _ => None,
    }
}
